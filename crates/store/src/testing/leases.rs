//! Cases of [`LeaseStore`](crate::LeaseStore).

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::samples::{HOUR, LATER, NOON, grant};
use crate::{Lease, LeaseStore};

const NANOSECOND: Duration = Duration::from_nanos(1);

/// Until it is granted there is no lease.
pub async fn a_lease_that_was_never_granted_is_not_there(store: Arc<impl LeaseStore>) {
    grant(&*store, "another", "a").await;
    assert_eq!(store.get_lease("sync").await.unwrap(), None);
}

/// A granted lease says whose it is and until when, and can be read.
pub async fn a_granted_lease_says_whose_it_is_and_until_when(store: Arc<impl LeaseStore>) {
    let ttl = Duration::new(90, 1);
    let granted = store
        .acquire_lease("sync", "a", LATER, ttl)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        granted,
        Lease {
            name: "sync".to_owned(),
            holder: "a".to_owned(),
            token: granted.token,
            expires_at: LATER + ttl,
        }
    );
    assert_eq!(store.get_lease("sync").await.unwrap(), Some(granted));
}

/// While somebody holds a lease, nobody else gets it; what its holder has does not change.
pub async fn a_held_lease_is_refused_to_others(store: Arc<impl LeaseStore>) {
    let held = grant(&*store, "sync", "a").await;
    let last_moment = held.expires_at - NANOSECOND;
    for now in [NOON, last_moment] {
        assert_eq!(store.acquire_lease("sync", "b", now, HOUR).await.unwrap(), None);
    }
    assert_eq!(store.get_lease("sync").await.unwrap(), Some(held));
}

/// At its end a lease goes to whoever asks, with a higher token.
pub async fn a_lease_that_is_over_goes_to_another(store: Arc<impl LeaseStore>) {
    let over = grant(&*store, "sync", "a").await;
    let granted = store
        .acquire_lease("sync", "b", over.expires_at, HOUR)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(granted.holder, "b");
    assert!(granted.token > over.token, "{granted:?} after {over:?}");
    assert_eq!(store.get_lease("sync").await.unwrap(), Some(granted));
}

/// Seconds are compared before their fractions: an end on the full second is no later than one just before it.
pub async fn the_end_of_a_lease_is_compared_as_a_time(store: Arc<impl LeaseStore>) {
    let half = Duration::from_millis(500);
    grant(&*store, "sync", "a").await;
    let end = NOON + HOUR;
    assert_eq!(
        store.acquire_lease("sync", "b", end - half, HOUR).await.unwrap(),
        None
    );
    assert!(
        store
            .acquire_lease("sync", "b", end + half, HOUR)
            .await
            .unwrap()
            .is_some()
    );
}

/// Whoever holds a lease gets it anew, with a higher token and a later end.
pub async fn its_holder_gets_a_lease_anew(store: Arc<impl LeaseStore>) {
    let former = grant(&*store, "sync", "a").await;
    let now = NOON + Duration::from_secs(10);
    let granted = store
        .acquire_lease("sync", "a", now, HOUR)
        .await
        .unwrap()
        .unwrap();
    assert!(granted.token > former.token, "{granted:?} after {former:?}");
    assert_eq!(granted.expires_at, now + HOUR);
    assert_eq!(store.get_lease("sync").await.unwrap(), Some(granted));
}

/// A lease of one name says nothing about another name.
pub async fn leases_of_other_names_are_apart(store: Arc<impl LeaseStore>) {
    let sync = grant(&*store, "sync", "a").await;
    let other = grant(&*store, "other", "b").await;
    store.release_lease(&other).await.unwrap();
    assert_eq!(store.get_lease("sync").await.unwrap(), Some(sync));
}

/// A renewed lease keeps its token and lives from now on.
pub async fn a_renewed_lease_lives_longer(store: Arc<impl LeaseStore>) {
    let held = grant(&*store, "sync", "a").await;
    let now = NOON + Duration::from_secs(1800);
    let renewed = store.renew_lease(&held, now, HOUR).await.unwrap().unwrap();
    assert_eq!(
        renewed,
        Lease {
            expires_at: now + HOUR,
            ..held.clone()
        }
    );
    assert_eq!(store.get_lease("sync").await.unwrap(), Some(renewed));
    assert_eq!(
        store
            .acquire_lease("sync", "b", held.expires_at, HOUR)
            .await
            .unwrap(),
        None
    );
}

/// A lease that is over, and that nobody took, can be renewed.
pub async fn a_lease_that_is_over_can_be_renewed(store: Arc<impl LeaseStore>) {
    let held = grant(&*store, "sync", "a").await;
    let now = held.expires_at + HOUR;
    let renewed = store.renew_lease(&held, now, HOUR).await.unwrap().unwrap();
    assert_eq!((renewed.token, renewed.expires_at), (held.token, now + HOUR));
}

/// A lease that was granted anew is not renewed, be it to another or to the same holder.
pub async fn a_lease_that_was_granted_anew_is_not_renewed(store: Arc<impl LeaseStore>) {
    for (name, heir) in [("one", "a"), ("two", "b")] {
        let former = grant(&*store, name, "a").await;
        let granted = store
            .acquire_lease(name, heir, former.expires_at, HOUR)
            .await
            .unwrap();
        let renewed = store.renew_lease(&former, LATER, 2 * HOUR).await.unwrap();
        assert_eq!(renewed, None);
        assert_eq!(store.get_lease(name).await.unwrap(), granted);
    }
}

/// A lease that was given back is free at once, and its token goes on rising.
pub async fn a_lease_that_was_given_back_is_free(store: Arc<impl LeaseStore>) {
    let first = grant(&*store, "sync", "a").await;
    store.release_lease(&first).await.unwrap();
    assert_eq!(store.get_lease("sync").await.unwrap(), None);
    assert_eq!(store.renew_lease(&first, NOON, HOUR).await.unwrap(), None);
    let second = grant(&*store, "sync", "b").await;
    assert!(second.token > first.token, "{second:?} after {first:?}");
    store.release_lease(&second).await.unwrap();
    let third = grant(&*store, "sync", "a").await;
    assert!(third.token > second.token, "{third:?} after {second:?}");
}

/// Giving back what one no longer holds does nothing.
pub async fn giving_back_a_lost_lease_does_nothing(store: Arc<impl LeaseStore>) {
    let unknown = Lease {
        name: "unknown".to_owned(),
        ..grant(&*store, "sync", "a").await
    };
    store.release_lease(&unknown).await.unwrap();
    assert_eq!(store.get_lease("unknown").await.unwrap(), None);
    for heir in ["a", "b"] {
        let former = grant(&*store, heir, "a").await;
        let granted = store
            .acquire_lease(heir, heir, former.expires_at, HOUR)
            .await
            .unwrap();
        store.release_lease(&former).await.unwrap();
        store.release_lease(&former).await.unwrap();
        assert_eq!(store.get_lease(heir).await.unwrap(), granted);
    }
}

/// Of many who ask at once, one gets the lease.
pub async fn one_of_many_gets_a_lease(store: Arc<impl LeaseStore + 'static>) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..32 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            store
                .acquire_lease("sync", &format!("holder-{n}"), NOON, HOUR)
                .await
        });
    }
    let mut granted = Vec::new();
    while let Some(result) = tasks.join_next().await {
        granted.extend(result.unwrap().unwrap());
    }
    assert_eq!(granted.len(), 1, "{granted:?}");
    assert_eq!(store.get_lease("sync").await.unwrap(), granted.pop());
}

/// No two grants have the same token.
pub async fn concurrent_grants_have_different_tokens(store: Arc<impl LeaseStore + 'static>) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { grant(&*store, "sync", "a").await.token });
    }
    let mut tokens = BTreeSet::new();
    while let Some(token) = tasks.join_next().await {
        tokens.insert(token.unwrap());
    }
    assert_eq!(tokens.len(), 16, "{tokens:?}");
    let last = store.get_lease("sync").await.unwrap().unwrap().token;
    assert_eq!(tokens.last(), Some(&last));
}
