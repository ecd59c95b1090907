//! Taking over what the Python bridge left behind, so that people keep their rooms and notice nothing.
//!
//! An import writes down whose user and room is whose, and changes nothing on the homeserver. The next sync reads each
//! room, and gives it what it lacks: marker, alias, name, topic, its place in the space.

mod file;
mod space;

use std::{collections::HashMap, time::Duration};

use accounts::AccountError;
use async_trait::async_trait;
use letta_client::AgentId;
use matrix_client::{Event, MatrixError, MatrixErrorKind, Session};
use ruma::{OwnedRoomId, OwnedUserId, UserId};
use secrecy::SecretString;
use serde::Serialize;
use store::{Avatar, Binding, Lease, RoomFacts, StoreErrorKind};

pub use self::{
    file::{Mapping, MappingEntry, MappingError, parse_space_config},
    space::{SpaceImport, SpaceProblem},
};
use crate::{
    Reconciler, SyncError,
    apply::{StepError, room::is_shut_out, state::RoomState},
};

/// Keeps the passwords of accounts that somebody else made, so that the bridge can log in to them. A bridge that an
/// application service speaks for needs none.
#[async_trait]
pub trait PasswordKeeper: Send + Sync + std::fmt::Debug {
    /// Keeps a user's password. Keeping it again is fine.
    ///
    /// # Errors
    /// When the store fails.
    async fn keep(&self, user: &UserId, password: &SecretString) -> Result<(), AccountError>;
}

/// How to import.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImportOptions<'a> {
    /// The space that the Python bridge had made.
    pub space: Option<&'a OwnedRoomId>,
    /// Look at everything and write nothing.
    pub dry_run: bool,
    /// How long to wait for another instance that is syncing with the same state.
    pub wait: Duration,
    /// Where passwords are kept, if users are acted for by logging in as them.
    pub passwords: Option<&'a dyn PasswordKeeper>,
}

/// What an import did, or would do. Serialised it is part of the documented output of `letta-matrix import --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ImportReport {
    /// Agents that the file names.
    pub entries: usize,
    /// Agents whose user and room were taken over now.
    pub imported: Vec<ImportedAgent>,
    /// Agents that were taken over before.
    pub unchanged: usize,
    /// Agents that were not taken over, and why.
    pub skipped: Vec<SkippedEntry>,
    /// What became of the space, if one was named.
    pub space: Option<SpaceImport>,
    /// Whether the homeserver was asked for each user and room. Not if that would take a login that was not to be made.
    pub checked: bool,
}

/// An agent whose user and room were taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ImportedAgent {
    /// The agent.
    pub agent_id: AgentId,
    /// Its name in the file.
    pub agent_name: String,
    /// Its user.
    pub user_id: OwnedUserId,
    /// Its room. `None`: it never had one, and the next sync makes one.
    pub room_id: Option<OwnedRoomId>,
    /// The user is not in its room any more. The next sync tries to come back, and makes another room if it cannot.
    pub room_out_of_reach: bool,
}

/// An agent that was not taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkippedEntry {
    /// The agent, as the file names it.
    pub agent_id: String,
    /// Why, for programs.
    pub reason: SkipReason,
    /// Why, for people.
    pub detail: String,
}

/// Why an agent was not taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SkipReason {
    /// Its entry makes no sense.
    Unreadable,
    /// There is nothing to take over: its user was never made.
    NothingMade,
    /// Its user belongs to another homeserver than the configured one.
    OtherServer,
    /// Another agent of the file has the same user.
    SharedUser,
    /// Another agent of the file has the same room.
    SharedRoom,
    /// We know the agent already, with another user.
    HasOtherUser,
    /// We know the agent already, with another room.
    HasOtherRoom,
    /// Another agent that we know has the user or the room.
    Taken,
    /// The homeserver does not let us act as the user.
    NotOurs,
    /// What the file calls its room is something else.
    NotItsRoom,
    /// The homeserver failed when it was asked; importing again may help.
    Unanswered,
}

impl SkipReason {
    /// Whether importing the same file again can take the agent over without anything else being changed.
    #[must_use]
    pub fn may_pass(self) -> bool {
        self == Self::Unanswered
    }
}

/// What becomes of an entry.
enum Verdict {
    TakeOver(Box<Binding>),
    Unchanged,
    Skip(SkipReason, String),
}

/// What the homeserver says of a user and its room.
enum Look {
    Fine,
    OutOfReach,
    Refused(SkipReason, String),
}

impl Reconciler {
    /// Takes over the users and rooms that a file of the Python bridge names. Importing again changes nothing.
    ///
    /// # Errors
    /// When the state or the homeserver cannot be used at all, or another instance is at work. What fails for one agent
    /// alone is in the report.
    #[tracing::instrument(name = "sync.import", skip_all)]
    pub async fn import(
        &self,
        mapping: &Mapping,
        options: &ImportOptions<'_>,
    ) -> Result<ImportReport, SyncError> {
        if options.dry_run {
            return self.import_under(None, mapping, options).await;
        }
        let lease = self.take_lease(options.wait).await?;
        let outcome = tokio::select! {
            outcome = self.import_under(Some(&lease), mapping, options) => outcome,
            error = self.keep_lease(&lease) => Err(error),
        };
        self.give_back(&lease).await;
        outcome
    }

    /// Writes only with a lease.
    async fn import_under(
        &self,
        lease: Option<&Lease>,
        mapping: &Mapping,
        options: &ImportOptions<'_>,
    ) -> Result<ImportReport, SyncError> {
        let bindings = self.store.list_bindings().await.map_err(SyncError::of_store)?;
        let known = Known::of(&bindings);
        let mut report = ImportReport {
            entries: mapping.len(),
            imported: Vec::new(),
            unchanged: 0,
            skipped: mapping.unusable.clone(),
            space: None,
            checked: !options.dry_run || options.passwords.is_none(),
        };
        if let Some(lease) = lease {
            self.list_everything_next(lease).await?;
        }
        for entry in &mapping.entries {
            let skipped = |reason, detail| SkippedEntry {
                agent_id: entry.agent_id.to_string(),
                reason,
                detail,
            };
            let mut binding = match self.judge(entry, &known)? {
                Verdict::TakeOver(binding) => binding,
                Verdict::Unchanged => {
                    report.unchanged += 1;
                    continue;
                }
                Verdict::Skip(reason, detail) => {
                    report.skipped.push(skipped(reason, detail));
                    continue;
                }
            };
            if let (Some(_), Some(keeper), Some(password)) = (lease, options.passwords, &entry.password) {
                let kept = keeper.keep(&entry.user_id, password).await;
                kept.map_err(SyncError::Account)?;
            }
            let look = if report.checked {
                self.look(&mut binding).await?
            } else {
                Look::Fine
            };
            if let Look::Refused(reason, detail) = look {
                report.skipped.push(skipped(reason, detail));
                continue;
            }
            if let Some(lease) = lease {
                match self.store.put_binding(&binding, lease).await {
                    Ok(()) => {}
                    Err(error) if error.kind() == StoreErrorKind::Conflict => {
                        report.skipped.push(skipped(SkipReason::Taken, error.to_string()));
                        continue;
                    }
                    Err(error) => return Err(SyncError::of_store(error)),
                }
            }
            report.imported.push(ImportedAgent {
                agent_id: binding.agent_id,
                agent_name: binding.agent_name,
                user_id: binding.user_id,
                room_id: binding.room_id,
                room_out_of_reach: matches!(look, Look::OutOfReach),
            });
        }
        report.skipped.sort_by(|a, b| a.agent_id.cmp(&b.agent_id));
        if let Some(space) = options.space {
            report.space = Some(self.import_space(lease, space).await?);
        }
        Ok(report)
    }

    /// An agent that is taken over need not have changed in Letta since the last sync, so that the next one must not
    /// ask for changes alone. Written first: a process that dies afterwards has lost nothing.
    async fn list_everything_next(&self, lease: &Lease) -> Result<(), SyncError> {
        let mut progress = self.store.get_progress().await.map_err(SyncError::of_store)?;
        if progress.listing.take().is_some() {
            let written = self.store.put_progress(&progress, lease).await;
            written.map_err(SyncError::of_store)?;
        }
        Ok(())
    }

    /// What the file and our own records say, without asking the homeserver.
    fn judge(&self, entry: &MappingEntry, known: &Known<'_>) -> Result<Verdict, SyncError> {
        let skip = |reason, detail: String| Ok(Verdict::Skip(reason, detail));
        let user = &entry.user_id;
        if user.server_name() != self.config.server_name {
            let detail = format!(
                "its user {user} is one of another homeserver than {}",
                self.config.server_name
            );
            return skip(SkipReason::OtherServer, detail);
        }
        if user == self.accounts.bot() {
            return skip(SkipReason::Taken, format!("{user} is the bridge's own user"));
        }
        let existing = known.by_agent.get(&entry.agent_id).copied();
        if let Some(existing) = existing {
            if existing.user_id != *user {
                let detail = format!("it has the user {} already, not {user}", existing.user_id);
                return skip(SkipReason::HasOtherUser, detail);
            }
            match (&existing.room_id, &entry.room_id) {
                (None, Some(_)) => {}
                (Some(ours), Some(theirs)) if ours != theirs => {
                    return skip(
                        SkipReason::HasOtherRoom,
                        format!("it has the room {ours} already, not {theirs}"),
                    );
                }
                _ => return Ok(Verdict::Unchanged),
            }
        } else if let Some(other) = known.by_user.get(&**user) {
            return skip(SkipReason::Taken, format!("its user {user} is that of {other}"));
        }
        if let Some(room) = &entry.room_id
            && let Some(other) = known.by_room.get(room)
        {
            return skip(SkipReason::Taken, format!("its room {room} is that of {other}"));
        }
        let mut binding = match existing {
            Some(existing) => existing.clone(),
            None => Binding::planned(
                entry.agent_id.clone(),
                entry.agent_name.clone(),
                user.clone(),
                self.config
                    .room_alias(&entry.agent_id)
                    .map_err(SyncError::Names)?,
                self.clock.now(),
            ),
        };
        binding.room_id.clone_from(&entry.room_id);
        // The next sync reads the room before it does anything to it.
        binding.room = RoomFacts::default();
        binding.invitations.clone_from(&entry.invitations);
        binding.updated_at = self.clock.now();
        Ok(Verdict::TakeOver(Box::new(binding)))
    }

    /// Whether we can act as the user, and whether the room is its room. What is seen on the way is noted.
    async fn look(&self, binding: &mut Binding) -> Result<Look, SyncError> {
        match self.look_as_user(binding).await {
            Ok(look) => Ok(look),
            Err(StepError::Account(
                error @ (AccountError::Foreign { .. }
                | AccountError::Sealed { .. }
                | AccountError::LoginLoop { .. }),
            )) => Ok(Look::Refused(SkipReason::NotOurs, error.to_string())),
            Err(error) if !error.is_general() => Ok(Look::Refused(SkipReason::Unanswered, error.sentence())),
            Err(error) => Err(of_general(error)),
        }
    }

    async fn look_as_user(&self, binding: &mut Binding) -> Result<Look, StepError> {
        let user = binding.user_id.clone();
        let session = match self.session_as(&user).await? {
            Ok(session) => session,
            Err(refusal) => {
                let detail = format!("the homeserver does not let us act as {user}: {refusal}");
                return Ok(Look::Refused(SkipReason::NotOurs, detail));
            }
        };
        binding.user_registered = true;
        let Some(room) = binding.room_id.clone() else {
            return Ok(Look::Fine);
        };
        let state = match self.matrix.get_room_state(&session, &room).await {
            Ok(state) => state,
            Err(error) if is_shut_out(error.kind()) => return Ok(Look::OutOfReach),
            Err(error) => return Err(StepError::Matrix(error)),
        };
        Ok(read_room(binding, &state))
    }

    /// A session that the homeserver takes for this user's, or why there is none. A token that it no longer knows is
    /// replaced once.
    async fn session_as(&self, user: &UserId) -> Result<Result<Session, MatrixError>, StepError> {
        let mut was_replaced = false;
        loop {
            let session = match self.accounts.session(user).await {
                Ok(session) => session,
                Err(AccountError::Matrix(error)) if is_refusal(&error) => return Ok(Err(error)),
                Err(error) => return Err(StepError::Account(error)),
            };
            match self.matrix.whoami(&session).await {
                Ok(_) => return Ok(Ok(session)),
                Err(error) if is_refusal(&error) => return Ok(Err(error)),
                Err(error)
                    if matches!(error.kind(), MatrixErrorKind::Unauthorized { .. }) && !was_replaced =>
                {
                    was_replaced = true;
                    if !self.accounts.forget(&session).await.map_err(StepError::Account)? {
                        return Err(StepError::Matrix(error));
                    }
                }
                Err(error) => return Err(StepError::Matrix(error)),
            }
        }
    }
}

/// Whether the homeserver lets us not act as this one user.
fn is_refusal(error: &MatrixError) -> bool {
    matches!(
        error.kind(),
        MatrixErrorKind::Forbidden | MatrixErrorKind::UserDisabled | MatrixErrorKind::NotFound
    )
}

/// What the room says of itself.
fn read_room(binding: &mut Binding, state: &[Event]) -> Look {
    let view = RoomState(state);
    if let Some(other) = view.marked_agent().filter(|agent| *agent != binding.agent_id) {
        let detail = format!("the room is marked as the room of {other}");
        return Look::Refused(SkipReason::NotItsRoom, detail);
    }
    if view.is_space() {
        let detail = "what the file calls its room is a space".to_owned();
        return Look::Refused(SkipReason::NotItsRoom, detail);
    }
    if !view.has_joined(&binding.user_id) {
        return Look::OutOfReach;
    }
    // Name and picture of the user show in its membership. They are kept: a picture that Letta does not know of was
    // given to the agent by its people.
    binding.display_name = view.member_text(&binding.user_id, "displayname");
    if binding.avatar.source.is_none() {
        let picture = view.member_text(&binding.user_id, "avatar_url").map(Into::into);
        binding.avatar = Avatar {
            source: None,
            url: picture.clone(),
            on_user: picture,
        };
    }
    Look::Fine
}

/// Whose is what by our own records.
struct Known<'a> {
    by_agent: HashMap<&'a AgentId, &'a Binding>,
    by_user: HashMap<&'a UserId, &'a AgentId>,
    by_room: HashMap<&'a OwnedRoomId, &'a AgentId>,
}

impl<'a> Known<'a> {
    fn of(bindings: &'a [Binding]) -> Self {
        Self {
            by_agent: bindings
                .iter()
                .map(|binding| (&binding.agent_id, binding))
                .collect(),
            by_user: bindings
                .iter()
                .map(|binding| (&*binding.user_id, &binding.agent_id))
                .collect(),
            by_room: bindings
                .iter()
                .filter_map(|binding| Some((binding.room_id.as_ref()?, &binding.agent_id)))
                .collect(),
        }
    }
}

/// What fails for everybody alike.
pub(crate) fn of_general(error: StepError) -> SyncError {
    match error {
        StepError::Store(error) => SyncError::of_store(error),
        StepError::Matrix(error) | StepError::Account(AccountError::Matrix(error)) => {
            SyncError::Homeserver(error)
        }
        StepError::Account(error) => SyncError::Account(error),
        StepError::Letta(error) => SyncError::ListAgents(error),
        other => SyncError::Unsafe {
            reason: other.sentence(),
        },
    }
}
