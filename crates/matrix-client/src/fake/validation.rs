//! What an event must look like, in whatever room.

use serde_json::Value;

use super::{
    events::Draft,
    power::quoted,
    refusal::{Answer, Object, Refusal},
};

/// The largest event in bytes, with everything that servers add to it.
const MAX_EVENT_BYTES: usize = 65_536;
/// What servers add: hashes, signatures, and references to other events.
const OVERHEAD_BYTES: usize = 560;

pub(super) fn check_shape(draft: &Draft) -> Answer<()> {
    let strings: &[&str] = match draft.kind.as_str() {
        "m.room.message" => &["body", "msgtype"],
        "m.room.topic" => &["topic"],
        "m.room.name" => &["name"],
        _ => &[],
    };
    for key in strings {
        match draft.content.get(*key) {
            Some(Value::String(_)) => {}
            Some(_) => return Err(Refusal::bad(format!("'{key}' not a string type"))),
            None => return Err(Refusal::bad(format!("'{key}' not in content"))),
        }
    }
    let state_only = matches!(
        draft.kind.as_str(),
        "m.room.topic" | "m.room.name" | "m.room.member" | "m.room.tombstone" | "m.room.create"
    );
    let crashes = matches!(draft.kind.as_str(), "m.room.create" | "m.room.power_levels");
    if crashes && draft.state_key.is_none() {
        return Err(Refusal::internal());
    }
    if state_only && draft.state_key.is_none() {
        return Err(Refusal::bad(format!("'{}' must be state events", draft.kind)));
    }
    if draft.kind == "m.room.tombstone" {
        match draft.content.get("replacement_room").and_then(Value::as_str) {
            None => return Err(Refusal::bad("Content has no replacement_room key")),
            Some(room_id) if room_id == draft.room_id => {
                return Err(Refusal::bad("Tombstone cannot reference the room it was sent in"));
            }
            Some(_) => {}
        }
    }
    if let Some(mentions) = draft.content.get("m.mentions") {
        check_mentions(mentions)?;
    }
    check_numbers(&draft.content)
}

fn check_mentions(mentions: &Value) -> Answer<()> {
    let refuse = |key: &str, value: &Value, kind: &str| {
        let name = if key.is_empty() {
            String::new()
        } else {
            format!("\"{key}\": ")
        };
        Err(Refusal::bad_json(format!(
            "{name}{} is not of type '{kind}'",
            quoted(value)
        )))
    };
    let Some(fields) = mentions.as_object() else {
        return refuse("", mentions, "object");
    };
    match fields.get("user_ids") {
        // A text is a sequence too, for Python.
        None | Some(Value::String(_)) => {}
        Some(Value::Array(users)) if users.iter().all(Value::is_string) => {}
        Some(Value::Array(_)) => return Err(Refusal::internal()),
        Some(other) => return refuse("user_ids", other, "array"),
    }
    match fields.get("room") {
        Some(room) if !room.is_boolean() => refuse("room", room, "boolean"),
        _ => Ok(()),
    }
}

/// Canonical JSON knows integers of 53 bits and no other numbers.
pub(super) fn check_numbers(content: &Object) -> Answer<()> {
    const LIMIT: i64 = (1 << 53) - 1;
    fn check(value: &Value) -> Answer<()> {
        match value {
            Value::Number(number) => match number.as_i64() {
                Some(number) if (-LIMIT..=LIMIT).contains(&number) => Ok(()),
                None if number.is_f64() => Err(Refusal::bad_json("Bad JSON value: float")),
                _ => Err(Refusal::bad_json("JSON integer out of range")),
            },
            Value::Array(values) => values.iter().try_for_each(check),
            Value::Object(fields) => fields.values().try_for_each(check),
            _ => Ok(()),
        }
    }
    content.values().try_for_each(check)
}

pub(super) fn check_size(draft: &Draft) -> Answer<()> {
    let too_large = |words: &str| Err(Refusal::new(413, "M_TOO_LARGE", words));
    if draft.sender.len() > 255 {
        return too_large("'user_id' too large");
    }
    if draft.kind.len() > 255 {
        return too_large("'type' too large");
    }
    if draft.state_key.as_ref().is_some_and(|key| key.len() > 255) {
        return too_large("'state_key' too large");
    }
    let content = serde_json::to_string(&draft.content).map_or(usize::MAX / 2, |text| text.len());
    let names = draft.sender.len() + draft.room_id.len() + draft.kind.len();
    let state_key = draft.state_key.as_ref().map_or(0, |key| key.len() + 15);
    if content + names + state_key + OVERHEAD_BYTES > MAX_EVENT_BYTES {
        return too_large("event too large");
    }
    Ok(())
}
