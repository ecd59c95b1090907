//! Agents under well-known names.

use crate::Agent;

/// Id and name of an agent of the shared test data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestAgent {
    /// Its id. Not of the form a real server gives out: only lenient fakes accept it.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
}

impl TestAgent {
    /// The agent as an implementation would describe it.
    #[must_use]
    pub fn agent(self) -> Agent {
        Agent::new(self.id, self.name)
    }
}

/// `agent-001`, "Agent Alpha".
pub const AGENT_ALPHA: TestAgent = TestAgent {
    id: "agent-001",
    name: "Agent Alpha",
};

/// `agent-002`, "Agent Beta".
pub const AGENT_BETA: TestAgent = TestAgent {
    id: "agent-002",
    name: "Agent Beta",
};

/// `agent-sync-test`, "Sync Test Agent".
pub const AGENT_SYNC_TEST: TestAgent = TestAgent {
    id: "agent-sync-test",
    name: "Sync Test Agent",
};

/// The three of them.
#[must_use]
pub fn agents() -> [Agent; 3] {
    [AGENT_ALPHA, AGENT_BETA, AGENT_SYNC_TEST].map(TestAgent::agent)
}
