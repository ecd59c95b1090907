//! Edits, reactions, threads and replies.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    accounts::text,
    events::Show,
    homeserver::Homeserver,
    refusal::{Answer, Object, Refusal},
    requester::Requester,
    rooms::{Room, StoredEvent},
};

/// The event that a content relates to. Replies are no relation in this sense.
pub(super) fn parent_of(content: &Object) -> Option<&str> {
    relation(content).map(|(_, parent)| parent)
}

/// The type of the relation and its target.
pub(super) fn relation(content: &Object) -> Option<(&str, &str)> {
    let relates_to = content.get("m.relates_to")?.as_object()?;
    Some((text(relates_to, "rel_type")?, text(relates_to, "event_id")?))
}

fn annotation_key(content: &Object) -> Option<&str> {
    content.get("m.relates_to")?.get("key")?.as_str()
}

impl Room {
    /// Whether an event may relate to another in this way.
    pub(super) fn check_relation(&self, sender: &str, kind: &str, content: &Object) -> Answer<()> {
        let Some((rel_type, parent_id)) = relation(content) else {
            return Ok(());
        };
        let parent = self.by_id.get(parent_id);
        if parent.is_none() && !self.relations.contains_key(parent_id) {
            return Err(Refusal::bad("Can't send relation to unknown event"));
        }
        match rel_type {
            "m.annotation" => {
                let key = annotation_key(content).ok_or_else(|| Refusal::bad("Missing aggregation key"))?;
                if key.chars().count() > 500 {
                    return Err(Refusal::bad("Aggregation key is too long"));
                }
                let same = |event: &Arc<StoredEvent>| {
                    event.sender == sender
                        && event.kind == kind
                        && annotation_key(&event.content) == Some(key)
                        && !self.redactions.contains_key(&event.event_id)
                };
                if self.related(parent_id, "m.annotation").any(same) {
                    let words = "Can't send same reaction twice";
                    return Err(Refusal::new(400, "M_DUPLICATE_ANNOTATION", words));
                }
            }
            "m.thread" if parent.is_some_and(|parent| relation(&parent.content).is_some()) => {
                return Err(Refusal::bad("Cannot start threads from an event with a relation"));
            }
            _ => {}
        }
        Ok(())
    }

    /// What relates to an event in this way, oldest first.
    fn related<'a>(&'a self, parent: &str, rel_type: &'a str) -> impl Iterator<Item = &'a Arc<StoredEvent>> {
        let all = self.relations.get(parent).map(Vec::as_slice).unwrap_or_default();
        all.iter()
            .filter(move |event| relation(&event.content).is_some_and(|(kind, _)| kind == rel_type))
    }

    fn living<'a>(&'a self, parent: &str, rel_type: &'a str) -> impl Iterator<Item = &'a Arc<StoredEvent>> {
        self.related(parent, rel_type)
            .filter(|event| !self.redactions.contains_key(&event.event_id))
    }

    /// The newest edit that counts: by the same sender, of the same type, of an event that is no edit itself.
    fn latest_edit(&self, event: &StoredEvent) -> Option<&Arc<StoredEvent>> {
        let is_edit = relation(&event.content).is_some_and(|(kind, _)| kind == "m.replace");
        if event.state_key.is_some() || is_edit {
            return None;
        }
        let counts = |edit: &&Arc<StoredEvent>| {
            edit.sender == event.sender
                && edit.kind == event.kind
                && edit.content.contains_key("m.new_content")
        };
        self.living(&event.event_id, "m.replace").filter(counts).last()
    }
}

impl Homeserver {
    /// What stands under `unsigned.m.relations`.
    pub(super) fn aggregations(
        &self,
        room: &Room,
        event: &StoredEvent,
        viewer: &Requester,
        show: Show<'_>,
    ) -> Object {
        let mut bundle = Object::new();
        if event.state_key.is_some() || room.redactions.contains_key(&event.event_id) {
            return bundle;
        }
        let show = Show {
            bundle: false,
            classic: true,
            room_id: true,
            ..show
        };
        if let Some(edit) = room.latest_edit(event) {
            bundle.insert("m.replace".to_owned(), Value::Object(self.show(room, edit, show)));
        }
        let replies: Vec<_> = room.living(&event.event_id, "m.thread").collect();
        if let Some(latest) = replies.last() {
            let participated =
                event.sender == viewer.user_id || replies.iter().any(|reply| reply.sender == viewer.user_id);
            let mut shown = self.show(room, latest, show);
            if let (Some(edit), Some(Value::Object(unsigned))) =
                (room.latest_edit(latest), shown.get_mut("unsigned"))
            {
                let edit = self.show(room, edit, show);
                unsigned.insert("m.relations".to_owned(), json!({ "m.replace": edit }));
            }
            bundle.insert(
                "m.thread".to_owned(),
                json!({
                    "count": replies.len(),
                    "current_user_participated": participated,
                    "latest_event": shown,
                }),
            );
        }
        let references: Vec<Value> = room
            .living(&event.event_id, "m.reference")
            .map(|reference| json!({ "event_id": reference.event_id }))
            .collect();
        if !references.is_empty() {
            bundle.insert("m.reference".to_owned(), json!({ "chunk": references }));
        }
        bundle
    }

    /// `GET /rooms/{roomId}/relations/{eventId}[/{relType}[/{eventType}]]`
    pub fn relations(
        &self,
        who: &Requester,
        room_id: &str,
        event_id: &str,
        rel_type: Option<&str>,
        event_type: Option<&str>,
        page: &Page<'_>,
    ) -> Answer<Value> {
        let (room, view) = self.readable_room(who, room_id)?;
        let event = room
            .by_id
            .get(event_id)
            .filter(|event| room.shows(&who.user_id, event));
        event.ok_or_else(|| Refusal::new(404, "M_UNKNOWN", "Unknown parent event."))?;
        let all = room
            .relations
            .get(event_id)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let wanted = |event: &&Arc<StoredEvent>| {
            event.position <= view.until()
                && !room.redactions.contains_key(&event.event_id)
                && room.shows(&who.user_id, event)
                && rel_type
                    .is_none_or(|wanted| relation(&event.content).is_some_and(|(kind, _)| kind == wanted))
                && event_type.is_none_or(|wanted| event.kind == wanted)
        };
        let events: Vec<_> = all.iter().filter(wanted).cloned().collect();
        let (events, next) = page.take(events)?;
        let shown: Vec<Object> = events
            .iter()
            .map(|event| self.show(room, event, Show::classic(who)))
            .collect();
        let mut answer = json!({ "chunk": shown });
        if let Some(next) = next {
            answer["next_batch"] = json!(next);
        }
        Ok(answer)
    }

    /// `GET /rooms/{roomId}/threads`
    pub fn threads(&self, who: &Requester, room_id: &str, page: &Page<'_>) -> Answer<Value> {
        let (room, view) = self.readable_room(who, room_id)?;
        let mut roots: Vec<(u64, Arc<StoredEvent>)> = Vec::new();
        for parent in room.relations.keys() {
            let latest = room.living(parent, "m.thread").last().map(|event| event.position);
            let root = room
                .by_id
                .get(parent)
                .filter(|event| event.position <= view.until() && room.shows(&who.user_id, event));
            if let (Some(latest), Some(root)) = (latest, root) {
                roots.push((latest, Arc::clone(root)));
            }
        }
        roots.sort_by_key(|(latest, _)| *latest);
        let (events, next) = page.take(roots.into_iter().map(|(_, root)| root).collect())?;
        let show = Show {
            transactions: false,
            ..Show::classic(who)
        };
        let shown: Vec<Object> = events.iter().map(|event| self.show(room, event, show)).collect();
        let mut answer = json!({ "chunk": shown });
        if let Some(next) = next {
            answer["next_batch"] = json!(next);
        }
        Ok(answer)
    }
}

/// Which part of a list is wanted, newest first unless told otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page<'a> {
    /// The token of an earlier page.
    pub from: Option<&'a str>,
    /// The most entries.
    pub limit: Option<u64>,
    /// Oldest first.
    pub forward: bool,
}

impl Page<'_> {
    /// Takes this page of events that are sorted oldest first, and the token of the next.
    fn take(&self, mut events: Vec<Arc<StoredEvent>>) -> Answer<(Vec<Arc<StoredEvent>>, Option<String>)> {
        if !self.forward {
            events.reverse();
        }
        let skip = match self.from {
            None => 0,
            Some(token) => {
                let skip = token.strip_prefix('p').and_then(|skip| skip.parse().ok());
                skip.ok_or_else(|| Refusal::bad("Invalid stream token"))?
            }
        };
        let limit = usize::try_from(self.limit.unwrap_or(5).min(1000)).unwrap_or(5);
        let next = (events.len() > skip + limit).then(|| format!("p{}", skip + limit));
        Ok((events.into_iter().skip(skip).take(limit).collect(), next))
    }
}
