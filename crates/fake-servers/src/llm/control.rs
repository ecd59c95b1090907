//! `/_fake/…`: how a test in another process steers the provider.

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use letta_client::llm::ScriptedReply;
use serde_json::json;

use super::LlmServer;

pub(super) fn router() -> Router<LlmServer> {
    Router::new()
        .route("/health", get(health))
        .route("/requests", get(requests).delete(forget_requests))
        .route("/script", get(script).put(replace_script).post(add_to_script))
        .route("/reset", post(reset))
}

async fn health() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

async fn requests(State(server): State<LlmServer>) -> Response {
    let (requests, forgotten) = server.journal().entries();
    Json(json!({"requests": requests, "forgotten": forgotten})).into_response()
}

async fn forget_requests(State(server): State<LlmServer>) -> StatusCode {
    server.forget_requests();
    StatusCode::NO_CONTENT
}

async fn reset(State(server): State<LlmServer>) -> StatusCode {
    server.reset();
    StatusCode::NO_CONTENT
}

async fn script(State(server): State<LlmServer>) -> Response {
    Json(server.llm().unused_script()).into_response()
}

type ScriptBody = Result<Json<Vec<ScriptedReply>>, JsonRejection>;

async fn replace_script(State(server): State<LlmServer>, body: ScriptBody) -> Response {
    read_script(body, |replies| server.llm().set_script(replies))
}

async fn add_to_script(State(server): State<LlmServer>, body: ScriptBody) -> Response {
    read_script(body, |replies| {
        replies
            .into_iter()
            .for_each(|reply| server.llm().push_script(reply));
    })
}

fn read_script(body: ScriptBody, take: impl FnOnce(Vec<ScriptedReply>)) -> Response {
    match body {
        Ok(Json(replies)) => {
            take(replies);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(rejection) => {
            let error = json!({"error": {"message": rejection.body_text()}});
            (StatusCode::BAD_REQUEST, Json(error)).into_response()
        }
    }
}
