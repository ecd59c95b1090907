//! The server's models and tools, as it lists them.

use serde_json::{Value, json};

use super::{agent_json::tool_json, state::State};

impl State {
    /// `GET /v1/models/`.
    pub(super) fn models_json(&self) -> Value {
        self.config
            .llm
            .models
            .iter()
            .map(|model| {
                json!({
                    "handle": format!("openai-proxy/{}", model.id),
                    "name": model.id,
                    "display_name": model.id,
                    "provider_type": "openai",
                    "provider_name": "openai",
                    "model_type": "llm",
                    "model": model.id,
                    "model_endpoint_type": "openai",
                    "model_endpoint": "http://127.0.0.1:1/v1",
                    "provider_category": "base",
                    "context_window": model.context_window,
                    "max_context_window": model.context_window,
                    "put_inner_thoughts_in_kwargs": false,
                    "temperature": 1.0,
                    "max_tokens": 16384,
                    "enable_reasoner": true,
                    "max_reasoning_tokens": 0,
                    "parallel_tool_calls": false,
                })
            })
            .collect()
    }

    /// `GET /v1/models/embedding`.
    pub(super) fn embedding_models_json(&self) -> Value {
        self.config
            .llm
            .embedding_models
            .iter()
            .map(|model| {
                json!({
                    "handle": format!("openai/{model}"),
                    "name": model,
                    "display_name": model,
                    "provider_type": "openai",
                    "provider_name": "openai",
                    "model_type": "embedding",
                    "embedding_endpoint_type": "openai",
                    "embedding_endpoint": "http://127.0.0.1:1/v1",
                    "embedding_model": model,
                    "embedding_dim": 1536,
                    "embedding_chunk_size": 300,
                    "batch_size": 32,
                })
            })
            .collect()
    }

    /// `GET /v1/tools/`.
    pub(super) fn all_tools_json(&self) -> Value {
        self.tools
            .iter()
            .map(|tool| tool_json(tool, &self.tool_id(&tool.name)))
            .collect()
    }

    /// A tool's id: it depends on nothing but the seed and the name.
    pub(super) fn tool_id(&self, name: &str) -> String {
        self.ids.child(name).next("tool")
    }
}
