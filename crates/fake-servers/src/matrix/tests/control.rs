use matrix_client::{MatrixApi, MatrixErrorKind, NewRoom};
use reqwest::Method;
use serde_json::{Value, json};

use super::House;

async fn order(house: &House, path: &str, body: &Value) -> (u16, Value) {
    let url = house.served.base_url().join(path).unwrap();
    let request = house
        .client
        .post(url)
        .header("content-type", "application/json")
        .body(body.to_string());
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (
        status,
        serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default(),
    )
}

#[tokio::test]
async fn faults_can_be_planned_from_outside() {
    let house = House::new().await;
    let alice = house.matrix.add_user("alice");
    let fault = json!({ "method": "create_room", "user": alice.user_id, "effect": "rate_limit", "retry_after_ms": 1500 });
    assert_eq!(order(&house, "_fake/faults", &fault).await.0, 204);
    let (_, unused) = house.get("_fake/faults", None).await;
    assert_eq!(unused["unused"].as_array().unwrap().len(), 1);
    let error = house
        .http
        .create_room(&alice, &NewRoom::room())
        .await
        .unwrap_err();
    assert_eq!(error.errcode(), Some("M_LIMIT_EXCEEDED"));
    house.matrix.assert_faults_used();
    let fault = json!({ "method": "create_room", "effect": "close_after" });
    assert_eq!(order(&house, "_fake/faults", &fault).await.0, 204);
    house
        .http
        .create_room(&alice, &NewRoom::room())
        .await
        .unwrap_err();
    assert_eq!(house.matrix.rooms().len(), 1);
    let wire = json!({ "method": "GET", "path": "/_matrix/client/v3/*", "effect": "html", "status": 503 });
    assert_eq!(order(&house, "_fake/wire-faults", &wire).await.0, 204);
    let error = house.http.whoami(&alice).await.unwrap_err();
    assert!(
        matches!(error.kind(), MatrixErrorKind::NotMatrix { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn mistakes_are_told() {
    let house = House::new().await;
    for (path, body) in [
        (
            "_fake/faults",
            json!({ "method": "createRoom", "effect": "close" }),
        ),
        (
            "_fake/faults",
            json!({ "method": "create_room", "effect": "explode" }),
        ),
        (
            "_fake/faults",
            json!({ "method": "create_room", "effect": "close", "tmies": 3 }),
        ),
        (
            "_fake/faults",
            json!({ "method": "create_room", "effect": "delay", "delay_ms": 3, "rooms": "!a:b" }),
        ),
        ("_fake/wire-faults", json!({ "method": "GET" })),
        (
            "_fake/users",
            json!({ "localpart": "agent_1", "appservice_id": "nobody's" }),
        ),
        ("_fake/users/@a:b/dance", json!({})),
    ] {
        let (status, answer) = order(&house, path, &body).await;
        assert!(
            (400..500).contains(&status) && answer["error"].is_string(),
            "{path} {body}: {status} {answer}"
        );
    }
}

#[tokio::test]
async fn users_rooms_and_calls_can_be_made_and_seen_from_outside() {
    let house = House::new().await;
    let (status, session) = order(
        &house,
        "_fake/users",
        &json!({ "localpart": "alice", "admin": true }),
    )
    .await;
    assert_eq!((status, &session["user_id"]), (200, &json!("@alice:matrix.test")));
    let alice = matrix_client::Session::with_access_token(
        "@alice:matrix.test".try_into().unwrap(),
        session["access_token"].as_str().unwrap().into(),
    );
    let room_id = house
        .http
        .create_room(&alice, &NewRoom::room().name("Tea"))
        .await
        .unwrap();
    let (_, rooms) = house.get("_fake/rooms", None).await;
    assert_eq!(rooms["rooms"][0]["name"], "Tea");
    let (_, timeline) = house.get(&format!("_fake/rooms/{room_id}/timeline"), None).await;
    assert_eq!(timeline["events"][0]["type"], "m.room.create");
    let (_, calls) = house.get("_fake/calls?method=create_room", None).await;
    assert_eq!(calls["calls"][0]["user"], "@alice:matrix.test");
    assert_eq!(house.ask(Method::DELETE, "_fake/calls", None, None).await.0, 204);
    assert_eq!(house.get("_fake/calls", None).await.1["calls"], json!([]));
    assert_eq!(
        order(&house, "_fake/users/@alice:matrix.test/expire-tokens", &json!({}))
            .await
            .0,
        204
    );
    let error = house.http.whoami(&alice).await.unwrap_err();
    assert_eq!(error.kind(), &MatrixErrorKind::Unauthorized { soft_logout: true });
}

#[tokio::test]
async fn outages_can_be_made_from_outside() {
    let house = House::new().await;
    let alice = house.matrix.add_user("alice");
    assert_eq!(order(&house, "_fake/down", &json!({})).await.0, 204);
    assert!(house.http.whoami(&alice).await.is_err());
    assert_eq!(order(&house, "_fake/up", &json!({})).await.0, 204);
    house.http.whoami(&alice).await.unwrap();
    assert_eq!(order(&house, "_fake/restart", &json!({})).await.0, 204);
    house.http.whoami(&alice).await.unwrap();
    assert_eq!(order(&house, "_fake/wipe", &json!({})).await.0, 204);
    assert!(house.http.whoami(&alice).await.is_err());
}

#[tokio::test]
async fn an_appservice_can_be_registered_from_outside() {
    let house = House::new().await;
    let mut registration =
        serde_json::to_value(matrix_client::fake::test_registration("matrix.test")).unwrap();
    registration["id"] = json!("another");
    registration["as_token"] = json!("another-token-for-tests");
    registration["sender_localpart"] = json!("another_bot");
    assert_eq!(order(&house, "_fake/appservices", &registration).await.0, 204);
    assert_eq!(order(&house, "_fake/appservices", &registration).await.0, 400);
    let bot = house.matrix.appservice("another").sender_session();
    house.http.whoami(&bot).await.unwrap();
}
