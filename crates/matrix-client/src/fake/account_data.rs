//! What clients keep on the server: account data, tags, filters, push rules.

use serde_json::{Value, json};

use super::{
    filter::EventFilter,
    homeserver::Homeserver,
    refusal::{Answer, Object, Refusal},
    requester::Requester,
};

impl Homeserver {
    /// `GET /user/{userId}/[rooms/{roomId}/]account_data/{type}`; the room is empty for global data.
    pub fn account_data(&self, who: &Requester, user_id: &str, room_id: &str, kind: &str) -> Answer<Object> {
        if user_id != who.user_id {
            return Err(Refusal::forbidden("Cannot get account data for other users."));
        }
        if room_id.is_empty() && kind == "m.push_rules" {
            return Ok(push_rules());
        }
        let account = self.accounts.users.get(user_id);
        let found = account.and_then(|account| account.data.get(&(room_id.to_owned(), kind.to_owned())));
        let found = found.map(|(content, _)| content.clone());
        let words = if room_id.is_empty() {
            "Account data not found"
        } else {
            "Room account data not found"
        };
        found.ok_or_else(|| Refusal::not_found(words))
    }

    /// `PUT /user/{userId}/[rooms/{roomId}/]account_data/{type}`; the room is empty for global data.
    pub fn set_account_data(
        &mut self,
        who: &Requester,
        user_id: &str,
        room_id: &str,
        kind: &str,
        content: Object,
    ) -> Answer<()> {
        if user_id != who.user_id {
            return Err(Refusal::forbidden("Cannot add account data for other users."));
        }
        let elsewhere = match kind {
            "m.fully_read" => Some("/rooms/!roomId:server.name/read_markers"),
            "m.push_rules" if room_id.is_empty() => Some("/pushrules"),
            _ => None,
        };
        if let Some(path) = elsewhere {
            let words = format!("Cannot set {kind} through this API. Use {path}");
            return Err(Refusal::new(405, "M_BAD_JSON", words));
        }
        self.store_account_data(user_id, room_id, kind, content);
        Ok(())
    }

    pub(super) fn store_account_data(&mut self, user_id: &str, room_id: &str, kind: &str, content: Object) {
        let position = self.touch();
        if let Some(account) = self.accounts.users.get_mut(user_id) {
            account
                .data
                .insert((room_id.to_owned(), kind.to_owned()), (content, position));
        }
    }

    pub(super) fn new_account_data(
        &self,
        who: &Requester,
        room_id: &str,
        since: Option<u64>,
        filter: &EventFilter,
    ) -> Vec<Value> {
        let mut events = Vec::new();
        if room_id.is_empty() && since.is_none() && filter.lets_type_through("m.push_rules") {
            events.push(json!({ "type": "m.push_rules", "content": push_rules() }));
        }
        let data = self.accounts.users.get(&who.user_id).map(|account| &account.data);
        for ((room, kind), (content, position)) in data.into_iter().flatten() {
            let empty_tags = kind == "m.tag" && content.get("tags") == Some(&json!({}));
            let is_new = since.map_or(!empty_tags, |since| *position > since);
            if room == room_id && is_new && filter.lets_type_through(kind) {
                events.push(json!({ "type": kind, "content": content }));
            }
        }
        events
    }

    /// `GET`, `PUT` and `DELETE /user/{userId}/rooms/{roomId}/tags[/{tag}]`: all tags of the room.
    pub fn tags(&self, who: &Requester, room_id: &str) -> Object {
        let tags = self.account_data(who, &who.user_id, room_id, "m.tag").ok();
        tags.unwrap_or_else(|| [("tags".to_owned(), json!({}))].into_iter().collect())
    }

    /// Sets (or, with `None`, removes) a tag of a room.
    pub fn set_tag(
        &mut self,
        who: &Requester,
        room_id: &str,
        tag: &str,
        content: Option<Value>,
    ) -> Answer<()> {
        let mut tags = self.tags(who, room_id);
        if let Some(Value::Object(entries)) = tags.get_mut("tags") {
            match content {
                Some(content) => entries.insert(tag.to_owned(), content),
                None => entries.remove(tag),
            };
        }
        self.set_account_data(who, &who.user_id, room_id, "m.tag", tags)
    }

    /// `POST /user/{userId}/filter`; answers the filter's id.
    pub fn save_filter(&mut self, who: &Requester, user_id: &str, definition: Object) -> Answer<String> {
        if user_id != who.user_id {
            return Err(Refusal::forbidden("Cannot create filters for other users"));
        }
        if definition.get("room").is_some_and(|room| !room.is_object()) {
            return Err(Refusal::internal());
        }
        let Some(account) = self.accounts.users.get_mut(user_id) else {
            return Err(Refusal::forbidden("Cannot create filters for other users"));
        };
        let known = account.filters.iter().position(|known| *known == definition);
        let id = known.unwrap_or_else(|| {
            account.filters.push(definition);
            account.filters.len() - 1
        });
        Ok(id.to_string())
    }

    /// `GET /user/{userId}/filter/{filterId}`
    pub fn filter(&self, who: &Requester, user_id: &str, id: &str) -> Answer<Object> {
        if user_id != who.user_id {
            return Err(Refusal::forbidden("Cannot get filters for other users"));
        }
        if id.parse::<u64>().is_err() {
            return Err(Refusal::bad("Invalid filter_id"));
        }
        self.saved_filter(user_id, id)
            .ok_or_else(|| Refusal::not_found("No such filter"))
    }

    fn saved_filter(&self, user_id: &str, id: &str) -> Option<Object> {
        let account = self.accounts.users.get(user_id)?;
        account.filters.get(id.parse::<usize>().ok()?).cloned()
    }

    /// The filter of a `sync`: a definition or the id of a saved one.
    pub fn sync_filter(&self, who: &Requester, filter: &str) -> Answer<Object> {
        if filter.starts_with('{') {
            let parsed = serde_json::from_str(filter);
            return parsed.map_err(|_| Refusal::new(400, "M_NOT_JSON", "Invalid filter JSON"));
        }
        let saved = self.saved_filter(&who.user_id, filter);
        saved.ok_or_else(|| Refusal::invalid_param("No such filter"))
    }
}

/// The server's default push rules, as far as clients need them to be there.
pub(super) fn push_rules() -> Object {
    let rule = |id: &str, conditions: Value, actions: Value| json!({ "rule_id": id, "default": true, "enabled": true, "conditions": conditions, "actions": actions });
    let is_type = |kind: &str| json!([{ "kind": "event_match", "key": "type", "pattern": kind }]);
    let notify = json!(["notify", { "set_tweak": "highlight", "value": false }]);
    let mut master = rule(".m.rule.master", json!([]), json!([]));
    master["enabled"] = json!(false);
    let global = json!({
        "override": [
            master,
            rule(
                ".m.rule.suppress_notices",
                json!([{ "kind": "event_match", "key": "content.msgtype", "pattern": "m.notice" }]),
                json!([]),
            ),
        ],
        "content": [],
        "room": [],
        "sender": [],
        "underride": [
            rule(".m.rule.message", is_type("m.room.message"), notify.clone()),
            rule(".m.rule.encrypted", is_type("m.room.encrypted"), notify),
        ],
    });
    [("global".to_owned(), global)].into_iter().collect()
}
