//! An LLM provider over HTTP: OpenAI's chat completions, models and embeddings, and Anthropic's messages.
//!
//! What is answered is decided by the engine, [`letta_client::llm`]: by markers in the last user message, by a script,
//! or in character. This module speaks the two protocols, waits the delays and cuts the streams.
//!
//! | endpoint | what it is |
//! |---|---|
//! | `GET /v1/models`, `GET /v1/models/{id}` | the chat models; in Anthropic's shape when `anthropic-version` is sent. Embedding models are found by id, but not listed: Letta takes every listed model for a chat model |
//! | `POST /v1/chat/completions` | plain, or streamed with `"stream": true` |
//! | `POST /v1/embeddings` | `encoding_format` `float` or `base64`, `dimensions` |
//! | `POST /v1/messages` | Anthropic: plain, or streamed with `"stream": true`; thinking only when the request asks for it |
//! | `POST /v1/messages/count_tokens` | Anthropic: `{"input_tokens": N}` |
//! | `GET /_fake/health` | `{"status": "ok"}` |
//! | `GET /_fake/requests`, `DELETE /_fake/requests` | the journal: `{"requests": [{"number", "path", "body", "status"}], "forgotten": 0}` |
//! | `GET`, `PUT`, `POST /_fake/script` | the scripted replies that wait; replaces them; adds to them |
//! | `POST /_fake/reset` | forgets script, `[failonce]` tags and journal |
//!
//! The OpenAI paths work without `/v1` too. Not modelled: several choices (`n` above 1 is refused), log
//! probabilities, response formats, sampling parameters (all ignored), images and files (counted, not read),
//! Anthropic's server-side tools and prompt caching.

mod anthropic;
mod control;
mod error;
mod journal;
mod openai;
mod server;

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use letta_client::llm::Cut;
use tokio::net::TcpListener;

pub use self::journal::ReceivedRequest;
pub use self::server::LlmServer;
use crate::Served;
use crate::body::Step;
use crate::connections;

/// The largest request body that is read.
const LARGEST_BODY: usize = 64 * 1024 * 1024;

/// The provider as a router.
pub fn router(server: LlmServer) -> Router {
    let openai = Router::new()
        .route("/models", get(openai::list_models))
        .route("/models/{*id}", get(openai::get_model))
        .route("/chat/completions", post(openai::chat))
        .route("/embeddings", post(openai::embeddings))
        .method_not_allowed_fallback(openai::wrong_method);
    let anthropic = Router::new()
        .route("/messages", post(anthropic::messages))
        .route("/messages/count_tokens", post(anthropic::count_tokens))
        .method_not_allowed_fallback(anthropic::wrong_method);
    Router::new()
        .nest("/v1", openai.clone().merge(anthropic))
        .merge(openai)
        .nest("/_fake", control::router())
        .fallback(openai::wrong_path)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(server)
}

/// Serves the provider on `listener` until `shutdown` is ready; requests in flight have a second to finish.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    server: LlmServer,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    connections::serve(listener, router(server), shutdown).await
}

/// Serves the provider on a free port of 127.0.0.1.
///
/// # Errors
/// When the port cannot be bound.
pub async fn spawn(server: LlmServer) -> io::Result<Served> {
    Served::spawn(router(server)).await
}

/// Serves the provider at `address`.
///
/// # Errors
/// When the address cannot be bound.
pub async fn spawn_at(address: SocketAddr, server: LlmServer) -> io::Result<Served> {
    Served::spawn_at(address, router(server)).await
}

/// Ends the steps of a stream that is cut here.
fn cut(mut steps: Vec<Step>, how: Cut) -> Vec<Step> {
    // A stream that is cut silently just has no end mark.
    if how != Cut::Silent {
        steps.push(Step::Cut);
    }
    steps
}

#[cfg(test)]
mod tests;
