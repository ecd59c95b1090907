//! Removing a room: with an administrator's help for good, without by asking everybody out.

use std::time::Duration;

use matrix_client::{
    Event, MatrixError, MatrixErrorKind, MembershipState, Session, StateEventType, TimelineEventType,
    admin::{RoomDeletion, RoomsRequest},
    content as event_content,
};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::Value;
use store::Binding;

use super::{Administrator, Failure, PruneOptions, PruneStep, RoomOutcome};
use crate::{
    Reconciler,
    apply::{
        StepError,
        room::is_shut_out,
        state::{RoomState, is_link},
    },
};

/// What people read when they are asked out.
const FAREWELL: &str = "This agent is gone, and its room is being deleted.";

/// How long to wait between looks at a room that is being deleted: two minutes in all. Homeservers delete in the
/// background, event by event.
const BEING_DELETED: [Duration; 9] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(30),
    Duration::from_secs(50),
];

/// How we stand to a room.
pub(super) enum Standing {
    /// We can read it, and it is marked as the agent's.
    Within(Within),
    /// We cannot read it: it is gone, or we are long out of it.
    Outside,
}

/// A room that we can read.
pub(super) struct Within {
    /// As it is, or as it was when we left it.
    state: Vec<Event>,
    ghost: Session,
    bot: Session,
}

impl Within {
    fn is_in(&self, user: &UserId) -> bool {
        RoomState(&self.state).has_joined(user)
    }

    /// Everybody in it or invited, but for the agent's user and the bridge's own.
    pub(super) fn people(&self, bot: &UserId, binding: &Binding) -> Vec<OwnedUserId> {
        let view = RoomState(&self.state);
        let members = self
            .state
            .iter()
            .filter(|event| event.event_type == TimelineEventType::RoomMember)
            .filter_map(|event| OwnedUserId::try_from(event.state_key.as_deref()?).ok());
        members
            .filter(|user| user != bot && *user != binding.user_id)
            .filter(|user| view.membership(user).is_some_and(|how| is_inside(&how)))
            .collect()
    }
}

fn is_inside(membership: &MembershipState) -> bool {
    matches!(
        membership,
        MembershipState::Join | MembershipState::Invite | MembershipState::Knock
    )
}

impl Reconciler {
    async fn session_of(&self, user: &UserId) -> Result<Session, StepError> {
        self.accounts.session(user).await.map_err(StepError::Account)
    }

    /// Reads the room, as the agent's user or as the bridge's own.
    ///
    /// # Errors
    /// When it can be read and is not marked as the agent's.
    pub(super) async fn standing(&self, binding: &Binding, room: &RoomId) -> Result<Standing, StepError> {
        let ghost = self.session_of(&binding.user_id).await?;
        let bot = self.session_of(self.accounts.bot()).await?;
        let mut state: Option<Vec<Event>> = None;
        for session in [&ghost, &bot] {
            match self.matrix.get_room_state(session, room).await {
                Ok(current) if RoomState(&current).has_joined(&session.user_id) => {
                    state = Some(current);
                    break;
                }
                // Who has left a room can still read how it was then.
                Ok(former) => state = state.or(Some(former)),
                Err(error) if is_shut_out(error.kind()) => {}
                Err(error) => return Err(StepError::Matrix(error)),
            }
        }
        let Some(state) = state else {
            return Ok(Standing::Outside);
        };
        match RoomState(&state).marked_agent() {
            Some(agent) if agent == binding.agent_id => Ok(Standing::Within(Within { state, ghost, bot })),
            Some(other) => Err(StepError::OtherAgent {
                other: other.to_string(),
            }),
            None => Err(StepError::Unmarked {
                room: room.to_owned(),
            }),
        }
    }

    /// Removes the room, and what points to it. Answers who is left in it.
    pub(super) async fn remove_room(
        &self,
        binding: &Binding,
        room: &RoomId,
        options: &PruneOptions<'_>,
    ) -> Result<(RoomOutcome, Vec<OwnedUserId>), Failure> {
        let standing = self.standing(binding, room).await;
        let standing = standing.map_err(|error| (PruneStep::Room, error))?;
        if let (Standing::Outside, Some(administrator)) = (&standing, options.administrator) {
            let is_there = is_there(administrator, room).await;
            if is_there.map_err(|error| (PruneStep::Room, StepError::Matrix(error)))? {
                let room = room.to_owned();
                return Err((PruneStep::Room, StepError::Unmarked { room }));
            }
        }
        self.take_out_of_space(binding, room)
            .await
            .map_err(|error| (PruneStep::Space, error))?;
        self.remove_alias(binding, room)
            .await
            .map_err(|error| (PruneStep::Alias, error))?;
        match (standing, options.administrator) {
            (Standing::Outside, _) => Ok((RoomOutcome::Gone, Vec::new())),
            (Standing::Within(_), Some(administrator)) => {
                delete(administrator, room)
                    .await
                    .map_err(|error| (PruneStep::Delete, error))?;
                Ok((RoomOutcome::Deleted, Vec::new()))
            }
            (Standing::Within(within), None) => {
                let remaining = self.empty(binding, room, within).await?;
                Ok((RoomOutcome::Left, remaining))
            }
        }
    }

    /// Takes the room out of every space of ours that may list it.
    async fn take_out_of_space(&self, binding: &Binding, room: &RoomId) -> Result<(), StepError> {
        let current = self.store.get_space().await.map_err(StepError::Store)?;
        let mut spaces: Vec<OwnedRoomId> = current.map(|space| space.room_id).into_iter().collect();
        if let Some(former) = binding
            .room
            .space_id
            .clone()
            .filter(|space| !spaces.contains(space))
        {
            spaces.push(former);
        }
        let bot = self.session_of(self.accounts.bot()).await?;
        for space in spaces {
            let child = StateEventType::SpaceChild;
            let listed = self
                .matrix
                .get_state_event(&bot, &space, &child, room.as_str())
                .await;
            match listed {
                Ok(content) if is_link(&content) => {}
                Ok(_) => continue,
                Err(error) if is_shut_out(error.kind()) => continue,
                Err(error) => return Err(StepError::Matrix(error)),
            }
            let removed = event_content::removed();
            self.matrix
                .set_state_event(&bot, &space, &child, room.as_str(), &removed)
                .await
                .map_err(StepError::Matrix)?;
        }
        Ok(())
    }

    /// Removes the alias if it leads to this room.
    async fn remove_alias(&self, binding: &Binding, room: &RoomId) -> Result<(), StepError> {
        let bot = self.session_of(self.accounts.bot()).await?;
        let alias = &binding.room_alias;
        match self.matrix.resolve_alias(&bot, alias).await {
            Ok(target) if target == room => {}
            Ok(_) => return Ok(()),
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(StepError::Matrix(error)),
        }
        let ghost = self.session_of(&binding.user_id).await?;
        let mut removed = self.matrix.delete_alias(&ghost, alias).await;
        if matches!(&removed, Err(error) if *error.kind() == MatrixErrorKind::Forbidden) {
            // Where an application service acts, an alias in its namespace is the bridge's own user's as well.
            removed = self.matrix.delete_alias(&bot, alias).await;
        }
        match removed {
            Err(error) if !error.is_not_found() => Err(StepError::Matrix(error)),
            _ => Ok(()),
        }
    }

    /// Asks everybody out and leaves. Answers who could not be asked out.
    async fn empty(
        &self,
        binding: &Binding,
        room: &RoomId,
        mut within: Within,
    ) -> Result<Vec<OwnedUserId>, Failure> {
        let people = |error| (PruneStep::People, error);
        if !within.is_in(&binding.user_id) && within.is_in(&within.bot.user_id) {
            // It was left to the bridge's own user, who has no power there.
            self.let_back_in(binding, room, &mut within)
                .await
                .map_err(people)?;
        }
        let mut remaining = within.people(self.accounts.bot(), binding);
        if within.is_in(&binding.user_id) {
            let mut left = Vec::new();
            for user in remaining {
                if !self.ask_out(&within, room, &user).await.map_err(people)? {
                    left.push(user);
                }
            }
            remaining = left;
        }
        let leaving = |error| (PruneStep::Leave, error);
        for session in [&within.bot, &within.ghost] {
            if within.is_in(&session.user_id) {
                match self.matrix.leave_room(session, room, None).await {
                    Err(error) if !is_shut_out(error.kind()) => {
                        return Err(leaving(StepError::Matrix(error)));
                    }
                    _ => {}
                }
            }
        }
        for session in [&within.bot, &within.ghost] {
            match self.matrix.forget_room(session, room).await {
                // Who never was in a room has nothing to forget.
                Err(error) if error.is_retryable() => return Err(leaving(StepError::Matrix(error))),
                _ => {}
            }
        }
        Ok(remaining)
    }

    async fn let_back_in(
        &self,
        binding: &Binding,
        room: &RoomId,
        within: &mut Within,
    ) -> Result<(), StepError> {
        let invited = self
            .matrix
            .invite_user(&within.bot, room, &binding.user_id, None)
            .await;
        match invited {
            Err(error) if !is_shut_out(error.kind()) => return Err(StepError::Matrix(error)),
            _ => {}
        }
        match self.matrix.join_room(&within.ghost, room.into(), &[]).await {
            Ok(_) => {}
            Err(error) if is_shut_out(error.kind()) => return Ok(()),
            Err(error) => return Err(StepError::Matrix(error)),
        }
        let state = self.matrix.get_room_state(&within.ghost, room).await;
        within.state = state.map_err(StepError::Matrix)?;
        Ok(())
    }

    /// Asks somebody out; whether that worked. Who has gone meanwhile is out.
    async fn ask_out(&self, within: &Within, room: &RoomId, user: &UserId) -> Result<bool, StepError> {
        let kicked = self
            .matrix
            .kick_user(&within.ghost, room, user, Some(FAREWELL))
            .await;
        let refusal = match kicked {
            Ok(()) => return Ok(true),
            Err(error) if is_shut_out(error.kind()) => error,
            Err(error) => return Err(StepError::Matrix(error)),
        };
        // Lack of power and being gone are the same refusal.
        let member = self
            .matrix
            .get_state_event(&within.ghost, room, &StateEventType::RoomMember, user.as_str())
            .await
            .map_err(|_| StepError::Matrix(refusal))?;
        let membership = member.get("membership").and_then(Value::as_str);
        Ok(!membership.is_some_and(|membership| is_inside(&MembershipState::from(membership))))
    }
}

/// Whether the administrator is one, so that nothing is begun that cannot be finished.
pub(super) async fn check(administrator: Administrator<'_>) -> Result<(), MatrixError> {
    let request = RoomsRequest::new().limit(1);
    let page = administrator
        .api
        .list_rooms(administrator.session, &request)
        .await;
    page.map(drop)
}

/// Has the homeserver delete the room, and waits until it is gone.
async fn delete(administrator: Administrator<'_>, room: &RoomId) -> Result<(), StepError> {
    let asked = administrator
        .api
        .delete_room(administrator.session, room, &RoomDeletion::purge())
        .await;
    let refusal = asked.err().filter(|error| !error.is_not_found());
    for wait in BEING_DELETED {
        let is_there = is_there(administrator, room).await;
        if !is_there.map_err(StepError::Matrix)? {
            return Ok(());
        }
        // A deletion that is under way already is refused, too; any other refusal stays one.
        if let Some(refusal) = &refusal
            && !is_under_way(refusal)
        {
            return Err(StepError::Matrix(refusal.clone()));
        }
        tokio::time::sleep(wait).await;
    }
    Err(StepError::StillThere {
        room: room.to_owned(),
    })
}

/// Whether a deletion was refused because one is under way, which homeservers say with a plain 400.
fn is_under_way(refusal: &MatrixError) -> bool {
    refusal.status() == Some(400)
}

/// Whether the homeserver has the room.
async fn is_there(administrator: Administrator<'_>, room: &RoomId) -> Result<bool, MatrixError> {
    let request = RoomsRequest::new().search_term(room.as_str());
    let page = administrator
        .api
        .list_rooms(administrator.session, &request)
        .await?;
    Ok(page.rooms.iter().any(|found| found.room_id == room))
}
