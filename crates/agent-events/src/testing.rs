//! The conformance suite: what every bus does alike.
//!
//! ```text
//! agent_events::bus_conformance!(around my_bus);
//! ```

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a case that fails panics: that is how a test fails"
)]

mod hearing;
mod resuming;
mod samples;
mod states;
mod suite;

pub use self::{
    hearing::*,
    resuming::*,
    samples::{EARLIER, every_kind, turn, whole_turn},
    states::*,
    suite::{Ears, settings, short_lived, until},
};
