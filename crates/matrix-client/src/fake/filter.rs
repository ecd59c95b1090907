//! Filters of events and rooms.

use serde_json::Value;

use super::{refusal::Object, rooms::StoredEvent};

/// A `RoomEventFilter`, as far as it matters here.
#[derive(Clone, Debug, Default)]
pub(super) struct EventFilter {
    types: Option<Vec<String>>,
    not_types: Vec<String>,
    senders: Option<Vec<String>>,
    not_senders: Vec<String>,
    rooms: Option<Vec<String>>,
    not_rooms: Vec<String>,
    contains_url: Option<bool>,
    pub(super) limit: Option<usize>,
    pub(super) lazy_load_members: bool,
}

impl EventFilter {
    pub(super) fn new(definition: &Object) -> Self {
        let list = |key: &str| {
            let values = definition.get(key)?.as_array()?;
            Some(
                values
                    .iter()
                    .filter_map(|value| value.as_str().map(ToOwned::to_owned))
                    .collect::<Vec<_>>(),
            )
        };
        Self {
            types: list("types"),
            not_types: list("not_types").unwrap_or_default(),
            senders: list("senders"),
            not_senders: list("not_senders").unwrap_or_default(),
            rooms: list("rooms"),
            not_rooms: list("not_rooms").unwrap_or_default(),
            contains_url: definition.get("contains_url").and_then(Value::as_bool),
            limit: definition
                .get("limit")
                .and_then(Value::as_u64)
                .and_then(|limit| usize::try_from(limit).ok()),
            lazy_load_members: definition
                .get("lazy_load_members")
                .and_then(Value::as_bool)
                .unwrap_or_default(),
        }
    }

    /// The part of a larger filter.
    pub(super) fn part(definition: &Object, path: &[&str]) -> Self {
        let mut part = Some(definition);
        for key in path {
            part = part.and_then(|part| part.get(*key)).and_then(Value::as_object);
        }
        part.map(Self::new).unwrap_or_default()
    }

    pub(super) fn lets_through(&self, event: &StoredEvent) -> bool {
        let has_url = event.content.get("url").is_some_and(Value::is_string);
        self.lets_type_through(&event.kind)
            && self
                .senders
                .as_ref()
                .is_none_or(|senders| senders.contains(&event.sender))
            && !self.not_senders.contains(&event.sender)
            && self.lets_room_through(&event.room_id)
            && self.contains_url.is_none_or(|wanted| wanted == has_url)
    }

    pub(super) fn lets_type_through(&self, kind: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches_type(pattern, kind));
        self.types.as_deref().is_none_or(any) && !any(&self.not_types)
    }

    pub(super) fn lets_room_through(&self, room_id: &str) -> bool {
        self.rooms
            .as_ref()
            .is_none_or(|rooms| rooms.iter().any(|room| room == room_id))
            && !self.not_rooms.iter().any(|room| room == room_id)
    }
}

/// `*` stands for any text.
fn matches_type(pattern: &str, kind: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == kind;
    };
    let Some(rest) = kind.strip_prefix(head) else {
        return false;
    };
    if tail.is_empty() {
        return true;
    }
    (0..=rest.len()).any(|skip| rest.get(skip..).is_some_and(|rest| matches_type(tail, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_in_a_type_stands_for_any_text() {
        for (pattern, kind, expected) in [
            ("m.room.*", "m.room.message", true),
            ("m.room.*", "m.reaction", false),
            ("*", "anything", true),
            ("m.*.message", "m.room.message", true),
            ("m.*.message", "m.room.messages", false),
            ("m.room.message", "m.room.message", true),
        ] {
            assert_eq!(matches_type(pattern, kind), expected, "{pattern} {kind}");
        }
    }
}
