//! A homeserver over HTTP: [`FakeMatrix`] behind the endpoints of the client-server API, Synapse's administration API
//! as far as it is worth it, and deliveries to application services at the addresses in their registrations.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! use matrix_client::fake::FakeMatrix;
//!
//! let matrix = FakeMatrix::with_test_data();
//! let served = fake_servers::matrix::spawn(matrix.clone()).await?;
//! // Point any client at `served.base_url()`; plan faults and look at rooms through `matrix`.
//! assert_eq!(matrix.call_count(), 0);
//! served.stop().await
//! # }
//! ```
//!
//! A test in another process steers it under `/_fake/…`, see [`control`].

mod accounts;
mod admin;
mod appservice;
mod ask;
pub mod control;
mod directory;
mod events;
mod media;
mod rooms;
mod sync;
#[cfg(test)]
mod tests;
mod wire;

use std::{future::Future, io, net::SocketAddr};

use axum::{
    Json, Router,
    extract::Request,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use matrix_client::fake::FakeMatrix;
use serde_json::json;
use tokio::net::TcpListener;

pub use self::appservice::push_to_appservices;
use crate::{Served, connections};

/// All endpoints, without deliveries to application services: see [`push_to_appservices`].
pub fn router(matrix: FakeMatrix) -> Router {
    let server = Router::new()
        .route("/", get(|| async { Redirect::to("/_matrix/static") }))
        .route("/health", get(|| async { "OK" }))
        .merge(accounts::router())
        .merge(rooms::router())
        .merge(directory::router())
        .merge(events::router())
        .merge(sync::router())
        .merge(media::router())
        .merge(appservice::router())
        .merge(admin::router())
        .fallback(not_found)
        .method_not_allowed_fallback(|| async { unrecognized(StatusCode::METHOD_NOT_ALLOWED) })
        .layer(from_fn_with_state(matrix.clone(), wire::misbehave))
        .layer(from_fn(share_with_browsers));
    Router::new()
        .merge(server)
        .nest("/_fake", control::router())
        .with_state(matrix)
}

/// Serves it on a listener until `shutdown` is ready.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    matrix: FakeMatrix,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    push_to_appservices(&matrix);
    connections::serve(listener, router(matrix), shutdown).await
}

/// Serves it on a free port of 127.0.0.1.
///
/// # Errors
/// When no port can be bound.
pub async fn spawn(matrix: FakeMatrix) -> io::Result<Served> {
    push_to_appservices(&matrix);
    Served::spawn(router(matrix)).await
}

/// Serves it at an address: to come back where a server that was stopped had been.
///
/// # Errors
/// When the address cannot be bound.
pub async fn spawn_at(address: SocketAddr, matrix: FakeMatrix) -> io::Result<Served> {
    push_to_appservices(&matrix);
    Served::spawn_at(address, router(matrix)).await
}

/// Beside the API the server answers like any web server.
async fn not_found(uri: Uri) -> Response {
    if uri.path().starts_with("/_matrix/") || uri.path().starts_with("/_synapse/") {
        return unrecognized(StatusCode::NOT_FOUND);
    }
    let page = "<html><head><title>404 - No Such Resource</title></head><body><h1>No Such Resource</h1></body></html>";
    (StatusCode::NOT_FOUND, Html(page)).into_response()
}

fn unrecognized(status: StatusCode) -> Response {
    (
        status,
        Json(json!({ "errcode": "M_UNRECOGNIZED", "error": "Unrecognized request" })),
    )
        .into_response()
}

/// What lets web clients of other origins in.
async fn share_with_browsers(request: Request, next: Next) -> Response {
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, HEAD, POST, PUT, DELETE, OPTIONS",
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "X-Requested-With, Content-Type, Authorization, Date",
        ),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Synapse-Trace-Id, Server"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
