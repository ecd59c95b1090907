//! The replacement of a room by one of another version.

use serde_json::{Value, json};

use super::{
    accounts::text,
    create_room::{RoomPlan, create_content},
    events::Draft,
    homeserver::Homeserver,
    refusal::{Answer, Object, Refusal},
    requester::Requester,
    room_version::RoomVersion,
    rooms::Room,
};

impl Homeserver {
    /// `POST /rooms/{roomId}/upgrade`; answers the id of the new room.
    pub fn upgrade_room(&mut self, who: &Requester, room_id: &str, body: &Object) -> Answer<String> {
        let version = text(body, "new_version").ok_or_else(|| Refusal::missing_param("['new_version']"))?;
        let version = RoomVersion::parse(version).ok_or_else(|| {
            let words = "Your homeserver does not support this room version";
            Refusal::new(400, "M_UNSUPPORTED_ROOM_VERSION", words)
        })?;
        let old = self
            .joined_room(who, room_id)
            .map_err(|_| Refusal::forbidden(format!("User {} not in room {room_id} (None)", who.user_id)))?;
        let needed = old.power_to_send("m.room.tombstone", true);
        let power = old.power_of(&who.user_id);
        if power < needed {
            return Err(Refusal::forbidden(format!(
                "You don't have permission to post that to the room. user_level ({power}) < send_level ({needed})"
            )));
        }
        let silenced = silenced_levels(old);
        let predecessor = json!({ "room_id": room_id });
        let plan = replacement(old, version, predecessor);
        let create = create_content(who, &plan);
        let levels = copied_levels(old, who, version);
        let kept = copied_state(old);
        let aliases: Vec<String> = self
            .aliases
            .iter()
            .filter(|(_, to)| to.room_id == room_id)
            .map(|(alias, _)| alias.clone())
            .collect();
        let canonical = old
            .state_event("m.room.canonical_alias", "")
            .map(|event| event.content.clone());
        let (event_id, new_id) = self.name_room(version);
        self.open_room(who, &plan, (event_id, &new_id), create);
        self.join_creator(who, &new_id);
        self.append(Draft::state(
            &new_id,
            &who.user_id,
            "m.room.power_levels",
            "",
            levels,
        ));
        for (kind, state_key, content) in kept {
            self.append(Draft::state(&new_id, &who.user_id, &kind, &state_key, content));
        }
        let mut tombstone = Object::new();
        tombstone.insert("body".to_owned(), json!("This room has been replaced"));
        tombstone.insert("replacement_room".to_owned(), json!(new_id));
        self.accept(Draft::state(
            room_id,
            &who.user_id,
            "m.room.tombstone",
            "",
            tombstone,
        ))?;
        for alias in aliases {
            if let Some(stored) = self.aliases.get_mut(&alias) {
                stored.room_id.clone_from(&new_id);
            }
        }
        if let Some(canonical) = canonical {
            let empty = Object::new();
            self.append(Draft::state(
                room_id,
                &who.user_id,
                "m.room.canonical_alias",
                "",
                empty,
            ));
            self.append(Draft::state(
                &new_id,
                &who.user_id,
                "m.room.canonical_alias",
                "",
                canonical,
            ));
        }
        if let Some(levels) = silenced {
            self.append(Draft::state(
                room_id,
                &who.user_id,
                "m.room.power_levels",
                "",
                levels,
            ));
        }
        Ok(new_id)
    }
}

fn replacement(old: &Room, version: RoomVersion, predecessor: Value) -> RoomPlan {
    let mut create = old
        .state_content("m.room.create", "")
        .cloned()
        .unwrap_or_default();
    for key in ["creator", "room_version", "predecessor", "additional_creators"] {
        create.remove(key);
    }
    create.insert("predecessor".to_owned(), predecessor);
    let mut config = Object::new();
    config.insert("creation_content".to_owned(), Value::Object(create));
    let visibility = if old.is_public { "public" } else { "private" };
    config.insert("visibility".to_owned(), json!(visibility));
    RoomPlan::private(config, version)
}

fn copied_levels(old: &Room, who: &Requester, version: RoomVersion) -> Object {
    let mut levels = old
        .state_content("m.room.power_levels", "")
        .cloned()
        .unwrap_or_default();
    if let Some(Value::Object(users)) = levels.get_mut("users") {
        if version.creators_have_power() {
            users.remove(&who.user_id);
        } else {
            users.insert(who.user_id.clone(), json!(100));
        }
    }
    levels
}

/// The power levels that keep ordinary members from talking on in a replaced room.
fn silenced_levels(old: &Room) -> Option<Object> {
    let mut levels = old.state_content("m.room.power_levels", "").cloned()?;
    let level = |levels: &Object, key: &str| levels.get(key).and_then(Value::as_i64).unwrap_or_default();
    let least = (level(&levels, "users_default") + 1).max(50);
    let before = levels.clone();
    for key in ["invite", "events_default"] {
        if level(&levels, key) < least {
            levels.insert(key.to_owned(), json!(least));
        }
    }
    (levels != before).then_some(levels)
}

/// What a replacement takes over from the room it replaces.
fn copied_state(old: &Room) -> Vec<(String, String, Object)> {
    let taken = |kind: &str| {
        matches!(
            kind,
            "m.room.join_rules"
                | "m.room.name"
                | "m.room.topic"
                | "m.room.history_visibility"
                | "m.room.guest_access"
                | "m.room.avatar"
                | "m.room.encryption"
                | "m.room.server_acl"
                | "m.room.related_groups"
        ) || (kind == "m.space.child" && old.room_type() == Some("m.space"))
    };
    let banned = |event: &super::rooms::StoredEvent| {
        event.kind == "m.room.member" && event.membership() == Some("ban")
    };
    old.current_state()
        .filter(|event| taken(&event.kind) || banned(event))
        .filter(|event| !event.content.is_empty())
        .map(|event| {
            (
                event.kind.clone(),
                event.state_key.clone().unwrap_or_default(),
                event.content.clone(),
            )
        })
        .collect()
}
