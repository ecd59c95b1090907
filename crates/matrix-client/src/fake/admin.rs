//! Synapse's administration API, as far as it is worth it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    accounts::{NewAccount, localpart_of, text},
    events::{Draft, Show},
    homeserver::Homeserver,
    membership::Change,
    profiles::ProfileField,
    refusal::{Answer, Object, Refusal},
    requester::Requester,
    rooms::Room,
};

impl Homeserver {
    fn check_local(&self, user_id: &str) -> Answer<()> {
        if self.is_local(user_id) {
            return Ok(());
        }
        Err(Refusal::bad("This endpoint can only be used with local users"))
    }

    /// `GET /_synapse/admin/v1/username_available`
    pub fn admin_username_available(&self, localpart: &str) -> Answer<()> {
        self.check_localpart(localpart)
    }

    /// `GET /_synapse/admin/v2/users/{userId}`
    pub fn admin_user(&self, user_id: &str) -> Answer<Object> {
        if !self.is_local(user_id) {
            return Err(Refusal::bad("Can only look up local users"));
        }
        let account = self
            .accounts
            .users
            .get(user_id)
            .ok_or_else(|| Refusal::not_found("User not found"))?;
        let profile = self.accounts.profiles.get(user_id).cloned().unwrap_or_default();
        let answer = json!({
            "name": account.user_id,
            "admin": account.admin,
            "deactivated": account.deactivated,
            "locked": false,
            "shadow_banned": false,
            "creation_ts": account.created_ms / 1000,
            "appservice_id": account.appservice_id,
            "consent_server_notice_sent": null,
            "consent_version": null,
            "consent_ts": null,
            "user_type": null,
            "is_guest": false,
            "suspended": false,
            "displayname": profile.display_name,
            "avatar_url": profile.avatar_url,
            "threepids": [],
            "external_ids": [],
            "erased": account.erased,
            "last_seen_ts": account.appservice_id.is_none().then(|| self.now_ms()),
        });
        Ok(answer.as_object().cloned().unwrap_or_default())
    }

    /// `PUT /_synapse/admin/v2/users/{userId}`; answers whether the user was made just now, and the user.
    pub fn admin_put_user(
        &mut self,
        who: &Requester,
        user_id: &str,
        body: &Object,
    ) -> Answer<(bool, Object)> {
        self.check_local(user_id)?;
        let is_new = !self.accounts.users.contains_key(user_id);
        if is_new {
            let localpart = localpart_of(user_id).to_owned();
            self.check_localpart(&localpart)?;
            self.add_account(NewAccount {
                localpart: &localpart,
                password: text(body, "password").map(ToOwned::to_owned),
                display_name: text(body, "displayname").map(ToOwned::to_owned),
                admin: body.get("admin").and_then(Value::as_bool).unwrap_or_default(),
                appservice_id: None,
            });
        } else {
            self.modify_user(who, user_id, body)?;
        }
        Ok((is_new, self.admin_user(user_id)?))
    }

    fn modify_user(&mut self, who: &Requester, user_id: &str, body: &Object) -> Answer<()> {
        for field in [ProfileField::DisplayName, ProfileField::AvatarUrl] {
            if let Some(value) = body.get(field.key()) {
                let value = if value.is_null() {
                    &Value::String(String::new())
                } else {
                    value
                };
                self.set_profile_field(who, user_id, field, value)?;
            }
        }
        if let Some(password) = text(body, "password") {
            let log_out = body
                .get("logout_devices")
                .and_then(Value::as_bool)
                .unwrap_or(true);
            self.set_password(user_id, password, log_out);
        }
        if let (Some(admin), Some(account)) = (
            body.get("admin").and_then(Value::as_bool),
            self.accounts.users.get_mut(user_id),
        ) {
            account.admin = admin;
        }
        match body.get("deactivated").and_then(Value::as_bool) {
            Some(true) => self.deactivate(user_id, false),
            Some(false) => {
                if let Some(account) = self.accounts.users.get_mut(user_id) {
                    account.deactivated = false;
                }
            }
            None => {}
        }
        Ok(())
    }

    fn set_password(&mut self, user_id: &str, password: &str, log_out: bool) {
        if let Some(account) = self.accounts.users.get_mut(user_id) {
            account.password = Some(password.to_owned());
        }
        if log_out {
            self.logout_all(&as_user(user_id));
        }
    }

    /// `GET /_synapse/admin/v2/users`
    pub fn admin_users(&self, from: u64, limit: u64) -> Value {
        let skip = usize::try_from(from).unwrap_or(usize::MAX);
        let take = usize::try_from(limit).unwrap_or(100);
        let total = self.accounts.users.len();
        let listed = self
            .accounts
            .users
            .iter()
            .skip(skip)
            .take(take)
            .map(|(user_id, account)| {
                let profile = self.accounts.profiles.get(user_id).cloned().unwrap_or_default();
                json!({
                    "name": user_id,
                    "user_type": null,
                    "is_guest": false,
                    "admin": account.admin,
                    "deactivated": account.deactivated,
                    "shadow_banned": false,
                    "displayname": profile.display_name,
                    "avatar_url": profile.avatar_url,
                    "creation_ts": account.created_ms,
                    "erased": account.erased,
                    "last_seen_ts": null,
                    "locked": false,
                })
            });
        let mut answer = json!({ "users": listed.collect::<Vec<_>>(), "total": total });
        if skip.saturating_add(take) < total {
            answer["next_token"] = json!((skip + take).to_string());
        }
        answer
    }

    /// `POST /_synapse/admin/v1/users/{userId}/login`
    pub fn admin_login_as(&mut self, user_id: &str) -> Answer<Value> {
        self.check_local(user_id)?;
        if !self.accounts.users.contains_key(user_id) {
            return Err(Refusal::not_found("User not found"));
        }
        let session = self.add_session(user_id, None, None, false);
        Ok(json!({ "access_token": session.get("access_token") }))
    }

    /// `POST /_synapse/admin/v1/reset_password/{userId}`
    pub fn admin_reset_password(&mut self, user_id: &str, body: &Object) -> Answer<Value> {
        self.check_local(user_id)?;
        let password = text(body, "new_password").ok_or_else(|| Refusal::missing_param("new_password"))?;
        let log_out = body
            .get("logout_devices")
            .and_then(Value::as_bool)
            .unwrap_or(true);
        self.set_password(user_id, password, log_out);
        Ok(json!({}))
    }

    /// `POST /_synapse/admin/v1/deactivate/{userId}`
    pub fn admin_deactivate(&mut self, user_id: &str, erase: bool) -> Answer<Value> {
        self.check_local(user_id)?;
        if !self.accounts.users.contains_key(user_id) {
            return Err(Refusal::not_found("User not found"));
        }
        self.deactivate(user_id, erase);
        Ok(json!({ "id_server_unbind_result": "success" }))
    }

    /// `POST /_synapse/admin/v1/users/{userId}/override_ratelimit`
    pub fn admin_set_rate_limit(&mut self, user_id: &str, per_second: u32, burst: u32) -> Answer<Value> {
        self.check_local(user_id)?;
        let account = self.accounts.users.get_mut(user_id);
        let account = account.ok_or_else(|| Refusal::not_found("User not found"))?;
        account.rate_limit = Some((per_second, burst));
        Ok(json!({ "messages_per_second": per_second, "burst_count": burst }))
    }

    /// `GET /_synapse/admin/v1/users/{userId}/override_ratelimit`
    pub fn admin_rate_limit(&self, user_id: &str) -> Answer<Value> {
        self.check_local(user_id)?;
        let account = self
            .accounts
            .users
            .get(user_id)
            .ok_or_else(|| Refusal::not_found("User not found"))?;
        Ok(match account.rate_limit {
            Some((per_second, burst)) => json!({ "messages_per_second": per_second, "burst_count": burst }),
            None => json!({}),
        })
    }

    /// `DELETE /_synapse/admin/v1/users/{userId}/override_ratelimit`
    pub fn admin_clear_rate_limit(&mut self, user_id: &str) -> Answer<Value> {
        let account = self.accounts.users.get_mut(user_id);
        account
            .ok_or_else(|| Refusal::not_found("User not found"))?
            .rate_limit = None;
        Ok(json!({}))
    }

    /// `GET /_synapse/admin/v1/users/{userId}/joined_rooms`
    pub fn admin_joined_rooms(&self, user_id: &str) -> Value {
        let rooms = self.rooms_of(user_id);
        json!({ "joined_rooms": rooms, "total": rooms.len() })
    }

    /// `GET /_synapse/admin/v1/rooms`
    pub fn admin_rooms(&self, from: u64, limit: u64, search: Option<&str>) -> Value {
        let mut rooms: Vec<&Room> = self
            .rooms
            .values()
            .filter(|room| matches_search(room, search))
            .collect();
        // By name, those without one last.
        rooms.sort_by_key(|room| {
            let name = room.state_text("m.room.name", "name").map(str::to_lowercase);
            (name.is_none(), name, room.room_id.clone())
        });
        let skip = usize::try_from(from).unwrap_or(usize::MAX);
        let take = usize::try_from(limit).unwrap_or(100);
        let total = rooms.len();
        let page: Vec<Object> = rooms.into_iter().skip(skip).take(take).map(admin_room).collect();
        let mut answer = json!({ "offset": from, "rooms": page, "total_rooms": total });
        if skip.saturating_add(take) < total {
            answer["next_batch"] = json!(skip + take);
        }
        if skip > 0 {
            answer["prev_batch"] = json!(skip.saturating_sub(take));
        }
        answer
    }

    /// `GET /_synapse/admin/v1/rooms/{roomId}`
    pub fn admin_room(&self, room_id: &str) -> Answer<Object> {
        let room = self
            .room(room_id)
            .ok_or_else(|| Refusal::not_found("Room not found"))?;
        let mut answer = admin_room(room);
        answer.insert(
            "avatar".to_owned(),
            json!(room.state_text("m.room.avatar", "url")),
        );
        answer.insert(
            "topic".to_owned(),
            json!(room.state_text("m.room.topic", "topic")),
        );
        let replacement = room.state_text("m.room.tombstone", "replacement_room");
        answer.insert(
            "tombstoned".to_owned(),
            json!(room.state_event("m.room.tombstone", "").is_some()),
        );
        answer.insert("replacement_room".to_owned(), json!(replacement));
        let devices = room
            .members("join")
            .filter_map(|(user_id, _)| self.accounts.users.get(user_id));
        let devices: usize = devices.map(|account| account.devices.len()).sum();
        answer.insert("joined_local_devices".to_owned(), json!(devices));
        answer.insert("forgotten".to_owned(), json!(!room.is_alive()));
        Ok(answer)
    }

    /// `GET /_synapse/admin/v1/rooms/{roomId}/members`
    pub fn admin_room_members(&self, room_id: &str) -> Answer<Value> {
        let room = self
            .room(room_id)
            .ok_or_else(|| Refusal::not_found("Room not found"))?;
        let members: Vec<&str> = room.members("join").map(|(user_id, _)| user_id).collect();
        Ok(json!({ "members": members, "total": members.len() }))
    }

    /// `GET /_synapse/admin/v1/rooms/{roomId}/state`
    pub fn admin_room_state(&self, who: &Requester, room_id: &str) -> Answer<Value> {
        let room = self
            .room(room_id)
            .ok_or_else(|| Refusal::not_found("Room not found"))?;
        let state: Vec<Object> = room
            .current_state()
            .map(|event| self.show(room, event, Show::state(who)))
            .collect();
        Ok(json!({ "state": state }))
    }

    /// `DELETE /_synapse/admin/v2/rooms/{roomId}`; answers the id of the work in the background, which is done at once.
    pub fn admin_delete_room(&mut self, room_id: &str, block: bool, purge: bool) -> Answer<String> {
        if !room_id.starts_with('!') {
            return Err(Refusal::bad(format!("{room_id} is not a legal room ID")));
        }
        if block {
            self.blocked_rooms.insert(room_id.to_owned());
        }
        if let Some(room) = self.rooms.get(room_id) {
            let inside = |membership| matches!(membership, Some("join" | "invite" | "knock"));
            let members: Vec<Arc<super::rooms::StoredEvent>> = room
                .current_state()
                .filter(|event| inside(event.membership()))
                .cloned()
                .collect();
            for member in members.iter().filter_map(|event| event.state_key.clone()) {
                let content: Object = [("membership".to_owned(), json!("leave"))].into_iter().collect();
                self.append(Draft::state(room_id, &member, "m.room.member", &member, content));
            }
            self.aliases.retain(|_, stored| stored.room_id != room_id);
            if purge {
                self.rooms.remove(room_id);
                self.touch();
            }
        }
        Ok(self.ids.letters("deletion", 16))
    }

    /// `POST /_synapse/admin/v1/join/{roomIdOrAlias}`
    pub fn admin_join(&mut self, who: &Requester, room: &str, user_id: &str) -> Answer<String> {
        self.check_local(user_id)?;
        if !self.accounts.users.contains_key(user_id) {
            return Err(Refusal::not_found("User not found"));
        }
        let room_id = if room.starts_with('#') {
            self.resolve_alias(room)?
        } else {
            room.to_owned()
        };
        let found = self
            .room(&room_id)
            .ok_or_else(|| Refusal::not_found("Room not found"))?;
        let unlimited = |action: &str| Change {
            unlimited: true,
            ..Change::new(action, Object::new())
        };
        if found.join_rule() != "public" && !found.is_joined(user_id) {
            self.change_membership(who, user_id, &room_id, &unlimited("invite"))?;
        }
        self.change_membership(&as_user(user_id), user_id, &room_id, &unlimited("join"))?;
        Ok(room_id)
    }

    /// `POST /_synapse/admin/v1/rooms/{roomId}/make_room_admin`: the most powerful local member shares the power with
    /// a user, who is invited if need be.
    pub fn admin_make_room_admin(&mut self, room_id: &str, user_id: &str) -> Answer<()> {
        self.check_local(user_id)?;
        let room = self
            .room(room_id)
            .ok_or_else(|| Refusal::bad("Server not in room"))?;
        let giver = room
            .members("join")
            .map(|(member, _)| member)
            .max_by_key(|member| room.power_of(member));
        let giver = giver.map(ToOwned::to_owned);
        let giver = giver.ok_or_else(|| Refusal::bad("No local admin user in room"))?;
        let power = room.power_of(&giver);
        if power < room.power_to_send("m.room.power_levels", true) {
            return Err(Refusal::bad(
                "No local admin user in room with power to update power levels.",
            ));
        }
        let membership = room.membership(user_id).map(ToOwned::to_owned);
        let public = room.join_rule() == "public";
        if !room.is_creator(user_id) && room.power_of(user_id) < power {
            let mut levels = room
                .state_content("m.room.power_levels", "")
                .cloned()
                .unwrap_or_default();
            let most = if power >= super::power::CREATOR {
                highest_level(&levels)
            } else {
                power
            };
            let users = levels.entry("users".to_owned()).or_insert_with(|| json!({}));
            users[user_id] = json!(most);
            self.accept(Draft::state(room_id, &giver, "m.room.power_levels", "", levels))?;
        }
        if !public && !matches!(membership.as_deref(), Some("join" | "invite")) {
            let change = Change {
                unlimited: true,
                ..Change::new("invite", Object::new())
            };
            self.change_membership(&as_user(&giver), user_id, room_id, &change)?;
        }
        Ok(())
    }
}

/// What it takes to do anything in a room.
fn highest_level(levels: &Object) -> i64 {
    let events = levels
        .get("events")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(_, level)| level);
    let most = levels.values().chain(events).filter_map(Value::as_i64).max();
    most.unwrap_or(100).max(100)
}

fn as_user(user_id: &str) -> Requester {
    Requester {
        user_id: user_id.to_owned(),
        device_id: None,
        appservice_id: None,
        is_admin: false,
        is_sender: false,
    }
}

fn matches_search(room: &Room, search: Option<&str>) -> bool {
    let Some(term) = search.map(str::to_lowercase) else {
        return true;
    };
    let contains = |text: Option<&str>| text.is_some_and(|text| text.to_lowercase().contains(&term));
    contains(room.state_text("m.room.name", "name"))
        || contains(room.state_text("m.room.canonical_alias", "alias"))
        || contains(Some(&room.room_id))
}

fn admin_room(room: &Room) -> Object {
    let joined = room.joined_count();
    let answer = json!({
        "room_id": room.room_id,
        "name": room.state_text("m.room.name", "name"),
        "canonical_alias": room.state_text("m.room.canonical_alias", "alias"),
        "joined_members": joined,
        "joined_local_members": joined,
        "version": room.version.as_string(),
        "creator": room.creator,
        "encryption": room.state_text("m.room.encryption", "algorithm"),
        "federatable": room
            .state_content("m.room.create", "")
            .and_then(|create| create.get("m.federate"))
            .and_then(Value::as_bool)
            .unwrap_or(true),
        "public": room.is_public,
        "join_rules": room.state_text("m.room.join_rules", "join_rule"),
        "guest_access": room.state_text("m.room.guest_access", "guest_access"),
        "history_visibility": room.state_text("m.room.history_visibility", "history_visibility"),
        "state_events": room.current_state().count(),
        "room_type": room.room_type(),
    });
    answer.as_object().cloned().unwrap_or_default()
}
