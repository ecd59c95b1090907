//! What the bridge must remember across restarts, as narrow traits.
//!
//! A store holds facts, not plans: a [`Binding`] says what is known to be true on the homeserver for one agent, and is
//! written *after* each effect that made it true. Before the first effect the binding is written once with nothing
//! but the chosen names, so that a crash leaves no agent's user or room that nobody knows of.
//!
//! [`MemoryStore`] keeps everything in memory and forgets it with the process. `store-sqlite` is the default of the
//! binary. With the feature `testing`, [`testing`] holds the conformance suite that every store passes.

mod binding;
mod clock;
mod error;
mod memory;
#[cfg(feature = "testing")]
pub mod testing;

pub use binding::{Binding, Invitation, SpaceRecord};
pub use clock::{Clock, SystemClock};
pub use error::{StoreError, StoreErrorKind};
pub use memory::MemoryStore;

use async_trait::async_trait;
use letta_client::AgentId;

/// The result of a store's call.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Which agent has which user and room, and the space they are in.
///
/// Every write is atomic and durable when the call returns. Concurrent calls of one process are safe.
///
/// # Errors
/// Any call can fail with `Unavailable` (the database can not be reached or written) and `Corrupt` (a record can not
/// be read back).
#[async_trait]
pub trait BindingStore: Send + Sync + std::fmt::Debug {
    /// All bindings, ordered by agent id.
    async fn list_bindings(&self) -> Result<Vec<Binding>>;

    /// The binding of one agent; `None` if there never was one.
    async fn get_binding(&self, agent: &AgentId) -> Result<Option<Binding>>;

    /// Writes a binding, replacing the agent's former one.
    ///
    /// # Errors
    /// `Conflict` when the user or the room belongs to another agent already. Nothing is written then.
    async fn put_binding(&self, binding: &Binding) -> Result<()>;

    /// The space; `None` before the first one was made.
    async fn get_space(&self) -> Result<Option<SpaceRecord>>;

    /// Writes the space, replacing the former record.
    async fn put_space(&self, space: &SpaceRecord) -> Result<()>;
}
