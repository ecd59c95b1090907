//! Reading and setting the state of rooms, and who is in them.

use serde_json::{Map, Value, json};

use super::{
    events::{Draft, Show},
    homeserver::Homeserver,
    membership::Change,
    refusal::{Answer, Object, Refusal},
    requester::Requester,
};

impl Homeserver {
    /// `GET /rooms/{roomId}/state/{eventType}/{stateKey}`; with `whole_event` all of the event, else its content.
    pub fn get_state_event(
        &self,
        who: &Requester,
        room_id: &str,
        kind: &str,
        state_key: &str,
        whole_event: bool,
    ) -> Answer<Object> {
        let (room, view) = self.readable_room(who, room_id)?;
        let event = room.state_event_at(kind, state_key, view.until());
        let event = event.ok_or_else(Refusal::event_not_found)?;
        let show = Show {
            classic: false,
            ..Show::state(who)
        };
        let mut shown = self.show(room, event, show);
        if whole_event {
            return Ok(shown);
        }
        Ok(shown
            .remove("content")
            .and_then(|content| content.as_object().cloned())
            .unwrap_or_default())
    }

    /// `GET /rooms/{roomId}/state`
    pub fn room_state(&self, who: &Requester, room_id: &str) -> Answer<Vec<Object>> {
        let (room, view) = self.readable_room(who, room_id)?;
        Ok(room
            .state_at(view.until())
            .map(|event| self.show(room, event, Show::state(who)))
            .collect())
    }

    /// `PUT /rooms/{roomId}/state/{eventType}/{stateKey}`; answers the event's id. `ts` is for application
    /// services alone.
    pub fn set_state_event(
        &mut self,
        who: &Requester,
        room_id: &str,
        kind: &str,
        state_key: &str,
        content: Object,
        ts: Option<u64>,
    ) -> Answer<String> {
        let ts = ts.filter(|_| who.appservice_id.is_some());
        if kind == "m.room.member" {
            let membership = content.get("membership").and_then(Value::as_str);
            let membership =
                membership.ok_or_else(|| Refusal::bad("Invalid membership (must be a string)"))?;
            if !state_key.starts_with('@') || !state_key.contains(':') {
                return Err(Refusal::invalid_param("Expected UserID string to start with '@'"));
            }
            let change = Change {
                ts,
                ..Change::new(membership, content.clone())
            };
            return self.change_membership(who, state_key, room_id, &change);
        }
        self.check_event_limit(who, room_id)?;
        self.joined_room(who, room_id)?;
        let mut draft = Draft::state(room_id, &who.user_id, kind, state_key, content);
        draft.ts = ts;
        let before = self.position;
        let event = self.accept(draft)?;
        if event.position > before {
            self.count_event(who);
        }
        Ok(event.event_id.clone())
    }

    /// `GET /rooms/{roomId}/members`
    pub fn members(
        &self,
        who: &Requester,
        room_id: &str,
        membership: Option<&str>,
        not_membership: Option<&str>,
    ) -> Answer<Vec<Object>> {
        let (room, view) = self.readable_room(who, room_id)?;
        let wanted = room.state_at(view.until()).filter(|event| {
            event.kind == "m.room.member"
                && membership.is_none_or(|wanted| event.membership() == Some(wanted))
                && not_membership.is_none_or(|unwanted| event.membership() != Some(unwanted))
        });
        Ok(wanted
            .map(|event| self.show(room, event, Show::state(who)))
            .collect())
    }

    /// `GET /rooms/{roomId}/joined_members`; an application service may ask if any of its users is in the room.
    pub fn joined_members(&self, who: &Requester, room_id: &str) -> Answer<Object> {
        let room = match self.speaker(who) {
            None => {
                let (room, view) = self.readable_room(who, room_id)?;
                if view != super::rooms::View::Now {
                    let words =
                        "Getting joined members while not being a current member of the room is forbidden.";
                    return Err(Refusal::forbidden(words));
                }
                room
            }
            Some(appservice) => {
                let has_member = |room: &&super::rooms::Room| {
                    room.members("join")
                        .any(|(user_id, _)| appservice.has_user(user_id))
                };
                let room = self.room(room_id).filter(has_member);
                room.ok_or_else(|| Refusal::forbidden("Appservice not in room"))?
            }
        };
        let joined = room.members("join").map(|(user_id, event)| {
            let field = |key: &str| event.content.get(key).cloned().unwrap_or(Value::Null);
            let profile = json!({ "display_name": field("displayname"), "avatar_url": field("avatar_url") });
            (user_id.to_owned(), profile)
        });
        let joined: Map<String, Value> = joined.collect();
        Ok([("joined".to_owned(), Value::Object(joined))]
            .into_iter()
            .collect())
    }
}
