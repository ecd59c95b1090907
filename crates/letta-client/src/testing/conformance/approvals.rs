//! Tools that ask first.

use super::{
    super::{CaseError, CaseResult, subject::events},
    Subject,
};
use crate::{
    Agent, AgentInclude, ApprovalDecision, ApprovalRequest, CancelOutcome, Conflict, ConversationRef,
    HistoryItem, HistoryQuery, LettaErrorKind, NewConversation, StopReason, ToolStatus, TurnErrorKind,
    TurnEvent, TurnEventKind, TurnOptions, TurnOutcome, TurnStream,
};

/// How an implementation refuses: as an error of the call, or as the end of a turn that did nothing.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    PendingApproval,
    InvalidRequest,
}

async fn refusal(attempt: crate::Result<TurnStream>) -> CaseResult<Refusal> {
    let outcome: TurnOutcome = match attempt {
        Err(error) => {
            return match error.kind() {
                LettaErrorKind::Conflict(Conflict::PendingApproval { .. }) => Ok(Refusal::PendingApproval),
                LettaErrorKind::InvalidRequest => Ok(Refusal::InvalidRequest),
                _ => Err(error.into()),
            };
        }
        Ok(stream) => stream.outcome().await?,
    };
    assert_eq!(outcome.text, "");
    match outcome.error.as_ref().map(|error| &error.kind) {
        Some(TurnErrorKind::PendingApproval) => Ok(Refusal::PendingApproval),
        Some(TurnErrorKind::InvalidRequest) => Ok(Refusal::InvalidRequest),
        _ => Err(CaseError::new(format!("not refused: {outcome:?}"))),
    }
}

/// An agent whose tool asks first.
async fn careful(subject: &Subject) -> CaseResult<Agent> {
    let agent = subject.agent().await?;
    subject
        .api()
        .set_tool_approval(&agent.id, subject.tool().0, true)
        .await?;
    Ok(agent)
}

/// Makes the agent ask.
async fn ask(subject: &Subject, agent: &Agent) -> CaseResult<ApprovalRequest> {
    let outcome = subject.say(agent, &subject.tool_prompt()).await?;
    assert_eq!(outcome.reason, StopReason::RequiresApproval, "{outcome:?}");
    outcome
        .approval
        .ok_or_else(|| CaseError::new("the turn waits for nothing"))
}

async fn decide(
    subject: &Subject,
    agent: &Agent,
    decision: ApprovalDecision,
    tokens: bool,
) -> crate::Result<TurnStream> {
    let options = TurnOptions {
        tokens,
        ..TurnOptions::default()
    };
    subject
        .api()
        .decide(&ConversationRef::agent(agent.id.clone()), &[decision], &options)
        .await
}

async fn pending(subject: &Subject, agent: &Agent) -> CaseResult<Option<ApprovalRequest>> {
    let include = AgentInclude {
        pending_approval: true,
        ..AgentInclude::default()
    };
    Ok(subject
        .api()
        .get_agent(&agent.id, include)
        .await?
        .pending_approval)
}

fn output(events: &[TurnEvent]) -> CaseResult<(ToolStatus, &str)> {
    events
        .iter()
        .find_map(|event| match &event.kind {
            TurnEventKind::ToolOutput {
                status,
                output,
                is_final: true,
                ..
            } => Some((*status, output.as_str())),
            _ => None,
        })
        .ok_or_else(|| CaseError::new(format!("no tool returned: {events:#?}")))
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

pub(super) async fn a_call_that_needs_approval_stops_the_turn(subject: &Subject) -> CaseResult {
    for tokens in [true, false] {
        let agent = careful(subject).await?;
        let options = TurnOptions {
            tokens,
            ..TurnOptions::default()
        };
        let stream = subject
            .start(&agent, &format!("[think hm] {}", subject.tool_prompt()), &options)
            .await?;
        let events = events(stream).await?;
        let requests: Vec<_> = events
            .iter()
            .filter_map(|event| match &event.kind {
                TurnEventKind::ApprovalRequested(request) => Some(request),
                _ => None,
            })
            .collect();
        let [request] = requests[..] else {
            panic!("one request: {events:#?}")
        };
        let [call] = &request.calls[..] else {
            panic!("one call: {request:?}")
        };
        assert_eq!(call.name, subject.tool().0);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&call.arguments)?,
            serde_json::from_str::<serde_json::Value>(subject.tool().1)?
        );
        assert_ne!(request.id.as_str(), "");
        assert_ne!(call.id.as_str(), "");
        let did_run = events
            .iter()
            .any(|event| matches!(event.kind, TurnEventKind::ToolOutput { .. }));
        assert!(!did_run, "{events:#?}");
        assert!(
            matches!(
                events.last().map(|event| &event.kind),
                Some(TurnEventKind::Ended {
                    reason: StopReason::RequiresApproval,
                    error: None
                })
            ),
            "{events:#?}"
        );
    }
    Ok(())
}

pub(super) async fn a_pending_approval_is_shown_when_asked_for(subject: &Subject) -> CaseResult {
    let agent = careful(subject).await?;
    assert_eq!(pending(subject, &agent).await?, None);
    let request = ask(subject, &agent).await?;
    let bare = subject
        .api()
        .get_agent(&agent.id, AgentInclude::default())
        .await?;
    assert_eq!(bare.pending_approval, None);
    assert_eq!(pending(subject, &agent).await?, Some(request));
    Ok(())
}

pub(super) async fn an_approved_call_runs(subject: &Subject) -> CaseResult {
    for tokens in [true, false] {
        let agent = careful(subject).await?;
        let request = ask(subject, &agent).await?;
        let decision = ApprovalDecision::approve(request.calls[0].id.clone());
        let events = events(decide(subject, &agent, decision, tokens).await?).await?;
        let (status, output) = output(&events)?;
        assert_eq!(status, ToolStatus::Success, "{output}");
        assert_ne!(output, "");
        let said = text_of(&events);
        let expected = format!("tool {} returned: ", subject.tool().0);
        assert!(said.starts_with(&expected), "{said}");
        assert_eq!(pending(subject, &agent).await?, None);
    }
    Ok(())
}

pub(super) async fn a_denied_call_fails_with_the_reason(subject: &Subject) -> CaseResult {
    for tokens in [true, false] {
        let agent = careful(subject).await?;
        let request = ask(subject, &agent).await?;
        let decision = ApprovalDecision::deny(request.calls[0].id.clone(), "not on a Sunday");
        let events = events(decide(subject, &agent, decision, tokens).await?).await?;
        // Streamed in pieces, a server may leave the failed call out.
        match output(&events) {
            Ok((status, output)) => {
                assert_eq!(status, ToolStatus::Error);
                assert!(output.contains("not on a Sunday"), "{output}");
            }
            Err(error) => assert!(tokens, "{error:?}"),
        }
        // The agent hears of it and says something.
        let said = text_of(&events);
        assert!(said.contains("not on a Sunday"), "{said}");
        assert!(
            matches!(
                events.last().map(|event| &event.kind),
                Some(TurnEventKind::Ended {
                    reason: StopReason::EndTurn,
                    error: None
                })
            ),
            "{events:#?}"
        );
        assert_eq!(pending(subject, &agent).await?, None);
        let page = subject
            .api()
            .list_messages(
                &ConversationRef::agent(agent.id.clone()),
                &HistoryQuery::default(),
            )
            .await?;
        let failed = page.messages.iter().any(|message| {
            matches!(&message.item, HistoryItem::ToolReturn { call, status: ToolStatus::Error, output }
                if *call == request.calls[0].id && output.contains("not on a Sunday"))
        });
        assert!(failed, "{page:#?}");
        assert_eq!(subject.say(&agent, "hello").await?.text, "echo: hello");
    }
    Ok(())
}

pub(super) async fn a_message_has_to_wait_for_the_decision(subject: &Subject) -> CaseResult {
    let agent = careful(subject).await?;
    let request = ask(subject, &agent).await?;
    for resumable in [true, false] {
        let options = TurnOptions {
            resumable,
            ..TurnOptions::default()
        };
        let attempt = subject.start(&agent, "are you there?", &options).await;
        assert_eq!(refusal(attempt).await?, Refusal::PendingApproval);
    }
    assert_eq!(pending(subject, &agent).await?, Some(request.clone()));
    let decision = ApprovalDecision::approve(request.calls[0].id.clone());
    let events = events(decide(subject, &agent, decision, true).await?).await?;
    assert_eq!(output(&events)?.0, ToolStatus::Success);
    assert_eq!(
        subject.say(&agent, "are you there?").await?.text,
        "echo: are you there?"
    );
    Ok(())
}

pub(super) async fn a_decision_on_another_call_is_refused(subject: &Subject) -> CaseResult {
    let agent = careful(subject).await?;
    let request = ask(subject, &agent).await?;
    let attempt = decide(subject, &agent, ApprovalDecision::approve("call_of_nobody"), true).await;
    assert_eq!(refusal(attempt).await?, Refusal::InvalidRequest);
    assert_eq!(pending(subject, &agent).await?, Some(request));
    Ok(())
}

pub(super) async fn a_decision_without_a_question_is_refused(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    subject.say(&agent, "hello").await?;
    let attempt = decide(subject, &agent, ApprovalDecision::approve("call_of_nobody"), true).await;
    assert_eq!(refusal(attempt).await?, Refusal::InvalidRequest);
    let to = ConversationRef::agent(agent.id);
    let nothing = subject.api().decide(&to, &[], &TurnOptions::default()).await;
    assert_eq!(refusal(nothing).await?, Refusal::InvalidRequest);
    Ok(())
}

pub(super) async fn cancelling_clears_a_pending_approval(subject: &Subject) -> CaseResult {
    let agent = careful(subject).await?;
    ask(subject, &agent).await?;
    let to = ConversationRef::agent(agent.id.clone());
    assert_ne!(
        subject.api().cancel(&to, None).await?,
        CancelOutcome::NothingRunning
    );
    assert_eq!(pending(subject, &agent).await?, None);
    assert_eq!(subject.say(&agent, "hello").await?.text, "echo: hello");
    Ok(())
}

pub(super) async fn cancelling_clears_it_after_a_refused_message_too(subject: &Subject) -> CaseResult {
    let agent = careful(subject).await?;
    ask(subject, &agent).await?;
    let attempt = subject
        .start(&agent, "are you there?", &TurnOptions::default())
        .await;
    assert_eq!(refusal(attempt).await?, Refusal::PendingApproval);
    let to = ConversationRef::agent(agent.id.clone());
    assert_ne!(
        subject.api().cancel(&to, None).await?,
        CancelOutcome::NothingRunning
    );
    assert_eq!(pending(subject, &agent).await?, None);
    assert_eq!(subject.say(&agent, "hello").await?.text, "echo: hello");
    Ok(())
}

pub(super) async fn a_conversation_asks_and_goes_on_by_itself(subject: &Subject) -> CaseResult {
    let agent = careful(subject).await?;
    let conversation = subject
        .api()
        .create_conversation(&agent.id, &NewConversation::default())
        .await?;
    let to = ConversationRef::of(agent.id.clone(), conversation.id);
    let outcome = subject.say_in(&to, &subject.tool_prompt()).await?;
    let request = outcome
        .approval
        .ok_or_else(|| CaseError::new("the turn waits for nothing"))?;
    // The agent itself is free, and shows nothing of it.
    assert_eq!(pending(subject, &agent).await?, None);
    assert_eq!(subject.say(&agent, "hello").await?.text, "echo: hello");
    let decision = ApprovalDecision::deny(request.calls[0].id.clone(), "no");
    let stream = subject
        .api()
        .decide(&to, &[decision], &TurnOptions::default())
        .await?;
    let said = text_of(&events(stream).await?);
    assert!(said.contains("User reason: no"), "{said}");
    assert_eq!(subject.say_in(&to, "hello").await?.text, "echo: hello");
    Ok(())
}

pub(super) async fn a_rule_can_be_lifted(subject: &Subject) -> CaseResult {
    let agent = careful(subject).await?;
    subject
        .api()
        .set_tool_approval(&agent.id, subject.tool().0, false)
        .await?;
    let outcome = subject.say(&agent, &subject.tool_prompt()).await?;
    assert_eq!(outcome.reason, StopReason::EndTurn, "{outcome:?}");
    assert_eq!(outcome.approval, None);
    Ok(())
}

pub(super) async fn a_decision_is_part_of_the_history(subject: &Subject) -> CaseResult {
    let agent = careful(subject).await?;
    let request = ask(subject, &agent).await?;
    let decision = ApprovalDecision::deny(request.calls[0].id.clone(), "not today");
    events(decide(subject, &agent, decision, true).await?).await?;
    let page = subject
        .api()
        .list_messages(&ConversationRef::agent(agent.id), &HistoryQuery::default())
        .await?;
    let items: Vec<_> = page.messages.iter().map(|message| &message.item).collect();
    let asked = items
        .iter()
        .position(|item| matches!(item, HistoryItem::ApprovalRequest(found) if *found == request));
    let decided = items.iter().position(|item| {
        matches!(item, HistoryItem::ApprovalResponse { approve: false, reason: Some(reason) } if reason == "not today")
    });
    assert!(asked.is_some() && asked < decided, "{items:#?}");
    Ok(())
}
