//! Tool calls and the decisions on them.

use super::id::{ApprovalId, ToolCallId};

/// A tool that the agent calls or wants to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The call.
    pub id: ToolCallId,
    /// Name of the tool.
    pub name: String,
    /// Arguments as JSON text. The model wrote them: they may be malformed.
    pub arguments: String,
}

/// The agent waits: one or more calls need a person's decision before the turn goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRequest {
    /// Names this request.
    pub id: ApprovalId,
    /// What the agent wants to do.
    pub calls: Vec<ToolCall>,
}

/// A person's decision on one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalDecision {
    /// The call that is decided.
    pub call: ToolCallId,
    /// `true` runs the tool.
    pub approve: bool,
    /// Why not; the agent reads it.
    pub reason: Option<String>,
}

impl ApprovalDecision {
    /// Lets the tool run.
    pub fn approve(call: impl Into<ToolCallId>) -> Self {
        Self {
            call: call.into(),
            approve: true,
            reason: None,
        }
    }

    /// Refuses, with a reason the agent reads.
    pub fn deny(call: impl Into<ToolCallId>, reason: impl Into<String>) -> Self {
        Self {
            call: call.into(),
            approve: false,
            reason: Some(reason.into()),
        }
    }
}
