//! `/v1/agents/…`, and the listings of tools, tags and models.

use axum::extract::Path;
use axum::response::Response;
use letta_client::fake::rest::{InConversation, Target, TurnRequest};
use letta_client::{AgentId, ConversationId, RunId};
use serde_json::Value;

use super::caller::{Caller, JsonBody};
use super::reply;

pub(super) async fn list(caller: Caller) -> Response {
    let query = match caller.query.list_agents(!caller.is_current) {
        Ok(query) => query,
        Err(refused) => return *refused,
    };
    reply::list(caller.rest.list_agents(&query).await, caller.wraps_lists)
}

pub(super) async fn count(caller: Caller) -> Response {
    reply::json(caller.rest.count_agents().await)
}

pub(super) async fn create(caller: Caller, body: JsonBody) -> Response {
    match body.required() {
        Ok(body) => reply::json(caller.rest.create_agent(&body).await),
        Err(refused) => *refused,
    }
}

pub(super) async fn get(caller: Caller, Path(id): Path<String>) -> Response {
    let include = caller.query.include(!caller.is_current);
    reply::json(caller.rest.get_agent(&AgentId::new(id), include).await)
}

pub(super) async fn update(caller: Caller, Path(id): Path<String>, body: JsonBody) -> Response {
    match body.required() {
        Ok(body) => reply::json(caller.rest.update_agent(&AgentId::new(id), &body).await),
        Err(refused) => *refused,
    }
}

pub(super) async fn delete(caller: Caller, Path(id): Path<String>) -> Response {
    reply::json(caller.rest.delete_agent(&AgentId::new(id)).await)
}

/// The server's cursors compare ids, whatever the order of the listing.
pub(super) async fn tools(caller: Caller, Path(id): Path<String>) -> Response {
    let limit = match caller.query.limit() {
        Ok(limit) => limit.unwrap_or(10),
        Err(refused) => return *refused,
    };
    let mut listed = caller.rest.list_agent_tools(&AgentId::new(id)).await;
    if let Ok(Value::Array(tools)) = &mut listed {
        let (after, before) = (caller.query.text("after"), caller.query.text("before"));
        tools.retain(|tool| {
            let id = tool["id"].as_str().unwrap_or_default();
            after.is_none_or(|after| id > after) && before.is_none_or(|before| id < before)
        });
        tools.truncate(limit);
    }
    reply::list(listed, caller.wraps_lists)
}

/// Answers the agent, and current clients `null`.
pub(super) async fn set_tool_approval(
    caller: Caller,
    Path((id, tool)): Path<(String, String)>,
    body: JsonBody,
) -> Response {
    let mut body = body.optional();
    // Older clients say it in the query.
    match caller.query.flag("requires_approval") {
        Ok(Some(required)) if body.get("requires_approval").is_none() => {
            body["requires_approval"] = required.into();
        }
        Ok(_) => {}
        Err(refused) => return *refused,
    }
    if body.get("requires_approval").is_none_or(Value::is_null) && caller.is_current {
        let error =
            "{'type': 'missing', 'loc': ('body', 'requires_approval'), 'msg': 'Field required', 'input': {}}";
        return reply::unprocessable(error);
    }
    let set = caller
        .rest
        .set_tool_approval(&AgentId::new(id), &tool, &body)
        .await;
    reply::json(set.map(|agent| if caller.is_current { Value::Null } else { agent }))
}

pub(super) async fn reset_messages(caller: Caller, Path(id): Path<String>) -> Response {
    reply::json(caller.rest.reset_messages(&AgentId::new(id)).await)
}

pub(super) async fn messages(caller: Caller, Path(id): Path<String>) -> Response {
    let stretch = match caller.query.stretch() {
        Ok(stretch) => stretch,
        Err(refused) => return *refused,
    };
    let within = match caller.query.text("conversation_id") {
        None => InConversation::Any,
        Some("default") => InConversation::Default,
        Some(id) => InConversation::Of(ConversationId::new(id)),
    };
    let listed = caller
        .rest
        .list_agent_messages(&AgentId::new(id), &within, &stretch)
        .await;
    reply::list(listed, caller.wraps_lists)
}

pub(super) async fn send(caller: Caller, Path(id): Path<String>, body: JsonBody) -> Response {
    let body = match body.required() {
        Ok(body) => body,
        Err(refused) => return *refused,
    };
    if !caller.is_current && body.get("streaming").and_then(Value::as_bool) == Some(true) {
        return reply::detail(422, "streaming=true is only supported for SDK v1.0+ clients.");
    }
    start(&caller, Target::Agent(AgentId::new(id)), &body, false).await
}

pub(super) async fn send_stream(caller: Caller, Path(id): Path<String>, body: JsonBody) -> Response {
    let mut body = match body.required() {
        Ok(body) => body,
        Err(refused) => return *refused,
    };
    if let Some(fields) = body.as_object_mut() {
        fields.insert("streaming".to_owned(), true.into());
    }
    start(&caller, Target::Agent(AgentId::new(id)), &body, true).await
}

/// Sends what the body says. `streams` is what happens when it does not say whether it wants a stream.
pub(super) async fn start(caller: &Caller, target: Target, body: &Value, streams: bool) -> Response {
    match TurnRequest::from_body(body, streams) {
        Ok(request) => reply::sent(caller.rest.send(&target, request).await),
        Err(refusal) => reply::refused(&refusal),
    }
}

pub(super) async fn send_async(caller: Caller, Path(id): Path<String>, body: JsonBody) -> Response {
    let body = match body.required() {
        Ok(body) => body,
        Err(refused) => return *refused,
    };
    match TurnRequest::from_body(&body, false) {
        Ok(request) => reply::json(caller.rest.send_async(&AgentId::new(id), request).await),
        Err(refusal) => reply::refused(&refusal),
    }
}

pub(super) async fn cancel(caller: Caller, Path(id): Path<String>, body: JsonBody) -> Response {
    let body = body.optional();
    let runs = body
        .get("run_ids")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let runs: Vec<_> = runs.iter().filter_map(Value::as_str).map(RunId::from).collect();
    reply::json(caller.rest.cancel_agent(&AgentId::new(id), &runs).await)
}

pub(super) async fn all_tools(caller: Caller) -> Response {
    let mut tools = match caller.rest.list_tools().await {
        Ok(Value::Array(tools)) => tools,
        other => return reply::list(other, caller.wraps_lists),
    };
    let query = &caller.query;
    let names: Vec<_> = query.all("name").chain(query.all("names")).collect();
    let search = query.text("search").map(str::to_lowercase);
    tools.retain(|tool| {
        let name = tool["name"].as_str().unwrap_or_default();
        (names.is_empty() || names.contains(&name))
            && search
                .as_ref()
                .is_none_or(|search| name.to_lowercase().contains(search))
    });
    match query.page(tools, 50) {
        Ok(page) => reply::list(Ok(page.into()), caller.wraps_lists),
        Err(refused) => *refused,
    }
}

pub(super) async fn tags(caller: Caller) -> Response {
    let limit = match caller.query.limit() {
        Ok(limit) => limit,
        Err(refused) => return *refused,
    };
    let mut listed = caller.rest.list_tags().await;
    if let (Ok(Value::Array(tags)), Some(limit)) = (&mut listed, limit) {
        tags.truncate(limit);
    }
    reply::list(listed, caller.wraps_lists)
}

pub(super) async fn models(caller: Caller) -> Response {
    reply::list(caller.rest.list_models().await, caller.wraps_lists)
}

pub(super) async fn embedding_models(caller: Caller) -> Response {
    reply::list(caller.rest.list_embedding_models().await, caller.wraps_lists)
}
