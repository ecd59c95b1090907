//! The store on a real server.

use std::sync::Arc;

use jiff::Timestamp;
use store::{
    Binding, BindingStore, LeaseStore, SpaceRecord, StoreErrorKind, SyncProgress,
    testing::{full_binding, full_progress, full_space, lease, planned_binding},
};

use super::support::{MINUTE, Schema, with_store};

store::store_conformance!(around with_store);

fn noon() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let store = schema.store().await;
    let lease = lease(&store).await;
    store
        .put_binding(&full_binding("agent-001"), &lease)
        .await
        .unwrap();
    store.put_space(&full_space(), &lease).await.unwrap();
    store.put_progress(&full_progress(), &lease).await.unwrap();
    store.close().await;
    let store = schema.store().await;
    assert_eq!(store.list_bindings().await.unwrap(), [full_binding("agent-001")]);
    assert_eq!(store.get_space().await.unwrap(), Some(full_space()));
    assert_eq!(store.get_progress().await.unwrap(), full_progress());
    assert_eq!(store.get_lease(&lease.name).await.unwrap(), Some(lease));
    schema.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_one_gets_the_lease() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let stores = [Arc::new(schema.store().await), Arc::new(schema.store().await)];
    for round in 0..10 {
        let name = format!("sync {round}");
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..16 {
            let (store, name) = (Arc::clone(&stores[n % 2]), name.clone());
            tasks.spawn(async move {
                store
                    .acquire_lease(&name, &format!("holder-{n}"), noon(), MINUTE)
                    .await
                    .unwrap()
            });
        }
        let granted: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(granted.len(), 1, "{granted:?}");
    }
    schema.remove().await;
}

/// One process writes as fast as it can while another one gets the lease. What that one reads then is final.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_lost_its_lease_writes_no_more() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let (slow, new) = (Arc::new(schema.store().await), schema.store().await);
    let mut now = noon();
    for round in 0..10 {
        let former = slow
            .acquire_lease("sync", "slow", now, MINUTE)
            .await
            .unwrap()
            .unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..4 {
            let (slow, former) = (Arc::clone(&slow), former.clone());
            writers.spawn(async move {
                let mut binding = planned_binding(&format!("agent-{n:03}"));
                for count in 0.. {
                    binding.agent_name = format!("round {round}, write {count}");
                    if let Err(error) = slow.put_binding(&binding, &former).await {
                        assert_eq!(error.kind(), StoreErrorKind::LeaseLost, "{error}");
                        return count;
                    }
                }
                unreachable!("the lease is lost at some time")
            });
        }
        while !new
            .list_bindings()
            .await
            .unwrap()
            .iter()
            .any(|binding| binding.agent_name.starts_with(&format!("round {round},")))
        {
            tokio::task::yield_now().await;
        }
        now = former.expires_at;
        let granted = new
            .acquire_lease("sync", "new", now, MINUTE)
            .await
            .unwrap()
            .unwrap();
        let then = new.list_bindings().await.unwrap();
        let written: u32 = writers.join_all().await.into_iter().sum();
        assert!(written > 0);
        assert_eq!(new.list_bindings().await.unwrap(), then, "after {written} writes");
        new.put_binding(&planned_binding("agent-000"), &granted)
            .await
            .unwrap();
        now = granted.expires_at;
    }
    schema.remove().await;
}

/// The one that looked at its lease and was slow to write then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_waits_for_a_write_that_has_begun() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let (slow, new) = (Arc::new(schema.store().await), Arc::new(schema.store().await));
    let former = slow
        .acquire_lease("sync", "slow", noon(), MINUTE)
        .await
        .unwrap()
        .unwrap();
    let mut binding = planned_binding("agent-001");
    slow.put_binding(&binding, &former).await.unwrap();

    let stop = schema
        .begin("SELECT FROM binding WHERE agent_id = 'agent-001' FOR UPDATE")
        .await;
    binding.agent_name = "written late".to_owned();
    let write = tokio::spawn({
        let (slow, binding, former) = (Arc::clone(&slow), binding.clone(), former.clone());
        async move { slow.put_binding(&binding, &former).await }
    });
    schema.until_waiting(1).await;
    let grant = tokio::spawn({
        let (new, now) = (Arc::clone(&new), former.expires_at);
        async move {
            let granted = new.acquire_lease("sync", "new", now, MINUTE).await.unwrap();
            (granted.unwrap(), new.list_bindings().await.unwrap())
        }
    });
    schema.until_waiting(2).await;
    stop.commit().await;

    write.await.unwrap().unwrap();
    let (granted, read) = grant.await.unwrap();
    assert!(granted.token > former.token);
    assert_eq!(read, [binding]);
    schema.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_waits_for_a_grant_that_has_begun_and_is_refused() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let store = Arc::new(schema.store().await);
    let former = lease(&*store).await;
    let binding = planned_binding("agent-001");
    store.put_binding(&binding, &former).await.unwrap();
    store.put_space(&full_space(), &former).await.unwrap();

    let grant = schema
        .begin("UPDATE lease SET last_token = last_token + 1, holder = 'new'")
        .await;
    let mut writes = tokio::task::JoinSet::new();
    let agent = binding.agent_id.clone();
    let (put, delete, space, progress) = (store.clone(), store.clone(), store.clone(), store.clone());
    let [a, b, c, d] = std::array::from_fn(|_| former.clone());
    writes.spawn(async move { put.put_binding(&full_binding("agent-001"), &a).await });
    writes.spawn(async move { delete.delete_binding(&agent, &b).await });
    writes.spawn(async move {
        space
            .put_space(
                &SpaceRecord {
                    name: None,
                    ..full_space()
                },
                &c,
            )
            .await
    });
    writes.spawn(async move { progress.put_progress(&full_progress(), &d).await });
    schema.until_waiting(4).await;
    grant.commit().await;

    for refused in writes.join_all().await {
        assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::LeaseLost);
    }
    assert_eq!(store.list_bindings().await.unwrap(), [binding]);
    assert_eq!(store.get_space().await.unwrap(), Some(full_space()));
    assert_eq!(store.get_progress().await.unwrap(), SyncProgress::default());
    schema.remove().await;
}

#[tokio::test]
async fn a_text_with_nul_is_kept_without_it() {
    with_store(async |store| {
        let lease = lease(&*store).await;
        let mut binding = full_binding("agent-001");
        binding.agent_name = "a\0b".to_owned();
        binding.display_name = Some("\0".to_owned());
        binding.last_error = Some("<html>\0".to_owned());
        binding.room.topic = Some("a\0b".to_owned());
        store.put_binding(&binding, &lease).await.unwrap();
        let expected = Binding {
            agent_name: "a\u{fffd}b".to_owned(),
            display_name: Some("\u{fffd}".to_owned()),
            last_error: Some("<html>\u{fffd}".to_owned()),
            ..binding
        };
        assert_eq!(store.list_bindings().await.unwrap(), [expected]);
    })
    .await;
}

#[tokio::test]
async fn an_unreadable_record_names_the_agent_and_the_field() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let store = schema.store().await;
    let lease = lease(&store).await;
    store
        .put_binding(&full_binding("agent-001"), &lease)
        .await
        .unwrap();
    schema.execute("UPDATE binding SET user_id = 'nonsense'").await;
    let error = store.list_bindings().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert!(
        error.to_string().contains("agent-001") && error.to_string().contains("user_id"),
        "{error}"
    );
    schema.remove().await;
}
