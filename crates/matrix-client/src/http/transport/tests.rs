//! What a burst costs on a server with Synapse's limits. The attempts go to the homeserver in memory, not through a
//! socket, so that the minutes pass at once.

use std::sync::atomic::AtomicUsize;

use futures_util::future::join_all;

use super::*;
use crate::{
    MatrixApi, NewRoom,
    fake::{FakeMatrix, RateLimits},
};

/// What twenty rooms cost that one user makes at once.
#[derive(Debug)]
struct Burst {
    made: usize,
    refused: usize,
    took: Duration,
}

/// With one gate for all of them, or one for each.
async fn twenty_rooms(policy: &RetryPolicy, shared: bool) -> Burst {
    let server = FakeMatrix::builder("matrix.test")
        .rate_limits(RateLimits::Synapse)
        .build();
    let alice = server.add_user("alice");
    let refused = AtomicUsize::new(0);
    let gates: Vec<Gates> = (0..20).map(|_| Gates::default()).collect();
    let make = |number: usize| {
        let (server, alice, refused) = (&server, &alice, &refused);
        let gates = if shared { &gates[0] } else { &gates[number] };
        async move {
            let call = call!("create_room", Once);
            let key = Key::new(call.name, Some(&alice.user_id), None);
            let attempt = || async {
                let outcome = server.create_room(alice, &NewRoom::room()).await;
                if let Err(error) = &outcome {
                    assert_eq!(error.status(), Some(429));
                    refused.fetch_add(1, Ordering::Relaxed);
                }
                outcome
            };
            persist(policy, gates, &key, &call, attempt).await
        }
    };
    let started = Instant::now();
    let outcomes = join_all((0..20).map(make)).await;
    Burst {
        made: outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
        refused: refused.into_inner(),
        took: started.elapsed(),
    }
}

fn patient() -> RetryPolicy {
    RetryPolicy::default().max_total(Duration::from_secs(3600))
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_refused_once_for_each_time_the_server_opens() {
    // Ten at once and one a minute: ten are refused before anything is known, then one a minute but for the last.
    let burst = twenty_rooms(&patient(), true).await;
    assert_eq!(burst.made, 20, "{burst:?}");
    assert_eq!(burst.refused, 19, "{burst:?}");
    // Ten times 62.5 s is what the server takes at least.
    assert!((625..700).contains(&burst.took.as_secs()), "{burst:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_common_gate_all_run_into_the_limit_again_and_again() {
    let burst = twenty_rooms(&patient(), false).await;
    assert!(burst.made < 20 && burst.refused > 30, "{burst:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_policy_allows() {
    let policy = RetryPolicy::default().max_total(Duration::from_secs(200));
    let burst = twenty_rooms(&policy, true).await;
    assert_eq!(burst.made, 13, "{burst:?}");
    assert!(burst.took.as_secs() <= 201, "{burst:?}");
    // The default would not wait for a minute: it fails without having waited.
    let burst = twenty_rooms(&RetryPolicy::default(), true).await;
    assert_eq!((burst.made, burst.refused), (10, 10), "{burst:?}");
    assert!(burst.took.as_secs() < 1, "{burst:?}");
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_sent_in_time_fails_as_limited_and_is_not_sent() {
    let gates = Gates::default();
    let call = call!("create_room", Once);
    let key = Key::new(call.name, None, None);
    gates.close(&key, Duration::from_secs(61));
    let unsent = || async { Err::<(), _>(unbuildable()) };
    let error = persist(&RetryPolicy::default(), &gates, &key, &call, unsent)
        .await
        .expect_err("an error");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(61)));
    assert_eq!((error.status(), error.call()), (None, Some("create_room")));
    assert!(error.is_retryable() && !error.may_have_applied());
    // Who never tries twice is never held back.
    let error = persist(&RetryPolicy::none(), &gates, &key, &call, unsent)
        .await
        .expect_err("an error");
    assert_eq!(*error.kind(), MatrixErrorKind::InvalidRequest);
}

#[tokio::test(start_paused = true)]
async fn another_failure_gives_the_turn_away_while_it_pauses() {
    let gates = Gates::default();
    let call = call!("whoami", Read);
    let key = Key::new(call.name, None, None);
    gates.close(&key, Duration::from_secs(1));
    let policy = RetryPolicy::default()
        .first_pause(Duration::from_secs(10))
        .max_pause(Duration::from_secs(10));
    let tries = AtomicUsize::new(0);
    let failing = || async {
        match tries.fetch_add(1, Ordering::Relaxed) {
            0 => Err(MatrixError::new(MatrixErrorKind::Connect, "")),
            _ => Ok(()),
        }
    };
    let started = Instant::now();
    let second = async {
        let answer = persist(&policy, &gates, &key, &call, || async { Ok(()) }).await;
        answer.map(|()| started.elapsed())
    };
    let (first, second) = tokio::join!(persist(&policy, &gates, &key, &call, failing), second);
    first.expect("the second try succeeds");
    assert_eq!(second.expect("an answer").as_secs(), 1);
    assert!(started.elapsed().as_secs() >= 11);
}
