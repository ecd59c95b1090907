//! Anthropic's messages API.

mod answer;
mod request;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method};
use letta_client::llm::{LlmModel, Outcome};
use serde_json::{Value, json};

use self::request::MessagesRequest;
use super::error::{ApiError, Dialect, failure};
use super::server::LlmServer;

const DIALECT: Dialect = Dialect::Anthropic;

/// The models, as `GET /v1/models` lists them to Anthropic's clients.
pub(super) fn models(models: &[LlmModel]) -> Response {
    let id = |model: Option<&LlmModel>| model.map(|model| model.id.clone());
    Json(json!({
        "data": models.iter().map(model).collect::<Vec<_>>(),
        "has_more": false, "first_id": id(models.first()), "last_id": id(models.last()),
    }))
    .into_response()
}

pub(super) fn model(model: &LlmModel) -> Value {
    json!({"type": "model", "id": model.id, "display_name": model.id, "created_at": "2026-01-01T00:00:00Z"})
}

pub(super) async fn messages(
    State(server): State<LlmServer>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return unreadable(&rejection),
    };
    let ticket = server.journal().received(uri.path(), &body);
    let response = match parse(&server, &headers, &body).and_then(|body| MessagesRequest::read(&body)) {
        Ok(request) => complete(&server, request).await,
        Err(error) => error.into_response(DIALECT),
    };
    server.journal().answered(ticket, &response);
    response
}

async fn complete(server: &LlmServer, request: MessagesRequest) -> Response {
    let completion = server.llm().plan(&request.llm);
    tokio::time::sleep(completion.delays.before_first_byte).await;
    match completion.outcome {
        Outcome::Answer(mut answer) => {
            if !request.thinking {
                answer.reasoning = None;
            }
            let head = answer::Head::new(server.next_response(), &request.llm.model);
            if request.stream {
                head.streamed(&answer, completion.delays)
            } else {
                head.plain(&answer)
            }
        }
        Outcome::Failure(planned) => failure(planned, DIALECT),
        _ => ApiError::new(500, "the engine planned what this server does not know").into_response(DIALECT),
    }
}

pub(super) async fn count_tokens(
    State(server): State<LlmServer>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return unreadable(&rejection),
    };
    let read = parse(&server, &headers, &body).and_then(|body| request::read_conversation(&body));
    match read {
        Ok(llm) if server.llm().model(&llm.model).is_none() => {
            ApiError::new(404, format!("model: {}", llm.model)).into_response(DIALECT)
        }
        Ok(llm) => Json(json!({"input_tokens": server.llm().count_tokens(&llm)})).into_response(),
        Err(error) => error.into_response(DIALECT),
    }
}

fn unreadable(rejection: &BytesRejection) -> Response {
    ApiError::new(rejection.status().as_u16(), rejection.body_text()).into_response(DIALECT)
}

fn parse(server: &LlmServer, headers: &HeaderMap, body: &[u8]) -> Result<Value, ApiError> {
    if !server.admits(headers) {
        return Err(ApiError::new(401, "invalid x-api-key"));
    }
    if !headers.contains_key("anthropic-version") {
        return Err(ApiError::invalid("anthropic-version: header is required"));
    }
    serde_json::from_slice(body)
        .map_err(|error| ApiError::invalid(format!("The request body is not valid JSON: {error}")))
}

pub(super) async fn wrong_method(method: Method) -> Response {
    ApiError::new(405, format!("Method {method} Not Allowed")).into_response(DIALECT)
}
