//! Power levels.

use serde_json::Value;

use super::{
    refusal::{Answer, Object, Refusal},
    rooms::Room,
};

/// What stands for the boundless power of creators since room version 12.
pub(super) const CREATOR: i64 = 1 << 53;

impl Room {
    fn power_levels(&self) -> Option<&Object> {
        self.state_event("m.room.power_levels", "")
            .map(|event| &event.content)
    }

    /// Whether the user is one of those who made the room, where that gives boundless power.
    pub(super) fn is_creator(&self, user_id: &str) -> bool {
        let additional = || {
            let create = self.state_event("m.room.create", "")?;
            let creators = create.content.get("additional_creators")?.as_array()?;
            Some(creators.iter().any(|creator| creator.as_str() == Some(user_id)))
        };
        self.version.creators_have_power() && (self.creator == user_id || additional().unwrap_or_default())
    }

    pub(super) fn power_of(&self, user_id: &str) -> i64 {
        if self.is_creator(user_id) {
            return CREATOR;
        }
        let Some(levels) = self.power_levels() else {
            return if self.creator == user_id { 100 } else { 0 };
        };
        let own = levels
            .get("users")
            .and_then(|users| users.get(user_id))
            .and_then(level);
        own.or_else(|| levels.get("users_default").and_then(level))
            .unwrap_or_default()
    }

    /// `ban`, `kick`, `invite` or `redact`.
    pub(super) fn power_to(&self, action: &str, default: i64) -> i64 {
        self.power_levels()
            .and_then(|levels| levels.get(action))
            .and_then(level)
            .unwrap_or(default)
    }

    pub(super) fn power_to_send(&self, kind: &str, is_state: bool) -> i64 {
        let Some(levels) = self.power_levels() else {
            return if is_state { 50 } else { 0 };
        };
        let own = levels
            .get("events")
            .and_then(|events| events.get(kind))
            .and_then(level);
        let (default, otherwise) = if is_state {
            ("state_default", 50)
        } else {
            ("events_default", 0)
        };
        own.or_else(|| levels.get(default).and_then(level))
            .unwrap_or(otherwise)
    }

    /// Whether a user may set these power levels.
    pub(super) fn check_power_levels(&self, sender: &str, content: &Object) -> Answer<()> {
        self.check_power_levels_shape(content)?;
        if let Some(old) = self.power_levels() {
            self.check_power_levels_change(sender, old, content)?;
        }
        Ok(())
    }

    fn check_power_levels_shape(&self, content: &Object) -> Answer<()> {
        for (key, value) in content {
            let single = matches!(
                key.as_str(),
                "users_default" | "events_default" | "state_default" | "ban" | "redact" | "kick" | "invite"
            );
            let table = matches!(key.as_str(), "events" | "users" | "notifications");
            let is_int = |value: &Value| value.is_i64() || value.is_u64();
            if single && !is_int(value) {
                return Err(Refusal::bad_json(format!(
                    "\"{key}\": {} is not of type 'integer'",
                    quoted(value)
                )));
            }
            if table {
                let entries = value.as_object();
                let entries = entries.ok_or_else(|| {
                    Refusal::bad_json(format!("\"{key}\": {} is not of type 'object'", quoted(value)))
                })?;
                let wrong = entries.iter().find(|(_, level)| !is_int(level));
                if let (true, Some((entry, level))) = (self.version.strict_power_levels(), wrong) {
                    return Err(Refusal::bad_json(format!(
                        "\"{entry}\": {} is not of type 'integer'",
                        quoted(level)
                    )));
                }
            }
        }
        let users = content.get("users").and_then(Value::as_object);
        for user_id in users.into_iter().flat_map(Object::keys) {
            if !user_id.starts_with('@') || !user_id.contains(':') {
                return Err(Refusal::bad(format!("Not a valid user_id: {user_id}")));
            }
        }
        if self.version.creators_have_power() {
            let names = |user_id: &str| users.is_some_and(|users| users.contains_key(user_id));
            if names(&self.creator) {
                let words = format!("Creator user {} must not appear in content.users", self.creator);
                return Err(Refusal::bad(words));
            }
            if users
                .into_iter()
                .flat_map(Object::keys)
                .any(|user_id| self.is_creator(user_id))
            {
                return Err(Refusal::bad(
                    "Additional creators users must not appear in content.users",
                ));
            }
        }
        Ok(())
    }

    fn check_power_levels_change(&self, sender: &str, old: &Object, new: &Object) -> Answer<()> {
        let own = self.power_of(sender);
        let too_big = |level: Option<i64>| level.is_some_and(|level| level > own);
        let refuse =
            || Refusal::forbidden("You don't have permission to add ops level greater than your own");
        for key in [
            "users_default",
            "events_default",
            "state_default",
            "ban",
            "redact",
            "kick",
            "invite",
        ] {
            let (before, after) = (old.get(key).and_then(level), new.get(key).and_then(level));
            if before != after && (too_big(before) || too_big(after)) {
                return Err(refuse());
            }
        }
        for table in ["users", "events", "notifications"] {
            let entries = |of: &Object| {
                of.get(table)
                    .and_then(Value::as_object)
                    .cloned()
                    .unwrap_or_default()
            };
            let (before, after) = (entries(old), entries(new));
            for entry in before.keys().chain(after.keys()) {
                let (before, after) = (
                    before.get(entry).and_then(level),
                    after.get(entry).and_then(level),
                );
                if before == after {
                    continue;
                }
                if table == "users" && entry != sender && before == Some(own) {
                    let words = "You don't have permission to remove ops level equal to your own";
                    return Err(Refusal::forbidden(words));
                }
                if too_big(before) || too_big(after) {
                    return Err(refuse());
                }
            }
        }
        Ok(())
    }
}

fn level(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
}

/// As Python writes it.
pub(super) fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{text}'"),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => "None".to_owned(),
        other => other.to_string(),
    }
}
