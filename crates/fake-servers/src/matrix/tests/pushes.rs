use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method as HttpMethod, StatusCode, Uri},
};
use matrix_client::{
    MatrixApi, MatrixApiExt, MatrixErrorKind, NewRoom,
    content::Message,
    fake::{FakeMatrix, TEST_APPSERVICE_ID, TEST_HS_TOKEN, test_registration},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::House;
use crate::Served;

/// Method, path, authorization and body of a request.
type Asked = (String, String, Option<String>, Value);

/// An application service that writes down what it is asked and answers with a status.
#[derive(Clone)]
struct Bridge {
    asked: Arc<watch::Sender<Vec<Asked>>>,
    status: Arc<Mutex<StatusCode>>,
}

impl Bridge {
    async fn serve() -> (Self, Served) {
        let bridge = Self {
            asked: Arc::new(watch::Sender::new(Vec::new())),
            status: Arc::new(Mutex::new(StatusCode::OK)),
        };
        let served = Served::spawn(Router::new().fallback(take).with_state(bridge.clone()))
            .await
            .unwrap();
        (bridge, served)
    }

    async fn wait_for(&self, wanted: impl Fn(&Asked) -> bool) {
        let mut asked = self.asked.subscribe();
        asked.wait_for(|asked| asked.iter().any(&wanted)).await.unwrap();
    }
}

async fn take(
    State(bridge): State<Bridge>,
    method: HttpMethod,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Json<Value>) {
    let token = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .map(ToOwned::to_owned);
    let body = serde_json::from_slice(&body).unwrap_or_default();
    bridge
        .asked
        .send_modify(|asked| asked.push((method.to_string(), uri.to_string(), token, body)));
    (*bridge.status.lock().unwrap(), Json(json!({})))
}

async fn house(url: &str) -> House {
    let mut registration = test_registration("matrix.test");
    registration.url = Some(url.to_owned());
    House::with(FakeMatrix::builder("matrix.test").appservice(registration)).await
}

#[tokio::test]
async fn events_are_put_to_the_address_of_the_registration() {
    let (bridge, served) = Bridge::serve().await;
    let house = house(served.base_url().as_str()).await;
    let agent = house.matrix.add_appservice_user(TEST_APPSERVICE_ID, "agent_1");
    let agent = house.matrix.test_appservice().act_as(&agent);
    let room_id = house.http.create_room(&agent, &NewRoom::room()).await.unwrap();
    house
        .http
        .send_message(&agent, &room_id, "t".into(), &Message::text("hello"))
        .await
        .unwrap();
    let is_hello = |(_, _, _, body): &Asked| {
        let events = body["events"].as_array();
        events.is_some_and(|events| events.iter().any(|event| event["content"]["body"] == "hello"))
    };
    bridge.wait_for(is_hello).await;
    let asked = bridge.asked.borrow().clone();
    for (number, (method, path, token, body)) in asked.iter().enumerate() {
        assert_eq!(method, "PUT");
        assert_eq!(path, &format!("/_matrix/app/v1/transactions/{}", number + 1));
        assert_eq!(token.as_deref(), Some(format!("Bearer {TEST_HS_TOKEN}").as_str()));
        assert!(body["ephemeral"].is_array());
        for event in body["events"].as_array().unwrap() {
            assert_eq!(event["room_id"], room_id.as_str());
            assert!(event["age"].is_u64() && event["user_id"] == event["sender"]);
        }
    }
}

#[tokio::test]
async fn a_ping_tells_what_the_appservice_answered() {
    let (bridge, served) = Bridge::serve().await;
    let house = house(served.base_url().as_str()).await;
    let bot = house.matrix.test_appservice().sender_session();
    house
        .http
        .ping_appservice(&bot, TEST_APPSERVICE_ID, Some("mytxn".into()))
        .await
        .unwrap();
    bridge
        .wait_for(|(method, path, _, body)| {
            method == "POST"
                && path == "/_matrix/app/v1/ping"
                && *body == json!({ "transaction_id": "mytxn" })
        })
        .await;
    *bridge.status.lock().unwrap() = StatusCode::FORBIDDEN;
    let error = house
        .http
        .ping_appservice(&bot, TEST_APPSERVICE_ID, None)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error.kind(),
            MatrixErrorKind::AppservicePing {
                status: Some(403),
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(
        (error.status(), error.errcode()),
        (Some(502), Some("M_BAD_STATUS"))
    );
    served.stop().await.unwrap();
    let error = house
        .http
        .ping_appservice(&bot, TEST_APPSERVICE_ID, None)
        .await
        .unwrap_err();
    assert_eq!(error.errcode(), Some("M_CONNECTION_FAILED"));
    assert!(matches!(
        error.kind(),
        MatrixErrorKind::AppservicePing { status: None, .. }
    ));
}

#[tokio::test]
async fn unknown_users_and_aliases_are_asked_for() {
    let (bridge, served) = Bridge::serve().await;
    *bridge.status.lock().unwrap() = StatusCode::NOT_FOUND;
    let house = house(served.base_url().as_str()).await;
    let alice = house.matrix.add_user("alice");
    let alias = ruma::room_alias_id!("#agent_nowhere:matrix.test");
    house.http.resolve_alias(&alice, alias).await.unwrap_err();
    let asked = bridge.asked.borrow().clone();
    assert_eq!(asked[0].0, "GET");
    assert_eq!(asked[0].1, "/_matrix/app/v1/rooms/%23agent_nowhere%3Amatrix.test");
    let nobody = ruma::user_id!("@agent_nobody:matrix.test").to_owned();
    house
        .http
        .create_room(&alice, &NewRoom::room().invite([nobody]))
        .await
        .unwrap();
    bridge
        .wait_for(|(_, path, _, _)| path == "/_matrix/app/v1/users/%40agent_nobody%3Amatrix.test")
        .await;
}
