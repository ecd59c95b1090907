//! Making an agent's room, or finding it again under its alias.

use std::time::Duration;

use letta_client::Agent;
use matrix_client::{
    Event, MatrixErrorKind, MembershipState, NewRoom, RoomPreset, Session, StateEventType, TimelineEventType,
};
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, UserId};
use serde_json::{Value, json};
use store::{Binding, Invitation};

use super::{Applier, Origin, StepError};
use crate::AGENT_MARKER;

impl Applier<'_> {
    /// Makes the room. Its alias is what keeps it from being made twice: when the alias is taken, or nobody knows
    /// whether the room was made, the room under the alias is taken over if it is ours.
    #[expect(clippy::too_many_arguments, reason = "all of it is what the room is made of")]
    pub(super) async fn ensure_room(
        &self,
        ghost: &Session,
        agent: &Agent,
        binding: &mut Binding,
        space: &OwnedRoomId,
        name: &str,
        topic: &str,
        invite: &[OwnedUserId],
    ) -> Result<Origin, StepError> {
        let parent = json!({ "via": [self.config.server_name], "canonical": true });
        let mut room = NewRoom::room()
            .name(name)
            .topic(topic)
            .alias_localpart(binding.room_alias.alias())
            .preset(RoomPreset::PrivateChat)
            .invite(invite.iter().cloned())
            .initial_state(StateEventType::SpaceParent, space.as_str(), parent)
            .initial_state(marker_type(AGENT_MARKER), "", agent_marker(agent))
            .initial_state(
                StateEventType::RoomGuestAccess,
                "",
                json!({ "guest_access": "forbidden" }),
            );
        room.room_version.clone_from(&self.config.room_version);
        let made = self.create_or_find(ghost, &room, &binding.room_alias).await?;
        match made {
            Found::Created(room_id) => {
                binding.room_id = Some(room_id);
                binding.room_name = Some(name.to_owned());
                binding.room_topic = Some(topic.to_owned());
                binding.parent_id = Some(space.clone());
                binding
                    .invitations
                    .extend(invite.iter().map(|user| (user.clone(), Invitation::Invited)));
                Ok(Origin::Created)
            }
            Found::Existing(room_id, state) => {
                self.adopt(ghost, agent, binding, room_id, &state, invite).await?;
                Ok(Origin::Adopted)
            }
        }
    }

    /// Takes over a room under our alias, if it is this agent's. What else is missing in it is found by planning again.
    async fn adopt(
        &self,
        ghost: &Session,
        agent: &Agent,
        binding: &mut Binding,
        room_id: OwnedRoomId,
        state: &[Event],
        invite: &[OwnedUserId],
    ) -> Result<(), StepError> {
        let foreign = |reason: String| StepError::Foreign {
            alias: binding.room_alias.to_string(),
            reason,
        };
        match content(state, AGENT_MARKER, "")
            .and_then(|marker| marker.get("agent_id"))
            .and_then(Value::as_str)
        {
            Some(id) if id == agent.id.as_str() => {}
            Some(id) => return Err(foreign(format!("it is marked as the room of {id}"))),
            // Homeservers set a new room's state bit by bit: this one was interrupted before the marker.
            None if creator(state) == Some(&ghost.user_id) => {
                self.matrix
                    .set_state_event(
                        ghost,
                        &room_id,
                        &marker_type(AGENT_MARKER),
                        "",
                        &agent_marker(agent),
                    )
                    .await
                    .map_err(StepError::Matrix)?;
            }
            None => return Err(foreign("it has no marker and another creator".to_owned())),
        }
        let text = |event_type, field| {
            content(state, event_type, "")
                .and_then(|content| content.get(field)?.as_str())
                .map(str::to_owned)
        };
        binding.room_name = text("m.room.name", "name");
        binding.room_topic = text("m.room.topic", "topic");
        binding.parent_id = state
            .iter()
            .filter(|event| event.event_type == TimelineEventType::SpaceParent && is_link(&event.content))
            .find_map(|event| event.state_key.as_deref()?.try_into().ok());
        for user in invite {
            let standing = match membership(state, user) {
                Some(MembershipState::Invite | MembershipState::Knock) => Invitation::Invited,
                Some(MembershipState::Join) => Invitation::Joined,
                Some(_) => Invitation::Left,
                None => continue,
            };
            binding.invitations.insert(user.clone(), standing);
        }
        tracing::info!(room.id = %room_id, "took over the room under the alias");
        binding.room_id = Some(room_id);
        Ok(())
    }

    /// Makes a room with an alias, or finds the one that has it, with its state as the session's user sees it.
    pub(super) async fn create_or_find(
        &self,
        session: &Session,
        room: &NewRoom,
        alias: &OwnedRoomAliasId,
    ) -> Result<Found, StepError> {
        let first = match self.matrix.create_room(session, room).await {
            Ok(room_id) => return Ok(Found::Created(room_id)),
            Err(error) => error,
        };
        let is_taken = matches!(
            first.kind(),
            MatrixErrorKind::RoomInUse | MatrixErrorKind::Conflict
        );
        if !is_taken && !first.may_have_applied() {
            return Err(StepError::Matrix(first));
        }
        if let Some(found) = self.find(session, alias).await? {
            return Ok(found);
        }
        if !is_taken {
            // It may still be in the making: the next run will find it, or make it.
            return Err(StepError::Matrix(first));
        }
        let room_id = self
            .matrix
            .create_room(session, room)
            .await
            .map_err(StepError::Matrix)?;
        Ok(Found::Created(room_id))
    }

    /// The room under an alias, if the user is in it.
    ///
    /// A homeserver points the alias to a room before its maker is in it, and goes on making it when whoever asked is
    /// gone: so a room that shuts us out may still be in the making, and is waited for. An alias that then still leads
    /// nowhere is left over from a creation that failed: it is removed, and there is no room.
    async fn find(&self, session: &Session, alias: &OwnedRoomAliasId) -> Result<Option<Found>, StepError> {
        let mut waits = IN_THE_MAKING.iter();
        let room_id = loop {
            let room_id = match self.matrix.resolve_alias(session, alias).await {
                Ok(room_id) => room_id,
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(StepError::Matrix(error)),
            };
            match self.matrix.get_room_state(session, &room_id).await {
                Ok(state) if is_member(&state, &session.user_id) => {
                    return Ok(Some(Found::Existing(room_id, state)));
                }
                // Who has left a room can still read how it was then.
                Ok(_) => break room_id,
                Err(error)
                    if !matches!(
                        error.kind(),
                        MatrixErrorKind::Forbidden | MatrixErrorKind::NotFound
                    ) =>
                {
                    return Err(StepError::Matrix(error));
                }
                Err(_) => {}
            }
            match waits.next() {
                Some(wait) => tokio::time::sleep(*wait).await,
                None => break room_id,
            }
        };
        tracing::warn!(%alias, room.id = %room_id, "the alias leads to a room we are not in: removing it");
        let bot = self.config.appservice.sender_session();
        match self.matrix.delete_alias(&bot, alias).await {
            Err(error) if !error.is_not_found() => Err(StepError::Matrix(error)),
            _ => Ok(None),
        }
    }
}

/// How long to wait between looks at a room that may still be in the making: half a minute in all, several times what
/// a busy homeserver takes.
const IN_THE_MAKING: [Duration; 6] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(15),
];

/// A room and how we came by it.
pub(super) enum Found {
    Created(OwnedRoomId),
    Existing(OwnedRoomId, Vec<Event>),
}

pub(super) fn marker_type(name: &str) -> StateEventType {
    StateEventType::from(name)
}

fn agent_marker(agent: &Agent) -> Value {
    json!({ "agent_id": agent.id })
}

/// The content of a state event.
pub(super) fn content<'a>(state: &'a [Event], event_type: &str, state_key: &str) -> Option<&'a Value> {
    state
        .iter()
        .find(|event| {
            event.event_type.to_string() == event_type && event.state_key.as_deref() == Some(state_key)
        })
        .map(|event| &event.content)
}

fn membership(state: &[Event], user: &UserId) -> Option<MembershipState> {
    let content = content(state, "m.room.member", user.as_str())?;
    content.get("membership")?.as_str().map(MembershipState::from)
}

fn is_member(state: &[Event], user: &UserId) -> bool {
    membership(state, user) == Some(MembershipState::Join)
}

/// Who made the room.
pub(super) fn creator(state: &[Event]) -> Option<&UserId> {
    state
        .iter()
        .find(|event| event.event_type == TimelineEventType::RoomCreate)
        .map(|event| event.sender.as_ref())
}

/// Whether a parent or child event stands for a link; an emptied one does not.
fn is_link(content: &Value) -> bool {
    content
        .get("via")
        .and_then(Value::as_array)
        .is_some_and(|via| !via.is_empty())
}
