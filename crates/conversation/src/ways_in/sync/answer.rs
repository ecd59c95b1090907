//! What is asked for, and what an answer says. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;
use matrix_client::{Event, FilterDefinition, InvitedRoom, RoomEventFilter, SkippedEvent, StateEventType};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId, UInt, UserId, api::client::filter::Filter,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::ways_in::relevance;

/// What an answer has for the inbox.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) events: Vec<Event>,
    pub(super) skipped: Vec<SkippedEvent>,
}

impl News {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.skipped.is_empty()
    }

    /// Adds events of this room.
    pub(super) fn add(&mut self, room_id: &RoomId, events: Vec<Event>) {
        let events = events.into_iter();
        self.events
            .extend(events.map(|event| event.with_room(room_id.to_owned())));
    }
}

/// Asks for what can be relevant, up to `limit` events a room. `None`: as little as possible.
pub(super) fn filter(limit: Option<u32>) -> FilterDefinition {
    let mut filter = FilterDefinition::default();
    filter.presence = Filter::ignore_all();
    filter.account_data = Filter::ignore_all();
    filter.room.account_data = RoomEventFilter::ignore_all();
    filter.room.ephemeral = RoomEventFilter::ignore_all();
    // What changes is part of the timeline, and of members nothing else is needed.
    filter.room.state = RoomEventFilter::ignore_all();
    // Not zero: Synapse would take it for "all".
    filter.room.timeline = timeline_filter(Some(limit.unwrap_or(1)));
    filter
}

/// The events that can be relevant.
pub(super) fn timeline_filter(limit: Option<u32>) -> RoomEventFilter {
    let mut filter = RoomEventFilter::default();
    filter.types = Some(relevance::types());
    filter.limit = limit.map(UInt::from);
    filter
}

/// What `user` could hear: if it was not in the room at first, nothing from before it joined.
pub(super) fn from_joining_on(mut events: Vec<Event>, user: &UserId) -> Vec<Event> {
    let is_own = |event: &&Event| event.is_state(&StateEventType::RoomMember, user.as_str());
    let was_in = events.iter().find(is_own).is_none_or(was_in_before);
    let is_join = |event: &Event| is_own(&event) && event.content["membership"] == "join";
    if !was_in && let Some(index) = events.iter().position(is_join) {
        events.drain(..index);
    }
    events
}

/// Whether somebody was in the room before this change of the membership. In doubt yes, so that nothing is lost.
fn was_in_before(change: &Event) -> bool {
    match change.unsigned.get("prev_content") {
        Some(before) => before["membership"] == "join",
        // A change of the name is a join as well, but replaces one.
        None if change.content["membership"] == "join" => change.unsigned.contains_key("replaces_state"),
        None => change.content["membership"] != "invite",
    }
}

/// The event of an invitation, `None` if the invitation is not among what is told of the room.
pub(super) fn invitation(
    user: &UserId,
    room_id: &RoomId,
    invited: &InvitedRoom,
    since: Option<&str>,
    now: Timestamp,
) -> Option<Event> {
    let is_invitation = |state: &&matrix_client::StrippedEvent| {
        state.event_type == StateEventType::RoomMember && state.state_key == user.as_str()
    };
    let member = invited.state.iter().find(is_invitation)?;
    let id = invitation_id(room_id, user, &member.sender, since.unwrap_or_default())?;
    let now = u64::try_from(now.as_millisecond()).ok()?;
    let now = MilliSecondsSinceUnixEpoch(UInt::try_from(now).ok()?);
    let mut event = Event::new(
        id,
        member.sender.clone(),
        StateEventType::RoomMember.to_string().into(),
        now,
        member.content.clone(),
    )
    .with_state_key(user.as_str())
    .with_room(room_id.to_owned());
    let state: Option<Vec<Value>> = invited
        .state
        .iter()
        .map(|state| serde_json::to_value(state).ok())
        .collect();
    event
        .unsigned
        .insert("invite_room_state".to_owned(), Value::Array(state?));
    Some(event)
}

/// The same for the same invitation, however often the answer is read. With the place, because somebody may be invited
/// again after declining.
fn invitation_id(room_id: &RoomId, user: &UserId, inviter: &UserId, since: &str) -> Option<OwnedEventId> {
    let mut hash = Sha256::new();
    for part in [room_id.as_str(), user.as_str(), inviter.as_str(), since] {
        hash.update(part);
        hash.update([0]);
    }
    let mut id = "$invite.".to_owned();
    for byte in hash.finalize() {
        // Writing to a string does not fail.
        let _ = write!(id, "{byte:02x}");
    }
    EventId::parse(id).ok()
}

#[cfg(test)]
mod tests {
    use matrix_client::StrippedEvent;
    use ruma::{owned_event_id, room_id, user_id};
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_767_268_800, 0);

    fn member(id: OwnedEventId, user: &UserId, content: Value) -> Event {
        Event::new(
            id,
            user.to_owned(),
            "m.room.member".into(),
            MilliSecondsSinceUnixEpoch(1u8.into()),
            content,
        )
        .with_state_key(user.as_str())
    }

    /// What is heard of a text, the changes of the own membership, and another text.
    fn heard(own: &[Event]) -> usize {
        let user = user_id!("@agent_001:matrix.test");
        let other = member(
            owned_event_id!("$other"),
            user_id!("@admin:matrix.test"),
            json!({ "membership": "join" }),
        );
        let mut events = vec![other.clone()];
        events.extend_from_slice(own);
        events.push(other);
        from_joining_on(events, user).len()
    }

    fn own(membership: &str, before: Option<&str>) -> Event {
        let user = user_id!("@agent_001:matrix.test");
        let mut event = member(owned_event_id!("$own"), user, json!({ "membership": membership }));
        if let Some(before) = before {
            let before = json!({ "membership": before });
            event.unsigned.insert("prev_content".to_owned(), before);
        }
        event
    }

    #[test]
    fn what_was_said_before_joining_is_not_heard() {
        for (changes, expected) in [
            (vec![], 2),
            (vec![own("join", None)], 2),
            (vec![own("join", Some("invite"))], 2),
            (vec![own("join", Some("leave"))], 2),
            (vec![own("invite", None), own("join", Some("invite"))], 2),
            (vec![own("invite", Some("leave")), own("join", Some("invite"))], 2),
            (vec![own("join", Some("join"))], 3),
            (vec![own("leave", None)], 3),
            (vec![own("leave", Some("join")), own("join", Some("leave"))], 4),
        ] {
            assert_eq!(heard(&changes), expected, "{changes:?}");
        }
        let mut renamed = own("join", None);
        let replaced = ("replaces_state".to_owned(), json!("$before"));
        renamed.unsigned.extend([replaced]);
        assert_eq!(heard(&[renamed]), 3, "in doubt nothing is lost");
    }

    fn invited(inviter: &str) -> InvitedRoom {
        let content = json!({ "membership": "invite", "is_direct": true });
        InvitedRoom::new(vec![
            StrippedEvent::new(
                inviter.try_into().unwrap(),
                StateEventType::RoomName,
                "",
                json!({ "name": "Tea" }),
            ),
            StrippedEvent::new(
                inviter.try_into().unwrap(),
                StateEventType::RoomMember,
                "@agent_001:matrix.test",
                content,
            ),
        ])
    }

    fn invited_by(inviter: &str, since: Option<&str>) -> Event {
        let user = user_id!("@agent_001:matrix.test");
        invitation(user, room_id!("!tea:matrix.test"), &invited(inviter), since, NOW).unwrap()
    }

    #[test]
    fn an_invitation_becomes_an_event() {
        let event = invited_by("@admin:matrix.test", Some("s1"));
        assert_eq!(event.room_id.as_deref(), Some(room_id!("!tea:matrix.test")));
        assert_eq!(event.sender, user_id!("@admin:matrix.test"));
        assert!(event.is_state(&StateEventType::RoomMember, "@agent_001:matrix.test"));
        assert_eq!(
            event.content,
            json!({ "membership": "invite", "is_direct": true })
        );
        assert_eq!(
            event.unsigned["invite_room_state"][0]["content"],
            json!({ "name": "Tea" })
        );
        assert_eq!(
            event.origin_server_ts.get(),
            UInt::new(1_767_268_800_000).unwrap()
        );
    }

    #[test]
    fn an_invitation_has_the_same_id_until_it_was_read() {
        let id = |inviter, since| invited_by(inviter, since).event_id;
        let one = id("@admin:matrix.test", Some("s1"));
        assert_eq!(id("@admin:matrix.test", Some("s1")), one);
        assert_ne!(id("@admin:matrix.test", Some("s2")), one);
        assert_ne!(id("@admin:matrix.test", None), one);
        assert_ne!(id("@boss:matrix.test", Some("s1")), one);
    }

    #[test]
    fn an_invitation_by_nobody_is_none() {
        let user = user_id!("@agent_002:matrix.test");
        let invited = invited("@admin:matrix.test");
        assert_eq!(
            invitation(user, room_id!("!tea:matrix.test"), &invited, None, NOW),
            None
        );
    }
}
