//! Agents, their tools and their messages.

use serde_json::{Value, json};

use super::{Answer, InConversation, Rest, Stretch};
use crate::{
    AgentId, LettaErrorKind,
    fake::{
        AgentSeed, Include, ListAgents, Refusal,
        body::{agent_update, new_agent, string},
        message::Part,
    },
};

impl Rest {
    /// `GET /v1/agents/`: an array.
    ///
    /// # Errors
    /// 500 for a negative limit.
    pub async fn list_agents(&self, query: &ListAgents) -> Answer {
        let arguments = json!({
            "limit": query.limit,
            "after": query.after,
            "name": query.name,
            "query_text": query.query_text,
            "tags": query.tags,
        });
        let passage = self.letta.enter("list_agents", None, arguments).await?;
        let listed = {
            let state = self.letta.state();
            state.list_agents(query).map(|agents| {
                let json = agents
                    .into_iter()
                    .map(|agent| state.agent_json(agent, query.include));
                json.collect::<Value>()
            })
        };
        passage.answer(listed)
    }

    /// `GET /v1/agents/count`: a number.
    ///
    /// # Errors
    /// Planned faults.
    pub async fn count_agents(&self) -> Answer {
        let passage = self.letta.enter("count_agents", None, Value::Null).await?;
        let count = self.letta.state().count_agents();
        passage.answer(Ok(json!(count)))
    }

    /// `GET /v1/agents/{id}`.
    ///
    /// # Errors
    /// 404, or 422 for an id that is none.
    pub async fn get_agent(&self, id: &AgentId, include: Include) -> Answer {
        let passage = self.letta.enter("get_agent", Some(id), Value::Null).await?;
        let found = {
            let state = self.letta.state();
            state.agent(id).map(|agent| state.agent_json(agent, include))
        };
        passage.answer(found)
    }

    /// `POST /v1/agents/`. With `enable_sleeptime` a second agent is made.
    ///
    /// # Errors
    /// 422 for a body that does not fit, 500 for a name that does not, 400 and 404 for the model.
    pub async fn create_agent(&self, body: &Value) -> Answer {
        let arguments =
            json!({ "name": body.get("name"), "model": body.get("model"), "tags": body.get("tags") });
        let passage = self.letta.enter("create_agent", None, arguments).await?;
        passage.answer(self.make_agent(body))
    }

    fn make_agent(&self, body: &Value) -> Answer {
        let (mut seed, name, sleeptime) = new_agent(body)?;
        let mut state = self.letta.state();
        if name.is_none() {
            seed.agent.name = format!("Agent {}", state.ids.next_uuid("name").as_fields().0 % 1000);
        }
        let helper = sleeptime.then(|| {
            let mut helper = seed.clone();
            helper.agent.name = format!("{}-sleeptime", seed.agent.name);
            helper.agent_type = Some("sleeptime_agent".to_owned());
            helper
        });
        let id = state.create_agent(seed)?;
        if let Some(helper) = helper {
            state.insert_agent(helper)?;
        }
        let agent = state.agent(&id)?;
        Ok(state.agent_json(agent, Include::ALL))
    }

    /// `PATCH /v1/agents/{id}`. Takes `hidden` and does nothing with it.
    ///
    /// # Errors
    /// 404, 422.
    pub async fn update_agent(&self, id: &AgentId, body: &Value) -> Answer {
        let arguments = json!({ "name": body.get("name"), "description": body.get("description"), "tags": body.get("tags") });
        let passage = self.letta.enter("update_agent", Some(id), arguments).await?;
        passage.answer(self.change_agent(id, body))
    }

    fn change_agent(&self, id: &AgentId, body: &Value) -> Answer {
        let update = agent_update(body)?;
        let mut state = self.letta.state();
        state.update_agent(id, &update)?;
        let model = body.as_object().and_then(|fields| string(fields, "model"));
        if let Some(handle) = &model {
            state.check_model(handle)?;
        }
        let agent = state.agent_mut(id)?;
        if let Some(handle) = model {
            agent.model = handle;
        }
        if let Some(system) = body.get("system").and_then(Value::as_str) {
            agent.system = Some(system.to_owned());
        }
        if let Some(metadata) = body.get("metadata").and_then(Value::as_object) {
            agent.metadata = Some(metadata.clone());
        }
        let agent = state.agent(id)?;
        Ok(state.agent_json(agent, Include::ALL))
    }

    /// `DELETE /v1/agents/{id}`.
    ///
    /// # Errors
    /// 404, 422.
    pub async fn delete_agent(&self, id: &AgentId) -> Answer {
        let passage = self.letta.enter("delete_agent", Some(id), Value::Null).await?;
        let deleted = self.letta.state().delete_agent(id);
        passage.answer(deleted.map(|()| json!({ "message": format!("Agent id={id} successfully deleted") })))
    }

    /// `GET /v1/agents/{id}/tools`.
    ///
    /// # Errors
    /// 404, 422.
    pub async fn list_agent_tools(&self, id: &AgentId) -> Answer {
        let passage = self
            .letta
            .enter("list_agent_tools", Some(id), Value::Null)
            .await?;
        let listed = {
            let state = self.letta.state();
            state.agent(id).map(|agent| json!(state.tools_json(agent)))
        };
        passage.answer(listed)
    }

    /// `PATCH /v1/agents/{id}/tools/approval/{tool}`: the agent.
    ///
    /// # Errors
    /// 404, 422.
    pub async fn set_tool_approval(&self, id: &AgentId, tool: &str, body: &Value) -> Answer {
        let required = body.get("requires_approval").and_then(Value::as_bool);
        let arguments = json!({ "tool": tool, "required": required });
        let passage = self.letta.enter("set_tool_approval", Some(id), arguments).await?;
        let set = match required {
            Some(required) => {
                let mut state = self.letta.state();
                match state.set_tool_approval(id, tool, required) {
                    Ok(()) => state.agent(id).map(|agent| state.agent_json(agent, Include::ALL)),
                    Err(refusal) => Err(refusal),
                }
            }
            None => Err(Refusal::detail(
                422,
                LettaErrorKind::InvalidRequest,
                "requires_approval must be provided either in request body or as query parameter",
            )),
        };
        passage.answer(set)
    }

    /// `PATCH /v1/agents/{id}/reset-messages`: the agent, with an empty context. The history stays.
    ///
    /// # Errors
    /// 404, 422.
    pub async fn reset_messages(&self, id: &AgentId) -> Answer {
        let passage = self.letta.enter("reset_messages", Some(id), Value::Null).await?;
        let reset = {
            let mut state = self.letta.state();
            state
                .reset_messages(id)
                .and_then(|()| state.agent(id).map(|agent| state.agent_json(agent, Include::ALL)))
        };
        passage.answer(reset)
    }

    /// `GET /v1/agents/{id}/messages`: an array, oldest first whatever the order asked for.
    ///
    /// # Errors
    /// 404 for the agent and for a cursor, 422.
    pub async fn list_agent_messages(
        &self,
        id: &AgentId,
        within: &InConversation,
        stretch: &Stretch,
    ) -> Answer {
        let arguments = json!({ "limit": stretch.limit, "before": stretch.before, "after": stretch.after });
        let passage = self.letta.enter("list_messages", Some(id), arguments).await?;
        let listed = {
            let state = self.letta.state();
            state
                .agent_messages(id, within, stretch)
                .map(|messages| parts_json(crate::fake::history::parts(&messages)))
        };
        passage.answer(listed)
    }

    /// `GET /v1/tools/`: all tools of the server.
    ///
    /// # Errors
    /// Planned faults.
    pub async fn list_tools(&self) -> Answer {
        let passage = self.letta.enter("list_tools", None, Value::Null).await?;
        let listed = self.letta.state().all_tools_json();
        passage.answer(Ok(listed))
    }

    /// `GET /v1/models/`.
    ///
    /// # Errors
    /// Planned faults.
    pub async fn list_models(&self) -> Answer {
        let passage = self.letta.enter("list_models", None, Value::Null).await?;
        let listed = self.letta.state().models_json();
        passage.answer(Ok(listed))
    }

    /// `GET /v1/models/embedding`.
    ///
    /// # Errors
    /// Planned faults.
    pub async fn list_embedding_models(&self) -> Answer {
        let passage = self
            .letta
            .enter("list_embedding_models", None, Value::Null)
            .await?;
        let listed = self.letta.state().embedding_models_json();
        passage.answer(Ok(listed))
    }

    /// `GET /v1/tags/`: all tags in use, sorted.
    ///
    /// # Errors
    /// Planned faults.
    pub async fn list_tags(&self) -> Answer {
        let passage = self.letta.enter("list_tags", None, Value::Null).await?;
        let mut tags: Vec<String> = {
            let state = self.letta.state();
            state.agents.iter().flat_map(|agent| agent.tags.clone()).collect()
        };
        tags.sort();
        tags.dedup();
        passage.answer(Ok(json!(tags)))
    }

    /// Puts an agent there without a request, in the JSON of `POST /v1/agents/` and optionally with its `id`. Any
    /// name is accepted. For the control of a served fake.
    ///
    /// # Errors
    /// 422 for a body or an id that does not fit.
    pub fn seed_agent(&self, body: &Value) -> Answer {
        let (mut seed, _, _): (AgentSeed, _, _) = new_agent(body)?;
        let mut state = self.letta.state();
        seed.id = body.get("id").and_then(Value::as_str).map(AgentId::from);
        if let Some(id) = &seed.id {
            state.check_agent_id(id)?;
        }
        if seed.agent.model.is_none() {
            seed.agent.model = state.config.models.first().cloned();
        }
        let id = state.insert_agent(seed)?;
        let agent = state.agent(&id)?;
        Ok(state.agent_json(agent, Include::ALL))
    }
}

/// Parts as an array.
pub(super) fn parts_json(parts: Vec<Part>) -> Value {
    parts.into_iter().map(|part| part.json(None)).collect()
}
