//! Edge cases as single expectations: every call that is not expected fails the test.

use std::{sync::Arc, time::Duration};

use accounts::AppserviceAccounts;
use agent_sync::{Reconciler, RunOptions, Step, SyncConfig, SyncError};
use letta_client::{Agent, AgentCursor, AgentPage, LettaError, LettaErrorKind, MockLettaApi};
use matrix_client::{MatrixError, MatrixErrorKind, MockMatrixApi, Registered};
use store::{Binding, BindingStore, Lease, LeaseStore, MemoryStore, SyncProgress, testing::ManualClock};

use crate::support::{NOON, answer, appservice, bound, config, space, user};

fn reconciler(letta: MockLettaApi, matrix: MockMatrixApi, store: &Arc<MemoryStore>) -> Reconciler {
    with_config(letta, matrix, store, config())
}

pub fn with_config(
    letta: MockLettaApi,
    matrix: MockMatrixApi,
    store: &Arc<MemoryStore>,
    config: SyncConfig,
) -> Reconciler {
    let matrix = Arc::new(matrix);
    Reconciler::new(
        Arc::new(letta),
        matrix.clone(),
        Arc::new(AppserviceAccounts::new(matrix, appservice())),
        store.clone(),
        config,
        ManualClock::new(),
    )
}

async fn lease(store: &MemoryStore) -> Lease {
    let granted = store.acquire_lease("sync", "local", NOON, Duration::from_secs(30));
    granted.await.unwrap().unwrap()
}

async fn put(store: &MemoryStore, binding: &Binding) {
    store.put_binding(binding, &lease(store).await).await.unwrap();
}

fn letta_with(agents: &[(&str, &str)]) -> MockLettaApi {
    let agents: Vec<_> = agents.iter().map(|(id, name)| Agent::new(*id, *name)).collect();
    let mut letta = MockLettaApi::new();
    letta.expect_list_agents().returning(move |_| {
        answer({
            Ok(AgentPage {
                agents: agents.clone(),
                next: None,
            })
        })
    });
    letta
}

async fn store_with_space() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    store.put_space(&space(), &lease(&store).await).await.unwrap();
    let progress = SyncProgress {
        checked_at: Some(NOON),
        ..SyncProgress::default()
    };
    store.put_progress(&progress, &lease(&store).await).await.unwrap();
    store
}

#[tokio::test]
async fn nothing_changed_asks_the_homeserver_nothing_and_writes_nothing() {
    let store = store_with_space().await;
    put(&store, &bound(&Agent::new("agent-001", "Agent Alpha"))).await;
    let writes = store.writes();
    let report = reconciler(
        letta_with(&[("agent-001", "Agent Alpha")]),
        MockMatrixApi::new(),
        &store,
    )
    .run(RunOptions::default())
    .await
    .unwrap();
    assert_eq!(
        (report.agents, report.unchanged, report.is_success()),
        (1, 1, true)
    );
    assert_eq!(store.writes(), writes);
}

#[tokio::test]
async fn an_empty_listing_asks_the_homeserver_nothing() {
    let store = Arc::new(MemoryStore::new());
    let report = reconciler(letta_with(&[]), MockMatrixApi::new(), &store)
        .run(RunOptions::default())
        .await
        .unwrap();
    assert_eq!((report.agents, report.is_success()), (0, true));
    assert_eq!(store.get_space().await.unwrap(), None);
}

#[tokio::test]
async fn a_listing_that_broke_off_proves_nobody_gone() {
    let store = store_with_space().await;
    put(&store, &bound(&Agent::new("agent-001", "Agent Alpha"))).await;
    put(&store, &bound(&Agent::new("agent-002", "Agent Beta"))).await;
    let mut letta = MockLettaApi::new();
    letta.expect_list_agents().times(2).returning(|query| {
        answer(match query.after {
            None => Ok(AgentPage {
                agents: vec![Agent::new("agent-001", "Agent Alpha")],
                next: Some(AgentCursor::new("agent-001")),
            }),
            Some(_) => Err(LettaError::new(LettaErrorKind::Server, "out of order")),
        })
    });
    let report = reconciler(letta, MockMatrixApi::new(), &store)
        .run(RunOptions::default())
        .await
        .unwrap();
    assert!(report.missing.is_empty());
    assert!(!report.listing_complete && !report.is_success());
}

#[tokio::test]
async fn letta_out_of_reach_is_an_error_that_keeps_its_cause() {
    let mut letta = MockLettaApi::new();
    letta.expect_list_agents().returning(|_| {
        answer(Err(LettaError::new(
            LettaErrorKind::Unauthorized,
            "token refused",
        )))
    });
    let store = Arc::new(MemoryStore::new());
    let error = reconciler(letta, MockMatrixApi::new(), &store)
        .run(RunOptions::default())
        .await
        .unwrap_err();
    let SyncError::ListAgents(cause) = error else {
        panic!("{error:?}")
    };
    assert_eq!(*cause.kind(), LettaErrorKind::Unauthorized);
}

#[tokio::test]
async fn a_refused_token_is_tried_once_and_not_for_every_agent() {
    let store = store_with_space().await;
    let mut matrix = MockMatrixApi::new();
    matrix.expect_register().times(1).returning(|_| {
        answer({
            Err(MatrixError::from_matrix(
                401,
                "M_UNKNOWN_TOKEN",
                "Invalid access token passed.",
            ))
        })
    });
    let letta = letta_with(&[("agent-1", "A"), ("agent-2", "B"), ("agent-3", "C")]);
    let mut config = config();
    config.concurrency = 1;
    let reconciler = with_config(letta, matrix, &store, config);
    let report = reconciler.run(RunOptions::default()).await.unwrap();
    let steps: Vec<_> = report.failed.iter().map(|failed| failed.step).collect();
    assert_eq!(steps, [Step::Register, Step::NotTried, Step::NotTried]);
    assert!(
        report
            .failed
            .iter()
            .all(|failed| failed.error.contains("Invalid access token")),
        "{report:?}"
    );
}

#[tokio::test]
async fn one_agent_that_fails_does_not_stop_the_others() {
    let store = store_with_space().await;
    let mut matrix = MockMatrixApi::new();
    matrix.expect_register().returning(|registration| {
        answer(match registration.localpart.as_deref() {
            Some("agent_2") => Err(MatrixError::from_matrix(400, "M_EXCLUSIVE", "not yours")),
            localpart => Ok(Registered::new(user(localpart.unwrap_or_default()), None)),
        })
    });
    matrix.expect_set_display_name().returning(|_, _| answer(Ok(())));
    matrix.expect_create_room().returning(|session, _| {
        answer(Ok(format!("!{}", session.user_id.localpart())
            .try_into()
            .unwrap()))
    });
    matrix
        .expect_set_state_event()
        .returning(|_, _, _, _, _| answer(Ok("$event".try_into().unwrap())));
    let letta = letta_with(&[("agent-1", "A"), ("agent-2", "B"), ("agent-3", "C")]);
    let report = reconciler(letta, matrix, &store)
        .run(RunOptions::default())
        .await
        .unwrap();
    assert_eq!(
        (report.users_created, report.rooms_created, report.failed.len()),
        (2, 2, 1)
    );
    assert_eq!(
        (report.failed[0].agent_id.as_str(), report.failed[0].step),
        ("agent-2", Step::Register)
    );
    let failed = store.get_binding(&"agent-2".into()).await.unwrap().unwrap();
    assert!(failed.last_error.is_some_and(|error| error.contains("not yours")));
}

#[tokio::test]
async fn a_room_is_not_made_again_when_nobody_knows_whether_it_was() {
    let store = store_with_space().await;
    let agent = Agent::new("agent-001", "Agent Alpha");
    let unfinished = Binding {
        room_id: None,
        ..bound(&agent)
    };
    put(&store, &unfinished).await;
    let mut matrix = MockMatrixApi::new();
    matrix
        .expect_list_joined_rooms()
        .times(1)
        .returning(|_| answer(Ok(Vec::new())));
    matrix.expect_create_room().times(1).returning(|_, _| {
        answer({
            Err(MatrixError::new(MatrixErrorKind::Timeout, "no answer in time").with_may_have_applied(true))
        })
    });
    matrix
        .expect_resolve_alias()
        .times(1)
        .returning(|_, _| answer(Err(MatrixError::from_matrix(404, "M_NOT_FOUND", "no such alias"))));
    let report = reconciler(letta_with(&[("agent-001", "Agent Alpha")]), matrix, &store)
        .run(RunOptions::default())
        .await
        .unwrap();
    assert_eq!(report.failed[0].step, Step::Room);
}
