//! Cases of [`InboxStore`](crate::InboxStore): what is forgotten.

use std::sync::Arc;

use super::{
    conversations::{after, before, delivered, done, event_id, intake, owed, set_aside, undecided},
    samples::{HOUR, LATER, NOON, lease},
};
use crate::{ConversationStore, Intake};

/// A decided event with nothing open is forgotten with its deliveries, and can come in again. Others stay.
pub async fn a_decided_event_is_forgotten_with_its_deliveries(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    let delivery = done(delivered(&*store, &lease, 1, "agent-a").await);
    store.put_delivery(&delivery, &lease).await.unwrap();
    store.accept(&intake([2])).await.unwrap();
    store
        .decide(&event_id(2), "ignore", &[], NOON, &lease)
        .await
        .unwrap();
    assert_eq!(store.forget_events(after(NOON), &lease).await.unwrap(), 2);
    for n in [1, 2] {
        assert_eq!(store.get_event(&event_id(n)).await.unwrap(), None);
    }
    assert_eq!(store.get_delivery(delivery.id).await.unwrap(), None);
    assert_eq!(store.list_deliveries_of(&event_id(1)).await.unwrap(), []);
    assert_eq!(store.forget_events(after(NOON), &lease).await.unwrap(), 0);

    let anew = delivered(&*store, &lease, 1, "agent-a").await;
    assert!(anew.id > delivery.id, "{anew:?} after {delivery:?}");
    assert_eq!(anew.of, owed(1, "agent-a"));
}

/// An event about which nothing was decided is never forgotten.
pub async fn an_undecided_event_is_not_forgotten(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    store.accept(&intake([1])).await.unwrap();
    assert_eq!(store.forget_events(NOON + 1000 * HOUR, &lease).await.unwrap(), 0);
    assert_eq!(undecided(&*store, 10).await, [event_id(1)]);
}

/// An event with an open delivery is not forgotten, nor are its other deliveries.
pub async fn an_event_with_an_open_delivery_is_not_forgotten(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    let first = done(delivered(&*store, &lease, 1, "agent-a").await);
    store.put_delivery(&first, &lease).await.unwrap();
    let more = store
        .decide(&event_id(1), "forward", &[owed(1, "agent-b")], NOON, &lease)
        .await
        .unwrap();
    assert_eq!(store.forget_events(after(LATER), &lease).await.unwrap(), 0);
    assert_eq!(
        store.list_deliveries_of(&event_id(1)).await.unwrap(),
        [first, more[0].clone()]
    );
    store.put_delivery(&done(more[0].clone()), &lease).await.unwrap();
    assert_eq!(store.forget_events(after(LATER), &lease).await.unwrap(), 1);
    assert_eq!(store.list_deliveries_of(&event_id(1)).await.unwrap(), []);
}

/// What came in at that time or later stays: events, their deliveries and what was set aside.
pub async fn what_came_in_later_is_not_forgotten(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    let mut old = intake([1, 2]);
    old.arrivals[0].received_at = before(LATER);
    old.arrivals[1].received_at = LATER;
    old.set_aside = ["old", "new"].map(set_aside).into();
    old.set_aside[0].received_at = before(LATER);
    old.set_aside[1].received_at = LATER;
    store.accept(&old).await.unwrap();
    let mut kept = Vec::new();
    for n in [1, 2] {
        let new = store
            .decide(&event_id(n), "forward", &[owed(n, "agent-a")], NOON, &lease)
            .await
            .unwrap();
        let delivery = done(new[0].clone());
        store.put_delivery(&delivery, &lease).await.unwrap();
        kept.push(delivery);
    }
    assert_eq!(store.forget_events(LATER, &lease).await.unwrap(), 1);
    assert_eq!(store.get_event(&event_id(1)).await.unwrap(), None);
    assert_eq!(store.get_delivery(kept[0].id).await.unwrap(), None);
    assert!(store.get_event(&event_id(2)).await.unwrap().is_some());
    assert_eq!(
        store.get_delivery(kept[1].id).await.unwrap().as_ref(),
        Some(&kept[1])
    );
    assert_eq!(store.list_set_aside(10).await.unwrap(), old.set_aside[1..]);
}

/// Old things that were set aside are forgotten also when no event is.
pub async fn what_was_set_aside_is_forgotten_alone(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    let intake = Intake {
        set_aside: vec![set_aside("old")],
        ..Intake::default()
    };
    store.accept(&intake).await.unwrap();
    assert_eq!(store.forget_events(NOON, &lease).await.unwrap(), 0);
    assert_eq!(store.list_set_aside(10).await.unwrap(), intake.set_aside);
    assert_eq!(store.forget_events(after(NOON), &lease).await.unwrap(), 0);
    assert_eq!(store.list_set_aside(10).await.unwrap(), []);
}

/// However forgetting and trying again fall together: an open delivery has its event.
pub async fn no_open_delivery_is_left_without_its_event(store: Arc<impl ConversationStore + 'static>) {
    let lease = lease(&*store).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16 {
        store.accept(&intake([n])).await.unwrap();
        store
            .decide(&event_id(n), "ignore", &[], NOON, &lease)
            .await
            .unwrap();
        let (again, forget) = (Arc::clone(&store), Arc::clone(&store));
        let [a, b] = std::array::from_fn(|_| lease.clone());
        tasks.spawn(async move {
            again
                .decide(&event_id(n), "forward", &[owed(n, "agent-a")], NOON, &a)
                .await
                .unwrap();
        });
        tasks.spawn(async move {
            forget.forget_events(after(NOON), &b).await.unwrap();
        });
    }
    tasks.join_all().await;
    for delivery in store.list_open_deliveries().await.unwrap() {
        let event = store.get_event(&delivery.of.event_id).await.unwrap();
        assert!(event.is_some(), "{delivery:?} has no event");
    }
}
