//! What a room's state events say.

use std::collections::BTreeMap;

use matrix_client::{Event, MembershipState, TimelineEventType};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::Value;
use store::{Invitation, RoomFacts};

use super::marked_agent;
use crate::AGENT_MARKER;

/// A room's state, as its members see it.
pub(crate) struct RoomState<'a>(pub(crate) &'a [Event]);

impl RoomState<'_> {
    /// The content of a state event.
    pub(crate) fn content(&self, event_type: &str, state_key: &str) -> Option<&Value> {
        self.event(event_type, state_key).map(|event| &event.content)
    }

    fn event(&self, event_type: &str, state_key: &str) -> Option<&Event> {
        self.0.iter().find(|event| {
            event.event_type.to_string() == event_type && event.state_key.as_deref() == Some(state_key)
        })
    }

    /// A text field of a state event; `None` too if it is empty.
    pub(crate) fn text(&self, event_type: &str, field: &str) -> Option<String> {
        let text = self.content(event_type, "")?.get(field)?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    }

    pub(crate) fn membership(&self, user: &UserId) -> Option<MembershipState> {
        let content = self.content("m.room.member", user.as_str())?;
        content.get("membership")?.as_str().map(MembershipState::from)
    }

    pub(crate) fn has_joined(&self, user: &UserId) -> bool {
        self.membership(user) == Some(MembershipState::Join)
    }

    /// A text of a member's profile in the room.
    pub(crate) fn member_text(&self, user: &UserId, field: &str) -> Option<String> {
        let content = self.content("m.room.member", user.as_str())?;
        content.get(field)?.as_str().map(str::to_owned)
    }

    /// Who made the room.
    pub(crate) fn creator(&self) -> Option<&UserId> {
        self.event("m.room.create", "").map(|event| event.sender.as_ref())
    }

    pub(crate) fn is_space(&self) -> bool {
        self.content("m.room.create", "")
            .and_then(|create| create.get("type"))
            .and_then(Value::as_str)
            == Some("m.space")
    }

    /// The room that replaced this one.
    pub(crate) fn successor(&self) -> Option<OwnedRoomId> {
        self.text("m.room.tombstone", "replacement_room")?.try_into().ok()
    }

    /// The room that this one replaced.
    pub(super) fn predecessor(&self) -> Option<OwnedRoomId> {
        let predecessor = self.content("m.room.create", "")?.get("predecessor")?;
        predecessor.get("room_id")?.as_str()?.try_into().ok()
    }

    /// The agent whose room it is marked as.
    pub(crate) fn marked_agent(&self) -> Option<letta_client::AgentId> {
        self.content(AGENT_MARKER, "").and_then(marked_agent)
    }

    pub(crate) fn canonical_alias(&self) -> Option<String> {
        self.text("m.room.canonical_alias", "alias")
    }

    /// How these people stand. Whoever never had to do with the room is not in it.
    pub(crate) fn invitations(&self, people: &[OwnedUserId]) -> BTreeMap<OwnedUserId, Invitation> {
        let standing = |user: &OwnedUserId| match self.membership(user)? {
            MembershipState::Invite | MembershipState::Knock => Some(Invitation::Invited),
            MembershipState::Join => Some(Invitation::Joined),
            _ => Some(Invitation::Left),
        };
        people
            .iter()
            .filter_map(|user| Some((user.clone(), standing(user)?)))
            .collect()
    }

    /// The rooms that a space lists.
    pub(crate) fn children(&self) -> impl Iterator<Item = (OwnedRoomId, &Value)> {
        self.0.iter().filter_map(|event| {
            if event.event_type != TimelineEventType::SpaceChild || !is_link(&event.content) {
                return None;
            }
            Some((event.state_key.as_deref()?.try_into().ok()?, &event.content))
        })
    }

    /// What is known of a room in which the agent's user is. Its alias and its place in the space are not: they are not
    /// decided in the room.
    pub(crate) fn facts(&self, space: Option<&RoomId>) -> RoomFacts {
        let parents: Vec<OwnedRoomId> = self
            .0
            .iter()
            .filter(|event| event.event_type == TimelineEventType::SpaceParent && is_link(&event.content))
            .filter_map(|event| event.state_key.as_deref()?.try_into().ok())
            .collect();
        // A room may have parents that others gave it; ours is the one that counts.
        let parent_id = parents
            .iter()
            .find(|parent| Some(&***parent) == space)
            .or(parents.first())
            .cloned();
        RoomFacts {
            verified: true,
            joined: true,
            name: self.text("m.room.name", "name"),
            topic: self.text("m.room.topic", "topic"),
            avatar_url: self.text("m.room.avatar", "url").map(Into::into),
            parent_id,
            ..RoomFacts::default()
        }
    }
}

/// Whether a parent or child event stands for a link; an emptied one does not.
pub(crate) fn is_link(content: &Value) -> bool {
    content
        .get("via")
        .and_then(Value::as_array)
        .is_some_and(|via| !via.is_empty())
}
