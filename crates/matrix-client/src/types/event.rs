use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedTransactionId, OwnedUserId,
    events::{StateEventType, TimelineEventType},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// An event as a client or an application service gets to see it.
///
/// Serializes to and from the client-server format, so it also reads the events of an application service's
/// transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// The event's id.
    pub event_id: OwnedEventId,
    /// The room. Absent in answers that are about one room anyway, such as those of `sync`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_id: Option<OwnedRoomId>,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// Its type, such as `m.room.message`.
    #[serde(rename = "type")]
    pub event_type: TimelineEventType,
    /// Present exactly when it is a state event; often empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_key: Option<String>,
    /// When the sender's server says it was sent.
    pub origin_server_ts: MilliSecondsSinceUnixEpoch,
    /// Its content, a JSON object. A redacted event has lost most of it.
    #[serde(default = "empty_object")]
    pub content: Value,
    /// What the server adds: `transaction_id`, `m.relations`, `prev_content`, `redacted_because`, `age` …
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub unsigned: Map<String, Value>,
    /// The event that this one redacts, in room versions before 11. Ask [`redacts`](Self::redacts) instead.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "redacts")]
    pub redacts_v1: Option<OwnedEventId>,
}

fn empty_object() -> Value {
    Value::Object(Map::new())
}

impl Event {
    /// A message-like event.
    pub fn new(
        event_id: OwnedEventId,
        sender: OwnedUserId,
        event_type: TimelineEventType,
        origin_server_ts: MilliSecondsSinceUnixEpoch,
        content: Value,
    ) -> Self {
        Self {
            event_id,
            room_id: None,
            sender,
            event_type,
            state_key: None,
            origin_server_ts,
            content,
            unsigned: Map::new(),
            redacts_v1: None,
        }
    }

    /// Makes it a state event.
    #[must_use]
    pub fn with_state_key(mut self, state_key: impl Into<String>) -> Self {
        self.state_key = Some(state_key.into());
        self
    }

    /// Names its room.
    #[must_use]
    pub fn with_room(mut self, room_id: OwnedRoomId) -> Self {
        self.room_id = Some(room_id);
        self
    }

    /// Whether it is a state event of this type with this state key.
    pub fn is_state(&self, event_type: &StateEventType, state_key: &str) -> bool {
        self.state_key.as_deref() == Some(state_key) && self.event_type.to_string() == event_type.to_string()
    }

    /// The content as a typed one, such as ruma's `RoomMessageEventContent`.
    ///
    /// # Errors
    /// The content is not of that shape. Whoever may send to the room decides what stands in it, so this is
    /// to be expected.
    pub fn content_as<C: DeserializeOwned>(&self) -> Result<C, serde_json::Error> {
        C::deserialize(&self.content)
    }

    /// The event that this one redacts: `content.redacts` since room version 11, `redacts` before.
    pub fn redacts(&self) -> Option<&EventId> {
        let in_content = self.content.get("redacts").and_then(Value::as_str);
        in_content
            .and_then(|id| <&EventId>::try_from(id).ok())
            .or(self.redacts_v1.as_deref())
    }

    /// The transaction id it was sent with. Servers show it only to the device that sent it.
    pub fn transaction_id(&self) -> Option<OwnedTransactionId> {
        self.unsigned
            .get("transaction_id")
            .and_then(Value::as_str)
            .map(Into::into)
    }
}

/// A state event of a room that one is not in: no id and no time. Comes with an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StrippedEvent {
    /// Who sent it.
    pub sender: OwnedUserId,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: StateEventType,
    /// Its state key.
    pub state_key: String,
    /// Its content, a JSON object.
    #[serde(default = "empty_object")]
    pub content: Value,
}

impl StrippedEvent {
    /// A stripped state event.
    pub fn new(
        sender: OwnedUserId,
        event_type: StateEventType,
        state_key: impl Into<String>,
        content: Value,
    ) -> Self {
        Self {
            sender,
            event_type,
            state_key: state_key.into(),
            content,
        }
    }
}

/// An event that is not well-formed. It is set aside so that the rest of the answer can be used.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SkippedEvent {
    /// The room it came with.
    pub room_id: Option<OwnedRoomId>,
    /// What is wrong with it, with the path of the field.
    pub reason: String,
    /// The event as it came.
    pub json: Value,
}

impl SkippedEvent {
    /// An event that was set aside.
    pub fn new(room_id: Option<OwnedRoomId>, reason: impl Into<String>, json: Value) -> Self {
        Self {
            room_id,
            reason: reason.into(),
            json,
        }
    }
}
