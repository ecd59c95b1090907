//! Deleting for good what belonged to agents that are gone.
//!
//! Nothing else in this crate deletes: agents that are gone have their rooms put away, and find them again when they
//! come back. Pruning is for those who want the rooms gone, and only does it to rooms that are put away, that carry the
//! agent's marker, and whose agent Letta says at that moment not to know.
//!
//! The agent's record goes last. A process that dies before that is followed by one that does the rest: what is
//! deleted already needs no deleting.

mod letta;
mod room;

use std::time::Duration;

use jiff::Timestamp;
use letta_client::AgentId;
use matrix_client::{Session, SynapseAdminApi};
use ruma::{OwnedRoomId, OwnedUserId};
use serde::{Serialize, Serializer};
use store::{ArchiveReason, Binding, Lease, Lifecycle};

use self::{letta::Witness, room::Standing};
use crate::{
    Reconciler, RequestCounts, SyncError,
    apply::{Outage, StepError},
    import::of_general,
};

/// A server administrator of a Synapse, who can have rooms deleted.
#[derive(Debug, Clone, Copy)]
pub struct Administrator<'a> {
    /// The administration API.
    pub api: &'a dyn SynapseAdminApi,
    /// The administrator's session.
    pub session: &'a Session,
}

/// Whose rooms are deleted, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct PruneOptions<'a> {
    /// Also those of agents that Letta still has: hidden ones, and ones that the configuration leaves out.
    pub include_excluded: bool,
    /// Only of those whose rooms were put away that long ago.
    pub older_than: Duration,
    /// How long to wait for another instance that is syncing with the same state.
    pub wait: Duration,
    /// Who deletes. Without one, everybody is asked out of the rooms instead.
    pub administrator: Option<Administrator<'a>>,
}

/// An agent whose room would be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Prunable {
    /// The agent.
    pub agent_id: AgentId,
    /// Its name.
    pub agent_name: String,
    /// Its user, which stays.
    pub user_id: OwnedUserId,
    /// Its room. `None`: there is none, and only the record is deleted.
    pub room_id: Option<OwnedRoomId>,
    /// When the room was put away.
    pub since: Timestamp,
    /// Why.
    pub reason: ArchiveReason,
    /// How many people are in the room or invited, the agent and the bridge left out. `None`: nobody of ours can look.
    pub people: Option<usize>,
}

/// An agent whose room is put away and is not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeptAgent {
    /// The agent.
    pub agent_id: AgentId,
    /// Its name.
    pub agent_name: String,
    /// Why, for programs.
    pub reason: KeepReason,
}

/// Why the room of an agent is not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeepReason {
    /// It was not put away long ago.
    TooRecent,
    /// Letta has the agent, and hides it or the configuration leaves it out.
    StillInLetta,
    /// Letta has the agent, and it is to have a home: the next sync brings it back.
    CameBack,
}

/// What pruning would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PrunePlan {
    /// Whose rooms would be deleted.
    pub prunable: Vec<Prunable>,
    /// Whose rooms are put away and would stay.
    pub kept: Vec<KeptAgent>,
    /// Of whom it cannot be told.
    pub failed: Vec<FailedPrune>,
}

/// What pruning did. Serialised it is the documented output of `letta-matrix prune --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PruneReport {
    /// Who is gone for good.
    pub pruned: Vec<PrunedAgent>,
    /// Who was found to be needed after all.
    pub kept: Vec<KeptAgent>,
    /// What failed. Pruning again tries again.
    pub failed: Vec<FailedPrune>,
    /// What it cost.
    pub requests: RequestCounts,
    /// How long it took.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// An agent that is gone for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PrunedAgent {
    /// The agent.
    pub agent_id: AgentId,
    /// Its name.
    pub agent_name: String,
    /// Its user. It stays registered, so that an agent that comes back can come home.
    pub user_id: OwnedUserId,
    /// Its room.
    pub room_id: Option<OwnedRoomId>,
    /// What became of the room.
    pub outcome: RoomOutcome,
    /// People that could not be asked out of it: they have as much power there as the agent, or more.
    pub remaining: Vec<OwnedUserId>,
}

/// What became of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RoomOutcome {
    /// The homeserver deleted it.
    Deleted,
    /// The agent left it, after asking everybody out.
    Left,
    /// Nobody of ours could see it any more: it was deleted or left before.
    Gone,
    /// There never was one.
    None,
}

/// An agent for which pruning failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FailedPrune {
    /// The agent.
    pub agent_id: AgentId,
    /// Its name.
    pub agent_name: String,
    /// The step that failed.
    pub step: PruneStep,
    /// Why, in a sentence.
    pub error: String,
}

/// The steps of pruning, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PruneStep {
    /// Reading the agent's record.
    Record,
    /// Asking Letta whether the agent is gone.
    Letta,
    /// Reading the room and its marker.
    Room,
    /// Taking the room out of the space.
    Space,
    /// Removing the room's alias.
    Alias,
    /// Having the homeserver delete the room.
    Delete,
    /// Asking the people out.
    People,
    /// Leaving the room.
    Leave,
    /// Deleting the agent's record.
    Forget,
    /// Nothing was tried, because a server failed for all alike.
    NotTried,
}

impl std::fmt::Display for PruneStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Record => "reading its record",
            Self::Letta => "asking Letta whether it is gone",
            Self::Room => "reading its room",
            Self::Space => "taking the room out of the space",
            Self::Alias => "removing the room's alias",
            Self::Delete => "deleting the room",
            Self::People => "asking the people out",
            Self::Leave => "leaving the room",
            Self::Forget => "deleting its record",
            Self::NotTried => "not tried",
        })
    }
}

/// Why a step failed.
type Failure = (PruneStep, StepError);

/// What became of one agent.
enum Outcome {
    Pruned(PrunedAgent),
    Kept(KeepReason),
    /// Somebody else deleted it meanwhile.
    Unknown,
}

impl Reconciler {
    /// Whose rooms [`prune`](Self::prune) would delete now. Only reads.
    ///
    /// # Errors
    /// When the state or one of the servers cannot be used, or Letta's list of agents is not to be trusted.
    pub async fn plan_prune(&self, options: &PruneOptions<'_>) -> Result<PrunePlan, SyncError> {
        let bindings = self.store.list_bindings().await.map_err(SyncError::of_store)?;
        let mut plan = PrunePlan {
            prunable: Vec::new(),
            kept: Vec::new(),
            failed: Vec::new(),
        };
        if !bindings.iter().any(is_archived) {
            return Ok(plan);
        }
        check(options).await?;
        let witness = self.call_witness(&bindings).await?;
        for binding in bindings.iter().filter(|binding| is_archived(binding)) {
            match self.consider(binding, &witness, options).await {
                Ok(Ok(prunable)) => plan.prunable.push(prunable),
                Ok(Err(reason)) => plan.kept.push(kept(binding, reason)),
                Err((_, error)) if error.is_general() => return Err(of_general(error)),
                Err(failure) => plan.failed.push(failed(binding, &failure)),
            }
        }
        Ok(plan)
    }

    async fn consider(
        &self,
        binding: &Binding,
        witness: &Witness,
        options: &PruneOptions<'_>,
    ) -> Result<Result<Prunable, KeepReason>, Failure> {
        let (since, reason) = match self.may_prune(binding, witness, options).await? {
            Ok(archived) => archived,
            Err(reason) => return Ok(Err(reason)),
        };
        let at = |error| (PruneStep::Room, error);
        let people = match &binding.room_id {
            None => None,
            Some(room) => match self.standing(binding, room).await.map_err(at)? {
                Standing::Within(standing) => Some(standing.people(self.accounts.bot(), binding).len()),
                Standing::Outside => None,
            },
        };
        Ok(Ok(Prunable {
            agent_id: binding.agent_id.clone(),
            agent_name: binding.agent_name.clone(),
            user_id: binding.user_id.clone(),
            room_id: binding.room_id.clone(),
            since,
            reason,
            people,
        }))
    }

    /// Deletes the rooms of these agents, and forgets the agents. Each is looked at again right before: one that came
    /// back, or whose room is not marked as its own, is left alone.
    ///
    /// # Errors
    /// When the state or one of the servers cannot be used at all, Letta's list of agents is not to be trusted, or
    /// another instance is at work. What fails for one agent alone is in the report.
    #[tracing::instrument(name = "sync.prune", skip_all)]
    pub async fn prune(
        &self,
        agents: &[AgentId],
        options: &PruneOptions<'_>,
    ) -> Result<PruneReport, SyncError> {
        let lease = self.take_lease(options.wait).await?;
        let outcome = tokio::select! {
            outcome = self.prune_under(&lease, agents, options) => outcome,
            error = self.keep_lease(&lease) => Err(error),
        };
        self.give_back(&lease).await;
        outcome
    }

    async fn prune_under(
        &self,
        lease: &Lease,
        agents: &[AgentId],
        options: &PruneOptions<'_>,
    ) -> Result<PruneReport, SyncError> {
        let started = self.clock.now();
        let requests_before = self.meter.requests();
        let bindings = self.store.list_bindings().await.map_err(SyncError::of_store)?;
        check(options).await?;
        let witness = self.call_witness(&bindings).await?;
        let mut report = PruneReport {
            pruned: Vec::new(),
            kept: Vec::new(),
            failed: Vec::new(),
            requests: RequestCounts::default(),
            duration: Duration::ZERO,
        };
        let outage = Outage::default();
        for agent in agents {
            let Some(binding) = bindings.iter().find(|binding| binding.agent_id == *agent) else {
                continue;
            };
            if let Some(reason) = outage.reason() {
                report.failed.push(FailedPrune {
                    step: PruneStep::NotTried,
                    error: reason,
                    ..failed_at(binding)
                });
                continue;
            }
            match self.prune_one(lease, agent, &witness, options).await {
                Ok(Outcome::Pruned(pruned)) => report.pruned.push(pruned),
                Ok(Outcome::Kept(reason)) => report.kept.push(kept(binding, reason)),
                Ok(Outcome::Unknown) => {}
                Err(failure) => {
                    let (_, error) = &failure;
                    if error.is_general() || letta::is_general(error) {
                        outage.report(&error.sentence(), error.is_lease_lost());
                    }
                    report.failed.push(failed(binding, &failure));
                }
            }
        }
        if outage.is_lease_lost() {
            return Err(SyncError::Superseded);
        }
        report.requests = self.meter.requests().since(requests_before);
        report.duration = self.clock.now().duration_since(started).unsigned_abs();
        Ok(report)
    }

    /// One agent. Each step is one that was not done yet, or can be done again.
    async fn prune_one(
        &self,
        lease: &Lease,
        agent: &AgentId,
        witness: &Witness,
        options: &PruneOptions<'_>,
    ) -> Result<Outcome, Failure> {
        let record = self.store.get_binding(agent).await;
        let Some(binding) = record.map_err(|error| (PruneStep::Record, StepError::Store(error)))? else {
            return Ok(Outcome::Unknown);
        };
        if let Err(reason) = self.may_prune(&binding, witness, options).await? {
            return Ok(Outcome::Kept(reason));
        }
        let (outcome, remaining) = match &binding.room_id {
            None => (RoomOutcome::None, Vec::new()),
            Some(room) => self.remove_room(&binding, room, options).await?,
        };
        let forgotten = self.store.delete_binding(agent, lease).await;
        forgotten.map_err(|error| (PruneStep::Forget, StepError::Store(error)))?;
        tracing::info!(agent.id = %agent, ?outcome, "pruned an agent");
        Ok(Outcome::Pruned(PrunedAgent {
            agent_id: binding.agent_id,
            agent_name: binding.agent_name,
            user_id: binding.user_id,
            room_id: binding.room_id,
            outcome,
            remaining,
        }))
    }
}

async fn check(options: &PruneOptions<'_>) -> Result<(), SyncError> {
    match options.administrator {
        Some(administrator) => room::check(administrator).await.map_err(SyncError::Homeserver),
        None => Ok(()),
    }
}

fn is_archived(binding: &Binding) -> bool {
    matches!(binding.lifecycle, Lifecycle::Archived { .. })
}

fn kept(binding: &Binding, reason: KeepReason) -> KeptAgent {
    KeptAgent {
        agent_id: binding.agent_id.clone(),
        agent_name: binding.agent_name.clone(),
        reason,
    }
}

fn failed(binding: &Binding, (step, error): &Failure) -> FailedPrune {
    FailedPrune {
        step: *step,
        error: error.sentence(),
        ..failed_at(binding)
    }
}

fn failed_at(binding: &Binding) -> FailedPrune {
    FailedPrune {
        agent_id: binding.agent_id.clone(),
        agent_name: binding.agent_name.clone(),
        step: PruneStep::NotTried,
        error: String::new(),
    }
}
