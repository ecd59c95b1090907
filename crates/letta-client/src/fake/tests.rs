//! What the conformance suite cannot see: set-up, faults, crashes, determinism.

mod agents;
mod faults;
