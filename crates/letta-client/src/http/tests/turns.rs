//! Turns on the wire: what is sent, how streams break, joining again.

use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::server::{Act, CHUNKED, STREAM, Scripted, chunk, json as reply, ok, stream};
use crate::{
    ApprovalDecision, CancelOutcome, ContentPart, ConversationRef, LettaApi, LettaError, LettaErrorKind,
    ResumeToken, StopReason, TurnEvent, TurnEventKind, TurnInput, TurnOptions, TurnStream, http::HttpLetta,
};

const TOKENS: &str = include_str!("../fixtures/tokens.sse");
const BACKGROUND: &str = include_str!("../fixtures/background.sse");
const JOINED_BEHIND_3: &str = include_str!("../fixtures/joined_behind_3.sse");
const PING: &str =
    "data: {\"id\":\"ping-1\",\"message_type\":\"ping\",\"run_id\":\"run-1\",\"seq_id\":null}\n\n";

fn needs_redis() -> Act {
    reply(
        "503 Service Unavailable",
        &json!({"detail": "INTERNAL_SERVER_ERROR: Background streaming requires Redis to be running."}),
    )
}

async fn send(letta: &HttpLetta, text: &str) -> Result<TurnStream, LettaError> {
    let to = ConversationRef::agent("agent-1");
    letta
        .send(&to, &TurnInput::text("otid-1", text), &TurnOptions::default())
        .await
}

async fn all(stream: TurnStream) -> Vec<Result<TurnEvent, LettaError>> {
    stream.collect().await
}

fn text(events: &[Result<TurnEvent, LettaError>]) -> String {
    events
        .iter()
        .filter_map(|event| match &event.as_ref().ok()?.kind {
            TurnEventKind::Text { append, .. } => Some(append.as_str()),
            _ => None,
        })
        .collect()
}

fn reason(events: &[Result<TurnEvent, LettaError>]) -> Option<&StopReason> {
    match &events.last()?.as_ref().ok()?.kind {
        TurnEventKind::Ended { reason, .. } => Some(reason),
        _ => None,
    }
}

#[tokio::test]
async fn a_message_is_sent_as_the_server_understands_it() {
    let server = Scripted::new([stream(BACKGROUND), stream(TOKENS), stream(TOKENS)]).await;
    let letta = server.client();
    send(&letta, "hello").await.unwrap();
    let to = ConversationRef::of("agent-1", "conv-1");
    let input = TurnInput {
        otid: "otid-2".into(),
        content: vec![
            ContentPart::Text("look".to_owned()),
            ContentPart::Text(String::new()),
            ContentPart::Image {
                media_type: "image/png".to_owned(),
                data: Bytes::from_static(b"\x00\xff"),
            },
        ],
        name: Some("bob".to_owned()),
    };
    let options = TurnOptions {
        tokens: false,
        resumable: false,
        max_steps: Some(3),
    };
    letta.send(&to, &input, &options).await.unwrap();
    let decisions = [
        ApprovalDecision::approve("call_1"),
        ApprovalDecision::deny("call_2", "no"),
    ];
    letta.decide(&to, &decisions, &options).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].line, "POST /v1/agents/agent-1/messages");
    assert_eq!(
        seen[0].body,
        json!({"messages": [{"role": "user", "content": "hello", "otid": "otid-1"}],
            "streaming": true, "stream_tokens": true, "include_pings": true, "background": true})
    );
    assert_eq!(seen[1].line, "POST /v1/conversations/conv-1/messages");
    assert_eq!(
        seen[1].body,
        json!({"messages": [{"role": "user", "otid": "otid-2", "name": "bob", "content": [
                {"type": "text", "text": "look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AP8="}},
            ]}],
            "streaming": true, "stream_tokens": false, "include_pings": true, "max_steps": 3})
    );
    assert_eq!(
        seen[2].body["messages"],
        json!([{"type": "approval", "approvals": [
            {"type": "approval", "tool_call_id": "call_1", "approve": true, "reason": null},
            {"type": "approval", "tool_call_id": "call_2", "approve": false, "reason": "no"},
        ]}])
    );
}

#[tokio::test]
async fn a_stream_is_read_however_it_is_cut() {
    let whole = {
        let server = Scripted::new([stream(TOKENS)]).await;
        all(send(&server.client(), "x").await.unwrap()).await
    };
    assert_eq!(reason(&whole), Some(&StopReason::EndTurn));
    for size in [1, 7, 100, 1000] {
        let pieces = TOKENS
            .as_bytes()
            .chunks(size)
            .map(|piece| chunk(std::str::from_utf8(piece).unwrap()).into_bytes());
        let pieces = [CHUNKED.as_bytes().to_vec()]
            .into_iter()
            .chain(pieces)
            .chain([b"0\r\n\r\n".to_vec()]);
        let server = Scripted::new([Act::Pieces(pieces.collect())]).await;
        let events = all(send(&server.client(), "x").await.unwrap()).await;
        assert_eq!(text(&events), text(&whole), "{size}");
        assert_eq!(events.len(), whole.len(), "{size}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_leaves_the_outcome_open() {
    let begun: String = TOKENS.split_inclusive("\n\n").take(6).collect();
    let broken = Act::Bytes(format!("{CHUNKED}{}", chunk(&begun)).into());
    let closed = stream(&begun);
    for act in [broken, closed] {
        let server = Scripted::new([act]).await;
        let events = all(send(&server.client(), "x").await.unwrap()).await;
        let (last, before) = events.split_last().unwrap();
        let error = last.as_ref().unwrap_err();
        assert_eq!(error.kind(), &LettaErrorKind::Interrupted);
        assert!(error.may_have_applied());
        assert_eq!(text(before), "echo:");
        assert!(before.iter().all(Result::is_ok));
    }
}

#[tokio::test]
async fn a_connection_that_breaks_behind_the_end_changes_nothing() {
    let told: String = TOKENS
        .split_inclusive("\n\n")
        .filter(|event| !event.contains("DONE"))
        .collect();
    let server = Scripted::new([Act::Bytes(format!("{CHUNKED}{}", chunk(&told)).into())]).await;
    let events = all(send(&server.client(), "x").await.unwrap()).await;
    assert_eq!(reason(&events), Some(&StopReason::EndTurn));
}

#[tokio::test]
async fn nothing_behind_the_end_is_waited_for() {
    let server = Scripted::new([Act::ThenSilence(format!("{STREAM}{TOKENS}").into())]).await;
    let events = all(send(&server.client(), "x").await.unwrap()).await;
    assert_eq!(reason(&events), Some(&StopReason::EndTurn));
}

#[tokio::test]
async fn an_event_that_is_too_long_ends_the_stream() {
    let long = format!("{PING}data: {}\n\n", "x".repeat(5000));
    let server = Scripted::new([stream(&long)]).await;
    let letta = server.builder().max_event_bytes(1000).build().unwrap();
    let events = all(send(&letta, "x").await.unwrap()).await;
    assert_eq!(events.len(), 2, "{events:?}");
    let error = events[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::TooLarge);
    assert!(error.may_have_applied());
}

#[tokio::test]
async fn an_answer_that_is_not_streamed_is_a_turn_all_the_same() {
    let answer = json!({
        "messages": [
            {"id": "m1", "otid": "a", "message_type": "reasoning_message", "reasoning": "hm", "run_id": "run-1"},
            {"id": "m1", "otid": "b", "message_type": "assistant_message", "content": "hello", "run_id": "run-1"},
        ],
        "stop_reason": {"message_type": "stop_reason", "stop_reason": "end_turn"},
        "usage": {"message_type": "usage_statistics", "total_tokens": 3, "step_count": 1},
    });
    let server = Scripted::new([ok(&answer)]).await;
    let outcome = send(&server.client(), "x")
        .await
        .unwrap()
        .outcome()
        .await
        .unwrap();
    assert_eq!(outcome.text, "hello");
    assert_eq!(outcome.reasoning, "hm");
    assert_eq!(outcome.usage.total_tokens, 3);
    assert_eq!(outcome.reason, StopReason::EndTurn);
    assert_eq!(outcome.run.unwrap().as_str(), "run-1");
}

#[tokio::test]
async fn a_page_instead_of_a_stream_is_not_letta() {
    let page = super::server::answer("200 OK", "content-type: text/html", "<html>");
    let server = Scripted::new([Act::Bytes(page)]).await;
    let error = send(&server.client(), "x").await.unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::NotLetta);
}

#[tokio::test]
async fn a_server_that_keeps_no_events_is_sent_the_message_again_and_not_asked_twice() {
    let server = Scripted::new([needs_redis(), stream(TOKENS), stream(TOKENS)]).await;
    let letta = server.client();
    for _ in 0..2 {
        let events = all(send(&letta, "x").await.unwrap()).await;
        assert_eq!(reason(&events), Some(&StopReason::EndTurn));
    }
    let background: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| seen.body["background"].clone())
        .collect();
    assert_eq!(background, [json!(true), Value::Null, Value::Null]);
}

#[tokio::test]
async fn a_message_without_content_is_not_sent() {
    let server = Scripted::new([]).await;
    let letta = server.client();
    let error = send(&letta, "").await.unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::InvalidRequest);
    assert_eq!(letta.requests(), 0);
}

fn token() -> ResumeToken {
    ResumeToken::new("run-5842dba3-9dbd-4346-bd15-e61b9154a5b9/3")
}

fn run(status: &str) -> Act {
    ok(&json!({"id": "run-1", "status": status}))
}

#[tokio::test]
async fn a_turn_is_joined_behind_its_token() {
    let server = Scripted::new([stream(JOINED_BEHIND_3)]).await;
    let letta = server.client();
    let events = all(letta.resume(&token()).await.unwrap()).await;
    assert_eq!(text(&events), " one two");
    assert_eq!(reason(&events), Some(&StopReason::EndTurn));
    let seen = &server.seen()[0];
    assert_eq!(
        seen.line,
        "POST /v1/runs/run-5842dba3-9dbd-4346-bd15-e61b9154a5b9/stream"
    );
    assert_eq!(seen.body, json!({"starting_after": 3, "include_pings": true}));
    assert_eq!(letta.requests(), 1);
}

#[tokio::test]
async fn a_turn_whose_events_are_gone_is_not_waited_for() {
    // The real server says nothing at all, or nothing but pings, for ever.
    for begun in [STREAM.to_owned(), format!("{STREAM}{PING}{PING}")] {
        let server = Scripted::new([Act::ThenSilence(begun.into()), run("completed")]).await;
        let error = server.client().resume(&token()).await.unwrap_err();
        assert_eq!(error.kind(), &LettaErrorKind::NotFound, "{error:?}");
        assert!(!error.may_have_applied());
    }
}

#[tokio::test]
async fn a_running_turn_may_be_silent_as_long_as_it_pings() {
    let begun = Act::ThenSilence(format!("{STREAM}{PING}").into());
    let server = Scripted::new([begun, run("running")]).await;
    let mut stream = server.client().resume(&token()).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!(first.kind, TurnEventKind::Alive);
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(500), stream.next()).await;
    assert!(waiting.is_err(), "it goes on waiting: {waiting:?}");
}

#[tokio::test]
async fn a_running_turn_that_does_not_even_ping_is_given_up() {
    let server = Scripted::new([Act::ThenSilence(STREAM.into()), run("running")]).await;
    let events = all(server.client().resume(&token()).await.unwrap()).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].as_ref().unwrap_err().kind(), &LettaErrorKind::Timeout);
}

#[tokio::test]
async fn a_turn_that_was_not_kept_can_not_be_joined() {
    let foreground = reply(
        "400 Bad Request",
        &json!({"detail": "INVALID_ARGUMENT: Run was not created in background mode, so it cannot be retrieved."}),
    );
    let expired = reply(
        "410 Gone",
        &json!({"detail": "EXPIRED: Run was created more than 3 hours ago, and is now expired."}),
    );
    let server = Scripted::new([foreground, expired, needs_redis()]).await;
    let letta = server.client();
    for kind in [
        LettaErrorKind::NotFound,
        LettaErrorKind::NotFound,
        LettaErrorKind::Unsupported,
    ] {
        assert_eq!(letta.resume(&token()).await.unwrap_err().kind(), &kind);
    }
}

#[tokio::test]
async fn cancelling_names_the_run_that_waits_for_approval() {
    let waiting =
        json!({"id": "agent-1", "name": "A", "pending_approval": {"id": "message-1", "run_id": "run-1"}});
    let server = Scripted::new([
        ok(&waiting),
        ok(&json!({"run-2": "cancelled"})),
        ok(&json!({"run-1": "cancelled"})),
    ])
    .await;
    let outcome = server
        .client()
        .cancel(&ConversationRef::agent("agent-1"), None)
        .await
        .unwrap();
    assert_eq!(
        outcome,
        CancelOutcome::Cancelled(vec!["run-2".into(), "run-1".into()])
    );
    let seen = server.seen();
    assert_eq!(
        seen[0].line,
        "GET /v1/agents/agent-1?include=agent.pending_approval"
    );
    assert_eq!(seen[1].line, "POST /v1/agents/agent-1/messages/cancel");
    assert_eq!(seen[1].body, json!({}));
    assert_eq!(seen[2].body, json!({"run_ids": ["run-1"]}));
}

#[tokio::test]
async fn cancelling_nothing_is_an_answer() {
    let nothing = |what: &str| {
        reply(
            "409 Conflict",
            &json!({"detail": format!("CONFLICT: No active runs to cancel for {what}")}),
        )
    };
    let server = Scripted::new([
        ok(&json!({"id": "agent-1", "name": "A"})),
        nothing("agent agent-1"),
        nothing("conversation conv-1"),
        ok(&json!({"run-1": "failed"})),
    ])
    .await;
    let letta = server.client();
    let agent = ConversationRef::agent("agent-1");
    let there = ConversationRef::of("agent-1", "conv-1");
    assert_eq!(
        letta.cancel(&agent, None).await.unwrap(),
        CancelOutcome::NothingRunning
    );
    assert_eq!(
        letta.cancel(&there, None).await.unwrap(),
        CancelOutcome::NothingRunning
    );
    assert_eq!(
        letta.cancel(&there, Some(&"run-1".into())).await.unwrap(),
        CancelOutcome::NothingRunning
    );
    let seen = server.seen();
    assert_eq!(seen[2].line, "POST /v1/conversations/conv-1/cancel");
    assert_eq!(seen[3].line, "POST /v1/agents/agent-1/messages/cancel");
    assert_eq!(seen[3].body, json!({"run_ids": ["run-1"]}));
}
