//! What was said, as the server remembers it.

use jiff::Timestamp;

use super::{
    approval::{ApprovalRequest, ToolCall},
    id::{ConversationId, MessageId, Otid, RunId, ToolCallId},
    turn::ToolStatus,
};

/// Which part of an agent's history to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery {
    /// At most this many steps: a thought and the answer (or tool call) it led to count as one and come together,
    /// so that a page may hold more messages than this. Values below 1 count as 1.
    pub limit: u32,
    /// Only messages older than this one.
    pub before: Option<MessageId>,
    /// Only messages newer than this one.
    pub after: Option<MessageId>,
}

impl Default for HistoryQuery {
    fn default() -> Self {
        Self {
            limit: 50,
            before: None,
            after: None,
        }
    }
}

/// A stretch of history, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryPage {
    /// The messages, oldest first.
    pub messages: Vec<HistoryMessage>,
    /// Whether the page was filled to its limit: there may be more beyond it.
    pub may_continue: bool,
}

/// One message of the history. The thought and the answer of one step share an `id` and differ in `otid`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HistoryMessage {
    /// Its id.
    pub id: MessageId,
    /// The id its sender gave it.
    pub otid: Option<Otid>,
    /// The run it belongs to.
    pub run: Option<RunId>,
    /// The conversation it belongs to, where the server says so.
    pub conversation: Option<ConversationId>,
    /// When it was written, to the second.
    pub date: Option<Timestamp>,
    /// What it is.
    pub item: HistoryItem,
}

impl HistoryMessage {
    /// A message with nothing but its id and content.
    pub fn new(id: impl Into<MessageId>, item: HistoryItem) -> Self {
        Self {
            id: id.into(),
            otid: None,
            run: None,
            conversation: None,
            date: None,
            item,
        }
    }
}

/// The content of a message in the history.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum HistoryItem {
    /// A person (or program) said this.
    User {
        /// The text, its parts joined by line breaks.
        text: String,
        /// How many images came with it.
        images: usize,
    },
    /// The agent said this.
    Assistant {
        /// The text.
        text: String,
    },
    /// The agent thought this.
    Reasoning {
        /// The text.
        text: String,
    },
    /// The agent called a tool.
    ToolCalls(Vec<ToolCall>),
    /// A tool answered.
    ToolReturn {
        /// The call that is answered.
        call: ToolCallId,
        /// Whether it went well.
        status: ToolStatus,
        /// What it answered.
        output: String,
    },
    /// The agent asked for approval.
    ApprovalRequest(ApprovalRequest),
    /// Somebody decided on such a request.
    ApprovalResponse {
        /// Whether the call was let through.
        approve: bool,
        /// The reason given.
        reason: Option<String>,
    },
    /// The system prompt or another message of the system.
    System {
        /// The text.
        text: String,
    },
    /// A kind of message this crate does not know.
    Other {
        /// The server's name for it.
        message_type: String,
    },
}
