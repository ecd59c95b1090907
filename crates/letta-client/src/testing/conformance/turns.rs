//! What happens when something is said.

use bytes::Bytes;

use super::{
    super::{
        CaseError, CaseResult,
        result::Failure,
        subject::{events, eventually, read_until},
    },
    Subject, needs,
};
use crate::{
    Agent, AgentId, CancelOutcome, ContentPart, ConversationRef, Disposition, HistoryItem, HistoryQuery,
    LettaErrorKind, ProviderFailure, StopReason, ToolStatus, TurnErrorKind, TurnEvent, TurnEventKind,
    TurnInput, TurnOptions,
};

const NOBODY: &str = "agent-00000000-0000-4000-8000-000000000000";

/// The smallest picture there is: 8 by 8 red pixels.
const PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, b'I', b'H', b'D', b'R', 0x00,
    0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x08, 0x08, 0x02, 0x00, 0x00, 0x00, 0x4b, 0x6d, 0x29, 0xdc, 0x00,
    0x00, 0x00, 0x12, b'I', b'D', b'A', b'T', 0x78, 0x9c, 0x63, 0xf8, 0xcf, 0xc0, 0x80, 0x15, 0x61, 0x17,
    0x1d, 0xb4, 0x12, 0x00, 0x28, 0xff, 0x3f, 0xc1, 0x6e, 0xec, 0xdf, 0x81, 0x00, 0x00, 0x00, 0x00, b'I',
    b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];

fn pieces() -> TurnOptions {
    TurnOptions::default()
}

fn whole() -> TurnOptions {
    TurnOptions {
        tokens: false,
        ..TurnOptions::default()
    }
}

/// Everything a turn does, in the two ways to stream it.
async fn both_ways(subject: &Subject, agent: &Agent, text: &str) -> CaseResult<[Vec<TurnEvent>; 2]> {
    let first = events(subject.start(agent, text, &pieces()).await?).await?;
    let second = events(subject.start(agent, text, &whole()).await?).await?;
    Ok([first, second])
}

fn text_of(events: &[TurnEvent]) -> String {
    events
        .iter()
        .filter_map(|event| match &event.kind {
            TurnEventKind::Text { append, .. } => Some(append.as_str()),
            _ => None,
        })
        .collect()
}

fn ended(events: &[TurnEvent]) -> CaseResult<(&StopReason, Option<&TurnErrorKind>)> {
    match events.last().map(|event| &event.kind) {
        Some(TurnEventKind::Ended { reason, error }) => Ok((reason, error.as_ref().map(|error| &error.kind))),
        _ => Err(CaseError::new(format!("not ended: {events:#?}"))),
    }
}

pub(super) async fn a_turn_begins_with_started_and_ends_with_ended(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    for options in [pieces(), whole()] {
        let stream = subject
            .start(&agent, "[think a little] tell me", &options)
            .await?;
        assert_eq!(stream.disposition(), Disposition::Started);
        let events = events(stream).await?;
        assert_eq!(events[0].kind, TurnEventKind::Started);
        let run = events[0].run.clone();
        assert!(run.is_some(), "{:?}", events[0]);
        for event in &events[1..] {
            assert_eq!(event.run, run, "{event:?}");
            assert_ne!(event.kind, TurnEventKind::Started);
        }
        let ends = events
            .iter()
            .filter(|event| matches!(event.kind, TurnEventKind::Ended { .. }))
            .count();
        assert_eq!(ends, 1, "{events:#?}");
        assert_eq!(ended(&events)?, (&StopReason::EndTurn, None));
    }
    Ok(())
}

pub(super) async fn a_message_is_answered(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    for text in [
        "hello",
        "two\nlines and \"quotes\"",
        "\u{1f999} \u{5e9}\u{5dc}\u{5d5}\u{5dd}",
        " ",
    ] {
        let outcome = subject.say(&agent, text).await?;
        assert_eq!(outcome.text.trim(), format!("echo: {text}").trim());
        assert_eq!(outcome.reason, StopReason::EndTurn);
        assert_eq!(outcome.error, None);
        assert!(outcome.run.is_some());
    }
    Ok(())
}

pub(super) async fn pieces_add_up_to_the_whole_answer(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let [in_pieces, in_one] = both_ways(subject, &agent, "one two three four five six").await?;
    assert_eq!(text_of(&in_pieces), "echo: one two three four five six");
    assert_eq!(text_of(&in_one), text_of(&in_pieces));
    let count = |events: &[TurnEvent]| {
        events
            .iter()
            .filter(|event| matches!(event.kind, TurnEventKind::Text { .. }))
            .count()
    };
    assert!(count(&in_pieces) > 1, "{in_pieces:#?}");
    assert_eq!(count(&in_one), 1, "{in_one:#?}");
    let mut items: Vec<_> = in_pieces
        .iter()
        .filter_map(|event| match &event.kind {
            TurnEventKind::Text { item, .. } => Some(item),
            _ => None,
        })
        .collect();
    items.dedup();
    assert_eq!(items.len(), 1, "one answer, one item: {items:?}");
    Ok(())
}

pub(super) async fn a_thought_comes_before_its_answer(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    for events in both_ways(subject, &agent, "[think some deep thought] [say an answer]").await? {
        let thought: String = events
            .iter()
            .filter_map(|event| match &event.kind {
                TurnEventKind::Reasoning { append, .. } => Some(append.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(thought, "some deep thought");
        assert_eq!(text_of(&events), "an answer");
        let last_thought = events
            .iter()
            .rposition(|event| matches!(event.kind, TurnEventKind::Reasoning { .. }));
        let first_text = events
            .iter()
            .position(|event| matches!(event.kind, TurnEventKind::Text { .. }));
        assert!(last_thought < first_text, "{events:#?}");
        let item = |at: Option<usize>| match at.map(|at| &events[at].kind) {
            Some(TurnEventKind::Reasoning { item, .. } | TurnEventKind::Text { item, .. }) => item.clone(),
            other => panic!("{other:?}"),
        };
        assert_ne!(item(last_thought), item(first_text), "two things, two items");
    }
    Ok(())
}

pub(super) async fn a_tool_is_called_and_returns(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let (tool, arguments) = subject.tool();
    for events in both_ways(subject, &agent, &subject.tool_prompt()).await? {
        let (at, call) = events
            .iter()
            .enumerate()
            .find_map(|(at, event)| match &event.kind {
                TurnEventKind::ToolCall(call) => Some((at, call)),
                _ => None,
            })
            .ok_or_else(|| CaseError::new(format!("no call: {events:#?}")))?;
        assert_eq!(call.name, tool);
        let expected: serde_json::Value = serde_json::from_str(arguments)?;
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&call.arguments)?,
            expected
        );
        let (back, output) = events
            .iter()
            .enumerate()
            .find_map(|(at, event)| match &event.kind {
                TurnEventKind::ToolOutput {
                    call: id,
                    status: ToolStatus::Success,
                    output,
                    is_final: true,
                } if *id == call.id => Some((at, output)),
                _ => None,
            })
            .ok_or_else(|| CaseError::new(format!("no return: {events:#?}")))?;
        assert!(at < back, "{events:#?}");
        assert_ne!(output, "");
        // How the server words the result for the model is its own business.
        let said = text_of(&events);
        assert!(said.starts_with(&format!("tool {tool} returned: ")), "{said}");
        assert_eq!(ended(&events)?, (&StopReason::EndTurn, None));
    }
    Ok(())
}

pub(super) async fn a_tool_that_does_not_exist_fails(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    for events in both_ways(subject, &agent, "[tool:no_such_tool {\"a\":1}] x").await? {
        let failed = events.iter().any(|event| {
            matches!(
                &event.kind,
                TurnEventKind::ToolOutput {
                    status: ToolStatus::Error,
                    is_final: true,
                    ..
                }
            )
        });
        assert!(failed, "{events:#?}");
        // The agent reads of it and goes on.
        assert_eq!(ended(&events)?, (&StopReason::EndTurn, None));
        assert!(
            text_of(&events).starts_with("tool no_such_tool returned: "),
            "{events:#?}"
        );
    }
    Ok(())
}

pub(super) async fn the_arguments_of_a_call_are_complete_with_and_without_pieces(
    subject: &Subject,
) -> CaseResult {
    let agent = subject.agent().await?;
    let arguments = r#"{"text": "a } and a \" and a {", "list": [1, {"deep": []}], "none": null}"#;
    let prompt = format!("[tool:no_such_tool {arguments}] x");
    for events in both_ways(subject, &agent, &prompt).await? {
        let calls: Vec<_> = events
            .iter()
            .filter_map(|event| match &event.kind {
                TurnEventKind::ToolCall(call) => Some(call),
                _ => None,
            })
            .collect();
        let [call] = calls[..] else {
            panic!("one call: {events:#?}")
        };
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&call.arguments)?,
            serde_json::from_str::<serde_json::Value>(arguments)?
        );
    }
    Ok(())
}

pub(super) async fn the_cost_is_reported(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let usage = subject.say(&agent, "hello").await?.usage;
    assert_eq!(usage.steps, 1, "{usage:?}");
    assert!(usage.prompt_tokens > 0, "{usage:?}");
    assert!(usage.completion_tokens > 0, "{usage:?}");
    assert_eq!(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
    let with_tool = subject.say(&agent, &subject.tool_prompt()).await?.usage;
    assert_eq!(with_tool.steps, 2, "{with_tool:?}");
    Ok(())
}

pub(super) async fn an_empty_answer_is_no_failure(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    for events in both_ways(subject, &agent, "[empty]").await? {
        assert_eq!(text_of(&events), "");
        assert_eq!(ended(&events)?, (&StopReason::EndTurn, None));
    }
    Ok(())
}

pub(super) async fn a_cut_answer_looks_like_a_success(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let stream = subject
        .start(&agent, "[dropstream] one two three four", &pieces())
        .await?;
    let events = events(stream).await?;
    assert_eq!(ended(&events)?, (&StopReason::EndTurn, None));
    let text = text_of(&events);
    assert!(
        "echo: one two three four".starts_with(&text) && text.len() < 20,
        "{text:?}"
    );
    Ok(())
}

pub(super) async fn a_failing_provider_is_told_apart_by_kind(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    for (prompt, failure) in [
        ("[fail 401]", ProviderFailure::Authentication),
        ("[fail 402]", ProviderFailure::InsufficientCredits),
        ("[fail 429]", ProviderFailure::RateLimit),
        ("[fail 400]", ProviderFailure::BadRequest),
        ("[fail 500]", ProviderFailure::Other),
    ] {
        let outcome = subject.say(&agent, &format!("{prompt} hello")).await?;
        let error = outcome
            .error
            .as_ref()
            .ok_or_else(|| CaseError::new(format!("no error for {prompt}: {outcome:?}")))?;
        assert_eq!(
            error.kind,
            TurnErrorKind::Provider(failure),
            "{prompt}: {error:?}"
        );
        assert_ne!(error.message, "");
        assert!(
            matches!(outcome.reason, StopReason::LlmApiError | StopReason::Error),
            "{prompt}: {outcome:?}"
        );
        assert_eq!(outcome.text, "", "{prompt}");
    }
    // The next message is answered as if nothing had been.
    assert_eq!(subject.say(&agent, "hello").await?.text, "echo: hello");
    Ok(())
}

pub(super) async fn a_context_that_is_too_long_is_shortened_or_reported(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let stream = subject.start(&agent, "[ctx] hello", &pieces()).await?;
    let events = events(stream).await?;
    let (_, error) = ended(&events)?;
    match error {
        Some(kind) => assert_eq!(
            kind,
            &TurnErrorKind::Provider(ProviderFailure::ContextWindowExceeded)
        ),
        // What the server shortened it says.
        None => assert!(
            events
                .iter()
                .any(|event| matches!(event.kind, TurnEventKind::Notice { .. })),
            "{events:#?}"
        ),
    }
    Ok(())
}

pub(super) async fn a_failed_turn_leaves_no_message_behind(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let outcome = subject.say(&agent, "[fail 500] remember me").await?;
    assert!(outcome.error.is_some());
    let page = subject
        .api()
        .list_messages(&ConversationRef::agent(agent.id), &HistoryQuery::default())
        .await?;
    let said = page
        .messages
        .iter()
        .any(|message| matches!(message.item, HistoryItem::User { .. }));
    assert!(!said, "{page:#?}");
    Ok(())
}

pub(super) async fn a_message_to_nobody_is_not_sent(subject: &Subject) -> CaseResult {
    let to = ConversationRef::agent(AgentId::new(NOBODY));
    let input = TurnInput::text(subject.otid(), "anybody?");
    for options in [
        pieces(),
        TurnOptions {
            resumable: false,
            ..pieces()
        },
    ] {
        let error = subject.api().send(&to, &input, &options).await.failure()?;
        assert_eq!(error.kind(), &LettaErrorKind::NotFound, "{error:?}");
        assert!(!error.may_have_applied());
    }
    Ok(())
}

pub(super) async fn an_empty_message_is_refused(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let to = ConversationRef::agent(agent.id);
    for content in [vec![], vec![ContentPart::Text(String::new())]] {
        let input = TurnInput {
            content,
            ..TurnInput::text(subject.otid(), "")
        };
        let error = subject.api().send(&to, &input, &pieces()).await.failure()?;
        assert_eq!(error.kind(), &LettaErrorKind::InvalidRequest, "{error:?}");
        assert!(!error.may_have_applied());
    }
    Ok(())
}

pub(super) async fn a_turn_ends_at_its_limit_of_steps(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let (tool, arguments) = subject.tool();
    let options = TurnOptions {
        max_steps: Some(2),
        ..pieces()
    };
    let stream = subject
        .start(&agent, &format!("[loop:{tool} {arguments}]"), &options)
        .await?;
    let events = events(stream).await?;
    assert_eq!(ended(&events)?, (&StopReason::MaxSteps, None));
    let calls = events
        .iter()
        .filter(|event| matches!(event.kind, TurnEventKind::ToolCall(_)))
        .count();
    assert_eq!(calls, 2, "{events:#?}");
    Ok(())
}

pub(super) async fn an_image_reaches_the_model(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let input = TurnInput {
        otid: subject.otid(),
        content: vec![
            ContentPart::Text("look".to_owned()),
            ContentPart::Image {
                media_type: "image/png".to_owned(),
                data: Bytes::from_static(PNG),
            },
        ],
        name: Some("bob".to_owned()),
    };
    let to = ConversationRef::agent(agent.id);
    let outcome = subject
        .api()
        .send(&to, &input, &pieces())
        .await?
        .outcome()
        .await?;
    assert_eq!(outcome.text, "echo: look [images: 1]");
    Ok(())
}

pub(super) async fn a_turn_goes_on_when_nobody_reads_it(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let to = ConversationRef::agent(agent.id.clone());
    for resumable in [true, false] {
        let input = TurnInput::text(subject.otid(), "[trickle 1] nobody reads this");
        let options = TurnOptions {
            resumable,
            ..pieces()
        };
        let mut stream = subject.api().send(&to, &input, &options).await?;
        read_until(&mut stream, |kind| matches!(kind, TurnEventKind::Started)).await?;
        drop(stream);
        let answer = eventually("the answer of a turn that nobody reads", || async {
            let page = subject.api().list_messages(&to, &HistoryQuery::default()).await?;
            let asked = page
                .messages
                .iter()
                .position(|message| message.otid.as_ref() == Some(&input.otid));
            Ok(asked.and_then(|asked| {
                page.messages[asked..]
                    .iter()
                    .find_map(|message| match &message.item {
                        HistoryItem::Assistant { text } => Some(text.clone()),
                        _ => None,
                    })
            }))
        })
        .await?;
        assert_eq!(answer, "echo: [trickle 1] nobody reads this");
    }
    Ok(())
}

pub(super) async fn the_same_otid_runs_again(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let to = ConversationRef::agent(agent.id);
    let input = TurnInput::text(subject.otid(), "twice");
    let mut runs = Vec::new();
    for _ in 0..2 {
        let stream = subject.api().send(&to, &input, &pieces()).await?;
        let disposition = stream.disposition();
        let outcome = stream.outcome().await?;
        assert_eq!(outcome.text, "echo: twice");
        runs.push((disposition, outcome.run));
    }
    match &runs[..] {
        [(_, first), (Disposition::Duplicate, second)] => assert_eq!(first, second),
        [(_, first), (_, second)] => assert_ne!(first, second),
        _ => panic!("{runs:?}"),
    }
    Ok(())
}

pub(super) async fn an_agent_remembers_what_was_said(subject: &Subject) -> CaseResult {
    needs!(subject, ContextMarker);
    let agent = subject.agent().await?;
    assert_eq!(
        subject.say(&agent, "[context]").await?.text,
        "context: 0 earlier user turns"
    );
    subject.say(&agent, "my name is Ada").await?;
    let text = subject.say(&agent, "[context]").await?.text;
    assert!(text.starts_with("context: 2 earlier user turns"), "{text}");
    Ok(())
}

pub(super) async fn a_cancelled_turn_says_so(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let to = ConversationRef::agent(agent.id.clone());
    for (resumable, by_run) in [(true, false), (false, false), (true, true)] {
        let options = TurnOptions {
            resumable,
            ..pieces()
        };
        let mut stream = subject
            .start(
                &agent,
                "[trickle 8] stop me a b c d e f g h i j k l m n o p",
                &options,
            )
            .await?;
        let begun = read_until(&mut stream, |kind| matches!(kind, TurnEventKind::Text { .. })).await?;
        let run = begun[0].run.clone();
        let outcome = subject.api().cancel(&to, run.as_ref().filter(|_| by_run)).await?;
        match &outcome {
            CancelOutcome::Cancelled(runs) => assert_eq!(runs[..], run.into_iter().collect::<Vec<_>>()[..]),
            CancelOutcome::NothingRunning => panic!("it was running"),
        }
        let rest = events(stream).await?;
        assert_eq!(ended(&rest)?, (&StopReason::Cancelled, None), "{rest:#?}");
    }
    // The agent is ready for the next message.
    assert_eq!(subject.say(&agent, "hello").await?.text, "echo: hello");
    Ok(())
}

pub(super) async fn cancelling_nothing_is_no_failure(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let to = ConversationRef::agent(agent.id.clone());
    assert_eq!(
        subject.api().cancel(&to, None).await?,
        CancelOutcome::NothingRunning
    );
    let run = subject.say(&agent, "hello").await?.run;
    // A run that has ended may be named once more; it stays as it ended.
    for _ in 0..2 {
        match subject.api().cancel(&to, None).await? {
            CancelOutcome::Cancelled(runs) => {
                assert_eq!(runs[..], run.clone().into_iter().collect::<Vec<_>>()[..]);
            }
            CancelOutcome::NothingRunning => {}
        }
    }
    if let Some(run) = run {
        let run = subject.api().get_run(&run).await?;
        assert_eq!(run.stop_reason, Some(StopReason::EndTurn), "{run:?}");
    }
    let nobody = ConversationRef::agent(AgentId::new(NOBODY));
    let error = subject.api().cancel(&nobody, None).await.failure()?;
    assert_eq!(error.kind(), &LettaErrorKind::NotFound, "{error:?}");
    Ok(())
}
