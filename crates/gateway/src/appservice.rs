//! The application service's side: what the homeserver calls. Application Service API, section "Homeserver ->
//! Application Service API".

use std::sync::{Arc, atomic::Ordering};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::Sha256;
use url::form_urlencoded;

use crate::{
    Gateway,
    reply::{refuse_matrix, unrecognized},
    transaction,
};

/// Below `/_matrix/app`.
pub(crate) fn router(gateway: &Arc<Gateway>) -> Router<Arc<Gateway>> {
    Router::new()
        .route("/v1/ping", post(ping))
        .route("/v1/transactions/{txn_id}", put(transaction::take))
        .route("/v1/users/{user_id}", get(no_such_user))
        .route("/v1/rooms/{alias}", get(no_such_room))
        .fallback(|| async { unrecognized(StatusCode::NOT_FOUND) })
        .method_not_allowed_fallback(|| async { unrecognized(StatusCode::METHOD_NOT_ALLOWED) })
        .layer(from_fn_with_state(gateway.clone(), only_the_homeserver))
}

/// The paths of older homeservers, which begin at the root.
pub(crate) fn legacy_router(gateway: &Arc<Gateway>) -> Router<Arc<Gateway>> {
    Router::new()
        .route("/transactions/{txn_id}", put(transaction::take))
        .route("/users/{user_id}", get(no_such_user))
        .route("/rooms/{alias}", get(no_such_room))
        .route_layer(from_fn_with_state(gateway.clone(), only_the_homeserver))
}

/// Lets in who shows the `hs_token`.
async fn only_the_homeserver(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let Some(hs_token) = &gateway.hs_token else {
        return refuse_matrix(
            StatusCode::FORBIDDEN,
            "M_FORBIDDEN",
            "the bridge was given no hs_token to know its homeserver by (MATRIX_HS_TOKEN)",
        );
    };
    match shown(&request, hs_token) {
        Shown::Right => next.run(request).await,
        Shown::Nothing => refuse_matrix(
            StatusCode::UNAUTHORIZED,
            "M_MISSING_TOKEN",
            "there is no Authorization header with a bearer token",
        ),
        Shown::Wrong => {
            if !gateway.told_of_token.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "a call was refused that did not show the hs_token. If it is the homeserver's, the hs_token of \
                     its registration file is another one than ours"
                );
            }
            refuse_matrix(StatusCode::FORBIDDEN, "M_FORBIDDEN", "this is not the hs_token")
        }
    }
}

enum Shown {
    Right,
    Wrong,
    Nothing,
}

/// What a request shows. The query parameter of older homeservers is not enough, and must be right if it is there.
fn shown(request: &Request, hs_token: &SecretString) -> Shown {
    let bearer = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().split_at_checked("bearer ".len()))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
        .map(|(_, token)| token.trim_ascii());
    let Some(token) = bearer.filter(|token| !token.is_empty()) else {
        return Shown::Nothing;
    };
    let query = request.uri().query().unwrap_or_default();
    let in_query = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "access_token");
    let mut is_right = is_same(token, hs_token);
    for (_, token) in in_query {
        is_right &= is_same(token.as_bytes(), hs_token);
    }
    if is_right { Shown::Right } else { Shown::Wrong }
}

/// Compares in a time that tells nothing, not even the length: both are hashed before.
fn is_same(shown: &[u8], secret: &SecretString) -> bool {
    let hash = |bytes: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"letta-matrix: comparing tokens").ok()?;
        mac.update(bytes);
        Some(mac)
    };
    match (hash(shown), hash(secret.expose_secret().as_bytes())) {
        (Some(shown), Some(secret)) => shown.verify(&secret.finalize().into_bytes()).is_ok(),
        _ => false,
    }
}

async fn ping() -> Response {
    Json(json!({})).into_response()
}

/// Agents' users are made by syncs alone.
async fn no_such_user() -> Response {
    refuse_matrix(StatusCode::NOT_FOUND, "M_NOT_FOUND", "there is no such user")
}

/// So are their rooms.
async fn no_such_room() -> Response {
    refuse_matrix(StatusCode::NOT_FOUND, "M_NOT_FOUND", "there is no such room")
}
