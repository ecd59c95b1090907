//! Stopping runs.

use super::{refusal::Refusal, state::State};
use crate::{AgentId, Conflict, ConversationId, RunId, RunStatus, StopReason};

/// What became of one run that was to be cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelledRun {
    /// The run.
    pub run: RunId,
    /// Whether it was found. One that had ended already counts.
    pub found: bool,
}

impl State {
    /// `POST /v1/agents/{id}/messages/cancel`. Looks for the agent's last run where it remembers one, whether or not
    /// it still runs; for all that are active where it does not.
    pub(super) fn cancel_agent(
        &mut self,
        agent: &AgentId,
        runs: &[RunId],
    ) -> Result<Vec<CancelledRun>, Refusal> {
        self.check_agent_id(agent)?;
        let mut chosen = runs.to_vec();
        if chosen.is_empty() {
            chosen = match self.last_runs.get(agent).filter(|_| self.config.redis) {
                Some(run) => vec![run.clone()],
                None => self.active_runs(|run_agent, _| run_agent == agent),
            };
        }
        if chosen.is_empty() {
            let text = format!("CONFLICT: No active runs to cancel for agent {agent}");
            return Err(Refusal::conflict(&Conflict::NothingToCancel, Some(text)));
        }
        Ok(self.cancel_runs(chosen))
    }

    /// `POST /v1/conversations/{id}/cancel`.
    pub(super) fn cancel_conversation(&mut self, id: &ConversationId) -> Result<Vec<CancelledRun>, Refusal> {
        self.conversation(id)?;
        let chosen = self.active_runs(|_, conversation| conversation == Some(id));
        if chosen.is_empty() {
            let text = format!("CONFLICT: No active runs to cancel for conversation {id}");
            return Err(Refusal::conflict(&Conflict::NothingToCancel, Some(text)));
        }
        Ok(self.cancel_runs(chosen))
    }

    fn active_runs(&self, wanted: impl Fn(&AgentId, Option<&ConversationId>) -> bool) -> Vec<RunId> {
        self.runs
            .iter()
            .rev()
            .filter(|run| run.status.is_active() && wanted(&run.agent, run.conversation.as_ref()))
            .map(|run| run.id.clone())
            .collect()
    }

    fn cancel_runs(&mut self, runs: Vec<RunId>) -> Vec<CancelledRun> {
        runs.into_iter()
            .map(|run| CancelledRun {
                found: self.cancel_run(&run),
                run,
            })
            .collect()
    }

    /// Cancels one run. Clears what the agent's default conversation waits for, whichever conversation the run is of.
    fn cancel_run(&mut self, id: &RunId) -> bool {
        let Ok(run) = self.run(id) else {
            return false;
        };
        let ended = run
            .stop_reason
            .as_ref()
            .is_some_and(|reason| *reason != StopReason::RequiresApproval);
        if ended {
            return true;
        }
        let agent = run.agent.clone();
        let conversation = run.conversation.clone();
        let lock = self.run_mut(id).and_then(|run| run.lock.take());
        self.end_run(id, RunStatus::Cancelled, Some(StopReason::Cancelled), None);
        if let Some(run) = self.run_mut(id) {
            run.lock = lock;
        }
        if let Some(conversation) = conversation {
            self.locks.remove(conversation.as_str());
        }
        self.deny_pending(&agent, id);
        true
    }
}
