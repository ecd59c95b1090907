//! Summaries of rooms, and the hierarchy of spaces.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    homeserver::Homeserver,
    refusal::{Answer, Object, Refusal},
    requester::Requester,
    rooms::{Room, StoredEvent},
};

/// Synapse's own limits.
const MOST_ROOMS: u64 = 50;
const MOST_DEPTH: u64 = 16;

/// Which part of a hierarchy is wanted.
#[derive(Clone, Debug, Default)]
pub struct HierarchyQuery {
    /// The token of an earlier page.
    pub from: Option<String>,
    /// The most rooms on the page.
    pub limit: Option<u64>,
    /// How deep.
    pub max_depth: Option<u64>,
    /// Only suggested children.
    pub suggested_only: bool,
}

impl Homeserver {
    /// `GET /rooms/{roomId}/hierarchy`
    pub fn hierarchy(&mut self, who: &Requester, room_id: &str, query: &HierarchyQuery) -> Answer<Value> {
        self.limit_hierarchy(who)?;
        let root = self.room(room_id).filter(|room| self.may_see_summary(who, room));
        if root.is_none() {
            let words = format!(
                "User {} not in room {room_id}, and room previews are disabled",
                who.user_id
            );
            return Err(Refusal::forbidden(words));
        }
        let all = self.walk(who, room_id, query);
        let skip = match query.from.as_deref() {
            None => 0,
            Some(token) => {
                let skip = token
                    .strip_prefix("hier")
                    .and_then(|skip| skip.parse::<usize>().ok());
                skip.ok_or_else(|| Refusal::invalid_param("Unknown pagination token"))?
            }
        };
        let limit = usize::try_from(query.limit.unwrap_or(MOST_ROOMS).min(MOST_ROOMS)).unwrap_or(50);
        let more = all.len() > skip + limit;
        let rooms: Vec<Object> = all.into_iter().skip(skip).take(limit).collect();
        let mut answer = json!({ "rooms": rooms });
        if more {
            answer["next_batch"] = json!(format!("hier{}", skip + limit));
        }
        Ok(answer)
    }

    /// Depth first, each room once.
    fn walk(&self, who: &Requester, root: &str, query: &HierarchyQuery) -> Vec<Object> {
        let most_depth = query.max_depth.unwrap_or(MOST_DEPTH).min(MOST_DEPTH);
        let mut seen = BTreeSet::new();
        let mut stack = vec![(root.to_owned(), 0)];
        let mut rooms = Vec::new();
        while let Some((room_id, depth)) = stack.pop() {
            let Some(room) = self.room(&room_id).filter(|room| self.may_see_summary(who, room)) else {
                continue;
            };
            if !seen.insert(room_id.clone()) {
                continue;
            }
            let is_space = room.room_type() == Some("m.space");
            let children = if is_space {
                children_of(room, query.suggested_only)
            } else {
                Vec::new()
            };
            let mut summary = self.summary(room);
            let state: Vec<Value> = children.iter().map(|event| child_state(event)).collect();
            summary.insert("children_state".to_owned(), Value::Array(state));
            rooms.push(summary);
            if depth < most_depth {
                let next = children.iter().rev().filter_map(|event| event.state_key.clone());
                stack.extend(next.map(|child| (child, depth + 1)));
            }
        }
        rooms
    }

    /// Members, invited users, and everyone if the room is open to them.
    fn may_see_summary(&self, who: &Requester, room: &Room) -> bool {
        if !room.is_alive() {
            return false;
        }
        let member = matches!(room.membership(&who.user_id), Some("join" | "invite"));
        let open =
            matches!(room.join_rule(), "public" | "knock" | "knock_restricted") || room.is_world_readable();
        member || open || self.is_let_in(who, room)
    }

    fn is_let_in(&self, who: &Requester, room: &Room) -> bool {
        let allow = || {
            let rules = room
                .state_content("m.room.join_rules", "")?
                .get("allow")?
                .as_array()?;
            let inside = |rule: &Value| {
                let from = rule.get("room_id").and_then(Value::as_str);
                from.and_then(|from| self.room(from))
                    .is_some_and(|from| from.is_joined(&who.user_id))
            };
            Some(rules.iter().any(inside))
        };
        matches!(room.join_rule(), "restricted" | "knock_restricted") && allow().unwrap_or_default()
    }

    /// What a directory tells of a room.
    pub(super) fn summary(&self, room: &Room) -> Object {
        let guests = room.state_text("m.room.guest_access", "guest_access") == Some("can_join");
        let mut summary = Object::new();
        summary.insert("room_id".to_owned(), json!(room.room_id));
        summary.insert("room_version".to_owned(), json!(room.version.as_string()));
        summary.insert("num_joined_members".to_owned(), json!(room.joined_count()));
        summary.insert("world_readable".to_owned(), json!(room.is_world_readable()));
        summary.insert("guest_can_join".to_owned(), json!(guests));
        summary.insert("join_rule".to_owned(), json!(room.join_rule()));
        let optional = [
            ("name", room.state_text("m.room.name", "name")),
            ("topic", room.state_text("m.room.topic", "topic")),
            (
                "canonical_alias",
                room.state_text("m.room.canonical_alias", "alias"),
            ),
            ("avatar_url", room.state_text("m.room.avatar", "url")),
            ("room_type", room.room_type()),
            ("encryption", room.state_text("m.room.encryption", "algorithm")),
        ];
        for (key, value) in optional {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                summary.insert(key.to_owned(), json!(value));
            }
        }
        let allow = room
            .state_content("m.room.join_rules", "")
            .and_then(|content| content.get("allow"));
        if let (Some(Value::Array(rules)), true) = (allow, room.join_rule().contains("restricted")) {
            let rooms: Vec<&Value> = rules.iter().filter_map(|rule| rule.get("room_id")).collect();
            summary.insert("allowed_room_ids".to_owned(), json!(rooms));
        }
        summary
    }

    /// `GET /room_summary/{roomIdOrAlias}`
    pub fn room_summary(&self, who: &Requester, room: &str) -> Answer<Object> {
        let room_id = if room.starts_with('#') {
            self.resolve_alias(room)?
        } else {
            room.to_owned()
        };
        let room = self.room(&room_id).filter(|room| self.may_see_summary(who, room));
        let room = room.ok_or_else(|| Refusal::not_found("Room not found or is not accessible"))?;
        let mut summary = self.summary(room);
        summary.insert(
            "membership".to_owned(),
            json!(room.membership(&who.user_id).unwrap_or("leave")),
        );
        Ok(summary)
    }
}

/// The children that a space names, in the order of the specification.
pub(super) fn children_of(space: &Room, suggested_only: bool) -> Vec<&StoredEvent> {
    let counts = |event: &&StoredEvent| {
        let via = event.content.get("via").and_then(Value::as_array);
        let suggested = event
            .content
            .get("suggested")
            .and_then(Value::as_bool)
            .unwrap_or_default();
        event.kind == "m.space.child"
            && via.is_some_and(|via| !via.is_empty() && via.iter().all(Value::is_string))
            && !space.redactions.contains_key(&event.event_id)
            && (suggested || !suggested_only)
    };
    let mut children: Vec<&StoredEvent> = space
        .current_state()
        .map(|event| &**event)
        .filter(counts)
        .collect();
    children.sort_by_key(|event| {
        let order = event.content.get("order").and_then(Value::as_str);
        let order =
            order.filter(|order| order.len() <= 50 && order.chars().all(|c| (' '..='~').contains(&c)));
        (
            order.is_none(),
            order.unwrap_or_default().to_owned(),
            event.ts,
            event.state_key.clone(),
        )
    });
    children
}

fn child_state(event: &StoredEvent) -> Value {
    json!({
        "type": event.kind,
        "state_key": event.state_key,
        "content": event.content,
        "sender": event.sender,
        "origin_server_ts": event.ts,
    })
}
