//! History, conversations and runs as a real server wrote them.

use serde_json::{Value, json};

use super::server::{Scripted, json as reply, ok};
use crate::{
    ConversationRef, HistoryItem, HistoryQuery, LettaApi, LettaErrorKind, MessageId, RunQuery, RunStatus,
    StopReason, ToolStatus,
};

#[tokio::test]
async fn every_kind_of_message_is_read() {
    let body: Value = serde_json::from_str(include_str!("../fixtures/history.json")).unwrap();
    let server = Scripted::new([ok(&body)]).await;
    let page = server
        .client()
        .list_messages(&ConversationRef::agent("agent-1"), &HistoryQuery::default())
        .await
        .unwrap();
    let kinds: Vec<_> = page
        .messages
        .iter()
        .map(|message| match &message.item {
            HistoryItem::System { .. } => "system",
            HistoryItem::User { images: 0, .. } => "user",
            HistoryItem::Assistant { .. } => "assistant",
            HistoryItem::Reasoning { .. } => "reasoning",
            HistoryItem::ApprovalRequest(request) if request.calls.len() == 1 => "request",
            HistoryItem::ApprovalResponse {
                approve: true,
                reason: None,
            } => "approved",
            HistoryItem::ApprovalResponse {
                approve: false,
                reason: Some(_),
            } => "denied",
            HistoryItem::ToolReturn {
                status: ToolStatus::Success,
                ..
            } => "returned",
            HistoryItem::ToolReturn {
                status: ToolStatus::Error,
                ..
            } => "failed",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "system",
            "user",
            "request",
            "approved",
            "returned",
            "assistant",
            "denied",
            "failed",
            "reasoning"
        ]
    );
    assert!(!page.may_continue);
    assert!(page.messages.iter().all(|message| message.date.is_some()));
}

#[tokio::test]
async fn images_are_counted() {
    let body: Value = serde_json::from_str(include_str!("../fixtures/history_image.json")).unwrap();
    let server = Scripted::new([ok(&body)]).await;
    let page = server
        .client()
        .list_messages(&ConversationRef::agent("agent-1"), &HistoryQuery::default())
        .await
        .unwrap();
    assert_eq!(
        page.messages[0].item,
        HistoryItem::User {
            text: "look".to_owned(),
            images: 1
        }
    );
}

#[tokio::test]
async fn a_page_is_full_when_its_steps_reach_the_limit() {
    let step = |id: &str, otid: &str, kind: &str| json!({"id": id, "otid": otid, "message_type": kind, "content": "x"});
    let body = json!([
        step("m1", "a", "reasoning_message"),
        step("m1", "b", "assistant_message"),
        step("m2", "c", "brand_new_message"),
    ]);
    let server = Scripted::new([ok(&body), ok(&body)]).await;
    let letta = server.client();
    let of = ConversationRef::agent("agent-1");
    for (limit, full) in [(2, true), (3, false)] {
        let query = HistoryQuery {
            limit,
            ..HistoryQuery::default()
        };
        let page = letta.list_messages(&of, &query).await.unwrap();
        assert_eq!(page.messages.len(), 3);
        assert_eq!(page.may_continue, full, "{limit}");
        assert_eq!(
            page.messages[2].item,
            HistoryItem::Other {
                message_type: "brand_new_message".to_owned()
            }
        );
    }
}

#[tokio::test]
async fn the_cursor_decides_which_end_is_cut() {
    let server = Scripted::new([
        ok(&json!([])),
        ok(&json!([])),
        ok(&json!([])),
        ok(&json!({"id": "conv-1", "agent_id": "agent-1"})),
    ])
    .await;
    let letta = server.client();
    let of = ConversationRef::agent("agent-1");
    let before = HistoryQuery {
        limit: 2,
        before: Some(MessageId::new("m1")),
        after: None,
    };
    let after = HistoryQuery {
        limit: 2,
        before: None,
        after: Some(MessageId::new("m1")),
    };
    letta.list_messages(&of, &before).await.unwrap();
    letta.list_messages(&of, &after).await.unwrap();
    let there = ConversationRef::of("agent-1", "conv-1");
    letta
        .list_messages(&there, &HistoryQuery::default())
        .await
        .unwrap();
    assert_eq!(
        server.lines(),
        [
            "GET /v1/agents/agent-1/messages?limit=2&order=desc&before=m1",
            "GET /v1/agents/agent-1/messages?limit=2&order=asc&after=m1",
            "GET /v1/agents/agent-1/messages?limit=50&order=desc&conversation_id=conv-1",
            // Empty, or not there at all?
            "GET /v1/conversations/conv-1",
        ]
    );
}

#[tokio::test]
async fn a_run_is_read_with_its_error() {
    let run = |metadata: Value| {
        json!({"id": "run-1", "status": "failed", "agent_id": "agent-1", "conversation_id": null, "background": true,
            "stop_reason": "llm_api_error", "metadata": metadata,
            "created_at": "2026-11-21T01:25:18.447516Z", "completed_at": "2026-11-21T01:25:18.828045"})
    };
    let server = Scripted::new([
        ok(&run(json!({"error": "plain"}))),
        ok(&run(json!({"error": {"message": "short", "detail": "long"}}))),
        ok(&run(json!({"error": {"message": "short", "detail": null}}))),
        ok(&run(Value::Null)),
    ])
    .await;
    let letta = server.client();
    for error in [Some("plain"), Some("long"), Some("short"), None] {
        let run = letta.get_run(&"run-1".into()).await.unwrap();
        assert_eq!(run.error.as_deref(), error);
        assert_eq!(run.status, RunStatus::Failed);
        assert_eq!(run.stop_reason, Some(StopReason::LlmApiError));
        assert!(run.completed_at > run.created_at, "a time without a zone is UTC");
    }
}

#[tokio::test]
async fn active_runs_are_asked_for_by_status() {
    let server = Scripted::new([ok(&json!([{"id": "run-1", "status": "dancing"}]))]).await;
    let query = RunQuery {
        active_only: true,
        limit: 7,
    };
    let runs = server
        .client()
        .list_runs(&"agent-1".into(), &query)
        .await
        .unwrap();
    assert_eq!(runs[0].status, RunStatus::Other("dancing".to_owned()));
    assert_eq!(
        server.lines(),
        ["GET /v1/runs/?agent_id=agent-1&limit=7&order=desc&statuses=created&statuses=running"]
    );
}

#[tokio::test]
async fn a_missing_conversation_is_told_from_an_empty_one() {
    let server = Scripted::new([
        ok(&json!([])),
        reply(
            "404 Not Found",
            &json!({"detail": "Conversation not found with id='['conv-1']'"}),
        ),
    ])
    .await;
    let error = server
        .client()
        .list_messages(
            &ConversationRef::of("agent-1", "conv-1"),
            &HistoryQuery::default(),
        )
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::NotFound);
}
