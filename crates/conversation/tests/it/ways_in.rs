//! From the homeserver into the inbox.

mod double;
mod inbox;
mod ping;
mod sync;
mod sync_trouble;
mod sync_world;
