//! Events, what makes no sense, and deliveries.

use jiff::Timestamp;
use letta_client::AgentId;
use ruma::{EventId, OwnedEventId};
use serde_json::Value;

use super::{corrupt, parse, read_json, write_json};
use crate::{Arrival, Delivery, InboxEvent, NewDelivery, Result, SetAside};

/// An [`InboxEvent`] in columns of the same names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the event's fields")]
pub struct EventColumns {
    pub seq: i64,
    pub event_id: String,
    pub room_id: String,
    pub sender: String,
    /// JSON.
    pub event: String,
    /// See [`write_time`](super::write_time).
    pub received_at: String,
    pub verdict: Option<String>,
}

impl EventColumns {
    /// The event in the columns.
    ///
    /// # Errors
    /// `Corrupt` when one of them makes no sense. The error names the event and the column.
    pub fn read(self) -> Result<InboxEvent> {
        let event = self.event_id.as_str();
        Ok(InboxEvent {
            seq: self.seq,
            arrival: Arrival {
                event_id: parse(event, "event_id", event)?,
                room_id: parse(event, "room_id", &self.room_id)?,
                sender: parse(event, "sender", &self.sender)?,
                received_at: parse(event, "received_at", &self.received_at)?,
                event: self.event,
            },
            verdict: self.verdict,
        })
    }
}

/// A [`SetAside`] in columns of the same names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are its fields")]
pub struct SetAsideColumns {
    pub raw: String,
    pub reason: String,
    /// See [`write_time`](super::write_time).
    pub received_at: String,
}

impl SetAsideColumns {
    /// What was set aside.
    ///
    /// # Errors
    /// `Corrupt` when its time makes no sense.
    pub fn read(self) -> Result<SetAside> {
        let received_at: Timestamp = parse("what was set aside", "received_at", &self.received_at)?;
        Ok(SetAside {
            raw: self.raw,
            reason: self.reason,
            received_at,
        })
    }
}

/// A [`Delivery`] in columns of the same names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the delivery's fields")]
pub struct DeliveryColumns {
    pub id: i64,
    pub event_id: String,
    pub agent_id: String,
    pub attempt: i64,
    pub lane: String,
    pub room_id: String,
    pub is_open: bool,
    /// JSON.
    pub record: String,
    /// See [`write_time`](super::write_time).
    pub created_at: String,
    /// See [`write_time`](super::write_time).
    pub updated_at: String,
}

impl DeliveryColumns {
    /// The delivery in the columns.
    ///
    /// # Errors
    /// `Corrupt` when one of them makes no sense. The error names the delivery and the column.
    pub fn read(self) -> Result<Delivery> {
        let delivery = format!("delivery {}", self.id);
        let event_id: OwnedEventId = parse(&delivery, "event_id", &self.event_id)?;
        Ok(Delivery {
            id: self.id,
            of: NewDelivery {
                event_id,
                agent_id: AgentId::new(self.agent_id),
                attempt: u32::try_from(self.attempt).map_err(|error| corrupt(&delivery, "attempt", error))?,
                lane: self.lane,
                room_id: parse(&delivery, "room_id", &self.room_id)?,
                record: read_json(&delivery, "record", &self.record)?,
            },
            is_open: self.is_open,
            created_at: parse(&delivery, "created_at", &self.created_at)?,
            updated_at: parse(&delivery, "updated_at", &self.updated_at)?,
        })
    }

    /// The column `record` of a delivery for this event.
    ///
    /// # Errors
    /// `Corrupt` when JSON cannot express it.
    pub fn write_record(event: &EventId, record: &Value) -> Result<String> {
        write_json(&format!("a delivery for {event}"), "record", record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreErrorKind;

    /// A column, and what makes nonsense of it.
    type Spoil<T> = (&'static str, fn(&mut T));

    fn nonsense() -> String {
        "nonsense".to_owned()
    }

    fn event() -> EventColumns {
        EventColumns {
            seq: 1,
            event_id: "$event".to_owned(),
            room_id: "!room".to_owned(),
            sender: "@ann:matrix.test".to_owned(),
            event: "{}".to_owned(),
            received_at: "2026-01-01T12:00:00.000000000Z".to_owned(),
            verdict: None,
        }
    }

    fn delivery() -> DeliveryColumns {
        DeliveryColumns {
            id: 7,
            event_id: "$event".to_owned(),
            agent_id: "agent-001".to_owned(),
            attempt: 0,
            lane: "lane".to_owned(),
            room_id: "!room".to_owned(),
            is_open: true,
            record: "{}".to_owned(),
            created_at: "2026-01-01T12:00:00.000000000Z".to_owned(),
            updated_at: "2026-01-01T12:00:00.000000000Z".to_owned(),
        }
    }

    #[test]
    fn what_cannot_be_read_of_an_event_is_named() {
        assert!(event().read().is_ok());
        let spoil: [Spoil<EventColumns>; 3] = [
            ("room_id", |columns| columns.room_id = nonsense()),
            ("sender", |columns| columns.sender = nonsense()),
            ("received_at", |columns| columns.received_at = nonsense()),
        ];
        for (column, spoil) in spoil {
            let mut columns = event();
            spoil(&mut columns);
            let error = columns.read().unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt);
            assert_eq!(
                error.to_string(),
                format!("the record of $event has an unreadable {column}")
            );
        }
    }

    #[test]
    fn what_cannot_be_read_of_a_delivery_is_named() {
        assert!(delivery().read().is_ok());
        let spoil: [Spoil<DeliveryColumns>; 6] = [
            ("event_id", |columns| columns.event_id = nonsense()),
            ("attempt", |columns| columns.attempt = -1),
            ("room_id", |columns| columns.room_id = nonsense()),
            ("record", |columns| columns.record = nonsense()),
            ("created_at", |columns| columns.created_at = nonsense()),
            ("updated_at", |columns| columns.updated_at = nonsense()),
        ];
        for (column, spoil) in spoil {
            let mut columns = delivery();
            spoil(&mut columns);
            let error = columns.read().unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt);
            assert_eq!(
                error.to_string(),
                format!("the record of delivery 7 has an unreadable {column}")
            );
        }
    }
}
