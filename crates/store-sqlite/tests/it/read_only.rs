//! Looking at files without touching them.

use store::{
    BindingStore, LeaseStore, StoreErrorKind,
    testing::{full_binding, full_progress, full_space, lease, planned_binding},
};
use store_sqlite::SqliteStore;

use super::{
    opening::{first_bindings, first_space},
    support::{execute, files, first_version, fresh_path},
};

async fn filled(path: &std::path::Path) -> SqliteStore {
    let store = SqliteStore::open(path).await.unwrap();
    let lease = lease(&store).await;
    store
        .put_binding(&full_binding("agent-001"), &lease)
        .await
        .unwrap();
    store.put_space(&full_space(), &lease).await.unwrap();
    store.put_progress(&full_progress(), &lease).await.unwrap();
    store
}

async fn assert_filled(store: &SqliteStore) {
    assert_eq!(store.list_bindings().await.unwrap(), [full_binding("agent-001")]);
    assert_eq!(store.get_space().await.unwrap(), Some(full_space()));
    assert_eq!(store.get_progress().await.unwrap(), full_progress());
    assert!(store.get_lease("a test").await.unwrap().is_some());
}

#[tokio::test]
async fn a_missing_file_is_not_made() {
    let path = fresh_path();
    assert!(SqliteStore::open_read_only(&path).await.unwrap().is_none());
    assert!(files(path.parent().unwrap()).is_empty());
}

#[tokio::test]
async fn a_file_is_read_and_nothing_is_left_beside_it() {
    let path = fresh_path();
    filled(&path).await.close().await;
    let before = files(path.parent().unwrap());
    assert_eq!(before.len(), 1, "{:?}", before.keys());
    let store = SqliteStore::open_read_only(&path).await.unwrap().unwrap();
    assert_filled(&store).await;
    store.close().await;
    assert!(files(path.parent().unwrap()) == before, "something changed");
}

#[tokio::test]
async fn an_empty_file_is_an_empty_state() {
    let path = fresh_path();
    std::fs::write(&path, "").unwrap();
    let store = SqliteStore::open_read_only(&path).await.unwrap().unwrap();
    assert_eq!(store.list_bindings().await.unwrap(), []);
    assert_eq!(files(path.parent().unwrap())[&path], b"");
}

#[tokio::test]
async fn a_bridge_at_work_is_not_disturbed() {
    let path = fresh_path();
    let bridge = filled(&path).await;
    let copy = SqliteStore::open_read_only(&path).await.unwrap().unwrap();
    assert_filled(&copy).await;
    let lease = lease(&bridge).await;
    bridge
        .put_binding(&planned_binding("agent-002"), &lease)
        .await
        .unwrap();
    assert_filled(&copy).await;
    bridge.close().await;
    let names: Vec<_> = files(path.parent().unwrap()).into_keys().collect();
    assert_eq!(names, [path]);
}

/// What was written last is still in the log when a bridge is killed.
#[tokio::test]
async fn the_log_of_a_killed_bridge_is_read() {
    let path = fresh_path();
    let _bridge = filled(&path).await;
    let killed = fresh_path();
    std::fs::copy(&path, &killed).unwrap();
    std::fs::copy(path.with_extension("db-wal"), killed.with_extension("db-wal")).unwrap();
    let before = files(killed.parent().unwrap());
    let store = SqliteStore::open_read_only(&killed).await.unwrap().unwrap();
    assert_filled(&store).await;
    store.close().await;
    let after = files(killed.parent().unwrap());
    for (file, bytes) in before {
        assert!(after[&file] == bytes, "{} changed", file.display());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_leads_to_the_real_files_log() {
    let path = fresh_path();
    let _bridge = filled(&path).await;
    let link = fresh_path();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let store = SqliteStore::open_read_only(&link).await.unwrap().unwrap();
    assert_filled(&store).await;
    assert_eq!(files(link.parent().unwrap()).len(), 1);
}

#[tokio::test]
async fn a_file_of_the_first_version_is_read_and_not_brought_up_to_date() {
    let path = first_version().await;
    let before = files(path.parent().unwrap());
    let store = SqliteStore::open_read_only(&path).await.unwrap().unwrap();
    assert_eq!(store.list_bindings().await.unwrap(), first_bindings());
    assert_eq!(store.get_space().await.unwrap(), Some(first_space()));
    store.close().await;
    assert!(files(path.parent().unwrap()) == before, "something changed");
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let path = fresh_path();
    SqliteStore::open(&path).await.unwrap().close().await;
    execute(
        &path,
        "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 3",
    )
    .await;
    let error = SqliteStore::open_read_only(&path).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::TooNew);
}

#[tokio::test]
async fn writing_to_what_is_read_only_fails() {
    let path = fresh_path();
    filled(&path).await.close().await;
    let store = SqliteStore::open_read_only(&path).await.unwrap().unwrap();
    let lease = store.get_lease("a test").await.unwrap().unwrap();
    let error = store
        .put_binding(&planned_binding("agent-002"), &lease)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert_filled(&store).await;
}
