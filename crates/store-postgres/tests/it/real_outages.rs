//! A server that goes away and comes back.

use std::time::{Duration, Instant};

use store::{
    BindingStore, StoreErrorKind,
    testing::{full_binding, lease, planned_binding},
};
use store_postgres::{Deadlines, PostgresStore};

use super::{
    proxy::Proxy,
    support::{Schema, address},
};

const DEADLINES: Deadlines = Deadlines {
    connect: Duration::from_secs(1),
    statement: Duration::from_secs(2),
    prepare: Duration::from_secs(60),
};

/// The address of the server, and a URL that leads to it by way of the proxy.
async fn proxied(schema: &Schema) -> (Proxy, PostgresStore) {
    let address = address();
    let (credentials, place) = address.split_once('@').unwrap();
    let (server, database) = place.split_once('/').unwrap();
    let proxy = Proxy::start(server.to_owned()).await;
    let url = schema.url_at(
        &format!("{credentials}@127.0.0.1:{}/{database}", proxy.port()),
        "",
    );
    let store = PostgresStore::open_with(&url, DEADLINES).await.unwrap();
    (proxy, store)
}

/// Calls until it works. Fails when it does not within a minute.
async fn recovered(store: &PostgresStore) {
    let start = Instant::now();
    while let Err(error) = store.list_bindings().await {
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(start.elapsed() < Duration::from_secs(60), "{error:?}");
    }
}

#[tokio::test]
async fn connections_that_the_server_ended_are_made_anew() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let store = schema.store().await;
    let lease = lease(&store).await;
    store
        .put_binding(&full_binding("agent-001"), &lease)
        .await
        .unwrap();
    schema.end_connections().await;
    recovered(&store).await;
    store
        .put_binding(&full_binding("agent-002"), &lease)
        .await
        .unwrap();
    schema.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_is_told_and_found_again() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let (proxy, store) = proxied(&schema).await;
    let lease = lease(&store).await;
    store
        .put_binding(&full_binding("agent-001"), &lease)
        .await
        .unwrap();
    proxy.cut().await;
    let start = Instant::now();
    let error = store
        .put_binding(&planned_binding("agent-002"), &lease)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    assert!(start.elapsed() < 2 * DEADLINES.statement, "{:?}", start.elapsed());
    proxy.mend().await;
    recovered(&store).await;
    store
        .put_binding(&planned_binding("agent-002"), &lease)
        .await
        .unwrap();
    schema.remove().await;
}

/// A firewall that forgets, a host that is switched off: connections stay open and nobody answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_is_told_and_found_again() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let (proxy, store) = proxied(&schema).await;
    let lease = lease(&store).await;
    store
        .put_binding(&full_binding("agent-001"), &lease)
        .await
        .unwrap();
    proxy.silence();
    let start = Instant::now();
    // More than there are connections, so that a lost one would be missed.
    for n in 0..6 {
        let error = store
            .put_binding(&planned_binding(&format!("agent-1{n}")), &lease)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    }
    let each = DEADLINES.connect + DEADLINES.statement;
    assert!(start.elapsed() < 7 * each, "{:?}", start.elapsed());
    proxy.speak();
    recovered(&store).await;
    store
        .put_binding(&planned_binding("agent-002"), &lease)
        .await
        .unwrap();
    schema.remove().await;
}

/// A statement that waits for another's lock is given up too, and its connection with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_waits_too_long_is_given_up() {
    let Some(schema) = Schema::make().await else {
        return;
    };
    let store = PostgresStore::open_with(&schema.url(), DEADLINES).await.unwrap();
    let lease = lease(&store).await;
    let lock = schema.begin("LOCK TABLE lease").await;
    let start = Instant::now();
    let error = store
        .put_binding(&planned_binding("agent-001"), &lease)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("did not answer for 2 s"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    lock.commit().await;
    store
        .put_binding(&planned_binding("agent-001"), &lease)
        .await
        .unwrap();
    schema.remove().await;
}
