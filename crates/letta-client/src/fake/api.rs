//! The trait, on the model.

use async_trait::async_trait;
use serde_json::json;

use super::{
    FakeLetta, Include, ListAgents, Refusal,
    agents::{AgentSeed, next_cursor},
};
use crate::{
    Agent, AgentId, AgentInclude, AgentPage, AgentQuery, AgentUpdate, ApprovalDecision, CancelOutcome,
    Conversation, ConversationId, ConversationPage, ConversationQuery, ConversationRef, Health, HistoryPage,
    HistoryQuery, LettaApi, LettaErrorKind, NewAgent, NewConversation, Result, ResumeToken, Run, RunId,
    RunQuery, TurnInput, TurnOptions, TurnStream,
};

#[async_trait]
impl LettaApi for FakeLetta {
    async fn health(&self) -> Result<Health> {
        let passage = self.enter("health", None, json!({})).await?;
        let health = Health {
            version: self.state().config.version.clone(),
            status: "ok".to_owned(),
        };
        Ok(passage.answer(Ok(health))?)
    }

    async fn list_agents(&self, query: &AgentQuery) -> Result<AgentPage> {
        let arguments = json!({
            "limit": query.limit,
            "after": query.after.as_ref().map(crate::AgentCursor::as_str),
            "name": query.name,
            "query_text": query.query_text,
            "tags": query.tags,
        });
        let passage = self.enter("list_agents", None, arguments).await?;
        let page = {
            let state = self.state();
            state
                .list_agents(&ListAgents::from(query))
                .map(|records| AgentPage {
                    next: next_cursor(&records, query.limit),
                    agents: records
                        .into_iter()
                        .map(|record| state.view_agent(record, query.include.into()))
                        .collect(),
                })
        };
        Ok(passage.answer(page)?)
    }

    async fn count_agents(&self) -> Result<u64> {
        let passage = self.enter("count_agents", None, json!({})).await?;
        let count = self.state().agents.len();
        Ok(passage.answer(Ok(count.try_into().unwrap_or(u64::MAX)))?)
    }

    async fn get_agent(&self, id: &AgentId, include: AgentInclude) -> Result<Agent> {
        let passage = self.enter("get_agent", Some(id), json!({})).await?;
        let agent = {
            let state = self.state();
            state
                .agent(id)
                .map(|record| state.view_agent(record, include.into()))
        };
        Ok(passage.answer(agent)?)
    }

    async fn create_agent(&self, agent: &NewAgent) -> Result<Agent> {
        let arguments = json!({ "name": agent.name, "model": agent.model, "tags": agent.tags });
        let passage = self.enter("create_agent", None, arguments).await?;
        let created = {
            let mut state = self.state();
            state.create_agent(AgentSeed::from(agent.clone())).and_then(|id| {
                state
                    .agent(&id)
                    .map(|record| state.view_agent(record, Include::ALL))
            })
        };
        Ok(passage.answer(created)?)
    }

    async fn update_agent(&self, id: &AgentId, update: &AgentUpdate) -> Result<Agent> {
        let arguments =
            json!({ "name": update.name, "description": update.description, "tags": update.tags });
        let passage = self.enter("update_agent", Some(id), arguments).await?;
        let updated = {
            let mut state = self.state();
            state
                .update_agent(id, update)
                .cloned()
                .map(|record| state.view_agent(&record, Include::ALL))
        };
        Ok(passage.answer(updated)?)
    }

    async fn delete_agent(&self, id: &AgentId) -> Result<()> {
        let passage = self.enter("delete_agent", Some(id), json!({})).await?;
        let deleted = self.state().delete_agent(id);
        Ok(passage.answer(deleted)?)
    }

    async fn set_tool_approval(&self, id: &AgentId, tool: &str, required: bool) -> Result<()> {
        let arguments = json!({ "tool": tool, "required": required });
        let passage = self.enter("set_tool_approval", Some(id), arguments).await?;
        Ok(passage.answer(Err(unsupported()))?)
    }

    async fn create_conversation(&self, agent: &AgentId, _: &NewConversation) -> Result<Conversation> {
        let passage = self.enter("create_conversation", Some(agent), json!({})).await?;
        Ok(passage.answer(Err(unsupported()))?)
    }

    async fn get_conversation(&self, _: &ConversationId) -> Result<Conversation> {
        let passage = self.enter("get_conversation", None, json!({})).await?;
        Ok(passage.answer(Err(unsupported()))?)
    }

    async fn list_conversations(&self, agent: &AgentId, _: &ConversationQuery) -> Result<ConversationPage> {
        let passage = self.enter("list_conversations", Some(agent), json!({})).await?;
        Ok(passage.answer(Err(unsupported()))?)
    }

    async fn delete_conversation(&self, _: &ConversationId) -> Result<()> {
        let passage = self.enter("delete_conversation", None, json!({})).await?;
        Ok(passage.answer(Err(unsupported()))?)
    }

    async fn send(&self, to: &ConversationRef, _: &TurnInput, _: &TurnOptions) -> Result<TurnStream> {
        let passage = self.enter("send", Some(&to.agent), json!({})).await?;
        let _ = passage.break_stream_after;
        Ok(passage.answer(Err(unsupported()))?)
    }

    async fn decide(
        &self,
        to: &ConversationRef,
        _: &[ApprovalDecision],
        _: &TurnOptions,
    ) -> Result<TurnStream> {
        let passage = self.enter("decide", Some(&to.agent), json!({})).await?;
        Ok(passage.answer(Err(unsupported()))?)
    }

    async fn resume(&self, _: &ResumeToken) -> Result<TurnStream> {
        let passage = self.enter("resume", None, json!({})).await?;
        Ok(passage.answer(Err(unsupported()))?)
    }

    async fn cancel<'a>(&self, at: &ConversationRef, _: Option<&'a RunId>) -> Result<CancelOutcome> {
        let passage = self.enter("cancel", Some(&at.agent), json!({})).await?;
        Ok(passage.answer(Err(unsupported()))?)
    }

    async fn get_run(&self, _: &RunId) -> Result<Run> {
        let passage = self.enter("get_run", None, json!({})).await?;
        Ok(passage.answer(Err(unsupported()))?)
    }

    async fn list_runs(&self, agent: &AgentId, _: &RunQuery) -> Result<Vec<Run>> {
        let passage = self.enter("list_runs", Some(agent), json!({})).await?;
        Ok(passage.answer(Err(unsupported()))?)
    }

    async fn list_messages(&self, of: &ConversationRef, _: &HistoryQuery) -> Result<HistoryPage> {
        let passage = self.enter("list_messages", Some(&of.agent), json!({})).await?;
        Ok(passage.answer(Err(unsupported()))?)
    }
}

fn unsupported() -> Refusal {
    Refusal::of_kind(LettaErrorKind::Unsupported, None)
}
