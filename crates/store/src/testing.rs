//! The conformance suite: what every store does alike.
//!
//! ```text
//! store::store_conformance!(async { Arc::new(MyStore::open().await) });
//! ```

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a case that fails panics: that is how a test fails"
)]

mod accounts;
mod bindings;
mod clock;
mod conversations;
mod decisions;
mod deliveries;
mod fencing;
mod forgetting;
mod inbox;
mod leases;
mod records;
mod samples;
mod suite;

pub use self::{
    accounts::*,
    bindings::*,
    clock::ManualClock,
    decisions::*,
    deliveries::*,
    fencing::*,
    forgetting::*,
    inbox::*,
    leases::*,
    records::*,
    samples::{full_binding, full_progress, full_space, lease, planned_binding},
};
