//! `POST /webhook/new-agent`

use std::time::Duration;

use agent_sync::Phase;
use axum::{body::Body, http::Request};
use gateway::sign;
use letta_client::{LettaErrorKind, fake::Fault};
use serde_json::json;
use store::Clock;

use crate::world::{SECRET, World};

const PATH: &str = "/webhook/new-agent";
const WAITING: &str = "/webhook/new-agent?wait=true";
const BODY: &str = r#"{"agent_id": "agent-004", "timestamp": 1767268800}"#;

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_is_answered_by_the_report_of_the_sync_that_covers_it() {
    let mut world = World::new();
    world.start();
    world.until(|status| status.completed_at.is_some()).await;
    world.letta.add_agent("agent-004", "Agent Delta");
    let answer = world.webhook(WAITING, BODY).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        (
            &answer.body["agents"],
            &answer.body["rooms_created"],
            &answer.body["failed"]
        ),
        (&json!(4), &json!(1), &json!([]))
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_wait_is_accepted_before_the_sync() {
    let mut world = World::new();
    let (fault, hold) = Fault::on("list_agents").skip(1).hold();
    world.letta.plan(fault);
    world.start();
    world.until(|status| status.completed_at.is_some()).await;
    world.letta.add_agent("agent-004", "Agent Delta");
    for path in [PATH, "/webhook/new-agent?wait=false"] {
        let answer = world.webhook(path, BODY).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["status"]),
            (202, &json!("accepted"))
        );
    }
    hold.reached().await;
    hold.release();
    world
        .until(|status| status.report.as_ref().is_some_and(|report| report.agents == 4))
        .await;
}

#[tokio::test(start_paused = true)]
async fn many_calls_at_once_and_repeated_ones_are_one_sync() {
    let mut world = World::new();
    let (fault, hold) = Fault::on("list_agents").hold();
    world.letta.plan(fault);
    world.start();
    hold.reached().await;
    let calls = (0..50).map(|_| world.webhook(WAITING, BODY));
    let release = async {
        tokio::task::yield_now().await;
        hold.release();
    };
    let (answers, ()) = futures_util::join!(futures_util::future::join_all(calls), release);
    for answer in answers {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let listed = world
        .letta
        .calls()
        .into_iter()
        .filter(|call| call.method == "list_agents")
        .count();
    assert_eq!(listed, 2);
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_takes_too_long_is_not_waited_for() {
    let mut world = World::new();
    let (fault, hold) = Fault::on("list_agents").hold();
    world.letta.plan(fault);
    world.start();
    hold.reached().await;
    let answer = world.webhook(WAITING, BODY).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert!(
        answer.body["message"].as_str().unwrap().contains("it goes on"),
        "{answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_cannot_begin_is_told_to_whoever_waits() {
    let mut world = World::new();
    world
        .letta
        .plan(Fault::on("list_agents").always().fail(LettaErrorKind::Connect));
    world.start();
    let answer = world.webhook(WAITING, BODY).await;
    answer.is_error(503, "will be tried again: cannot list the agents of Letta");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_ends_leaves_nobody_waiting() {
    let mut world = World::new();
    let (fault, hold) = Fault::on("list_agents").hold();
    world.letta.plan(fault);
    let task = world.start();
    hold.reached().await;
    let (answer, ()) = futures_util::join!(world.webhook(WAITING, BODY), async {
        tokio::task::yield_now().await;
        task.abort();
    });
    answer.is_error(503, "is being stopped");
    let mut status = world.status.clone();
    status
        .wait_for(|status| status.phase == Phase::Stopped)
        .await
        .unwrap();
    world.webhook(PATH, BODY).await.is_error(503, "is being stopped");
}

#[tokio::test]
async fn a_call_without_the_right_signature_is_refused_and_asks_for_nothing() {
    let world = World::new();
    let post = || Request::post(PATH);
    let now = world.clock.now().as_second();
    world
        .ask(post(), BODY)
        .await
        .is_error(401, "no X-Letta-Signature");
    let forged = sign(&"not-a-real-secret-other".into(), now, BODY.as_bytes());
    world
        .ask(post().header("X-Letta-Signature", &forged), BODY)
        .await
        .is_error(401, "the signature is wrong");
    let of_another = sign(&SECRET.into(), now, b"{}");
    world
        .ask(post().header("X-Letta-Signature", &of_another), BODY)
        .await
        .is_error(401, "the signature is wrong");
    world
        .ask(post().header("X-Letta-Signature", "let me in"), BODY)
        .await
        .is_error(400, "is not t=<unix seconds>");
    assert!(world.letta.calls().is_empty());
}

#[tokio::test]
async fn an_old_signature_is_refused_with_a_word_on_clocks() {
    let world = World::new();
    let signature = sign(&SECRET.into(), world.clock.now().as_second(), BODY.as_bytes());
    world.clock.advance(Duration::from_secs(301));
    let request = Request::post(PATH).header("X-Letta-Signature", signature);
    world
        .ask(request, BODY)
        .await
        .is_error(401, "was made 301 seconds ago: compare the clocks");
    let early = sign(
        &SECRET.into(),
        world.clock.now().as_second() + 400,
        BODY.as_bytes(),
    );
    let request = Request::post(PATH).header("X-Letta-Signature", early);
    world
        .ask(request, BODY)
        .await
        .is_error(401, "400 seconds in the future");
}

#[tokio::test]
async fn a_body_that_says_nothing_is_refused() {
    let world = World::new();
    for (body, part) in [
        ("", "the body is not"),
        ("[]", "the body is not"),
        ("{\"agent_id\": 7}", "the body is not"),
        ("{\"timestamp\": 7}", "missing field `agent_id`"),
        ("{\"agent_id\": \"\"}", "agent_id is no agent's id"),
    ] {
        world.webhook(PATH, body).await.is_error(400, part);
    }
    world
        .webhook("/webhook/new-agent?wait=perhaps", BODY)
        .await
        .is_error(400, "neither true nor false");
    let long = format!("{{\"agent_id\": \"{}\"}}", "a".repeat(20_000));
    world.webhook(PATH, &long).await.is_error(413, "longer than");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_not_waited_for() {
    let world = World::new();
    let body = Body::from_stream(futures_util::stream::pending::<Result<&[u8], std::io::Error>>());
    let request = Request::post(PATH).header("X-Letta-Signature", "t=1,v1=0");
    world
        .ask(request, body)
        .await
        .is_error(408, "did not arrive in time");
}

#[tokio::test]
async fn without_a_secret_the_webhook_is_off_and_says_so() {
    let world = World::with(|gateway| gateway);
    world
        .webhook(PATH, BODY)
        .await
        .is_error(403, "the webhook is off: it needs a secret");
}

#[tokio::test]
async fn only_post_is_understood() {
    let world = World::new();
    world.get(PATH).await.is_matrix_error(405, "M_UNRECOGNIZED");
}
