//! Events to publish.

use ruma::{EventId as MatrixEventId, RoomId, UserId, owned_event_id};

use crate::{AgentRef, EventId, EventKind, Excerpt, FailureReason, Tokens, Turn};

/// An id that was given out long before any test.
pub const EARLIER: EventId = EventId::new(1, 7);

/// A turn of the agent `agent-NAME` in the room `!ROOM`.
///
/// # Panics
/// When a name does not fit into an identifier.
#[must_use]
pub fn turn(name: &str, room: &str) -> Turn {
    Turn {
        agent: AgentRef {
            id: format!("agent-{name}").into(),
            name: name.to_owned(),
        },
        room_id: RoomId::parse(format!("!{room}:matrix.test")).expect("a valid room id"),
        thread: None,
        sender: UserId::parse("@ann:matrix.test").expect("a valid user id"),
        run_id: Some("run-1".into()),
        correlation_id: MatrixEventId::parse(format!("$question-to-{name}")).expect("a valid event id"),
    }
}

/// The events of a turn with a tool, in order.
#[must_use]
pub fn whole_turn() -> Vec<EventKind> {
    vec![
        EventKind::AgentStarted { resumed: false },
        EventKind::AgentThinking { text: None },
        EventKind::ToolExecuting {
            tool_call_id: "call-1".into(),
            tool_name: "roll_dice".to_owned(),
            arguments: Some(r#"{"sides":6}"#.into()),
        },
        EventKind::ToolCompleted {
            tool_call_id: "call-1".into(),
            tool_name: "roll_dice".to_owned(),
            success: true,
            duration_ms: 12,
            result: Some("4".into()),
            error: None,
        },
        EventKind::MessageDelta {
            text: "A four.".into(),
        },
        EventKind::AgentCompleted {
            duration_ms: 1_234,
            reply_event_ids: vec![owned_event_id!("$answer")],
            steps: Some(2),
            tokens: Some(Tokens {
                input: 900,
                output: 30,
            }),
        },
    ]
}

/// Every kind of event, with as little and with as much in it as there can be.
#[must_use]
pub fn every_kind() -> Vec<EventKind> {
    let long = Excerpt::new("é\u{0}\"\\".repeat(Excerpt::MAX_BYTES));
    let mut kinds = whole_turn();
    kinds.extend([
        EventKind::AgentThinking {
            text: Some(long.clone()),
        },
        EventKind::ToolExecuting {
            tool_call_id: "call-2".into(),
            tool_name: "search".to_owned(),
            arguments: None,
        },
        EventKind::ToolCompleted {
            tool_call_id: "call-2".into(),
            tool_name: "search".to_owned(),
            success: false,
            duration_ms: u64::MAX,
            result: None,
            error: Some(long.clone()),
        },
        EventKind::AgentCompleted {
            duration_ms: 0,
            reply_event_ids: Vec::new(),
            steps: None,
            tokens: None,
        },
        EventKind::ApprovalRequested {
            approval_id: "approval-1".into(),
            tool_call_id: "call-3".into(),
            tool_name: "send_money".to_owned(),
            arguments: Some(long.clone()),
        },
        EventKind::ApprovalRequested {
            approval_id: "approval-2".into(),
            tool_call_id: "call-4".into(),
            tool_name: "send_money".to_owned(),
            arguments: None,
        },
        EventKind::ApprovalResolved {
            approval_id: "approval-1".into(),
            tool_call_id: "call-3".into(),
            approved: true,
            by: Some(UserId::parse("@boss:matrix.test").expect("a valid user id")),
        },
        EventKind::ApprovalResolved {
            approval_id: "approval-2".into(),
            tool_call_id: "call-4".into(),
            approved: false,
            by: None,
        },
        EventKind::MessageDelta { text: long },
    ]);
    kinds.extend(
        [
            FailureReason::Unavailable,
            FailureReason::TimedOut,
            FailureReason::Cancelled,
            FailureReason::Model,
            FailureReason::Limit,
            FailureReason::NoAnswer,
            FailureReason::Undeliverable,
            FailureReason::Internal,
        ]
        .map(|reason| EventKind::AgentFailed {
            reason,
            message: "It did not work.".into(),
            duration_ms: 1,
        }),
    );
    kinds
}
