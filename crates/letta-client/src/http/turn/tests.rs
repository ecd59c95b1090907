//! On streams recorded from Letta 0.16.8.

use proptest::prelude::*;

use super::*;
use crate::{ProviderFailure, http::sse::SseDecoder, types::turn::TurnErrorKind};

const TOKENS: &str = include_str!("../fixtures/tokens.sse");
const TOOL: &str = include_str!("../fixtures/tool.sse");
const TOOL_IN_PIECES: &str = include_str!("../fixtures/tool_in_pieces.sse");
const APPROVAL_IN_PIECES: &str = include_str!("../fixtures/approval_in_pieces.sse");
const BACKGROUND: &str = include_str!("../fixtures/background.sse");
const JOINED_BEHIND_3: &str = include_str!("../fixtures/joined_behind_3.sse");
const CANCELLED: &str = include_str!("../fixtures/cancelled.sse");
const DELETED_MEANWHILE: &str = include_str!("../fixtures/deleted_meanwhile.sse");
const PROVIDER_REFUSES_KEY: &str = include_str!("../fixtures/provider_refuses_key.sse");
const CONTEXT_TOO_LONG: &str = include_str!("../fixtures/context_too_long.sse");
const PENDING_APPROVAL: &str = include_str!("../fixtures/pending_approval.sse");

const ALL: [&str; 10] = [
    TOKENS,
    TOOL,
    TOOL_IN_PIECES,
    APPROVAL_IN_PIECES,
    BACKGROUND,
    CANCELLED,
    DELETED_MEANWHILE,
    PROVIDER_REFUSES_KEY,
    CONTEXT_TOO_LONG,
    PENDING_APPROVAL,
];

fn sse(text: &str) -> Vec<SseEvent> {
    let mut events = Vec::new();
    SseDecoder::new(1 << 20)
        .push(text.as_bytes(), &mut events)
        .unwrap();
    events
}

fn run_through(decoder: &mut TurnDecoder, events: &[SseEvent]) -> Decoded {
    let mut out = Vec::new();
    for event in events {
        out.extend(decoder.push(event));
    }
    out.extend(decoder.end());
    out
}

fn decode(text: &str) -> Vec<TurnEvent> {
    run_through(&mut TurnDecoder::new(), &sse(text))
        .into_iter()
        .map(|event| event.unwrap())
        .collect()
}

/// A turn as a person would tell it. Pieces of one text are joined.
fn story(events: &[TurnEvent]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut speaking = None;
    for event in events {
        let (item, line) = match &event.kind {
            TurnEventKind::Started => (None, "started".to_owned()),
            TurnEventKind::Alive => (None, "alive".to_owned()),
            TurnEventKind::Text { item, append } => (Some(item), format!("says {append}")),
            TurnEventKind::Reasoning { item, append } => (Some(item), format!("thinks {append}")),
            TurnEventKind::ToolCall(call) => (None, format!("calls {} {}", call.name, call.arguments)),
            TurnEventKind::ToolOutput {
                status,
                output,
                is_final,
                ..
            } => {
                assert!(is_final);
                (None, format!("{status:?}: {output}"))
            }
            TurnEventKind::ApprovalRequested(request) => {
                let calls: Vec<_> = request
                    .calls
                    .iter()
                    .map(|call| format!("{} {}", call.name, call.arguments))
                    .collect();
                (None, format!("asks for {}", calls.join(" and ")))
            }
            TurnEventKind::Notice { message_type, text } => (None, format!("({message_type}: {text})")),
            TurnEventKind::Usage(usage) => (
                None,
                format!("cost {}+{}", usage.prompt_tokens, usage.completion_tokens),
            ),
            TurnEventKind::Gap => (None, "gap".to_owned()),
            TurnEventKind::Ended { reason, error } => (
                None,
                match error {
                    None => format!("ended {}", reason.as_wire()),
                    Some(error) => format!("ended {} {:?}", reason.as_wire(), error.kind),
                },
            ),
        };
        match (item, lines.last_mut()) {
            (Some(item), Some(last)) if speaking == Some(item) => {
                last.push_str(line.split_once(' ').unwrap().1);
            }
            _ => lines.push(line),
        }
        speaking = item;
    }
    lines
}

#[test]
fn a_streamed_answer_is_told_in_order() {
    let events = decode(TOKENS);
    assert_eq!(
        story(&events),
        [
            "started",
            "thinks some deep thought here",
            "says echo: [think some deep thought here] hello token stream one two three",
            "cost 585+17",
            "ended end_turn",
        ]
    );
    let run = RunId::from("run-c50f8621-b4ad-487a-8a8f-8eccaaa68848");
    assert!(events.iter().all(|event| event.run.as_ref() == Some(&run)));
    assert!(events.iter().all(|event| event.resume.is_none()));
}

#[test]
fn a_tool_is_called_before_it_returns() {
    assert_eq!(
        story(&decode(TOOL)),
        [
            "started",
            "thinks calling",
            "calls conversation_search {\"query\": \"qqqq\"}",
            "Success: {'message': 'No results found.', 'results': []}",
            "thinks calling",
            "says tool conversation_search returned: {'message': 'No results found.', 'results': []}",
            "cost 3315+24",
            "ended end_turn",
        ]
    );
}

#[test]
fn a_call_in_pieces_is_told_whole_and_at_its_last_piece() {
    let events = decode(TOOL_IN_PIECES);
    assert_eq!(story(&events)[..2], ["started", "calls no_such {\"a\": 1}"]);
    assert!(story(&events)[2].starts_with("Error: [ToolConstraintError]"));
    // Not only when the message behind it arrives: by then the tool has returned.
    let mut decoder = TurnDecoder::new();
    let sse = sse(TOOL_IN_PIECES);
    let told: Vec<_> = sse[..3].iter().flat_map(|event| decoder.push(event)).collect();
    assert!(
        matches!(&told[1], Ok(TurnEvent { kind: TurnEventKind::ToolCall(call), .. }) if call.arguments == "{\"a\": 1}"),
        "{told:?}"
    );
}

#[test]
fn a_call_is_complete_at_its_last_brace_and_not_before() {
    let arguments = r#"{"a": "} \" }", "b": [1, {"c": {}}], "d": "\\"}"#;
    assert!(serde_json::from_str::<Value>(arguments).is_ok());
    let mut decoder = TurnDecoder::new();
    let mut told = Vec::new();
    for (index, piece) in arguments.char_indices() {
        let piece = serde_json::json!({"tool_call_id": "call_1", "name": (index == 0).then_some("look"),
            "arguments": piece.to_string()});
        let message = serde_json::json!({"message_type": "tool_call_message", "id": "m", "run_id": "run-1",
            "seq_id": index + 1, "tool_call": piece, "tool_calls": piece});
        assert_eq!(told.len(), usize::from(index > 0), "too early: {told:?}");
        told.extend(decoder.push(&SseEvent {
            name: None,
            data: message.to_string(),
        }));
    }
    let told: Vec<_> = told.into_iter().map(|event| event.unwrap()).collect();
    assert_eq!(
        story(&told),
        ["started".to_owned(), format!("calls look {arguments}")]
    );
    assert_eq!(
        told[1].resume.as_ref().map(ResumeToken::as_str),
        Some(&*format!("run-1/{}", arguments.len()))
    );
}

#[test]
fn an_approval_in_pieces_is_told_whole() {
    let events = decode(APPROVAL_IN_PIECES);
    assert_eq!(
        story(&events),
        [
            "started",
            "thinks hmm ok",
            "asks for get_weather {\"city\": \"Oslo\"}",
            "cost 998+4",
            "ended requires_approval",
        ]
    );
    let request = events.iter().find_map(|event| match &event.kind {
        TurnEventKind::ApprovalRequested(request) => Some(request),
        _ => None,
    });
    let request = request.unwrap();
    assert_eq!(
        request.id.as_str(),
        "message-b484a7bd-6538-4604-bd3e-316222634caf"
    );
    assert_eq!(request.calls[0].id.as_str(), "call_d91667e5a24a883e596a8ebb");
}

#[test]
fn a_kept_turn_can_be_joined_behind_each_event() {
    let positions: Vec<_> = decode(BACKGROUND)
        .iter()
        .map(|event| {
            event
                .resume
                .as_ref()
                .and_then(Position::parse)
                .map(|at| at.sequence)
        })
        .collect();
    // The cost and the end have no position of their own.
    assert_eq!(
        positions,
        [Some(1), Some(2), Some(3), Some(4), Some(5), None, None]
    );

    let position = Position {
        run: RunId::from("run-5842dba3-9dbd-4346-bd15-e61b9154a5b9"),
        sequence: 3,
    };
    assert_eq!(Position::parse(&position.token()), Some(position.clone()));
    let rest = run_through(&mut TurnDecoder::joined(&position), &sse(JOINED_BEHIND_3));
    let rest: Vec<_> = rest.into_iter().map(|event| event.unwrap()).collect();
    assert_eq!(story(&rest), ["says  one two", "cost 521+6", "ended end_turn"]);
    assert_eq!(rest, decode(BACKGROUND)[3..]);
}

#[test]
fn lost_events_are_told() {
    let position = Position {
        run: RunId::from("run-5842dba3-9dbd-4346-bd15-e61b9154a5b9"),
        sequence: 2,
    };
    let mut decoder = TurnDecoder::joined(&position);
    let mut told = decoder.push(&SseEvent {
        name: None,
        data: r#"{"message_type":"ping","seq_id":null}"#.to_owned(),
    });
    told.extend(run_through(&mut decoder, &sse(JOINED_BEHIND_3)));
    let told: Vec<_> = told.into_iter().map(|event| event.unwrap()).collect();
    assert_eq!(
        story(&told),
        ["alive", "gap", "says  one two", "cost 521+6", "ended end_turn"]
    );
}

#[test]
fn a_cancelled_turn_ends_without_the_usual_end_of_stream() {
    assert_eq!(
        story(&decode(CANCELLED)),
        ["started", "says echo: [trickle 8] will", "ended cancelled"]
    );
}

#[test]
fn an_error_behind_the_end_of_a_turn_is_part_of_its_end() {
    assert_eq!(
        story(&decode(DELETED_MEANWHILE)).last().unwrap(),
        "ended end_turn Internal"
    );
}

#[test]
fn failures_inside_a_stream_are_told_apart() {
    let error = |text: &str| match decode(text).pop() {
        Some(TurnEvent {
            kind: TurnEventKind::Ended {
                error: Some(error), ..
            },
            ..
        }) => error,
        other => panic!("{other:?}"),
    };
    let refused = error(PROVIDER_REFUSES_KEY);
    assert_eq!(
        refused.kind,
        TurnErrorKind::Provider(ProviderFailure::Authentication)
    );
    assert_eq!(
        refused.message,
        "Authentication failed with the LLM model provider."
    );
    assert!(refused.detail.unwrap().contains("fake failure 401"));

    let too_long = error(CONTEXT_TOO_LONG);
    assert_eq!(
        too_long.kind,
        TurnErrorKind::Provider(ProviderFailure::ContextWindowExceeded)
    );

    let pending = error(PENDING_APPROVAL);
    assert_eq!(pending.kind, TurnErrorKind::PendingApproval);
    assert_eq!(pending.detail, None, "the same sentence twice is no detail");

    for (detail, kind) in [
        (
            "Invalid tool call IDs. Expected '['a']', but received '['b']'.",
            TurnErrorKind::InvalidRequest,
        ),
        (
            "CONFLICT: Cannot send a new message: Another request (run_id=run-1) is currently being processed",
            TurnErrorKind::Busy,
        ),
        ("Step with id step-1 does not exist", TurnErrorKind::Internal),
    ] {
        let data = serde_json::json!({"message_type": "error_message", "error_type": "internal_error",
            "message": "An error occurred during agent execution.", "detail": detail});
        assert_eq!(
            error(&format!("event: error\ndata: {data}\n\n")).kind,
            kind,
            "{detail}"
        );
    }
    // Failures of the provider that have no type of their own inside a stream.
    for (detail, failure) in [
        (
            "PAYMENT_REQUIRED: Insufficient credits",
            ProviderFailure::InsufficientCredits,
        ),
        (
            "INVALID_ARGUMENT: Bad request to OpenAI",
            ProviderFailure::BadRequest,
        ),
        (
            "PERMISSION_DENIED: Permission denied by OpenAI",
            ProviderFailure::Other,
        ),
    ] {
        let data =
            serde_json::json!({"message_type": "error_message", "error_type": "llm_error", "detail": detail});
        assert_eq!(
            error(&format!("event: error\ndata: {data}\n\n")).kind,
            TurnErrorKind::Provider(failure),
            "{detail}"
        );
    }
}

#[test]
fn what_the_server_does_on_its_own_is_a_notice() {
    let story = story(&decode(CONTEXT_TOO_LONG));
    assert_eq!(story[1], "(event_message: compaction)");
    assert_eq!(story[2], "(summary_message: summary of 99 characters)");
    let alert = serde_json::json!({"type": "system_alert", "message": "Messages were hidden."}).to_string();
    let message = serde_json::json!({"message_type": "user_message", "id": "m", "content": alert});
    let told = TurnDecoder::new().push(&SseEvent {
        name: None,
        data: message.to_string(),
    });
    assert!(
        matches!(&told[1], Ok(TurnEvent { kind: TurnEventKind::Notice { message_type, text }, .. })
            if message_type == "system_alert" && text == "Messages were hidden."),
        "{told:?}"
    );
}

#[test]
fn a_stream_without_pings_begins_with_its_first_message() {
    let without: String = TOKENS.split_inclusive("\n\n").skip(1).collect();
    assert_eq!(story(&decode(&without)), story(&decode(TOKENS)));
    assert!(decode(&without)[0].run.is_some());
}

#[test]
fn a_stream_that_just_ends_leaves_the_outcome_open() {
    let events = sse(TOKENS);
    for cut in 0..events.len() - 3 {
        let told = run_through(&mut TurnDecoder::new(), &events[..cut]);
        let error = told.last().unwrap().as_ref().unwrap_err();
        assert_eq!(error.kind(), &LettaErrorKind::Interrupted);
        assert!(error.may_have_applied());
        assert!(error.is_retryable());
    }
}

#[test]
fn parallel_calls_are_told_one_by_one_and_only_the_last_can_be_joined_behind() {
    let call = |id: &str| serde_json::json!({"tool_call_id": id, "name": "look", "arguments": "{}"});
    let message = serde_json::json!({"message_type": "tool_call_message", "id": "m", "run_id": "run-1", "seq_id": 4,
        "tool_call": call("a"), "tool_calls": [call("a"), call("b")]});
    let told = TurnDecoder::new().push(&SseEvent {
        name: None,
        data: message.to_string(),
    });
    let told: Vec<_> = told.into_iter().map(|event| event.unwrap()).collect();
    assert_eq!(story(&told), ["started", "calls look {}", "calls look {}"]);
    let tokens: Vec<_> = told
        .iter()
        .map(|event| event.resume.as_ref().map(ResumeToken::as_str))
        .collect();
    assert_eq!(tokens, [None, None, Some("run-1/4")]);
}

#[test]
fn a_kind_of_message_that_is_new_is_a_notice() {
    for data in [
        r#"{"message_type":"dance_message","stop_reason":{"why":1},"tool_calls":7,"id":[]}"#,
        r#"{"message_type":"hidden_reasoning_message","state":"redacted"}"#,
        r#"{"no":"type"}"#,
        "[]",
        "7",
    ] {
        let told = TurnDecoder::new().push(&SseEvent {
            name: None,
            data: data.to_owned(),
        });
        assert!(
            matches!(
                told.last(),
                Some(Ok(TurnEvent {
                    kind: TurnEventKind::Notice { .. },
                    ..
                }))
            ),
            "{data}: {told:?}"
        );
    }
}

#[test]
fn what_is_not_json_ends_the_stream_with_an_error() {
    let told = run_through(
        &mut TurnDecoder::new(),
        &sse("data: {\"message_type\":\n\ndata: [DONE]\n\n"),
    );
    assert_eq!(told.len(), 1, "{told:?}");
    let error = told[0].as_ref().unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::Decode);
    assert!(error.may_have_applied());
}

/// The events of a stream as a server with Redis would number them.
fn numbered(text: &str) -> Vec<SseEvent> {
    let mut events = sse(text);
    for (index, event) in events.iter_mut().enumerate() {
        event.data = event
            .data
            .replace("\"seq_id\":null", &format!("\"seq_id\":{}", index + 1));
    }
    events
}

#[test]
fn joining_again_anywhere_tells_exactly_the_rest() {
    for text in ALL {
        let events = numbered(text);
        let mut decoder = TurnDecoder::new();
        let all = run_through(&mut decoder, &events);
        let kinds = |events: &[Result<TurnEvent, LettaError>]| {
            events
                .iter()
                .map(|event| event.as_ref().unwrap().kind.clone())
                .collect::<Vec<_>>()
        };
        let mut joined = 0;
        for (index, event) in all.iter().enumerate() {
            let Some(token) = &event.as_ref().unwrap().resume else {
                continue;
            };
            let position = Position::parse(token).unwrap();
            let behind = usize::try_from(position.sequence).unwrap();
            let rest = run_through(&mut TurnDecoder::joined(&position), &events[behind..]);
            assert_eq!(kinds(&rest), kinds(&all[index + 1..]), "behind {event:?}");
            joined += 1;
        }
        assert!(joined > 0, "{text}");
    }
}

#[test]
fn a_call_is_not_torn_apart_by_a_ping() {
    let mut events = numbered(TOOL_IN_PIECES);
    let whole = story(
        &run_through(&mut TurnDecoder::new(), &events)
            .into_iter()
            .map(|event| event.unwrap())
            .collect::<Vec<_>>(),
    );
    events.insert(
        2,
        SseEvent {
            name: None,
            data: r#"{"message_type":"ping","run_id":"run-d44aa349-6df0-45bb-8a23-994d809c4c0b","seq_id":2}"#
                .to_owned(),
        },
    );
    let told: Vec<_> = run_through(&mut TurnDecoder::new(), &events)
        .into_iter()
        .map(|event| event.unwrap())
        .collect();
    let mut expected = whole;
    expected.insert(1, "alive".to_owned());
    assert_eq!(story(&told), expected);
    assert_eq!(
        told[1].resume, None,
        "the call has begun and can not be joined in the middle"
    );
}

proptest! {
    /// Whatever a server sends, in whatever order and however often: no panic, and one end, at the end.
    #[test]
    fn any_order_of_events_ends_exactly_once(
        picks in proptest::collection::vec((0..ALL.len(), any::<proptest::sample::Index>()), 0..40),
    ) {
        let streams: Vec<_> = ALL.iter().map(|text| numbered(text)).collect();
        let events: Vec<_> = picks
            .iter()
            .map(|(stream, at)| at.get(&streams[*stream]).clone())
            .collect();
        let told = run_through(&mut TurnDecoder::new(), &events);
        let ends = told
            .iter()
            .filter(|event| match event {
                Ok(event) => matches!(event.kind, TurnEventKind::Ended { .. }),
                Err(_) => true,
            })
            .count();
        prop_assert_eq!(ends, 1);
        let ends_last = matches!(
            told.last(),
            Some(Ok(TurnEvent { kind: TurnEventKind::Ended { .. }, .. }) | Err(_))
        );
        prop_assert!(ends_last, "{:?}", told);
        let starts = told
            .iter()
            .filter(|event| matches!(event, Ok(TurnEvent { kind: TurnEventKind::Started, .. })))
            .count();
        prop_assert!(starts <= 1);
    }

    /// Any JSON at all under any known name: an error at worst.
    #[test]
    fn no_message_makes_the_decoder_panic(
        message_type in "ping|assistant_message|reasoning_message|tool_call_message|tool_return_message|approval_request_message|user_message|stop_reason|usage_statistics|error_message|x",
        field in "id|otid|run_id|seq_id|content|reasoning|tool_call|tool_calls|tool_return|tool_returns|stop_reason|status|message|detail|date",
        value in r#"null|true|-1|18446744073709551616|"text"|\[\]|\[1\]|\{\}|\{"name":1\}|\[\{"tool_call_id":null\}\]"#,
    ) {
        let data = format!(r#"{{"message_type":"{message_type}","{field}":{value}}}"#);
        let mut decoder = TurnDecoder::new();
        for _ in 0..2 {
            decoder.push(&SseEvent { name: None, data: data.clone() });
        }
        decoder.end();
    }
}
