//! How an event lies in the stream.

use jiff::Timestamp;
use redis::streams::StreamId;
use serde::{Deserialize, Serialize};

use crate::{AgentEvent, BusError, BusErrorKind, EventDraft, EventId, EventKind, SchemaVersion, Turn};

/// The field of an entry that holds the event.
pub(super) const FIELD: &str = "event";

/// An event without its id, which Redis gives it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    version: SchemaVersion,
    pub(super) time: Timestamp,
    #[serde(flatten)]
    pub(super) turn: Turn,
    #[serde(flatten)]
    pub(super) kind: EventKind,
}

impl Entry {
    pub(super) fn new(time: Timestamp, draft: EventDraft) -> Self {
        Self {
            version: SchemaVersion,
            time,
            turn: draft.turn,
            kind: draft.kind,
        }
    }

    pub(super) fn to_json(&self) -> Result<String, BusError> {
        serde_json::to_string(self).map_err(unwritable)
    }

    fn into_event(self, id: EventId) -> AgentEvent {
        AgentEvent {
            version: self.version,
            id,
            time: self.time,
            turn: self.turn,
            kind: self.kind,
        }
    }
}

pub(super) fn unwritable(error: serde_json::Error) -> BusError {
    BusError::new(BusErrorKind::Invalid, "the event can not be written as JSON").with_source(error)
}

pub(super) fn parse_id(id: &str) -> Result<EventId, BusError> {
    id.parse().map_err(|error| {
        BusError::new(
            BusErrorKind::Invalid,
            "the Redis server gave out an id that is none",
        )
        .with_source(error)
    })
}

/// The event in an entry. What cannot be read, of a newer version or of somebody else, is left out, and the log says so.
pub(super) fn read(id: EventId, entry: &StreamId) -> Option<AgentEvent> {
    let Some(json) = entry.get::<String>(FIELD) else {
        tracing::warn!(event.id = %id, "an entry of the event stream is not an event");
        return None;
    };
    match serde_json::from_str::<Entry>(&json) {
        Ok(entry) => Some(entry.into_event(id)),
        Err(error) => {
            tracing::warn!(event.id = %id, %error, "an event of the stream can not be read");
            None
        }
    }
}
