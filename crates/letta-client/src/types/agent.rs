//! Agents and their listing.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{approval::ApprovalRequest, id::AgentId};

/// An agent as the server describes it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Agent {
    /// Its id, stable for its life.
    pub id: AgentId,
    /// Its name: not unique, may be empty, may hold any character.
    pub name: String,
    /// What it is for, in its maker's words.
    pub description: Option<String>,
    /// Tags; empty unless asked for with [`AgentInclude::tags`].
    pub tags: Vec<String>,
    /// The kind of agent, e.g. `letta_v1_agent`.
    pub agent_type: Option<String>,
    /// The handle of its language model.
    pub model: Option<String>,
    /// Whether listings leave it out.
    pub hidden: bool,
    /// Free-form data its maker attached.
    pub metadata: Map<String, Value>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it last changed; every message counts as a change, and so does an update that names nothing.
    pub updated_at: Option<Timestamp>,
    /// A tool call that waits for a decision; absent unless asked for with [`AgentInclude::pending_approval`].
    pub pending_approval: Option<ApprovalRequest>,
}

impl Agent {
    /// An agent of which nothing but id and name is known.
    pub fn new(id: impl Into<AgentId>, name: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            description: None,
            tags: Vec::new(),
            agent_type: None,
            model: None,
            hidden: false,
            metadata: Map::new(),
            created_at: None,
            updated_at: None,
            pending_approval: None,
        }
    }
}

/// A position in a listing of agents. Opaque; take it from [`AgentPage::next`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AgentCursor(pub(crate) String);

impl AgentCursor {
    /// A cursor as a server would name it.
    pub fn new(cursor: impl Into<String>) -> Self {
        Self(cursor.into())
    }

    /// The cursor as the server names it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a listing is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AgentOrder {
    /// Time of creation.
    #[default]
    CreatedAt,
    /// Time of the last change.
    UpdatedAt,
    /// Time at which the last run ended.
    LastRunCompletion,
}

/// Which end of an order comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Oldest first: a listing that grows at its end while it is read.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

/// Parts of an agent that cost extra and are left out unless asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AgentInclude {
    /// Fill [`Agent::tags`].
    pub tags: bool,
    /// Fill [`Agent::pending_approval`].
    pub pending_approval: bool,
}

/// Which agents to list, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentQuery {
    /// At most this many agents in a page, 1 to 1000; a value outside counts as the nearest inside.
    pub limit: u32,
    /// Start behind this position.
    pub after: Option<AgentCursor>,
    /// Order of the listing.
    pub order_by: AgentOrder,
    /// Which end comes first.
    pub direction: Direction,
    /// Only agents of exactly this name, case-sensitive.
    pub name: Option<String>,
    /// Only agents whose name contains this text, in any case.
    pub query_text: Option<String>,
    /// Only agents with one of these tags.
    pub tags: Vec<String>,
    /// With `tags`: all of them instead of one of them.
    pub match_all_tags: bool,
    /// Hidden agents too, which a listing leaves out otherwise.
    pub hidden: bool,
    /// What to fill in beyond the basics.
    pub include: AgentInclude,
}

impl Default for AgentQuery {
    fn default() -> Self {
        Self {
            limit: 100,
            after: None,
            order_by: AgentOrder::default(),
            direction: Direction::default(),
            name: None,
            query_text: None,
            tags: Vec::new(),
            match_all_tags: false,
            hidden: false,
            include: AgentInclude::default(),
        }
    }
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentPage {
    /// The agents, in the order asked for.
    pub agents: Vec<Agent>,
    /// Where the next page starts; `None` on the last page.
    pub next: Option<AgentCursor>,
}

/// An agent to make.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewAgent {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Handle of its language model, e.g. `openai/gpt-4o-mini`; `None` lets the server choose or refuse.
    pub model: Option<String>,
    /// Handle of its embedding model.
    pub embedding: Option<String>,
    /// Its system prompt; `None` for the server's own.
    pub system: Option<String>,
    /// Labels and values of its memory blocks.
    pub memory_blocks: Vec<(String, String)>,
    /// Tags to attach.
    pub tags: Vec<String>,
    /// Names of existing tools to attach, beyond the server's base tools.
    pub tools: Vec<String>,
    /// Free-form data.
    pub metadata: Map<String, Value>,
    /// Leave it out of listings.
    pub hidden: bool,
}

impl NewAgent {
    /// A plain agent of this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }
}

/// A change to an agent; `None` keeps what is there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AgentUpdate {
    /// New name; any text, the empty one included.
    pub name: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// New set of tags.
    pub tags: Option<Vec<String>>,
}

impl AgentUpdate {
    /// Only the name.
    pub fn rename(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..Self::default()
        }
    }
}
