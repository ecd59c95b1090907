//! A turn: one input, and what the agent does until it rests again.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::BoxStream};

use crate::{
    LettaError, ProviderFailure,
    types::{
        approval::{ApprovalRequest, ToolCall},
        id::{ItemId, Otid, RunId, ToolCallId},
    },
};

/// A part of what a person says.
#[derive(Clone, PartialEq, Eq)]
pub enum ContentPart {
    /// Text.
    Text(String),
    /// An image, by value. There is no variant for an address: a server must never be told to fetch one.
    Image {
        /// Its media type, e.g. `image/png`.
        media_type: String,
        /// The bytes.
        data: Bytes,
    },
}

impl fmt::Debug for ContentPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Self::Image { media_type, data } => f
                .debug_struct("Image")
                .field("media_type", media_type)
                .field("bytes", &data.len())
                .finish(),
        }
    }
}

/// What somebody says to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnInput {
    /// The sender's own id for it. It is found again in the history under this id; it is not a lock.
    pub otid: Otid,
    /// The content, at least one part.
    pub content: Vec<ContentPart>,
    /// A short name of the sender. Models see it only if it is plain ASCII without spaces.
    pub name: Option<String>,
}

impl TurnInput {
    /// A plain text.
    pub fn text(otid: impl Into<Otid>, text: impl Into<String>) -> Self {
        Self {
            otid: otid.into(),
            content: vec![ContentPart::Text(text.into())],
            name: None,
        }
    }
}

/// How a turn is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnOptions {
    /// Stream the answer in pieces as the model writes it, instead of whole messages.
    pub tokens: bool,
    /// Ask the server to keep the events for [`resume`](crate::LettaApi::resume). A server that cannot runs the
    /// turn without: its events then carry no [`ResumeToken`] (and among the agent's runs there may be a failed one
    /// for the attempt).
    pub resumable: bool,
    /// End the turn after this many steps of the model.
    pub max_steps: Option<u32>,
}

impl Default for TurnOptions {
    fn default() -> Self {
        Self {
            tokens: true,
            resumable: true,
            max_steps: None,
        }
    }
}

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The turn began.
    Started,
    /// It waits behind another turn.
    Queued,
    /// The server knew the id: these are the events of the first one.
    Duplicate,
}

/// Where a stream of events can be joined again. Opaque; keep it as text with [`as_str`](Self::as_str).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResumeToken(String);

impl ResumeToken {
    /// Takes a token as an implementation wrote it.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Something that happened in a turn.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnEvent {
    /// The run it belongs to, as soon as the server names it.
    pub run: Option<RunId>,
    /// Resuming from here yields everything after this event.
    pub resume: Option<ResumeToken>,
    /// What happened.
    pub kind: TurnEventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TurnEventKind {
    /// The server works on it. Comes first, once.
    Started,
    /// The server is still there.
    Alive,
    /// More of an answer. Pieces with the same item are one text.
    Text {
        /// The answer this belongs to.
        item: ItemId,
        /// The piece to append.
        append: String,
    },
    /// More of a thought. Pieces with the same item are one text.
    Reasoning {
        /// The thought this belongs to.
        item: ItemId,
        /// The piece to append.
        append: String,
    },
    /// The agent calls a tool; the arguments are complete.
    ToolCall(ToolCall),
    /// A tool answered.
    ToolOutput {
        /// The call that is answered.
        call: ToolCallId,
        /// Whether it went well.
        status: ToolStatus,
        /// What it answered so far: replaces an earlier output of the same call.
        output: String,
        /// Whether this is the last word.
        is_final: bool,
    },
    /// The turn stops here until somebody decides.
    ApprovalRequested(ApprovalRequest),
    /// Something the server did on its own, e.g. shortening the context.
    Notice {
        /// The server's name for it.
        message_type: String,
        /// The text, if there is one.
        text: String,
    },
    /// What the turn cost.
    Usage(Usage),
    /// Events were lost: read the history for what is missing.
    Gap,
    /// The turn is over. The last event of every stream that ends well, and of no other.
    Ended {
        /// Why.
        reason: StopReason,
        /// What went wrong, if something did.
        error: Option<TurnError>,
    },
}

/// How a tool's call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolStatus {
    /// It returned.
    Success,
    /// It failed or was denied.
    Error,
}

/// What a turn cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens the model read.
    pub prompt_tokens: u64,
    /// Tokens the model wrote.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
    /// Steps of the model.
    pub steps: u64,
}

/// Why a turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The agent was done. An answer without text ends so too, and so does one whose upstream was cut.
    EndTurn,
    /// Waits for a decision on a tool call.
    RequiresApproval,
    /// Reached the limit of steps.
    MaxSteps,
    /// Reached the limit of tokens.
    MaxTokensExceeded,
    /// Somebody cancelled it.
    Cancelled,
    /// A rule of the agent's tools ended it.
    ToolRule,
    /// The model called no tool where it had to.
    NoToolCall,
    /// The model called a tool wrongly.
    InvalidToolCall,
    /// The model's answer made no sense.
    InvalidLlmResponse,
    /// The model's provider failed.
    LlmApiError,
    /// No credits left at the provider.
    InsufficientCredits,
    /// The system prompt alone is too long for the model.
    ContextWindowOverflow,
    /// Something else went wrong.
    Error,
    /// A reason this crate does not know.
    Other(String),
}

impl StopReason {
    /// The reason under the name Letta gives it (`stop_reason` of the v1 API).
    #[must_use]
    pub fn from_wire(name: &str) -> Self {
        match name {
            "end_turn" => Self::EndTurn,
            "requires_approval" => Self::RequiresApproval,
            "max_steps" => Self::MaxSteps,
            "max_tokens_exceeded" => Self::MaxTokensExceeded,
            "cancelled" => Self::Cancelled,
            "tool_rule" => Self::ToolRule,
            "no_tool_call" => Self::NoToolCall,
            "invalid_tool_call" => Self::InvalidToolCall,
            "invalid_llm_response" => Self::InvalidLlmResponse,
            "llm_api_error" => Self::LlmApiError,
            "insufficient_credits" => Self::InsufficientCredits,
            "context_window_overflow_in_system_prompt" => Self::ContextWindowOverflow,
            "error" => Self::Error,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The name Letta gives it.
    #[must_use]
    pub fn as_wire(&self) -> &str {
        match self {
            Self::EndTurn => "end_turn",
            Self::RequiresApproval => "requires_approval",
            Self::MaxSteps => "max_steps",
            Self::MaxTokensExceeded => "max_tokens_exceeded",
            Self::Cancelled => "cancelled",
            Self::ToolRule => "tool_rule",
            Self::NoToolCall => "no_tool_call",
            Self::InvalidToolCall => "invalid_tool_call",
            Self::InvalidLlmResponse => "invalid_llm_response",
            Self::LlmApiError => "llm_api_error",
            Self::InsufficientCredits => "insufficient_credits",
            Self::ContextWindowOverflow => "context_window_overflow_in_system_prompt",
            Self::Error => "error",
            Self::Other(other) => other,
        }
    }
}

/// What went wrong inside a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnError {
    /// What kind of failure it is.
    pub kind: TurnErrorKind,
    /// The server's sentence.
    pub message: String,
    /// More of it, e.g. what the model's provider answered.
    pub detail: Option<String>,
}

/// Kinds of failure inside a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TurnErrorKind {
    /// The model's provider failed.
    Provider(ProviderFailure),
    /// A tool call of this agent waits for a decision first.
    PendingApproval,
    /// The agent or conversation is busy with another turn.
    Busy,
    /// The input makes no sense to the server, e.g. a decision on a call that waits for none.
    InvalidRequest,
    /// The server failed.
    Internal,
}

/// The events of a turn, as they happen.
///
/// The stream ends after [`TurnEventKind::Ended`], or after one error. An error means that the outcome is unknown:
/// the turn may still be running and may still end well. Dropping the stream does not stop the turn.
pub struct TurnStream {
    disposition: Disposition,
    events: BoxStream<'static, Result<TurnEvent, LettaError>>,
}

impl TurnStream {
    /// Wraps the events of a turn.
    pub fn new(
        disposition: Disposition,
        events: impl Stream<Item = Result<TurnEvent, LettaError>> + Send + 'static,
    ) -> Self {
        Self {
            disposition,
            events: events.boxed(),
        }
    }

    /// What became of the input.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        self.disposition
    }
}

impl Stream for TurnStream {
    type Item = Result<TurnEvent, LettaError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(cx)
    }
}

impl fmt::Debug for TurnStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnStream")
            .field("disposition", &self.disposition)
            .finish_non_exhaustive()
    }
}
