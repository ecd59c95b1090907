//! What agents are doing right now.

use std::time::Duration;

use jiff::Timestamp;
use ruma::OwnedRoomId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AgentEvent, AgentRef, EventKind};

/// What an agent is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AgentState {
    /// Nothing.
    #[default]
    Idle,
    /// The model is at work.
    Thinking,
    /// A tool runs.
    InTool {
        /// The tool.
        tool_name: String,
    },
    /// It waits for a person's decision.
    AwaitingApproval,
}

impl AgentState {
    /// What an agent does after an event. Of several tools at once, the one that was heard of last counts.
    #[must_use]
    pub fn after(kind: &EventKind) -> Self {
        match kind {
            EventKind::AgentStarted { .. }
            | EventKind::AgentThinking { .. }
            | EventKind::ToolCompleted { .. }
            | EventKind::ApprovalResolved { .. }
            | EventKind::MessageDelta { .. } => Self::Thinking,
            EventKind::ToolExecuting { tool_name, .. } => Self::InTool {
                tool_name: tool_name.clone(),
            },
            EventKind::ApprovalRequested { .. } => Self::AwaitingApproval,
            EventKind::AgentCompleted { .. } | EventKind::AgentFailed { .. } => Self::Idle,
        }
    }
}

/// The state of an agent, and where it was heard of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveState {
    /// The agent.
    pub agent: AgentRef,
    /// The room in which it is at work: who may see the room may see the state.
    #[schemars(with = "String")]
    pub room_id: OwnedRoomId,
    /// What it does.
    #[serde(flatten)]
    pub state: AgentState,
    /// When the last event of its turn came.
    pub heard_at: Timestamp,
}

impl LiveState {
    /// The state of the event's agent after the event.
    #[must_use]
    pub fn after(event: &AgentEvent) -> Self {
        Self {
            agent: event.turn.agent.clone(),
            room_id: event.turn.room_id.clone(),
            state: AgentState::after(&event.kind),
            heard_at: event.time,
        }
    }
}

/// How long a state is believed without news. After a crash nobody takes it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// Of an agent that is at work.
    pub working: Duration,
    /// Of one that waits for a person.
    pub awaiting: Duration,
}

impl Default for Expiry {
    fn default() -> Self {
        Self {
            working: Duration::from_mins(5),
            awaiting: Duration::from_hours(24),
        }
    }
}

impl Expiry {
    /// How long this state is believed.
    #[must_use]
    pub fn of(&self, state: &AgentState) -> Duration {
        match state {
            AgentState::AwaitingApproval => self.awaiting,
            AgentState::Idle | AgentState::Thinking | AgentState::InTool { .. } => self.working,
        }
    }
}
