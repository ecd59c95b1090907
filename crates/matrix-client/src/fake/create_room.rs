//! `createRoom`, and the replacement of a room by one of another version.

use serde_json::{Value, json};

use super::{
    accounts::text,
    events::Draft,
    homeserver::Homeserver,
    membership::Change,
    refusal::{Answer, Object, Refusal},
    requester::Requester,
    room_version::RoomVersion,
    rooms::Room,
};

/// A room whose wishes were checked and that does not exist yet. Between checking and making, others may take the
/// alias: so it is with Synapse.
#[derive(Debug)]
pub struct RoomPlan {
    config: Object,
    version: RoomVersion,
    preset: Preset,
    alias: Option<String>,
    invite: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preset {
    Private,
    TrustedPrivate,
    Public,
}

impl Preset {
    fn of(config: &Object) -> Answer<Self> {
        let public = text(config, "visibility") == Some("public");
        match text(config, "preset") {
            Some("private_chat") => Ok(Self::Private),
            Some("trusted_private_chat") => Ok(Self::TrustedPrivate),
            Some("public_chat") => Ok(Self::Public),
            Some(other) => Err(Refusal::bad_json(format!("'{other}' is not a valid preset"))),
            None if public => Ok(Self::Public),
            None => Ok(Self::Private),
        }
    }
}

impl Homeserver {
    /// The first half of `POST /createRoom`: checks what is wished for. `config` is the body of the request.
    pub fn plan_room(&mut self, who: &Requester, config: Object) -> Answer<RoomPlan> {
        self.limit_room_creation(who)?;
        let version = match config.get("room_version") {
            None => RoomVersion::of(&self.settings.default_room_version),
            Some(Value::String(version)) => RoomVersion::parse(version).ok_or_else(|| {
                let words = "Your homeserver does not support this room version";
                Refusal::new(400, "M_UNSUPPORTED_ROOM_VERSION", words)
            })?,
            Some(_) => return Err(Refusal::bad_json("room_version must be a string")),
        };
        let alias = match config.get("room_alias_name") {
            None => None,
            Some(name) => Some(self.check_alias_name(name.as_str().unwrap_or_default())?),
        };
        let invite = invitees(&config)?;
        self.check_power_override(who, version, &config)?;
        let preset = Preset::of(&config)?;
        Ok(RoomPlan {
            config,
            version,
            preset,
            alias,
            invite,
        })
    }

    fn check_alias_name(&self, name: &str) -> Answer<String> {
        if name.contains(char::is_whitespace) {
            return Err(Refusal::bad("Invalid characters in room alias"));
        }
        if name.contains(':') {
            return Err(Refusal::bad(
                "':' is not permitted in the room alias name. Please note this expects a local part — 'wombat', \
                 not '#wombat:example.com'.",
            ));
        }
        let alias = format!("#{name}:{}", self.settings.server_name);
        if self.aliases.contains_key(&alias) {
            return Err(Refusal::new(400, "M_ROOM_IN_USE", "Room alias already taken"));
        }
        Ok(alias)
    }

    fn check_power_override(&self, who: &Requester, version: RoomVersion, config: &Object) -> Answer<()> {
        let users = config
            .get("power_level_content_override")
            .and_then(|levels| levels.get("users"));
        match users.and_then(Value::as_object) {
            Some(users) if !version.creators_have_power() && !users.contains_key(&who.user_id) => {
                Err(Refusal::bad(format!(
                    "Not a valid power_level_content_override: 'users' did not contain {}",
                    who.user_id
                )))
            }
            _ => Ok(()),
        }
    }

    /// The second half of `POST /createRoom`: makes the room and answers its id.
    ///
    /// What goes wrong here leaves what was made so far: a room with its creator and its alias, but without the
    /// rest. So it is with Synapse.
    pub fn make_room(&mut self, who: &Requester, plan: RoomPlan) -> Answer<String> {
        let create = create_content(who, &plan);
        let room_id = self.open_room(who, &plan, create);
        if let Some(alias) = &plan.alias {
            self.create_alias_unchecked_membership(who, alias, &room_id)?;
        }
        self.join_creator(who, &room_id)?;
        self.set_up(who, &room_id, &plan)?;
        for invitee in &plan.invite {
            let mut content = Object::new();
            if plan.config.get("is_direct").and_then(Value::as_bool) == Some(true) {
                content.insert("is_direct".to_owned(), json!(true));
            }
            let change = Change {
                unlimited: true,
                ..Change::new("invite", content)
            };
            self.change_membership(who, invitee, &room_id, &change)?;
        }
        Ok(room_id)
    }

    fn open_room(&mut self, who: &Requester, plan: &RoomPlan, create: Object) -> String {
        let event_id = self.ids.event_id();
        let room_id = if plan.version.ids_are_hashes() {
            event_id.replacen('$', "!", 1)
        } else {
            format!("!{}:{}", self.ids.room(), self.settings.server_name)
        };
        let mut room = Room::new(room_id.clone(), plan.version, who.user_id.clone());
        room.is_public = text(&plan.config, "visibility") == Some("public");
        self.rooms.insert(room_id.clone(), room);
        self.append_as(
            event_id,
            Draft::state(&room_id, &who.user_id, "m.room.create", "", create),
        );
        room_id
    }

    fn join_creator(&mut self, who: &Requester, room_id: &str) -> Answer<()> {
        let mut content = Object::new();
        content.insert("membership".to_owned(), json!("join"));
        if let Some(profile) = self.accounts.profiles.get(&who.user_id) {
            for (key, value) in [
                ("displayname", &profile.display_name),
                ("avatar_url", &profile.avatar_url),
            ] {
                if let Some(value) = value {
                    content.insert(key.to_owned(), json!(value));
                }
            }
        }
        self.append(Draft::state(
            room_id,
            &who.user_id,
            "m.room.member",
            &who.user_id,
            content,
        ));
        Ok(())
    }

    /// The state that a new room has. All of it or, if anything is wrong, nothing of it.
    fn set_up(&mut self, who: &Requester, room_id: &str, plan: &RoomPlan) -> Answer<()> {
        let mut initial = initial_state(&plan.config)?;
        let mut drafts = Vec::new();
        let mut add = |kind: &str, state_key: &str, content: Value| {
            let content = content.as_object().cloned().unwrap_or_default();
            drafts.push(Draft::state(room_id, &who.user_id, kind, state_key, content));
        };
        let mut take = |kind: &str| {
            let index = initial
                .iter()
                .position(|(other, key, _)| other == kind && key.is_empty());
            index.map(|index| initial.remove(index).2)
        };
        let levels = take("m.room.power_levels");
        add(
            "m.room.power_levels",
            "",
            levels.unwrap_or_else(|| power_levels(who, plan)),
        );
        let has = |kind: &str| {
            initial
                .iter()
                .any(|(other, key, _)| other == kind && key.is_empty())
        };
        if let (Some(alias), false) = (&plan.alias, has("m.room.canonical_alias")) {
            add("m.room.canonical_alias", "", json!({ "alias": alias }));
        }
        if !has("m.room.join_rules") {
            let rule = if plan.preset == Preset::Public {
                "public"
            } else {
                "invite"
            };
            add("m.room.join_rules", "", json!({ "join_rule": rule }));
        }
        if !has("m.room.history_visibility") {
            add(
                "m.room.history_visibility",
                "",
                json!({ "history_visibility": "shared" }),
            );
        }
        if plan.preset != Preset::Public && !has("m.room.guest_access") {
            add("m.room.guest_access", "", json!({ "guest_access": "can_join" }));
        }
        for (kind, state_key, content) in &initial {
            add(kind, state_key, content.clone());
        }
        if let Some(name) = plan.config.get("name") {
            add("m.room.name", "", json!({ "name": name }));
        }
        if let Some(topic) = plan.config.get("topic") {
            add(
                "m.room.topic",
                "",
                json!({ "topic": topic, "m.topic": { "m.text": [{ "body": topic }] } }),
            );
        }
        self.accept_all(room_id, drafts)
    }

    /// Accepts all of these state events, or none.
    fn accept_all(&mut self, room_id: &str, drafts: Vec<Draft>) -> Answer<()> {
        let Some(room) = self.rooms.get(room_id) else {
            return Ok(());
        };
        let (events, position) = (room.timeline.len(), self.position);
        let (queues, ids) = (self.queues.clone(), self.ids.clone());
        for draft in drafts {
            if let Err(refusal) = self.accept(draft) {
                if let Some(room) = self.rooms.get_mut(room_id) {
                    room.truncate(events);
                }
                (self.queues, self.ids, self.position) = (queues, ids, position);
                return Err(refusal);
            }
        }
        Ok(())
    }

    /// `POST /rooms/{roomId}/upgrade`; answers the id of the new room.
    pub fn upgrade_room(&mut self, who: &Requester, room_id: &str, body: &Object) -> Answer<String> {
        let version = text(body, "new_version").ok_or_else(|| Refusal::missing_param("new_version"))?;
        let version = RoomVersion::parse(version).ok_or_else(|| {
            let words = "Your homeserver does not support this room version";
            Refusal::new(400, "M_UNSUPPORTED_ROOM_VERSION", words)
        })?;
        let old = self.joined_room(who, room_id)?;
        let needed = old.power_to_send("m.room.tombstone", true);
        let power = old.power_of(&who.user_id);
        if power < needed {
            return Err(Refusal::forbidden(format!(
                "You don't have permission to post that to the room. user_level ({power}) < send_level ({needed})"
            )));
        }
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
        let new_id = self.open_room(who, &plan, create);
        self.join_creator(who, &new_id)?;
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
        Ok(new_id)
    }
}

impl Room {
    /// Takes back all events beyond the first few, which were accepted a moment ago and shown to nobody.
    fn truncate(&mut self, events: usize) {
        for event in self.timeline.drain(events..) {
            self.by_id.remove(&event.event_id);
            if let Some(parent) = super::relations::parent_of(&event.content)
                && let Some(related) = self.relations.get_mut(parent)
            {
                related.retain(|other| other.event_id != event.event_id);
            }
            if let Some(state_key) = &event.state_key {
                let key = (event.kind.clone(), state_key.clone());
                if let Some(history) = self.state.get_mut(&key) {
                    history.pop();
                    if history.is_empty() {
                        self.state.remove(&key);
                    }
                }
            }
        }
    }
}

fn invitees(config: &Object) -> Answer<Vec<String>> {
    let list = match config.get("invite") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(Refusal::bad_json("invite must be a list")),
    };
    let check = |user: &Value| match user.as_str() {
        Some(user_id) if user_id.starts_with('@') && user_id.contains(':') => Ok(user_id.to_owned()),
        Some(other) => Err(Refusal::bad(format!("Invalid user_id: {other}"))),
        None => Err(Refusal::bad(format!("Invalid user_id: {user}"))),
    };
    list.iter().map(check).collect()
}

fn initial_state(config: &Object) -> Answer<Vec<(String, String, Value)>> {
    let list = config
        .get("initial_state")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut state: Vec<(String, String, Value)> = Vec::new();
    for event in list {
        let kind = event.get("type").and_then(Value::as_str);
        let kind = kind.ok_or_else(|| Refusal::bad_json("initial_state entries need a type"))?;
        let state_key = event.get("state_key").and_then(Value::as_str).unwrap_or_default();
        let content = event.get("content").filter(|content| content.is_object());
        let content = content.ok_or_else(|| Refusal::bad_json("initial_state entries need a content"))?;
        // A later one takes the place of an earlier one, in its place.
        match state
            .iter_mut()
            .find(|(other, key, _)| other == kind && key == state_key)
        {
            Some((_, _, present)) => present.clone_from(content),
            None => state.push((kind.to_owned(), state_key.to_owned(), content.clone())),
        }
    }
    Ok(state)
}

fn create_content(who: &Requester, plan: &RoomPlan) -> Object {
    let mut content = plan
        .config
        .get("creation_content")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    content.insert("room_version".to_owned(), json!(plan.version.as_string()));
    if !plan.version.creator_is_sender() {
        content.insert("creator".to_owned(), json!(who.user_id));
    }
    if plan.version.creators_have_power() && plan.preset == Preset::TrustedPrivate && !plan.invite.is_empty()
    {
        let mut creators: Vec<String> = content
            .get("additional_creators")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|creator| creator.as_str().map(ToOwned::to_owned))
            .collect();
        creators.extend(
            plan.invite
                .iter()
                .filter(|invitee| !creators.contains(invitee))
                .cloned()
                .collect::<Vec<_>>(),
        );
        content.insert("additional_creators".to_owned(), json!(creators));
    }
    content
}

fn power_levels(who: &Requester, plan: &RoomPlan) -> Value {
    let above = plan.version.creators_have_power();
    let mut users = Object::new();
    if !above {
        users.insert(who.user_id.clone(), json!(100));
        if plan.preset == Preset::TrustedPrivate {
            users.extend(plan.invite.iter().map(|invitee| (invitee.clone(), json!(100))));
        }
    }
    let mut levels = json!({
        "users": users,
        "users_default": 0,
        "events": {
            "m.room.name": 50,
            "m.room.power_levels": 100,
            "m.room.history_visibility": 100,
            "m.room.canonical_alias": 50,
            "m.room.avatar": 50,
            "m.room.tombstone": if above { 150 } else { 100 },
            "m.room.server_acl": 100,
            "m.room.encryption": 100,
        },
        "events_default": 0,
        "state_default": 50,
        "ban": 50,
        "kick": 50,
        "redact": 50,
        "invite": if plan.preset == Preset::Public { 50 } else { 0 },
        "historical": 100,
    });
    if plan.preset == Preset::Public {
        levels["events"]["m.call.invite"] = json!(50);
    }
    let overrides = plan
        .config
        .get("power_level_content_override")
        .and_then(Value::as_object);
    for (key, value) in overrides.into_iter().flatten() {
        levels[key.as_str()] = value.clone();
    }
    levels
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
    RoomPlan {
        config,
        version,
        preset: Preset::Private,
        alias: None,
        invite: Vec::new(),
    }
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
