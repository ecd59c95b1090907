//! Who is in which room: joining, inviting, leaving, kicking, banning.

use serde_json::{Value, json};

use super::{
    accounts::text,
    events::Draft,
    homeserver::Homeserver,
    refusal::{Answer, Object, Refusal},
    requester::Requester,
    rooms::Room,
};

/// A change of somebody's membership.
#[derive(Clone, Debug, Default)]
pub(super) struct Change {
    /// `join`, `invite`, `leave`, `ban`, `knock`, `kick` or `unban`.
    pub(super) action: String,
    /// Further fields of the membership event.
    pub(super) content: Object,
    pub(super) ts: Option<u64>,
    /// Free of limits, for what the server does itself.
    pub(super) unlimited: bool,
}

impl Change {
    pub(super) fn new(action: &str, content: Object) -> Self {
        Self {
            action: action.to_owned(),
            content,
            ts: None,
            unlimited: false,
        }
    }

    fn membership(&self) -> &str {
        match self.action.as_str() {
            "kick" | "unban" => "leave",
            other => other,
        }
    }
}

impl Homeserver {
    /// Changes somebody's membership and answers the id of the event, be it the one that was there.
    pub(super) fn change_membership(
        &mut self,
        who: &Requester,
        target: &str,
        room_id: &str,
        change: &Change,
    ) -> Answer<String> {
        if !change.unlimited {
            self.limit_membership(who, target, room_id, &change.action)?;
        }
        let membership = change.membership().to_owned();
        if !matches!(membership.as_str(), "join" | "invite" | "leave" | "ban" | "knock") {
            return Err(Refusal::bad("Invalid membership key"));
        }
        if membership == "invite" && !self.is_local(target) {
            return Err(Refusal::other_server(target));
        }
        let content = self.membership_content(target, &membership, &change.content)?;
        if !matches!(membership.as_str(), "leave" | "ban") && self.blocked_rooms.contains(room_id) {
            return Err(Refusal::new(
                403,
                "M_UNKNOWN",
                "This room has been blocked on this server",
            ));
        }
        let room = self.room(room_id);
        let Some(room) = room.filter(|room| room.is_alive()) else {
            return self.change_in_unknown_room(who, target, room_id, &membership);
        };
        room.check_transition(target, change)?;
        let mut content = content;
        if membership == "join"
            && let Some(host) = self.authorising_user(room_id, target)
        {
            content.insert("join_authorised_via_users_server".to_owned(), json!(host));
        }
        let mut draft = Draft::state(room_id, &who.user_id, "m.room.member", target, content);
        draft.ts = change.ts;
        if !change.unlimited {
            self.check_event_limit(who, room_id)?;
        }
        let before = self.position;
        let event = self.accept(draft)?;
        if !change.unlimited && event.position > before {
            self.count_event(who);
        }
        Ok(event.event_id.clone())
    }

    fn membership_content(&self, target: &str, membership: &str, given: &Object) -> Answer<Object> {
        let mut content = given.clone();
        content.remove("join_authorised_via_users_server");
        content.insert("membership".to_owned(), json!(membership));
        for (key, limit, name) in [
            ("displayname", 256, "Displayname"),
            ("avatar_url", 1000, "Avatar URL"),
        ] {
            if text(&content, key).is_some_and(|value| value.chars().count() > limit) {
                return Err(Refusal::bad_json(format!("{name} is too long (max {limit})")));
            }
        }
        if matches!(membership, "join" | "knock" | "invite")
            && let Some(profile) = self.accounts.profiles.get(target)
        {
            for (key, value) in [
                ("displayname", &profile.display_name),
                ("avatar_url", &profile.avatar_url),
            ] {
                if let (Some(value), false) = (value, content.contains_key(key)) {
                    content.insert(key.to_owned(), json!(value));
                }
            }
        }
        Ok(content)
    }

    /// Who lets a user into a restricted room, if the user is in one of the rooms that give entry.
    fn authorising_user(&self, room_id: &str, user_id: &str) -> Option<String> {
        let room = self.room(room_id).filter(|room| room.version.has_restricted())?;
        let open = matches!(room.join_rule(), "restricted" | "knock_restricted");
        if !open || matches!(room.membership(user_id), Some("join" | "invite" | "ban")) {
            return None;
        }
        let allow = room
            .state_content("m.room.join_rules", "")?
            .get("allow")?
            .as_array()?;
        let gives_entry = |rule: &Value| {
            let from = rule.get("room_id").and_then(Value::as_str)?;
            Some(self.room(from)?.is_joined(user_id))
        };
        if !allow.iter().any(|rule| gives_entry(rule).unwrap_or_default()) {
            return None;
        }
        let needed = room.power_to("invite", 0);
        let host = room
            .members("join")
            .map(|(member, _)| member)
            .find(|member| room.power_of(member) >= needed);
        host.map(ToOwned::to_owned)
    }

    /// A room in which the server has nobody: it would have to ask others, and there are none.
    fn change_in_unknown_room(
        &mut self,
        who: &Requester,
        target: &str,
        room_id: &str,
        membership: &str,
    ) -> Answer<String> {
        let known = self.room(room_id).and_then(|room| room.membership(target));
        match membership {
            "leave" if matches!(known, Some("invite" | "knock")) && who.user_id == target => {
                let mut content = Object::new();
                content.insert("membership".to_owned(), json!("leave"));
                let event = self.append(Draft::state(room_id, target, "m.room.member", target, content));
                Ok(event.event_id.clone())
            }
            "leave" => Err(Refusal::new(404, "M_UNKNOWN", "Not a known room")),
            "join" | "knock" => Err(Refusal::new(
                404,
                "M_UNKNOWN",
                "Can't join remote room because no servers that are in the room have been provided.",
            )),
            _ => Err(Refusal::forbidden("Unknown room")),
        }
    }

    /// What stands in place of a room's id or alias in `POST /join/{roomIdOrAlias}` must look like one.
    pub fn check_room_or_alias(&self, room: &str) -> Answer<()> {
        let alias = room.starts_with('#') && room.contains(':');
        if alias || room.starts_with('!') {
            return Ok(());
        }
        Err(Refusal::bad(format!(
            "{room} was not legal room ID or room alias"
        )))
    }

    /// `POST /join/{roomIdOrAlias}` and `POST /rooms/{roomId}/join`; answers the room's id.
    pub fn join_room(&mut self, who: &Requester, room: &str, content: Object) -> Answer<String> {
        let room_id = self.room_id_of(room)?;
        self.change_membership(who, &who.user_id, &room_id, &Change::new("join", content))?;
        Ok(room_id)
    }

    /// `POST /knock/{roomIdOrAlias}`; answers the room's id.
    pub fn knock_room(&mut self, who: &Requester, room: &str, content: Object) -> Answer<String> {
        let room_id = self.room_id_of(room)?;
        self.change_membership(who, &who.user_id, &room_id, &Change::new("knock", content))?;
        Ok(room_id)
    }

    fn room_id_of(&self, room: &str) -> Answer<String> {
        if room.starts_with('#') {
            self.resolve_alias(room)
        } else {
            Ok(room.to_owned())
        }
    }

    /// `POST /rooms/{roomId}/leave`
    pub fn leave_room(&mut self, who: &Requester, room_id: &str, reason: Option<&str>) -> Answer<()> {
        self.change_membership(
            who,
            &who.user_id,
            room_id,
            &Change::new("leave", with_reason(reason)),
        )?;
        Ok(())
    }

    /// `POST /rooms/{roomId}/invite`, `kick`, `ban` and `unban`, named by `action`.
    pub fn change_member(
        &mut self,
        who: &Requester,
        room_id: &str,
        user_id: &str,
        action: &str,
        reason: Option<&str>,
    ) -> Answer<()> {
        if !user_id.starts_with('@') || !user_id.contains(':') {
            return Err(Refusal::invalid_param("Expected UserID string to start with '@'"));
        }
        self.change_membership(who, user_id, room_id, &Change::new(action, with_reason(reason)))?;
        Ok(())
    }

    /// `POST /rooms/{roomId}/forget`
    pub fn forget_room(&mut self, who: &Requester, room_id: &str) -> Answer<()> {
        let Some(room) = self.rooms.get_mut(room_id) else {
            return Ok(());
        };
        match room.membership(&who.user_id) {
            Some("join" | "invite" | "knock") => {
                Err(Refusal::bad(format!("User {} in room {room_id}", who.user_id)))
            }
            _ => {
                room.forgotten.insert(who.user_id.clone());
                Ok(())
            }
        }
    }

    /// `GET /joined_rooms`
    pub fn joined_rooms(&self, who: &Requester) -> Vec<String> {
        self.rooms_of(&who.user_id)
    }

    /// Takes a user out of all rooms, as deactivation does.
    pub(super) fn leave_everything(&mut self, user_id: &str) {
        let rooms: Vec<String> = self
            .rooms
            .values()
            .filter(|room| matches!(room.membership(user_id), Some("join" | "invite" | "knock")))
            .map(|room| room.room_id.clone())
            .collect();
        for room_id in rooms {
            let mut content = Object::new();
            content.insert("membership".to_owned(), json!("leave"));
            self.append(Draft::state(&room_id, user_id, "m.room.member", user_id, content));
        }
    }
}

impl Room {
    /// Refuses what cannot be, whoever wants it.
    fn check_transition(&self, target: &str, change: &Change) -> Answer<()> {
        let action = change.action.as_str();
        let present = self.state_event("m.room.member", target);
        let old = present.and_then(|event| event.membership());
        if action == "unban" && present.is_some() && old != Some("ban") {
            let words = format!(
                "Cannot unban user who was not banned (membership={})",
                old.unwrap_or("None")
            );
            return Err(Refusal::new(403, "M_BAD_STATE", words));
        }
        if old == Some("ban") && !matches!(action, "ban" | "unban" | "leave") {
            return Err(Refusal::new(
                403,
                "M_BAD_STATE",
                format!("Cannot {action} user who was banned"),
            ));
        }
        if action == "kick" && matches!(old, None | Some("ban" | "leave")) {
            return Err(Refusal::forbidden("The target user is not in the room"));
        }
        Ok(())
    }

    /// The rules of the room for membership events.
    pub(super) fn check_membership(&self, draft: &Draft) -> Answer<()> {
        let membership = draft.content.get("membership").and_then(Value::as_str);
        let membership = membership.ok_or_else(|| Refusal::bad("Content has not membership key"))?;
        let sender = draft.sender.as_str();
        let target = draft.state_key.as_deref().unwrap_or_default();
        let caller = self.membership(sender);
        if !matches!(membership, "join" | "knock") {
            if matches!(caller, Some("invite" | "knock")) && membership == "leave" && target == sender {
                return Ok(());
            }
            if caller != Some("join") {
                return Err(Refusal::forbidden(format!(
                    "{sender} not in room {}.",
                    self.room_id
                )));
            }
        }
        match membership {
            "invite" => self.check_invite(sender, target),
            "join" => self.check_join(draft, target),
            "leave" => self.check_leave(sender, target),
            "ban" => self.check_ban(sender, target),
            "knock" => self.check_knock(sender, target),
            _ => Err(Refusal::bad("Invalid membership key")),
        }
    }

    fn check_invite(&self, sender: &str, target: &str) -> Answer<()> {
        match self.membership(target) {
            Some("ban") => Err(Refusal::forbidden(format!("{target} is banned from the room"))),
            Some("join") => Err(Refusal::forbidden(format!("{target} is already in the room."))),
            _ if self.power_of(sender) < self.power_to("invite", 0) => {
                Err(Refusal::forbidden("You don't have permission to invite users"))
            }
            _ => Ok(()),
        }
    }

    fn check_join(&self, draft: &Draft, target: &str) -> Answer<()> {
        if draft.sender != target {
            return Err(Refusal::forbidden("Cannot force another user to join."));
        }
        let membership = self.membership(target);
        match (membership, self.join_rule()) {
            (Some("ban"), _) => Err(Refusal::forbidden("You are banned from this room")),
            (_, "public") | (Some("join" | "invite"), _) => Ok(()),
            (_, "restricted" | "knock_restricted") if self.version.has_restricted() => {
                if draft.content.contains_key("join_authorised_via_users_server") {
                    return Ok(());
                }
                Err(Refusal::forbidden(
                    "You do not belong to any of the required rooms/spaces to join this room.",
                ))
            }
            (_, "invite" | "knock") => Err(Refusal::forbidden("You are not invited to this room.")),
            _ => Err(Refusal::forbidden("You are not allowed to join this room")),
        }
    }

    fn check_leave(&self, sender: &str, target: &str) -> Answer<()> {
        let power = self.power_of(sender);
        if self.membership(target) == Some("ban") && power < self.power_to("ban", 50) {
            return Err(Refusal::forbidden(format!("You cannot unban user {target}.")));
        }
        if target != sender && (power < self.power_to("kick", 50) || power <= self.power_of(target)) {
            return Err(Refusal::forbidden(format!("You cannot kick user {target}.")));
        }
        Ok(())
    }

    fn check_ban(&self, sender: &str, target: &str) -> Answer<()> {
        let power = self.power_of(sender);
        if power < self.power_to("ban", 50) {
            return Err(Refusal::forbidden("You don't have permission to ban"));
        }
        if power <= self.power_of(target) {
            return Err(Refusal::forbidden("You don't have permission to ban this user"));
        }
        Ok(())
    }

    fn check_knock(&self, sender: &str, target: &str) -> Answer<()> {
        if !self.version.has_knocking() || !matches!(self.join_rule(), "knock" | "knock_restricted") {
            return Err(Refusal::forbidden("You don't have permission to knock"));
        }
        if sender != target {
            return Err(Refusal::forbidden("You cannot knock for other users"));
        }
        match self.membership(target) {
            Some("join") => Err(Refusal::forbidden(
                "You cannot knock on a room you are already in",
            )),
            Some("invite") => Err(Refusal::forbidden("You are already invited to this room")),
            Some("ban") => Err(Refusal::forbidden("You are banned from this room")),
            _ => Ok(()),
        }
    }
}

fn with_reason(reason: Option<&str>) -> Object {
    reason
        .map(|reason| ("reason".to_owned(), json!(reason)))
        .into_iter()
        .collect()
}
