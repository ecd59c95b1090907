//! The application service's side.

use axum::{
    body::Body,
    http::{Method, Request, request::Builder},
};
use serde_json::json;

use crate::world::{Answer, HS_TOKEN, World};

const PING: &str = "/_matrix/app/v1/ping";

/// The endpoints of the specification.
const ENDPOINTS: &[(Method, &str)] = &[
    (Method::POST, PING),
    (Method::PUT, "/_matrix/app/v1/transactions/17"),
    (Method::GET, "/_matrix/app/v1/users/@agent_1:matrix.test"),
    (Method::GET, "/_matrix/app/v1/rooms/%23agent_1:matrix.test"),
    (Method::PUT, "/transactions/17"),
    (Method::GET, "/users/@agent_1:matrix.test"),
    (Method::GET, "/rooms/%23agent_1:matrix.test"),
];

fn request(method: &Method, path: &str) -> Builder {
    Request::builder().method(method).uri(path)
}

async fn asked(world: &World, method: &Method, path: &str, body: impl Into<Body>) -> Answer {
    let request = request(method, path).header("Authorization", format!("Bearer {HS_TOKEN}"));
    world.ask(request, body).await
}

#[tokio::test]
async fn a_ping_with_the_token_is_answered() {
    let world = World::new();
    let answer = asked(&world, &Method::POST, PING, r#"{"transaction_id": "meow"}"#).await;
    assert_eq!((answer.status.as_u16(), &answer.body), (200, &json!({})));
}

#[tokio::test]
async fn every_endpoint_wants_the_token() {
    let world = World::new();
    for (method, path) in ENDPOINTS {
        let with = |value: &str| request(method, path).header("Authorization", value.to_owned());
        let ask = |request| world.ask(request, Body::empty());
        ask(request(method, path))
            .await
            .is_matrix_error(401, "M_MISSING_TOKEN");
        for nothing in ["", "Bearer", "Bearer ", &format!("Basic {HS_TOKEN}"), HS_TOKEN] {
            ask(with(nothing)).await.is_matrix_error(401, "M_MISSING_TOKEN");
        }
        for wrong in [
            "Bearer x".to_owned(),
            format!("Bearer {HS_TOKEN}x"),
            format!("Bearer {}", &HS_TOKEN[1..]),
            format!("Bearer {}", HS_TOKEN.to_uppercase()),
        ] {
            ask(with(&wrong)).await.is_matrix_error(403, "M_FORBIDDEN");
        }
    }
}

#[tokio::test]
async fn a_token_in_the_query_is_not_enough_and_must_not_contradict() {
    let world = World::new();
    let in_query = format!("{PING}?access_token={HS_TOKEN}");
    world
        .ask(Request::post(&in_query), Body::empty())
        .await
        .is_matrix_error(401, "M_MISSING_TOKEN");
    assert_eq!(asked(&world, &Method::POST, &in_query, "{}").await.status, 200);
    asked(&world, &Method::POST, &format!("{PING}?access_token=other"), "{}")
        .await
        .is_matrix_error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn without_an_hs_token_nobody_is_let_in() {
    let world = World::with(|gateway| gateway);
    for authorization in ["Bearer ", "Bearer x"] {
        let request = Request::post(PING).header("Authorization", authorization);
        world
            .ask(request, Body::empty())
            .await
            .is_matrix_error(403, "M_FORBIDDEN");
    }
}

#[tokio::test]
async fn users_and_rooms_are_made_by_syncs_alone() {
    let world = World::new();
    for (method, path) in ENDPOINTS.iter().filter(|(method, _)| method == Method::GET) {
        asked(&world, method, path, Body::empty())
            .await
            .is_matrix_error(404, "M_NOT_FOUND");
    }
    assert_eq!(world.matrix.call_count(), 0);
}

#[tokio::test]
async fn what_is_not_there_is_unrecognized() {
    let world = World::new();
    for (method, path, status) in [
        (Method::GET, "/_matrix/app/v1/thirdparty/protocol/irc", 404),
        (Method::PUT, "/_matrix/app/v2/transactions/17", 404),
        (Method::GET, PING, 405),
        (Method::POST, "/transactions/17", 405),
        (Method::PUT, "/transactions", 404),
        (Method::GET, "/", 404),
        (Method::GET, "/agents/mappings", 404),
    ] {
        asked(&world, &method, path, Body::empty())
            .await
            .is_matrix_error(status, "M_UNRECOGNIZED");
    }
}
