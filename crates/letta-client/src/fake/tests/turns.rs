use std::time::Duration;

use tokio::time::Instant;

use super::talk::{alpha, count, end_of, heard, history, pieces, plain, read, say, start, text_of};
use crate::{
    AgentInclude, ApprovalDecision, CancelOutcome, ConversationRef, LettaApi, NewConversation,
    ProviderFailure, RunQuery, RunStatus, StopReason, TurnErrorKind, TurnEvent, TurnEventKind, TurnInput,
    TurnOptions,
    fake::{FakeLetta, Fault},
    llm::{Failure, LlmConfig, LlmModel, ScriptedReply},
};

#[tokio::test(start_paused = true)]
async fn of_two_turns_at_once_one_is_lost_from_the_context_but_not_from_the_history() {
    let letta = FakeLetta::with_test_agents();
    let slow = start(&letta, "[slow 3] first", &plain()).await;
    let quick = start(&letta, "second", &plain()).await;
    assert_eq!(text_of(&read(quick).await), "echo: second");
    assert_eq!(text_of(&read(slow).await), "echo: [slow 3] first");
    assert_eq!(heard(&letta).await, ["second", "[slow 3] first"]);
    let memory = text_of(&say(&letta, "[context]", &plain()).await);
    assert!(
        memory.starts_with("context: 1 ") && memory.ends_with("[slow 3] first"),
        "{memory}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_and_the_same_calls_give_the_same_turns() {
    let told = async || {
        let letta = FakeLetta::with_test_agents().with_seed(11);
        let mut events = say(&letta, "[think hm] hello", &pieces()).await;
        let (whole, kept) = (plain(), TurnOptions::default());
        let (one, two) = tokio::join!(
            say(
                &letta,
                "[slow 2] [tool:conversation_search {\"query\": \"hello\"}]",
                &whole
            ),
            say(&letta, "[trickle 3] one two three", &kept),
        );
        events.extend(one);
        events.extend(two);
        (events, history(&letta, "agent-001").await)
    };
    assert_eq!(told().await, told().await);
}

#[tokio::test(start_paused = true)]
async fn a_message_and_its_otid_appear_when_the_step_is_saved() {
    let letta = FakeLetta::with_test_agents();
    let turn = start(&letta, "[slow 5] hello", &plain()).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(heard(&letta).await, [""; 0]);
    let runs = letta
        .list_runs(&"agent-001".into(), &RunQuery::default())
        .await
        .unwrap();
    assert_eq!(runs[0].status, RunStatus::Running);
    read(turn).await;
    let messages = history(&letta, "agent-001").await;
    assert_eq!(
        messages[1].otid.as_ref().unwrap().as_str(),
        "otid of [slow 5] hello"
    );
    assert_eq!(messages[1].run, Some(runs[0].id.clone()));
}

#[tokio::test(start_paused = true)]
async fn a_silent_turn_shows_every_twenty_seconds_that_it_lives() {
    let letta = FakeLetta::with_test_agents();
    let begun = Instant::now();
    let events = say(&letta, "[slow 65] hello", &plain()).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(65));
    assert_eq!(count(&events, |kind| *kind == TurnEventKind::Alive), 3);
    assert_eq!(events[0].kind, TurnEventKind::Started);
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_provider_is_asked_three_times() {
    let letta = FakeLetta::with_test_agents();
    let begun = Instant::now();
    assert_eq!(
        text_of(&say(&letta, "[failonce a] hello", &plain()).await),
        "echo: [failonce a] hello"
    );
    assert_eq!(begun.elapsed(), Duration::from_millis(500));
    let begun = Instant::now();
    let events = say(&letta, "[fail 429] hello", &plain()).await;
    assert_eq!(begun.elapsed(), Duration::from_millis(1500));
    let (reason, error) = end_of(&events);
    assert_eq!(*reason, StopReason::LlmApiError);
    assert_eq!(
        error.unwrap().kind,
        TurnErrorKind::Provider(ProviderFailure::RateLimit)
    );
    // A bad request is not repeated.
    let begun = Instant::now();
    say(&letta, "[fail 400] hello", &plain()).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_the_middle_keeps_what_was_saved_and_hides_its_kind() {
    for (options, status) in [
        (plain(), RunStatus::Completed),
        (TurnOptions::default(), RunStatus::Failed),
    ] {
        let letta = FakeLetta::with_test_agents();
        letta.script(
            "agent-001",
            ScriptedReply::call("conversation_search", serde_json::Map::new()),
        );
        letta.script("agent-001", ScriptedReply::fail(Failure::status(401)));
        let events = say(&letta, "look it up", &options).await;
        let (reason, error) = end_of(&events);
        assert_eq!(*reason, StopReason::LlmApiError);
        let error = error.unwrap();
        assert_eq!(error.kind, TurnErrorKind::Internal);
        assert!(
            error.detail.as_ref().unwrap().contains("UNAUTHENTICATED"),
            "{error:?}"
        );
        assert_eq!(heard(&letta).await, ["look it up"]);
        // A foreground run that failed in the middle counts as completed.
        let runs = letta
            .list_runs(&"agent-001".into(), &RunQuery::default())
            .await
            .unwrap();
        assert_eq!(runs[0].status, status, "{options:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_breaks_off_ends_the_turn_and_saves_nothing() {
    let letta = FakeLetta::with_test_agents();
    let events = say(&letta, "[cutstream] one two three four", &pieces()).await;
    let (reason, error) = end_of(&events);
    assert_eq!(*reason, StopReason::LlmApiError);
    let error = error.unwrap();
    assert_eq!(error.kind, TurnErrorKind::Internal);
    assert!(
        error.detail.as_ref().unwrap().contains("peer closed connection"),
        "{error:?}"
    );
    assert_ne!(text_of(&events), "");
    assert_eq!(heard(&letta).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_turn_cancelled_between_pieces_writes_nothing() {
    for options in [pieces(), TurnOptions::default()] {
        let letta = FakeLetta::with_test_agents();
        let turn = start(&letta, "[trickle 8] one two three four", &options).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let outcome = letta.cancel(&alpha(), None).await.unwrap();
        assert!(
            matches!(&outcome, CancelOutcome::Cancelled(runs) if runs.len() == 1),
            "{outcome:?}"
        );
        let events = read(turn).await;
        assert_eq!(end_of(&events), (&StopReason::Cancelled, None));
        assert!(
            "echo: [trickle 8] one two three four".starts_with(&text_of(&events)),
            "{events:?}"
        );
        letta.join().await;
        assert_eq!(heard(&letta).await, [""; 0]);
        let runs = letta
            .list_runs(&"agent-001".into(), &RunQuery::default())
            .await
            .unwrap();
        assert_eq!(runs[0].status, RunStatus::Cancelled);
    }
}

#[tokio::test(start_paused = true)]
async fn deciding_twice_makes_the_agent_answer_a_message_of_the_server() {
    let letta = FakeLetta::with_test_agents();
    letta
        .set_tool_approval(&"agent-001".into(), "conversation_search", true)
        .await
        .unwrap();
    let events = say(&letta, "[tool:conversation_search {\"query\": \"x\"}]", &plain()).await;
    let request = events
        .iter()
        .find_map(|event| match &event.kind {
            TurnEventKind::ApprovalRequested(request) => Some(request.clone()),
            _ => None,
        })
        .unwrap();
    let decisions = [ApprovalDecision::approve(request.calls[0].id.clone())];
    let decide = async || read(letta.decide(&alpha(), &decisions, &plain()).await.unwrap()).await;
    assert!(text_of(&decide().await).starts_with("tool conversation_search returned:"));
    decide().await;
    assert!(heard(&letta).await[1].contains("Automated keep-alive ping"));
}

#[tokio::test(start_paused = true)]
async fn a_long_conversation_is_shortened_and_goes_on() {
    let config = LlmConfig {
        models: vec![LlmModel::new("fake-model").with_context_window(1200)],
        ..LlmConfig::default()
    };
    let letta = FakeLetta::new().lenient().with_llm(config);
    letta.add_agent("agent-001", "Agent Alpha");
    let mut alerts = 0;
    for number in 0..12 {
        let events = say(&letta, &format!("[long 150] number {number}"), &plain()).await;
        assert_eq!(end_of(&events), (&StopReason::EndTurn, None), "number {number}");
        alerts += count(
            &events,
            |kind| matches!(kind, TurnEventKind::Notice { message_type, .. } if message_type == "system_alert"),
        );
    }
    assert!(alerts > 0);
    assert!(
        heard(&letta)
            .await
            .iter()
            .any(|text| text.contains("summary of the previous messages"))
    );
    assert_eq!(
        text_of(&say(&letta, "still there?", &plain()).await),
        "echo: still there?"
    );
}

#[tokio::test(start_paused = true)]
async fn an_agent_deleted_in_the_middle_ends_its_turn_with_an_error() {
    let letta = FakeLetta::with_test_agents();
    let turn = start(&letta, "[trickle 5] one two three", &pieces()).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    letta.delete_agent(&"agent-001".into()).await.unwrap();
    let events = read(turn).await;
    let (reason, error) = end_of(&events);
    assert_eq!(*reason, StopReason::EndTurn);
    assert_eq!(error.unwrap().kind, TurnErrorKind::Internal);
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_is_joined_again_without_loss() {
    let letta = FakeLetta::with_test_agents();
    let whole = say(&letta, "[think hm] one two three", &TurnOptions::default()).await;
    for at in 1..whole.len() {
        letta.plan(Fault::on("send").break_stream_after(at));
        let mut stream = start(&letta, "[think hm] one two three", &TurnOptions::default()).await;
        let mut seen: Vec<TurnEvent> = Vec::new();
        let error = loop {
            match futures_util::StreamExt::next(&mut stream).await.unwrap() {
                Ok(event) => seen.push(event),
                Err(error) => break error,
            }
        };
        assert!(error.may_have_applied());
        assert_eq!(seen.len(), at);
        let Some(token) = &seen[at - 1].resume else {
            continue;
        };
        seen.extend(read(letta.resume(token).await.unwrap()).await);
        assert_eq!(text_of(&seen), text_of(&whole), "broken at {at}");
        assert_eq!(seen.len(), whole.len(), "broken at {at}");
    }
    letta.assert_faults_used();
}

#[tokio::test(start_paused = true)]
async fn a_script_is_one_agents_own() {
    let letta = FakeLetta::with_test_agents();
    letta.script("agent-002", ScriptedReply::say("only Beta says this"));
    assert_eq!(text_of(&say(&letta, "hello", &plain()).await), "echo: hello");
    let beta = ConversationRef::agent("agent-002");
    let turn = letta
        .send(&beta, &TurnInput::text("o", "hello"), &plain())
        .await
        .unwrap();
    assert_eq!(text_of(&read(turn).await), "only Beta says this");
    assert!(letta.llm(&"agent-002".into()).unused_script().is_empty());
}

#[tokio::test(start_paused = true)]
async fn every_message_moves_the_time_of_change() {
    let letta = FakeLetta::with_test_agents();
    let changed = async || {
        let agent = letta
            .get_agent(&"agent-001".into(), AgentInclude::default())
            .await
            .unwrap();
        agent.updated_at.unwrap()
    };
    let before = changed().await;
    say(&letta, "hello", &plain()).await;
    let between = changed().await;
    assert!(between > before);
    let conversation = letta
        .create_conversation(&"agent-001".into(), &NewConversation::default())
        .await
        .unwrap();
    let to = ConversationRef::of("agent-001", conversation.id);
    read(
        letta
            .send(&to, &TurnInput::text("o", "hello"), &plain())
            .await
            .unwrap(),
    )
    .await;
    assert!(changed().await > between);
}
