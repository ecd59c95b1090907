//! Events and deliveries on a real server.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use letta_client::AgentId;
use ruma::{EventId, event_id, room_id, user_id};
use store::{
    Arrival, Cursor, DeliveryStore, InboxStore, Intake, NewDelivery, SetAside, StoreErrorKind, testing::lease,
};
use store_postgres::{Deadlines, PostgresStore};

use super::support::{Schema, with_store};

fn noon() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn later() -> Timestamp {
    "2026-02-01T12:00:00Z".parse().unwrap()
}

fn arrival(event: &EventId) -> Arrival {
    Arrival {
        event_id: event.to_owned(),
        room_id: room_id!("!room").to_owned(),
        sender: user_id!("@ann:matrix.test").to_owned(),
        event: "{}".to_owned(),
        received_at: noon(),
    }
}

fn owed(event: &EventId) -> NewDelivery {
    NewDelivery {
        event_id: event.to_owned(),
        agent_id: AgentId::new("agent-001"),
        attempt: 0,
        lane: "lane".to_owned(),
        room_id: room_id!("!room").to_owned(),
        record: "new".into(),
    }
}

fn full_intake() -> Intake {
    Intake {
        arrivals: vec![arrival(event_id!("$event"))],
        set_aside: vec![SetAside {
            raw: "nonsense".to_owned(),
            reason: "it makes no sense".to_owned(),
            received_at: noon(),
        }],
        cursor: Some(Cursor {
            source: "sync".to_owned(),
            position: "s1".to_owned(),
        }),
    }
}

/// The last thing that is written fails, whatever it is.
#[tokio::test]
async fn an_intake_that_fails_leaves_nothing() {
    for table in ["inbox", "set_aside", "cursor"] {
        let Some(schema) = Schema::make().await else {
            return;
        };
        let store = schema.store().await;
        schema
            .execute(&format!(
                "ALTER TABLE {table} ADD CONSTRAINT refuse CHECK (false)"
            ))
            .await;
        let error = store.accept(&full_intake()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert_eq!(store.list_undecided(10).await.unwrap(), []);
        assert_eq!(store.list_set_aside(10).await.unwrap(), []);
        assert_eq!(store.get_cursor("sync").await.unwrap(), None);
        schema
            .execute(&format!("ALTER TABLE {table} DROP CONSTRAINT refuse"))
            .await;
        assert_eq!(store.accept(&full_intake()).await.unwrap(), 1);
        schema.remove().await;
    }
}

#[tokio::test]
async fn a_decision_that_fails_leaves_nothing() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let store = schema.store().await;
    let lease = lease(&store).await;
    store.accept(&full_intake()).await.unwrap();
    schema
        .execute("ALTER TABLE delivery ADD CONSTRAINT refuse CHECK (attempt = 0)")
        .await;
    let new = [0, 1].map(|attempt| NewDelivery {
        attempt,
        ..owed(event_id!("$event"))
    });
    let error = store
        .decide(event_id!("$event"), "forward", &new, noon(), &lease)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let event = store.get_event(event_id!("$event")).await.unwrap().unwrap();
    assert_eq!(event.verdict, None);
    assert_eq!(store.list_open_deliveries().await.unwrap(), []);
    schema.remove().await;
}

/// Wherever NUL comes from: it is no reason to be offered an event for ever.
#[tokio::test]
async fn events_with_nul_come_in_without_it() {
    with_store(async |store| {
        let lease = lease(&*store).await;
        let odd = <&EventId>::try_from("$a\0b").unwrap();
        let intake = Intake {
            arrivals: vec![Arrival {
                event: "\0".to_owned(),
                ..arrival(odd)
            }],
            set_aside: vec![SetAside {
                raw: "\0".to_owned(),
                reason: "\0".to_owned(),
                received_at: noon(),
            }],
            cursor: Some(Cursor {
                source: "\0".to_owned(),
                position: "\0".to_owned(),
            }),
        };
        assert_eq!(store.accept(&intake).await.unwrap(), 1);
        assert_eq!(store.accept(&intake).await.unwrap(), 0);
        let event = store.get_event(odd).await.unwrap().unwrap();
        assert_eq!(event.arrival.event_id, "$a\u{fffd}b");
        assert_eq!(event.arrival.event, "\u{fffd}");
        assert_eq!(store.list_set_aside(10).await.unwrap()[0].raw, "\u{fffd}");
        assert_eq!(store.get_cursor("\0").await.unwrap().as_deref(), Some("\u{fffd}"));

        let new = NewDelivery {
            agent_id: AgentId::new("agent\0"),
            lane: "\0".to_owned(),
            ..owed(odd)
        };
        let owed = store.decide(odd, "\0", &[new], noon(), &lease).await.unwrap();
        assert_eq!(owed.len(), 1);
        assert_eq!(store.list_deliveries_of(odd).await.unwrap(), owed);
        store
            .put_record("\0", "\0", Some(&"\0".into()), &lease)
            .await
            .unwrap();
        assert_eq!(store.get_record("\0", "\0").await.unwrap(), Some("\0".into()));
        store.put_record("\0", "\0", None, &lease).await.unwrap();
        assert_eq!(store.list_records("\0").await.unwrap(), []);
    })
    .await;
}

/// Somebody decides to try an old event again, and is slow to commit it, while another process, under a lease of its own,
/// forgets old events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgetting_waits_for_a_decision_that_has_begun() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let store = Arc::new(schema.store().await);
    let lease = lease(&*store).await;
    store.accept(&full_intake()).await.unwrap();
    store
        .decide(event_id!("$event"), "ignore", &[], noon(), &lease)
        .await
        .unwrap();
    let again = schema
        .begin(
            "UPDATE inbox SET verdict = 'forward';
             INSERT INTO delivery (event_id, agent_id, attempt, lane, room_id, is_open, record, created_at, updated_at)
             VALUES ('$event', 'agent-001', 0, '', '!room', true, '1', '2026-01-01T12:00:00Z', '2026-01-01T12:00:00Z')",
        )
        .await;
    let forget = tokio::spawn({
        let (store, lease) = (Arc::clone(&store), lease.clone());
        async move { store.forget_events(later(), &lease).await }
    });
    schema.until_waiting(1).await;
    again.commit().await;
    assert_eq!(forget.await.unwrap().unwrap(), 0);
    assert!(store.get_event(event_id!("$event")).await.unwrap().is_some());
    assert_eq!(store.list_open_deliveries().await.unwrap().len(), 1);
    schema.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_wait_for_a_grant_that_has_begun_and_are_refused() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let store = Arc::new(schema.store().await);
    let former = lease(&*store).await;
    store.accept(&full_intake()).await.unwrap();
    let delivery = store
        .decide(
            event_id!("$event"),
            "forward",
            &[owed(event_id!("$event"))],
            noon(),
            &former,
        )
        .await
        .unwrap()
        .remove(0);
    let mut done = delivery.clone();
    done.is_open = false;

    let grant = schema
        .begin("UPDATE lease SET last_token = last_token + 1, holder = 'new'")
        .await;
    let mut writes = tokio::task::JoinSet::new();
    let [decide, put, record, forget] = std::array::from_fn(|_| (Arc::clone(&store), former.clone()));
    writes.spawn(async move {
        let new = [NewDelivery {
            attempt: 1,
            ..owed(event_id!("$event"))
        }];
        let decided = decide
            .0
            .decide(event_id!("$event"), "again", &new, noon(), &decide.1);
        decided.await.map(|_| ())
    });
    writes.spawn(async move { put.0.put_delivery(&done, &put.1).await });
    writes.spawn(async move { record.0.put_record("lane", "a", Some(&1.into()), &record.1).await });
    writes.spawn(async move { forget.0.forget_events(later(), &forget.1).await.map(|_| ()) });
    schema.until_waiting(4).await;
    grant.commit().await;

    for refused in writes.join_all().await {
        assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::LeaseLost);
    }
    let event = store.get_event(event_id!("$event")).await.unwrap().unwrap();
    assert_eq!(event.verdict.as_deref(), Some("forward"));
    assert_eq!(store.list_open_deliveries().await.unwrap(), [delivery]);
    assert_eq!(store.list_records("lane").await.unwrap(), []);
    schema.remove().await;
}

/// One intake follows the other, so that they cannot wait for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intake_waits_for_the_one_before_it() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let store = Arc::new(schema.store().await);
    let first = schema
        .begin("SELECT pg_advisory_xact_lock('pg_class'::regclass::oid::int, 'inbox'::regclass::oid::int)")
        .await;
    let second = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.accept(&full_intake()).await }
    });
    tokio::time::timeout(Duration::from_secs(20), schema.until_waiting(1))
        .await
        .unwrap();
    first.commit().await;
    assert_eq!(second.await.unwrap().unwrap(), 1);
    schema.remove().await;
}

/// More often than there are connections, so that one that is kept would be missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_waits_too_long_is_given_up() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let deadlines = Deadlines {
        connect: Duration::from_secs(5),
        statement: Duration::from_millis(500),
        prepare: Duration::from_secs(60),
    };
    let store = PostgresStore::open_with(&schema.url(), deadlines).await.unwrap();
    let lease = lease(&store).await;
    store.accept(&full_intake()).await.unwrap();
    store
        .decide(event_id!("$event"), "ignore", &[], noon(), &lease)
        .await
        .unwrap();
    let lock = schema.begin("SELECT FROM inbox FOR UPDATE").await;
    for _ in 0..6 {
        let error = store.forget_events(later(), &lease).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
        assert!(error.to_string().contains("did not answer for 0.5 s"), "{error}");
    }
    lock.commit().await;
    let start = std::time::Instant::now();
    let forgotten = loop {
        // The server may still hold the locks of those that were given up.
        match store.forget_events(later(), &lease).await {
            Ok(forgotten) => break forgotten,
            Err(error) => assert!(start.elapsed() < Duration::from_secs(20), "{error:?}"),
        }
    };
    assert_eq!(forgotten, 1);
    schema.remove().await;
}

/// A statement that looks at all that ever came in gets slower from day to day.
#[tokio::test]
async fn the_undecided_are_found_by_their_index() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let store = schema.store().await;
    schema
        .execute(
            "INSERT INTO inbox (event_id, room_id, sender, event, received_at, verdict)
             SELECT '$' || n, '!room', '@ann:matrix.test', repeat('x', 500), '2026-01-01T12:00:00.000000000Z',
                 CASE WHEN n > 20000 THEN NULL ELSE 'ignore' END
             FROM generate_series(1, 20010) AS n;
             ANALYZE inbox",
        )
        .await;
    assert_eq!(store.list_undecided(100).await.unwrap().len(), 10);
    let plan = schema
        .plan("SELECT * FROM inbox WHERE verdict IS NULL ORDER BY seq LIMIT 100")
        .await;
    assert!(plan.contains("inbox_undecided"), "{plan}");
    schema.remove().await;
}
