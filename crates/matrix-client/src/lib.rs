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
//!
#![cfg_attr(
    feature = "fake",
    doc = r##"
```
use matrix_client::{MatrixApi, MatrixApiExt, NewRoom, Session, content::Message, fake::FakeMatrix};
use matrix_client::ruma::OwnedRoomId;

/// What is to be tested knows the trait only.
async fn welcome(matrix: &dyn MatrixApi, bot: &Session) -> matrix_client::Result<OwnedRoomId> {
    let room = matrix.create_room(bot, &NewRoom::room().name("Tea")).await?;
    matrix.send_message(bot, &room, "welcome-1".into(), &Message::text("Welcome!")).await?;
    Ok(room)
}

# #[tokio::main(flavor = "current_thread")] async fn main() -> matrix_client::Result<()> {
let server = FakeMatrix::new("matrix.test");
let bot = server.add_user("bot");
let room = welcome(&server, &bot).await?;
assert_eq!(server.room(&room).unwrap().name.as_deref(), Some("Tea"));
# Ok(()) }
```
"##
)]
//!
//! # Rate limits
//!
//! Homeservers answer 429 to who asks too much, with the time to wait, and limit most things by user. `HttpMatrix` waits
//! and sends again, and lets the other requests for the same call by the same user wait with it, so that many tasks may
//! share one client without knowing of each other: see `RetryPolicy`. What would take too long fails as
//! [`LimitExceeded`](MatrixErrorKind::LimitExceeded), with the time to wait in [`MatrixError::retry_after`].
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `http` | `HttpMatrix` (default) |
//! | `fake` | `fake::FakeMatrix`, with faults and a journal of calls |
//! | `mock` | `MockMatrixApi` and `MockSynapseAdminApi` |
//! | `testing` | shared test data, builders of error bodies, the conformance suite; turns on `fake` |

#[cfg(all(doctest, feature = "fake", feature = "http"))]
#[doc = include_str!("../README.md")]
struct Readme;

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
pub use admin::{
    RateLimit, RoomDeletion, RoomInfo, RoomsPage, RoomsRequest, SharedSecretRegistration, SynapseAdminApi,
    UserInfo,
};
#[cfg(feature = "mock")]
pub use api::MockMatrixApi;
pub use api::{MatrixApi, MatrixApiExt};
pub use error::{MatrixError, MatrixErrorKind, Result};
#[cfg(feature = "http")]
pub use http::{HttpMatrix, HttpMatrixBuilder, RetryPolicy};
pub use ruma;
pub use types::*;
