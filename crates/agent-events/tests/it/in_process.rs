//! The bus of one process.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use agent_events::{
    AgentState, Audience, BusSettings, Delivery, EventBus, EventId, EventKind, Filter, InProcessBus,
    testing::{Ears, every_kind, settings, turn},
};
use jiff::Timestamp;
use store::{Clock, SystemClock, testing::ManualClock};

agent_events::bus_conformance!(around in_process);

async fn in_process(settings: BusSettings, case: impl AsyncFnOnce(Arc<dyn EventBus>)) {
    case(Arc::new(InProcessBus::new(settings, Arc::new(SystemClock)))).await;
}

async fn publish(bus: &InProcessBus) -> EventId {
    let turn = turn("ada", "room");
    bus.publish(turn.event(EventKind::AgentStarted { resumed: false }))
        .await
        .unwrap()
}

async fn listen(bus: &InProcessBus, after: EventId) -> Ears {
    Ears::new(
        bus.subscribe(Some(after), Filter::new(Audience::All))
            .await
            .unwrap(),
    )
}

/// A clock that is set.
#[derive(Debug)]
struct SetClock(Mutex<Timestamp>);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

#[tokio::test]
async fn events_bear_the_time_of_the_clock() {
    let clock = ManualClock::new();
    let bus = InProcessBus::new(settings(), Arc::clone(&clock) as _);
    let mut ears = listen(&bus, EventId::ZERO).await;
    for _ in 0..3 {
        clock.advance(Duration::from_secs(1));
        let id = publish(&bus).await;
        let event = ears.event().await;
        assert_eq!((event.id, event.time), (id, clock.now()));
        let millis = u64::try_from(clock.now().as_millisecond()).unwrap();
        assert_eq!(id, EventId::new(millis, 0));
    }
}

#[tokio::test]
async fn a_clock_that_goes_back_takes_no_id_back() {
    let clock = Arc::new(SetClock(Mutex::new(Timestamp::constant(2_000_000_000, 0))));
    let bus = InProcessBus::new(settings(), Arc::clone(&clock) as _);
    let before = publish(&bus).await;
    *clock.0.lock().unwrap() = Timestamp::constant(1_000_000_000, 0);
    let after = publish(&bus).await;
    assert!(before < after);
    *clock.0.lock().unwrap() = Timestamp::constant(-1_000_000_000, 0);
    assert!(after < publish(&bus).await);
}

#[tokio::test]
async fn an_id_of_an_earlier_process_is_a_gap() {
    let clock = ManualClock::new();
    let earlier = publish(&InProcessBus::new(settings(), Arc::clone(&clock) as _)).await;
    clock.advance(Duration::from_secs(1));
    let bus = InProcessBus::new(settings(), clock as _);
    let mut ears = listen(&bus, earlier).await;
    assert_eq!(ears.next().await, Some(Delivery::Gap { oldest: None }));
    let id = publish(&bus).await;
    assert_eq!(ears.ids(1).await, [id]);
}

#[tokio::test]
async fn a_gap_is_told_only_where_one_is() {
    let bus = InProcessBus::new(settings(), ManualClock::new());
    let mut ids = Vec::new();
    for _ in 0..=settings().retained.get() {
        ids.push(publish(&bus).await);
    }
    // The first one is gone, and whoever saw it misses nothing.
    assert_eq!(listen(&bus, ids[0]).await.ids(200).await, ids[1..]);
    ids.push(publish(&bus).await);
    let mut ears = listen(&bus, ids[0]).await;
    assert_eq!(ears.next().await, Some(Delivery::Gap { oldest: Some(ids[2]) }));
    assert_eq!(ears.ids(200).await, ids[2..]);
}

#[tokio::test]
async fn an_event_is_shared_and_not_copied() {
    let bus = InProcessBus::new(settings(), ManualClock::new());
    let (mut one, mut two) = (
        listen(&bus, EventId::ZERO).await,
        listen(&bus, EventId::ZERO).await,
    );
    publish(&bus).await;
    assert!(Arc::ptr_eq(&one.event().await, &two.event().await));
}

#[tokio::test]
async fn a_bus_that_is_dropped_ends_its_subscriptions() {
    let bus = InProcessBus::new(settings(), ManualClock::new());
    let mut ears = listen(&bus, EventId::ZERO).await;
    drop(bus);
    ears.rest().await;
}

#[tokio::test(start_paused = true)]
async fn a_state_is_believed_to_the_moment() {
    let bus = InProcessBus::new(settings(), ManualClock::new());
    let expiry = settings().expiry;
    let just_before = |time: Duration| time - Duration::from_millis(1);
    let turn = turn("ada", "room");
    let state = async || bus.list_states().await.unwrap().pop().map(|live| live.state);

    publish(&bus).await;
    tokio::time::advance(just_before(expiry.working)).await;
    assert_eq!(state().await, Some(AgentState::Thinking));
    bus.keep_state(&turn.agent.id).await.unwrap();
    tokio::time::advance(just_before(expiry.working)).await;
    assert_eq!(state().await, Some(AgentState::Thinking));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(state().await, None);
    bus.keep_state(&turn.agent.id).await.unwrap();
    assert_eq!(state().await, None);

    let mut kinds = every_kind().into_iter();
    let asked = kinds.find(|kind| matches!(kind, EventKind::ApprovalRequested { .. }));
    bus.publish(turn.event(asked.unwrap())).await.unwrap();
    bus.keep_state(&turn.agent.id).await.unwrap();
    tokio::time::advance(just_before(expiry.awaiting)).await;
    assert_eq!(state().await, Some(AgentState::AwaitingApproval));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(state().await, None);
}
