//! From ruma's shapes to ours.

use ruma::{
    OwnedRoomId,
    api::client::{space::SpaceHierarchyRoomsChunk, sync::sync_events::v3 as sync},
    events::{room::member::MembershipState, space::child::HierarchySpaceChildEvent},
    serde::Raw,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Event, InvitedRoom, JoinedRoom, LeftRoom, Member, SkippedEvent, SpaceChild, SpaceRoom, SyncResponse,
    Timeline,
};

/// Reads events, and sets aside what is not well-formed: anyone in a room may send anything there.
pub(super) fn events<T, E: DeserializeOwned>(
    raw: &[Raw<T>],
    room_id: Option<&OwnedRoomId>,
    skipped: &mut Vec<SkippedEvent>,
) -> Vec<E> {
    let mut events = Vec::with_capacity(raw.len());
    for raw in raw {
        let text = raw.json().get();
        match serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text)) {
            Ok(event) => events.push(event),
            Err(error) => {
                tracing::warn!(%error, room.id = ?room_id, "an event is not well-formed and is set aside");
                let json = serde_json::from_str(text).unwrap_or(Value::Null);
                skipped.push(SkippedEvent::new(room_id.cloned(), error.to_string(), json));
            }
        }
    }
    events
}

pub(super) fn sync_response(response: sync::Response) -> SyncResponse {
    let mut out = SyncResponse::new(response.next_batch);
    let mut skipped = Vec::new();
    for (id, room) in response.rooms.join {
        let joined = JoinedRoom {
            timeline: timeline(room.timeline, &id, &mut skipped),
            state: state(&room.state, &id, &mut skipped),
            ephemeral: events(&room.ephemeral.events, Some(&id), &mut skipped),
        };
        out.joined.insert(id, joined);
    }
    for (id, room) in response.rooms.invite {
        let state = events(&room.invite_state.events, Some(&id), &mut skipped);
        out.invited.insert(id, InvitedRoom::new(state));
    }
    for (id, room) in response.rooms.leave {
        let left = LeftRoom {
            timeline: timeline(room.timeline, &id, &mut skipped),
            state: state(&room.state, &id, &mut skipped),
        };
        out.left.insert(id, left);
    }
    out.skipped = skipped;
    out
}

fn timeline(timeline: sync::Timeline, room_id: &OwnedRoomId, skipped: &mut Vec<SkippedEvent>) -> Timeline {
    Timeline {
        events: events(&timeline.events, Some(room_id), skipped),
        limited: timeline.limited,
        prev_batch: timeline.prev_batch,
    }
}

fn state(state: &sync::State, room_id: &OwnedRoomId, skipped: &mut Vec<SkippedEvent>) -> Vec<Event> {
    match state {
        sync::State::Before(state) | sync::State::After(state) => {
            events(&state.events, Some(room_id), skipped)
        }
        _ => Vec::new(),
    }
}

/// A member, if the event says something of one.
pub(super) fn member(event: &Event) -> Option<Member> {
    let text = |field: &str| event.content.get(field).and_then(Value::as_str);
    let user_id = event.state_key.as_deref()?.try_into().ok()?;
    let mut member = Member::new(user_id, MembershipState::from(text("membership")?));
    member.sender = event.sender.clone();
    member.display_name = text("displayname").map(ToOwned::to_owned);
    member.avatar_url = text("avatar_url").map(Into::into);
    member.reason = text("reason").map(ToOwned::to_owned);
    Some(member)
}

pub(super) fn space_room(chunk: SpaceHierarchyRoomsChunk) -> SpaceRoom {
    let children = chunk.children_state.iter().filter_map(space_child).collect();
    SpaceRoom::new(chunk.summary, children)
}

/// A child, unless it was removed: then its `via` is missing or empty.
fn space_child(raw: &Raw<HierarchySpaceChildEvent>) -> Option<SpaceChild> {
    let event = raw.deserialize().ok()?;
    if event.content.via.is_empty() {
        return None;
    }
    let mut child = SpaceChild::new(event.state_key, event.content.via, event.sender);
    child.order = event.content.order.map(|order| order.to_string());
    child.suggested = event.content.suggested;
    Some(child)
}
