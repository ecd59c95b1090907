//! Opening databases: empty, newer, older, wrong.

use ruma::{room_id, user_id};
use store::{
    AccountStore, BindingStore, DeliveryStore, InboxStore, LeaseStore, StoreErrorKind,
    testing::{full_binding, full_space, lease, planned_binding},
};
use store_postgres::PostgresStore;

use super::support::{Schema, address, everything, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_may_begin_on_an_empty_database() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = schema.url();
        tasks.spawn(async move {
            let store = PostgresStore::open(&url).await.unwrap();
            store.list_bindings().await.unwrap().len()
        });
    }
    assert_eq!(tasks.join_all().await, [0; 8]);
    schema.remove().await;
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_with_a_reason() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    schema.store().await.close().await;
    schema
        .execute("INSERT INTO _sqlx_migrations SELECT 9999, '', now(), true, '', 0")
        .await;
    for error in [
        PostgresStore::open(&schema.url()).await.unwrap_err(),
        PostgresStore::open_read_only(&schema.url()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::TooNew);
        assert!(error.to_string().contains("its schema is 9999"), "{error}");
    }
    schema.remove().await;
}

#[tokio::test]
async fn tables_of_another_program_are_left_alone() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    schema.execute("CREATE TABLE account (name TEXT)").await;
    for error in [
        PostgresStore::open(&schema.url()).await.unwrap_err(),
        PostgresStore::open_read_only(&schema.url()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Foreign);
        assert!(error.to_string().contains("a table account"), "{error}");
    }
    assert_eq!(schema.tables().await, ["account"]);
    schema.remove().await;
}

/// One that keeps its versions as we do, and has a table by the name of one of ours.
#[tokio::test]
async fn the_database_of_another_program_is_no_newer_version() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    schema.store().await.close().await;
    schema
        .execute(
            "DELETE FROM _sqlx_migrations WHERE version > 1; UPDATE _sqlx_migrations SET version = 20230101;
             DROP TABLE binding, space, progress, lease, account, inbox, set_aside, cursor, delivery;
             CREATE TABLE users (name TEXT)",
        )
        .await;
    for error in [
        PostgresStore::open(&schema.url()).await.unwrap_err(),
        PostgresStore::open_read_only(&schema.url()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Foreign, "{error}");
    }
    assert_eq!(schema.tables().await, ["_sqlx_migrations", "record", "users"]);
    schema.remove().await;
}

#[tokio::test]
async fn an_unknown_database_is_refused() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let (server, _) = address()
        .rsplit_once('/')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let error = PostgresStore::open(&format!("{server}/nowhere").into())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(
        everything(&error).contains("\"nowhere\" does not exist"),
        "{error:?}"
    );
    schema.remove().await;
}

#[tokio::test]
async fn who_may_not_make_tables_is_told() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let guest = format!("guest_of_{}", schema.name());
    server(&format!(
        "CREATE ROLE {guest} LOGIN; GRANT USAGE ON SCHEMA {} TO {guest}",
        schema.name()
    ))
    .await;
    let url = schema.url_at(&address(), &format!("&user={guest}"));
    let error = PostgresStore::open(&url).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{}", everything(&error));
    assert!(
        everything(&error).contains("permission denied for schema"),
        "{error:?}"
    );
    assert!(schema.tables().await.is_empty());
    let name = schema.name().to_owned();
    schema.remove().await;
    server(&format!("DROP ROLE guest_of_{name}")).await;
}

#[tokio::test]
async fn nothing_is_made_to_look_at() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let store = PostgresStore::open_read_only(&schema.url()).await.unwrap();
    assert!(store.is_none(), "{store:?}");
    assert!(schema.tables().await.is_empty());
    schema.remove().await;
}

#[tokio::test]
async fn who_only_looks_reads_and_cannot_write() {
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
    let looking = PostgresStore::open_read_only(&schema.url())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        looking.list_bindings().await.unwrap(),
        [full_binding("agent-001")]
    );
    assert_eq!(looking.get_space().await.unwrap(), Some(full_space()));
    let error = looking
        .put_binding(&planned_binding("agent-002"), &lease)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{}", everything(&error));
    let error = looking.release_lease(&lease).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    schema.remove().await;
}

#[tokio::test]
async fn an_older_database_is_not_brought_up_to_date_to_look_at() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    schema.first_version().await;
    let before = schema.tables().await;
    let error = PostgresStore::open_read_only(&schema.url()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::TooOld);
    assert_eq!(schema.tables().await, before);
    schema.remove().await;
}

#[tokio::test]
async fn a_database_of_the_first_version_keeps_every_fact() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    schema.first_version().await;
    let store = schema.store().await;
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
    schema.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_may_begin_on_an_old_database() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    schema.first_version().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = schema.url();
        tasks.spawn(async move {
            let store = PostgresStore::open(&url).await.unwrap();
            store.list_bindings().await.unwrap().len()
        });
    }
    assert_eq!(tasks.join_all().await, [1; 8]);
    schema.remove().await;
}
