//! Cases of [`InboxStore`](crate::InboxStore): what comes in.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    conversations::{ODD, arrival, cursor, event_id, ids, intake, set_aside, undecided},
    samples::{LATER, NOON, lease, room, user},
};
use crate::{Arrival, ConversationStore, InboxStore, Intake, SetAside};

/// An empty inbox has no events, no cursor, and nothing set aside.
pub async fn an_empty_inbox_has_nothing(store: Arc<impl InboxStore>) {
    assert_eq!(store.list_undecided(10).await.unwrap(), []);
    assert_eq!(store.get_event(&event_id(1)).await.unwrap(), None);
    assert_eq!(store.get_cursor("sync").await.unwrap(), None);
    assert_eq!(store.list_set_aside(10).await.unwrap(), []);
}

/// What came in comes back unchanged, every field.
pub async fn an_event_comes_back_as_it_came_in(store: Arc<impl InboxStore>) {
    let odd = Arrival {
        event_id: event_id(1),
        room_id: room("another"),
        sender: user("bob"),
        event: ODD.to_owned(),
        received_at: LATER,
    };
    let big = Arrival {
        event: format!(r#"{{"body":"{}"}}"#, "🦀'".repeat(200_000)),
        ..arrival(2)
    };
    let intake = Intake {
        arrivals: vec![odd.clone(), big.clone()],
        ..Intake::default()
    };
    assert_eq!(store.accept(&intake).await.unwrap(), 2);
    for expected in [odd, big] {
        let event = store.get_event(&expected.event_id).await.unwrap().unwrap();
        assert!(event.arrival == expected, "{} changed", expected.event_id);
        assert_eq!(event.verdict, None);
    }
}

/// Taking in nothing does nothing.
pub async fn an_intake_of_nothing_does_nothing(store: Arc<impl InboxStore>) {
    assert_eq!(store.accept(&Intake::default()).await.unwrap(), 0);
    assert_eq!(store.list_undecided(10).await.unwrap(), []);
}

/// An event comes in once, and is left as it was when it first came in, whatever it is offered as.
pub async fn an_event_comes_in_once(store: Arc<impl InboxStore>) {
    assert_eq!(store.accept(&intake([1, 2])).await.unwrap(), 2);
    let first = store.list_undecided(10).await.unwrap();
    let changed = Arrival {
        event: "{}".to_owned(),
        sender: user("mallory"),
        received_at: LATER,
        ..arrival(1)
    };
    let again = Intake {
        arrivals: vec![changed, arrival(2)],
        ..Intake::default()
    };
    assert_eq!(store.accept(&again).await.unwrap(), 0);
    assert_eq!(store.list_undecided(10).await.unwrap(), first);
}

/// An event that one intake offers twice counts once; the first of them is kept.
pub async fn an_event_that_comes_twice_at_once_comes_in_once(store: Arc<impl InboxStore>) {
    let mut twice = intake([1, 2, 1]);
    twice.arrivals[2].event = "{}".to_owned();
    assert_eq!(store.accept(&twice).await.unwrap(), 2);
    let event = store.get_event(&event_id(1)).await.unwrap().unwrap();
    assert_eq!(event.arrival, arrival(1));
    assert_eq!(undecided(&*store, 10).await, [event_id(1), event_id(2)]);
}

/// New events among known ones are taken in.
pub async fn new_events_among_known_ones_come_in(store: Arc<impl InboxStore>) {
    store.accept(&intake([2])).await.unwrap();
    assert_eq!(store.accept(&intake([1, 2, 3])).await.unwrap(), 2);
    assert_eq!(undecided(&*store, 10).await, [2, 1, 3].map(event_id));
}

/// Of many who bring the same events at once, in orders of their own, each event is new to exactly one.
pub async fn an_event_is_new_to_one_of_many(store: Arc<impl InboxStore + 'static>) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16_u32 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut events: Vec<u32> = (0..20).collect();
            events.rotate_left(n as usize);
            if n % 2 == 0 {
                events.reverse();
            }
            store.accept(&intake(events)).await.unwrap()
        });
    }
    let new: u64 = tasks.join_all().await.into_iter().sum();
    assert_eq!(new, 20);
    let events = undecided(&*store, 100).await;
    let distinct: BTreeSet<_> = events.iter().collect();
    assert_eq!((events.len(), distinct.len()), (20, 20));
}

/// Concurrent intakes lose nothing, and each keeps its order.
pub async fn concurrent_intakes_are_all_kept(store: Arc<impl InboxStore + 'static>) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.accept(&intake(n * 10..n * 10 + 5)).await.unwrap() });
    }
    assert_eq!(tasks.join_all().await, [5; 16]);
    let events = undecided(&*store, 100).await;
    assert_eq!(events.len(), 80);
    for n in 0..16 {
        let mine: Vec<_> = (n * 10..n * 10 + 5).map(event_id).collect();
        let found: Vec<_> = events
            .iter()
            .filter(|event| mine.contains(event))
            .cloned()
            .collect();
        assert_eq!(found, mine);
    }
}

/// Events are in the order in which they came in, not that of their ids or times.
pub async fn the_order_of_arrival_is_kept(store: Arc<impl InboxStore>) {
    let mut first = intake([30, 4, 100]);
    first.arrivals[0].received_at = LATER;
    store.accept(&first).await.unwrap();
    store.accept(&intake([2, 1])).await.unwrap();
    let events = store.list_undecided(10).await.unwrap();
    assert!(events.is_sorted_by(|a, b| a.seq < b.seq), "{events:?}");
    assert_eq!(ids(events), [30, 4, 100, 2, 1].map(event_id));
}

/// As many as were asked for are listed, the oldest.
pub async fn the_oldest_undecided_events_are_listed(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    store.accept(&intake(1..=5)).await.unwrap();
    assert_eq!(undecided(&*store, 0).await, [0; 0].map(event_id));
    assert_eq!(undecided(&*store, 2).await, [1, 2].map(event_id));
    for n in [1, 3] {
        store
            .decide(&event_id(n), "ignore", &[], NOON, &lease)
            .await
            .unwrap();
    }
    assert_eq!(undecided(&*store, 2).await, [2, 4].map(event_id));
    assert_eq!(undecided(&*store, u32::MAX).await, [2, 4, 5].map(event_id));
}

/// A cursor moves with its events, also when there are none. The latest intake counts, and an intake without a cursor
/// leaves it.
pub async fn a_cursor_moves_with_its_events(store: Arc<impl InboxStore>) {
    let at = |position: &str| Intake {
        cursor: Some(cursor("sync", position)),
        ..Intake::default()
    };
    let with_events = Intake {
        arrivals: vec![arrival(1)],
        ..at("s1_🦀'\"")
    };
    assert_eq!(store.accept(&with_events).await.unwrap(), 1);
    assert_eq!(store.get_cursor("sync").await.unwrap().unwrap(), "s1_🦀'\"");
    store.accept(&intake([2])).await.unwrap();
    assert_eq!(store.get_cursor("sync").await.unwrap().unwrap(), "s1_🦀'\"");
    for position in ["s2", "", "s1"] {
        assert_eq!(store.accept(&at(position)).await.unwrap(), 0);
        assert_eq!(store.get_cursor("sync").await.unwrap().unwrap(), position);
    }
}

/// The cursors of other sources are apart.
pub async fn cursors_of_other_sources_are_apart(store: Arc<impl InboxStore>) {
    for source in ["sync", "Sync", "sync of @bot:matrix.test"] {
        let intake = Intake {
            cursor: Some(cursor(source, source)),
            ..Intake::default()
        };
        store.accept(&intake).await.unwrap();
    }
    for source in ["sync", "Sync", "sync of @bot:matrix.test"] {
        assert_eq!(store.get_cursor(source).await.unwrap().unwrap(), source);
    }
    assert_eq!(store.get_cursor("").await.unwrap(), None);
}

/// What makes no sense is kept each time it comes, what came last first, and is no event.
pub async fn what_makes_no_sense_is_set_aside(store: Arc<impl InboxStore>) {
    let big = SetAside {
        raw: "🦀".repeat(300_000),
        received_at: LATER,
        ..set_aside("three")
    };
    for reasons in [
        vec![set_aside("one"), set_aside("one"), set_aside("two")],
        vec![big.clone()],
    ] {
        let intake = Intake {
            set_aside: reasons,
            ..Intake::default()
        };
        assert_eq!(store.accept(&intake).await.unwrap(), 0);
    }
    let kept = store.list_set_aside(10).await.unwrap();
    let expected = [big.clone(), set_aside("two"), set_aside("one"), set_aside("one")];
    assert!(kept == expected, "what was set aside changed");
    assert!(store.list_set_aside(1).await.unwrap() == [big], "not the newest");
    assert_eq!(store.list_undecided(10).await.unwrap(), []);
}
