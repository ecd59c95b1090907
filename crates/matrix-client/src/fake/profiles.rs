//! Display names and avatars, and how they get into rooms.

use serde_json::{Value, json};

use super::{
    homeserver::Homeserver,
    membership::Change,
    refusal::{Answer, Object, Refusal},
    requester::Requester,
    settings::ProfilePropagation,
};

/// A field of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileField {
    /// `displayname`
    DisplayName,
    /// `avatar_url`
    AvatarUrl,
}

impl ProfileField {
    /// Its name on the wire.
    pub fn key(self) -> &'static str {
        match self {
            Self::DisplayName => "displayname",
            Self::AvatarUrl => "avatar_url",
        }
    }
}

impl Homeserver {
    /// `GET /profile/{userId}`
    pub fn profile(&self, user_id: &str) -> Answer<Object> {
        if !self.is_local(user_id) {
            return Err(Refusal::other_server(user_id));
        }
        let profile = self.accounts.profiles.get(user_id);
        let profile = profile.ok_or_else(|| Refusal::new(404, "M_UNKNOWN", "No row found (profiles)"))?;
        let mut answer = Object::new();
        for (key, value) in [
            ("displayname", &profile.display_name),
            ("avatar_url", &profile.avatar_url),
        ] {
            if let Some(value) = value {
                answer.insert(key.to_owned(), json!(value));
            }
        }
        if answer.is_empty() {
            return Err(Refusal::not_found("Profile was not found"));
        }
        Ok(answer)
    }

    /// `GET /profile/{userId}/{field}`
    pub fn profile_field(&self, user_id: &str, field: ProfileField) -> Answer<Object> {
        if self.is_local(user_id) && !self.accounts.profiles.contains_key(user_id) {
            return Err(Refusal::not_found("Profile was not found"));
        }
        let mut profile = match self.profile(user_id) {
            Err(refusal) if refusal.status == 404 => Object::new(),
            other => other?,
        };
        profile.retain(|key, _| key == field.key());
        Ok(profile)
    }

    /// `PUT /profile/{userId}/{field}`. Server administrators may set everyone's, and so make profiles of users that
    /// do not exist. An empty text removes the field.
    pub fn set_profile_field(
        &mut self,
        who: &Requester,
        user_id: &str,
        field: ProfileField,
        value: &Value,
    ) -> Answer<()> {
        if !self.is_local(user_id) {
            return Err(Refusal::bad("User is not hosted on this homeserver"));
        }
        if who.user_id != user_id && !who.is_admin {
            let what = if field == ProfileField::DisplayName {
                "displayname"
            } else {
                "avatar_url"
            };
            return Err(Refusal::new(
                400,
                "M_FORBIDDEN",
                format!("Cannot set another user's {what}"),
            ));
        }
        let Some(text) = value.as_str() else {
            return Err(Refusal::invalid_param(format!(
                "'{}' must be a string",
                field.key()
            )));
        };
        let (limit, name) = match field {
            ProfileField::DisplayName => (256, "Displayname"),
            ProfileField::AvatarUrl => (1000, "Avatar URL"),
        };
        if text.chars().count() > limit {
            return Err(Refusal::bad(format!("{name} is too long (max {limit})")));
        }
        let profile = self.accounts.profiles.entry(user_id.to_owned()).or_default();
        let slot = match field {
            ProfileField::DisplayName => &mut profile.display_name,
            ProfileField::AvatarUrl => &mut profile.avatar_url,
        };
        *slot = (!text.is_empty()).then(|| text.to_owned());
        match self.settings.profile_propagation {
            ProfilePropagation::AtOnce => self.propagate_profile(user_id),
            ProfilePropagation::After(delay) => {
                let due = self.now_ms() + u64::try_from(delay.as_millis()).unwrap_or(u64::MAX / 4);
                self.profile_changes.push((due, user_id.to_owned()));
                self.touch();
            }
        }
        Ok(())
    }

    /// Lets membership events follow profiles whose time has come. Answers when the next one is due.
    pub(super) fn propagate_due_profiles(&mut self) -> Option<u64> {
        let now = self.now_ms();
        let changes = std::mem::take(&mut self.profile_changes);
        let (due, later): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(time, _)| *time <= now);
        self.profile_changes = later;
        for (_, user_id) in due {
            self.propagate_profile(&user_id);
        }
        self.profile_changes.iter().map(|(time, _)| *time).min()
    }

    fn propagate_profile(&mut self, user_id: &str) {
        let who = Requester {
            user_id: user_id.to_owned(),
            device_id: None,
            appservice_id: None,
            is_admin: false,
            is_sender: false,
        };
        for room_id in self.rooms_of(user_id) {
            let change = Change {
                unlimited: true,
                ..Change::new("join", Object::new())
            };
            // A room that does not let the member event in keeps the old name.
            let _ = self.change_membership(&who, user_id, &room_id, &change);
        }
    }
}
