//! Listing agents: order, filters, pages, and what the server does with a cursor it does not know.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::{agents::AgentRecord, refusal::Refusal, state::State};
use crate::{AgentCursor, AgentInclude, AgentOrder, AgentQuery, Direction, LettaErrorKind};

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
            limit: Some(i64::from(query.limit.clamp(1, 1000))),
            after: query.after.as_ref().map(|cursor| cursor.as_str().to_owned()),
            before: None,
            order: Some(query.direction),
            order_by: query.order_by,
            name: query.name.clone(),
            query_text: query.query_text.clone(),
            tags: query.tags.clone(),
            match_all_tags: query.match_all_tags,
            show_hidden: query.hidden,
            include: query.include.into(),
        }
    }
}

/// How many agents a listing has when nobody says.
const DEFAULT_LIMIT: usize = 50;

impl State {
    /// How many agents there are; hidden ones are left out, as in a listing.
    pub(super) fn count_agents(&self) -> usize {
        let all = ListAgents::default();
        self.agents.iter().filter(|agent| matches(agent, &all)).count()
    }

    /// The agents of a page, in the order of the listing.
    pub(super) fn list_agents(&self, query: &ListAgents) -> Result<Vec<&AgentRecord>, Refusal> {
        let limit = match query.limit {
            None => DEFAULT_LIMIT,
            Some(0) => usize::MAX,
            Some(limit) => usize::try_from(limit)
                .map_err(|_| Refusal::detail(500, LettaErrorKind::Server, "A database error occurred."))?,
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
}

/// The next page's cursor: there is one when the page is full, because the server does not say whether more follow.
pub(super) fn next_cursor(page: &[&AgentRecord], limit: u32) -> Option<AgentCursor> {
    let full = u32::try_from(page.len()).is_ok_and(|length| length >= limit.clamp(1, 1000));
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
