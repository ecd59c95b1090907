use std::time::Duration;

use matrix_client::{
    MatrixApi, MatrixErrorKind, NewRoom,
    fake::{FakeMatrix, Fault, RateLimits, WireFault},
};
use reqwest::Method;
use serde_json::json;

use super::House;

#[tokio::test]
async fn what_is_not_there_is_unrecognized() {
    let house = House::new().await;
    let unrecognized = json!({ "errcode": "M_UNRECOGNIZED", "error": "Unrecognized request" });
    assert_eq!(
        house.get("_matrix/client/v3/nothing", None).await,
        (404, unrecognized.clone())
    );
    assert_eq!(
        house.get("_matrix/client/v3/rooms/!a:b/hierarchy", None).await,
        (404, unrecognized.clone())
    );
    let wrong_method = house
        .ask(Method::DELETE, "_matrix/client/v3/login", None, None)
        .await;
    assert_eq!(wrong_method, (405, unrecognized));
}

#[tokio::test]
async fn bodies_must_be_json_objects() {
    let house = House::new().await;
    let alice = house.matrix.add_user("alice");
    let create = |body: &'static str| {
        house.ask(
            Method::POST,
            "_matrix/client/v3/createRoom",
            Some(&alice),
            Some(body),
        )
    };
    let not_json = json!({ "errcode": "M_NOT_JSON", "error": "Content not JSON." });
    assert_eq!(create("{").await, (400, not_json.clone()));
    assert_eq!(create("").await, (400, not_json));
    let bad_json = json!({ "errcode": "M_BAD_JSON", "error": "Content must be a JSON object." });
    assert_eq!(create("[]").await, (400, bad_json));
    assert_eq!(create("{}").await.0, 200);
}

#[tokio::test]
async fn tokens_are_asked_for_in_the_words_of_synapse() {
    let house = House::new().await;
    let path = "_matrix/client/v3/account/whoami";
    let missing = json!({ "errcode": "M_MISSING_TOKEN", "error": "Missing access token" });
    assert_eq!(house.get(path, None).await, (401, missing));
    let unknown = json!({ "errcode": "M_UNKNOWN_TOKEN", "error": "Invalid access token passed.", "soft_logout": false });
    assert_eq!(
        house.get(&format!("{path}?access_token=nonsense"), None).await,
        (401, unknown)
    );
    let alice = house.matrix.add_user("alice");
    let (status, body) = house.get(path, Some(&alice)).await;
    assert_eq!((status, &body["user_id"]), (200, &json!("@alice:matrix.test")));
}

#[tokio::test]
async fn logins_of_both_versions_and_spellings_work() {
    let house = House::new().await;
    house.matrix.add_user("alice");
    for version in ["r0", "v3"] {
        for who in [
            json!({ "user": "alice" }),
            json!({ "user": "@alice:matrix.test" }),
            json!({ "identifier": { "type": "m.id.user", "user": "alice" } }),
        ] {
            let mut body = who.clone();
            body["type"] = json!("m.login.password");
            body["password"] = json!(matrix_client::fake::TEST_PASSWORD);
            let path = format!("_matrix/client/{version}/login");
            let (status, answer) = house
                .ask(Method::POST, &path, None, Some(&body.to_string()))
                .await;
            assert_eq!(
                (status, &answer["user_id"]),
                (200, &json!("@alice:matrix.test")),
                "{version} {who}"
            );
            body["password"] = json!("wrong");
            let refused = house
                .ask(Method::POST, &path, None, Some(&body.to_string()))
                .await;
            let words = json!({ "errcode": "M_FORBIDDEN", "error": "Invalid username or password" });
            assert_eq!(refused, (403, words));
        }
    }
}

#[tokio::test]
async fn a_limit_is_told_in_the_body_and_in_the_header() {
    let house = House::with(FakeMatrix::builder("matrix.test").rate_limits(RateLimits::Synapse)).await;
    house.matrix.add_user("alice");
    let login = json!({ "type": "m.login.password", "user": "alice", "password": "wrong" }).to_string();
    let ask = || house.request(Method::POST, "_matrix/client/v3/login", None, Some(&login));
    for _ in 0..5 {
        assert_eq!(ask().await.unwrap().status(), 403);
    }
    let response = ask().await.unwrap();
    assert_eq!(response.status(), 429);
    let header = response.headers()["retry-after"].to_str().unwrap().to_owned();
    let body: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    let millis = body["retry_after_ms"].as_u64().unwrap();
    assert!((330_000..334_000).contains(&millis), "{body}");
    assert_eq!(header, millis.div_ceil(1000).to_string());
}

#[tokio::test]
async fn an_upload_beyond_the_limit_gets_no_answer() {
    let house = House::with(FakeMatrix::builder("matrix.test").max_upload_bytes(1_000)).await;
    let alice = house.matrix.add_user("alice");
    let upload = |size| {
        let body = "x".repeat(size);
        let (house, alice) = (&house, &alice);
        async move {
            house
                .request(Method::POST, "_matrix/media/v3/upload", Some(alice), Some(&body))
                .await
        }
    };
    assert_eq!(upload(1_000).await.unwrap().status(), 200);
    assert!(upload(1_001).await.is_err());
    assert_eq!(house.matrix.media().len(), 1);
}

#[tokio::test]
async fn media_is_served_with_its_type_and_name_to_whoever_has_a_token() {
    let house = House::new().await;
    let alice = house.matrix.add_user("alice");
    let upload = matrix_client::Upload::new("text/plain", "hello").filename("a b.txt");
    let uri = house.http.upload_media(&alice, &upload).await.unwrap();
    let path = format!(
        "_matrix/client/v1/media/download/{}",
        uri.as_str().trim_start_matches("mxc://")
    );
    let response = house
        .request(Method::GET, &path, Some(&alice), None)
        .await
        .unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain; charset=UTF-8");
    assert_eq!(
        response.headers()["content-disposition"],
        "inline; filename*=utf-8''a%20b.txt"
    );
    assert_eq!(response.text().await.unwrap(), "hello");
    assert_eq!(house.get(&path, None).await.0, 401);
    let legacy = path.replace("client/v1/media", "media/v3");
    assert_eq!(house.get(&legacy, Some(&alice)).await.0, 404);
}

#[tokio::test]
async fn planned_faults_reach_the_client() {
    let house = House::new().await;
    let alice = house.matrix.add_user("alice");
    let kinds = [
        MatrixErrorKind::Server,
        MatrixErrorKind::LimitExceeded {
            retry_after: Some(Duration::from_secs(3)),
        },
        MatrixErrorKind::Forbidden,
        MatrixErrorKind::UserInUse,
        MatrixErrorKind::RoomInUse,
        MatrixErrorKind::Unauthorized { soft_logout: true },
        MatrixErrorKind::TooLarge,
    ];
    for kind in kinds {
        house
            .matrix
            .plan(Fault::on("create_room").always().fail(kind.clone()));
        let over_http = house
            .http
            .create_room(&alice, &NewRoom::room())
            .await
            .unwrap_err();
        let in_process = house
            .matrix
            .create_room(&alice, &NewRoom::room())
            .await
            .unwrap_err();
        house.matrix.clear_faults();
        assert_eq!(over_http.kind(), &kind);
        assert_eq!(
            (
                over_http.status(),
                over_http.errcode(),
                over_http.message(),
                over_http.may_have_applied()
            ),
            (
                in_process.status(),
                in_process.errcode(),
                in_process.message(),
                in_process.may_have_applied()
            ),
        );
        assert_eq!(over_http.to_string(), in_process.to_string());
    }
    assert!(house.matrix.rooms().is_empty());
}

#[tokio::test]
async fn a_lost_answer_leaves_the_effect() {
    let house = House::new().await;
    let alice = house.matrix.add_user("alice");
    house
        .matrix
        .plan(Fault::on("create_room").fail_after(MatrixErrorKind::Interrupted));
    let error = house
        .http
        .create_room(&alice, &NewRoom::room())
        .await
        .unwrap_err();
    assert!(error.may_have_applied(), "{error:?}");
    assert_eq!(house.matrix.rooms().len(), 1);
    house.matrix.assert_faults_used();
}

#[tokio::test]
async fn faults_on_the_wire_are_what_a_client_makes_of_them() {
    let house = House::new().await;
    let alice = house.matrix.add_user("alice");
    let path = "/_matrix/client/v3/createRoom";
    let try_with = async |fault: WireFault| {
        house.matrix.plan_wire("POST", path, Some(1), fault);
        let error = house
            .http
            .create_room(&alice, &NewRoom::room())
            .await
            .unwrap_err();
        house.matrix.assert_faults_used();
        error.kind().clone()
    };
    let html = try_with(WireFault::Html { status: 502 }).await;
    assert!(matches!(html, MatrixErrorKind::NotMatrix { .. }), "{html:?}");
    let half = try_with(WireFault::HalfBody).await;
    assert!(
        matches!(
            half,
            MatrixErrorKind::NotMatrix { .. } | MatrixErrorKind::Decode { .. }
        ),
        "{half:?}"
    );
    let elsewhere = WireFault::Redirect {
        status: 302,
        to: "https://elsewhere.test/".to_owned(),
    };
    let elsewhere = try_with(elsewhere).await;
    assert!(
        matches!(elsewhere, MatrixErrorKind::Redirected { .. }),
        "{elsewhere:?}"
    );
    let closed = try_with(WireFault::Close).await;
    assert_eq!(closed, MatrixErrorKind::Interrupted);
    let cut = try_with(WireFault::CutAfter { bytes: 5 }).await;
    assert_eq!(cut, MatrixErrorKind::Interrupted);
    let json = WireFault::Json {
        status: 200,
        body: json!({ "room": 5 }),
    };
    let json = try_with(json).await;
    assert!(matches!(json, MatrixErrorKind::Decode { .. }), "{json:?}");
    // What was cut on the way back had its effect.
    assert_eq!(house.matrix.rooms().len(), 2);
}

#[tokio::test]
async fn a_server_that_is_down_hangs_up() {
    let house = House::new().await;
    let alice = house.matrix.add_user("alice");
    house.matrix.down();
    let error = house.http.whoami(&alice).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    house.matrix.up();
    house.http.whoami(&alice).await.unwrap();
}

#[tokio::test]
async fn web_clients_of_other_origins_are_let_in() {
    let house = House::new().await;
    let path = "_matrix/client/v3/sync";
    let preflight = house.request(Method::OPTIONS, path, None, None).await.unwrap();
    assert_eq!(preflight.status(), 204);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    let refused = house.request(Method::GET, path, None, None).await.unwrap();
    assert_eq!(refused.headers()["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn the_journal_is_the_same_as_in_process() {
    let house = House::new().await;
    let alice = house.matrix.add_user("alice");
    let room = NewRoom::room().name("Tea").alias_localpart("tea");
    let room_id = house.http.create_room(&alice, &room).await.unwrap();
    house.http.set_typing(&alice, &room_id, None).await.unwrap();
    let over_http = house.matrix.calls();
    house.matrix.clear_journal();
    house
        .matrix
        .create_room(&alice, &NewRoom::room().name("Tea").alias_localpart("other"))
        .await
        .unwrap();
    house.matrix.set_typing(&alice, &room_id, None).await.unwrap();
    let in_process = house.matrix.calls();
    for (one, other) in over_http.iter().zip(&in_process) {
        assert_eq!(
            (one.method, &one.user, &one.room, one.outcome),
            (other.method, &other.user, &other.room, other.outcome)
        );
    }
    assert_eq!(over_http.len(), in_process.len());
    assert_eq!(over_http[0].arguments["room_alias_name"], "tea");
}
