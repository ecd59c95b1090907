//! How events get from a homeserver into the inbox, from which nothing is lost.
//!
//! There are two ways. An application service is pushed to: what the gateway takes goes to [`Inbox::accept_raw`], and a
//! [`PingKeeper`] sees to it that the homeserver delivers at once what it has queued. Where there are accounts only, a
//! [`SyncReader`] asks for the news of each. What comes after is the same: [`Inbox::news`] wakes whoever works on the
//! inbox.
//!
//! An event may come in any number of times, by both ways and after a restart: the inbox has it once.

mod backoff;
mod inbox;
mod ping;
mod relevance;
mod sync;

pub use backoff::Backoff;
pub use inbox::{Accepted, Inbox};
pub use ping::{Nudge, PingKeeper};
pub use relevance::{OwnUsers, is_relevant};
pub use sync::{SyncReader, SyncSettings};
