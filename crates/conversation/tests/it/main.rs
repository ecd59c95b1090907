//! A relay between the fakes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod failures;
mod order;
mod world;
