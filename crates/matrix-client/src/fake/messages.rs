//! Sending, taking back, and reading again.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    events::{Draft, Show},
    filter::EventFilter,
    homeserver::Homeserver,
    refusal::{Answer, Object, Refusal},
    requester::Requester,
    rooms::{Room, StoredEvent, View},
};

/// An event that someone sends.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// The room.
    pub room_id: &'a str,
    /// The type of the event.
    pub event_type: &'a str,
    /// The transaction id. Without one the call is not idempotent.
    pub transaction_id: Option<&'a str>,
    /// The time of the event, which only application services may choose.
    pub ts: Option<u64>,
}

/// Which part of a room's history is wanted.
#[derive(Clone, Debug, Default)]
pub struct HistoryRequest {
    /// Newest first.
    pub backward: bool,
    /// A token to start at.
    pub from: Option<String>,
    /// A token to stop at.
    pub to: Option<String>,
    /// The most events.
    pub limit: Option<u64>,
    /// Which events.
    pub filter: Object,
}

impl Homeserver {
    /// `PUT /rooms/{roomId}/send/{eventType}/{txnId}`; answers the event's id.
    pub fn send_event(&mut self, who: &Requester, sending: Sending<'_>, content: Object) -> Answer<String> {
        let Sending {
            room_id, event_type, ..
        } = sending;
        let path = format!(
            "{room_id}/send/{event_type}/{}",
            sending.transaction_id.unwrap_or_default()
        );
        if let Some(event_id) = self.sent_before(who, &path, room_id, sending.transaction_id) {
            return Ok(event_id);
        }
        self.check_event_limit(who, room_id)?;
        let room = self.joined_room(who, room_id)?;
        let mut draft = Draft::message(room_id, &who.user_id, event_type, content);
        if event_type == "m.room.redaction" {
            draft.redacts = draft
                .content
                .get("redacts")
                .and_then(Value::as_str)
                .map(ToOwned::to_owned);
        }
        if event_type == "m.room.member" {
            let words = "Tried to send member event through non-member codepath";
            return Err(Refusal::new(500, "M_UNKNOWN", words));
        }
        let parent = super::relations::parent_of(&draft.content);
        let elsewhere = |parent: &str| {
            !room.by_id.contains_key(parent)
                && self.rooms.values().any(|room| room.by_id.contains_key(parent))
        };
        if parent.is_some_and(elsewhere) {
            return Err(Refusal::bad("Relations must be in the same room"));
        }
        room.check_relation(&who.user_id, event_type, &draft.content)?;
        draft.ts = sending.ts.filter(|_| who.appservice_id.is_some());
        self.send(who, &path, sending.transaction_id, draft)
    }

    /// `PUT /rooms/{roomId}/redact/{eventId}/{txnId}`; answers the id of the redaction.
    pub fn redact_event(
        &mut self,
        who: &Requester,
        room_id: &str,
        event_id: &str,
        transaction_id: Option<&str>,
        content: Object,
    ) -> Answer<String> {
        let path = format!(
            "{room_id}/redact/{event_id}/{}",
            transaction_id.unwrap_or_default()
        );
        if let Some(event_id) = self.sent_before(who, &path, room_id, transaction_id) {
            return Ok(event_id);
        }
        self.check_event_limit(who, room_id)?;
        let room = self.joined_room(who, room_id)?;
        let mut draft = Draft::message(room_id, &who.user_id, "m.room.redaction", content);
        if room.version.redacts_in_content() {
            draft.content.insert("redacts".to_owned(), json!(event_id));
        }
        draft.redacts = Some(event_id.to_owned());
        self.send(who, &path, transaction_id, draft)
    }

    fn sent_before(&self, who: &Requester, path: &str, room_id: &str, id: Option<&str>) -> Option<String> {
        self.transactions.find(who, path, room_id, id?, self.now_ms())
    }

    fn send(
        &mut self,
        who: &Requester,
        path: &str,
        transaction_id: Option<&str>,
        mut draft: Draft,
    ) -> Answer<String> {
        let room_id = draft.room_id.clone();
        draft.transaction = transaction_id.map(|id| {
            (
                who.user_id.clone(),
                who.device_id.clone().unwrap_or_default(),
                id.to_owned(),
            )
        });
        let event = self.accept(draft)?;
        self.count_event(who);
        if let Some(id) = transaction_id {
            let now = self.now_ms();
            self.transactions
                .remember(who, path, &room_id, id, &event.event_id, now);
        }
        Ok(event.event_id.clone())
    }

    /// `GET /rooms/{roomId}/event/{eventId}`
    pub fn get_event(&self, who: &Requester, room_id: &str, event_id: &str) -> Answer<Object> {
        let (room, event) = self.visible_event(who, room_id, event_id)?;
        Ok(self.show(room, &event, Show::classic(who)))
    }

    fn visible_event(
        &self,
        who: &Requester,
        room_id: &str,
        event_id: &str,
    ) -> Answer<(&Room, Arc<StoredEvent>)> {
        // Of what one may not see it is not even said that it is there.
        let (room, view) = self
            .readable_room(who, room_id)
            .map_err(|_| Refusal::event_not_found())?;
        let event = room
            .by_id
            .get(event_id)
            .filter(|event| event.position <= view.until() && room.shows(&who.user_id, event));
        let event = event.ok_or_else(Refusal::event_not_found)?;
        Ok((room, Arc::clone(event)))
    }

    /// `GET /rooms/{roomId}/context/{eventId}`
    pub fn context(&self, who: &Requester, room_id: &str, event_id: &str, limit: u64) -> Answer<Value> {
        let (room, event) = self.visible_event(who, room_id, event_id)?;
        let show = |event: &Arc<StoredEvent>| Value::Object(self.show(room, event, Show::classic(who)));
        let visible: Vec<_> = room
            .timeline
            .iter()
            .filter(|event| room.shows(&who.user_id, event))
            .collect();
        let index = visible
            .iter()
            .position(|other| other.event_id == event.event_id)
            .unwrap_or_default();
        let half = usize::try_from(limit / 2).unwrap_or(5);
        let before: Vec<_> = visible[..index].iter().rev().take(half).copied().collect();
        let after: Vec<_> = visible[index + 1..].iter().take(half).copied().collect();
        let start = before.last().map_or(event.position, |event| event.position) - 1;
        let end = after.last().map_or(event.position, |event| event.position);
        let state: Vec<Value> = room.state_at(end).map(show).collect();
        Ok(json!({
            "event": show(&event),
            "events_before": before.into_iter().map(show).collect::<Vec<_>>(),
            "events_after": after.into_iter().map(show).collect::<Vec<_>>(),
            "start": token_of(start),
            "end": token_of(end),
            "state": state,
        }))
    }

    /// `GET /rooms/{roomId}/messages`
    pub fn messages(&self, who: &Requester, room_id: &str, request: &HistoryRequest) -> Answer<Object> {
        let (room, view) = self.readable_room(who, room_id)?;
        let filter = EventFilter::new(&request.filter);
        let start = match &request.from {
            Some(token) => position_of(token).map_err(|_| Refusal::bad("'from' parameter is invalid"))?,
            None if request.backward => self.position,
            None => 0,
        };
        let stop = request.to.as_deref().map(position_of).transpose()?;
        let until = match view {
            View::Now => u64::MAX,
            View::Until(position) => position,
        };
        let limit = usize::try_from(request.limit.unwrap_or(10).min(1000)).unwrap_or(10);
        let mut events: Vec<&Arc<StoredEvent>> = room
            .timeline
            .iter()
            .filter(|event| match (request.backward, stop) {
                (true, Some(stop)) => event.position <= start && event.position > stop,
                (true, None) => event.position <= start,
                (false, Some(stop)) => event.position > start && event.position <= stop,
                (false, None) => event.position > start,
            })
            .filter(|event| event.position <= until && room.shows(&who.user_id, event))
            .filter(|event| filter.lets_through(event))
            .collect();
        if request.backward {
            events.reverse();
        }
        events.truncate(limit);
        let shown: Vec<Object> = events
            .iter()
            .map(|event| self.show(room, event, Show::classic(who)))
            .collect();
        let mut answer = Object::new();
        answer.insert("start".to_owned(), json!(token_of(start)));
        // Synapse answers an `end` until a page is empty: the last page with events has one.
        if let Some(last) = events.last() {
            let end = if request.backward {
                last.position - 1
            } else {
                last.position
            };
            answer.insert("end".to_owned(), json!(token_of(end)));
        } else if limit == 0 {
            answer.insert("end".to_owned(), json!(token_of(start)));
        }
        if filter.lazy_load_members {
            let senders: std::collections::BTreeSet<&str> =
                events.iter().map(|event| event.sender.as_str()).collect();
            let members = senders
                .iter()
                .filter_map(|sender| room.state_event("m.room.member", sender));
            let state: Vec<Object> = members
                .map(|event| self.show(room, event, Show::state(who)))
                .collect();
            answer.insert("state".to_owned(), json!(state));
        }
        answer.insert("chunk".to_owned(), json!(shown));
        Ok(answer)
    }
}

/// The token of a position of the stream.
pub(super) fn token_of(position: u64) -> String {
    format!("s{position}_0")
}

/// The position that a token stands for.
pub(super) fn position_of(token: &str) -> Answer<u64> {
    let number = token.strip_prefix('s').and_then(|rest| rest.split('_').next());
    number
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| Refusal::bad("Invalid stream token"))
}
