//! Runs.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{
    call::Call,
    transport::Transport,
    wire::{List, timestamp},
};
use crate::{
    Result,
    types::{
        id::{AgentId, ConversationId, RunId},
        run::{Run, RunQuery, RunStatus},
        turn::StopReason,
    },
};

#[derive(Deserialize)]
struct WireRun {
    id: RunId,
    status: Option<String>,
    agent_id: Option<AgentId>,
    conversation_id: Option<ConversationId>,
    background: Option<bool>,
    stop_reason: Option<String>,
    metadata: Option<Value>,
    #[serde(default, deserialize_with = "timestamp")]
    created_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "timestamp")]
    completed_at: Option<Timestamp>,
}

impl From<WireRun> for Run {
    fn from(wire: WireRun) -> Self {
        Self {
            id: wire.id,
            status: match wire.status.as_deref() {
                Some("created") => RunStatus::Created,
                Some("running") => RunStatus::Running,
                Some("completed") => RunStatus::Completed,
                Some("failed") => RunStatus::Failed,
                Some("cancelled") => RunStatus::Cancelled,
                other => RunStatus::Other(other.unwrap_or_default().to_owned()),
            },
            agent: wire.agent_id,
            conversation: wire.conversation_id,
            background: wire.background.unwrap_or_default(),
            stop_reason: wire.stop_reason.as_deref().map(StopReason::from_wire),
            error: wire.metadata.as_ref().and_then(error_text),
            created_at: wire.created_at,
            completed_at: wire.completed_at,
        }
    }
}

/// `metadata.error`: a sentence, or the error message of the stream.
fn error_text(metadata: &Value) -> Option<String> {
    match metadata.get("error")? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Object(error) => ["detail", "message"]
            .into_iter()
            .find_map(|field| error.get(field).and_then(Value::as_str))
            .map(str::to_owned)
            .or_else(|| Some(Value::Object(error.clone()).to_string())),
        other => Some(other.to_string()),
    }
}

pub(super) async fn get(transport: &Transport, id: &RunId) -> Result<Run> {
    transport
        .json::<WireRun>(&Call::get("get a run", ["runs", id.as_str()]))
        .await
        .map(Run::from)
}

pub(super) async fn list(transport: &Transport, agent: &AgentId, query: &RunQuery) -> Result<Vec<Run>> {
    let mut call = Call::get("list runs", ["runs"])
        .slash()
        .query("agent_id", agent.as_str())
        .query("limit", query.limit.max(1).to_string())
        .query("order", "desc");
    if query.active_only {
        call = call.query("statuses", "created").query("statuses", "running");
    }
    let List(runs) = transport.json::<List<WireRun>>(&call).await?;
    Ok(runs.into_iter().map(Run::from).collect())
}
