//! Conversations.

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{
    call::{Call, Repeat},
    transport::Transport,
    wire::{List, timestamp},
};
use crate::{
    Result,
    types::{
        conversation::{Conversation, ConversationPage, ConversationQuery, NewConversation},
        id::{AgentId, ConversationId},
    },
};

#[derive(Deserialize)]
struct WireConversation {
    id: ConversationId,
    agent_id: AgentId,
    summary: Option<String>,
    #[serde(default, deserialize_with = "timestamp")]
    created_at: Option<Timestamp>,
}

impl From<WireConversation> for Conversation {
    fn from(wire: WireConversation) -> Self {
        Self {
            id: wire.id,
            agent: wire.agent_id,
            summary: wire.summary,
            created_at: wire.created_at,
        }
    }
}

pub(super) async fn create(
    transport: &Transport,
    agent: &AgentId,
    conversation: &NewConversation,
) -> Result<Conversation> {
    let body = match &conversation.summary {
        Some(summary) => json!({"summary": summary}),
        None => json!({}),
    };
    let call = Call::new(
        "start a conversation",
        Method::POST,
        ["conversations"],
        Repeat::OnlyIfUnsent,
    )
    .slash()
    .query("agent_id", agent.as_str())
    .body(body);
    transport
        .json::<WireConversation>(&call)
        .await
        .map(Conversation::from)
}

pub(super) async fn get(transport: &Transport, id: &ConversationId) -> Result<Conversation> {
    transport
        .json::<WireConversation>(&Call::get("get a conversation", ["conversations", id.as_str()]))
        .await
        .map(Conversation::from)
}

pub(super) async fn list(
    transport: &Transport,
    agent: &AgentId,
    query: &ConversationQuery,
) -> Result<ConversationPage> {
    let limit = query.limit.max(1);
    let call = Call::get("list conversations", ["conversations"])
        .slash()
        .query("agent_id", agent.as_str())
        .query("limit", limit.to_string())
        .query("order", "desc")
        .query_opt("after", query.after.as_ref().map(ConversationId::as_str));
    let List(conversations) = transport.json::<List<WireConversation>>(&call).await?;
    let is_full = u32::try_from(conversations.len()).is_ok_and(|count| count >= limit);
    let conversations: Vec<_> = conversations.into_iter().map(Conversation::from).collect();
    let next = conversations
        .last()
        .filter(|_| is_full)
        .map(|conversation| conversation.id.clone());
    Ok(ConversationPage { conversations, next })
}

pub(super) async fn delete(transport: &Transport, id: &ConversationId) -> Result<()> {
    let call = Call::new(
        "delete a conversation",
        Method::DELETE,
        ["conversations", id.as_str()],
        Repeat::Safe,
    );
    transport.delete(&call).await
}
