//! The reconciler without a socket.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod crash;
mod mocks;
mod plan;
mod support;
mod sync;
mod world;
