//! Conversations, and what was said in them.

use serde_json::{Value, json};

use super::{Answer, Rest, Stretch, agents::parts_json};
use crate::{AgentId, ConversationId, fake::conversations::ConversationRecord};

impl Rest {
    /// `POST /v1/conversations/?agent_id=…`.
    ///
    /// # Errors
    /// 404 for the agent, also when its id is none.
    pub async fn create_conversation(&self, agent: &AgentId, body: &Value) -> Answer {
        let summary = body.get("summary").and_then(Value::as_str).map(ToOwned::to_owned);
        let arguments = json!({ "summary": summary });
        let passage = self
            .letta
            .enter("create_conversation", Some(agent), arguments)
            .await?;
        let created = {
            let mut state = self.letta.state();
            // The answer is written before the conversation gets its first message.
            state.create_conversation(agent, summary).map(|conversation| {
                let mut json = conversation.json();
                json["in_context_message_ids"] = json!([]);
                json
            })
        };
        passage.answer(created)
    }

    /// `GET /v1/conversations/{id}`.
    ///
    /// # Errors
    /// 404, 422.
    pub async fn get_conversation(&self, id: &ConversationId) -> Answer {
        let agent = self.agent_of(id);
        let arguments = json!({ "conversation": id });
        let passage = self
            .letta
            .enter("get_conversation", agent.as_ref(), arguments)
            .await?;
        let found = self.letta.state().conversation(id).map(ConversationRecord::json);
        passage.answer(found)
    }

    /// `GET /v1/conversations/`: an array, newest first.
    ///
    /// # Errors
    /// Planned faults.
    pub async fn list_conversations(
        &self,
        agent: Option<&AgentId>,
        limit: Option<usize>,
        after: Option<&str>,
    ) -> Answer {
        let arguments = json!({ "limit": limit, "after": after });
        let passage = self.letta.enter("list_conversations", agent, arguments).await?;
        let listed = {
            let state = self.letta.state();
            let found = state.list_conversations(agent, limit.unwrap_or(50), after);
            found.into_iter().map(ConversationRecord::json).collect::<Value>()
        };
        passage.answer(Ok(listed))
    }

    /// `PATCH /v1/conversations/{id}`.
    ///
    /// # Errors
    /// 404, 422.
    pub async fn update_conversation(&self, id: &ConversationId, body: &Value) -> Answer {
        let agent = self.agent_of(id);
        let passage = self
            .letta
            .enter(
                "update_conversation",
                agent.as_ref(),
                json!({ "conversation": id }),
            )
            .await?;
        let summary = body.get("summary").and_then(Value::as_str).map(ToOwned::to_owned);
        let updated = {
            let mut state = self.letta.state();
            state
                .update_conversation(id, summary)
                .map(ConversationRecord::json)
        };
        passage.answer(updated)
    }

    /// `DELETE /v1/conversations/{id}`: `null`.
    ///
    /// # Errors
    /// 404, 422.
    pub async fn delete_conversation(&self, id: &ConversationId) -> Answer {
        let agent = self.agent_of(id);
        let passage = self
            .letta
            .enter(
                "delete_conversation",
                agent.as_ref(),
                json!({ "conversation": id }),
            )
            .await?;
        let deleted = self.letta.state().delete_conversation(id);
        passage.answer(deleted.map(|()| Value::Null))
    }

    /// `GET /v1/conversations/{id}/messages`: an array, newest first unless the stretch is the oldest. What does not
    /// exist has no messages.
    ///
    /// # Errors
    /// Planned faults.
    pub async fn list_conversation_messages(&self, id: &ConversationId, stretch: &Stretch) -> Answer {
        let agent = self.agent_of(id);
        let arguments = json!({
            "conversation": id,
            "limit": stretch.limit,
            "before": stretch.before,
            "after": stretch.after,
        });
        let passage = self
            .letta
            .enter("list_messages", agent.as_ref(), arguments)
            .await?;
        let listed = {
            let state = self.letta.state();
            let mut messages = state.conversation_messages(id, stretch);
            if !stretch.oldest {
                messages.reverse();
            }
            parts_json(crate::fake::history::parts(&messages))
        };
        passage.answer(Ok(listed))
    }

    /// The agent of a conversation, for the plan of faults and the journal.
    pub(super) fn agent_of(&self, id: &ConversationId) -> Option<AgentId> {
        let state = self.letta.state();
        state
            .conversation(id)
            .ok()
            .map(|conversation| conversation.agent.clone())
    }
}
