//! OpenAI's API: models, chat completions, embeddings.

mod answer;
mod embeddings;
mod request;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{OriginalUri, Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, Uri};
use letta_client::llm::Outcome;
use serde_json::{Value, json};

use self::request::ChatRequest;
use super::anthropic;
use super::error::{ApiError, Dialect, failure};
use super::server::{CREATED, LlmServer};

const DIALECT: Dialect = Dialect::OpenAi;

pub(super) async fn list_models(State(server): State<LlmServer>, headers: HeaderMap) -> Response {
    if let Err(error) = check_key(&server, &headers) {
        return error.into_response(dialect(&headers));
    }
    let models = &server.llm().config().models;
    if dialect(&headers) == Dialect::Anthropic {
        return anthropic::models(models);
    }
    let models: Vec<_> = models
        .iter()
        .map(|model| model_json(&model.id, Some(model.context_window)))
        .collect();
    Json(json!({"object": "list", "data": models})).into_response()
}

pub(super) async fn get_model(
    State(server): State<LlmServer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(error) = check_key(&server, &headers) {
        return error.into_response(dialect(&headers));
    }
    let llm = server.llm();
    match llm.model(&id) {
        Some(model) if dialect(&headers) == Dialect::Anthropic => {
            Json(anthropic::model(model)).into_response()
        }
        Some(model) => Json(model_json(&id, Some(model.context_window))).into_response(),
        None if llm.config().embedding_models.contains(&id) => Json(model_json(&id, None)).into_response(),
        None => ApiError::new(404, format!("The model '{id}' does not exist"))
            .param("model")
            .into_response(dialect(&headers)),
    }
}

/// `max_model_len` and `context_length` are what OpenAI-compatible servers add and clients look for.
fn model_json(id: &str, context_window: Option<u64>) -> Value {
    let mut model = json!({"id": id, "object": "model", "created": CREATED, "owned_by": "letta-matrix-fake"});
    if let Some(tokens) = context_window {
        model["max_model_len"] = tokens.into();
        model["context_length"] = tokens.into();
    }
    model
}

/// `/v1/models` is both providers'; only Anthropic's clients send `anthropic-version`.
fn dialect(headers: &HeaderMap) -> Dialect {
    if headers.contains_key("anthropic-version") {
        Dialect::Anthropic
    } else {
        Dialect::OpenAi
    }
}

pub(super) async fn chat(
    State(server): State<LlmServer>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let (ticket, parsed) = match receive(&server, &uri, &headers, body) {
        Ok((ticket, body)) => (ticket, body.and_then(|body| ChatRequest::read(&body))),
        Err(error) => return error.into_response(DIALECT),
    };
    let response = match parsed {
        Ok(request) => complete(&server, request).await,
        Err(error) => error.into_response(DIALECT),
    };
    server.journal().answered(ticket, &response);
    response
}

async fn complete(server: &LlmServer, request: ChatRequest) -> Response {
    let completion = server.llm().plan(&request.llm);
    tokio::time::sleep(completion.delays.before_first_byte).await;
    match completion.outcome {
        Outcome::Answer(answer) => {
            let head = answer::Head::new(server.next_response(), &request.llm.model);
            if request.stream {
                head.streamed(&answer, completion.delays, request.include_usage)
            } else {
                head.plain(&answer)
            }
        }
        Outcome::Failure(planned) => failure(planned, DIALECT),
        _ => ApiError::new(500, "the engine planned what this server does not know").into_response(DIALECT),
    }
}

pub(super) async fn embeddings(
    State(server): State<LlmServer>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let (ticket, parsed) = match receive(&server, &uri, &headers, body) {
        Ok(received) => received,
        Err(error) => return error.into_response(DIALECT),
    };
    let response = match parsed.and_then(|body| embeddings::answer(server.llm(), &body)) {
        Ok(body) => Json(body).into_response(),
        Err(error) => error.into_response(DIALECT),
    };
    server.journal().answered(ticket, &response);
    response
}

/// Notes the request in the journal; gives its number there, and its body as JSON.
fn receive(
    server: &LlmServer,
    uri: &Uri,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(u64, Result<Value, ApiError>), ApiError> {
    let body = body.map_err(|rejection| ApiError::new(rejection.status().as_u16(), rejection.body_text()))?;
    let ticket = server.journal().received(uri.path(), &body);
    let json = check_key(server, headers).and_then(|()| {
        serde_json::from_slice(&body).map_err(|error| {
            ApiError::invalid(format!(
                "We could not parse the JSON body of your request: {error}"
            ))
        })
    });
    Ok((ticket, json))
}

fn check_key(server: &LlmServer, headers: &HeaderMap) -> Result<(), ApiError> {
    if server.admits(headers) {
        return Ok(());
    }
    Err(ApiError::new(401, "Incorrect API key provided.").code("invalid_api_key"))
}

pub(super) async fn wrong_path(method: Method, uri: Uri) -> Response {
    ApiError::new(404, format!("Unknown request URL: {method} {}.", uri.path()))
        .code("unknown_url")
        .into_response(DIALECT)
}

pub(super) async fn wrong_method(method: Method, OriginalUri(uri): OriginalUri) -> Response {
    ApiError::new(405, format!("Not allowed to {method} on {}.", uri.path()))
        .code("method_not_supported")
        .into_response(DIALECT)
}
