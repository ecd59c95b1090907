//! The store on a real file.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{path::PathBuf, sync::Arc};

use store::{BindingStore, StoreErrorKind, testing::full_binding};
use store_sqlite::SqliteStore;

/// A path in a fresh folder. The folder outlives the test on purpose: the store may still hold the file.
fn fresh_path() -> PathBuf {
    tempfile::tempdir().unwrap().keep().join("bridge.db")
}

store::binding_store_conformance!(async { Arc::new(SqliteStore::open(&fresh_path()).await.unwrap()) });

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let path = fresh_path();
    let store = SqliteStore::open(&path).await.unwrap();
    store.put_binding(&full_binding("agent-001")).await.unwrap();
    store.close().await;
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.list_bindings().await.unwrap(), [full_binding("agent-001")]);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_with_a_reason() {
    let path = fresh_path();
    SqliteStore::open(&path).await.unwrap().close().await;
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    sqlx::query("UPDATE _sqlx_migrations SET version = 9999")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::TooNew);
    assert!(error.to_string().contains("newer version"), "{error}");
}

#[tokio::test]
async fn a_path_that_cannot_be_written_is_named() {
    let path = fresh_path().join("no").join("such").join("folder.db");
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("folder.db"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_refused() {
    let path = fresh_path();
    std::fs::write(&path, "this is a letter to my aunt, not a database. ".repeat(100)).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn an_unreadable_record_names_the_agent_and_the_field() {
    let path = fresh_path();
    let store = SqliteStore::open(&path).await.unwrap();
    store.put_binding(&full_binding("agent-001")).await.unwrap();
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    sqlx::query("UPDATE binding SET user_id = 'nonsense'")
        .execute(&pool)
        .await
        .unwrap();
    let error = store.list_bindings().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert!(
        error.to_string().contains("agent-001") && error.to_string().contains("user_id"),
        "{error}"
    );
}
