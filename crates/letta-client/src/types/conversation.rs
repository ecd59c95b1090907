//! Conversations: separate contexts of one agent.

use jiff::Timestamp;

use super::id::{AgentId, ConversationId};

/// Where a message goes: an agent, and one of its conversations or (`None`) its own, default one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConversationRef {
    /// The agent.
    pub agent: AgentId,
    /// The conversation; `None` is the agent's default one.
    pub conversation: Option<ConversationId>,
}

impl ConversationRef {
    /// The agent's default conversation.
    pub fn agent(agent: impl Into<AgentId>) -> Self {
        Self {
            agent: agent.into(),
            conversation: None,
        }
    }

    /// A conversation of its own.
    pub fn of(agent: impl Into<AgentId>, conversation: impl Into<ConversationId>) -> Self {
        Self {
            agent: agent.into(),
            conversation: Some(conversation.into()),
        }
    }
}

/// A conversation as the server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// The agent that holds it.
    pub agent: AgentId,
    /// What it is about, if somebody wrote that down.
    pub summary: Option<String>,
    /// When it was started.
    pub created_at: Option<Timestamp>,
}

/// A conversation to start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewConversation {
    /// What it is about.
    pub summary: Option<String>,
}

/// Which conversations of an agent to list; newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationQuery {
    /// At most this many.
    pub limit: u32,
    /// Start behind this one.
    pub after: Option<ConversationId>,
}

impl Default for ConversationQuery {
    fn default() -> Self {
        Self {
            limit: 50,
            after: None,
        }
    }
}

/// One page of conversations, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationPage {
    /// The conversations.
    pub conversations: Vec<Conversation>,
    /// Where the next page starts; `None` on the last page.
    pub next: Option<ConversationId>,
}
