//! Watching a run.

use letta_client::AgentId;

use crate::Step;

/// Told of a run's progress, e.g. to draw it. Called from several tasks, in no order among agents.
pub trait SyncObserver: Send + Sync {
    /// The plan is made: this many agents are listed, for this many there is something to do.
    fn planned(&self, agents: usize, to_do: usize);

    /// An agent is done. `failed` names the step that failed and why.
    fn agent_done(&self, agent: &AgentId, name: &str, failed: Option<(Step, &str)>);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl SyncObserver for Silent {
    fn planned(&self, _agents: usize, _to_do: usize) {}

    fn agent_done(&self, _agent: &AgentId, _name: &str, _failed: Option<(Step, &str)>) {}
}
