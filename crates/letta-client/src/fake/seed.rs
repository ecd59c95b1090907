//! Agents for the set-up of a test.

use jiff::Timestamp;

use crate::{AgentId, NewAgent};

/// An agent to put into the fake directly, for the set-up of a test.
///
/// ```
/// use letta_client::fake::{AgentSeed, FakeLetta};
///
/// let letta = FakeLetta::new().lenient();
/// letta.add(AgentSeed::new("agent-helper", "Librarian-sleeptime").agent_type("sleeptime_agent").tag("library"));
/// assert_eq!(letta.agent_ids().len(), 1);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a seed does nothing until it is added"]
pub struct AgentSeed {
    pub(super) id: Option<AgentId>,
    pub(super) agent: NewAgent,
    pub(super) agent_type: Option<String>,
    pub(super) hidden: Option<bool>,
    pub(super) created_at: Option<Timestamp>,
}

impl AgentSeed {
    /// An agent of this id and name; any name is accepted.
    pub fn new(id: impl Into<AgentId>, name: impl Into<String>) -> Self {
        Self {
            id: Some(id.into()),
            ..Self::from(NewAgent::named(name))
        }
    }

    /// Sets what it is for.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.agent.description = Some(description.into());
        self
    }

    /// Sets its system prompt.
    pub fn system(mut self, system: impl Into<String>) -> Self {
        self.agent.system = Some(system.into());
        self
    }

    /// Adds a memory block.
    pub fn memory_block(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.agent.memory_blocks.push((label.into(), value.into()));
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.agent.tags.push(tag.into());
        self
    }

    /// Attaches a tool of the fake's registry.
    pub fn tool(mut self, name: impl Into<String>) -> Self {
        self.agent.tools.push(name.into());
        self
    }

    /// Sets the kind of agent, e.g. `sleeptime_agent`.
    pub fn agent_type(mut self, agent_type: impl Into<String>) -> Self {
        self.agent_type = Some(agent_type.into());
        self
    }

    /// Leaves it out of listings.
    pub fn hidden(mut self) -> Self {
        self.hidden = Some(true);
        self
    }

    /// Sets when it was made.
    pub fn created_at(mut self, time: Timestamp) -> Self {
        self.created_at = Some(time);
        self
    }
}

impl From<NewAgent> for AgentSeed {
    fn from(agent: NewAgent) -> Self {
        Self {
            id: None,
            hidden: agent.hidden.then_some(true),
            agent,
            agent_type: None,
            created_at: None,
        }
    }
}
