//! What agents are doing.

use std::sync::Arc;

use super::{
    samples::{every_kind, turn, whole_turn},
    suite::{short_lived, until},
};
use crate::{AgentState, EventBus, EventKind, EventType, LiveState};

async fn state(bus: &Arc<dyn EventBus>) -> AgentState {
    let mut states = bus.list_states().await.unwrap();
    assert!(states.len() < 2, "{states:?}");
    states.pop().map_or(AgentState::Idle, |live| live.state)
}

fn an_event(wanted: EventType) -> EventKind {
    let mut kinds = every_kind().into_iter();
    kinds.find(|kind| kind.event_type() == wanted).unwrap()
}

/// Through a turn.
pub async fn a_state_follows_the_events(bus: Arc<dyn EventBus>) {
    assert_eq!(bus.list_states().await.unwrap(), []);
    let turn = turn("ada", "room");
    for kind in whole_turn() {
        bus.publish(turn.event(kind.clone())).await.unwrap();
        assert_eq!(state(&bus).await, AgentState::after(&kind), "after {kind:?}");
    }
    assert_eq!(state(&bus).await, AgentState::Idle);
    bus.publish(turn.event(an_event(EventType::ToolExecuting)))
        .await
        .unwrap();
    let in_tool = AgentState::InTool {
        tool_name: "roll_dice".to_owned(),
    };
    assert_eq!(state(&bus).await, in_tool);
    bus.publish(turn.event(an_event(EventType::ApprovalRequested)))
        .await
        .unwrap();
    assert_eq!(state(&bus).await, AgentState::AwaitingApproval);
}

/// With what is needed to show them to those who may see them.
pub async fn states_are_listed_by_agent_id(bus: Arc<dyn EventBus>) {
    let turns = ["c", "a", "b"].map(|name| turn(name, &format!("room-of-{name}")));
    for turn in &turns {
        bus.publish(turn.event(EventKind::AgentStarted { resumed: false }))
            .await
            .unwrap();
    }
    let states: Vec<LiveState> = bus.list_states().await.unwrap();
    let listed: Vec<_> = states
        .iter()
        .map(|live| (&live.agent, &live.room_id, &live.state))
        .collect();
    let expected: Vec<_> = [1, 2, 0]
        .map(|at| (&turns[at].agent, &turns[at].room_id, &AgentState::Thinking))
        .into();
    assert_eq!(listed, expected);
}

/// As those of one that ended well.
pub async fn states_of_a_failed_turn_are_idle(bus: Arc<dyn EventBus>) {
    let turn = turn("ada", "room");
    bus.publish(turn.event(EventKind::AgentStarted { resumed: false }))
        .await
        .unwrap();
    bus.publish(turn.event(an_event(EventType::AgentFailed)))
        .await
        .unwrap();
    assert_eq!(bus.list_states().await.unwrap(), []);
}

/// It makes nobody busy.
pub async fn keeping_an_idle_state_does_nothing(bus: Arc<dyn EventBus>) {
    bus.keep_state(&turn("ada", "room").agent.id).await.unwrap();
    assert_eq!(bus.list_states().await.unwrap(), []);
}

/// As after a crash.
pub async fn a_state_without_news_expires(bus: Arc<dyn EventBus>) {
    let turn = turn("ada", "room");
    bus.publish(turn.event(EventKind::AgentStarted { resumed: false }))
        .await
        .unwrap();
    until("it is idle again", async || state(&bus).await == AgentState::Idle).await;
    bus.keep_state(&turn.agent.id).await.unwrap();
    assert_eq!(state(&bus).await, AgentState::Idle, "it came back");
    bus.publish(turn.event(EventKind::AgentThinking { text: None }))
        .await
        .unwrap();
    until("it is idle again", async || state(&bus).await == AgentState::Idle).await;
}

/// Longer than it would have been believed.
pub async fn a_state_that_is_kept_stays(bus: Arc<dyn EventBus>) {
    let (kept, left) = (turn("kept", "room"), turn("left", "room"));
    bus.publish(left.event(EventKind::AgentStarted { resumed: false }))
        .await
        .unwrap();
    bus.publish(kept.event(EventKind::AgentStarted { resumed: false }))
        .await
        .unwrap();
    let names = async || -> Vec<String> {
        let states = bus.list_states().await.unwrap();
        states.into_iter().map(|live| live.agent.name).collect()
    };
    until("the other one is idle again", async || {
        bus.keep_state(&kept.agent.id).await.unwrap();
        names().await == ["kept"]
    })
    .await;
    until("nobody keeps it", async || names().await.is_empty()).await;
}

/// People take their time.
pub async fn waiting_for_a_person_outlasts_work(bus: Arc<dyn EventBus>) {
    let (waits, works) = (turn("waits", "room"), turn("works", "room"));
    bus.publish(waits.event(an_event(EventType::ApprovalRequested)))
        .await
        .unwrap();
    assert!(short_lived().expiry.working < short_lived().expiry.awaiting);
    // Keeping it does not make it shorter.
    bus.keep_state(&waits.agent.id).await.unwrap();
    bus.publish(works.event(EventKind::AgentStarted { resumed: false }))
        .await
        .unwrap();
    until("the one at work is idle", async || {
        let states = bus.list_states().await.unwrap();
        assert!(
            states
                .iter()
                .any(|live| live.state == AgentState::AwaitingApproval)
        );
        states.len() == 1
    })
    .await;
}
