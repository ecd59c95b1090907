use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use crate::{
    AgentInclude, AgentQuery, Conflict, LettaApi, LettaErrorKind, NewAgent,
    fake::{FakeLetta, Fault, WireFault},
};

#[tokio::test(start_paused = true)]
async fn a_planned_fault_strikes_once_and_has_no_effect() {
    let letta = FakeLetta::with_test_agents();
    letta.fail_next("create_agent", LettaErrorKind::Server);
    let error = letta.create_agent(&NewAgent::named("New")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (&LettaErrorKind::Server, Some(500))
    );
    assert!(error.may_have_applied());
    assert_eq!(letta.agent_ids().len(), 3);
    letta.create_agent(&NewAgent::named("New")).await.unwrap();
    letta.assert_faults_used();
}

#[tokio::test(start_paused = true)]
async fn a_fault_after_the_effect_leaves_the_effect() {
    let letta = FakeLetta::with_test_agents();
    letta.plan(Fault::on("create_agent").fail_after(LettaErrorKind::Timeout));
    let error = letta.create_agent(&NewAgent::named("New")).await.unwrap_err();
    assert_eq!(*error.kind(), LettaErrorKind::Timeout);
    assert!(error.may_have_applied());
    assert_eq!(letta.agent_ids().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn faults_wait_for_their_agent_their_turn_and_their_number() {
    let letta = FakeLetta::with_test_agents();
    letta.plan(
        Fault::on("get_agent")
            .agent("agent-002")
            .skip(1)
            .fail(LettaErrorKind::Forbidden)
            .times(2),
    );
    let get = async |id: &str| letta.get_agent(&id.into(), AgentInclude::default()).await.is_ok();
    assert!(get("agent-001").await);
    assert!(get("agent-002").await, "the first is skipped");
    assert!(!get("agent-002").await);
    assert_eq!(letta.unused_faults().len(), 1, "one of two");
    assert!(!get("agent-002").await);
    assert!(get("agent-002").await);
    letta.assert_faults_used();
}

#[tokio::test(start_paused = true)]
async fn rate_limits_say_how_long_to_wait() {
    let letta = FakeLetta::with_test_agents();
    letta.plan(Fault::on("list_agents").rate_limit(Duration::from_secs(7)));
    let error = letta.list_agents(&AgentQuery::default()).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert!(error.is_retryable() && !error.may_have_applied());
}

#[tokio::test(start_paused = true)]
async fn delays_take_tokios_time_and_add_to_a_failure() {
    let letta = FakeLetta::with_test_agents();
    letta.plan(Fault::on("list_agents").delay(Duration::from_secs(30)).always());
    letta.fail_next(
        "list_agents",
        LettaErrorKind::Conflict(Conflict::ConcurrentUpdate),
    );
    let start = Instant::now();
    assert!(letta.list_agents(&AgentQuery::default()).await.is_err());
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    assert!(letta.list_agents(&AgentQuery::default()).await.is_ok());
    letta.assert_faults_used();
}

#[tokio::test(start_paused = true)]
async fn a_held_call_waits_for_its_release() {
    let letta = FakeLetta::with_test_agents();
    let (fault, hold) = Fault::on("delete_agent").hold();
    letta.plan(fault);
    let deletion = tokio::spawn({
        let letta = letta.clone();
        async move { letta.delete_agent(&"agent-001".into()).await }
    });
    hold.reached().await;
    assert_eq!(letta.agent_ids().len(), 3);
    hold.release();
    deletion.await.unwrap().unwrap();
    assert_eq!(letta.agent_ids().len(), 2);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "never met")]
async fn an_unused_fault_fails_the_test() {
    let letta = FakeLetta::new();
    letta.fail_next("send", LettaErrorKind::Timeout);
    letta.assert_faults_used();
}

#[test]
#[should_panic(expected = "no method `sned`")]
fn a_fault_of_no_method_is_a_mistake() {
    let _ = Fault::on("sned");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_is_not_reached() {
    let letta = FakeLetta::with_test_agents();
    letta.down();
    let error = letta.create_agent(&NewAgent::named("New")).await.unwrap_err();
    assert_eq!(*error.kind(), LettaErrorKind::Connect);
    assert!(!error.may_have_applied());
    letta.up();
    assert_eq!(letta.count_agents().await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn only_the_right_token_opens_everything_but_the_health() {
    let letta = FakeLetta::with_test_agents().with_token("not-a-secret");
    assert!(letta.count_agents().await.is_ok());
    for wrong in [None, Some(SecretString::from("wrong"))] {
        let stranger = letta.presenting(wrong);
        let error = stranger.count_agents().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.status()),
            (&LettaErrorKind::Unauthorized, Some(401))
        );
        assert!(stranger.health().await.is_ok());
    }
    assert!(
        letta
            .presenting(Some(SecretString::from("not-a-secret")))
            .count_agents()
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn the_journal_remembers_calls_and_their_arguments() {
    let letta = FakeLetta::with_test_agents();
    letta
        .get_agent(&"agent-001".into(), AgentInclude::default())
        .await
        .unwrap();
    letta.create_agent(&NewAgent::named("New")).await.unwrap();
    assert_eq!(letta.count("get_agent"), 1);
    let calls = letta.calls();
    assert_eq!(calls[0].agent, Some("agent-001".into()));
    assert_eq!(calls[1].arguments["name"], "New");
    letta.clear_journal();
    assert_eq!(letta.calls(), []);
}

#[test]
fn wire_faults_are_taken_by_their_requests() {
    let letta = FakeLetta::new();
    letta.plan_wire("GET", "/v1/agents/*", Some(1), WireFault::Html { status: 502 });
    assert_eq!(letta.take_wire_fault("POST", "/v1/agents/"), None);
    assert_eq!(letta.unused_faults().len(), 1);
    assert_eq!(
        letta.take_wire_fault("GET", "/v1/agents/count"),
        Some(WireFault::Html { status: 502 })
    );
    assert_eq!(letta.take_wire_fault("GET", "/v1/agents/count"), None);
    letta.assert_faults_used();
}
