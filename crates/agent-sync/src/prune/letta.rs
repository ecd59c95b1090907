//! Whether an agent is gone, as Letta says at this moment.

use std::collections::HashMap;

use jiff::Timestamp;
use letta_client::{Agent, AgentId, AgentInclude, AgentQuery, LettaApiExt, LettaErrorKind};
use store::{ArchiveReason, Binding, Lifecycle};

use super::{Failure, KeepReason, PruneOptions, PruneStep};
use crate::{Reconciler, SyncError, apply::StepError};

/// All agents of Letta. A server that lists none, or breaks off, may be the wrong one, and would say of any agent that
/// it does not exist.
pub(super) struct Witness {
    listed: HashMap<AgentId, Agent>,
}

/// Since when and why a room is put away, or why it is kept.
pub(super) type Judgement = Result<(Timestamp, ArchiveReason), KeepReason>;

impl Reconciler {
    /// Lists all agents.
    pub(super) async fn call_witness(&self, bindings: &[Binding]) -> Result<Witness, SyncError> {
        let query = AgentQuery {
            limit: crate::listing::PAGE,
            include: self.include(),
            ..AgentQuery::default()
        };
        let listing = self.letta.list_all_agents(&query).await;
        let listing = listing.map_err(SyncError::ListAgents)?;
        let unsafe_because = |reason: &str| SyncError::Unsafe {
            reason: reason.to_owned(),
        };
        if !listing.is_complete() {
            return Err(unsafe_because("Letta's list of agents broke off"));
        }
        let has_home = |binding: &&Binding| binding.lifecycle == Lifecycle::Active;
        if listing.agents.is_empty() && bindings.iter().any(|binding| has_home(&binding)) {
            return Err(unsafe_because(
                "Letta lists no agents at all, though some have a home here: it may be the wrong server",
            ));
        }
        Ok(Witness {
            listed: listing
                .agents
                .into_iter()
                .map(|agent| (agent.id.clone(), agent))
                .collect(),
        })
    }

    fn include(&self) -> AgentInclude {
        AgentInclude {
            tags: self.config.select.needs_tags(),
            ..AgentInclude::default()
        }
    }

    /// Whether the agent's room may be deleted: it is put away for long enough, and Letta says of this very agent that
    /// it does not exist.
    pub(super) async fn may_prune(
        &self,
        binding: &Binding,
        witness: &Witness,
        options: &PruneOptions<'_>,
    ) -> Result<Judgement, Failure> {
        let Lifecycle::Archived { since, reason } = binding.lifecycle else {
            return Ok(Err(KeepReason::CameBack));
        };
        let age = self.clock.now().duration_since(since);
        // A clock that was set back proves nothing.
        if age.is_negative() || age.unsigned_abs() < options.older_than {
            return Ok(Err(KeepReason::TooRecent));
        }
        let asked = self.letta.get_agent(&binding.agent_id, self.include()).await;
        let agent = match asked {
            Ok(agent) => Some(agent),
            Err(error) if *error.kind() == LettaErrorKind::NotFound => None,
            Err(error) => return Err((PruneStep::Letta, StepError::Letta(error))),
        };
        // Letta would contradict itself: then the agent exists.
        let agent = agent.as_ref().or_else(|| witness.listed.get(&binding.agent_id));
        Ok(match agent {
            None => Ok((since, reason)),
            Some(agent) if !agent.hidden && self.config.select.contains(agent) => Err(KeepReason::CameBack),
            Some(_) if options.include_excluded => Ok((since, reason)),
            Some(_) => Err(KeepReason::StillInLetta),
        })
    }
}

/// Whether Letta can be asked about no agent at all.
pub(super) fn is_general(error: &StepError) -> bool {
    let StepError::Letta(error) = error else {
        return false;
    };
    matches!(
        error.kind(),
        LettaErrorKind::Connect
            | LettaErrorKind::Redirected { .. }
            | LettaErrorKind::Unauthorized
            | LettaErrorKind::Forbidden
            | LettaErrorKind::NotLetta
    )
}
