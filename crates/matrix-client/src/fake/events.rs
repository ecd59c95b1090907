//! Events: how they are checked, accepted and shown.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    homeserver::Homeserver,
    refusal::{Answer, Object, Refusal},
    relations,
    requester::Requester,
    rooms::{Room, StoredEvent},
    validation::{check_shape, check_size},
};

/// An event that is to be.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) room_id: String,
    pub(super) sender: String,
    pub(super) kind: String,
    pub(super) state_key: Option<String>,
    pub(super) content: Object,
    pub(super) redacts: Option<String>,
    pub(super) ts: Option<u64>,
    pub(super) transaction: Option<(String, String, String)>,
}

impl Draft {
    pub(super) fn message(room_id: &str, sender: &str, kind: &str, content: Object) -> Self {
        Self {
            room_id: room_id.to_owned(),
            sender: sender.to_owned(),
            kind: kind.to_owned(),
            state_key: None,
            content,
            redacts: None,
            ts: None,
            transaction: None,
        }
    }

    pub(super) fn state(room_id: &str, sender: &str, kind: &str, state_key: &str, content: Object) -> Self {
        Self {
            state_key: Some(state_key.to_owned()),
            ..Self::message(room_id, sender, kind, content)
        }
    }
}

/// Which of the formats of the specification an event is shown in, and to whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Show<'a> {
    /// `None`: to an application service.
    pub(super) viewer: Option<&'a Requester>,
    /// With `room_id`, and the doubled fields of the oldest format.
    pub(super) classic: bool,
    /// With `room_id`.
    pub(super) room_id: bool,
    /// With aggregations and the viewer's membership.
    pub(super) bundle: bool,
    /// With the transaction ids of the viewer's device.
    pub(super) transactions: bool,
}

impl<'a> Show<'a> {
    /// As `messages`, `event` and the like show it.
    pub(super) fn classic(viewer: &'a Requester) -> Self {
        Self {
            viewer: Some(viewer),
            classic: true,
            room_id: true,
            bundle: true,
            transactions: true,
        }
    }

    /// As `state` and `members` show it.
    pub(super) fn state(viewer: &'a Requester) -> Self {
        Self {
            bundle: false,
            ..Self::classic(viewer)
        }
    }

    /// As `sync` shows it.
    pub(super) fn sync(viewer: &'a Requester) -> Self {
        Self {
            viewer: Some(viewer),
            classic: false,
            room_id: false,
            bundle: true,
            transactions: true,
        }
    }

    /// As an application service gets it.
    pub(super) fn push() -> Self {
        Self {
            viewer: None,
            classic: true,
            room_id: true,
            bundle: false,
            transactions: false,
        }
    }

    fn plain(self) -> Self {
        Self {
            bundle: false,
            ..self
        }
    }
}

impl Homeserver {
    /// Checks the rules of a room and of events in general, and accepts the event. A state event that changes
    /// nothing is answered with the one that is there.
    pub(super) fn accept(&mut self, draft: Draft) -> Answer<Arc<StoredEvent>> {
        check_shape(&draft)?;
        let room = self.room(&draft.room_id);
        let room = room.ok_or_else(|| Refusal::not_in_room(&draft.sender, &draft.room_id))?;
        if let Some(same) = unchanged_state(room, &draft) {
            return Ok(same);
        }
        check_size(&draft)?;
        room.check_allowed(&draft)?;
        self.check_canonical_alias(&draft)?;
        Ok(self.append(draft))
    }

    /// Takes an event that was checked into its room.
    pub(super) fn append(&mut self, draft: Draft) -> Arc<StoredEvent> {
        let event_id = self.ids.event_id();
        self.append_as(event_id, draft)
    }

    pub(super) fn append_as(&mut self, event_id: String, draft: Draft) -> Arc<StoredEvent> {
        let position = self.touch();
        let now = self.now_ms();
        let invite_room_state = self.stripped_state_for(&draft);
        let Some(room) = self.rooms.get_mut(&draft.room_id) else {
            unreachable!("events are accepted into rooms that exist")
        };
        let replaces = match &draft.state_key {
            Some(state_key) => room.state_event(&draft.kind, state_key).cloned(),
            None => None,
        };
        let event = Arc::new(StoredEvent {
            position,
            event_id,
            room_id: draft.room_id,
            sender: draft.sender,
            kind: draft.kind,
            state_key: draft.state_key,
            ts: draft.ts.unwrap_or(now),
            content: draft.content,
            redacts: draft.redacts,
            replaces,
            transaction: draft.transaction,
            invite_room_state,
        });
        let redacts_nothing = event.kind == "m.room.redaction"
            && event
                .redacts
                .as_ref()
                .is_none_or(|target| !room.by_id.contains_key(target));
        if redacts_nothing {
            // It is accepted, and shown to nobody.
            return event;
        }
        room.timeline.push(Arc::clone(&event));
        room.by_id.insert(event.event_id.clone(), Arc::clone(&event));
        if let Some(state_key) = &event.state_key {
            let key = (event.kind.clone(), state_key.clone());
            room.state.entry(key).or_default().push(Arc::clone(&event));
            if event.kind == "m.room.member" && event.membership() != Some("leave") {
                room.forgotten.remove(state_key);
            }
        }
        if let Some(parent) = relations::parent_of(&event.content) {
            room.relations
                .entry(parent.to_owned())
                .or_default()
                .push(Arc::clone(&event));
        }
        room.apply_redaction(&event);
        if event.state_key.is_none() {
            // Who sends has stopped typing.
            let was_typing = room.typing.remove(&event.sender).is_some();
            if was_typing {
                room.typing_position = position;
            }
        }
        self.queue_event(&event);
        event
    }

    /// An event as somebody gets to see it.
    pub(super) fn show(&self, room: &Room, event: &StoredEvent, show: Show<'_>) -> Object {
        let mut unsigned = Object::new();
        unsigned.insert("age".to_owned(), json!(self.now_ms().saturating_sub(event.ts)));
        self.add_unsigned(room, event, show, &mut unsigned);
        let mut shown = Object::new();
        let redacted = room.redactions.contains_key(&event.event_id);
        let content = if redacted {
            room.pruned(event)
        } else {
            event.content.clone()
        };
        shown.insert("content".to_owned(), Value::Object(content));
        shown.insert("event_id".to_owned(), json!(event.event_id));
        shown.insert("origin_server_ts".to_owned(), json!(event.ts));
        shown.insert("sender".to_owned(), json!(event.sender));
        shown.insert("type".to_owned(), json!(event.kind));
        if let Some(state_key) = &event.state_key {
            shown.insert("state_key".to_owned(), json!(state_key));
        }
        if let (Some(redacts), false) = (&event.redacts, redacted) {
            shown.insert("redacts".to_owned(), json!(redacts));
            if let Some(Value::Object(content)) = shown.get_mut("content") {
                content.insert("redacts".to_owned(), json!(redacts));
            }
        }
        // The create event of version 12 does not hold the id that is made of it; servers always add it.
        let always = room.version.ids_are_hashes() && event.kind == "m.room.create";
        if show.room_id || always {
            shown.insert("room_id".to_owned(), json!(event.room_id));
        }
        if show.classic {
            shown.insert("user_id".to_owned(), json!(event.sender));
            for key in [
                "age",
                "redacted_because",
                "replaces_state",
                "prev_content",
                "invite_room_state",
            ] {
                if let Some(value) = unsigned.get(key) {
                    shown.insert(key.to_owned(), value.clone());
                }
            }
        }
        shown.insert("unsigned".to_owned(), Value::Object(unsigned));
        shown
    }

    fn add_unsigned(&self, room: &Room, event: &StoredEvent, show: Show<'_>, unsigned: &mut Object) {
        if let Some(previous) = &event.replaces {
            let redacted = room.redactions.contains_key(&previous.event_id);
            let content = if redacted {
                room.pruned(previous)
            } else {
                previous.content.clone()
            };
            unsigned.insert("prev_content".to_owned(), Value::Object(content));
            unsigned.insert("prev_sender".to_owned(), json!(previous.sender));
            unsigned.insert("replaces_state".to_owned(), json!(previous.event_id));
        }
        if let Some(redaction) = room.redactions.get(&event.event_id) {
            let because = self.show(room, redaction, show.plain());
            unsigned.insert("redacted_because".to_owned(), Value::Object(because));
            unsigned.insert("redacted_by".to_owned(), json!(redaction.event_id));
        }
        let Some(viewer) = show.viewer else {
            if let Some(state) = &event.invite_room_state {
                unsigned.insert("invite_room_state".to_owned(), json!(state));
            }
            return;
        };
        if let Some((user_id, device_id, transaction_id)) = &event.transaction {
            let same_device = viewer.device_id.as_deref().unwrap_or_default() == device_id;
            if show.transactions && *user_id == viewer.user_id && same_device {
                unsigned.insert("transaction_id".to_owned(), json!(transaction_id));
            }
        }
        if show.bundle {
            let membership = room
                .membership_at(&viewer.user_id, event.position)
                .unwrap_or("leave");
            unsigned.insert("membership".to_owned(), json!(membership));
            let aggregations = self.aggregations(room, event, viewer, show);
            if !aggregations.is_empty() {
                unsigned.insert("m.relations".to_owned(), Value::Object(aggregations));
            }
        }
    }

    /// What someone who is not in a room may know of it.
    pub(super) fn stripped_state(room: &Room, about: Option<&str>) -> Vec<Value> {
        let kinds = [
            "m.room.create",
            "m.room.join_rules",
            "m.room.name",
            "m.room.topic",
            "m.room.avatar",
            "m.room.canonical_alias",
            "m.room.encryption",
        ];
        let general = kinds.iter().filter_map(|kind| room.state_event(kind, ""));
        let member = about.and_then(|user_id| room.state_event("m.room.member", user_id));
        let show = |event: &Arc<StoredEvent>| {
            let mut stripped = strip(event);
            if room.redactions.contains_key(&event.event_id) {
                stripped["content"] = Value::Object(room.pruned(event));
            }
            stripped
        };
        general.chain(member).map(show).collect()
    }

    fn stripped_state_for(&self, draft: &Draft) -> Option<Vec<Value>> {
        let invites = draft.kind == "m.room.member"
            && draft.content.get("membership").and_then(Value::as_str) == Some("invite");
        let room = self.room(&draft.room_id).filter(|_| invites)?;
        Some(Self::stripped_state(room, Some(&draft.sender)))
    }
}

impl Room {
    /// Whether the rules of the room let the sender send this.
    fn check_allowed(&self, draft: &Draft) -> Answer<()> {
        if draft.kind == "m.room.member" {
            return self.check_membership(draft);
        }
        if !self.is_joined(&draft.sender) {
            return Err(Refusal::not_in_room(&draft.sender, &self.room_id));
        }
        let needed = self.power_to_send(&draft.kind, draft.state_key.is_some());
        let power = self.power_of(&draft.sender);
        if power < needed {
            return Err(Refusal::forbidden(format!(
                "You don't have permission to post that to the room. user_level ({power}) < send_level ({needed})"
            )));
        }
        if draft
            .state_key
            .as_deref()
            .is_some_and(|key| key.starts_with('@') && key != draft.sender)
        {
            return Err(Refusal::forbidden("You are not allowed to set others state"));
        }
        match draft.kind.as_str() {
            "m.room.power_levels" => self.check_power_levels(&draft.sender, &draft.content),
            "m.room.redaction" => self.check_redaction(draft),
            "m.room.create" if draft.state_key.is_some() => Err(Refusal::internal()),
            _ => Ok(()),
        }
    }

    fn check_redaction(&self, draft: &Draft) -> Answer<()> {
        let target = draft.redacts.as_deref().and_then(|id| self.by_id.get(id));
        let may = self.power_of(&draft.sender) >= self.power_to("redact", 50);
        match target {
            Some(target) if !may && target.sender != draft.sender => {
                Err(Refusal::forbidden("You don't have permission to redact events"))
            }
            _ => Ok(()),
        }
    }

    fn apply_redaction(&mut self, event: &Arc<StoredEvent>) {
        let target = event.redacts.as_ref().and_then(|id| self.by_id.get(id));
        if let Some(target) = target
            && target.kind != "m.room.create"
        {
            let id = target.event_id.clone();
            self.redactions.entry(id).or_insert_with(|| Arc::clone(event));
        }
    }

    /// What is left of a redacted event's content.
    fn pruned(&self, event: &StoredEvent) -> Object {
        let modern = self.version.redacts_in_content();
        let keep: &[&str] = match event.kind.as_str() {
            "m.room.create" if modern => return event.content.clone(),
            "m.room.create" => &["creator"],
            "m.room.member" => &["membership", "join_authorised_via_users_server"],
            "m.room.join_rules" => &["join_rule", "allow"],
            "m.room.history_visibility" => &["history_visibility"],
            "m.room.redaction" if modern => &["redacts"],
            "m.room.power_levels" => &[
                "ban",
                "events",
                "events_default",
                "invite",
                "kick",
                "redact",
                "state_default",
                "users",
                "users_default",
            ],
            _ => &[],
        };
        let kept = event
            .content
            .iter()
            .filter(|(key, _)| keep.contains(&key.as_str()) && (modern || key.as_str() != "invite"));
        kept.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// A state event without id and time.
pub(super) fn strip(event: &StoredEvent) -> Value {
    json!({
        "type": event.kind,
        "state_key": event.state_key,
        "content": event.content,
        "sender": event.sender,
    })
}

/// The present state event if the draft would change nothing.
fn unchanged_state(room: &Room, draft: &Draft) -> Option<Arc<StoredEvent>> {
    let present = room.state_event(&draft.kind, draft.state_key.as_deref()?)?;
    let same = present.sender == draft.sender && present.content == draft.content;
    same.then(|| Arc::clone(present))
}
