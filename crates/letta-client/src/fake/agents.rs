//! Agents: what the server knows of them, and how it lists them.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    ids::is_well_formed,
    refusal::{Refusal, agent_not_found, malformed_id, row_not_found},
    state::State,
};
use crate::{
    AgentCursor, AgentId, AgentInclude, AgentOrder, AgentQuery, AgentUpdate, Direction, LettaErrorKind,
    NewAgent, StopReason,
};

/// The kind of agent that the server makes unless told otherwise.
pub(super) const DEFAULT_AGENT_TYPE: &str = "letta_v1_agent";

/// A memory block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) value: String,
}

/// An agent as the server stores it.
#[derive(Debug, Clone)]
pub(super) struct AgentRecord {
    pub(super) id: AgentId,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) agent_type: String,
    pub(super) model: String,
    pub(super) embedding: Option<String>,
    pub(super) system: Option<String>,
    pub(super) blocks: Vec<Block>,
    /// Names of the attached tools, base tools included.
    pub(super) tools: Vec<String>,
    /// Names of the tools that need a person's consent.
    pub(super) approval_rules: Vec<String>,
    pub(super) metadata: Option<Map<String, Value>>,
    pub(super) hidden: Option<bool>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    /// Ids of the messages of the default conversation that the model still sees, oldest first.
    pub(super) context: Vec<String>,
    pub(super) last_stop_reason: Option<StopReason>,
    pub(super) last_run_completion: Option<Timestamp>,
    pub(super) last_run_duration_ms: Option<u64>,
}

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
            agent,
            agent_type: None,
            hidden: None,
            created_at: None,
        }
    }
}

/// The parameters of `GET /v1/agents/`.
#[derive(Debug, Clone, Default)]
pub struct ListAgents {
    /// `limit`: absent is 50, 0 is all.
    pub limit: Option<i64>,
    /// `after`: an agent's id; an unknown one is ignored.
    pub after: Option<String>,
    /// `before`: the same in the other direction.
    pub before: Option<String>,
    /// `order`: `asc` or (the default) `desc`.
    pub order: Option<Direction>,
    /// `order_by`.
    pub order_by: AgentOrder,
    /// `name`: exact.
    pub name: Option<String>,
    /// `query_text`: part of the name, in any case.
    pub query_text: Option<String>,
    /// `tags`, repeated.
    pub tags: Vec<String>,
    /// `match_all_tags`.
    pub match_all_tags: bool,
    /// `show_hidden_agents`.
    pub show_hidden: bool,
    /// `include`, repeated.
    pub include: Include,
}

/// What an agent's JSON has beyond the basics (`include=agent.tags` and so on).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Include {
    /// `agent.tags`
    pub tags: bool,
    /// `agent.tools`
    pub tools: bool,
    /// `agent.blocks`
    pub blocks: bool,
    /// `agent.pending_approval`
    pub pending_approval: bool,
}

impl Include {
    /// Everything, as a creation answers.
    pub(super) const ALL: Self = Self {
        tags: true,
        tools: true,
        blocks: true,
        pending_approval: true,
    };

    /// Reads the values of `include`; unknown ones are ignored.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut include = Self::default();
        for name in names {
            match name {
                "agent.tags" => include.tags = true,
                "agent.tools" => include.tools = true,
                "agent.blocks" => include.blocks = true,
                "agent.pending_approval" => include.pending_approval = true,
                _ => {}
            }
        }
        include
    }
}

impl From<AgentInclude> for Include {
    fn from(include: AgentInclude) -> Self {
        Self {
            tags: include.tags,
            pending_approval: include.pending_approval,
            ..Self::default()
        }
    }
}

impl From<&AgentQuery> for ListAgents {
    fn from(query: &AgentQuery) -> Self {
        Self {
            limit: Some(i64::from(query.limit)),
            after: query.after.as_ref().map(|cursor| cursor.as_str().to_owned()),
            before: None,
            order: Some(query.direction),
            order_by: query.order_by,
            name: query.name.clone(),
            query_text: query.query_text.clone(),
            tags: query.tags.clone(),
            match_all_tags: query.match_all_tags,
            show_hidden: false,
            include: query.include.into(),
        }
    }
}

/// How many agents a listing has when nobody says.
const DEFAULT_LIMIT: usize = 50;

impl State {
    /// Whether `id` can be an agent's, which the server checks before it looks.
    pub(super) fn check_agent_id(&self, id: &AgentId) -> Result<(), Refusal> {
        if self.config.lenient || is_well_formed("agent", id.as_str()) {
            Ok(())
        } else {
            Err(malformed_id("agent_id", "agent", id.as_str()))
        }
    }

    pub(super) fn agent(&self, id: &AgentId) -> Result<&AgentRecord, Refusal> {
        self.check_agent_id(id)?;
        self.agents
            .iter()
            .find(|agent| agent.id == *id)
            .ok_or_else(|| agent_not_found(id.as_str()))
    }

    pub(super) fn agent_mut(&mut self, id: &AgentId) -> Result<&mut AgentRecord, Refusal> {
        self.check_agent_id(id)?;
        self.agents
            .iter_mut()
            .find(|agent| agent.id == *id)
            .ok_or_else(|| agent_not_found(id.as_str()))
    }

    /// The agents of a page, in the order of the listing.
    pub(super) fn list_agents(&self, query: &ListAgents) -> Result<Vec<&AgentRecord>, Refusal> {
        let limit = match query.limit {
            None => DEFAULT_LIMIT,
            Some(0) => usize::MAX,
            Some(limit) => usize::try_from(limit)
                .map_err(|_| Refusal::detail(500, LettaErrorKind::Server, "An unknown error occurred"))?,
        };
        let ascending = query.order == Some(Direction::Ascending);
        let mut agents: Vec<_> = self.agents.iter().filter(|agent| matches(agent, query)).collect();
        agents.sort_by_key(|agent| sort_key(agent, query.order_by));
        if !ascending {
            agents.reverse();
        }
        if query.order_by == AgentOrder::LastRunCompletion {
            // Stable: those that never ran come last in either direction.
            agents.sort_by_key(|agent| agent.last_run_completion.is_none());
        }
        let precedes = |first: &AgentRecord, second: &AgentRecord| {
            let (first, second) = (sort_key(first, query.order_by), sort_key(second, query.order_by));
            match first.0.is_none().cmp(&second.0.is_none()) {
                Ordering::Equal if ascending => first < second,
                Ordering::Equal => first > second,
                order => order.is_lt(),
            }
        };
        if let Some(after) = self.cursor(query.after.as_deref()) {
            agents.retain(|agent| precedes(after, agent));
        }
        if let Some(before) = self.cursor(query.before.as_deref()) {
            agents.retain(|agent| precedes(agent, before));
        }
        agents.truncate(limit);
        Ok(agents)
    }

    /// The agent at which a page starts: found by its id whether or not the filters let it through. One that does
    /// not exist is ignored, without a word.
    fn cursor(&self, id: Option<&str>) -> Option<&AgentRecord> {
        let id = id?;
        self.agents.iter().find(|agent| agent.id.as_str() == id)
    }

    /// Makes an agent as `POST /v1/agents/` does.
    pub(super) fn create_agent(&mut self, seed: AgentSeed) -> Result<AgentId, Refusal> {
        check_name(&seed.agent.name)?;
        self.insert_agent(seed)
    }

    /// Makes an agent without looking at its name.
    pub(super) fn insert_agent(&mut self, seed: AgentSeed) -> Result<AgentId, Refusal> {
        let AgentSeed {
            id,
            agent,
            agent_type,
            hidden,
            created_at,
        } = seed;
        let model = self.choose_model(agent.model.as_deref())?;
        let mut tools: Vec<String> = self.tools.base_names();
        for tool in agent.tools {
            if !self.tools.exists(&tool) {
                return Err(Refusal::detail(
                    400,
                    LettaErrorKind::InvalidRequest,
                    format!("Tools not found by name: {{'{tool}'}}"),
                ));
            }
            if !tools.contains(&tool) {
                tools.push(tool);
            }
        }
        let blocks = agent
            .memory_blocks
            .into_iter()
            .map(|(label, value)| Block {
                id: self.ids.next("block"),
                label,
                value,
            })
            .collect();
        let id = id.unwrap_or_else(|| AgentId::new(self.ids.next("agent")));
        let now = self.clock.now();
        let approval_rules = tools
            .iter()
            .filter(|tool| self.tools.asks_by_default(tool))
            .cloned()
            .collect();
        self.agents.retain(|other| other.id != id);
        self.agents.push(AgentRecord {
            id: id.clone(),
            name: agent.name,
            description: agent.description,
            tags: agent.tags,
            agent_type: agent_type.unwrap_or_else(|| DEFAULT_AGENT_TYPE.to_owned()),
            model,
            embedding: agent.embedding,
            system: agent.system,
            blocks,
            tools,
            approval_rules,
            metadata: (!agent.metadata.is_empty()).then_some(agent.metadata),
            hidden,
            created_at: created_at.unwrap_or(now),
            updated_at: created_at.unwrap_or(now),
            context: Vec::new(),
            last_stop_reason: None,
            last_run_completion: None,
            last_run_duration_ms: None,
        });
        Ok(id)
    }

    pub(super) fn update_agent(
        &mut self,
        id: &AgentId,
        update: &AgentUpdate,
    ) -> Result<&AgentRecord, Refusal> {
        let now = self.clock.now();
        self.check_agent_id(id)?;
        let agent = self
            .agent_mut(id)
            .map_err(|_| row_not_found("Agent", id.as_str()))?;
        if let Some(name) = &update.name {
            agent.name.clone_from(name);
        }
        if let Some(description) = &update.description {
            agent.description = Some(description.clone());
        }
        if let Some(tags) = &update.tags {
            agent.tags.clone_from(tags);
        }
        agent.updated_at = now;
        Ok(agent)
    }

    pub(super) fn delete_agent(&mut self, id: &AgentId) -> Result<(), Refusal> {
        self.check_agent_id(id)?;
        let before = self.agents.len();
        self.agents.retain(|agent| agent.id != *id);
        if self.agents.len() == before {
            return Err(row_not_found("Agent", id.as_str()));
        }
        Ok(())
    }

    /// The handle of the model to use, or the server's refusal of it.
    fn choose_model(&self, wanted: Option<&str>) -> Result<String, Refusal> {
        let known = &self.config.models;
        match wanted {
            Some(handle) if known.iter().any(|model| model == handle) => Ok(handle.to_owned()),
            Some(handle) if self.config.lenient => Ok(handle.to_owned()),
            Some(handle) => Err(Refusal::detail(
                404,
                LettaErrorKind::NotFound,
                format!("NOT_FOUND: Handle {handle} not found, must be one of {known:?}"),
            )),
            None => match known.first() {
                Some(first) if self.config.lenient => Ok(first.clone()),
                _ => Err(Refusal::detail(
                    400,
                    LettaErrorKind::InvalidRequest,
                    "INVALID_ARGUMENT: Must specify either model or llm_config in request",
                )),
            },
        }
    }
}

/// The next page's cursor: there is one when the page is full, because the server does not say whether more follow.
pub(super) fn next_cursor(page: &[&AgentRecord], limit: u32) -> Option<AgentCursor> {
    let full = u32::try_from(page.len()).is_ok_and(|length| length >= limit);
    page.last()
        .filter(|_| full)
        .map(|agent| AgentCursor::new(agent.id.as_str()))
}

fn matches(agent: &AgentRecord, query: &ListAgents) -> bool {
    let tagged = |tag: &String| agent.tags.contains(tag);
    (query.show_hidden || agent.hidden != Some(true))
        && query.name.as_ref().is_none_or(|name| agent.name == *name)
        && query
            .query_text
            .as_ref()
            .is_none_or(|text| agent.name.to_lowercase().contains(&text.to_lowercase()))
        && (query.tags.is_empty()
            || if query.match_all_tags {
                query.tags.iter().all(tagged)
            } else {
                query.tags.iter().any(tagged)
            })
}

fn sort_key(agent: &AgentRecord, order: AgentOrder) -> (Option<Timestamp>, &str) {
    let time = match order {
        AgentOrder::CreatedAt => Some(agent.created_at),
        AgentOrder::UpdatedAt => Some(agent.updated_at),
        AgentOrder::LastRunCompletion => agent.last_run_completion,
    };
    (time, agent.id.as_str())
}

/// A new agent's name must be fit for a file name: the server says so with status 500.
fn check_name(name: &str) -> Result<(), Refusal> {
    // Python's `$` also matches before a final line break.
    let checked = name
        .strip_suffix('\n')
        .filter(|rest| !rest.is_empty())
        .unwrap_or(name);
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | ' ' | '\'' | '-');
    if checked.chars().all(allowed) {
        return Ok(());
    }
    Err(Refusal::detail(
        500,
        LettaErrorKind::InvalidRequest,
        format!(
            "Export failed: Agent name '{name}' contains invalid characters. Only letters (any language), digits, \
             spaces, hyphens, underscores, and apostrophes are allowed. Please avoid filesystem-unsafe characters \
             like: / \\ : * ? \" < > |"
        ),
    ))
}
