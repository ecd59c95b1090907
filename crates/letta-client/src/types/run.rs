//! Runs: what a server knows about a turn while and after it happens.

use jiff::Timestamp;

use super::{
    id::{AgentId, ConversationId, RunId},
    turn::StopReason,
};

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunStatus {
    /// Accepted, not begun. Runs of a server that crashed may stay so for ever.
    Created,
    /// In progress. Runs of a server that crashed may stay so for ever.
    Running,
    /// Ended as it should.
    Completed,
    /// Ended with an error.
    Failed,
    /// Ended by a cancellation.
    Cancelled,
    /// A status this crate does not know.
    Other(String),
}

impl RunStatus {
    /// Whether the run may still produce something.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Created | Self::Running)
    }
}

/// The state of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// How far it is.
    pub status: RunStatus,
    /// The agent that runs.
    pub agent: Option<AgentId>,
    /// The conversation it belongs to; `None` for the default one, and for some runs of which the server lost it.
    pub conversation: Option<ConversationId>,
    /// Whether its events are kept for [`resume`](crate::LettaApi::resume).
    pub background: bool,
    /// Why it ended.
    pub stop_reason: Option<StopReason>,
    /// What went wrong, in the server's words.
    pub error: Option<String>,
    /// When it was accepted.
    pub created_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}

/// Which runs of an agent to list; newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunQuery {
    /// Only runs that may still produce something.
    pub active_only: bool,
    /// At most this many.
    pub limit: u32,
}

impl Default for RunQuery {
    fn default() -> Self {
        Self {
            active_only: false,
            limit: 20,
        }
    }
}

/// What a cancellation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelOutcome {
    /// These runs were told to stop. A run that had ended already may be among them.
    Cancelled(Vec<RunId>),
    /// Nothing was running.
    NothingRunning,
}
