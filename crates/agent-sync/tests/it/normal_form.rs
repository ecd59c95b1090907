//! Homeserver and store written down so that two worlds that came to the same end read the same: without ids that a
//! server gives, and without times.

use std::collections::BTreeMap;

use agent_sync::{AGENT_MARKER, SPACE_MARKER};
use matrix_client::fake::RoomView;
use ruma::OwnedRoomId;
use serde_json::{Map, Value, json};
use store::BindingStore;

use crate::world::World;

/// Everything that people, agents and the next run can see.
pub async fn normal_form(world: &World) -> Value {
    let bindings = world.store.list_bindings().await.unwrap();
    let space = world.store.get_space().await.unwrap();
    let mut names: BTreeMap<OwnedRoomId, String> = BTreeMap::new();
    for binding in &bindings {
        if let Some(room) = &binding.room_id {
            names.insert(room.clone(), format!("<room of {}>", binding.agent_id));
        }
    }
    if let Some(space) = &space {
        names.insert(space.room_id.clone(), "<space>".to_owned());
    }
    let mut rooms = Map::new();
    let mut strangers = Vec::new();
    for room in world.matrix.rooms() {
        let shown = show_room(world, &room);
        match names.get(&room.room_id) {
            Some(name) => {
                rooms.insert(name.clone(), shown);
            }
            None => strangers.push(shown),
        }
    }
    strangers.sort_by_key(Value::to_string);
    let users: BTreeMap<String, Value> = world
        .matrix
        .users()
        .into_iter()
        .map(|user| {
            let shown = json!({ "name": user.display_name, "avatar": user.avatar_url });
            (user.user_id.to_string(), shown)
        })
        .collect();
    let progress = world.store.get_progress().await.unwrap();
    let form = json!({
        "users": users,
        "rooms": rooms,
        "strangers": strangers,
        "aliases": world.matrix.aliases(),
        "bindings": bindings,
        "space": space,
        "listing": progress.listing.map(|mark| mark.count),
        "checked": progress.checked_at.is_some(),
    });
    let mut text = form.to_string();
    for (room, name) in &names {
        text = text.replace(room.as_str(), name);
    }
    // Rooms that nobody names any more, such as those left behind by an upgrade.
    for room in world.matrix.rooms() {
        text = text.replace(room.room_id.as_str(), "<stranger>");
    }
    for (id, media) in world.matrix.media() {
        let size = media.bytes.map_or(0, |bytes| bytes.len());
        text = text.replace(&format!("mxc://matrix.test/{id}"), &format!("<{size} bytes>"));
    }
    let mut form: Value = serde_json::from_str(&text).unwrap();
    forget_times(&mut form);
    form
}

fn show_room(world: &World, room: &RoomView) -> Value {
    let children: BTreeMap<&str, &Value> = room
        .state
        .iter()
        .filter(|((kind, _), content)| kind == "m.space.child" && content.get("via").is_some())
        .map(|((_, key), content)| (key.as_str(), content))
        .collect();
    let members: BTreeMap<&str, &str> = room
        .members
        .iter()
        .map(|(user, membership)| (user.as_str(), membership.as_str()))
        .collect();
    let messages: Vec<Value> = world
        .matrix
        .messages(&room.room_id)
        .iter()
        .map(|message| json!([message.sender, message.content["body"]]))
        .collect();
    json!({
        "version": room.version,
        "type": room.room_type,
        "creator": room.creator,
        "name": room.name,
        "topic": room.topic,
        "avatar": room.state("m.room.avatar", ""),
        "alias": room.canonical_alias,
        "aliases": room.aliases,
        "join_rule": room.join_rule,
        // Without it they are kept out as well.
        "guests": room.state("m.room.guest_access", "").filter(|rule| rule["guest_access"] != "forbidden"),
        "members": members,
        "parents": room.parents,
        "children": children,
        "replacement": room.replacement,
        "agent": room.state(AGENT_MARKER, ""),
        "marked as space": room.state(SPACE_MARKER, ""),
        "messages": messages,
    })
}

fn forget_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for time in ["created_at", "updated_at", "since"] {
                fields.remove(time);
            }
            fields.values_mut().for_each(forget_times);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_times),
        _ => {}
    }
}

/// The places in which two worlds differ, one a line.
pub fn differences(one: &Value, other: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", one, other, &mut found);
    found
}

fn compare(path: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let (a, b) = (
                    a.get(key).unwrap_or(&Value::Null),
                    b.get(key).unwrap_or(&Value::Null),
                );
                compare(&format!("{path}/{key}"), a, b, found);
            }
        }
        _ if one == other => {}
        _ => found.push(format!("{path}: {one} became {other}")),
    }
}
