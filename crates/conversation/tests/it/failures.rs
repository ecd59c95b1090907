//! Answers that fail, and trying again.

use letta_client::{
    LettaErrorKind,
    fake::FakeLetta,
    llm::{Failure, ScriptedReply},
};
use matrix_client::content::Message;
use ruma::OwnedEventId;

use crate::{
    scene::{asleep, assert_has, count, letta_with_tools, reactions, sleep},
    world::{World, alpha_room},
};

/// The next answer fails; Letta does not try again by itself.
fn fail_once(world: &World) {
    let failure = ScriptedReply::fail(Failure::status(401));
    world.letta.script("agent-001", failure);
}

/// The notice about what failed.
#[track_caller]
fn notice(world: &World) -> OwnedEventId {
    let mut said = world.agents_events(&alpha_room()).into_iter();
    let is_notice =
        |event: &matrix_client::Event| event.content["body"].to_string().contains("React with 🔁");
    said.rfind(is_notice).unwrap().event_id
}

#[tokio::test(start_paused = true)]
async fn every_failure_of_the_model_ends_in_a_clear_notice() {
    for (marker, words) in [
        ("[fail 500]", "The language model failed. Try again later."),
        ("[fail 503]", "The language model failed. Try again later."),
        (
            "[fail 429]",
            "The language model has too much to do. Try again later.",
        ),
        ("[fail 401]", "Letta's key for the language model is not valid."),
        ("[fail 402]", "There are no credits left for the language model."),
        ("[fail 400]", "The language model refused the request."),
        ("[ctx]", "The conversation is too long for the language model."),
        ("[badjson]", "The language model failed. Try again later."),
        ("[empty]", "Agent Alpha gave no answer."),
        (
            "[loop:echo {}]",
            "Agent Alpha was stopped: it took more steps than it may.",
        ),
    ] {
        let world = World::with(letta_with_tools()).await;
        world.talk(&format!("{marker} oh no")).await;
        let notices = world.notices_in(&alpha_room());
        let offers: Vec<_> = notices
            .iter()
            .filter(|notice| notice.contains("React with 🔁"))
            .collect();
        assert_eq!(offers.len(), 1, "{marker}: {notices:#?}");
        assert!(offers[0].starts_with(words), "{marker}: {offers:#?}");
        assert_eq!(
            reactions(&world, &alpha_room()),
            [(notice(&world), "🔁".to_owned())],
            "{marker}"
        );
        assert!(world.matrix.typing(&alpha_room()).is_empty(), "{marker}");
        // The next message is answered as if nothing had been.
        world.talk("hello").await;
        assert_has(&world.answers_in(&alpha_room()), "echo: hello");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_keeps_what_was_said_and_says_that_it_failed() {
    let world = World::new().await;
    world.talk("[cutstream] [long 50]").await;
    assert_eq!(world.notices_in(&alpha_room()).len(), 1, "{:#?}", world.heard());
}

#[tokio::test(start_paused = true)]
async fn what_letta_refuses_is_told() {
    for (kind, words) in [
        (LettaErrorKind::NotFound, "Agent Alpha no longer exists in Letta."),
        (LettaErrorKind::Unauthorized, "Letta refuses the bridge's token."),
        (LettaErrorKind::InvalidRequest, "Letta cannot take this message."),
    ] {
        let world = World::new().await;
        world.letta.fail_next("send", kind);
        world.talk("hello").await;
        assert_has(&world.notices_in(&alpha_room()), words);
        assert!(world.answers_in(&alpha_room()).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_arrow_tries_again_once() {
    let world = World::new().await;
    fail_once(&world);
    world.talk("hello").await;
    let notice = notice(&world);
    world.reacts(&alpha_room(), &notice, "🔁").await;
    world.reacts(&alpha_room(), &notice, "🔁️").await;
    world.settled().await;
    assert_eq!(count(&world.answers_in(&alpha_room()), "hello"), 1);
    assert_eq!(world.letta.count("send"), 2);
    // It is answered now: there is nothing to try again.
    world.reacts(&alpha_room(), &notice, "🔁🏽").await;
    world.settled().await;
    assert_eq!(world.letta.count("send"), 2);
}

#[tokio::test(start_paused = true)]
async fn the_command_tries_again_what_failed_last_or_what_it_replies_to() {
    for reply_to_notice in [None, Some(true), Some(false)] {
        let world = World::new().await;
        fail_once(&world);
        let question = world.talk("hello").await;
        world.talk("and something else").await;
        let command = match reply_to_notice {
            None => Message::text("!retry"),
            Some(true) => Message::text("!retry").reply_to(&notice(&world)),
            Some(false) => Message::text("!retry").reply_to(&question),
        };
        world.says(&alpha_room(), &command).await;
        world.settled().await;
        assert_eq!(
            count(&world.answers_in(&alpha_room()), "hello"),
            1,
            "{reply_to_notice:?}"
        );
        world.says(&alpha_room(), &command).await;
        world.settled().await;
        assert_has(
            &world.notices_in(&alpha_room()),
            "There is nothing here to try again.",
        );
        assert_eq!(world.letta.count("send"), 3, "{reply_to_notice:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_again_can_be_tried_again() {
    let world = World::new().await;
    for _ in 0..3 {
        fail_once(&world);
    }
    world.talk("hello").await;
    for _ in 0..3 {
        world.reacts(&alpha_room(), &notice(&world), "🔁").await;
        world.settled().await;
    }
    assert_eq!(count(&world.answers_in(&alpha_room()), "hello"), 1);
    assert_eq!(count(&world.notices_in(&alpha_room()), "React with 🔁"), 3);
    assert_eq!(world.letta.count("send"), 4);
    // Nothing is left to try.
    world.talk("!retry").await;
    assert_eq!(world.letta.count("send"), 4);
}

#[tokio::test(start_paused = true)]
async fn trying_again_survives_a_restart() {
    let mut world = World::new().await;
    fail_once(&world);
    world.talk("hello").await;
    world.restart().await;
    sleep(1).await;
    world.says_text("!retry").await;
    world.restart().await;
    world.settled().await;
    assert_eq!(
        count(&world.answers_in(&alpha_room()), "hello"),
        1,
        "{:#?}",
        world.heard()
    );
    assert_eq!(world.letta.count("send"), 2);
}

#[tokio::test(start_paused = true)]
async fn two_people_who_try_again_at_once_get_one_answer() {
    let mut world = asleep(FakeLetta::with_test_agents()).await;
    let right = Some(conversation::rights::Right::Talk);
    let bob = crate::scene::person(&mut world, "bob", right, &[alpha_room()]).await;
    world.start();
    fail_once(&world);
    world.talk("[slow 3] hello").await;
    let notice = notice(&world);
    let arrow = matrix_client::content::reaction(&notice, "🔁");
    world.reacts(&alpha_room(), &notice, "🔁").await;
    world.sends_as(&bob, &alpha_room(), "m.reaction", &arrow).await;
    world.says_text("!retry").await;
    world.settled().await;
    assert_eq!(count(&world.answers_in(&alpha_room()), "hello"), 1);
    assert_eq!(world.letta.count("send"), 2);
}
