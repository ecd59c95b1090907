//! Rooms: their timeline, their state, and who is in them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use super::{
    homeserver::Homeserver,
    refusal::{Answer, Object, Refusal},
    requester::Requester,
    room_version::RoomVersion,
};

/// Where an alias points.
#[derive(Clone, Debug)]
pub(super) struct StoredAlias {
    pub(super) room_id: String,
    pub(super) creator: String,
}

/// An event as it was accepted. Redactions do not change it; they change how it is shown.
#[derive(Debug)]
pub(super) struct StoredEvent {
    pub(super) position: u64,
    pub(super) event_id: String,
    pub(super) room_id: String,
    pub(super) sender: String,
    pub(super) kind: String,
    pub(super) state_key: Option<String>,
    pub(super) ts: u64,
    pub(super) content: Object,
    /// What it redacts.
    pub(super) redacts: Option<String>,
    /// The state event it took the place of.
    pub(super) replaces: Option<Arc<StoredEvent>>,
    /// User, device and transaction id it was sent with.
    pub(super) transaction: Option<(String, String, String)>,
    /// What an invited user gets to see of the room.
    pub(super) invite_room_state: Option<Vec<Value>>,
}

impl StoredEvent {
    pub(super) fn membership(&self) -> Option<&str> {
        self.content.get("membership").and_then(Value::as_str)
    }
}

/// A read receipt.
#[derive(Clone, Debug)]
pub(super) struct StoredReceipt {
    pub(super) event_id: String,
    pub(super) ts: u64,
    pub(super) position: u64,
}

/// By type, user and thread.
pub(super) type ReceiptKey = (String, String, Option<String>);

/// A room.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) room_id: String,
    pub(super) version: RoomVersion,
    pub(super) creator: String,
    /// Listed in the directory.
    pub(super) is_public: bool,
    pub(super) timeline: Vec<Arc<StoredEvent>>,
    /// All that was set, oldest first; the last one of each is the present state.
    pub(super) state: BTreeMap<(String, String), Vec<Arc<StoredEvent>>>,
    pub(super) by_id: BTreeMap<String, Arc<StoredEvent>>,
    /// Events that relate to an event, oldest first.
    pub(super) relations: BTreeMap<String, Vec<Arc<StoredEvent>>>,
    /// Redacted events and the redaction that did it.
    pub(super) redactions: BTreeMap<String, Arc<StoredEvent>>,
    pub(super) forgotten: BTreeSet<String>,
    /// Who types until when, and the position of the last change.
    pub(super) typing: BTreeMap<String, u64>,
    pub(super) typing_position: u64,
    pub(super) receipts: BTreeMap<ReceiptKey, StoredReceipt>,
}

impl Room {
    pub(super) fn new(room_id: String, version: RoomVersion, creator: String) -> Self {
        Self {
            room_id,
            version,
            creator,
            is_public: false,
            timeline: Vec::new(),
            state: BTreeMap::new(),
            by_id: BTreeMap::new(),
            relations: BTreeMap::new(),
            redactions: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            typing: BTreeMap::new(),
            typing_position: 0,
            receipts: BTreeMap::new(),
        }
    }

    /// The present state event.
    pub(super) fn state_event(&self, kind: &str, state_key: &str) -> Option<&Arc<StoredEvent>> {
        self.state
            .get(&(kind.to_owned(), state_key.to_owned()))
            .and_then(|history| history.last())
    }

    /// The state event as it was at a position of the stream.
    pub(super) fn state_event_at(
        &self,
        kind: &str,
        state_key: &str,
        position: u64,
    ) -> Option<&Arc<StoredEvent>> {
        let history = self.state.get(&(kind.to_owned(), state_key.to_owned()))?;
        history.iter().rev().find(|event| event.position <= position)
    }

    /// All present state.
    pub(super) fn current_state(&self) -> impl Iterator<Item = &Arc<StoredEvent>> {
        self.state.values().filter_map(|history| history.last())
    }

    /// All state as it was at a position of the stream.
    pub(super) fn state_at(&self, position: u64) -> impl Iterator<Item = &Arc<StoredEvent>> {
        let at = move |history: &'_ Vec<Arc<StoredEvent>>| {
            history.iter().rposition(|event| event.position <= position)
        };
        self.state
            .values()
            .filter_map(move |history| at(history).map(|index| &history[index]))
    }

    /// A field of present state that is a string.
    pub(super) fn state_text(&self, kind: &str, field: &str) -> Option<&str> {
        self.state_content(kind, "")?.get(field)?.as_str()
    }

    /// The content of present state, emptied if it was redacted.
    pub(super) fn state_content(&self, kind: &str, state_key: &str) -> Option<&Object> {
        let event = self.state_event(kind, state_key)?;
        if self.redactions.contains_key(&event.event_id) {
            None
        } else {
            Some(&event.content)
        }
    }

    pub(super) fn membership(&self, user_id: &str) -> Option<&str> {
        self.state_event("m.room.member", user_id)
            .and_then(|event| event.membership())
    }

    pub(super) fn membership_at(&self, user_id: &str, position: u64) -> Option<&str> {
        self.state_event_at("m.room.member", user_id, position)
            .and_then(|event| event.membership())
    }

    pub(super) fn is_joined(&self, user_id: &str) -> bool {
        self.membership(user_id) == Some("join")
    }

    /// The users of a membership, with their membership event.
    pub(super) fn members(&self, membership: &str) -> impl Iterator<Item = (&str, &Arc<StoredEvent>)> {
        self.current_state()
            .filter(move |event| event.kind == "m.room.member" && event.membership() == Some(membership))
            .filter_map(|event| event.state_key.as_deref().map(|user_id| (user_id, event)))
    }

    pub(super) fn joined_count(&self) -> usize {
        self.members("join").count()
    }

    /// Whether the server still takes part. Without a joined member it knows nothing of the room.
    pub(super) fn is_alive(&self) -> bool {
        self.members("join").next().is_some()
    }

    pub(super) fn room_type(&self) -> Option<&str> {
        self.state_text("m.room.create", "type")
    }

    pub(super) fn join_rule(&self) -> &str {
        self.state_text("m.room.join_rules", "join_rule")
            .unwrap_or("invite")
    }

    pub(super) fn history_visibility_at(&self, position: u64) -> &str {
        let event = self.state_event_at("m.room.history_visibility", "", position);
        event
            .and_then(|event| event.content.get("history_visibility"))
            .and_then(Value::as_str)
            .unwrap_or("shared")
    }

    pub(super) fn is_world_readable(&self) -> bool {
        self.state_text("m.room.history_visibility", "history_visibility") == Some("world_readable")
    }

    /// Whether history visibility lets the user see an event.
    pub(super) fn shows(&self, user_id: &str, event: &StoredEvent) -> bool {
        let visibility = self.history_visibility_at(event.position);
        let membership = self.membership_at(user_id, event.position);
        // The own leave or ban is shown to whoever it struck.
        let own_membership = event.kind == "m.room.member" && event.state_key.as_deref() == Some(user_id);
        if visibility == "world_readable" || membership == Some("join") || own_membership {
            return true;
        }
        match visibility {
            "invited" => membership == Some("invite"),
            "joined" => false,
            _ => self.joined_after(user_id, event.position),
        }
    }

    fn joined_after(&self, user_id: &str, position: u64) -> bool {
        let key = ("m.room.member".to_owned(), user_id.to_owned());
        let history = self.state.get(&key).map(Vec::as_slice).unwrap_or_default();
        history
            .iter()
            .any(|event| event.position > position && event.membership() == Some("join"))
    }
}

/// How much of a room someone may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// All there is.
    Now,
    /// What there was up to this position, when the user left.
    Until(u64),
}

impl View {
    pub(super) fn until(self) -> u64 {
        match self {
            Self::Now => u64::MAX,
            Self::Until(position) => position,
        }
    }
}

impl Homeserver {
    pub(super) fn room(&self, room_id: &str) -> Option<&Room> {
        self.rooms.get(room_id)
    }

    /// The room, for someone who is or was in it, or who may look in from outside.
    pub(super) fn readable_room(&self, who: &Requester, room_id: &str) -> Answer<(&Room, View)> {
        let refuse = || Refusal::no_preview(&who.user_id, room_id);
        let room = self.room(room_id).ok_or_else(refuse)?;
        match room.state_event("m.room.member", &who.user_id) {
            Some(event) if event.membership() == Some("join") => Ok((room, View::Now)),
            Some(event) if event.membership() == Some("leave") && !room.forgotten.contains(&who.user_id) => {
                Ok((room, View::Until(event.position)))
            }
            _ if room.is_world_readable() => Ok((room, View::Now)),
            _ => Err(refuse()),
        }
    }

    /// The room, for someone who is in it.
    pub(super) fn joined_room(&self, who: &Requester, room_id: &str) -> Answer<&Room> {
        let room = self.room(room_id).filter(|room| room.is_joined(&who.user_id));
        room.ok_or_else(|| Refusal::not_in_room(&who.user_id, room_id))
    }

    /// Ids of the rooms the user has joined.
    pub(super) fn rooms_of(&self, user_id: &str) -> Vec<String> {
        let joined = self.rooms.values().filter(|room| room.is_joined(user_id));
        joined.map(|room| room.room_id.clone()).collect()
    }
}
