//! An agent's room: making it, finding it again, reading it.

use std::time::Duration;

use letta_client::AgentId;
use matrix_client::{
    Event, MatrixErrorKind, NewRoom, RoomPreset, Session, StateEventType, content as event_content,
};
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomId};
use serde_json::{Value, json};
use store::{Binding, History, Invitation, RoomFacts};

use super::{Applier, Origin, StepError, foreign, room_of, state::RoomState};
use crate::AGENT_MARKER;

impl Applier<'_> {
    /// Makes the room, or takes over the one that is this agent's already.
    ///
    /// A room is found again by its marker among those that the agent's user is in, or by its alias. The alias is what
    /// keeps it from being made twice: when it is taken, or nobody knows whether the room was made, the room under the
    /// alias is taken over if it is ours.
    pub(super) async fn ensure_room(
        &self,
        ghost: &Session,
        binding: &mut Binding,
        name: &str,
        topic: &str,
        invite: &[OwnedUserId],
        user_is_new: bool,
    ) -> Result<Origin, StepError> {
        // An earlier run began to make it and could not write down what became of that.
        let was_begun = binding.room_id.is_none() && matches!(binding.room.history, History::Pending { .. });
        // A user that was made just now is in no room.
        if !user_is_new && let Some((room, state)) = self.find_marked(ghost, &binding.agent_id).await? {
            self.adopt(ghost, binding, room, &state).await?;
            self.expect_history(binding, was_begun);
            return Ok(Origin::Adopted);
        }
        let room = self.new_room(binding, name, topic, invite)?;
        if self.config.history > 0 && !was_begun {
            // A room that is found by the next run is then known to be new, and gets its history.
            self.expect_history(binding, true);
            self.record(binding).await?;
        }
        match self.create_or_find(ghost, &room, &binding.room_alias).await? {
            Found::Created(room_id) => {
                binding.room_id = Some(room_id);
                binding.room = RoomFacts {
                    verified: true,
                    joined: true,
                    marked: true,
                    alias_set: true,
                    name: Some(name.to_owned()),
                    topic: Some(topic.to_owned()),
                    avatar_url: binding.avatar.url.clone(),
                    parent_id: self.space.clone(),
                    ..RoomFacts::default()
                };
                self.expect_history(binding, true);
                binding.invitations = invite
                    .iter()
                    .map(|user| (user.clone(), Invitation::Invited))
                    .collect();
                Ok(Origin::Created)
            }
            Found::LeftToBot { room_id, state } => {
                let marked = RoomState(&state).marked_agent();
                if marked.as_ref() != Some(&binding.agent_id) {
                    return Err(foreign(&binding.room_alias, "the agent's user is not in it"));
                }
                binding.room_id = Some(room_id);
                binding.room = RoomFacts {
                    verified: true,
                    ..RoomFacts::default()
                };
                Ok(Origin::Adopted)
            }
            Found::Existing {
                room_id,
                state,
                is_new,
            } => {
                self.adopt(ghost, binding, room_id, &state).await?;
                self.expect_history(binding, was_begun || is_new);
                Ok(Origin::Adopted)
            }
        }
    }

    /// A new room is to get the agent's earlier messages, if anybody wants them there.
    fn expect_history(&self, binding: &mut Binding, is_new: bool) {
        binding.room.history = match self.config.history {
            left if left > 0 && is_new => History::Pending { after: None, left },
            _ => History::None,
        };
    }

    fn new_room(
        &self,
        binding: &Binding,
        name: &str,
        topic: &str,
        invite: &[OwnedUserId],
    ) -> Result<NewRoom, StepError> {
        let space = self.space.as_deref().ok_or(StepError::NoProgress)?;
        let parent = event_content::space_parent([self.config.server_name.clone()], true);
        let mut room = NewRoom::room()
            .name(name)
            .topic(topic)
            .alias_localpart(binding.room_alias.alias())
            .preset(RoomPreset::PrivateChat)
            .invite(invite.iter().cloned())
            .initial_state(StateEventType::SpaceParent, space.as_str(), parent)
            .initial_state(agent_marker_type(), "", agent_marker(&binding.agent_id))
            .initial_state(
                StateEventType::RoomGuestAccess,
                "",
                json!({ "guest_access": "forbidden" }),
            );
        if let Some(url) = &binding.avatar.url {
            room = room.initial_state(StateEventType::RoomAvatar, "", json!({ "url": url }));
        }
        room.room_version.clone_from(&self.config.room_version);
        Ok(room)
    }

    /// The room with this agent's marker among those that the agent's user is in.
    async fn find_marked(
        &self,
        ghost: &Session,
        agent: &AgentId,
    ) -> Result<Option<(OwnedRoomId, Vec<Event>)>, StepError> {
        let rooms = match self.matrix.list_joined_rooms(ghost).await {
            Ok(rooms) => rooms,
            // A user that is yet to be registered is in no room.
            Err(error) if *error.kind() == MatrixErrorKind::Forbidden => return Ok(None),
            Err(error) => return Err(StepError::Matrix(error)),
        };
        let mut found = None;
        let mut replaced = None;
        for room in rooms.into_iter().take(MANY_ROOMS) {
            let state = match self.matrix.get_room_state(ghost, &room).await {
                Ok(state) => state,
                Err(error) if error.is_not_found() || *error.kind() == MatrixErrorKind::Forbidden => continue,
                Err(error) => return Err(StepError::Matrix(error)),
            };
            let view = RoomState(&state);
            if view.marked_agent().as_ref() != Some(agent) {
                continue;
            }
            if view.successor().is_some() {
                replaced = Some((room, state));
            } else if found.is_none() || view.canonical_alias().is_some() {
                // Of several, the one that calls itself by the alias.
                found = Some((room, state));
            }
        }
        match (found, replaced) {
            // An upgrade leaves the marker behind.
            (None, Some((room, state))) => {
                let followed = self.follow(ghost, room.clone(), state).await?;
                if followed.is_none() && self.is_listed(&room) {
                    self.drop_from_space(&room).await?;
                }
                Ok(followed)
            }
            (found, _) => Ok(found),
        }
    }

    /// Takes over a room, if it is this agent's. What else is missing in it is found by planning again.
    async fn adopt(
        &self,
        ghost: &Session,
        binding: &mut Binding,
        room_id: OwnedRoomId,
        state: &[Event],
    ) -> Result<(), StepError> {
        let view = RoomState(state);
        match view.marked_agent() {
            Some(id) if id == binding.agent_id => {}
            Some(id) => {
                let reason = format!("it is marked as the room of {id}");
                return Err(foreign(&binding.room_alias, reason));
            }
            // Homeservers set a new room's state bit by bit: this one was interrupted before the marker.
            None if view.creator() == Some(&ghost.user_id) => {}
            None if self.replaces_own(ghost, binding, &view).await? => {}
            None => {
                return Err(foreign(
                    &binding.room_alias,
                    "it has no marker and another creator",
                ));
            }
        }
        tracing::info!(room.id = %room_id, agent.id = %binding.agent_id, "took over a room that was there");
        self.take_facts(ghost, binding, room_id, &view).await
    }

    /// Whether the room replaced one that is this agent's.
    async fn replaces_own(
        &self,
        ghost: &Session,
        binding: &Binding,
        view: &RoomState<'_>,
    ) -> Result<bool, StepError> {
        let Some(predecessor) = view.predecessor() else {
            return Ok(false);
        };
        let marker = self
            .matrix
            .get_state_event(ghost, &predecessor, &agent_marker_type(), "")
            .await;
        match marker {
            Ok(marker) => Ok(super::marked_agent(&marker).as_ref() == Some(&binding.agent_id)),
            Err(error) if is_shut_out(error.kind()) => Ok(false),
            Err(error) => Err(StepError::Matrix(error)),
        }
    }

    /// Reads the room and notes how it is. A room that cannot be entered any more is forgotten, so that another one is
    /// made; one that was upgraded is left for its successor.
    pub(super) async fn inspect(&self, ghost: &Session, binding: &mut Binding) -> Result<(), StepError> {
        let old = room_of(binding)?.to_owned();
        let found = match self.enter(ghost, &old).await? {
            Some(state) => self.follow(ghost, old.clone(), state).await?,
            None => None,
        };
        let Some((room, state)) = found else {
            if self.left_to_bot(&old).await?.is_some() {
                (binding.room.joined, binding.room.verified) = (false, true);
                return Ok(());
            }
            tracing::warn!(room.id = %old, agent.id = %binding.agent_id, "the agent's room is out of reach");
            if self.is_listed(&old) || self.is_recorded_there(binding) {
                self.drop_from_space(&old).await?;
            }
            // Whoever lost the room may have lost the account as well, and who is in no room shows no name in it.
            binding.user_registered = false;
            binding.display_name = None;
            binding.avatar.on_user = None;
            binding.room_id = None;
            binding.room = RoomFacts::default();
            binding.invitations.clear();
            return Ok(());
        };
        let view = RoomState(&state);
        if let Some(other) = view.marked_agent().filter(|agent| *agent != binding.agent_id) {
            return Err(StepError::OtherAgent {
                other: other.to_string(),
            });
        }
        if room == old {
            return self.take_facts(ghost, binding, room, &view).await;
        }
        if self.is_listed(&old) || self.is_recorded_there(binding) {
            self.drop_from_space(&old).await?;
        }
        self.take_alias_from(ghost, &binding.room_alias, &old).await?;
        let history = std::mem::take(&mut binding.room.history);
        self.take_facts(ghost, binding, room, &view).await?;
        binding.room.history = history;
        Ok(())
    }

    /// Whether the space lists the room, as far as it was read in this run.
    fn is_listed(&self, room: &RoomId) -> bool {
        self.children
            .as_ref()
            .is_some_and(|children| children.contains_key(room))
    }

    /// Whether the space lists the agent's room, as far as is known without having read the space in this run.
    fn is_recorded_there(&self, binding: &Binding) -> bool {
        self.children.is_none() && self.space.is_some() && binding.room.space_id == self.space
    }

    /// No longer lists a room that is lost or replaced in the space.
    async fn drop_from_space(&self, room: &RoomId) -> Result<(), StepError> {
        match &self.space {
            Some(space) => self.set_child(space, room, event_content::removed()).await,
            None => Ok(()),
        }
    }

    /// Notes how the room is.
    async fn take_facts(
        &self,
        ghost: &Session,
        binding: &mut Binding,
        room_id: OwnedRoomId,
        view: &RoomState<'_>,
    ) -> Result<(), StepError> {
        let alias = &binding.room_alias;
        let is_same_room = binding.room_id.as_ref() == Some(&room_id);
        let points_here = match self.matrix.resolve_alias(ghost, alias).await {
            Ok(target) if target == room_id => true,
            // Somebody took it away: that is told when it is to be set again, and stops nothing else.
            Ok(_) if is_same_room => false,
            Ok(target) => return Err(foreign(alias, format!("it points to {target}"))),
            Err(error) if error.is_not_found() => false,
            Err(error) => return Err(StepError::Matrix(error)),
        };
        if let Some(predecessor) = view.predecessor()
            && self.is_listed(&predecessor)
        {
            self.drop_from_space(&predecessor).await?;
        }
        let before = std::mem::take(&mut binding.room);
        let mut facts = view.facts(self.space.as_deref());
        facts.marked = view.marked_agent().as_ref() == Some(&binding.agent_id);
        facts.alias_set = points_here && view.canonical_alias().as_deref() == Some(alias.as_str());
        if is_same_room {
            facts.history = before.history;
        }
        match (&self.children, &self.space) {
            (Some(children), Some(space)) => {
                if let Some(child) = children.get(&room_id) {
                    facts.space_id = Some(space.clone());
                    facts.space_order = child.get("order").and_then(Value::as_str).map(str::to_owned);
                }
            }
            _ if is_same_room => {
                facts.space_id = before.space_id;
                facts.space_order = before.space_order;
            }
            _ => {}
        }
        let invitees = self.config.invitees(&binding.user_id, self.accounts.bot());
        binding.invitations = view.invitations(&invitees);
        // What the user is called shows in its membership.
        binding.display_name = view.member_text(&ghost.user_id, "displayname");
        binding.avatar.on_user = view.member_text(&ghost.user_id, "avatar_url").map(Into::into);
        binding.room_id = Some(room_id);
        binding.room = facts;
        Ok(())
    }

    /// Gives the room its alias.
    ///
    /// Two instances that knew nothing of each other may have made a room each. The one that has the alias stays, so that
    /// they agree whatever they wrote down; the agent's user leaves the other one.
    pub(super) async fn ensure_alias(&self, ghost: &Session, binding: &mut Binding) -> Result<(), StepError> {
        let room = room_of(binding)?.to_owned();
        let refusal = match self.set_alias(ghost, &room, &binding.room_alias).await {
            Ok(()) => {
                binding.room.alias_set = true;
                return Ok(());
            }
            Err(error) => error,
        };
        if !matches!(refusal, StepError::Foreign { .. }) {
            return Err(refusal);
        }
        let Some(twin) = self.find_twin(ghost, binding).await? else {
            return Err(refusal);
        };
        self.check_lease().await?;
        tracing::warn!(room.id = %room, agent.id = %binding.agent_id, %twin, "left one of two rooms of the agent");
        if self.is_listed(&room) || self.is_recorded_there(binding) {
            self.drop_from_space(&room).await?;
        }
        match self.matrix.leave_room(ghost, &room, None).await {
            Err(error) if !is_shut_out(error.kind()) => return Err(StepError::Matrix(error)),
            _ => {}
        }
        binding.room_id = Some(twin);
        binding.room = RoomFacts::default();
        Ok(())
    }

    /// Another room of this agent, which has its alias and in which its user is.
    async fn find_twin(&self, ghost: &Session, binding: &Binding) -> Result<Option<OwnedRoomId>, StepError> {
        let target = self.matrix.resolve_alias(ghost, &binding.room_alias).await;
        let target = target.map_err(StepError::Matrix)?;
        let state = match self.matrix.get_room_state(ghost, &target).await {
            Ok(state) => state,
            Err(error) if is_shut_out(error.kind()) => return Ok(None),
            Err(error) => return Err(StepError::Matrix(error)),
        };
        let view = RoomState(&state);
        let is_twin = view.has_joined(&ghost.user_id)
            && view.marked_agent().as_ref() == Some(&binding.agent_id)
            && binding.room_id.as_ref() != Some(&target);
        Ok(is_twin.then_some(target))
    }

    /// Points the alias to the room, and makes it the room's main one.
    pub(super) async fn set_alias(
        &self,
        session: &Session,
        room: &RoomId,
        alias: &OwnedRoomAliasId,
    ) -> Result<(), StepError> {
        match self.matrix.create_alias(session, alias, room).await {
            Ok(()) => {}
            Err(error) if *error.kind() == MatrixErrorKind::Conflict => {
                let target = self.matrix.resolve_alias(session, alias).await;
                let target = target.map_err(StepError::Matrix)?;
                if target != room {
                    return Err(foreign(alias, format!("it points to {target}")));
                }
            }
            Err(error) => return Err(StepError::Matrix(error)),
        }
        let content = event_content::canonical_alias(Some(alias));
        self.matrix
            .set_state_event(session, room, &StateEventType::RoomCanonicalAlias, "", &content)
            .await
            .map_err(StepError::Matrix)?;
        Ok(())
    }

    /// Makes a room with an alias, or finds the one that has it, with its state as the session's user sees it.
    pub(super) async fn create_or_find(
        &self,
        session: &Session,
        room: &NewRoom,
        alias: &OwnedRoomAliasId,
    ) -> Result<Found, StepError> {
        self.check_lease().await?;
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
        match self.find(session, alias).await? {
            Some((room_id, state)) if RoomState(&state).has_joined(&session.user_id) => {
                return Ok(Found::Existing {
                    room_id,
                    state,
                    is_new: !is_taken,
                });
            }
            Some((room_id, state)) => return Ok(Found::LeftToBot { room_id, state }),
            None => {}
        }
        if !is_taken {
            // It may still be in the making: the next run will find it, or make it.
            return Err(StepError::Matrix(first));
        }
        self.check_lease().await?;
        let room_id = self
            .matrix
            .create_room(session, room)
            .await
            .map_err(StepError::Matrix)?;
        Ok(Found::Created(room_id))
    }

    /// The room under an alias, if the user is in it, or left it to the bridge's own user.
    ///
    /// A homeserver points the alias to a room before its maker is in it, and goes on making it when whoever asked is
    /// gone: so a room that shuts us out may still be in the making, and is waited for. An alias that then still leads
    /// nowhere is left over from a creation that failed: it is removed, and there is no room.
    async fn find(
        &self,
        session: &Session,
        alias: &OwnedRoomAliasId,
    ) -> Result<Option<(OwnedRoomId, Vec<Event>)>, StepError> {
        let mut waits = IN_THE_MAKING.iter();
        let room_id = loop {
            let room_id = match self.matrix.resolve_alias(session, alias).await {
                Ok(room_id) => room_id,
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(StepError::Matrix(error)),
            };
            match self.matrix.get_room_state(session, &room_id).await {
                Ok(state) if RoomState(&state).has_joined(&session.user_id) => {
                    return Ok(Some((room_id, state)));
                }
                // Who has left a room can still read how it was then.
                Ok(_) => break room_id,
                Err(error) if is_shut_out(error.kind()) => {}
                Err(error) => return Err(StepError::Matrix(error)),
            }
            match waits.next() {
                Some(wait) => tokio::time::sleep(*wait).await,
                None => break room_id,
            }
        };
        // It may have been left to us, or somebody may have asked us back.
        if let Some(state) = self.enter(session, &room_id).await? {
            return Ok(Some((room_id, state)));
        }
        if let Some(state) = self.left_to_bot(&room_id).await? {
            return Ok(Some((room_id, state)));
        }
        // If the space was not read in this run, it may list the room.
        if session.user_id != *self.accounts.bot() && (self.children.is_none() || self.is_listed(&room_id)) {
            self.drop_from_space(&room_id).await?;
        }
        self.check_lease().await?;
        // All this took a while, in which somebody else may have made the room.
        match self.matrix.resolve_alias(session, alias).await {
            Ok(target) if target == room_id => {}
            Ok(target) => return Err(foreign(alias, format!("it points to {target} since just now"))),
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(StepError::Matrix(error)),
        }
        tracing::warn!(%alias, room.id = %room_id, "the alias leads to a room we are not in: removing it");
        match self.matrix.delete_alias(session, alias).await {
            Err(error) if !error.is_not_found() => Err(StepError::Matrix(error)),
            _ => Ok(None),
        }
    }
}

/// More rooms than an agent's user is looked through for its own.
const MANY_ROOMS: usize = 100;

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
    Existing {
        room_id: OwnedRoomId,
        state: Vec<Event>,
        /// Whether it was made just now, and only the answer was lost.
        is_new: bool,
    },
    /// The user left it to the bridge's own, who sees this state.
    LeftToBot {
        room_id: OwnedRoomId,
        state: Vec<Event>,
    },
}

/// Whether somebody is not let into a room, or there is none.
pub(crate) fn is_shut_out(kind: &MatrixErrorKind) -> bool {
    matches!(
        kind,
        MatrixErrorKind::Forbidden | MatrixErrorKind::NotFound | MatrixErrorKind::BadState
    )
}

pub(crate) fn agent_marker_type() -> StateEventType {
    StateEventType::from(AGENT_MARKER)
}

pub(super) fn agent_marker(agent: &AgentId) -> Value {
    json!({ "agent_id": agent })
}
