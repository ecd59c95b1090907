//! What the conformance suite cannot see: set-up, faults, time, crashes, determinism, the shapes on the wire.

mod agents;
#[cfg(feature = "testing")]
mod conformance;
mod crash;
mod faults;
mod locks;
#[cfg(feature = "http")]
mod over_http;
mod rest;
mod talk;
mod tools;
mod turns;
