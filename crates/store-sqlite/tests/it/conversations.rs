//! Events and deliveries in a real file.

use letta_client::AgentId;
use ruma::{event_id, room_id, user_id};
use store::{
    Arrival, Cursor, DeliveryStore, InboxStore, Intake, NewDelivery, SetAside, StoreErrorKind, testing::lease,
};
use store_sqlite::SqliteStore;

use super::support::{execute, fresh_path};

fn noon() -> jiff::Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn arrival() -> Arrival {
    Arrival {
        event_id: event_id!("$event").to_owned(),
        room_id: room_id!("!room").to_owned(),
        sender: user_id!("@ann:matrix.test").to_owned(),
        event: "{}".to_owned(),
        received_at: noon(),
    }
}

fn owed() -> NewDelivery {
    NewDelivery {
        event_id: event_id!("$event").to_owned(),
        agent_id: AgentId::new("agent-001"),
        attempt: 0,
        lane: "lane".to_owned(),
        room_id: room_id!("!room").to_owned(),
        record: "new".into(),
    }
}

fn full_intake() -> Intake {
    Intake {
        arrivals: vec![arrival()],
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

#[tokio::test]
async fn conversations_are_there_after_reopening() {
    let path = fresh_path();
    let store = SqliteStore::open(&path).await.unwrap();
    let lease = lease(&store).await;
    store.accept(&full_intake()).await.unwrap();
    let deliveries = store
        .decide(event_id!("$event"), "forward", &[owed()], noon(), &lease)
        .await
        .unwrap();
    store.close().await;
    let store = SqliteStore::open(&path).await.unwrap();
    let event = store.get_event(event_id!("$event")).await.unwrap().unwrap();
    assert_eq!(event.arrival, arrival());
    assert_eq!(event.verdict.as_deref(), Some("forward"));
    assert_eq!(store.list_open_deliveries().await.unwrap(), deliveries);
    assert_eq!(store.list_set_aside(10).await.unwrap(), full_intake().set_aside);
    assert_eq!(store.get_cursor("sync").await.unwrap().as_deref(), Some("s1"));
}

/// The last thing that is written fails, whatever it is.
#[tokio::test]
async fn an_intake_that_fails_leaves_nothing() {
    for table in ["set_aside", "cursor"] {
        let path = fresh_path();
        let store = SqliteStore::open(&path).await.unwrap();
        let refuse = format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        );
        execute(&path, &refuse).await;
        let error = store.accept(&full_intake()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert_eq!(store.list_undecided(10).await.unwrap(), []);
        assert_eq!(store.list_set_aside(10).await.unwrap(), []);
        assert_eq!(store.get_cursor("sync").await.unwrap(), None);
        execute(&path, "DROP TRIGGER refuse").await;
        assert_eq!(store.accept(&full_intake()).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_decision_that_fails_leaves_nothing() {
    let path = fresh_path();
    let store = SqliteStore::open(&path).await.unwrap();
    let lease = lease(&store).await;
    store.accept(&full_intake()).await.unwrap();
    execute(
        &path,
        "CREATE TRIGGER refuse BEFORE INSERT ON delivery WHEN NEW.attempt = 1
         BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    )
    .await;
    let new = [0, 1].map(|attempt| NewDelivery { attempt, ..owed() });
    let error = store
        .decide(event_id!("$event"), "forward", &new, noon(), &lease)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let event = store.get_event(event_id!("$event")).await.unwrap().unwrap();
    assert_eq!(event.verdict, None);
    assert_eq!(store.list_open_deliveries().await.unwrap(), []);
}

/// The events go last: what went before them comes back.
#[tokio::test]
async fn forgetting_that_fails_forgets_nothing() {
    let path = fresh_path();
    let store = SqliteStore::open(&path).await.unwrap();
    let lease = lease(&store).await;
    store.accept(&full_intake()).await.unwrap();
    let mut delivery = store
        .decide(event_id!("$event"), "forward", &[owed()], noon(), &lease)
        .await
        .unwrap()
        .remove(0);
    delivery.is_open = false;
    store.put_delivery(&delivery, &lease).await.unwrap();
    execute(
        &path,
        "CREATE TRIGGER refuse BEFORE DELETE ON inbox BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    )
    .await;
    let later = "2026-02-01T12:00:00Z".parse().unwrap();
    store.forget_events(later, &lease).await.unwrap_err();
    assert!(store.get_event(event_id!("$event")).await.unwrap().is_some());
    assert_eq!(store.get_delivery(delivery.id).await.unwrap(), Some(delivery));
    assert_eq!(store.list_set_aside(10).await.unwrap(), full_intake().set_aside);
}

/// Two processes of one file, as the command line and a service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_new_to_one_of_two_processes() {
    let path = fresh_path();
    let mut tasks = tokio::task::JoinSet::new();
    for store in [
        SqliteStore::open(&path).await.unwrap(),
        SqliteStore::open(&path).await.unwrap(),
    ] {
        for _ in 0..8 {
            let store = store.clone();
            tasks.spawn(async move { store.accept(&full_intake()).await.unwrap() });
        }
    }
    assert_eq!(tasks.join_all().await.into_iter().sum::<u64>(), 1);
}
