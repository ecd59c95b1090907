//! `/v1/conversations/…`. In place of a conversation's id, `default` with an `agent_id`, or an agent's id, is that
//! agent's default conversation.

use axum::extract::Path;
use axum::response::Response;
use letta_client::fake::rest::{InConversation, Target};
use letta_client::{AgentId, ConversationId};
use serde_json::Value;

use super::agents::start;
use super::caller::{Caller, JsonBody};
use super::reply;

/// What the id in a path names.
enum Named {
    Conversation(ConversationId),
    DefaultOf(AgentId),
    /// `default`, of nobody knows whom.
    Nothing,
}

/// Reads the id in the path; `agent` is what the request says beside it.
fn named(id: String, agent: Option<&str>) -> Named {
    match (id.as_str(), agent) {
        ("default", Some(agent)) => Named::DefaultOf(AgentId::from(agent)),
        ("default", None) => Named::Nothing,
        (id, _) if id.starts_with("agent-") => Named::DefaultOf(AgentId::from(id)),
        _ => Named::Conversation(ConversationId::new(id)),
    }
}

/// The server looks for a conversation of this name.
fn no_default() -> Response {
    reply::detail(404, "Conversation not found with id='['default']'")
}

pub(super) async fn create(caller: Caller, body: JsonBody) -> Response {
    match caller.query.required("agent_id") {
        Ok(agent) => reply::json(
            caller
                .rest
                .create_conversation(&AgentId::from(agent), &body.optional())
                .await,
        ),
        Err(refused) => *refused,
    }
}

pub(super) async fn list(caller: Caller) -> Response {
    let limit = match caller.query.limit() {
        Ok(limit) => limit,
        Err(refused) => return *refused,
    };
    let agent = caller.query.text("agent_id").map(AgentId::from);
    let listed = caller
        .rest
        .list_conversations(agent.as_ref(), limit, caller.query.text("after"))
        .await;
    reply::list(listed, caller.wraps_lists)
}

pub(super) async fn get(caller: Caller, Path(id): Path<String>) -> Response {
    reply::json(caller.rest.get_conversation(&ConversationId::new(id)).await)
}

pub(super) async fn update(caller: Caller, Path(id): Path<String>, body: JsonBody) -> Response {
    reply::json(
        caller
            .rest
            .update_conversation(&ConversationId::new(id), &body.optional())
            .await,
    )
}

pub(super) async fn delete(caller: Caller, Path(id): Path<String>) -> Response {
    reply::json(caller.rest.delete_conversation(&ConversationId::new(id)).await)
}

pub(super) async fn messages(caller: Caller, Path(id): Path<String>) -> Response {
    let stretch = match caller.query.stretch() {
        Ok(stretch) => stretch,
        Err(refused) => return *refused,
    };
    let listed = match named(id, caller.query.text("agent_id")) {
        Named::Conversation(id) => caller.rest.list_conversation_messages(&id, &stretch).await,
        Named::DefaultOf(agent) => {
            let listed = caller
                .rest
                .list_agent_messages(&agent, &InConversation::Default, &stretch)
                .await;
            // An agent's messages come oldest first; a conversation's come newest first unless the oldest are wanted.
            if stretch.oldest {
                listed
            } else {
                listed.map(newest_first)
            }
        }
        Named::Nothing => Ok(Value::Array(Vec::new())),
    };
    reply::list(listed, caller.wraps_lists)
}

/// The messages in the other order; the parts of one message, which share its id, stay in theirs.
fn newest_first(parts: Value) -> Value {
    let Value::Array(parts) = parts else { return parts };
    let messages: Vec<&[Value]> = parts.chunk_by(|one, next| one["id"] == next["id"]).collect();
    messages.into_iter().rev().flatten().cloned().collect()
}

pub(super) async fn send(caller: Caller, Path(id): Path<String>, body: JsonBody) -> Response {
    let body = match body.required() {
        Ok(body) => body,
        Err(refused) => return *refused,
    };
    let target = match named(id, body.get("agent_id").and_then(Value::as_str)) {
        Named::Conversation(id) => Target::Conversation(id),
        Named::DefaultOf(agent) => Target::LockedAgent(agent),
        Named::Nothing => return no_default(),
    };
    start(&caller, target, &body, true).await
}

pub(super) async fn stream(caller: Caller, Path(id): Path<String>, body: JsonBody) -> Response {
    let mut body = body.optional();
    let joined = match named(id, body.get("agent_id").and_then(Value::as_str)) {
        Named::Conversation(id) => caller.rest.stream_conversation(Some(&id), &body).await,
        Named::DefaultOf(agent) => {
            if let Some(fields) = body.as_object_mut() {
                fields.insert("agent_id".to_owned(), agent.as_str().into());
            }
            caller.rest.stream_conversation(None, &body).await
        }
        Named::Nothing => return no_default(),
    };
    reply::stream(joined)
}

pub(super) async fn cancel(caller: Caller, Path(id): Path<String>) -> Response {
    reply::json(match named(id, caller.query.text("agent_id")) {
        Named::Conversation(id) => caller.rest.cancel_conversation(&id).await,
        Named::DefaultOf(agent) => caller.rest.cancel_agent(&agent, &[]).await,
        Named::Nothing => return no_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_parts_of_a_message_stay_in_order() {
        let parts = json!([{"id": "1"}, {"id": "2", "n": 1}, {"id": "2", "n": 2}, {"id": "3"}]);
        assert_eq!(
            newest_first(parts),
            json!([{"id": "3"}, {"id": "2", "n": 1}, {"id": "2", "n": 2}, {"id": "1"}])
        );
    }
}
