//! Everything that may go wrong between a message and its answer.

use std::time::Duration;

use conversation::Outcome;
use letta_client::{
    LettaErrorKind,
    fake::{AgentSeed, FakeLetta, FakeTool, Fault as LettaFault},
};
use matrix_client::{
    MatrixErrorKind,
    content::{Message, replied_to},
    fake::Fault,
};

use crate::world::{World, alpha_room};

const SEND: &str = "send_message_event";

async fn talk_past(fault: Fault) -> World {
    let world = World::new().await;
    let event = world.says(&alpha_room(), &Message::text("hello")).await;
    world.matrix.plan(fault);
    let outcome = world.handle(&event).await.unwrap();
    assert!(
        matches!(outcome, Outcome::Answered { notice: None, .. }),
        "{outcome:?}"
    );
    world.matrix.assert_faults_used();
    assert_eq!(world.heard(), [("m.text".to_owned(), "echo: hello".to_owned())]);
    world
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_arrived_though_the_homeserver_seemed_to_fail_is_there_once() {
    for kind in [
        MatrixErrorKind::Timeout,
        MatrixErrorKind::Interrupted,
        MatrixErrorKind::Server,
    ] {
        talk_past(Fault::on(SEND).fail_after(kind).times(2)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_did_not_arrive_is_sent_again() {
    for kind in [
        MatrixErrorKind::Connect,
        MatrixErrorKind::Timeout,
        MatrixErrorKind::Server,
    ] {
        talk_past(Fault::on(SEND).fail(kind).times(4)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_waited_for_as_long_as_the_homeserver_says() {
    let started = tokio::time::Instant::now();
    talk_past(Fault::on(SEND).rate_limit(Duration::from_secs(20))).await;
    assert!(started.elapsed() >= Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn a_refused_answer_is_not_sent_again_and_says_where() {
    let world = World::new().await;
    let event = world.says(&alpha_room(), &Message::text("hello")).await;
    world
        .matrix
        .plan(Fault::on(SEND).refuse(403, "M_FORBIDDEN", "no"));
    let before = world.matrix.count(SEND);
    let error = world.handle(&event).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot send to room !testroom:matrix.test as @agent_001:matrix.test"
    );
    assert_eq!(world.matrix.count(SEND) - before, 1);
}

#[tokio::test(start_paused = true)]
async fn a_homeserver_that_stays_away_is_given_up() {
    let world = World::new().await;
    let event = world.says(&alpha_room(), &Message::text("hello")).await;
    let before = world.matrix.count(SEND);
    world
        .matrix
        .plan(Fault::on(SEND).fail(MatrixErrorKind::Connect).always());
    world.handle(&event).await.unwrap_err();
    assert_eq!(world.matrix.count(SEND) - before, 5);
}

#[tokio::test(start_paused = true)]
async fn a_failing_model_is_told_in_the_room() {
    for (marker, expected) in [
        (
            "[fail 429]",
            "The language model has too much to do. Please try again later.",
        ),
        ("[fail 401]", "Letta's key for the language model is not valid."),
        ("[fail 500]", "The language model failed. Please try again later."),
        ("[ctx]", "The conversation is too long for the language model."),
    ] {
        let world = World::new().await;
        let event = world.says(&alpha_room(), &Message::text(marker)).await;
        let outcome = world.handle(&event).await.unwrap();
        assert!(
            matches!(outcome, Outcome::Answered { notice: Some(_), .. }),
            "{marker}: {outcome:?}"
        );
        assert_eq!(world.one_notice(), expected, "{marker}");
        assert_eq!(
            replied_to(&world.heard_events()[0].content),
            Some(&*event.event_id)
        );
        // It is over with that: the next message is answered.
        world.talk("hello").await;
        assert_eq!(world.heard()[1].1, "echo: hello", "{marker}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_is_told_in_the_room() {
    let world = World::new().await;
    world.talk("[empty]").await;
    assert_eq!(world.one_notice(), "Agent Alpha gave no answer.");
}

#[tokio::test(start_paused = true)]
async fn a_letta_server_that_is_away_is_told_in_the_room() {
    let world = World::new().await;
    world.letta.down();
    world.talk("hello").await;
    assert_eq!(
        world.one_notice(),
        "Letta cannot be reached, so Agent Alpha did not get the message. Please try again later."
    );
}

#[tokio::test(start_paused = true)]
async fn what_letta_refuses_is_told_in_our_own_words() {
    for (kind, expected) in [
        (LettaErrorKind::Unauthorized, "Letta refuses the bridge's token."),
        (LettaErrorKind::NotFound, "Agent Alpha no longer exists in Letta."),
        (LettaErrorKind::RateLimited, "Letta has too much to do."),
        (
            LettaErrorKind::Timeout,
            "It is not known whether Agent Alpha got the message.",
        ),
    ] {
        let world = World::new().await;
        world.letta.plan(
            LettaFault::on("send")
                .fail(kind.clone())
                .message("not-a-real-secret"),
        );
        world.talk("hello").await;
        let notice = world.one_notice();
        assert!(
            notice.contains(expected) && !notice.contains("secret"),
            "{kind:?}: {notice}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_is_joined_again_and_nothing_is_said_twice() {
    let mut joined_again = 0;
    for events in 0..6 {
        let world = World::new().await;
        world
            .letta
            .plan(LettaFault::on("send").break_stream_after(events));
        world.talk("[think hm][say one two three]").await;
        joined_again += world.letta.count("resume");
        match events {
            // Before the first event nobody knows which run to join.
            0 => assert!(
                world
                    .one_notice()
                    .contains("the rest of the answer is missing here")
            ),
            _ => assert_eq!(
                world.heard(),
                [("m.text".to_owned(), "one two three".to_owned())],
                "after {events} events"
            ),
        }
    }
    assert!(joined_again > 2, "{joined_again}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_joined_again_is_told_in_the_room() {
    let world = World::with(FakeLetta::with_test_agents().without_redis()).await;
    world.letta.plan(LettaFault::on("send").break_stream_after(1));
    world.talk("hello").await;
    assert_eq!(
        world.one_notice(),
        "The connection to Letta broke while Agent Alpha was at work: the rest of the answer is missing here."
    );
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_needs_consent_is_told_in_the_room_until_somebody_decides() {
    let letta = FakeLetta::new().lenient();
    letta.register_tool(FakeTool::new("launch", |_| Ok("launched".to_owned())).requires_approval());
    letta.add(AgentSeed::new("agent-001", "Agent Alpha").tool("launch"));
    let world = World::with(letta).await;
    world.talk("[tool:launch {}]").await;
    world.talk("hello?").await;
    let heard = world.heard();
    assert_eq!(
        heard[0].1,
        "Agent Alpha wants to use launch and waits for a decision, which cannot be made from here yet."
    );
    assert_eq!(
        heard[1].1,
        "Agent Alpha waits for a decision on an earlier tool call and takes no messages until it is made."
    );
}
