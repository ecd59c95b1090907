//! The events.

mod kind;

use std::borrow::Cow;

use jiff::Timestamp;
use letta_client::{AgentId, RunId};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use self::kind::{EventKind, EventType, FailureReason, Tokens, UnknownEventType};
use crate::EventId;

/// Something that an agent did.
///
/// It is one JSON object: what is common to all events at the top, `type` names what happened, and `data` holds what
/// only events of that type have. Programs should ignore fields and types that they do not know: version 1 may get
/// more of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentEvent {
    /// The version of this schema.
    pub version: SchemaVersion,
    /// Orders the events, and resumes a stream.
    pub id: EventId,
    /// When it was published, UTC.
    pub time: Timestamp,
    /// To which turn it belongs.
    #[serde(flatten)]
    pub turn: Turn,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl AgentEvent {
    pub(crate) fn new(id: EventId, time: Timestamp, draft: EventDraft) -> Self {
        Self {
            version: SchemaVersion,
            id,
            time,
            turn: draft.turn,
            kind: draft.kind,
        }
    }
}

/// What is published: the bus adds id and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDraft {
    /// To which turn it belongs.
    pub turn: Turn,
    /// What happened.
    pub kind: EventKind,
}

/// A turn: what an agent does for one message of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Turn {
    /// The agent at work.
    pub agent: AgentRef,
    /// The room in which it was asked: who may see the room may see the event.
    #[schemars(with = "String")]
    pub room_id: OwnedRoomId,
    /// The first event of the thread in which it was asked, if it was in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub thread: Option<OwnedEventId>,
    /// Who asked.
    #[schemars(with = "String")]
    pub sender: OwnedUserId,
    /// Letta's run, as soon as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub run_id: Option<RunId>,
    /// The Matrix event of the message that was asked: the same in all events of the turn.
    #[schemars(with = "String")]
    pub correlation_id: OwnedEventId,
}

impl Turn {
    /// Something that happened in this turn.
    #[must_use]
    pub fn event(&self, kind: EventKind) -> EventDraft {
        EventDraft {
            turn: self.clone(),
            kind,
        }
    }
}

/// An agent, and what people call it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentRef {
    /// Letta's id.
    #[schemars(with = "String")]
    pub id: AgentId,
    /// Its name at that time.
    pub name: String,
}

/// The version of the events' schema: the number 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchemaVersion;

impl SchemaVersion {
    /// The version as a number.
    pub const NUMBER: u64 = 1;
}

impl Serialize for SchemaVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(Self::NUMBER)
    }
}

impl<'de> Deserialize<'de> for SchemaVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            Self::NUMBER => Ok(Self),
            other => Err(de::Error::custom(format_args!(
                "an event of version {other}, of which this program knows nothing"
            ))),
        }
    }
}

impl JsonSchema for SchemaVersion {
    fn schema_name() -> Cow<'static, str> {
        "SchemaVersion".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "const": Self::NUMBER })
    }
}
