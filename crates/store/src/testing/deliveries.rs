//! Cases of [`DeliveryStore`](crate::DeliveryStore).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    conversations::{delivered, done, event_id, megabyte},
    samples::{LATER, lease},
};
use crate::{ConversationStore, Delivery, DeliveryStore, NewDelivery};

/// Before anything was decided there is no delivery and no record.
pub async fn nothing_is_owed_at_first(store: Arc<impl DeliveryStore>) {
    assert_eq!(store.list_open_deliveries().await.unwrap(), []);
    assert_eq!(store.list_deliveries_of(&event_id(1)).await.unwrap(), []);
    assert_eq!(store.get_delivery(1).await.unwrap(), None);
    assert_eq!(store.get_record("lane", "a").await.unwrap(), None);
    assert_eq!(store.list_records("lane").await.unwrap(), []);
}

/// Open deliveries are listed by id, however often they were written since; those of an event, done or not.
pub async fn open_deliveries_are_listed_in_their_order(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    let a = delivered(&*store, &lease, 1, "agent-z").await;
    let b = delivered(&*store, &lease, 2, "agent-y").await;
    let c = delivered(&*store, &lease, 3, "agent-x").await;
    store.put_delivery(&a, &lease).await.unwrap();
    let b = done(b);
    store.put_delivery(&b, &lease).await.unwrap();
    assert_eq!(
        store.list_open_deliveries().await.unwrap(),
        [a.clone(), c.clone()]
    );
    for delivery in [a, b, c] {
        let of_event = store.list_deliveries_of(&delivery.of.event_id).await.unwrap();
        assert_eq!(of_event, [delivery]);
    }
}

/// A write replaces the record, whether it is open, and the time of the change, and nothing else, to and fro.
pub async fn a_delivery_is_replaced_in_what_changes(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    let first = delivered(&*store, &lease, 1, "agent-a").await;
    let other = delivered(&*store, &lease, 2, "agent-a").await;
    let last = done(first.clone());
    for written in [&last, &first, &last] {
        let confused = Delivery {
            of: NewDelivery {
                lane: "another".to_owned(),
                attempt: 7,
                ..written.of.clone()
            },
            created_at: LATER,
            ..written.clone()
        };
        store.put_delivery(&confused, &lease).await.unwrap();
        assert_eq!(
            store.get_delivery(first.id).await.unwrap().as_ref(),
            Some(written)
        );
    }
    assert_eq!(store.list_open_deliveries().await.unwrap(), [other]);
}

/// Of a delivery that is not there nothing is written.
pub async fn an_unknown_delivery_is_not_written(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    let known = delivered(&*store, &lease, 1, "agent-a").await;
    let unknown = Delivery {
        id: known.id + 1,
        ..done(known.clone())
    };
    store.put_delivery(&unknown, &lease).await.unwrap();
    assert_eq!(store.get_delivery(unknown.id).await.unwrap(), None);
    assert_eq!(store.list_deliveries_of(&event_id(1)).await.unwrap(), [known]);
}

/// Every kind of JSON comes back, big and odd.
pub async fn every_record_comes_back(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    let delivery = delivered(&*store, &lease, 1, "agent-a").await;
    for record in [
        Value::Null,
        json!(""),
        json!(i64::MIN),
        json!([true, 1.5, u64::MAX]),
        json!({ "🦀'\"\\": "\0\u{1}\n\u{ffff}", "": {} }),
        megabyte(),
    ] {
        store
            .put_record("lane", "a", Some(&record), &lease)
            .await
            .unwrap();
        let kept = store.get_record("lane", "a").await.unwrap();
        assert!(kept.as_ref() == Some(&record), "the record changed");
        let written = Delivery {
            of: NewDelivery {
                record,
                ..delivery.of.clone()
            },
            ..delivery.clone()
        };
        store.put_delivery(&written, &lease).await.unwrap();
        let kept = store.get_delivery(delivery.id).await.unwrap();
        assert!(kept == Some(written), "the delivery changed");
    }
}

/// A second record under the same key replaces the first; other keys and kinds are apart.
pub async fn records_are_replaced_by_kind_and_key(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    let keys = [("lane", "a"), ("lane", "b"), ("Lane", "a"), ("", "")];
    for (kind, key) in keys {
        store
            .put_record(kind, key, Some(&json!("first")), &lease)
            .await
            .unwrap();
    }
    store
        .put_record("lane", "a", Some(&json!("second")), &lease)
        .await
        .unwrap();
    for (kind, key) in keys {
        let expected = if (kind, key) == ("lane", "a") {
            "second"
        } else {
            "first"
        };
        assert_eq!(store.get_record(kind, key).await.unwrap(), Some(json!(expected)));
    }
}

/// A removed record is gone, the others stay. Removing one that is not there does nothing.
pub async fn a_removed_record_is_gone(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    for key in ["a", "b"] {
        store
            .put_record("lane", key, Some(&json!(key)), &lease)
            .await
            .unwrap();
    }
    for key in ["a", "a", "unknown"] {
        store.put_record("lane", key, None, &lease).await.unwrap();
    }
    store.put_record("unknown", "b", None, &lease).await.unwrap();
    assert_eq!(store.get_record("lane", "a").await.unwrap(), None);
    let left = [("b".to_owned(), json!("b"))];
    assert_eq!(store.list_records("lane").await.unwrap(), left);
}

/// The records of a kind are listed by key, byte by byte.
pub async fn records_are_listed_by_key(store: Arc<impl ConversationStore>) {
    let lease = lease(&*store).await;
    let mut keys = ["b", "a", "B", "a.", "a-", "🦀", "10", "9", "é", ""];
    for key in keys {
        store
            .put_record("lane", key, Some(&json!({ "of": key })), &lease)
            .await
            .unwrap();
    }
    store
        .put_record("other", "c", Some(&json!(1)), &lease)
        .await
        .unwrap();
    keys.sort_unstable();
    let expected = keys.map(|key| (key.to_owned(), json!({ "of": key })));
    assert_eq!(store.list_records("lane").await.unwrap(), expected);
}
