//! Getting into rooms, out of them, and over to those that replaced them.

use matrix_client::{Event, Session};
use ruma::{OwnedRoomAliasId, OwnedRoomId, RoomId};
use store::Binding;

use super::{Applier, StepError, room::is_shut_out, room_of, state::RoomState};

impl Applier<'_> {
    /// The state of a room, after joining it if need be. `None` if that is not possible.
    pub(super) async fn enter(
        &self,
        session: &Session,
        room: &RoomId,
    ) -> Result<Option<Vec<Event>>, StepError> {
        for is_second_look in [false, true] {
            match self.matrix.get_room_state(session, room).await {
                Ok(state) if RoomState(&state).has_joined(&session.user_id) => return Ok(Some(state)),
                // Who has left a room can still read how it was then.
                Ok(_) => {}
                Err(error) if is_shut_out(error.kind()) => {}
                Err(error) => return Err(StepError::Matrix(error)),
            }
            if is_second_look {
                break;
            }
            self.check_lease().await?;
            match self.matrix.join_room(session, room.into(), &[]).await {
                Ok(_) => {}
                Err(error) if is_shut_out(error.kind()) => break,
                Err(error) => return Err(StepError::Matrix(error)),
            }
        }
        Ok(None)
    }

    /// The state of a room that was left to the bridge's own user, if it was. A refusal is no proof that it was not: what
    /// follows from that is a new room.
    pub(super) async fn left_to_bot(&self, room: &RoomId) -> Result<Option<Vec<Event>>, StepError> {
        let bot = self.bot().await?;
        let rooms = self.matrix.list_joined_rooms(&bot).await;
        if !rooms
            .map_err(StepError::Matrix)?
            .iter()
            .any(|joined| joined == room)
        {
            return Ok(None);
        }
        let state = self.matrix.get_room_state(&bot, room).await;
        state.map(Some).map_err(StepError::Matrix)
    }

    /// The room that replaced the given one, or the one that replaced that, with its state; the given one if none did.
    /// `None` if the replacement does not exist any more.
    pub(super) async fn follow(
        &self,
        ghost: &Session,
        room: OwnedRoomId,
        state: Vec<Event>,
    ) -> Result<Option<(OwnedRoomId, Vec<Event>)>, StepError> {
        let via = [self.config.server_name.clone()];
        let (mut room, mut state) = (room, state);
        let mut seen = Vec::new();
        while let Some(next) = RoomState(&state).successor() {
            seen.push(room.clone());
            if seen.contains(&next) {
                break;
            }
            match self.matrix.join_room(ghost, (&*next).into(), &via).await {
                Ok(_) => {}
                Err(error) if error.is_not_found() => return Ok(None),
                Err(source) if is_shut_out(source.kind()) => {
                    return Err(StepError::Upgraded { to: next, source });
                }
                Err(error) => return Err(StepError::Matrix(error)),
            }
            tracing::info!(room.id = %next, "followed the room's upgrade");
            let read = self.matrix.get_room_state(ghost, &next).await;
            state = read.map_err(StepError::Matrix)?;
            room = next;
        }
        Ok(Some((room, state)))
    }

    /// Takes the alias away from a room that was replaced, if whoever replaced it did not.
    pub(super) async fn take_alias_from(
        &self,
        ghost: &Session,
        alias: &OwnedRoomAliasId,
        old: &RoomId,
    ) -> Result<(), StepError> {
        match self.matrix.resolve_alias(ghost, alias).await {
            Ok(target) if target == old => match self.matrix.delete_alias(ghost, alias).await {
                Err(error) if !error.is_not_found() => Err(StepError::Matrix(error)),
                _ => Ok(()),
            },
            Err(error) if !error.is_not_found() => Err(StepError::Matrix(error)),
            _ => Ok(()),
        }
    }

    /// Leaves the room to the bridge's own user, through whom the agent can come back.
    pub(super) async fn leave(&self, ghost: &Session, binding: &mut Binding) -> Result<(), StepError> {
        let room = room_of(binding)?;
        let bot = self.bot().await?;
        if self.matrix.join_room(&bot, room.into(), &[]).await.is_err() {
            self.invite(ghost, room, &bot.user_id).await?;
            self.matrix
                .join_room(&bot, room.into(), &[])
                .await
                .map_err(StepError::Matrix)?;
        }
        self.matrix
            .leave_room(ghost, room, None)
            .await
            .map_err(StepError::Matrix)?;
        binding.room.joined = false;
        Ok(())
    }

    /// Comes back into a room that was left to the bridge's own user, which then leaves it. If nobody of ours is in there
    /// any more, reading it will show that the room is lost.
    pub(super) async fn rejoin(&self, ghost: &Session, binding: &mut Binding) -> Result<(), StepError> {
        let room = room_of(binding)?;
        match self.matrix.join_room(ghost, room.into(), &[]).await {
            Ok(_) => {}
            Err(error) if is_shut_out(error.kind()) => {
                if self.left_to_bot(room).await?.is_none() {
                    binding.room.verified = false;
                    return Ok(());
                }
                self.invite(&self.bot().await?, room, &binding.user_id).await?;
                let joined = self.matrix.join_room(ghost, room.into(), &[]).await;
                joined.map_err(StepError::Matrix)?;
            }
            Err(error) => return Err(StepError::Matrix(error)),
        }
        self.hand_over(ghost, room).await?;
        // Much may have happened meanwhile.
        binding.room.verified = false;
        Ok(())
    }

    /// The bridge's own user leaves a room to the agent's.
    async fn hand_over(&self, ghost: &Session, room: &RoomId) -> Result<(), StepError> {
        let bot = self.bot().await?;
        match self.matrix.leave_room(&bot, room, None).await {
            Ok(()) => Ok(()),
            Err(error) if is_shut_out(error.kind()) => {
                // Who is not in a room cannot leave it, and the homeserver's words are no interface: look.
                let members = self.matrix.list_joined_members(ghost, room).await;
                match members {
                    Ok(members) if !members.contains_key(&bot.user_id) => Ok(()),
                    _ => Err(StepError::Matrix(error)),
                }
            }
            Err(error) => Err(StepError::Matrix(error)),
        }
    }
}
