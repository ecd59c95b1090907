//! The store on a real file.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "it/conversations.rs"]
mod conversations;
#[path = "it/opening.rs"]
mod opening;
#[path = "it/read_only.rs"]
mod read_only;
#[path = "it/support.rs"]
mod support;

use std::sync::Arc;

use store::{
    BindingStore, LeaseStore, StoreErrorKind,
    testing::{full_binding, full_progress, full_space, lease},
};
use store_sqlite::SqliteStore;

use self::support::{execute, fresh_path};

store::store_conformance!(async { Arc::new(SqliteStore::open(&fresh_path()).await.unwrap()) });

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let path = fresh_path();
    let store = SqliteStore::open(&path).await.unwrap();
    let lease = lease(&store).await;
    store
        .put_binding(&full_binding("agent-001"), &lease)
        .await
        .unwrap();
    store.put_space(&full_space(), &lease).await.unwrap();
    store.put_progress(&full_progress(), &lease).await.unwrap();
    store.close().await;
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.list_bindings().await.unwrap(), [full_binding("agent-001")]);
    assert_eq!(store.get_space().await.unwrap(), Some(full_space()));
    assert_eq!(store.get_progress().await.unwrap(), full_progress());
    assert_eq!(store.get_lease(&lease.name).await.unwrap(), Some(lease));
}

/// A store keeps a few connections: a lease must hold among those of several stores too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_contend_for_a_lease() {
    let path = fresh_path();
    let stores = [
        Arc::new(SqliteStore::open(&path).await.unwrap()),
        Arc::new(SqliteStore::open(&path).await.unwrap()),
    ];
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..32 {
        let store = Arc::clone(&stores[n % 2]);
        tasks.spawn(async move {
            let now = "2026-01-01T12:00:00Z".parse().unwrap();
            let ttl = std::time::Duration::from_secs(60);
            store
                .acquire_lease("sync", &format!("holder-{n}"), now, ttl)
                .await
        });
    }
    let mut granted = Vec::new();
    while let Some(lease) = tasks.join_next().await {
        granted.extend(lease.unwrap().unwrap());
    }
    assert_eq!(granted.len(), 1, "{granted:?}");
}

#[tokio::test]
async fn an_unreadable_record_names_the_agent_and_the_field() {
    let path = fresh_path();
    let store = SqliteStore::open(&path).await.unwrap();
    let lease = lease(&store).await;
    store
        .put_binding(&full_binding("agent-001"), &lease)
        .await
        .unwrap();
    execute(&path, "UPDATE binding SET user_id = 'nonsense'").await;
    let error = store.list_bindings().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert!(
        error.to_string().contains("agent-001") && error.to_string().contains("user_id"),
        "{error}"
    );
}
