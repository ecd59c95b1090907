//! Devices, the proof of identity that some calls want, and the user directory.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    accounts::{Device, localpart_of, text},
    homeserver::Homeserver,
    refusal::{Answer, Object, Refusal},
    requester::Requester,
};

impl Homeserver {
    /// Passes with the user's own password in `auth`, or for an application service; else says what is missing.
    pub fn check_identity(&mut self, who: &Requester, body: &Object) -> Answer<()> {
        if who.appservice_id.is_some() {
            return Ok(());
        }
        let auth = body.get("auth").and_then(Value::as_object);
        let given = auth.filter(|auth| text(auth, "type") == Some("m.login.password"));
        let given = given.and_then(|auth| text(auth, "password"));
        let expected = self
            .accounts
            .users
            .get(&who.user_id)
            .and_then(|account| account.password.as_deref());
        if given.is_some() && given == expected {
            return Ok(());
        }
        let session = self.ids.session();
        self.accounts.sessions.insert(session.clone(), Vec::new());
        let mut refusal =
            Refusal::new(401, "M_FORBIDDEN", "Invalid username or password").with("completed", json!([]));
        if given.is_none() {
            refusal.body.clear();
        }
        Err(refusal
            .with("session", json!(session))
            .with("flows", json!([{ "stages": ["m.login.password"] }]))
            .with("params", json!({})))
    }

    /// `GET /devices`
    pub fn devices(&self, who: &Requester) -> Vec<Object> {
        let devices = self
            .accounts
            .users
            .get(&who.user_id)
            .map(|account| &account.devices);
        devices
            .into_iter()
            .flatten()
            .map(|(id, device)| show(&who.user_id, id, device, self.now_ms()))
            .collect()
    }

    /// `GET /devices/{deviceId}`
    pub fn device(&self, who: &Requester, id: &str) -> Answer<Object> {
        let account = self.accounts.users.get(&who.user_id);
        let device = account.and_then(|account| account.devices.get(id));
        let device = device.ok_or_else(|| Refusal::not_found("Not found"))?;
        Ok(show(&who.user_id, id, device, self.now_ms()))
    }

    /// `PUT /devices/{deviceId}`
    pub fn rename_device(&mut self, who: &Requester, id: &str, name: Option<&str>) -> Answer<()> {
        let account = self.accounts.users.get_mut(&who.user_id);
        let device = account.and_then(|account| account.devices.get_mut(id));
        let device = device.ok_or_else(|| Refusal::not_found("Not found"))?;
        if let Some(name) = name {
            device.display_name = Some(name.to_owned());
        }
        Ok(())
    }

    /// `DELETE /devices/{deviceId}`
    pub fn delete_device(&mut self, who: &Requester, id: &str) {
        self.remove_device(&who.user_id, id);
    }

    /// `POST /user_directory/search`: people in rooms that the user shares, or that are public.
    pub fn search_users(&self, who: &Requester, term: &str, limit: usize) -> Value {
        let term = term.trim_start_matches('@').to_lowercase();
        let mut known = BTreeSet::new();
        for room in self.rooms.values() {
            if room.is_joined(&who.user_id) || room.join_rule() == "public" {
                known.extend(room.members("join").map(|(user_id, _)| user_id));
            }
        }
        let matches = |user_id: &&str| {
            let name = self
                .accounts
                .profiles
                .get(*user_id)
                .and_then(|profile| profile.display_name.as_deref());
            localpart_of(user_id).to_lowercase().contains(&term)
                || name.is_some_and(|name| name.to_lowercase().contains(&term))
        };
        let found: Vec<&str> = known
            .into_iter()
            .filter(|user_id| *user_id != who.user_id)
            .filter(matches)
            .collect();
        let results = found.iter().take(limit).map(|user_id| {
            let profile = self.accounts.profiles.get(*user_id).cloned().unwrap_or_default();
            json!({ "user_id": user_id, "display_name": profile.display_name, "avatar_url": profile.avatar_url })
        });
        json!({ "limited": found.len() > limit, "results": results.collect::<Vec<_>>() })
    }
}

/// Whoever asks was seen just now.
fn show(user_id: &str, id: &str, device: &Device, now_ms: u64) -> Object {
    let shown = json!({
        "device_id": id,
        "display_name": device.display_name,
        "last_seen_ip": "127.0.0.1",
        "last_seen_ts": now_ms,
        "user_id": user_id,
    });
    shown.as_object().cloned().unwrap_or_default()
}
