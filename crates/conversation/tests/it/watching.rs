//! What those who watch are told. That each turn is told in order is checked for every test, see `World`.

use agent_events::{AgentState, EventBus, EventKind, EventType, FailureReason};
use letta_client::{LettaErrorKind, fake::Fault};
use matrix_client::content::Message;
use serde_json::json;

use crate::{
    scene::{group, letta_with_tools, set, sleep},
    world::{World, alpha_room},
};

fn kinds(world: &World) -> Vec<EventKind> {
    let events = world.events().unwrap();
    events.iter().map(|event| event.kind.clone()).collect()
}

/// The types, without the pieces of the answer.
fn types(world: &World) -> Vec<EventType> {
    let types = kinds(world).into_iter().map(|kind| kind.event_type());
    types.filter(|kind| *kind != EventType::MessageDelta).collect()
}

fn deltas(world: &World) -> String {
    let pieces = kinds(world).into_iter().filter_map(|kind| match kind {
        EventKind::MessageDelta { text } => Some(text.text().to_owned()),
        _ => None,
    });
    pieces.collect()
}

async fn states(world: &World) -> Vec<AgentState> {
    let states = world.events.list_states().await.unwrap();
    states.into_iter().map(|live| live.state).collect()
}

#[tokio::test(start_paused = true)]
async fn a_turn_with_a_tool_is_told_in_five_events_and_as_its_answer_grows() {
    use EventType::{AgentCompleted, AgentStarted, AgentThinking, ToolCompleted, ToolExecuting};
    let world = World::with(letta_with_tools()).await;
    let question = world.says_text(r#"[tool:echo {"text":"it"}]"#).await;
    world.settled().await;
    assert_eq!(
        types(&world),
        [
            AgentStarted,
            AgentThinking,
            ToolExecuting,
            ToolCompleted,
            AgentCompleted
        ]
    );
    let answers = world.answers_in(&alpha_room());
    assert_eq!(deltas(&world), answers.last().unwrap().as_str());
    let events = world.events().unwrap();
    for event in &events {
        assert_eq!(event.turn.agent.id.as_str(), "agent-001");
        assert_eq!(event.turn.agent.name, "Agent Alpha");
        assert_eq!(event.turn.correlation_id, question);
        assert_eq!(event.turn.sender, world.admin.user_id);
        assert_eq!(event.turn.room_id, alpha_room());
    }
    let runs: Vec<_> = events
        .iter()
        .filter_map(|event| event.turn.run_id.clone())
        .collect();
    assert!(runs.iter().all(|run| *run == runs[0]) && !runs.is_empty());
    let EventKind::ToolExecuting {
        tool_name, arguments, ..
    } = &kinds(&world)[2]
    else {
        panic!("{:#?}", kinds(&world));
    };
    assert_eq!(
        (tool_name.as_str(), arguments.as_ref().unwrap().text()),
        ("echo", r#"{"text":"it"}"#)
    );
    let Some(EventKind::AgentCompleted {
        reply_event_ids,
        steps,
        tokens,
        ..
    }) = kinds(&world).pop()
    else {
        panic!("{:#?}", kinds(&world));
    };
    assert_eq!(
        reply_event_ids,
        [world.event_with(&alpha_room(), &answers[0]).event_id]
    );
    assert!(steps.is_some() && tokens.is_some());
    assert!(states(&world).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_state_of_an_agent_is_known_while_it_is_at_work_and_gone_after_a_crash() {
    let mut world = World::new().await;
    world.says_text("[slow 60] hello").await;
    sleep(5).await;
    assert_eq!(states(&world).await, [AgentState::Thinking]);
    // Whoever is at work for long says so again.
    sleep(40).await;
    assert_eq!(states(&world).await, [AgentState::Thinking]);
    world.kill();
    sleep(6 * 60).await;
    assert!(states(&world).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_needs_a_decision_runs_for_those_who_watch_only_once_it_is_allowed() {
    use EventType::{
        AgentCompleted, AgentStarted, AgentThinking, ApprovalRequested, ApprovalResolved, ToolCompleted,
        ToolExecuting,
    };
    for allowed in [true, false] {
        let world = World::with(letta_with_tools()).await;
        let question = world.says_text("[tool:launch {}]").await;
        world.settled().await;
        assert_eq!(types(&world), [AgentStarted, AgentThinking, ApprovalRequested]);
        assert_eq!(states(&world).await, [AgentState::AwaitingApproval]);
        let request = world.event_with(&alpha_room(), "asks to use a tool").event_id;
        world
            .reacts(&alpha_room(), &request, if allowed { "✅" } else { "❌" })
            .await;
        sleep(2).await;
        world.settled().await;
        let mut expected = vec![
            AgentStarted,
            AgentThinking,
            ApprovalRequested,
            ApprovalResolved,
            AgentThinking,
        ];
        if allowed {
            expected.extend([ToolExecuting, ToolCompleted]);
        }
        expected.push(AgentCompleted);
        assert_eq!(types(&world), expected, "{:#?}", kinds(&world));
        let events = world.events().unwrap();
        assert!(events.iter().all(|event| event.turn.correlation_id == question));
        assert!(events.iter().any(|event| matches!(
            &event.kind,
            EventKind::ApprovalResolved { approved, by: Some(by), .. }
                if *approved == allowed && *by == world.admin.user_id
        )));
        assert!(states(&world).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_goes_wrong_says_what_kind_of_failure_it_was() {
    let world = World::new().await;
    let end = async |text: &str| {
        world.talk(text).await;
        match kinds(&world).pop() {
            Some(EventKind::AgentFailed { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(end("[fail 500]").await, FailureReason::Model);
    world
        .letta
        .plan(Fault::on("send").fail(LettaErrorKind::InvalidRequest));
    assert_eq!(end("hello").await, FailureReason::Internal);
    world.letta.clear_faults();
    world
        .letta
        .plan(Fault::on("send").fail(LettaErrorKind::Timeout).times(8));
    assert_eq!(end("hello").await, FailureReason::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_stopped_is_told_as_cancelled() {
    let world = World::new().await;
    world.says_text("[slow 60] [trickle 60] hello").await;
    sleep(5).await;
    world.says_text("!stop").await;
    world.settled().await;
    let Some(EventKind::AgentFailed { reason, .. }) = kinds(&world).pop() else {
        panic!("{:#?}", kinds(&world));
    };
    assert_eq!(reason, FailureReason::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_told_to_its_end_when_the_bridge_was_killed_meanwhile() {
    for seconds in [1, 5, 9] {
        let mut world = World::with(letta_with_tools()).await;
        world
            .says_text(r#"[tool:echo {"text":"it"}] [slow 3] [trickle 5]"#)
            .await;
        sleep(seconds).await;
        world.restart().await;
        world.settled().await;
        let resumed = kinds(&world)
            .iter()
            .filter(|kind| matches!(kind, EventKind::AgentStarted { resumed: true }))
            .count();
        let ends = types(&world)
            .into_iter()
            .filter(|kind| *kind == EventType::AgentCompleted);
        assert_eq!(ends.count(), 1, "{:#?}", kinds(&world));
        assert!(
            resumed <= 1 && (resumed == 1 || seconds == 9),
            "{:#?}",
            kinds(&world)
        );
        assert_eq!(world.answers_in(&alpha_room()).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn silence_and_thoughts_that_are_hidden_are_not_told() {
    let world = World::new().await;
    world.talk("[say <no-reply/>]").await;
    assert_eq!(deltas(&world), "");
    assert_eq!(*types(&world).last().unwrap(), EventType::AgentCompleted);
    world.talk("[think carefully] [say done]").await;
    let thoughts = |world: &World| {
        let thoughts = kinds(world).into_iter().filter_map(|kind| match kind {
            EventKind::AgentThinking { text } => text,
            _ => None,
        });
        thoughts.count()
    };
    assert_eq!(thoughts(&world), 0);
    let shown = json!({ "reasoning": true });
    set(&world, &world.admin, &alpha_room(), shown).await;
    world.talk("[think carefully] [say done]").await;
    assert_eq!(thoughts(&world), 1, "{:#?}", kinds(&world));
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_that_only_listens_would_say_is_not_told() {
    let world = World::new().await;
    let room = group(&world).await;
    set(
        &world,
        &world.admin,
        &room,
        json!({ "mode": "listen", "reasoning": true }),
    )
    .await;
    world
        .says(&room, &Message::text("[think of it] [say aloud]"))
        .await;
    world.settled().await;
    let ends = types(&world)
        .into_iter()
        .filter(|kind| *kind == EventType::AgentCompleted);
    assert_ne!(ends.count(), 0, "{:#?}", kinds(&world));
    assert_eq!(deltas(&world), "");
    assert!(
        !kinds(&world)
            .iter()
            .any(|kind| matches!(kind, EventKind::AgentThinking { text: Some(_) }))
    );
}
