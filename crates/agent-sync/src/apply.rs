//! Doing what is missing, one recorded step after the other.

mod entry;
mod error;
mod history;
pub(crate) mod room;
mod space;
pub(crate) mod state;

use std::collections::HashMap;

use accounts::Accounts;
use letta_client::{AgentId, LettaApi};
use matrix_client::{MatrixApi, MatrixErrorKind, Session, StateEventType, Upload, content as event_content};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::{Value, json};
use store::{Avatar, Binding, Clock, Invitation, Lease, StoreError, SyncStore};

pub(crate) use self::error::{Outage, StepError};
use crate::{
    Action, Step, SyncConfig,
    goal::{Goal, PictureSource},
    pace::Pace,
    plan::agent_actions,
};

/// The parts that doing needs.
pub(crate) struct Applier<'a> {
    pub(crate) letta: &'a dyn LettaApi,
    pub(crate) matrix: &'a dyn MatrixApi,
    pub(crate) accounts: &'a dyn Accounts,
    pub(crate) store: &'a dyn SyncStore,
    pub(crate) config: &'a SyncConfig,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) lease: &'a Lease,
    pub(crate) pace: &'a Pace,
    /// The space, if there is one.
    pub(crate) space: Option<OwnedRoomId>,
    /// The rooms that the space lists, if it was read in this run.
    pub(crate) children: Option<HashMap<OwnedRoomId, Value>>,
}

/// One agent's work.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) goal: Goal,
    pub(crate) binding: Binding,
    /// Whether the binding holds something that the store does not have yet.
    pub(crate) is_dirty: bool,
}

/// What was done for one agent.
#[derive(Debug, Default)]
pub(crate) struct AgentOutcome {
    pub(crate) user_created: bool,
    pub(crate) room_created: bool,
    pub(crate) adopted: bool,
    pub(crate) renamed: bool,
    /// The room was looked at and lacked something.
    pub(crate) repaired: bool,
    pub(crate) failure: Option<AgentFailure>,
}

/// Why an agent could not be completed.
#[derive(Debug, Clone)]
pub(crate) struct AgentFailure {
    pub(crate) step: Step,
    pub(crate) error: String,
    pub(crate) kind: Option<MatrixErrorKind>,
}

impl AgentOutcome {
    pub(crate) fn failed(step: Step, error: String) -> Self {
        Self {
            failure: Some(AgentFailure {
                step,
                error,
                kind: None,
            }),
            ..Self::default()
        }
    }
}

/// Whether a room was made or found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Created,
    Adopted,
}

/// More steps than any agent needs, whatever is found on the way.
const MANY_STEPS: usize = 1_000;

impl Applier<'_> {
    /// Does everything that is missing for one agent. Stops at the first step that fails, except where what follows
    /// does not depend on it.
    pub(crate) async fn bring_home(&self, work: Work, outage: &Outage) -> AgentOutcome {
        let Work {
            goal,
            mut binding,
            is_dirty,
        } = work;
        let mut outcome = AgentOutcome::default();
        if is_dirty && let Err(error) = self.record(&mut binding).await {
            // Names and decisions are written down before anything is done under them.
            give_up(&mut outcome, Step::Plan, &error, outage);
            return outcome;
        }
        let invitees = self.config.invitees(&binding.user_id, self.accounts.bot());
        let todo = |binding: &Binding| agent_actions(&goal, binding, self.space.as_ref(), &invitees);
        let mut refused: Vec<Action> = Vec::new();
        let mut inspected = false;
        let mut is_unsure = false;
        let mut steps = 0;
        while let Some(action) = todo(&binding)
            .into_iter()
            .find(|action| !refused.contains(action))
        {
            outcome.repaired |= inspected;
            inspected |= action == Action::Inspect;
            steps += 1;
            if steps > MANY_STEPS {
                give_up(&mut outcome, action.step(), &StepError::NoProgress, outage);
                break;
            }
            let result = match self.perform(&action, &goal, &mut binding, &mut outcome).await {
                Ok(()) => self.record(&mut binding).await,
                Err(error) => Err(error),
            };
            let result = result.and_then(|()| {
                if todo(&binding).contains(&action) {
                    Err(StepError::NoProgress)
                } else {
                    Ok(())
                }
            });
            let Err(error) = result else { continue };
            give_up(&mut outcome, action.step(), &error, outage);
            if matches!(error, StepError::Outside(_)) || (error.is_shut_out() && action.is_done_inside()) {
                // The room is not as it was written down: the next run is to read it, and not to wait for its time.
                binding.room.verified = false;
                is_unsure = true;
            }
            if error.is_general() || !action.is_independent() {
                break;
            }
            if let Action::Invite { user } = &action {
                binding.invitations.insert(user.clone(), Invitation::Failed);
            }
            refused.push(action);
        }
        let error = outcome
            .failure
            .as_ref()
            .map(|failure| format!("{}: {}", failure.step, failure.error));
        if binding.last_error != error || !refused.is_empty() || is_unsure {
            binding.last_error = error;
            if let Err(error) = self.record(&mut binding).await {
                give_up(&mut outcome, Step::Plan, &error, outage);
            }
        }
        outcome
    }

    pub(crate) async fn record(&self, binding: &mut Binding) -> Result<(), StepError> {
        binding.updated_at = self.clock.now();
        self.store
            .put_binding(binding, self.lease)
            .await
            .map_err(StepError::Store)
    }

    /// Fails when another instance took over. Asked right before a room is made or an alias taken away: whoever was
    /// stalled for long must not do that any more, and the homeserver knows nothing of leases.
    pub(crate) async fn check_lease(&self) -> Result<(), StepError> {
        let held = self.store.get_lease(&self.lease.name).await;
        match held.map_err(StepError::Store)? {
            Some(held) if held.token == self.lease.token => Ok(()),
            _ => Err(StepError::Store(StoreError::lease_lost(self.lease))),
        }
    }

    /// One step. A token that the homeserver no longer knows is replaced once.
    async fn perform(
        &self,
        action: &Action,
        goal: &Goal,
        binding: &mut Binding,
        outcome: &mut AgentOutcome,
    ) -> Result<(), StepError> {
        let began = tokio::time::Instant::now();
        let mut result = self.attempt(action, goal, binding, outcome).await;
        if let Err(error) = &result
            && error.is_unauthorized()
            && self.forget_sessions(binding).await?
        {
            result = self
                .attempt(action, goal, binding, outcome)
                .await
                .map_err(StepError::of_one_user);
        }
        match &result {
            Ok(()) => self.pace.took(action.step(), began.elapsed()),
            Err(error) if error.is_overload() => self.pace.overloaded(),
            Err(_) => {}
        }
        result
    }

    async fn forget_sessions(&self, binding: &Binding) -> Result<bool, StepError> {
        let mut renewed = false;
        for user in [&*binding.user_id, self.accounts.bot()] {
            let session = self.session(user).await?;
            if let Err(error) = self.matrix.whoami(&session).await
                && matches!(error.kind(), MatrixErrorKind::Unauthorized { .. })
            {
                renewed |= self.accounts.forget(&session).await.map_err(StepError::Account)?;
            }
        }
        Ok(renewed)
    }

    pub(crate) async fn session(&self, user: &UserId) -> Result<Session, StepError> {
        self.accounts.session(user).await.map_err(StepError::Account)
    }

    pub(crate) async fn bot(&self) -> Result<Session, StepError> {
        self.session(self.accounts.bot()).await
    }

    /// One step. Changes the binding only after the homeserver confirmed it.
    async fn attempt(
        &self,
        action: &Action,
        goal: &Goal,
        binding: &mut Binding,
        outcome: &mut AgentOutcome,
    ) -> Result<(), StepError> {
        if *action == Action::Register {
            let made = self.accounts.register(&binding.user_id).await;
            outcome.user_created = made.map_err(StepError::Account)?;
            binding.user_registered = true;
            return Ok(());
        }
        let ghost = self.session(&binding.user_id).await?;
        match action {
            Action::Register => {}
            Action::SetDisplayName { name } => {
                self.matrix
                    .set_display_name(&ghost, Some(name))
                    .await
                    .map_err(StepError::Matrix)?;
                outcome.renamed |= binding.display_name.is_some();
                binding.display_name = Some(name.clone());
            }
            Action::PrepareAvatar => self.prepare_avatar(&ghost, goal, binding).await?,
            Action::SetUserAvatar { avatar_url } => {
                self.matrix
                    .set_avatar_url(&ghost, avatar_url.as_deref())
                    .await
                    .map_err(StepError::Matrix)?;
                binding.avatar.on_user.clone_from(avatar_url);
            }
            Action::CreateRoom { name, topic, invite } => {
                let origin = self
                    .ensure_room(&ghost, binding, name, topic, invite, outcome.user_created)
                    .await?;
                outcome.room_created |= origin == Origin::Created;
                outcome.adopted |= origin == Origin::Adopted;
            }
            Action::Inspect => self.inspect(&ghost, binding).await?,
            Action::Rejoin => self.rejoin(&ghost, binding).await?,
            Action::Leave => self.leave(&ghost, binding).await?,
            Action::SendHistory => self.send_history(&ghost, binding).await?,
            Action::Invite { user } => {
                let standing = self.invite(&ghost, room_of(binding)?, user).await?;
                binding.invitations.insert(user.clone(), standing);
            }
            Action::AddToSpace { order } => {
                let space = self.space.as_deref().ok_or(StepError::NoProgress)?;
                let mut child = event_content::space_child([self.config.server_name.clone()]);
                child["suggested"] = true.into();
                if let Some(order) = order {
                    child["order"] = order.as_str().into();
                }
                self.set_child(space, room_of(binding)?, child).await?;
                binding.room.space_id = Some(space.to_owned());
                binding.room.space_order.clone_from(order);
            }
            Action::RemoveFromSpace { space } => {
                // A space that is not ours any more need not be tidied, and perhaps cannot.
                if self.space.as_ref() == Some(space) {
                    self.set_child(space, room_of(binding)?, event_content::removed())
                        .await?;
                }
                binding.room.space_id = None;
                binding.room.space_order = None;
            }
            Action::SetAlias => self.ensure_alias(&ghost, binding).await?,
            Action::Mark
            | Action::SetRoomName { .. }
            | Action::SetRoomTopic { .. }
            | Action::SetRoomAvatar { .. }
            | Action::SetParent
            | Action::RemoveParent { .. } => {
                self.set_room_state(&ghost, action, binding, outcome).await?;
            }
        }
        Ok(())
    }

    /// The steps that are one state event in the room each.
    async fn set_room_state(
        &self,
        ghost: &Session,
        action: &Action,
        binding: &mut Binding,
        outcome: &mut AgentOutcome,
    ) -> Result<(), StepError> {
        let via = || [self.config.server_name.clone()];
        let (event_type, state_key, content) = match action {
            Action::Mark => (
                room::agent_marker_type(),
                "",
                room::agent_marker(&binding.agent_id),
            ),
            Action::SetRoomName { name } => (StateEventType::RoomName, "", event_content::room_name(name)),
            Action::SetRoomTopic { topic } => {
                (StateEventType::RoomTopic, "", event_content::room_topic(topic))
            }
            Action::SetRoomAvatar { avatar_url } => (
                StateEventType::RoomAvatar,
                "",
                avatar_url
                    .as_ref()
                    .map_or_else(|| json!({}), |url| json!({ "url": url })),
            ),
            Action::SetParent => (
                StateEventType::SpaceParent,
                self.space.as_deref().ok_or(StepError::NoProgress)?.as_str(),
                event_content::space_parent(via(), true),
            ),
            Action::RemoveParent { space } => (
                StateEventType::SpaceParent,
                space.as_str(),
                event_content::removed(),
            ),
            _ => return Err(StepError::NoProgress),
        };
        let room = room_of(binding)?;
        self.matrix
            .set_state_event(ghost, room, &event_type, state_key, &content)
            .await
            .map_err(StepError::Matrix)?;
        let facts = &mut binding.room;
        match action {
            Action::Mark => facts.marked = true,
            Action::SetRoomName { name } => {
                outcome.renamed |= facts.name.is_some();
                facts.name = Some(name.clone());
            }
            Action::SetRoomTopic { topic } => facts.topic = Some(topic.clone()),
            Action::SetRoomAvatar { avatar_url } => facts.avatar_url.clone_from(avatar_url),
            Action::SetParent => facts.parent_id.clone_from(&self.space),
            _ => facts.parent_id = None,
        }
        Ok(())
    }

    /// Has the picture where the homeserver can show it. An upload whose answer is lost leaves a file that nobody uses.
    async fn prepare_avatar(
        &self,
        ghost: &Session,
        goal: &Goal,
        binding: &mut Binding,
    ) -> Result<(), StepError> {
        let Goal::Home { avatar, .. } = goal else {
            return Err(StepError::NoProgress);
        };
        let url = match avatar.as_ref().map(|picture| &picture.source) {
            None => None,
            Some(PictureSource::Uploaded(url)) => Some(url.clone()),
            Some(PictureSource::Bytes { content_type, bytes }) => {
                let upload = Upload::new(content_type, bytes.clone());
                let url = self.matrix.upload_media(ghost, &upload).await;
                Some(url.map_err(StepError::Matrix)?)
            }
        };
        binding.avatar = Avatar {
            source: avatar.as_ref().map(|picture| picture.fingerprint.clone()),
            url,
            on_user: binding.avatar.on_user.take(),
        };
        Ok(())
    }

    async fn set_child(&self, space: &RoomId, room: &RoomId, content: Value) -> Result<(), StepError> {
        let bot = self.bot().await?;
        self.matrix
            .set_state_event(&bot, space, &StateEventType::SpaceChild, room.as_str(), &content)
            .await
            .map_err(StepError::Matrix)?;
        Ok(())
    }

    pub(crate) async fn invite(
        &self,
        session: &Session,
        room: &RoomId,
        user: &OwnedUserId,
    ) -> Result<Invitation, StepError> {
        match self.matrix.invite_user(session, room, user, None).await {
            Ok(()) => Ok(Invitation::Invited),
            Err(error) if *error.kind() == MatrixErrorKind::Forbidden => {
                // "Already in the room" is a refusal too, and the homeserver's words are no interface: look.
                let members = self.matrix.list_joined_members(session, room).await;
                match members {
                    Ok(members) if members.contains_key(user) => Ok(Invitation::Joined),
                    Err(look) if room::is_shut_out(look.kind()) => Err(StepError::Outside(error)),
                    _ => Err(StepError::Matrix(error)),
                }
            }
            Err(error) => Err(StepError::Matrix(error)),
        }
    }
}

pub(crate) fn give_up(outcome: &mut AgentOutcome, step: Step, error: &StepError, outage: &Outage) {
    let sentence = error.sentence();
    // The report tells it to people; whoever prints the report need not print this too.
    tracing::debug!(%step, error = %sentence, "a step failed");
    if error.is_general() {
        outage.report(&sentence, error.is_lease_lost());
    }
    outcome.failure.get_or_insert(AgentFailure {
        step,
        error: sentence,
        kind: error.matrix_kind(),
    });
}

fn room_of(binding: &Binding) -> Result<&RoomId, StepError> {
    binding.room_id.as_deref().ok_or(StepError::NoProgress)
}

/// The refusal to touch a room that is somebody else's.
fn foreign(alias: &(impl ToString + ?Sized), reason: impl Into<String>) -> StepError {
    StepError::Foreign {
        alias: alias.to_string(),
        reason: reason.into(),
    }
}

/// The agent that a marker names.
fn marked_agent(marker: &Value) -> Option<AgentId> {
    marker.get("agent_id").and_then(Value::as_str).map(AgentId::new)
}
