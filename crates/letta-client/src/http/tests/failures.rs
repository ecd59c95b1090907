//! Answers that are none, and errors in all their shapes.

use std::{error::Error as _, time::Duration};

use serde_json::json;

use super::server::{Act, CHUNKED, Scripted, answer, chunk, json, ok};
use crate::{
    AgentId, AgentInclude, AgentQuery, AgentUpdate, ConversationRef, LettaApi, LettaError, LettaErrorKind,
    NewAgent, TurnInput, TurnOptions,
    http::{HttpLetta, RetryPolicy},
};

async fn health_error(act: Act) -> LettaError {
    let server = Scripted::new([act]).await;
    server.client().health().await.unwrap_err()
}

fn healthy() -> Act {
    ok(&json!({"version": "0.16.8", "status": "ok"}))
}

async fn create(letta: &HttpLetta) -> Result<crate::Agent, LettaError> {
    letta.create_agent(&NewAgent::named("x")).await
}

async fn send(letta: &HttpLetta) -> Result<crate::TurnStream, LettaError> {
    let to = ConversationRef::agent("agent-1");
    letta
        .send(&to, &TurnInput::text("o", "hello"), &TurnOptions::default())
        .await
}

#[tokio::test]
async fn a_web_page_is_not_a_letta_server() {
    let page = "<!doctype html>\r\n<title>Router\u{1b}[31m login</title>";
    let error = health_error(Act::Bytes(answer("200 OK", "content-type: text/html", page))).await;
    assert_eq!(error.kind(), &LettaErrorKind::NotLetta);
    let text = error.to_string();
    assert!(text.contains("text/html") && text.contains("Router"), "{text}");
    assert!(!text.contains(char::is_control), "{text:?}");

    let error = health_error(Act::Bytes(answer(
        "404 Not Found",
        "content-type: text/html",
        page,
    )))
    .await;
    assert_eq!(error.kind(), &LettaErrorKind::NotLetta);
    assert_eq!(error.status(), Some(404));

    let error = health_error(Act::Bytes(answer("200 OK", "", ""))).await;
    assert_eq!(error.kind(), &LettaErrorKind::NotLetta);
    assert!(error.message().contains("empty body"), "{error}");

    let error = health_error(Act::Bytes(answer("200 OK", "content-type: text/plain", "ok"))).await;
    assert_eq!(error.kind(), &LettaErrorKind::NotLetta);
}

#[tokio::test]
async fn a_gateway_that_answers_in_html_is_a_failing_server() {
    let page = "<html><h1>502 Bad Gateway</h1></html>";
    let error = health_error(Act::Bytes(answer(
        "502 Bad Gateway",
        "content-type: text/html",
        page,
    )))
    .await;
    assert_eq!(error.kind(), &LettaErrorKind::Server);
    assert!(error.is_retryable());
    assert!(error.message().contains("502 Bad Gateway"), "{error}");
}

#[tokio::test]
async fn half_an_answer_is_told_from_a_broken_connection() {
    let half = Act::Bytes(answer(
        "200 OK",
        "content-type: application/json",
        r#"{"version": "0.1"#,
    ));
    let error = health_error(half).await;
    assert_eq!(error.kind(), &LettaErrorKind::Decode);
    assert!(error.message().contains("breaks off"), "{error}");

    let broken =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{\"version\"";
    let error = health_error(Act::Bytes(broken.into())).await;
    assert_eq!(error.kind(), &LettaErrorKind::Interrupted);
    assert!(error.is_retryable());
    assert!(!error.may_have_applied(), "reading changes nothing");
}

#[tokio::test]
async fn a_field_that_can_not_be_read_is_named() {
    let server = Scripted::new([ok(
        &json!([{"id": "agent-1", "name": "A"}, {"id": "agent-2", "name": 7}]),
    )])
    .await;
    let error = server
        .client()
        .list_agents(&AgentQuery::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::Decode);
    assert_eq!(error.path(), Some("[1].name"));
    assert!(error.to_string().contains("[1].name"), "{error}");
    assert!(
        error.source().unwrap().to_string().contains("invalid type"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_long_error_page_is_not_read_to_its_end() {
    let page = "very long error page \n".repeat(500_000);
    let act = Act::Bytes(answer(
        "500 Internal Server Error",
        "content-type: text/html",
        page,
    ));
    let error = health_error(act).await;
    assert_eq!(error.kind(), &LettaErrorKind::Server);
    assert!(error.to_string().len() < 500, "{error}");
    assert!(error.message().contains("more than 65536 bytes"), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_refused() {
    let body = json!({"version": "x".repeat(5000), "status": "ok"});
    let chunked = format!(
        "{}{}0\r\n\r\n",
        CHUNKED.replace("text/event-stream; charset=utf-8", "application/json"),
        chunk(&body.to_string())
    );
    let announced =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999999999999999\r\n\r\n{";
    for act in [
        ok(&body),
        Act::Bytes(chunked.into()),
        Act::ThenSilence(announced.into()),
    ] {
        let server = Scripted::new([act]).await;
        let letta = server.builder().max_answer_bytes(1000).build().unwrap();
        let error = letta.health().await.unwrap_err();
        assert_eq!(error.kind(), &LettaErrorKind::TooLarge);
    }
}

#[tokio::test]
async fn a_redirect_to_elsewhere_is_not_followed() {
    for path in ["/v1/health/", "/v1/health", "/"] {
        let elsewhere = Scripted::new([healthy()]).await;
        let location = format!("location: {}{path}", elsewhere.url);
        let server = Scripted::new([Act::Bytes(answer("307 Temporary Redirect", &location, ""))]).await;
        let error = server.client().health().await.unwrap_err();
        assert_eq!(
            error.kind(),
            &LettaErrorKind::Redirected {
                to: elsewhere.url.clone()
            }
        );
        let text = error.to_string();
        assert!(
            text.contains(&elsewhere.url) && text.contains(&server.url),
            "{text}"
        );
        assert_eq!(
            elsewhere.seen().len(),
            0,
            "neither the request nor the token went there"
        );
    }
}

#[tokio::test]
async fn a_redirect_to_a_login_page_names_it() {
    for location in ["/login?next=x", "https://127.0.0.1/v1/health/", "//[", ""] {
        let header = format!("location: {location}");
        let error = health_error(Act::Bytes(answer("302 Found", &header, ""))).await;
        assert!(
            matches!(error.kind(), LettaErrorKind::Redirected { .. }),
            "{error:?}"
        );
        assert_eq!(error.status(), Some(302));
        if location.starts_with("/login") {
            assert!(error.message().contains("/login"), "{error}");
            assert!(!error.message().contains("next=x"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_redirect_that_adds_a_slash_is_followed_with_everything() {
    let redirect = Act::Bytes(answer(
        "307 Temporary Redirect",
        "location: /v1/agents/agent-1/",
        "",
    ));
    let server = Scripted::new([redirect, ok(&json!({"id": "agent-1", "name": "B"}))]).await;
    let agent = server
        .client()
        .update_agent(&AgentId::new("agent-1"), &AgentUpdate::rename("B"))
        .await
        .unwrap();
    assert_eq!(agent.name, "B");
    let seen = server.seen();
    assert_eq!(seen[0].line, "PATCH /v1/agents/agent-1");
    assert_eq!(seen[1].line, "PATCH /v1/agents/agent-1/");
    assert_eq!(seen[1].body, json!({"name": "B"}));
    assert_eq!(seen[1].header("authorization"), Some("Bearer not-a-real-token"));

    // Round and round is not going anywhere.
    let there = Act::Bytes(answer("307 Temporary Redirect", "location: /v1/health", ""));
    let back = Act::Bytes(answer("307 Temporary Redirect", "location: /v1/health/", ""));
    let server = Scripted::new([there, back]).await;
    let error = server.client().health().await.unwrap_err();
    assert!(
        matches!(error.kind(), LettaErrorKind::Redirected { .. }),
        "{error:?}"
    );
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_server_that_is_not_there_was_sent_nothing() {
    let url = Scripted::new([]).await.url.clone();
    let letta = HttpLetta::builder(&url)
        .retry(RetryPolicy {
            max_retries: 2,
            min_delay: Duration::from_millis(1),
            ..RetryPolicy::default()
        })
        .build()
        .unwrap();
    let error = send(&letta).await.unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::Connect);
    assert!(!error.may_have_applied());
    assert!(error.message().contains(&url), "{error}");
    assert!(error.source().is_some());
    // Nothing left, so even a message is tried again.
    assert_eq!(letta.requests(), 3);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let server = Scripted::new([Act::ThenSilence(Vec::new()), Act::ThenSilence(Vec::new())]).await;
    let letta = server
        .builder()
        .answer_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let error = letta.health().await.unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::Timeout);
    assert!(!error.may_have_applied());
    let error = send(&letta).await.unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::Timeout);
    assert!(error.may_have_applied());
}

#[tokio::test]
async fn an_answer_that_drips_is_given_up() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{";
    let server = Scripted::new([Act::ThenSilence(head.into())]).await;
    let letta = server
        .builder()
        .answer_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    assert_eq!(letta.health().await.unwrap_err().kind(), &LettaErrorKind::Timeout);
}

#[tokio::test]
async fn a_closed_connection_is_tried_again_for_reading_only() {
    let server = Scripted::new([Act::Close, Act::Close, healthy()]).await;
    let letta = server.patient();
    letta.health().await.unwrap();
    assert_eq!(letta.requests(), 3);

    let server = Scripted::new([Act::Close, Act::Close]).await;
    let letta = server.patient();
    for error in [send(&letta).await.unwrap_err(), create(&letta).await.unwrap_err()] {
        assert_eq!(error.kind(), &LettaErrorKind::Interrupted);
        assert!(error.may_have_applied());
    }
    assert_eq!(letta.requests(), 2);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_unless_something_would_be_made_twice() {
    let busy = || {
        json(
            "503 Service Unavailable",
            &json!({"detail": "The database is temporarily unavailable."}),
        )
    };
    let agent = || ok(&json!({"id": "agent-1", "name": "B"}));
    let server = Scripted::new([busy(), busy(), agent(), busy()]).await;
    let letta = server.patient();
    letta
        .update_agent(&AgentId::new("agent-1"), &AgentUpdate::rename("B"))
        .await
        .unwrap();
    assert_eq!(letta.requests(), 3);
    let error = create(&letta).await.unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::Server);
    assert!(error.may_have_applied());
    assert_eq!(letta.requests(), 4);
}

#[tokio::test]
async fn the_server_says_how_long_to_wait() {
    let wait = |seconds: &str| {
        let headers = format!("content-type: application/json\nretry-after: {seconds}");
        Act::Bytes(answer(
            "429 Too Many Requests",
            &headers,
            r#"{"detail":"slow down"}"#,
        ))
    };
    let server = Scripted::new([wait("0"), healthy(), wait("3600")]).await;
    let letta = server.patient();
    letta.health().await.unwrap();
    assert_eq!(letta.requests(), 2);
    // Longer than we are willing to wait: the caller decides.
    let error = letta.health().await.unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::RateLimited);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert!(error.is_retryable());
    assert_eq!(letta.requests(), 3);
}

#[tokio::test]
async fn a_deletion_that_was_answered_too_late_is_one() {
    let gone = || json("404 Not Found", &json!({"detail": "Agent not found"}));
    let server = Scripted::new([Act::Close, gone(), gone()]).await;
    let letta = server.patient();
    letta.delete_agent(&AgentId::new("agent-1")).await.unwrap();
    let error = letta.delete_agent(&AgentId::new("agent-1")).await.unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::NotFound);
    // A page of somebody else's is no deletion.
    let page = Act::Bytes(answer("200 OK", "content-type: text/html", "<html>"));
    let server = Scripted::new([page]).await;
    let error = server
        .client()
        .delete_agent(&AgentId::new("agent-1"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::NotLetta);
}

#[tokio::test]
async fn a_refused_token_and_a_missing_one_are_told_apart() {
    let refused = || json("401 Unauthorized", &json!({"detail": "Unauthorized"}));
    let server = Scripted::new([refused(), refused()]).await;
    let error = server.client().count_agents().await.unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::Unauthorized);
    assert!(error.message().contains("refuses the token"), "{error}");
    let without = server.builder().maybe_token(None).build().unwrap();
    let error = without.count_agents().await.unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::Unauthorized);
    assert!(error.message().contains("none is configured"), "{error}");
    assert_eq!(server.seen()[1].header("authorization"), None);
}

#[tokio::test]
async fn a_token_that_can_not_be_one_is_not_sent() {
    let server = Scripted::new([]).await;
    let letta = server.builder().token("two\nlines".into()).build().unwrap();
    let error = letta.health().await.unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::Unauthorized);
    assert!(!format!("{error:?}").contains("two"), "{error:?}");
}

#[tokio::test]
async fn the_token_is_nowhere_to_be_read() {
    let server = Scripted::new([Act::Close]).await;
    let letta = server.client();
    let error = letta.health().await.unwrap_err();
    for text in [
        format!("{letta:?}"),
        format!("{:?}", server.builder()),
        format!("{error:?}"),
    ] {
        assert!(!text.contains("not-a-real-token"), "{text}");
    }
}

#[tokio::test]
async fn ids_that_would_lead_elsewhere_are_not_sent() {
    let server = Scripted::new([]).await;
    let letta = server.client();
    for id in ["", ".", ".."] {
        let error = letta.delete_agent(&AgentId::new(id)).await.unwrap_err();
        assert_eq!(error.kind(), &LettaErrorKind::InvalidRequest);
    }
    assert_eq!(letta.requests(), 0);
    let server = Scripted::new([json("404 Not Found", &json!({"detail": "Not Found"}))]).await;
    let letta = server.client();
    let error = letta
        .get_agent(&AgentId::new("../a b/?x#y%2e"), AgentInclude::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::Unsupported);
    assert_eq!(server.lines(), ["GET /v1/agents/..%2Fa%20b%2F%3Fx%23y%252e"]);
}

#[cfg(feature = "testing")]
#[tokio::test]
async fn error_bodies_are_read_in_all_their_shapes() {
    use crate::{Conflict, ProviderFailure, testing::bodies};

    let pending = |request: Option<&str>| {
        LettaErrorKind::Conflict(Conflict::PendingApproval {
            request: request.map(Into::into),
        })
    };
    for (body, kind) in [
        (bodies::unauthorized(), LettaErrorKind::Unauthorized),
        (bodies::agent_not_found("agent-1"), LettaErrorKind::NotFound),
        (bodies::not_found("Run", "run-1"), LettaErrorKind::NotFound),
        (bodies::no_such_endpoint(), LettaErrorKind::Unsupported),
        (bodies::malformed_agent_id("x"), LettaErrorKind::InvalidRequest),
        (bodies::invalid_agent_name("a/b"), LettaErrorKind::InvalidRequest),
        (bodies::unknown_model("x/y"), LettaErrorKind::InvalidRequest),
        (bodies::empty_content(), LettaErrorKind::InvalidRequest),
        (bodies::wrong_tool_call("a", "b"), LettaErrorKind::InvalidRequest),
        (bodies::pending_approval("message-1"), pending(Some("message-1"))),
        (bodies::pending_approval_in_conversation(), pending(None)),
        (
            bodies::conversation_busy("run-1"),
            LettaErrorKind::Conflict(Conflict::Busy {
                run: Some("run-1".into()),
            }),
        ),
        (
            bodies::concurrent_update("Agent", "agent-1"),
            LettaErrorKind::Conflict(Conflict::ConcurrentUpdate),
        ),
        (
            bodies::locked(),
            LettaErrorKind::Conflict(Conflict::ConcurrentUpdate),
        ),
        (
            bodies::nothing_to_cancel("agent", "agent-1"),
            LettaErrorKind::Conflict(Conflict::NothingToCancel),
        ),
        (bodies::needs_redis(), LettaErrorKind::Unsupported),
        (bodies::not_in_background(), LettaErrorKind::InvalidRequest),
        (
            bodies::llm_authentication(),
            LettaErrorKind::Provider(ProviderFailure::Authentication),
        ),
        (
            bodies::llm_insufficient_credits(),
            LettaErrorKind::Provider(ProviderFailure::InsufficientCredits),
        ),
        (
            bodies::llm_rate_limit(),
            LettaErrorKind::Provider(ProviderFailure::RateLimit),
        ),
        (
            bodies::llm_bad_request(),
            LettaErrorKind::Provider(ProviderFailure::BadRequest),
        ),
        (
            bodies::llm_error(),
            LettaErrorKind::Provider(ProviderFailure::Other),
        ),
        (
            bodies::context_window_exceeded(),
            LettaErrorKind::Provider(ProviderFailure::ContextWindowExceeded),
        ),
        (bodies::server_error(), LettaErrorKind::Server),
    ] {
        let server = Scripted::new([json(&format!("{} Reason", body.status), &body.body)]).await;
        let error = create(&server.client()).await.unwrap_err();
        // Making an agent, what is not found is what it should be made of.
        let expected = match kind {
            LettaErrorKind::NotFound => LettaErrorKind::InvalidRequest,
            other => other,
        };
        assert_eq!(error.kind(), &expected, "{body:?}");
        assert_eq!(error.status(), Some(body.status));
        let open = matches!(expected, LettaErrorKind::Server);
        assert_eq!(error.may_have_applied(), open, "{body:?}");
        assert!(!error.message().ends_with(": "), "{error}");
    }
}
