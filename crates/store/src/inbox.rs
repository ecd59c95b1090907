//! Events as they came in, and what was decided about them.

use async_trait::async_trait;
use jiff::Timestamp;
use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId};

use crate::{Delivery, Lease, NewDelivery, Result};

/// An event that a homeserver handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The event.
    pub event_id: OwnedEventId,
    /// Where it happened.
    pub room_id: OwnedRoomId,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// The event as JSON, with its room.
    pub event: String,
    /// When it came in.
    pub received_at: Timestamp,
}

/// Something that a homeserver handed over and that makes no sense. It is kept for people to look at, and never tried
/// again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// What it was.
    pub raw: String,
    /// Why it makes no sense.
    pub reason: String,
    /// When it came in.
    pub received_at: Timestamp,
}

/// How far a source of events was read, to go on from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The source.
    pub source: String,
    /// Its own mark, such as the `next_batch` of a sync.
    pub position: String,
}

/// What came in with one call of a homeserver, or one answer of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intake {
    /// The events, in the homeserver's order.
    pub arrivals: Vec<Arrival>,
    /// What makes no sense.
    pub set_aside: Vec<SetAside>,
    /// How far this source has been read with it.
    pub cursor: Option<Cursor>,
}

/// An event of the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEvent {
    /// Its place in the order of arrival.
    pub seq: i64,
    /// The event.
    pub arrival: Arrival,
    /// What was decided about it, in words that people can look up; `None` as long as nothing was.
    pub verdict: Option<String>,
}

/// Every event that came in, once.
///
/// # Errors
/// Any call can fail with `Unavailable`, `Busy`, `Full` and `Corrupt`; a write that takes a lease
/// with `LeaseLost`. Then nothing is written.
#[async_trait]
pub trait InboxStore: Send + Sync + std::fmt::Debug {
    /// Takes it in, all or nothing, and answers how many of the events are new. An event that came in before is left as
    /// it is. Needs no lease: whoever hears of an event may write it down.
    async fn accept(&self, intake: &Intake) -> Result<u64>;

    /// How far a source was read, as the latest intake with its cursor said; `None` before the first time.
    async fn get_cursor(&self, source: &str) -> Result<Option<String>>;

    /// The oldest events about which nothing was decided, in the order of arrival, `limit` at most.
    async fn list_undecided(&self, limit: u32) -> Result<Vec<InboxEvent>>;

    /// One event; `None` if it never came in, or was forgotten.
    async fn get_event(&self, event: &EventId) -> Result<Option<InboxEvent>>;

    /// Writes what was decided about an event and what is to be delivered because of it, all or nothing, and answers the
    /// deliveries in the order given. They are for this event, and open. Of a delivery that is there already (same
    /// event, agent and attempt) the present one is answered unchanged. A later decision replaces the former verdict and
    /// leaves its deliveries. About an event that is not there nothing is written, and no delivery is answered.
    async fn decide(
        &self,
        event: &EventId,
        verdict: &str,
        deliveries: &[NewDelivery],
        now: Timestamp,
        lease: &Lease,
    ) -> Result<Vec<Delivery>>;

    /// What was set aside, what came in last first, `limit` at most.
    async fn list_set_aside(&self, limit: u32) -> Result<Vec<SetAside>>;

    /// Forgets events that came in before `before`, were decided about, and have no open delivery; with them their
    /// deliveries, and what was set aside before then. Answers how many events.
    async fn forget_events(&self, before: Timestamp, lease: &Lease) -> Result<u64>;
}
