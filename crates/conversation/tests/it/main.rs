//! Conversations between the fakes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod agents;
mod answers;
mod approvals;
mod commands;
mod crash;
mod edits;
mod failures;
mod faulty_store;
mod files;
mod lifecycle;
mod outages;
mod rooms;
mod scene;
mod streaming;
mod tools;
mod waiting;
mod watching;
mod ways_in;
mod world;
