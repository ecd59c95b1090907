//! What the conformance suite cannot see: set-up, faults, crashes, determinism.

mod agents;
#[cfg(feature = "testing")]
mod conformance;
mod faults;
