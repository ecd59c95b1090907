//! Cases about writes and the leases under which they are made.

use std::{sync::Arc, time::Duration};

use letta_client::AgentId;
use serde_json::{Value, json};

use super::{
    conversations::{after, arrival, done, event_id, owed, set_aside},
    samples::{HOUR, NOON, full_binding, full_progress, full_space, grant, lease, planned_binding},
};
use crate::{
    Binding, ConversationStore, Delivery, InboxEvent, Intake, Lease, Result, SetAside, StoreErrorKind,
    SyncProgress, SyncStore,
};

/// One that is decided with a delivery that is done, one that is decided with an open one, one that is undecided, and one
/// that never comes in.
const EVENTS: [u32; 4] = [1, 2, 3, 4];

/// What a store holds, to see that it did not change.
#[derive(Debug, PartialEq)]
struct Everything {
    bindings: Vec<Binding>,
    space: Option<crate::SpaceRecord>,
    progress: SyncProgress,
    events: Vec<Option<InboxEvent>>,
    deliveries: Vec<Vec<Delivery>>,
    records: Vec<(String, Value)>,
    set_aside: Vec<SetAside>,
}

impl Everything {
    async fn of(store: &(impl SyncStore + ConversationStore)) -> Self {
        let mut events = Vec::new();
        let mut deliveries = Vec::new();
        for event in EVENTS.map(event_id) {
            events.push(store.get_event(&event).await.unwrap());
            deliveries.push(store.list_deliveries_of(&event).await.unwrap());
        }
        Self {
            events,
            deliveries,
            records: store.list_records("lane").await.unwrap(),
            set_aside: store.list_set_aside(10).await.unwrap(),
            bindings: store.list_bindings().await.unwrap(),
            space: store.get_space().await.unwrap(),
            progress: store.get_progress().await.unwrap(),
        }
    }
}

/// Every write call, once, each of which would change something in [`fill`]ed store.
async fn every_write(
    store: &(impl SyncStore + ConversationStore),
    lease: &Lease,
) -> Vec<(&'static str, Result<()>)> {
    let mut writes = every_sync_write(store, lease).await;
    writes.extend(every_conversation_write(store, lease).await);
    writes
}

async fn every_sync_write(store: &impl SyncStore, lease: &Lease) -> Vec<(&'static str, Result<()>)> {
    let mut space = full_space();
    space.name = None;
    vec![
        (
            "a new binding",
            store.put_binding(&planned_binding("agent-new"), lease).await,
        ),
        (
            "a known binding",
            store.put_binding(&planned_binding("agent-001"), lease).await,
        ),
        (
            "deleting a binding",
            store.delete_binding(&AgentId::new("agent-002"), lease).await,
        ),
        (
            "deleting an unknown binding",
            store.delete_binding(&AgentId::new("agent-unknown"), lease).await,
        ),
        ("the space", store.put_space(&space, lease).await),
        (
            "progress",
            store.put_progress(&SyncProgress::default(), lease).await,
        ),
    ]
}

async fn every_conversation_write(
    store: &impl ConversationStore,
    lease: &Lease,
) -> Vec<(&'static str, Result<()>)> {
    let mut writes = Vec::new();
    for (what, n) in [
        ("an event decided anew", 1),
        ("an undecided event", 3),
        ("an unknown event", 4),
    ] {
        let new = [owed(n, "agent-new")];
        let decided = store.decide(&event_id(n), "decided", &new, NOON, lease).await;
        writes.push((what, decided.map(|_| ())));
    }
    for open in store.list_open_deliveries().await.unwrap() {
        let unknown = Delivery {
            id: open.id + 1000,
            ..open.clone()
        };
        writes.push(("a delivery", store.put_delivery(&done(open), lease).await));
        writes.push(("an unknown delivery", store.put_delivery(&unknown, lease).await));
    }
    for (what, key, record) in [
        ("a new record", "new", Some(json!(1))),
        ("a known record", "one", Some(json!(2))),
        ("removing a record", "two", None),
        ("removing an unknown record", "unknown", None),
    ] {
        let written = store.put_record("lane", key, record.as_ref(), lease).await;
        writes.push((what, written));
    }
    let forgotten = store.forget_events(after(NOON), lease).await;
    writes.push(("forgetting events", forgotten.map(|_| ())));
    writes
}

async fn fill(store: &(impl SyncStore + ConversationStore)) {
    let lease = lease(store).await;
    for agent in ["agent-001", "agent-002"] {
        store.put_binding(&full_binding(agent), &lease).await.unwrap();
    }
    store.put_space(&full_space(), &lease).await.unwrap();
    store.put_progress(&full_progress(), &lease).await.unwrap();
    let intake = Intake {
        arrivals: [1, 2, 3].map(arrival).into(),
        set_aside: vec![set_aside("a reason")],
        cursor: None,
    };
    store.accept(&intake).await.unwrap();
    for n in [1, 2] {
        let deliveries = store
            .decide(&event_id(n), "forward", &[owed(n, "agent-001")], NOON, &lease)
            .await
            .unwrap();
        if n == 1 {
            store
                .put_delivery(&done(deliveries[0].clone()), &lease)
                .await
                .unwrap();
        }
    }
    for key in ["one", "two"] {
        store
            .put_record("lane", key, Some(&json!({ "of": key })), &lease)
            .await
            .unwrap();
    }
}

async fn assert_all_refused(store: &(impl SyncStore + ConversationStore), lease: &Lease) {
    let before = Everything::of(store).await;
    for (what, result) in every_write(store, lease).await {
        let error = result.expect_err(what);
        assert_eq!(error.kind(), StoreErrorKind::LeaseLost, "{what}: {error}");
        assert!(error.to_string().contains(&lease.name), "{what}: {error}");
    }
    assert_eq!(Everything::of(store).await, before);
}

async fn assert_all_taken(store: &(impl SyncStore + ConversationStore), lease: &Lease) {
    for (what, result) in every_write(store, lease).await {
        result.expect(what);
    }
}

/// Writes under a lease that another holder got are refused, and nothing is written.
pub async fn writes_under_another_holders_lease_are_refused(store: Arc<impl SyncStore + ConversationStore>) {
    fill(&*store).await;
    let former = grant(&*store, "sync", "a").await;
    let new = store
        .acquire_lease("sync", "b", former.expires_at, HOUR)
        .await
        .unwrap()
        .unwrap();
    assert_all_refused(&*store, &former).await;
    assert_all_taken(&*store, &new).await;
}

/// Writes of a process's former self are refused: its new self got the lease anew.
pub async fn writes_of_a_former_self_are_refused(store: Arc<impl SyncStore + ConversationStore>) {
    fill(&*store).await;
    let former = grant(&*store, "sync", "a").await;
    let new = grant(&*store, "sync", "a").await;
    assert_all_refused(&*store, &former).await;
    assert_all_taken(&*store, &new).await;
}

/// Writes under a lease that was never granted are refused.
pub async fn writes_under_an_invented_lease_are_refused(store: Arc<impl SyncStore + ConversationStore>) {
    fill(&*store).await;
    let granted = grant(&*store, "sync", "a").await;
    let unknown = Lease {
        name: "unknown".to_owned(),
        ..granted.clone()
    };
    assert_all_refused(&*store, &unknown).await;
    let too_high = Lease {
        token: granted.token + 1,
        ..granted
    };
    assert_all_refused(&*store, &too_high).await;
}

/// A lease that nobody took over is as good as on its first day: over, renewed or given back.
pub async fn writes_under_a_lease_that_nobody_took_are_kept(store: Arc<impl SyncStore + ConversationStore>) {
    fill(&*store).await;
    let lease = grant(&*store, "sync", "a").await;
    let refused = store.acquire_lease("sync", "b", NOON, HOUR).await.unwrap();
    assert_eq!(refused, None);
    assert_all_taken(&*store, &lease).await;
    fill(&*store).await;
    let renewed = store
        .renew_lease(&lease, NOON, Duration::from_secs(1))
        .await
        .unwrap()
        .unwrap();
    for lease in [&lease, &renewed] {
        assert_all_taken(&*store, lease).await;
    }
    store.release_lease(&lease).await.unwrap();
    assert_all_taken(&*store, &lease).await;
}

/// What is read after a lease was granted anew is not changed any more by those who had it before, however their
/// writes and the grant fall together.
pub async fn a_grant_ends_all_writes_of_the_former_holder(store: Arc<impl SyncStore + 'static>) {
    for round in 0..8 {
        let former = grant(&*store, "sync", "a").await;
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..8 {
            let (store, former) = (Arc::clone(&store), former.clone());
            writers.spawn(async move {
                let mut binding = planned_binding(&format!("agent-{n:03}"));
                for count in 0.. {
                    binding.agent_name = format!("round {round}, write {count}");
                    if let Err(error) = store.put_binding(&binding, &former).await {
                        assert_eq!(error.kind(), StoreErrorKind::LeaseLost, "{error}");
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
        // Some writes are done, others under way.
        while store.list_bindings().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        grant(&*store, "sync", "a").await;
        let then = store.list_bindings().await.unwrap();
        while let Some(writer) = writers.join_next().await {
            writer.unwrap();
        }
        assert_eq!(store.list_bindings().await.unwrap(), then);
    }
}
