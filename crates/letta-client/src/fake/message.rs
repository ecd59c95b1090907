//! Messages as the server stores them, and the parts in which it shows them.

use jiff::Timestamp;
use serde_json::Value;

use super::ids::otid_of;
use crate::{AgentId, ContentPart, ConversationId, RunId, ToolCall, ToolCallId, ToolStatus};

/// One stored message. A thought and the answer behind it are one of these, and two [`Part`]s.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) agent: AgentId,
    /// `None` in the agent's default conversation.
    pub(super) conversation: Option<ConversationId>,
    pub(super) run: Option<RunId>,
    pub(super) step: Option<String>,
    pub(super) otid: Option<String>,
    pub(super) date: Timestamp,
    pub(super) name: Option<String>,
    pub(super) sender: Option<String>,
    pub(super) body: Body,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    System(String),
    User(Vec<ContentPart>),
    /// What the server made of messages that left the context.
    Summary(Summary),
    Assistant {
        reasoning: Option<String>,
        text: Option<String>,
        calls: Vec<ToolCall>,
    },
    ApprovalRequest {
        reasoning: Option<String>,
        calls: Vec<ToolCall>,
    },
    ApprovalResponse(Vec<Decision>),
    ToolReturn(ToolReturn),
}

/// A summary that stands for older messages.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Summary {
    /// The summary itself.
    pub(super) text: String,
    /// The JSON in which it is shown to the model, and to clients that do not ask for better.
    pub(super) packed: String,
    pub(super) stats: Value,
}

/// A decision on one tool call.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// A person's yes or no.
    Approval {
        /// The call; the old form names the request instead.
        call: ToolCallId,
        /// Whether it may run.
        approve: bool,
        /// Why not.
        reason: Option<String>,
    },
    /// The client ran the tool itself.
    Return {
        /// The call.
        call: ToolCallId,
        /// What came of it.
        output: String,
        /// Whether it went well.
        status: ToolStatus,
    },
}

impl Decision {
    pub(super) fn call(&self) -> &ToolCallId {
        match self {
            Self::Approval { call, .. } | Self::Return { call, .. } => call,
        }
    }
}

/// What a tool answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ToolReturn {
    pub(super) call: ToolCallId,
    pub(super) status: ToolStatus,
    pub(super) output: String,
    /// Whether it ran in a sandbox of its own, whose output streams are part of the answer.
    pub(super) sandboxed: bool,
}

/// One message as clients see it, in a listing or in a stream.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) id: String,
    pub(super) date: Timestamp,
    pub(super) name: Option<String>,
    pub(super) otid: Option<String>,
    pub(super) sender: Option<String>,
    pub(super) step: Option<String>,
    pub(super) run: Option<RunId>,
    pub(super) content: PartContent,
}

/// What a part says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum PartContent {
    System(String),
    User(Vec<ContentPart>),
    Assistant(String),
    Reasoning(String),
    ToolCalls(Vec<ToolCall>),
    ApprovalRequest(Vec<ToolCall>),
    /// A piece of a call while the model writes it.
    CallDelta(CallDelta),
    ApprovalResponse(Vec<Decision>),
    ToolReturn(ToolReturn),
    /// The context is about to be shortened.
    CompactionStarted {
        trigger: &'static str,
        estimate: Option<u64>,
        window: u64,
    },
    /// The context was shortened.
    Summary(Summary),
}

/// A piece of a tool call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CallDelta {
    pub(super) call: ToolCallId,
    /// In the first piece.
    pub(super) name: Option<String>,
    /// In the pieces after it.
    pub(super) arguments: Option<String>,
    /// Whether the call will wait for approval.
    pub(super) asks: bool,
    /// Whether this is the last piece.
    pub(super) last: bool,
}

impl PartContent {
    /// The server's name for this kind of message.
    pub(super) fn message_type(&self) -> &'static str {
        match self {
            Self::System(_) => "system_message",
            Self::User(_) => "user_message",
            Self::Assistant(_) => "assistant_message",
            Self::Reasoning(_) => "reasoning_message",
            Self::ToolCalls(_) | Self::CallDelta(CallDelta { asks: false, .. }) => "tool_call_message",
            Self::ApprovalRequest(_) | Self::CallDelta(CallDelta { asks: true, .. }) => {
                "approval_request_message"
            }
            Self::ApprovalResponse(_) => "approval_response_message",
            Self::ToolReturn(_) => "tool_return_message",
            Self::CompactionStarted { .. } => "event_message",
            Self::Summary(_) => "summary_message",
        }
    }
}

impl Message {
    /// The parts in which clients see it, in order. A summary is a user's message here; only a stream that asked
    /// for better shows it as what it is.
    pub(super) fn parts(&self) -> Vec<Part> {
        match &self.body {
            Body::System(text) => vec![self.part(None, PartContent::System(text.clone()))],
            Body::User(content) => vec![self.part(self.otid.clone(), PartContent::User(content.clone()))],
            Body::Summary(summary) => {
                let content = vec![ContentPart::Text(summary.packed.clone())];
                vec![self.part(self.otid.clone(), PartContent::User(content))]
            }
            Body::Assistant {
                reasoning,
                text,
                calls,
            } => {
                let reasoning = reasoning.clone().map(PartContent::Reasoning);
                let text = text.clone().map(PartContent::Assistant);
                let calls = (!calls.is_empty()).then(|| PartContent::ToolCalls(calls.clone()));
                (0..)
                    .zip([reasoning, text, calls].into_iter().flatten())
                    .map(|(index, content)| self.part(Some(otid_of(&self.id, index)), content))
                    .collect()
            }
            Body::ApprovalRequest { reasoning, calls } => {
                let request = self.part(Some(self.id.clone()), PartContent::ApprovalRequest(calls.clone()));
                reasoning
                    .clone()
                    .map(|text| self.part(Some(otid_of(&self.id, 0)), PartContent::Reasoning(text)))
                    .into_iter()
                    .chain([request])
                    .collect()
            }
            Body::ApprovalResponse(decisions) => {
                let mut part = self.part(None, PartContent::ApprovalResponse(decisions.clone()));
                part.step = None;
                vec![part]
            }
            Body::ToolReturn(answer) => {
                vec![self.part(
                    Some(otid_of(&self.id, 0)),
                    PartContent::ToolReturn(answer.clone()),
                )]
            }
        }
    }

    pub(super) fn part(&self, otid: Option<String>, content: PartContent) -> Part {
        Part {
            id: self.id.clone(),
            date: self.date,
            name: self.name.clone(),
            otid,
            sender: self.sender.clone(),
            step: self.step.clone(),
            run: self.run.clone(),
            content,
        }
    }
}
