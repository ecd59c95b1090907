//! An agent as the server writes it down.

use std::sync::LazyLock;

use jiff::{Timestamp, fmt::strtime};
use serde_json::{Map, Value, json};

use super::{
    agents::{AgentRecord, Block},
    listing::Include,
    state::State,
    tools::FakeTool,
};
use crate::{Agent, StopReason};

/// The parts of an agent's JSON that the fake does not model, recorded from a real server (version 0.16.8).
static DEFAULTS: LazyLock<Value> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "a constant of this crate, read by every test of the fake"
    )]
    serde_json::from_str(include_str!("agent_defaults.json")).expect("the recorded agent is JSON")
});

/// The system prompt of an agent that was given none.
pub(super) fn default_system() -> &'static str {
    DEFAULTS["system"].as_str().unwrap_or_default()
}

impl State {
    /// The agent as the trait speaks of it.
    pub(super) fn view_agent(&self, record: &AgentRecord, include: Include) -> Agent {
        let mut agent = Agent::new(record.id.clone(), record.name.clone());
        agent.description.clone_from(&record.description);
        if include.tags {
            agent.tags.clone_from(&record.tags);
        }
        agent.agent_type = Some(record.agent_type.clone());
        agent.model = Some(record.model.clone());
        agent.hidden = record.hidden.unwrap_or(false);
        agent.metadata = record.metadata.clone().unwrap_or_default();
        agent.created_at = Some(record.created_at);
        agent.updated_at = Some(record.updated_at);
        if include.pending_approval {
            agent.pending_approval = self.pending_approval(&record.id);
        }
        agent
    }

    /// The agent as `GET /v1/agents/{id}` answers.
    pub(super) fn agent_json(&self, record: &AgentRecord, include: Include) -> Value {
        let mut json = DEFAULTS.clone();
        let model = record
            .model
            .rsplit_once('/')
            .map_or(record.model.as_str(), |(_, name)| name);
        json["id"] = json!(record.id);
        json["name"] = json!(record.name);
        json["description"] = json!(record.description);
        json["agent_type"] = json!(record.agent_type);
        json["created_at"] = json!(date_time(record.created_at));
        json["updated_at"] = json!(date_time(record.updated_at));
        json["message_ids"] = json!(record.context);
        if let Some(system) = &record.system {
            json["system"] = json!(system);
        }
        json["model"] = json!(record.model);
        json["llm_config"]["model"] = json!(model);
        json["llm_config"]["handle"] = json!(record.model);
        json["llm_config"]["context_window"] = json!(self.context_window(&record.model));
        match &record.embedding {
            Some(handle) => {
                json["embedding"] = json!(handle);
                json["embedding_config"]["handle"] = json!(handle);
            }
            None => {
                json["embedding"] = Value::Null;
                json["embedding_config"] = Value::Null;
            }
        }
        json["metadata"] = json!(record.metadata);
        json["hidden"] = json!(record.hidden);
        json["memory"]["agent_type"] = json!(record.agent_type);
        let blocks: Vec<Value> = record.blocks.iter().map(block_json).collect();
        json["memory"]["blocks"] = json!(blocks);
        json["blocks"] = if include.blocks { json!(blocks) } else { json!([]) };
        json["tags"] = if include.tags {
            json!(record.tags)
        } else {
            json!([])
        };
        json["tools"] = if include.tools {
            json!(self.tools_json(record))
        } else {
            json!([])
        };
        json["tool_rules"] = record
            .approval_rules
            .iter()
            .map(|tool| json!({ "tool_name": tool, "type": "requires_approval", "prompt_template": null }))
            .collect();
        if include.pending_approval {
            let request = self.pending(&record.id).and_then(|message| message.parts().pop());
            json["pending_approval"] = json!(request.map(|part| part.json(None)));
        }
        json["last_stop_reason"] = json!(record.last_stop_reason.as_ref().map(StopReason::as_wire));
        json["last_run_completion"] = json!(record.last_run_completion.map(date_time));
        json["last_run_duration_ms"] = json!(record.last_run_duration_ms);
        json
    }

    /// How many tokens the model of this handle may see at once.
    pub(super) fn context_window(&self, handle: &str) -> u64 {
        let name = handle.rsplit_once('/').map_or(handle, |(_, name)| name);
        self.config
            .llm
            .models
            .iter()
            .find(|model| model.id == name)
            .map_or(30_000, |model| model.context_window)
    }

    /// The agent's tools, as `GET /v1/agents/{id}/tools` lists them.
    pub(super) fn tools_json(&self, record: &AgentRecord) -> Vec<Value> {
        record
            .tools
            .iter()
            .filter_map(|name| self.tools.get(name))
            .map(|tool| tool_json(tool, &self.tool_id(&tool.name)))
            .collect()
    }
}

/// A tool as the server writes it down.
pub(super) fn tool_json(tool: &FakeTool, id: &str) -> Value {
    json!({
        "id": id,
        "tool_type": tool.wire_type(),
        "description": tool.description,
        "source_type": "python",
        "name": tool.name,
        "tags": [],
        "source_code": null,
        "json_schema": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        },
        "args_json_schema": null,
        "return_char_limit": 50000,
        "pip_requirements": null,
        "npm_requirements": null,
        "default_requires_approval": tool.requires_approval.then_some(true),
        "enable_parallel_execution": false,
        "created_by_id": "user-00000000-0000-4000-8000-000000000000",
        "last_updated_by_id": "user-00000000-0000-4000-8000-000000000000",
        "metadata_": {},
        "project_id": null,
    })
}

/// A memory block as the server writes it down.
fn block_json(block: &Block) -> Value {
    let mut json = Map::new();
    for name in [
        "project_id",
        "template_name",
        "template_id",
        "base_template_id",
        "deployment_id",
        "entity_id",
    ] {
        json.insert(name.to_owned(), Value::Null);
    }
    let own = json!({
        "id": block.id,
        "label": block.label,
        "value": block.value,
        "limit": 100_000,
        "is_template": false,
        "preserve_on_migration": false,
        "read_only": false,
        "description": null,
        "metadata": {},
        "hidden": null,
        "created_by_id": null,
        "last_updated_by_id": null,
        "tags": [],
    });
    if let Value::Object(own) = own {
        json.extend(own);
    }
    Value::Object(json)
}

/// A time as the server writes it in most places: microseconds and `Z`.
pub(super) fn date_time(time: Timestamp) -> String {
    strtime::format("%Y-%m-%dT%H:%M:%S.%6fZ", time).unwrap_or_else(|_| time.to_string())
}
