//! The Matrix client-server and application-service APIs behind one trait.
//!
//! [`MatrixApi`] is the contract: what each call does, what it answers, which errors it has, what may be repeated.
//! It has a real implementation over HTTP (`HttpMatrix`, feature `http`), a stateful in-memory homeserver
//! (`fake::FakeMatrix`, feature `fake`) and a mock (`MockMatrixApi`, feature `mock`).
//!
//! Who acts is a parameter: nearly every call takes the [`Session`] it acts with, so one client serves any number of
//! users, whether each has an access token of its own or an application service speaks for all of them.
//!
//! Identifiers and event contents are [ruma]'s, which is re-exported.

pub mod admin;
mod api;
pub mod content;
mod error;
#[cfg(feature = "fake")]
pub mod fake;
#[cfg(feature = "http")]
pub mod http;
pub mod layers;
#[cfg(feature = "testing")]
pub mod testing;
pub mod types;

#[cfg(feature = "mock")]
pub use admin::MockSynapseAdminApi;
pub use admin::SynapseAdminApi;
#[cfg(feature = "mock")]
pub use api::MockMatrixApi;
pub use api::{MatrixApi, MatrixApiExt};
pub use error::{MatrixError, MatrixErrorKind, Result};
#[cfg(feature = "http")]
pub use http::{HttpMatrix, HttpMatrixBuilder, RetryPolicy};
pub use ruma;
pub use types::*;
