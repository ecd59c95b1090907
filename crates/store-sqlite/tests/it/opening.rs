//! Opening files: new, old, newer, wrong.

use std::{collections::BTreeMap, time::Duration};

use letta_client::AgentId;
use ruma::{room_alias_id, room_id, user_id};
use store::{
    AccountStore, Avatar, Binding, BindingStore, DeliveryStore, History, InboxStore, Invitation, LeaseStore,
    Lifecycle, RoomFacts, SpaceRecord, StoreErrorKind, SyncProgress,
    testing::{full_binding, lease},
};
use store_sqlite::SqliteStore;

use super::support::{execute, files, first_version, fresh_path, second_version};

/// What [`first_version`] holds, as it is read today.
pub(crate) fn first_bindings() -> [Binding; 2] {
    let finished = Binding {
        agent_id: AgentId::new("agent-001"),
        agent_name: "Ada \"the first\"".to_owned(),
        user_id: user_id!("@agent_001:matrix.test").to_owned(),
        room_alias: room_alias_id!("#agent_001:matrix.test").to_owned(),
        lifecycle: Lifecycle::Active,
        user_registered: true,
        display_name: Some("Ada".to_owned()),
        avatar: Avatar::default(),
        room_id: Some(room_id!("!ada").to_owned()),
        room: RoomFacts {
            verified: false,
            name: Some("Ada's room".to_owned()),
            topic: Some("A topic".to_owned()),
            parent_id: Some(room_id!("!parent").to_owned()),
            space_id: Some(room_id!("!space").to_owned()),
            history: History::None,
            ..RoomFacts::default()
        },
        invitations: BTreeMap::from([
            (user_id!("@ann:matrix.test").to_owned(), Invitation::Joined),
            (user_id!("@bob:matrix.test").to_owned(), Invitation::Left),
        ]),
        last_error: None,
        created_at: "2026-01-01T12:00:00Z".parse().unwrap(),
        updated_at: "2026-01-02T12:00:00.123456789Z".parse().unwrap(),
    };
    let failed = Binding {
        last_error: Some("no such user".to_owned()),
        ..Binding::planned(
            AgentId::new("agent-002"),
            "Bea".to_owned(),
            user_id!("@agent_002:matrix.test").to_owned(),
            room_alias_id!("#agent_002:matrix.test").to_owned(),
            "2026-01-03T12:00:00Z".parse().unwrap(),
        )
    };
    [finished, failed]
}

pub(crate) fn first_space() -> SpaceRecord {
    SpaceRecord {
        name: Some("Agents".to_owned()),
        ..SpaceRecord::found(
            room_id!("!space").to_owned(),
            "2026-01-01T11:00:00Z".parse().unwrap(),
        )
    }
}

#[tokio::test]
async fn a_file_of_the_first_version_keeps_every_fact() {
    let path = first_version().await;
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.list_bindings().await.unwrap(), first_bindings());
    assert_eq!(store.get_space().await.unwrap(), Some(first_space()));
    assert_eq!(store.get_progress().await.unwrap(), SyncProgress::default());
    // And it goes on from there.
    let lease = lease(&store).await;
    let binding = full_binding("agent-001");
    store.put_binding(&binding, &lease).await.unwrap();
    assert_eq!(store.get_binding(&binding.agent_id).await.unwrap(), Some(binding));
}

#[tokio::test]
async fn a_file_of_the_second_version_keeps_every_fact() {
    let path = second_version().await;
    let store = SqliteStore::open(&path).await.unwrap();
    let bindings = store.list_bindings().await.unwrap();
    assert_eq!(bindings.len(), 1);
    assert_eq!(bindings[0].room_id.as_deref(), Some(room_id!("!ada")));
    assert!(bindings[0].room.verified);
    assert_eq!(
        store.get_space().await.unwrap().unwrap().name.as_deref(),
        Some("Agents")
    );
    assert!(store.get_progress().await.unwrap().checked_at.is_some());
    let account = store.get_account(user_id!("@bot:matrix.test")).await.unwrap();
    assert_eq!(account.unwrap().sealed_token, Some(vec![1, 2]));
    // And it goes on from there.
    let lease = lease(&store).await;
    assert_eq!(lease.token, 42);
    assert_eq!(store.list_undecided(10).await.unwrap(), []);
    store
        .put_record("lane", "a", Some(&true.into()), &lease)
        .await
        .unwrap();
    assert_eq!(store.get_record("lane", "a").await.unwrap(), Some(true.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_may_open_an_old_file_at_once() {
    let path = first_version().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let path = path.clone();
        tasks.spawn(async move { SqliteStore::open(&path).await.unwrap().list_bindings().await });
    }
    while let Some(bindings) = tasks.join_next().await {
        assert_eq!(bindings.unwrap().unwrap(), first_bindings());
    }
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused_with_a_reason() {
    let path = fresh_path();
    SqliteStore::open(&path).await.unwrap().close().await;
    execute(
        &path,
        "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 3",
    )
    .await;
    let before = files(path.parent().unwrap());
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::TooNew);
    assert!(error.to_string().contains("newer version"), "{error}");
    assert!(error.to_string().contains("up to 3"), "{error}");
    assert!(files(path.parent().unwrap()) == before, "the file was changed");
}

#[tokio::test]
async fn a_file_of_another_program_is_left_alone() {
    let path = fresh_path();
    execute(
        &path,
        "CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('ann')",
    )
    .await;
    let before = files(path.parent().unwrap());
    for error in [
        SqliteStore::open(&path).await.unwrap_err(),
        SqliteStore::open_read_only(&path).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Foreign);
        assert!(error.to_string().contains("bridge.db"), "{error}");
    }
    assert!(files(path.parent().unwrap()) == before, "the file was changed");
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
    for error in [
        SqliteStore::open(&path).await.unwrap_err(),
        SqliteStore::open_read_only(&path).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let path = fresh_path();
    let store = SqliteStore::open(&path).await.unwrap();
    lease(&store).await;
    for file in files(path.parent().unwrap()).into_keys() {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has {mode:o}", file.display());
    }
}

#[tokio::test]
async fn an_empty_file_becomes_a_state() {
    let path = fresh_path();
    std::fs::write(&path, "").unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.list_bindings().await.unwrap(), []);
}

/// A lease outlives the process that got it, and its tokens go on rising.
#[tokio::test]
async fn tokens_rise_after_reopening() {
    let path = fresh_path();
    let store = SqliteStore::open(&path).await.unwrap();
    let former = lease(&store).await;
    store.release_lease(&former).await.unwrap();
    store.close().await;
    let store = SqliteStore::open(&path).await.unwrap();
    let now = former.expires_at + Duration::from_secs(1);
    let new = store
        .acquire_lease(&former.name, "another", now, Duration::from_secs(1))
        .await
        .unwrap()
        .unwrap();
    assert!(new.token > former.token, "{new:?} after {former:?}");
}
