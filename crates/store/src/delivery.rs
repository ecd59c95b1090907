//! What is owed for an event: a person's message on its way to an agent, and the answer on its way back.

use async_trait::async_trait;
use jiff::Timestamp;
use letta_client::AgentId;
use ruma::{EventId, OwnedEventId, OwnedRoomId};
use serde_json::Value;

use crate::{Lease, Result};

/// A delivery that is to be written down for the first time.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDelivery {
    /// The event that it is owed for.
    pub event_id: OwnedEventId,
    /// The agent it concerns.
    pub agent_id: AgentId,
    /// 0, and one more each time somebody asks to try again.
    pub attempt: u32,
    /// Deliveries of one lane follow one another.
    pub lane: String,
    /// The room in which the event happened.
    pub room_id: OwnedRoomId,
    /// How far it is. Whoever delivers knows what stands in it.
    pub record: Value,
}

/// What is owed for an event, and how far that is.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Its place in the order in which deliveries came up.
    pub id: i64,
    /// What was written down first. The record is the latest.
    pub of: NewDelivery,
    /// Whether something is still to be done.
    pub is_open: bool,
    /// When it came up.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Deliveries, and small records that belong to conversations.
///
/// # Errors
/// Any call can fail with `Unavailable`, `Busy`, `Full` and `Corrupt`; a write with `LeaseLost`, and then nothing is written.
#[async_trait]
pub trait DeliveryStore: Send + Sync + std::fmt::Debug {
    /// All open deliveries, by id.
    async fn list_open_deliveries(&self) -> Result<Vec<Delivery>>;

    /// All deliveries for one event, by id.
    async fn list_deliveries_of(&self, event: &EventId) -> Result<Vec<Delivery>>;

    /// One delivery; `None` if it is not there.
    async fn get_delivery(&self, id: i64) -> Result<Option<Delivery>>;

    /// Writes the record of a delivery, whether it is open, and when it changed. The rest stays as it was written down
    /// first. Of one that is not there nothing is written.
    async fn put_delivery(&self, delivery: &Delivery, lease: &Lease) -> Result<()>;

    /// A small record; `None` if there is none under this key.
    async fn get_record(&self, kind: &str, key: &str) -> Result<Option<Value>>;

    /// All small records of a kind with their keys, by key.
    async fn list_records(&self, kind: &str) -> Result<Vec<(String, Value)>>;

    /// Writes a small record, replacing the former one; `None` removes it. Removing one that is not there does nothing.
    #[allow(
        clippy::needless_lifetimes,
        reason = "the lifetime of an optional reference is spelled out for mocks"
    )]
    async fn put_record<'a>(
        &self,
        kind: &str,
        key: &str,
        record: Option<&'a Value>,
        lease: &Lease,
    ) -> Result<()>;
}
