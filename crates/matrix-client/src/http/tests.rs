//! What the client makes of servers that misbehave. A scripted server on loopback: one answer per request.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ruma::{
    event_id,
    events::{MessageLikeEventType, StateEventType},
    owned_device_id, owned_room_id, owned_user_id, room_alias_id, room_id, user_id,
};
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::{HttpMatrix, RetryPolicy};
use crate::{
    Appservice, Download, LoginRequest, MatrixApi, MatrixError, MatrixErrorKind, NewRoom, Registration,
    Session, SyncRequest,
};

mod limits;
mod scripted;

use scripted::{Answer, Server, answer, json_answer};

fn session() -> Session {
    Session::with_access_token(owned_user_id!("@admin:matrix.test"), "token-for-tests".into())
}

fn assert_kind(error: &MatrixError, matches: impl Fn(&MatrixErrorKind) -> bool) {
    assert!(matches(error.kind()), "{error:?}");
    assert!(
        !format!("{error} {error:?}").contains("token-for-tests"),
        "a secret in {error:?}"
    );
}

#[tokio::test]
async fn a_web_page_is_not_taken_for_a_matrix_server() {
    for status in [200, 404, 502] {
        let page = "<html>\n<h1>Welcome to\tnginx!</h1>\u{7}</html>";
        let server = Server::start(vec![answer(status, "content-type: text/html\r\n", page)]).await;
        let error = server.client().whoami(&session()).await.expect_err("an error");
        assert_kind(&error, |kind| match kind {
            MatrixErrorKind::NotMatrix {
                content_type,
                excerpt,
            } => content_type.as_deref() == Some("text/html") && excerpt.contains("Welcome to nginx!"),
            _ => false,
        });
        assert_eq!(error.status(), Some(status));
        assert_eq!(error.call(), Some("whoami"));
        assert_eq!(error.is_retryable(), status == 502);
        assert!(!error.to_string().contains(['\n', '\u{7}']), "{error}");
    }
}

#[tokio::test]
async fn half_a_json_and_json_of_another_shape_are_told_apart() {
    let server = Server::start(vec![
        answer(200, "content-type: application/json\r\n", r#"{"user_id":"@adm"#),
        json_answer(200, &json!({ "device_id": "DEV" })),
    ])
    .await;
    let half = server.client().whoami(&session()).await.expect_err("an error");
    assert_kind(&half, |kind| {
        *kind == MatrixErrorKind::Decode { path: String::new() }
    });
    assert!(half.to_string().contains("breaks off"), "{half}");
    let other = server.client().whoami(&session()).await.expect_err("an error");
    assert_kind(&other, |kind| {
        *kind
            == MatrixErrorKind::Decode {
                path: "user_id".to_owned(),
            }
    });
    assert!(!other.is_retryable() && !other.may_have_applied());
}

#[tokio::test]
async fn an_unreadable_success_of_a_change_may_have_applied() {
    let server = Server::start(vec![answer(200, "content-type: application/json\r\n", "{")]).await;
    let error = server
        .client()
        .create_room(&session(), &NewRoom::room())
        .await
        .expect_err("an error");
    assert!(error.may_have_applied(), "{error:?}");
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_both_hosts_are_named() {
    for location in ["https://elsewhere.test/x?y", "/login"] {
        let server = Server::start(vec![answer(302, &format!("location: {location}\r\n"), "")]).await;
        let error = server.client().whoami(&session()).await.expect_err("an error");
        assert_kind(&error, |kind| match kind {
            MatrixErrorKind::Redirected { from, to } => {
                *from == server.url && (to == "https://elsewhere.test" || *to == server.url)
            }
            _ => false,
        });
        assert_eq!(server.lines().len(), 1);
    }
}

#[tokio::test]
async fn ten_megabytes_of_error_are_not_read() {
    let page = "x".repeat(10 * 1024 * 1024);
    let server = Server::start(vec![answer(500, "content-type: text/html\r\n", &page)]).await;
    let error = server.client().whoami(&session()).await.expect_err("an error");
    assert_kind(
        &error,
        |kind| matches!(kind, MatrixErrorKind::NotMatrix { excerpt, .. } if excerpt.len() < 1000),
    );
    assert_eq!(error.status(), Some(500));
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_refused_with_or_without_a_length() {
    let body = json!({ "user_id": "@admin:matrix.test", "x": "x".repeat(2000) }).to_string();
    let unknown_length = format!("HTTP/1.1 200 x\r\nconnection: close\r\n\r\n{body}");
    let answers = vec![answer(200, "", &body), Answer::Raw(unknown_length.into_bytes())];
    let server = Server::start(answers).await;
    let client = server.builder().max_body_bytes(1000).build().expect("a client");
    for _ in 0..2 {
        let error = client.whoami(&session()).await.expect_err("an error");
        assert_kind(&error, |kind| {
            *kind == MatrixErrorKind::BodyTooLarge { limit: 1000 }
        });
    }
}

#[tokio::test]
async fn a_file_beyond_the_callers_limit_is_refused() {
    let server = Server::start(vec![answer(
        200,
        "content-type: text/plain\r\n",
        &"x".repeat(100),
    )])
    .await;
    let download = Download::new("mxc://matrix.test/abc".into());
    let error = server
        .client()
        .download_media(&session(), &download.clone().max_bytes(99))
        .await;
    assert_kind(&error.expect_err("an error"), |kind| {
        *kind == MatrixErrorKind::BodyTooLarge { limit: 99 }
    });
    let media = server
        .client()
        .download_media(&session(), &download.max_bytes(100))
        .await
        .expect("a file");
    assert_eq!(
        (media.bytes.len(), media.content_type.as_deref()),
        (100, Some("text/plain"))
    );
}

#[tokio::test]
async fn reads_and_idempotent_changes_are_sent_again_when_the_server_is_down() {
    for status in [502, 503, 504] {
        let event = json!({ "event_id": "$event" });
        let server = Server::start(vec![
            answer(status, "", "down"),
            Answer::Cut,
            json_answer(200, &event),
        ])
        .await;
        let client = server.client();
        let sent = client
            .send_message_event(
                &session(),
                room_id!("!testroom:matrix.test"),
                &MessageLikeEventType::RoomMessage,
                "txn".into(),
                &json!({ "msgtype": "m.text", "body": "x" }),
            )
            .await;
        assert_eq!(sent.expect("an event"), event_id!("$event"));
        assert_eq!(client.requests(), 3);
        let lines = server.lines();
        assert!(lines.iter().all(|line| *line == lines[0]), "{lines:?}");
    }
}

#[tokio::test]
async fn making_a_room_is_not_sent_again_when_it_may_have_worked() {
    for down in [
        answer(503, "", "down"),
        Answer::Cut,
        json_answer(500, &json!({ "errcode": "M_UNKNOWN" })),
    ] {
        let server = Server::start(vec![down, json_answer(200, &json!({ "room_id": "!second" }))]).await;
        let error = server
            .client()
            .create_room(&session(), &NewRoom::room())
            .await
            .expect_err("an error");
        assert!(error.may_have_applied() && error.is_retryable(), "{error:?}");
        assert_eq!(server.lines().len(), 1);
    }
}

#[tokio::test]
async fn nobody_listening_is_no_connection_and_every_try_counts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let retry = RetryPolicy::default()
        .max_tries(3)
        .first_pause(Duration::from_millis(1));
    let client = HttpMatrix::builder(url.parse().expect("a URL"))
        .retry(retry)
        .build()
        .expect("a client");
    let error = client
        .create_room(&session(), &NewRoom::room())
        .await
        .expect_err("an error");
    assert_kind(&error, |kind| *kind == MatrixErrorKind::Connect);
    assert!(
        error
            .to_string()
            .contains(&format!("{url}: the connection is refused")),
        "{error}"
    );
    assert!(error.is_retryable() && !error.may_have_applied());
    assert_eq!(client.requests(), 3);
}

#[tokio::test]
async fn a_server_without_encryption_is_no_secure_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream
            .write_all(b"HTTP/1.1 400 x\r\n\r\n")
            .await
            .expect("an answer");
        stream
    });
    let client = HttpMatrix::builder(url.parse().expect("a URL")).retry(RetryPolicy::none());
    let error = client
        .build()
        .expect("a client")
        .create_room(&session(), &NewRoom::room())
        .await;
    let error = error.expect_err("an error");
    assert_kind(&error, |kind| *kind == MatrixErrorKind::Tls);
    assert!(!error.is_retryable() && !error.may_have_applied(), "{error:?}");
    server.await.expect("no panic");
}

#[tokio::test]
async fn silence_ends_with_a_timeout_and_is_not_tried_again() {
    let server = Server::start(vec![Answer::Silence]).await;
    let client = server
        .builder()
        .request_timeout(Duration::from_millis(50))
        .build()
        .expect("a client");
    let read = client.whoami(&session()).await.expect_err("an error");
    assert_kind(&read, |kind| *kind == MatrixErrorKind::Timeout);
    assert!(!read.may_have_applied());
    let change = client
        .set_display_name(&session(), Some("x"))
        .await
        .expect_err("an error");
    assert!(change.may_have_applied());
    assert_eq!(client.requests(), 2);
}

#[tokio::test]
async fn a_sync_may_take_its_own_timeout_and_a_margin() {
    let server = Server::start(vec![Answer::Silence]).await;
    let client = server
        .builder()
        .request_timeout(Duration::from_millis(10))
        .long_poll_margin(Duration::from_millis(40))
        .build()
        .expect("a client");
    let started = tokio::time::Instant::now();
    let error = client
        .sync(
            &session(),
            &SyncRequest::initial().timeout(Duration::from_millis(60)),
        )
        .await;
    assert_kind(&error.expect_err("an error"), |kind| {
        *kind == MatrixErrorKind::Timeout
    });
    assert!(
        started.elapsed() >= Duration::from_millis(100),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_base_url_with_a_path_keeps_it() {
    let server = Server::start(vec![json_answer(200, &json!({ "versions": ["v1.11"] }))]).await;
    for suffix in ["/matrix", "/matrix/"] {
        let url = format!("{}{suffix}", server.url).parse().expect("a URL");
        HttpMatrix::new(url)
            .expect("a client")
            .versions()
            .await
            .expect("versions");
    }
    let line = "GET /matrix/_matrix/client/versions HTTP/1.1";
    assert_eq!(server.lines(), [line, line]);
}

#[tokio::test]
async fn an_appservice_names_the_user_and_the_device_and_sends_its_token_in_a_header() {
    let server = Server::start(vec![json_answer(200, &json!({ "joined_rooms": ["!a"] }))]).await;
    let id = owned_user_id!("@letta_bot:matrix.test");
    let appservice = Appservice::new("letta-bridge", "as-token-for-tests".into(), id);
    let agent = appservice
        .act_as(user_id!("@agent_001:matrix.test"))
        .with_device(owned_device_id!("DEV"));
    let rooms = server.client().list_joined_rooms(&agent).await.expect("rooms");
    assert_eq!(rooms, [owned_room_id!("!a")]);
    let request = server.requests().remove(0);
    let line =
        "GET /_matrix/client/v3/joined_rooms?user_id=%40agent_001%3Amatrix.test&device_id=DEV HTTP/1.1";
    assert_eq!(request.lines().next(), Some(line));
    assert!(
        request.contains("authorization: Bearer as-token-for-tests"),
        "{request}"
    );
    assert!(
        request.contains(&format!(
            "user-agent: matrix-client/{}",
            env!("CARGO_PKG_VERSION")
        )),
        "{request}"
    );
}

#[tokio::test]
async fn identifiers_are_encoded_and_what_an_address_cannot_express_is_refused() {
    let server = Server::start(vec![json_answer(200, &json!({}))]).await;
    let client = server.client();
    let room = room_id!("!a/b%2F#?c");
    let event_type = StateEventType::from("org.test/x%y");
    client
        .get_state_event(&session(), room, &event_type, "k/é ?#%")
        .await
        .expect("content");
    let line = "GET /_matrix/client/v3/rooms/!a%2Fb%252F%23%3Fc/state/org.test%2Fx%25y/k%2F%C3%A9%20%3F%23%25 HTTP/1.1";
    assert_eq!(server.lines(), [line]);
    for key in [".", "..", "%2e%2e"] {
        let result = client.get_state_event(&session(), room, &event_type, key).await;
        if key.starts_with('.') {
            assert_kind(&result.expect_err("an error"), |kind| {
                *kind == MatrixErrorKind::InvalidRequest
            });
        }
    }
    // The third one is a key like any other.
    assert!(
        server.lines()[1].ends_with("/%252e%252e HTTP/1.1"),
        "{:?}",
        server.lines()
    );
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn an_alias_with_a_percent_sign_is_the_same_alias_for_the_server() {
    let server = Server::start(vec![json_answer(200, &json!({ "room_id": "!a", "servers": [] }))]).await;
    client_resolves(&server.client()).await;
    assert_eq!(
        server.lines(),
        ["GET /_matrix/client/v3/directory/room/%23100%25:matrix.test HTTP/1.1"]
    );
}

async fn client_resolves(client: &HttpMatrix) {
    let room = client
        .resolve_alias(&session(), room_alias_id!("#100%:matrix.test"))
        .await;
    assert_eq!(room.expect("a room"), room_id!("!a"));
}

#[tokio::test]
async fn registration_completes_the_stages_it_can_and_names_those_it_cannot() {
    let first = json!({ "session": "s1", "params": {}, "flows": [
        { "stages": ["m.login.registration_token", "m.login.dummy"] },
    ]});
    let mut second = first.clone();
    second["completed"] = json!(["m.login.registration_token"]);
    let done = json!({ "user_id": "@new:matrix.test", "access_token": "t", "device_id": "D" });
    let answers = vec![
        json_answer(401, &first),
        json_answer(401, &second),
        json_answer(200, &done),
    ];
    let server = Server::start(answers).await;
    let registration = Registration::with_token("new", "password-for-tests".into(), "reg-token".into());
    let registered = server.client().register(&registration).await.expect("a user");
    assert_eq!(registered.user_id, user_id!("@new:matrix.test"));
    assert_eq!(
        registered.session.expect("a session").device_id,
        Some(owned_device_id!("D"))
    );
    let bodies = server.requests();
    assert!(!bodies[0].contains("\"auth\""), "{}", bodies[0]);
    assert!(
        bodies[1].contains(r#""token":"reg-token""#) && bodies[1].contains(r#""session":"s1""#),
        "{}",
        bodies[1]
    );
    assert!(bodies[2].contains("m.login.dummy"), "{}", bodies[2]);

    let captcha = json!({ "session": "s", "params": {}, "flows": [{ "stages": ["m.login.recaptcha"] }] });
    let server = Server::start(vec![json_answer(401, &captcha)]).await;
    let error = server
        .client()
        .register(&Registration::dummy("new", "p".into()))
        .await
        .expect_err("an error");
    let flows = vec![vec!["m.login.recaptcha".to_owned()]];
    assert_kind(&error, |kind| {
        *kind == MatrixErrorKind::InteractiveAuthRequired { flows: flows.clone() }
    });

    let again = Server::start(vec![json_answer(401, &first)]).await;
    let error = again
        .client()
        .register(&registration)
        .await
        .expect_err("an error");
    assert_kind(&error, |kind| {
        matches!(kind, MatrixErrorKind::InteractiveAuthRequired { .. })
    });
    assert_eq!(again.lines().len(), 6, "it stops asking");
}

#[tokio::test]
async fn an_event_that_is_not_well_formed_does_not_hide_the_others() {
    let event = json!({
        "event_id": "$1", "type": "m.room.message", "sender": "@admin:matrix.test", "origin_server_ts": 1,
        "content": { "body": 5 },
    });
    let mut poison = event.clone();
    poison["sender"] = json!(["@admin:matrix.test"]);
    let sync = json!({ "next_batch": "n", "rooms": { "join": { "!a": { "timeline": {
        "events": [poison, event], "limited": false, "prev_batch": "p",
    }}}}});
    let server = Server::start(vec![json_answer(200, &sync)]).await;
    let response = server
        .client()
        .sync(&session(), &SyncRequest::initial())
        .await
        .expect("an answer");
    let room = &response.joined[room_id!("!a")];
    assert_eq!(room.timeline.events.len(), 1);
    assert_eq!(response.skipped.len(), 1);
    assert_eq!(response.skipped[0].room_id.as_deref(), Some(room_id!("!a")));
    assert!(
        response.skipped[0].reason.contains("sender"),
        "{:?}",
        response.skipped[0]
    );
}

#[test]
fn an_unusable_base_url_is_refused_without_repeating_it() {
    for url in [
        "ftp://h/",
        "https://u:secret@h/",
        "https://h/?access_token=secret",
        "https://h/#x",
        "data:x",
    ] {
        let error = HttpMatrix::new(url.parse().expect("a URL")).expect_err(url);
        assert_eq!(error.kind(), &MatrixErrorKind::InvalidRequest, "{url}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    HttpMatrix::new("https://h/a/path/".parse().expect("a URL")).expect("a client");
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_call_is_a_span_with_its_outcome_and_without_tokens_or_bodies() {
    use tracing::instrument::WithSubscriber;
    use tracing_subscriber::fmt::format::FmtSpan;

    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(move || writer.clone())
        .finish();
    let login = json!({ "user_id": "@admin:matrix.test", "access_token": "new-token", "device_id": "D" });
    let server = Server::start(vec![
        answer(503, "", "down"),
        json_answer(200, &json!({ "user_id": "@admin:matrix.test" })),
        json_answer(200, &login),
    ])
    .await;
    let client = server.client();
    async {
        client.whoami(&session()).await.expect("an answer");
        let request = LoginRequest::with_password("admin", "password-for-tests".into());
        client.login(&request).await.expect("a session");
    }
    .with_subscriber(subscriber)
    .await;
    let text = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("text");
    let closed = text
        .lines()
        .find(|line| line.contains("matrix.whoami") && line.contains("close"));
    let closed = closed.expect("the span of whoami");
    for field in ["status=200", "tries=2", "duration_ms="] {
        assert!(closed.contains(field), "{field} in {closed}");
    }
    assert!(text.contains("matrix.login"), "{text}");
    for secret in ["token-for-tests", "new-token", "password-for-tests"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn the_servers_time_comes_with_every_answer_an_error_too() {
    let date = "content-type: application/json\r\ndate: Sat, 21 Nov 2026 01:23:40 GMT\r\n";
    let server = Server::start(vec![answer(
        401,
        date,
        r#"{"errcode":"M_UNKNOWN_TOKEN","error":"no"}"#,
    )])
    .await;
    let client = server.client();
    let told: jiff::Timestamp = "2026-11-21T01:23:40Z".parse().expect("a time");
    assert_eq!(client.server_time(), None);
    assert_eq!(client.clock_skew(told), None);
    client.whoami(&session()).await.expect_err("a refusal");
    let late = jiff::SignedDuration::from_secs(3600);
    let skew = client.clone().clock_skew(told + late).expect("a skew");
    // The clock goes on after the answer, here for a moment.
    assert!(skew >= -late && skew < jiff::SignedDuration::ZERO, "{skew:?}");
}
