//! The reconciler without a socket.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod crash;
mod faulty_store;
mod import;
mod mocks;
mod model;
mod normal_form;
mod plan;
mod prune;
mod python_bridge;
mod service;
mod support;
mod sync;
mod upkeep;
mod world;
