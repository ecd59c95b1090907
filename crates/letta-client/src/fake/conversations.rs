//! Conversations: contexts of their own.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    agent_json::date_time,
    ids::is_well_formed,
    refusal::{Refusal, row_not_found},
    state::State,
};
use crate::{AgentId, Conversation, ConversationId, LettaErrorKind};

/// A conversation as the server stores it.
#[derive(Debug, Clone)]
pub(super) struct ConversationRecord {
    pub(super) id: ConversationId,
    pub(super) agent: AgentId,
    pub(super) summary: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) last_message_at: Option<Timestamp>,
    /// Ids of the messages that the model still sees, oldest first.
    pub(super) context: Vec<String>,
}

impl From<&ConversationRecord> for Conversation {
    fn from(record: &ConversationRecord) -> Self {
        Self {
            id: record.id.clone(),
            agent: record.agent.clone(),
            summary: record.summary.clone(),
            created_at: Some(record.created_at),
        }
    }
}

impl ConversationRecord {
    /// The conversation as `GET /v1/conversations/{id}` answers.
    pub(super) fn json(&self) -> Value {
        json!({
            "created_by_id": "user-00000000-0000-4000-8000-000000000000",
            "last_updated_by_id": "user-00000000-0000-4000-8000-000000000000",
            "created_at": date_time(self.created_at),
            "updated_at": date_time(self.updated_at),
            "id": self.id,
            "agent_id": self.agent,
            "summary": self.summary,
            "in_context_message_ids": self.context,
            "isolated_block_ids": [],
            "model": null,
            "model_settings": null,
            "last_message_at": self.last_message_at.map(date_time),
        })
    }
}

impl State {
    fn check_conversation_id(&self, id: &ConversationId) -> Result<(), Refusal> {
        if self.config.lenient || is_well_formed("conv", id.as_str()) {
            return Ok(());
        }
        let pattern = "^conv-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$";
        let text = format!(
            "[{{'type': 'string_pattern_mismatch', 'loc': ('path', 'conversation_id'), 'msg': \"String should match \
             pattern '{pattern}'\", 'input': '{id}', 'ctx': {{'pattern': '{pattern}'}}}}]"
        );
        let body = json!({ "trace_id": "", "detail": text });
        Err(Refusal::with_body(
            422,
            LettaErrorKind::InvalidRequest,
            text,
            body,
        ))
    }

    pub(super) fn conversation(&self, id: &ConversationId) -> Result<&ConversationRecord, Refusal> {
        self.check_conversation_id(id)?;
        self.conversations
            .iter()
            .find(|conversation| conversation.id == *id)
            .ok_or_else(|| row_not_found("Conversation", id.as_str()))
    }

    pub(super) fn conversation_mut(&mut self, id: &ConversationId) -> Option<&mut ConversationRecord> {
        self.conversations
            .iter_mut()
            .find(|conversation| conversation.id == *id)
    }

    pub(super) fn create_conversation(
        &mut self,
        agent: &AgentId,
        summary: Option<String>,
    ) -> Result<&ConversationRecord, Refusal> {
        if self.agent(agent).is_err() {
            // This endpoint does not look at the form of the id.
            return Err(Refusal::detail(404, LettaErrorKind::NotFound, "Agent not found"));
        }
        let id = ConversationId::new(self.ids.next("conv"));
        let now = self.clock.now();
        self.conversations.push(ConversationRecord {
            id: id.clone(),
            agent: agent.clone(),
            summary,
            created_at: now,
            updated_at: now,
            last_message_at: None,
            context: Vec::new(),
        });
        self.save_system_message(agent, Some(&id))?;
        self.conversation(&id)
    }

    /// An agent's conversations, newest first. A cursor that does not exist is ignored.
    pub(super) fn list_conversations(
        &self,
        agent: Option<&AgentId>,
        limit: usize,
        after: Option<&str>,
    ) -> Vec<&ConversationRecord> {
        let cursor = after.and_then(|after| {
            self.conversations
                .iter()
                .find(|conversation| conversation.id.as_str() == after)
        });
        let mut found: Vec<_> = self
            .conversations
            .iter()
            .filter(|conversation| agent.is_none_or(|agent| conversation.agent == *agent))
            .filter(|conversation| cursor.is_none_or(|cursor| conversation.created_at < cursor.created_at))
            .collect();
        found.sort_by_key(|conversation| std::cmp::Reverse(conversation.created_at));
        found.truncate(limit);
        found
    }

    pub(super) fn update_conversation(
        &mut self,
        id: &ConversationId,
        summary: Option<String>,
    ) -> Result<&ConversationRecord, Refusal> {
        self.conversation(id)?;
        let now = self.clock.now();
        if let Some(conversation) = self.conversation_mut(id) {
            if summary.is_some() {
                conversation.summary = summary;
            }
            conversation.updated_at = now;
        }
        self.conversation(id)
    }

    /// Deletes a conversation; what was said in it leaves the agent's history too.
    pub(super) fn delete_conversation(&mut self, id: &ConversationId) -> Result<(), Refusal> {
        self.conversation(id)?;
        self.conversations.retain(|conversation| conversation.id != *id);
        self.messages
            .retain(|message| message.conversation.as_ref() != Some(id));
        Ok(())
    }
}
