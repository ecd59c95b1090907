//! Publishing and hearing.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::future::join_all;

use super::{
    samples::{every_kind, turn, whole_turn},
    suite::{Ears, settings},
};
use crate::{
    Audience, BusErrorKind, CloseReason, Delivery, EventBus, EventId, EventKind, EventType, Filter,
    check_turns,
};

fn everything() -> Filter {
    Filter::new(Audience::All)
}

pub(super) fn delta(number: usize) -> EventKind {
    EventKind::MessageDelta {
        text: number.to_string().as_str().into(),
    }
}

pub(super) async fn listen(bus: &Arc<dyn EventBus>, after: Option<EventId>) -> Ears {
    Ears::new(bus.subscribe(after, everything()).await.unwrap())
}

/// Publishes numbered events of one agent.
pub(super) async fn publish(bus: &Arc<dyn EventBus>, count: usize) -> Vec<EventId> {
    let turn = turn("ada", "room");
    let mut ids = Vec::with_capacity(count);
    for number in 0..count {
        ids.push(bus.publish(turn.event(delta(number))).await.unwrap());
    }
    ids
}

/// Everything about an event arrives.
pub async fn an_event_is_heard_as_it_was_published(bus: Arc<dyn EventBus>) {
    let mut ears = listen(&bus, None).await;
    let mut turn = turn("ada", "room");
    for (number, kind) in every_kind().into_iter().enumerate() {
        if number % 2 == 1 {
            turn.thread = Some(turn.correlation_id.clone());
            turn.run_id = None;
        }
        let id = bus.publish(turn.event(kind.clone())).await.unwrap();
        let heard = ears.event().await;
        assert_eq!((heard.id, &heard.turn, &heard.kind), (id, &turn, &kind));
    }
}

/// One after the other, and those of many at once too.
pub async fn ids_increase(bus: Arc<dyn EventBus>) {
    let one = publish(&bus, 50).await;
    assert!(one.is_sorted_by(|a, b| a < b), "{one:?}");
    assert!(one[0] > EventId::ZERO);
    let many = join_all((0..4).map(|_| {
        let bus = Arc::clone(&bus);
        tokio::spawn(async move { publish(&bus, 25).await })
    }))
    .await;
    let mut all = one;
    for ids in many {
        let ids = ids.unwrap();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        assert!(ids[0] > all[49], "an earlier id for a later event");
        all.extend(ids);
    }
    assert_eq!(
        all.iter().collect::<BTreeSet<_>>().len(),
        150,
        "an id was given out twice"
    );
}

/// Many subscribers, many publishers, one order.
pub async fn everybody_hears_the_same_order(bus: Arc<dyn EventBus>) {
    let mut all = Vec::new();
    for _ in 0..8 {
        all.push(listen(&bus, None).await);
    }
    join_all((0..5).map(|number| {
        let bus = Arc::clone(&bus);
        tokio::spawn(async move {
            let turn = turn(&format!("{number}"), "room");
            for kind in whole_turn() {
                bus.publish(turn.event(kind)).await.unwrap();
            }
        })
    }))
    .await;
    let mut first = Vec::new();
    for _ in 0..30 {
        first.push(all[0].event().await);
    }
    let events: Vec<_> = first.iter().map(|event| (**event).clone()).collect();
    assert_eq!(check_turns(&events), Ok(()));
    let ids: Vec<EventId> = first.iter().map(|event| event.id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    for ears in &mut all[1..] {
        assert_eq!(ears.ids(30).await, ids);
    }
}

/// Without an id, only what is new.
pub async fn what_was_published_before_is_not_heard(bus: Arc<dyn EventBus>) {
    for _ in 0..20 {
        publish(&bus, 3).await;
        let mut ears = listen(&bus, None).await;
        let new = publish(&bus, 2).await;
        assert_eq!(ears.ids(2).await, new);
    }
}

/// Somebody in no room sees nothing, in one room that room.
pub async fn each_sees_what_they_may(bus: Arc<dyn EventBus>) {
    let (ours, theirs) = (turn("ada", "ours"), turn("bob", "theirs"));
    let rooms = Audience::Rooms([ours.room_id.clone()].into());
    let mut member = Ears::new(bus.subscribe(None, Filter::new(rooms.clone())).await.unwrap());
    // Asking for a room does not give the right to see it.
    let greedy = Filter::new(rooms).rooms([theirs.room_id.clone()]);
    let mut greedy = Ears::new(bus.subscribe(None, greedy).await.unwrap());
    let nobody = Filter::new(Audience::Rooms(BTreeSet::new()));
    let mut nobody = Ears::new(bus.subscribe(None, nobody).await.unwrap());
    let mut mine = Vec::new();
    for number in 0..5 {
        bus.publish(theirs.event(delta(number))).await.unwrap();
        mine.push(bus.publish(ours.event(delta(number))).await.unwrap());
    }
    assert_eq!(member.ids(5).await, mine);
    bus.close();
    for ears in [&mut member, &mut greedy, &mut nobody] {
        assert_eq!(ears.rest().await, (vec![], CloseReason::Shutdown));
    }
}

/// Each restriction alone, and together.
pub async fn agents_rooms_and_types_are_filtered(bus: Arc<dyn EventBus>) {
    let (ada, bob) = (turn("ada", "one"), turn("bob", "two"));
    let filters = [
        everything().agents([ada.agent.id.clone()]),
        everything().rooms([bob.room_id.clone()]),
        everything().types([EventType::AgentStarted, EventType::AgentCompleted]),
        everything()
            .agents([ada.agent.id.clone()])
            .types([EventType::AgentStarted]),
        everything(),
    ];
    let mut all = Vec::new();
    for filter in &filters {
        all.push(Ears::new(bus.subscribe(None, filter.clone()).await.unwrap()));
    }
    for kind in whole_turn() {
        for turn in [&ada, &bob] {
            bus.publish(turn.event(kind.clone())).await.unwrap();
        }
    }
    let expected = [6, 6, 4, 1, 12];
    let mut events = Vec::new();
    for (number, ears) in all.iter_mut().enumerate().rev() {
        let mut heard = Vec::new();
        for _ in 0..expected[number] {
            heard.push(ears.event().await);
        }
        if events.is_empty() {
            events.clone_from(&heard);
        }
        let wanted: Vec<_> = events
            .iter()
            .filter(|event| filters[number].sees(event))
            .cloned()
            .collect();
        assert_eq!(heard, wanted, "filter {number}");
    }
    bus.close();
    for ears in &mut all {
        assert_eq!(ears.rest().await, (vec![], CloseReason::Shutdown));
    }
}

/// It slows nobody, learns why it ended, and can come back to be told what it missed.
pub async fn a_subscriber_that_never_reads_is_cut_loose(bus: Arc<dyn EventBus>) {
    let mut sleeper = listen(&bus, None).await;
    let mut reader = listen(&bus, None).await;
    let mut last = EventId::ZERO;
    for _ in 0..20 {
        let ids = publish(&bus, 50).await;
        assert_eq!(reader.ids(50).await, ids);
        last = ids[49];
    }
    let (heard, reason) = sleeper.rest().await;
    assert_eq!(reason, CloseReason::Lagged);
    assert!(
        heard.len() < settings().retained.get(),
        "{} were kept for it",
        heard.len()
    );
    let id = publish(&bus, 1).await;
    assert_eq!(reader.ids(1).await, id);
    assert_eq!(listen(&bus, Some(last)).await.ids(1).await, id);
}

/// The length of the log is no limit to those who read.
pub async fn a_subscriber_that_keeps_up_hears_more_than_is_retained(bus: Arc<dyn EventBus>) {
    let mut ears = listen(&bus, None).await;
    let mut ids = Vec::new();
    let mut heard = Vec::new();
    for _ in 0..12 {
        ids.extend(publish(&bus, 100).await);
        heard.extend(ears.ids(100).await);
    }
    assert_eq!(heard, ids);
}

/// Those who wait are told, what was published is heard before, and nothing is possible afterwards.
pub async fn closing_ends_everything(bus: Arc<dyn EventBus>) {
    let mut ears = listen(&bus, None).await;
    let ids = publish(&bus, 2).await;
    assert_eq!(ears.ids(1).await, ids[..1]);
    let waiting = tokio::spawn(async move { ears.rest().await });
    let mut idle = Ears::new(
        bus.subscribe(None, everything().types([EventType::AgentFailed]))
            .await
            .unwrap(),
    );
    let idle = tokio::spawn(async move { idle.rest().await });
    // Another one hears it, so the first one can.
    let mut other = listen(&bus, Some(ids[0])).await;
    assert_eq!(other.ids(1).await, ids[1..]);
    bus.close();
    bus.close();
    let (heard, reason) = waiting.await.unwrap();
    let [Delivery::Event(event)] = &*heard else {
        panic!("not the last event: {heard:?}");
    };
    assert_eq!((event.id, reason), (ids[1], CloseReason::Shutdown));
    assert_eq!(idle.await.unwrap(), (vec![], CloseReason::Shutdown));
    let turn = turn("ada", "room");
    let refusals = [
        bus.publish(turn.event(delta(0))).await.unwrap_err(),
        bus.subscribe(None, everything()).await.unwrap_err(),
        bus.subscribe(Some(ids[0]), everything()).await.unwrap_err(),
        bus.list_states().await.unwrap_err(),
        bus.keep_state(&turn.agent.id).await.unwrap_err(),
    ];
    for refusal in refusals {
        assert_eq!(refusal.kind(), BusErrorKind::Closed, "{refusal}");
    }
}
