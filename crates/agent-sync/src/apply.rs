//! Doing what is missing, one recorded step after the other.

mod room;
mod space;

use std::{
    collections::BTreeMap,
    error::Error as StdError,
    sync::{Mutex, PoisonError},
};

use letta_client::Agent;
use matrix_client::{MatrixApi, MatrixError, MatrixErrorKind, Registration, Session, StateEventType};
use ruma::{OwnedRoomId, OwnedUserId};
use serde_json::json;
use store::{Binding, BindingStore, Clock, Invitation, StoreError};

use crate::{
    Action, Step, SyncConfig,
    names::{child_order, display_name},
    plan::actions,
};

/// The parts that doing needs.
pub(crate) struct Applier<'a> {
    pub(crate) matrix: &'a dyn MatrixApi,
    pub(crate) store: &'a dyn BindingStore,
    pub(crate) config: &'a SyncConfig,
    pub(crate) clock: &'a dyn Clock,
}

/// What was done for one agent.
#[derive(Debug, Default)]
pub(crate) struct AgentOutcome {
    pub(crate) user_created: bool,
    pub(crate) room_created: bool,
    pub(crate) adopted: bool,
    pub(crate) renamed: bool,
    pub(crate) failure: Option<(Step, String)>,
}

impl AgentOutcome {
    pub(crate) fn failed(step: Step, error: String) -> Self {
        Self {
            failure: Some((step, error)),
            ..Self::default()
        }
    }
}

/// Whether a room was made or found under its alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Created,
    Adopted,
}

impl Origin {
    pub(crate) fn is_created(self) -> bool {
        self == Self::Created
    }
}

/// Why one step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error("the homeserver refused")]
    Matrix(#[source] MatrixError),
    #[error("the state cannot be written")]
    Store(#[source] StoreError),
    #[error("the names make no valid Matrix id")]
    Names(#[source] ruma::IdParseError),
    #[error("the alias {alias} belongs to another room ({reason})")]
    Foreign { alias: String, reason: String },
    #[error("the step changed nothing that is missing")]
    NoProgress,
}

impl StepError {
    /// One line for people: without the wrapper where the cause says it all.
    fn sentence(&self) -> String {
        match self {
            Self::Matrix(cause) => cause.to_string(),
            other => chain(other),
        }
    }

    /// Whether every other agent would fail alike, so that trying them only costs time.
    fn is_general(&self) -> bool {
        match self {
            Self::Matrix(cause) => matches!(
                cause.kind(),
                MatrixErrorKind::Connect
                    | MatrixErrorKind::Tls
                    | MatrixErrorKind::Redirected { .. }
                    | MatrixErrorKind::NotMatrix { .. }
                    | MatrixErrorKind::Unauthorized { .. }
                    | MatrixErrorKind::MissingToken
            ),
            Self::Store(cause) => cause.kind() == store::StoreErrorKind::Unavailable,
            _ => false,
        }
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn StdError) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

/// A failure that concerns all agents, once there was one.
#[derive(Debug, Default)]
pub(crate) struct Outage(Mutex<Option<String>>);

impl Outage {
    pub(crate) fn reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn report(&self, reason: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| reason.to_owned());
    }
}

impl Applier<'_> {
    /// Does everything that is missing for one agent. Stops at the first step that fails, except for invitations,
    /// which do not depend on each other.
    #[tracing::instrument(name = "sync.agent", skip_all, fields(agent.id = %agent.id))]
    pub(crate) async fn bring_home(
        &self,
        agent: &Agent,
        binding: Option<Binding>,
        user_id: &OwnedUserId,
        space: &OwnedRoomId,
        outage: &Outage,
    ) -> AgentOutcome {
        let mut outcome = AgentOutcome::default();
        let is_new = binding.is_none();
        let mut binding = match binding.map_or_else(|| self.first_binding(agent, user_id), Ok) {
            Ok(binding) => binding,
            Err(error) => return AgentOutcome::failed(Step::Plan, error.sentence()),
        };
        if is_new || binding.agent_name != agent.name {
            // The names are written down before anything is done under them.
            binding.agent_name.clone_from(&agent.name);
            if let Err(error) = self.record(&mut binding).await {
                self.give_up(&mut outcome, Step::Plan, &error, outage);
                return outcome;
            }
        }
        let mut refused: Vec<OwnedUserId> = Vec::new();
        loop {
            let mut todo = actions(agent, Some(&binding), user_id, Some(space), self.config);
            todo.retain(|action| !matches!(action, Action::Invite { user } if refused.contains(user)));
            let Some(action) = todo.into_iter().next() else {
                break;
            };
            let result = match self
                .perform(&action, agent, &mut binding, space, &mut outcome)
                .await
            {
                Ok(()) => self.record(&mut binding).await,
                Err(error) => Err(error),
            };
            let result = result.and_then(|()| {
                let next = actions(agent, Some(&binding), user_id, Some(space), self.config);
                if next.first() == Some(&action) {
                    Err(StepError::NoProgress)
                } else {
                    Ok(())
                }
            });
            let Err(error) = result else { continue };
            self.give_up(&mut outcome, action.step(), &error, outage);
            match action {
                Action::Invite { user } if !error.is_general() => {
                    binding.invitations.insert(user.clone(), Invitation::Failed);
                    refused.push(user);
                }
                _ => break,
            }
        }
        let error = outcome
            .failure
            .as_ref()
            .map(|(step, error)| format!("{step}: {error}"));
        if binding.last_error != error || !refused.is_empty() {
            binding.last_error = error;
            if let Err(error) = self.record(&mut binding).await {
                self.give_up(&mut outcome, Step::Plan, &error, outage);
            }
        }
        outcome
    }

    fn give_up(&self, outcome: &mut AgentOutcome, step: Step, error: &StepError, outage: &Outage) {
        let sentence = error.sentence();
        // The report tells it to people; whoever prints the report need not print this too.
        tracing::debug!(%step, error = %sentence, "a step failed");
        if error.is_general() {
            outage.report(&sentence);
        }
        outcome.failure.get_or_insert((step, sentence));
    }

    fn first_binding(&self, agent: &Agent, user_id: &OwnedUserId) -> Result<Binding, StepError> {
        let now = self.clock.now();
        Ok(Binding {
            agent_id: agent.id.clone(),
            agent_name: agent.name.clone(),
            user_id: user_id.clone(),
            room_alias: self.config.room_alias(&agent.id).map_err(StepError::Names)?,
            user_registered: false,
            display_name: None,
            room_id: None,
            room_name: None,
            room_topic: None,
            parent_id: None,
            space_id: None,
            invitations: BTreeMap::new(),
            last_error: None,
            created_at: now,
            updated_at: now,
        })
    }

    async fn record(&self, binding: &mut Binding) -> Result<(), StepError> {
        binding.updated_at = self.clock.now();
        self.store.put_binding(binding).await.map_err(StepError::Store)
    }

    /// One step. Changes the binding only after the homeserver confirmed it.
    async fn perform(
        &self,
        action: &Action,
        agent: &Agent,
        binding: &mut Binding,
        space: &OwnedRoomId,
        outcome: &mut AgentOutcome,
    ) -> Result<(), StepError> {
        let ghost = self.config.appservice.act_as(&binding.user_id);
        match action {
            Action::Register => {
                outcome.user_created = self.register(binding).await?;
                binding.user_registered = true;
            }
            Action::SetDisplayName { name } => {
                self.matrix
                    .set_display_name(&ghost, Some(name))
                    .await
                    .map_err(StepError::Matrix)?;
                outcome.renamed |= binding.display_name.is_some();
                binding.display_name = Some(name.clone());
            }
            Action::CreateRoom { name, topic, invite } => {
                let origin = self
                    .ensure_room(&ghost, agent, binding, space, name, topic, invite)
                    .await?;
                outcome.room_created = origin.is_created();
                outcome.adopted = !origin.is_created();
            }
            Action::SetRoomName { name } => {
                self.set_state(
                    &ghost,
                    binding,
                    StateEventType::RoomName,
                    "",
                    json!({ "name": name }),
                )
                .await?;
                outcome.renamed |= binding.room_name.is_some();
                binding.room_name = Some(name.clone());
            }
            Action::SetRoomTopic { topic } => {
                self.set_state(
                    &ghost,
                    binding,
                    StateEventType::RoomTopic,
                    "",
                    json!({ "topic": topic }),
                )
                .await?;
                binding.room_topic = Some(topic.clone());
            }
            Action::SetParent => {
                let content = json!({ "via": [self.config.server_name], "canonical": true });
                self.set_state(
                    &ghost,
                    binding,
                    StateEventType::SpaceParent,
                    space.as_str(),
                    content,
                )
                .await?;
                binding.parent_id = Some(space.clone());
            }
            Action::AddToSpace => {
                self.add_to_space(agent, binding, space).await?;
                binding.space_id = Some(space.clone());
            }
            Action::Invite { user } => {
                let standing = self.invite(&ghost, binding, user).await?;
                binding.invitations.insert(user.clone(), standing);
            }
        }
        Ok(())
    }

    /// Whether the user was made now. That it exists is what was wanted.
    async fn register(&self, binding: &Binding) -> Result<bool, StepError> {
        let token = self.config.appservice.token.clone();
        let registration = Registration::appservice(binding.user_id.localpart(), token).inhibit_login(true);
        match self.matrix.register(&registration).await {
            Ok(_) => Ok(true),
            Err(error) if *error.kind() == MatrixErrorKind::UserInUse => Ok(false),
            Err(error) => Err(StepError::Matrix(error)),
        }
    }

    async fn add_to_space(
        &self,
        agent: &Agent,
        binding: &Binding,
        space: &OwnedRoomId,
    ) -> Result<(), StepError> {
        let Some(room) = &binding.room_id else {
            return Err(StepError::NoProgress);
        };
        let mut child = json!({ "via": [self.config.server_name], "suggested": true });
        if let Some(order) = child_order(&display_name(agent)) {
            child["order"] = order.into();
        }
        let bot = self.config.appservice.sender_session();
        self.matrix
            .set_state_event(&bot, space, &StateEventType::SpaceChild, room.as_str(), &child)
            .await
            .map_err(StepError::Matrix)?;
        Ok(())
    }

    async fn invite(
        &self,
        ghost: &Session,
        binding: &Binding,
        user: &OwnedUserId,
    ) -> Result<Invitation, StepError> {
        let Some(room) = &binding.room_id else {
            return Err(StepError::NoProgress);
        };
        match self.matrix.invite_user(ghost, room, user, None).await {
            Ok(()) => Ok(Invitation::Invited),
            Err(error) if *error.kind() == MatrixErrorKind::Forbidden => {
                // "Already in the room" is a refusal too, and the homeserver's words are no interface: look.
                let members = self
                    .matrix
                    .list_joined_members(ghost, room)
                    .await
                    .map_err(|_| StepError::Matrix(error.clone()))?;
                if members.contains_key(user) {
                    Ok(Invitation::Joined)
                } else {
                    Err(StepError::Matrix(error))
                }
            }
            Err(error) => Err(StepError::Matrix(error)),
        }
    }

    async fn set_state(
        &self,
        session: &Session,
        binding: &Binding,
        event_type: StateEventType,
        state_key: &str,
        content: serde_json::Value,
    ) -> Result<(), StepError> {
        let Some(room) = &binding.room_id else {
            return Err(StepError::NoProgress);
        };
        self.matrix
            .set_state_event(session, room, &event_type, state_key, &content)
            .await
            .map_err(StepError::Matrix)?;
        Ok(())
    }
}
