//! What the client makes of a server that has had enough of it.

use super::*;

#[tokio::test]
async fn making_a_room_is_sent_again_when_the_server_refused_for_its_limit() {
    let limited = json!({ "errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests", "retry_after_ms": 1 });
    let server = Server::start(vec![
        json_answer(429, &limited),
        json_answer(200, &json!({ "room_id": "!a" })),
    ])
    .await;
    let room = server
        .client()
        .create_room(&session(), &NewRoom::room())
        .await
        .expect("a room");
    assert_eq!(room, room_id!("!a"));
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn the_longer_wish_of_header_and_body_counts_and_too_long_a_wait_fails_at_once() {
    let limited = r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too Many Requests","retry_after_ms":4253}"#;
    for (header, expected) in [
        ("retry-after: 500\r\n", 500_000),
        ("retry-after: 3\r\n", 4253),
        ("", 4253),
    ] {
        let server = Server::start(vec![answer(429, header, limited)]).await;
        let retry = RetryPolicy::default().max_total(Duration::from_secs(1));
        let client = server.builder().retry(retry).build().expect("a client");
        let error = client.whoami(&session()).await.expect_err("an error");
        assert_eq!(error.retry_after(), Some(Duration::from_millis(expected)));
        assert!(error.is_retryable() && !error.may_have_applied());
        assert_eq!(server.lines().len(), 1);
    }
}

#[tokio::test]
async fn a_proxys_page_about_its_rate_limit_is_a_rate_limit() {
    let server = Server::start(vec![answer(
        429,
        "retry-after: 120\r\ncontent-type: text/html\r\n",
        "<h1>slow",
    )])
    .await;
    let error = server.client().whoami(&session()).await.expect_err("an error");
    let retry_after = Some(Duration::from_secs(120));
    assert_kind(&error, |kind| {
        *kind == MatrixErrorKind::LimitExceeded { retry_after }
    });
}

#[tokio::test]
async fn after_a_refusal_for_too_many_requests_the_same_is_not_sent_until_the_time_is_over() {
    let limited =
        json!({ "errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests", "retry_after_ms": 62_500 });
    let room = json!({ "room_id": "!r:matrix.test" });
    let server = Server::start(vec![json_answer(429, &limited), json_answer(200, &room)]).await;
    let client = server.client();
    let refused = client
        .create_room(&session(), &NewRoom::room())
        .await
        .expect_err("a refusal");
    assert_eq!(refused.status(), Some(429));
    let held_back = client
        .clone()
        .create_room(&session(), &NewRoom::room())
        .await
        .expect_err("a refusal");
    assert_kind(
        &held_back,
        |kind| matches!(kind, MatrixErrorKind::LimitExceeded { retry_after: Some(wait) } if wait.as_secs() >= 60),
    );
    assert_eq!(held_back.status(), None);
    assert_eq!(client.requests(), 1, "a refusal of ours is no request");
    // Another user is another matter, and so is another client.
    let other = Session::with_access_token(owned_user_id!("@other:matrix.test"), "token-for-tests".into());
    client
        .create_room(&other, &NewRoom::room())
        .await
        .expect("a room");
    server
        .client()
        .create_room(&session(), &NewRoom::room())
        .await
        .expect("a room");
    assert_eq!(server.lines().len(), 3);
}

#[tokio::test]
async fn invitations_and_logins_are_held_back_for_whom_they_concern() {
    let limited =
        json!({ "errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests", "retry_after_ms": 333_333 });
    let server = Server::start(vec![json_answer(429, &limited)]).await;
    let client = server.client();
    let room = room_id!("!r:matrix.test");
    for (invited, requests) in [
        (user_id!("@one:matrix.test"), 1),
        (user_id!("@one:matrix.test"), 1),
        (user_id!("@two:matrix.test"), 2),
    ] {
        let refused = client.invite_user(&session(), room, invited, None).await;
        refused.expect_err("a refusal");
        assert_eq!(client.requests(), requests, "{invited}");
    }
    for (user, requests) in [("one", 3), ("one", 3), ("two", 4)] {
        let request = LoginRequest::with_password(user, "not-a-real-password".into());
        client.login(&request).await.expect_err("a refusal");
        assert_eq!(client.requests(), requests, "{user}");
    }
}
