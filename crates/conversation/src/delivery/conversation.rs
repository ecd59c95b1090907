//! Which conversation of the agent a delivery belongs to.

use letta_client::{AgentId, AgentInclude, ConversationId, ConversationRef, LettaErrorKind, NewConversation};
use serde_json::json;

use super::{Deliverer, Interrupted, LETTA_PAUSE, Work, record::Task};

/// The kind of the records that say which conversation a lane has.
const CONVERSATION: &str = "conversation";

impl Work<'_> {
    /// The conversation that the delivery belongs to.
    pub(super) async fn conversation(&self) -> Result<ConversationRef, Interrupted> {
        self.deliverer
            .conversation_of(&self.delivery.of.agent_id, &self.delivery.of.lane)
            .await
    }

    /// Another conversation in place of one that is gone from Letta while its agent is still there, where people want
    /// to go on. `None`: that is not what is wrong.
    ///
    /// # Errors
    /// When the database is gone.
    pub(super) async fn conversation_anew(
        &mut self,
        gone: &ConversationRef,
    ) -> Result<Option<ConversationRef>, Interrupted> {
        if gone.conversation.is_none() || !matches!(self.record.task, Task::Message(_)) {
            return Ok(None);
        }
        if let Err(error) = self
            .deliverer
            .letta
            .get_agent(&gone.agent, AgentInclude::default())
            .await
        {
            tracing::debug!(%error, "neither the conversation nor its agent can be found");
            return Ok(None);
        }
        tracing::warn!(conversation = ?gone.conversation, "a conversation is gone from Letta: beginning another");
        let lane = self.delivery.of.lane.clone();
        let summary = match lane.split_once('|') {
            Some((_, key)) if !key.is_empty() => key,
            _ => self.delivery.of.room_id.as_str(),
        };
        let anew = self
            .deliverer
            .begin_conversation(&gone.agent, &lane, summary)
            .await?;
        let agent = &self.composer.agent_name;
        let text = format!("The conversation in this place is gone from Letta. {agent} begins a new one.");
        self.say_once("anew", &text).await;
        Ok(Some(anew))
    }
}

impl Deliverer {
    /// The conversation of a lane; one is begun for a lane that is to have one of its own and has none.
    pub(crate) async fn conversation_of(
        &self,
        agent: &AgentId,
        lane: &str,
    ) -> Result<ConversationRef, Interrupted> {
        let known = self
            .persist("a conversation", || self.store.get_record(CONVERSATION, lane))
            .await?;
        if let Some(known) = known {
            let id = known.get("conversation_id").and_then(serde_json::Value::as_str);
            return Ok(ConversationRef {
                agent: agent.clone(),
                conversation: id.map(ConversationId::new),
            });
        }
        let Some((_, key)) = lane.split_once('|').filter(|(_, key)| !key.is_empty()) else {
            return Ok(ConversationRef::agent(agent.clone()));
        };
        self.begin_conversation(agent, lane, key).await
    }

    /// Begins a conversation for a lane. If we are killed before it is written down, an empty one is left in Letta.
    pub(crate) async fn begin_conversation(
        &self,
        agent: &AgentId,
        lane: &str,
        summary: &str,
    ) -> Result<ConversationRef, Interrupted> {
        let new = NewConversation {
            summary: Some(format!("Matrix {summary}")),
        };
        let conversation = loop {
            match self.letta.create_conversation(agent, &new).await {
                Ok(conversation) => break Some(conversation.id),
                Err(error) if *error.kind() == LettaErrorKind::Unsupported => {
                    tracing::warn!(%error, "this Letta server has no conversations: all share the agent's own");
                    break None;
                }
                Err(error) if error.is_retryable() => {
                    tracing::debug!(%error, "no conversation could be begun: trying again");
                    tokio::time::sleep(error.retry_after().unwrap_or(LETTA_PAUSE)).await;
                }
                Err(error) => {
                    // What comes next fails for the same reason, and tells it.
                    tracing::debug!(%error, "no conversation could be begun");
                    return Ok(ConversationRef::agent(agent.clone()));
                }
            }
        };
        let record = json!({ "conversation_id": conversation });
        self.persist("a conversation", || {
            self.store
                .put_record(CONVERSATION, lane, Some(&record), &self.lease)
        })
        .await?;
        Ok(ConversationRef {
            agent: agent.clone(),
            conversation,
        })
    }
}
