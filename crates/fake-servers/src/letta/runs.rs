//! `/v1/runs/…`.

use axum::extract::Path;
use axum::response::Response;
use letta_client::{AgentId, RunId};
use serde_json::Value;

use super::caller::{Caller, JsonBody};
use super::reply;

pub(super) async fn list(caller: Caller) -> Response {
    match caller.query.flag("active") {
        Ok(active) => listed(caller, active.unwrap_or(false)).await,
        Err(refused) => *refused,
    }
}

pub(super) async fn list_active(caller: Caller) -> Response {
    listed(caller, true).await
}

/// The server has `after` and `before` the wrong way round here: `after` gives the newer runs of a listing that begins
/// with the newest.
async fn listed(caller: Caller, active: bool) -> Response {
    let query = &caller.query;
    let agent = query
        .text("agent_id")
        .or_else(|| query.text("agent_ids"))
        .map(AgentId::from);
    let listed = caller
        .rest
        .list_runs(agent.as_ref(), active, Some(usize::MAX))
        .await;
    let mut runs = match listed {
        Ok(Value::Array(runs)) => runs,
        other => return reply::list(other, caller.wraps_lists),
    };
    let statuses: Vec<_> = query.all("statuses").collect();
    let conversation = query.text("conversation_id");
    runs.retain(|run| {
        let of_status = run["status"]
            .as_str()
            .is_some_and(|status| statuses.contains(&status));
        (statuses.is_empty() || of_status) && conversation.is_none_or(|id| run["conversation_id"] == id)
    });
    if query.text("order") == Some("asc") {
        runs.reverse();
    }
    match query
        .limit_between(1, 1000)
        .and_then(|()| query.page_with_swapped_cursors(runs, 100))
    {
        Ok(page) => reply::list(Ok(page.into()), caller.wraps_lists),
        Err(refused) => *refused,
    }
}

pub(super) async fn get(caller: Caller, Path(id): Path<String>) -> Response {
    reply::json(caller.rest.get_run(&RunId::new(id)).await)
}

pub(super) async fn messages(caller: Caller, Path(id): Path<String>) -> Response {
    let listed = caller.rest.list_run_messages(&RunId::new(id)).await;
    let mut messages = match listed {
        Ok(Value::Array(messages)) => messages,
        other => return reply::list(other, caller.wraps_lists),
    };
    if caller.query.text("order") == Some("desc") {
        messages.reverse();
    }
    match caller.query.page(messages, 100) {
        Ok(page) => reply::list(Ok(page.into()), caller.wraps_lists),
        Err(refused) => *refused,
    }
}

pub(super) async fn usage(caller: Caller, Path(id): Path<String>) -> Response {
    reply::json(caller.rest.get_run_usage(&RunId::new(id)).await)
}

pub(super) async fn stream(caller: Caller, Path(id): Path<String>, body: JsonBody) -> Response {
    match body.given() {
        Some(body) => reply::stream(caller.rest.stream_run(&RunId::new(id), &body).await),
        // The real server stumbles over its own default.
        None => reply::detail(500, "An unknown error occurred"),
    }
}
