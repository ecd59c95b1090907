//! The server itself, and its agents.

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    call::{Call, Repeat},
    message::WireToolCall,
    transport::Transport,
    wire::{Entry, List, timestamp},
};
use crate::{
    LettaError, LettaErrorKind, Result,
    types::{
        agent::{
            Agent, AgentCursor, AgentInclude, AgentOrder, AgentPage, AgentQuery, AgentUpdate, Direction,
            NewAgent,
        },
        approval::ApprovalRequest,
        id::{AgentId, ApprovalId},
        server::Health,
    },
};

/// Agents looked up at the same time when a listing names nothing but their ids.
const LOOKUPS: usize = 4;

#[derive(Deserialize)]
struct WireHealth {
    version: String,
    status: String,
}

#[derive(Deserialize)]
pub(super) struct WireAgent {
    id: AgentId,
    name: Option<String>,
    description: Option<String>,
    tags: Option<Vec<String>>,
    agent_type: Option<String>,
    model: Option<String>,
    hidden: Option<bool>,
    metadata: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "timestamp")]
    created_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "timestamp")]
    updated_at: Option<Timestamp>,
    pending_approval: Option<WirePendingApproval>,
}

#[derive(Deserialize)]
struct WirePendingApproval {
    id: ApprovalId,
    tool_call: Option<WireToolCall>,
    tool_calls: Option<Vec<WireToolCall>>,
}

impl From<WireAgent> for Agent {
    fn from(wire: WireAgent) -> Self {
        Self {
            id: wire.id,
            name: wire.name.unwrap_or_default(),
            description: wire.description.filter(|text| !text.is_empty()),
            tags: wire.tags.unwrap_or_default(),
            agent_type: wire.agent_type,
            model: wire.model,
            hidden: wire.hidden.unwrap_or_default(),
            metadata: wire.metadata.unwrap_or_default(),
            created_at: wire.created_at,
            updated_at: wire.updated_at,
            pending_approval: wire.pending_approval.map(ApprovalRequest::from),
        }
    }
}

impl From<WirePendingApproval> for ApprovalRequest {
    fn from(wire: WirePendingApproval) -> Self {
        let calls = match wire.tool_calls {
            Some(calls) if !calls.is_empty() => calls,
            _ => wire.tool_call.into_iter().collect(),
        };
        Self {
            id: wire.id,
            calls: calls.into_iter().filter_map(WireToolCall::whole).collect(),
        }
    }
}

pub(super) async fn health(transport: &Transport) -> Result<Health> {
    let wire: WireHealth = transport
        .json(&Call::get("ask for the server's health", ["health"]).slash())
        .await?;
    Ok(Health {
        version: wire.version,
        status: wire.status,
    })
}

pub(super) async fn list(transport: &Transport, query: &AgentQuery) -> Result<AgentPage> {
    let limit = query.limit.clamp(1, 1000);
    let order_by = match query.order_by {
        AgentOrder::CreatedAt => "created_at",
        AgentOrder::UpdatedAt => "updated_at",
        AgentOrder::LastRunCompletion => "last_run_completion",
    };
    let order = match query.direction {
        Direction::Ascending => "asc",
        Direction::Descending => "desc",
    };
    let mut call = Call::get("list agents", ["agents"])
        .slash()
        .query("limit", limit.to_string())
        .query("order_by", order_by)
        .query("order", order)
        .query_opt("after", query.after.as_ref().map(AgentCursor::as_str))
        .query_opt("name", query.name.as_deref())
        .query_opt("query_text", query.query_text.as_deref());
    for tag in &query.tags {
        call = call.query("tags", tag.as_str());
    }
    if query.match_all_tags {
        call = call.query("match_all_tags", "true");
    }
    if query.hidden {
        // Not in the published description of the API, but there.
        call = call.query("show_hidden_agents", "true");
    }
    let List(entries) = transport
        .json::<List<Entry<WireAgent>>>(&including(call, query.include))
        .await?;
    let is_full = u32::try_from(entries.len()).is_ok_and(|count| count >= limit);
    let next = entries
        .last()
        .filter(|_| is_full)
        .map(|entry| AgentCursor::new(entry_id(entry)));
    let agents = stream::iter(entries)
        .map(|entry| complete(transport, entry, query.include))
        .buffered(LOOKUPS)
        .try_filter_map(|agent| async { Ok(agent) })
        .try_collect()
        .await?;
    Ok(AgentPage { agents, next })
}

fn entry_id(entry: &Entry<WireAgent>) -> &str {
    match entry {
        Entry::Id(id) => id,
        Entry::Whole(agent) => agent.id.as_str(),
    }
}

/// The agent of a listing's entry, looked up if the entry does not name it. `None` if it is gone meanwhile.
async fn complete(
    transport: &Transport,
    entry: Entry<WireAgent>,
    include: AgentInclude,
) -> Result<Option<Agent>> {
    let id = match entry {
        Entry::Whole(agent) if agent.name.is_some() => return Ok(Some(agent.into())),
        Entry::Whole(agent) => agent.id,
        Entry::Id(id) => AgentId::new(id),
    };
    match get(transport, &id, include).await {
        Ok(agent) => Ok(Some(agent)),
        Err(error) if error.kind() == &LettaErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) async fn count(transport: &Transport) -> Result<u64> {
    transport
        .json(&Call::get("count agents", ["agents", "count"]))
        .await
}

pub(super) async fn get(transport: &Transport, id: &AgentId, include: AgentInclude) -> Result<Agent> {
    let call = including(Call::get("get an agent", ["agents", id.as_str()]), include);
    transport.json::<WireAgent>(&call).await.map(Agent::from)
}

pub(super) async fn create(transport: &Transport, agent: &NewAgent) -> Result<Agent> {
    let mut body = Map::new();
    body.insert("name".to_owned(), agent.name.clone().into());
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value.into());
        }
    };
    put("description", agent.description.as_deref());
    put("model", agent.model.as_deref());
    put("embedding", agent.embedding.as_deref());
    put("system", agent.system.as_deref());
    if !agent.memory_blocks.is_empty() {
        let blocks = agent
            .memory_blocks
            .iter()
            .map(|(label, value)| json!({"label": label, "value": value}));
        body.insert("memory_blocks".to_owned(), blocks.collect());
    }
    if !agent.tags.is_empty() {
        body.insert("tags".to_owned(), agent.tags.clone().into());
    }
    if !agent.tools.is_empty() {
        body.insert("tools".to_owned(), agent.tools.clone().into());
    }
    if !agent.metadata.is_empty() {
        body.insert("metadata".to_owned(), agent.metadata.clone().into());
    }
    if agent.hidden {
        body.insert("hidden".to_owned(), true.into());
    }
    let call = Call::new("create an agent", Method::POST, ["agents"], Repeat::OnlyIfUnsent)
        .slash()
        .body(body.into());
    match transport.json::<WireAgent>(&call).await {
        Ok(agent) => Ok(agent.into()),
        // Nothing was asked for that could be missing, except what the new agent is to be made of: its model.
        Err(error) if error.kind() == &LettaErrorKind::NotFound => {
            let mut refused = LettaError::new(LettaErrorKind::InvalidRequest, error.message());
            if let Some(status) = error.status() {
                refused = refused.with_status(status);
            }
            Err(refused)
        }
        Err(error) => Err(error),
    }
}

pub(super) async fn update(transport: &Transport, id: &AgentId, update: &AgentUpdate) -> Result<Agent> {
    let mut body = Map::new();
    if let Some(name) = &update.name {
        body.insert("name".to_owned(), name.clone().into());
    }
    if let Some(description) = &update.description {
        body.insert("description".to_owned(), description.clone().into());
    }
    if let Some(tags) = &update.tags {
        body.insert("tags".to_owned(), tags.clone().into());
    }
    let call = Call::new(
        "change an agent",
        Method::PATCH,
        ["agents", id.as_str()],
        Repeat::Safe,
    )
    .body(body.into());
    transport.json::<WireAgent>(&call).await.map(Agent::from)
}

pub(super) async fn delete(transport: &Transport, id: &AgentId) -> Result<()> {
    let call = Call::new(
        "delete an agent",
        Method::DELETE,
        ["agents", id.as_str()],
        Repeat::Safe,
    );
    transport.delete(&call).await
}

pub(super) async fn set_tool_approval(
    transport: &Transport,
    id: &AgentId,
    tool: &str,
    required: bool,
) -> Result<()> {
    let call = Call::new(
        "set whether a tool needs approval",
        Method::PATCH,
        ["agents", id.as_str(), "tools", "approval", tool],
        Repeat::Safe,
    )
    .body(json!({"requires_approval": required}));
    transport.json::<Value>(&call).await.map(drop)
}

fn including<'a>(mut call: Call<'a>, include: AgentInclude) -> Call<'a> {
    if include.tags {
        call = call.query("include", "agent.tags");
    }
    if include.pending_approval {
        call = call.query("include", "agent.pending_approval");
    }
    call
}
