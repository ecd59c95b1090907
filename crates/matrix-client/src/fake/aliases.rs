//! Room aliases and the room directory.

use serde_json::{Value, json};

use super::{
    accounts::text,
    events::Draft,
    homeserver::Homeserver,
    refusal::{Answer, Object, Refusal},
    requester::Requester,
    rooms::{Room, StoredAlias},
};

impl Homeserver {
    /// `GET /directory/room/{roomAlias}`; answers the room's id.
    pub fn resolve_alias(&self, alias: &str) -> Answer<String> {
        if !alias.starts_with('#') || !alias.contains(':') {
            return Err(Refusal::invalid_param("Room alias invalid"));
        }
        if !self.is_local(alias) {
            return Err(Refusal::new(502, "M_UNKNOWN", "Failed to fetch alias"));
        }
        let found = self.aliases.get(alias).map(|stored| stored.room_id.clone());
        found.ok_or_else(|| Refusal::not_found(format!("Room alias {alias} not found")))
    }

    /// The application service that is to be asked about an unknown alias.
    pub(super) fn owner_of_unknown_alias(&self, alias: &str) -> Option<String> {
        if self.aliases.contains_key(alias) {
            return None;
        }
        let owner = self
            .appservices
            .iter()
            .find(|appservice| appservice.has_alias(alias));
        owner.map(|appservice| appservice.id.clone())
    }

    /// `PUT /directory/room/{roomAlias}`
    pub fn create_alias(&mut self, who: &Requester, alias: &str, room_id: &str) -> Answer<()> {
        check_alias(alias)?;
        if !self.is_local(alias) {
            return Err(Refusal::bad("Room alias must be local"));
        }
        if self.room(room_id).is_none() {
            return Err(Refusal::bad("Room does not exist"));
        }
        let by_user = who.appservice_id.is_none() && !who.is_admin;
        if by_user
            && !self
                .room(room_id)
                .is_some_and(|room| room.is_joined(&who.user_id))
        {
            return Err(Refusal::forbidden(
                "You must be in the room to create an alias for it",
            ));
        }
        self.create_alias_unchecked_membership(who, alias, room_id)
    }

    pub(super) fn create_alias_unchecked_membership(
        &mut self,
        who: &Requester,
        alias: &str,
        room_id: &str,
    ) -> Answer<()> {
        if alias.len() > 255 {
            return Err(Refusal::invalid_param(
                "Can't create aliases longer than 255 characters",
            ));
        }
        match self.speaker(who) {
            Some(appservice) if !appservice.has_alias(alias) => {
                return Err(Refusal::exclusive(
                    "This application service has not reserved this kind of alias.",
                ));
            }
            None if self
                .appservices
                .iter()
                .any(|appservice| appservice.owns_alias(alias)) =>
            {
                return Err(Refusal::exclusive(
                    "This alias is reserved by an application service.",
                ));
            }
            _ => {}
        }
        if self.aliases.contains_key(alias) {
            return Err(Refusal::new(
                409,
                "M_UNKNOWN",
                format!("Room alias {alias} already exists"),
            ));
        }
        let stored = StoredAlias {
            room_id: room_id.to_owned(),
            creator: who.user_id.clone(),
        };
        self.aliases.insert(alias.to_owned(), stored);
        Ok(())
    }

    /// `DELETE /directory/room/{roomAlias}`
    pub fn delete_alias(&mut self, who: &Requester, alias: &str) -> Answer<()> {
        check_alias(alias)?;
        if let Some(appservice) = self.speaker(who) {
            if !appservice.has_alias(alias) {
                return Err(Refusal::exclusive(
                    "This application service has not reserved this kind of alias",
                ));
            }
            // Synapse does not say whether there was one.
            self.aliases.remove(alias);
            return Ok(());
        }
        let stored = self
            .aliases
            .get(alias)
            .ok_or_else(|| Refusal::not_found("Unknown room alias"))?;
        let room = self.room(&stored.room_id);
        let has_power = room.is_some_and(|room| {
            room.power_of(&who.user_id) >= room.power_to_send("m.room.canonical_alias", true)
        });
        if stored.creator != who.user_id && !who.is_admin && !has_power {
            return Err(Refusal::forbidden(
                "You don't have permission to delete the alias.",
            ));
        }
        if self
            .appservices
            .iter()
            .any(|appservice| appservice.owns_alias(alias))
        {
            return Err(Refusal::exclusive(
                "This alias is reserved by an application service.",
            ));
        }
        let room_id = stored.room_id.clone();
        self.aliases.remove(alias);
        self.drop_canonical_alias(who, &room_id, alias);
        Ok(())
    }

    /// Takes a deleted alias out of the room's own list, where the user may do that.
    fn drop_canonical_alias(&mut self, who: &Requester, room_id: &str, alias: &str) {
        let content = self
            .room(room_id)
            .and_then(|room| room.state_content("m.room.canonical_alias", ""));
        let Some(mut content) = content.cloned() else {
            return;
        };
        let before = content.clone();
        if text(&content, "alias") == Some(alias) {
            content.remove("alias");
        }
        if let Some(Value::Array(others)) = content.get_mut("alt_aliases") {
            others.retain(|other| other.as_str() != Some(alias));
        }
        if content != before {
            let draft = Draft::state(room_id, &who.user_id, "m.room.canonical_alias", "", content);
            // Whoever may delete the alias need not have the power to say so in the room.
            let _ = self.accept(draft);
        }
    }

    /// `GET /rooms/{roomId}/aliases`
    pub fn room_aliases(&self, who: &Requester, room_id: &str) -> Answer<Vec<String>> {
        if !who.is_admin {
            self.readable_room(who, room_id)?;
        }
        Ok(self.aliases_of(room_id))
    }

    pub(super) fn aliases_of(&self, room_id: &str) -> Vec<String> {
        let own = self
            .aliases
            .iter()
            .filter(|(_, stored)| stored.room_id == room_id);
        own.map(|(alias, _)| alias.clone()).collect()
    }

    /// Every alias that a new `m.room.canonical_alias` names must point to the room.
    pub(super) fn check_canonical_alias(&self, draft: &Draft) -> Answer<()> {
        if draft.kind != "m.room.canonical_alias" || draft.state_key.as_deref() != Some("") {
            return Ok(());
        }
        let old = self
            .room(&draft.room_id)
            .and_then(|room| room.state_content("m.room.canonical_alias", ""));
        let named_before =
            |alias: &str| old.is_some_and(|old| names_of(old).any(|other| other.as_str() == Some(alias)));
        if draft
            .content
            .get("alt_aliases")
            .is_some_and(|others| !others.is_array())
        {
            return Err(Refusal::invalid_param("The alt_aliases property must be a list."));
        }
        for name in names_of(&draft.content) {
            let alias = name
                .as_str()
                .ok_or_else(|| Refusal::invalid_param("The alias must be of type string."))?;
            check_alias(alias)?;
            let points_here = self
                .aliases
                .get(alias)
                .is_some_and(|stored| stored.room_id == draft.room_id);
            if !points_here && !named_before(alias) {
                let words = format!("Room alias {alias} does not point to the room");
                return Err(Refusal::new(400, "M_BAD_ALIAS", words));
            }
        }
        Ok(())
    }

    /// The application service that speaks, if one does.
    pub(super) fn speaker(&self, who: &Requester) -> Option<&super::appservice::Appservice> {
        let id = who.appservice_id.as_ref()?;
        self.appservices.iter().find(|appservice| appservice.id == *id)
    }

    /// `GET` and `POST /publicRooms`
    pub fn public_rooms(&self, limit: Option<u64>, search: Option<&str>) -> Value {
        let matches = |room: &&Room| {
            let named = |text: Option<&str>| {
                text.is_some_and(|text| {
                    search.is_none_or(|term| text.to_lowercase().contains(&term.to_lowercase()))
                })
            };
            search.is_none()
                || named(room.state_text("m.room.name", "name"))
                || named(room.state_text("m.room.topic", "topic"))
                || named(room.state_text("m.room.canonical_alias", "alias"))
        };
        let public = self
            .rooms
            .values()
            .filter(|room| room.is_public && room.is_alive());
        let mut found: Vec<Object> = public.filter(matches).map(|room| self.summary(room)).collect();
        let total = found.len();
        found.truncate(usize::try_from(limit.unwrap_or(100)).unwrap_or(100));
        json!({ "chunk": found, "total_room_count_estimate": total })
    }

    /// `GET` and `PUT /directory/list/room/{roomId}`
    pub fn set_directory_visibility(&mut self, who: &Requester, room_id: &str, public: bool) -> Answer<()> {
        let room = self
            .room(room_id)
            .ok_or_else(|| Refusal::not_found("Unknown room"))?;
        if !who.is_admin && !room.is_joined(&who.user_id) {
            return Err(Refusal::not_in_room(&who.user_id, room_id));
        }
        if !who.is_admin && room.power_of(&who.user_id) < room.power_to_send("m.room.canonical_alias", true) {
            let words = "This server requires you to be a moderator in the room to edit its room list entry";
            return Err(Refusal::forbidden(words));
        }
        if public && !self.settings.may_publish && !who.is_admin {
            return Err(Refusal::new(403, "M_UNKNOWN", "Not allowed to publish room"));
        }
        if let Some(room) = self.rooms.get_mut(room_id) {
            room.is_public = public;
        }
        Ok(())
    }

    /// `GET /directory/list/room/{roomId}`
    pub fn directory_visibility(&self, room_id: &str) -> Answer<Value> {
        let room = self
            .room(room_id)
            .ok_or_else(|| Refusal::not_found("Unknown room"))?;
        Ok(json!({ "visibility": if room.is_public { "public" } else { "private" } }))
    }
}

fn names_of(content: &Object) -> impl Iterator<Item = &Value> {
    let others = content
        .get("alt_aliases")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    content
        .get("alias")
        .filter(|alias| !alias.is_null())
        .into_iter()
        .chain(others)
}

fn check_alias(alias: &str) -> Answer<()> {
    if alias.starts_with('#') && alias.contains(':') {
        Ok(())
    } else {
        Err(Refusal::invalid_param(
            "Expected RoomAlias string to start with '#'",
        ))
    }
}
