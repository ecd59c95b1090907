//! What the bridge must remember across restarts, as narrow traits.
//!
//! A store holds facts, not plans: a [`Binding`] says what is known to be true on the homeserver for one agent, and is
//! written *after* each effect that made it true. Before the first effect the binding is written once with nothing
//! but the chosen names, so that a crash leaves no agent's user or room that nobody knows of.
//!
//! Conversations are the other half. [`InboxStore`] holds every event that came in, once, and what was decided about it;
//! [`DeliveryStore`] holds what is owed for an event and how far that is, and small records that belong to conversations.
//! A decision and what is owed because of it are written together, so that neither is there without the other. The
//! records are JSON that only their writer understands.
//!
//! [`AccountStore`] keeps the accounts of a bridge without an application service, [`LeaseStore`] says who may work.
//!
//! [`MemoryStore`] keeps everything in memory and forgets it with the process. `store-sqlite` is the default of the
//! binary, `store-postgres` is for several instances. With the feature `testing`, [`testing`] holds the conformance
//! suite that every store passes.

mod account;
mod binding;
mod clock;
pub mod columns;
mod delivery;
mod error;
mod inbox;
mod lease;
mod memory;
#[cfg(feature = "testing")]
pub mod testing;

pub use account::{Account, AccountStore};
pub use binding::{
    ArchiveReason, Avatar, Binding, History, Invitation, Lifecycle, ListingMark, RoomFacts, SpaceRecord,
    SyncProgress,
};
pub use clock::{Clock, SystemClock};
pub use delivery::{Delivery, DeliveryStore, NewDelivery};
pub use error::{StoreError, StoreErrorKind};
pub use inbox::{Arrival, Cursor, InboxEvent, InboxStore, Intake, SetAside};
pub use lease::{Lease, LeaseStore};
pub use memory::MemoryStore;

use async_trait::async_trait;
use letta_client::AgentId;

/// The result of a store's call.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Which agent has which user and room, and the space they are in.
///
/// Every write is atomic and durable when the call returns. Concurrent calls of one process are safe. Writes are
/// fenced: they carry the lease under which they are made, and are refused once that lease was granted anew.
///
/// # Errors
/// Any call can fail with `Unavailable`, `Busy` or `Full` (the database can not be reached or written) and `Corrupt` (a
/// record can not be read back); any write with `LeaseLost`. Then nothing is written.
#[async_trait]
pub trait BindingStore: Send + Sync + std::fmt::Debug {
    /// All bindings, ordered by agent id.
    async fn list_bindings(&self) -> Result<Vec<Binding>>;

    /// The binding of one agent; `None` if there is none.
    async fn get_binding(&self, agent: &AgentId) -> Result<Option<Binding>>;

    /// Writes a binding, replacing the agent's former one.
    ///
    /// # Errors
    /// `Conflict` when the user or the room belongs to another agent already. Nothing is written then.
    async fn put_binding(&self, binding: &Binding, lease: &Lease) -> Result<()>;

    /// Forgets a binding. Forgetting an unknown one does nothing.
    async fn delete_binding(&self, agent: &AgentId, lease: &Lease) -> Result<()>;

    /// The space; `None` before the first one was made.
    async fn get_space(&self) -> Result<Option<SpaceRecord>>;

    /// Writes the space, replacing the former record.
    async fn put_space(&self, space: &SpaceRecord, lease: &Lease) -> Result<()>;

    /// How far reconciling came; the default before the first run.
    async fn get_progress(&self) -> Result<SyncProgress>;

    /// Writes how far reconciling came.
    async fn put_progress(&self, progress: &SyncProgress, lease: &Lease) -> Result<()>;
}

/// What reconciling needs of a store.
pub trait SyncStore: BindingStore + LeaseStore {}

impl<T: BindingStore + LeaseStore + ?Sized> SyncStore for T {}

/// What carrying conversations needs of a store.
pub trait ConversationStore: InboxStore + DeliveryStore + BindingStore + LeaseStore {}

impl<T: InboxStore + DeliveryStore + BindingStore + LeaseStore + ?Sized> ConversationStore for T {}

/// Everything that a store does.
pub trait Store: SyncStore + AccountStore + ConversationStore {}

impl<T: SyncStore + AccountStore + ConversationStore + ?Sized> Store for T {}
