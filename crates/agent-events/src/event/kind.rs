//! What happens in a turn.

use std::{fmt, str::FromStr};

use letta_client::{ApprovalId, ToolCallId};
use ruma::{OwnedEventId, OwnedUserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Excerpt;

/// What happened.
///
/// Each turn has `agent_started`, `agent_thinking`, for each tool that really ran `tool_executing` and `tool_completed`,
/// and `agent_completed`, in this order. The others stand around them; a turn that goes wrong ends in `agent_failed`.
/// [`TurnRules`](crate::TurnRules) checks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The turn began. Comes first, once, unless it is resumed.
    AgentStarted {
        /// Whoever runs the turn was interrupted and takes it up again: its tools, thoughts and words come anew.
        #[serde(default, skip_serializing_if = "is_false")]
        resumed: bool,
    },
    /// The model is at work.
    AgentThinking {
        /// What it thinks, where people may see that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<Excerpt>,
    },
    /// A tool began to run.
    ToolExecuting {
        /// The call, within the turn.
        #[schemars(with = "String")]
        tool_call_id: ToolCallId,
        /// The tool.
        tool_name: String,
        /// What it was called with, as JSON text that the model wrote: cut off if it is long, and perhaps malformed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arguments: Option<Excerpt>,
    },
    /// A tool ended.
    ToolCompleted {
        /// The call, within the turn.
        #[schemars(with = "String")]
        tool_call_id: ToolCallId,
        /// The tool.
        tool_name: String,
        /// Whether it went well.
        success: bool,
        /// How long it ran.
        duration_ms: u64,
        /// What it answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<Excerpt>,
        /// What went wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Excerpt>,
    },
    /// The turn ended well.
    AgentCompleted {
        /// How long the turn was.
        duration_ms: u64,
        /// The Matrix events that say the answer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schemars(with = "Vec<String>")]
        reply_event_ids: Vec<OwnedEventId>,
        /// Steps of the model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        steps: Option<u64>,
        /// What it cost.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tokens: Option<Tokens>,
    },
    /// The turn went wrong and is over.
    AgentFailed {
        /// What kind of failure it is.
        reason: FailureReason,
        /// A sentence for people.
        message: Excerpt,
        /// How long the turn was.
        duration_ms: u64,
    },
    /// The turn waits for a person's decision on a tool call.
    ApprovalRequested {
        /// The request.
        #[schemars(with = "String")]
        approval_id: ApprovalId,
        /// The call that waits.
        #[schemars(with = "String")]
        tool_call_id: ToolCallId,
        /// The tool.
        tool_name: String,
        /// What it is to be called with, as in `tool_executing`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arguments: Option<Excerpt>,
    },
    /// Somebody decided on a tool call.
    ApprovalResolved {
        /// The request.
        #[schemars(with = "String")]
        approval_id: ApprovalId,
        /// The call that waited.
        #[schemars(with = "String")]
        tool_call_id: ToolCallId,
        /// Whether the tool may run.
        approved: bool,
        /// Who decided; absent if nobody did in time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        by: Option<OwnedUserId>,
    },
    /// More of the answer, to append to what came before.
    MessageDelta {
        /// The piece.
        text: Excerpt,
    },
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// What a turn cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tokens {
    /// Tokens the model read.
    pub input: u64,
    /// Tokens the model wrote.
    pub output: u64,
}

/// Why a turn failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureReason {
    /// Letta could not be reached.
    Unavailable,
    /// It took too long.
    TimedOut,
    /// Somebody stopped it.
    Cancelled,
    /// The model, or its provider, failed.
    Model,
    /// The agent reached a limit: of steps, of tokens, of its context, of credits.
    Limit,
    /// The agent gave no answer.
    NoAnswer,
    /// The answer could not be said in the room.
    Undeliverable,
    /// Something else went wrong.
    Internal,
}

macro_rules! event_types {
    ($($name:ident => $text:literal,)*) => {
        /// The type of an event, without what it holds.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum EventType {
            $(#[doc = concat!("`", $text, "`")] $name,)*
        }

        impl EventType {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name, as it stands in `type`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }

        impl EventKind {
            /// The type of this event.
            #[must_use]
            pub fn event_type(&self) -> EventType {
                match self {
                    $(Self::$name { .. } => EventType::$name,)*
                }
            }
        }
    };
}

event_types! {
    AgentStarted => "agent_started",
    AgentThinking => "agent_thinking",
    ToolExecuting => "tool_executing",
    ToolCompleted => "tool_completed",
    AgentCompleted => "agent_completed",
    AgentFailed => "agent_failed",
    ApprovalRequested => "approval_requested",
    ApprovalResolved => "approval_resolved",
    MessageDelta => "message_delta",
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that no event has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there are no events of the type {0:?}")]
pub struct UnknownEventType(String);

impl FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(name: &str) -> Result<Self, UnknownEventType> {
        Self::ALL
            .iter()
            .copied()
            .find(|known| known.as_str() == name)
            .ok_or_else(|| UnknownEventType(name.to_owned()))
    }
}
