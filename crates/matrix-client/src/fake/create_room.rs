//! `createRoom`

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

impl RoomPlan {
    /// A private room without alias and invitations.
    pub(super) fn private(config: Object, version: RoomVersion) -> Self {
        Self {
            config,
            version,
            preset: Preset::Private,
            alias: None,
            invite: Vec::new(),
        }
    }
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
            Some(Value::String(name)) => Some(self.check_alias_name(name)?),
            Some(_) => return Err(Refusal::internal()),
        };
        let invite = invitees(&config)?;
        self.check_power_override(who, version, &config)?;
        let preset = Preset::of(&config)?;
        check_creation_content(&config)?;
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
    pub fn make_room(&mut self, who: &Requester, plan: &RoomPlan) -> Answer<String> {
        let room_id = self.begin_room(who, plan)?;
        self.set_up(who, &room_id, plan)?;
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

    /// Makes the beginning of a room: its alias and its creator.
    pub(super) fn begin_room(&mut self, who: &Requester, plan: &RoomPlan) -> Answer<String> {
        let create = create_content(who, plan);
        let (event_id, room_id) = self.name_room(plan.version);
        if let Some(alias) = &plan.alias {
            self.create_alias_unchecked_membership(who, alias, &room_id)?;
        }
        self.open_room(who, plan, (event_id, &room_id), create);
        self.join_creator(who, &room_id);
        Ok(room_id)
    }

    /// The id of the create event and that of the room.
    pub(super) fn name_room(&mut self, version: RoomVersion) -> (String, String) {
        let event_id = self.ids.event_id();
        let room_id = if version.ids_are_hashes() {
            event_id.replacen('$', "!", 1)
        } else {
            format!("!{}:{}", self.ids.room(), self.settings.server_name)
        };
        (event_id, room_id)
    }

    pub(super) fn open_room(
        &mut self,
        who: &Requester,
        plan: &RoomPlan,
        (event_id, room_id): (String, &str),
        create: Object,
    ) {
        let mut room = Room::new(room_id.to_owned(), plan.version, who.user_id.clone());
        room.is_public = self.settings.may_publish && text(&plan.config, "visibility") == Some("public");
        self.rooms.insert(room_id.to_owned(), room);
        let draft = Draft::state(room_id, &who.user_id, "m.room.create", "", create);
        self.append_as(event_id, draft);
    }

    pub(super) fn join_creator(&mut self, who: &Requester, room_id: &str) {
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
        let (queues, ids) = (self.queues.mark(), self.ids.clone());
        for draft in drafts {
            if let Err(refusal) = self.accept(draft) {
                if let Some(room) = self.rooms.get_mut(room_id) {
                    room.truncate(events);
                }
                self.queues.rewind(&queues);
                (self.ids, self.position) = (ids, position);
                return Err(refusal);
            }
        }
        Ok(())
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

/// What `m.room.create` may not hold.
fn check_creation_content(config: &Object) -> Answer<()> {
    let Some(content) = config.get("creation_content").and_then(Value::as_object) else {
        return Ok(());
    };
    super::validation::check_numbers(content)?;
    let refuse = |words: &str| Err(Refusal::new(400, "M_FORBIDDEN", words));
    match content.get("additional_creators") {
        None => Ok(()),
        Some(Value::Array(creators)) => {
            match creators.iter().map(Value::as_str).collect::<Option<Vec<_>>>() {
                None => refuse("entry in additional_creators is not a string"),
                Some(creators) if !creators.iter().all(|id| id.starts_with('@') && id.contains(':')) => {
                    refuse("entry in additional_creators is not a valid user ID")
                }
                Some(_) => Ok(()),
            }
        }
        Some(_) => refuse("additional_creators must be an array"),
    }
}

fn invitees(config: &Object) -> Answer<Vec<String>> {
    let list = match config.get("invite") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(Value::String(text)) => {
            // Synapse walks through the text, letter by letter.
            return Err(Refusal::bad(format!(
                "Invalid user_id: {}",
                text.chars().next().unwrap_or(' ')
            )));
        }
        Some(_) => return Err(Refusal::internal()),
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
        let kind = kind
            .filter(|kind| *kind != "m.room.create")
            .ok_or_else(Refusal::internal)?;
        let state_key = event.get("state_key").and_then(Value::as_str).unwrap_or_default();
        let content = event.get("content").filter(|content| content.is_object());
        let content = content.ok_or_else(Refusal::internal)?;
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

pub(super) fn create_content(who: &Requester, plan: &RoomPlan) -> Object {
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
