//! Accounts against the fake homeserver. One binary: modules inside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod crash;
mod flaky;
mod refusals;
mod secrets;
mod sessions;
mod storms;
mod sync;
mod world;
