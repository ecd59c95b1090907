//! How the service is, as a supervisor hears it.

use std::time::Duration;

use agent_sync::{Phase, ServiceStatus};
use letta_client::LettaErrorKind;
use matrix_client::{MatrixErrorKind, fake::Fault};
use serde_json::json;

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn the_service_lives_until_it_ends_whatever_the_servers_do() {
    let mut world = World::new();
    world.letta.plan(
        letta_client::fake::Fault::on("list_agents")
            .always()
            .fail(LettaErrorKind::Connect),
    );
    let task = world.start();
    world.until(|status| status.outage.is_some()).await;
    let answer = world.get("/health").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body),
        (200, &json!({"status": "ok"}))
    );
    task.abort();
    world.until(|status| status.phase == Phase::Stopped).await;
    let answer = world.get("/health").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["status"]),
        (503, &json!("stopped"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_never_started_and_is_gone_does_not_live() {
    let mut world = World::new();
    assert_eq!(world.get("/health").await.status, 200);
    world.drop_service();
    assert_eq!(world.get("/health").await.status, 503);
    let answer = world.get("/ready").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["because"]),
        (503, &json!("the service has ended"))
    );
}

#[tokio::test(start_paused = true)]
async fn it_is_ready_from_the_first_sync_on() {
    let mut world = World::new();
    let answer = world.get("/ready").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["because"]),
        (503, &json!("the first sync is not done yet"))
    );
    world.start();
    world.until(|status| status.completed_at.is_some()).await;
    let answer = world.get("/ready").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body),
        (
            200,
            &json!({"status": "ready", "completed_at": "2026-01-01T12:00:00Z"})
        )
    );
}

#[tokio::test(start_paused = true)]
async fn it_is_not_ready_when_no_sync_came_about_for_long_and_says_why() {
    let mut world = World::with(|gateway| gateway.with_ready_within(Duration::from_secs(600)));
    world.start();
    world.until(|status| status.completed_at.is_some()).await;
    world.letta.plan(
        letta_client::fake::Fault::on("list_agents")
            .always()
            .fail(LettaErrorKind::Connect),
    );
    world.until(|status| status.outage.is_some()).await;
    world.clock.advance(Duration::from_secs(600));
    assert_eq!(world.get("/ready").await.status, 200, "not for so long");
    world.clock.advance(Duration::from_secs(1));
    let answer = world.get("/ready").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["because"]),
        (
            503,
            &json!("the last sync was 601 s ago: cannot list the agents of Letta")
        )
    );
    let answer = world.get("/health/agent-provisioning").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["status"]),
        (503, &json!("unknown"))
    );
}

#[tokio::test(start_paused = true)]
async fn before_the_first_sync_it_is_not_ready_for_the_reason_of_the_outage() {
    let mut world = World::new();
    world.letta.plan(
        letta_client::fake::Fault::on("list_agents")
            .always()
            .fail(LettaErrorKind::Unauthorized),
    );
    world.start();
    world.until(|status| status.outage.is_some()).await;
    let answer = world.get("/ready").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["because"]),
        (503, &json!("cannot list the agents of Letta"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_sync_is_no_reason_not_to_be_ready() {
    let mut world = World::new();
    let (fault, hold) = letta_client::fake::Fault::on("list_agents").skip(1).hold();
    world.letta.plan(fault);
    world.start();
    world.until(|status| status.completed_at.is_some()).await;
    hold.reached().await;
    world.clock.advance(Duration::from_secs(24 * 60 * 60));
    assert_eq!(world.get("/ready").await.status, 200);
}

/// A homeserver that refuses so many of six agents.
async fn provisioning_with(failures: u32) -> crate::world::Answer {
    let mut world = World::new();
    for n in 4..=6 {
        world
            .letta
            .add_agent(format!("agent-00{n}"), format!("Agent {n}"));
    }
    if failures > 0 {
        world.matrix.plan(
            Fault::on("register")
                .fail(MatrixErrorKind::Forbidden)
                .times(failures),
        );
    }
    world.start();
    world
        .until(|status: &ServiceStatus| status.report.is_some())
        .await;
    world.get("/health/agent-provisioning").await
}

#[tokio::test(start_paused = true)]
async fn agents_without_a_home_are_counted_and_judged() {
    for (failures, code, judgement) in [
        (0, 200, "healthy"),
        (1, 200, "degraded"),
        (3, 200, "degraded"),
        (4, 503, "unhealthy"),
    ] {
        let answer = provisioning_with(failures).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body),
            (
                code,
                &json!({
                    "status": judgement,
                    "agents": 6,
                    "missing": failures,
                    "completed_at": "2026-01-01T12:00:00Z",
                })
            ),
            "no names are shown to whoever asks"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_not_ready_while_the_state_cannot_be_written_and_lives_all_the_same() {
    let trouble = tokio::sync::watch::Sender::new(None);
    let mut world = World::with(|gateway| gateway.with_state(trouble.subscribe()));
    world.start();
    world.until(|status| status.completed_at.is_some()).await;
    assert_eq!(world.get("/ready").await.status, 200);

    trouble.send_replace(Some("its disk is full".to_owned()));
    let answer = world.get("/ready").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["because"]),
        (503, &json!("its disk is full"))
    );
    assert_eq!(world.get("/health").await.status, 200, "no restart helps");

    trouble.send_replace(None);
    assert_eq!(world.get("/ready").await.status, 200);
}
