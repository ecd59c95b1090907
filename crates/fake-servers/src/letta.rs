//! A Letta server over HTTP: the REST API `v1` of Letta 0.16.8 on a [`FakeLetta`].
//!
//! What happens is decided by the fake; see there for what is modelled. This module speaks HTTP as the real server
//! does: paths with and without the slash at their end (307), statuses and the four shapes of error bodies, arrays,
//! server-sent events, the difference that the client's version makes.
//!
//! An endpoint that the real server has and the fake does not model answers 501 and says so; what the real server does
//! not have either answers its 404 or 405.
//!
//! Faults of the network ([`FakeLetta::plan_wire`]) happen here: a proxy's HTML page, half a body, a redirection, a
//! body without end, a cut stream, a silent server. Refusals without a status ([`FakeLetta::plan`], `down`, `crash`)
//! become a closed connection, or one that stays silent when the fault is a timeout.
//!
//! | endpoint | what it does |
//! |---|---|
//! | `GET /_fake/health` | `{"status": "ok"}` |
//! | `POST /_fake/agents` | puts an agent there, in the JSON of `POST /v1/agents/` plus an optional `id`; any name |
//! | `POST /_fake/tools` | registers a tool: `{"name", "output" or "error", "description", "parameters", "requires_approval", "takes"}` |
//! | `POST /_fake/script` | queues replies of an agent's model: `{"agent", "replies": […]}`, see [`ScriptedReply`] |
//! | `GET`, `POST`, `DELETE /_fake/faults` | lists those that did not strike; plans one or a list of [`Fault`]s; forgets all |
//! | `POST /_fake/wire-faults` | plans `{"method", "path", "times", "fault"}`, see [`WireFault`]; no `times` is once, `null` is always |
//! | `GET`, `DELETE /_fake/calls` | the journal |
//! | `POST /_fake/down`, `up`, `crash`, `restart` | takes the server off the network, brings it back |
//! | `PUT /_fake/options` | `{"wrapped_lists": true}`: listings come as `{"data": […]}` |
//!
//! [`Fault`]: letta_client::fake::Fault
//! [`WireFault`]: letta_client::fake::WireFault
//! [`ScriptedReply`]: letta_client::llm::ScriptedReply

mod agents;
mod beyond;
mod caller;
mod control;
mod conversations;
mod query;
mod reply;
mod runs;
mod server;
mod wire;

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, patch, post};
#[cfg(doc)]
use letta_client::fake::FakeLetta;
use tokio::net::TcpListener;

pub use self::server::LettaServer;
use crate::Served;
use crate::connections;

/// The largest request body that is read.
const LARGEST_BODY: usize = 64 * 1024 * 1024;

/// The server as a router.
pub fn router(server: LettaServer) -> Router {
    let v1 = Router::new()
        .route("/v1/health/", get(beyond::health))
        .route("/v1/ready/", get(beyond::health))
        .route("/v1/agents/", get(agents::list).post(agents::create))
        .route("/v1/agents/count", get(agents::count))
        .route(
            "/v1/agents/{id}",
            get(agents::get).patch(agents::update).delete(agents::delete),
        )
        .route("/v1/agents/{id}/tools", get(agents::tools))
        .route(
            "/v1/agents/{id}/tools/approval/{tool}",
            patch(agents::set_tool_approval),
        )
        .route("/v1/agents/{id}/reset-messages", patch(agents::reset_messages))
        .route(
            "/v1/agents/{id}/messages",
            get(agents::messages).post(agents::send),
        )
        .route("/v1/agents/{id}/messages/stream", post(agents::send_stream))
        .route("/v1/agents/{id}/messages/async", post(agents::send_async))
        .route("/v1/agents/{id}/messages/cancel", post(agents::cancel))
        .route("/v1/tools/", get(agents::all_tools))
        .route("/v1/tags/", get(agents::tags))
        .route("/v1/models/", get(agents::models))
        .route("/v1/models/embedding", get(agents::embedding_models))
        .route(
            "/v1/conversations/",
            get(conversations::list).post(conversations::create),
        )
        .route(
            "/v1/conversations/{id}",
            get(conversations::get)
                .patch(conversations::update)
                .delete(conversations::delete),
        )
        .route(
            "/v1/conversations/{id}/messages",
            get(conversations::messages).post(conversations::send),
        )
        .route("/v1/conversations/{id}/stream", post(conversations::stream))
        .route("/v1/conversations/{id}/cancel", post(conversations::cancel))
        .route("/v1/runs/", get(runs::list))
        .route("/v1/runs/active", get(runs::list_active))
        .route("/v1/runs/{id}", get(runs::get))
        .route("/v1/runs/{id}/messages", get(runs::messages))
        .route("/v1/runs/{id}/usage", get(runs::usage))
        .route("/v1/runs/{id}/stream", post(runs::stream))
        .method_not_allowed_fallback(beyond::answer)
        .fallback(beyond::answer)
        .layer(axum::middleware::from_fn_with_state(
            server.clone(),
            wire::misbehave,
        ));
    Router::new()
        .nest("/_fake", control::router())
        .merge(v1)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(server)
}

/// Serves the server on `listener` until `shutdown` is ready; requests in flight have a second to finish.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    server: LettaServer,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    connections::serve(listener, router(server), shutdown).await
}

/// Serves the server on a free port of 127.0.0.1.
///
/// # Errors
/// When the port cannot be bound.
pub async fn spawn(server: LettaServer) -> io::Result<Served> {
    Served::spawn(router(server)).await
}

/// Serves the server at `address`.
///
/// # Errors
/// When the address cannot be bound.
pub async fn spawn_at(address: SocketAddr, server: LettaServer) -> io::Result<Served> {
    Served::spawn_at(address, router(server)).await
}

#[cfg(test)]
mod tests;
