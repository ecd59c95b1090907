//! Cases of [`InboxStore`](crate::InboxStore): what is decided.

use std::sync::Arc;

use serde_json::json;

use super::{
    conversations::{delivered, done, event_id, intake, megabyte, owed, undecided},
    samples::{LATER, NOON, grant, lease},
};
use crate::{ConversationStore, Delivery, NewDelivery, StoreErrorKind};

/// A decision is written with its deliveries, which are open, in the order given; other events stay undecided.
pub async fn a_decision_comes_with_its_deliveries(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    store.accept(&intake([1, 2])).await.unwrap();
    let new = ["agent-b", "agent-a", "agent-c"].map(|agent| owed(1, agent));
    let verdict = "forward to 🦀 \"three\"";
    let deliveries = store
        .decide(&event_id(1), verdict, &new, LATER, &lease)
        .await
        .unwrap();
    assert_eq!(deliveries.len(), 3);
    for (delivery, of) in deliveries.iter().zip(new) {
        let expected = Delivery {
            id: delivery.id,
            of,
            is_open: true,
            created_at: LATER,
            updated_at: LATER,
        };
        assert_eq!(*delivery, expected);
        assert_eq!(store.get_delivery(delivery.id).await.unwrap(), Some(expected));
    }
    assert!(deliveries.is_sorted_by(|a, b| a.id < b.id), "{deliveries:?}");
    let event = store.get_event(&event_id(1)).await.unwrap().unwrap();
    assert_eq!(event.verdict.as_deref(), Some(verdict));
    assert_eq!(undecided(&*store, 10).await, [event_id(2)]);
}

/// There may be nothing to deliver.
pub async fn a_decision_may_owe_nothing(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    store.accept(&intake([1])).await.unwrap();
    let deliveries = store
        .decide(&event_id(1), "ignore", &[], NOON, &lease)
        .await
        .unwrap();
    assert_eq!(deliveries, []);
    let event = store.get_event(&event_id(1)).await.unwrap().unwrap();
    assert_eq!(event.verdict.as_deref(), Some("ignore"));
    assert_eq!(store.list_open_deliveries().await.unwrap(), []);
}

/// The same decision once more, as after a crash, answers the deliveries as they are now, be they done or not.
pub async fn deliveries_that_are_there_are_answered_unchanged(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    let first = delivered(&*store, &lease, 1, "agent-a").await;
    let first = done(first);
    store.put_delivery(&first, &lease).await.unwrap();
    let other = NewDelivery {
        lane: "another".to_owned(),
        record: json!("another"),
        ..owed(1, "agent-a")
    };
    let new = [owed(1, "agent-b"), other, owed(1, "agent-b")];
    let answered = store
        .decide(&event_id(1), "forward", &new, LATER, &lease)
        .await
        .unwrap();
    assert_eq!(answered.len(), 3);
    assert_eq!(answered[1], first);
    assert_eq!(answered[0].of, owed(1, "agent-b"));
    assert_eq!(answered[2], answered[0]);
    assert_eq!(
        store.list_deliveries_of(&event_id(1)).await.unwrap(),
        [first, answered[0].clone()]
    );
}

/// Another attempt is another delivery.
pub async fn another_attempt_is_another_delivery(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    let first = delivered(&*store, &lease, 1, "agent-a").await;
    let again = NewDelivery {
        attempt: u32::MAX,
        ..owed(1, "agent-a")
    };
    let answered = store
        .decide(
            &event_id(1),
            "try again",
            std::slice::from_ref(&again),
            LATER,
            &lease,
        )
        .await
        .unwrap();
    assert_eq!(answered[0].of, again);
    assert_ne!(answered[0].id, first.id);
    assert_eq!(
        store.list_deliveries_of(&event_id(1)).await.unwrap(),
        [first, answered[0].clone()]
    );
}

/// A later decision replaces the verdict and leaves the deliveries of the former one.
pub async fn a_later_decision_replaces_the_verdict(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    let first = delivered(&*store, &lease, 1, "agent-a").await;
    store
        .decide(&event_id(1), "ignore", &[], LATER, &lease)
        .await
        .unwrap();
    let event = store.get_event(&event_id(1)).await.unwrap().unwrap();
    assert_eq!(event.verdict.as_deref(), Some("ignore"));
    assert_eq!(store.list_open_deliveries().await.unwrap(), [first]);
}

/// About an event that never came in nothing is written.
pub async fn nothing_is_decided_about_an_unknown_event(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    let answered = store
        .decide(&event_id(1), "forward", &[owed(1, "agent-a")], NOON, &lease)
        .await
        .unwrap();
    assert_eq!(answered, []);
    assert_eq!(store.get_event(&event_id(1)).await.unwrap(), None);
    assert_eq!(store.list_open_deliveries().await.unwrap(), []);
    assert_eq!(store.list_deliveries_of(&event_id(1)).await.unwrap(), []);
}

/// A decided event that comes in again stays decided.
pub async fn a_decided_event_that_comes_again_stays_decided(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    let delivery = delivered(&*store, &lease, 1, "agent-a").await;
    assert_eq!(store.accept(&intake([1])).await.unwrap(), 0);
    assert_eq!(store.list_undecided(10).await.unwrap(), []);
    assert_eq!(store.list_open_deliveries().await.unwrap(), [delivery]);
}

/// Of many who decide the same at once, all are answered the same deliveries.
pub async fn concurrent_decisions_owe_once(store: Arc<impl ConversationStore + 'static>) {
    let lease = lease(&*store).await;
    store.accept(&intake([1])).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (store, lease) = (Arc::clone(&store), lease.clone());
        tasks.spawn(async move {
            let new = ["agent-a", "agent-b"].map(|agent| owed(1, agent));
            store
                .decide(&event_id(1), "forward", &new, NOON, &lease)
                .await
                .unwrap()
        });
    }
    let written = tasks.join_all().await;
    let kept = store.list_deliveries_of(&event_id(1)).await.unwrap();
    assert_eq!(kept.len(), 2);
    assert!(written.iter().all(|answered| *answered == kept), "{written:?}");
}

/// A record of a megabyte comes back.
pub async fn a_big_delivery_comes_back(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    store.accept(&intake([1])).await.unwrap();
    let new = NewDelivery {
        record: megabyte(),
        ..owed(1, "agent-a")
    };
    let answered = store
        .decide(&event_id(1), "forward", std::slice::from_ref(&new), NOON, &lease)
        .await
        .unwrap();
    assert!(answered[0].of == new, "the answer changed");
    let kept = store.get_delivery(answered[0].id).await.unwrap().unwrap();
    assert!(kept.of == new, "the delivery changed");
}

/// What is read after a lease was granted anew is not decided otherwise any more by those who had it before.
pub async fn a_grant_ends_all_decisions_of_the_former_holder(store: Arc<impl ConversationStore + 'static>) {
    store.accept(&intake([1])).await.unwrap();
    for round in 0..4 {
        let former = grant(&*store, "conversations", "a").await;
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..4 {
            let (store, former) = (Arc::clone(&store), former.clone());
            writers.spawn(async move {
                for count in 0.. {
                    let new = owed(1, &format!("agent-{round}-{n}-{count}"));
                    let verdict = format!("round {round}, write {count} of {n}");
                    if let Err(error) = store.decide(&event_id(1), &verdict, &[new], NOON, &former).await {
                        assert_eq!(error.kind(), StoreErrorKind::LeaseLost, "{error}");
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
        // Some decisions are written, others under way.
        let begun = format!("round {round},");
        loop {
            let event = store.get_event(&event_id(1)).await.unwrap().unwrap();
            if event.verdict.is_some_and(|verdict| verdict.starts_with(&begun)) {
                break;
            }
            tokio::task::yield_now().await;
        }
        grant(&*store, "conversations", "a").await;
        let then = (
            store.get_event(&event_id(1)).await.unwrap(),
            store.list_open_deliveries().await.unwrap(),
        );
        while let Some(writer) = writers.join_next().await {
            writer.unwrap();
        }
        let now = (
            store.get_event(&event_id(1)).await.unwrap(),
            store.list_open_deliveries().await.unwrap(),
        );
        assert_eq!(now, then);
    }
}
