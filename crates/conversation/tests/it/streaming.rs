//! An answer that is shown while it grows.

use std::time::Duration;

use letta_client::llm::ScriptedReply;
use matrix_client::{MatrixErrorKind, content, fake::Fault};
use ruma::OwnedEventId;
use serde_json::json;

use crate::{
    scene::{group, last_said, sent_after, set},
    world::{World, alpha, alpha_room},
};

/// When the question was asked and each event of the answer came.
fn times(world: &World, question: &OwnedEventId) -> (Duration, Vec<Duration>) {
    let room = alpha_room();
    let timeline = world.matrix.timeline(&room);
    let asked = timeline.iter().find(|event| event.event_id == *question).unwrap();
    let events = world.agents_events(&room);
    let times = events.iter().map(|event| sent_after(world, &room, event));
    (sent_after(world, &room, asked), times.collect())
}

#[tokio::test(start_paused = true)]
async fn the_first_words_come_soon_and_edits_grow_rarer() {
    let world = World::new().await;
    let question = world.talk("[long 600] [trickle 120]").await;
    let (asked, times) = times(&world, &question);
    assert!(times[0] - asked < Duration::from_secs(2), "{times:?}");
    assert!((8..40).contains(&times.len()), "{} events", times.len());
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (before_last, _) = pauses.split_at(pauses.len() - 1);
    for pair in before_last.windows(2) {
        assert!(pair[1] + Duration::from_millis(400) >= pair[0], "{pauses:?}");
    }
    assert!(before_last[0] < Duration::from_secs(2), "{pauses:?}");
    assert!(
        before_last.last().unwrap() > &Duration::from_secs(5),
        "{pauses:?}"
    );
    let answers = world.answers_in(&alpha_room());
    assert_eq!(answers, [last_said(&world, "agent-001").await]);
    assert!(!answers[0].contains('…'));
}

#[tokio::test(start_paused = true)]
async fn a_very_slow_answer_has_not_more_edits_than_it_may() {
    let world = World::new().await;
    world.talk("[long 3000] [trickle 3000]").await;
    let events = world.agents_events(&alpha_room());
    assert!(events.len() <= 33, "{}", events.len());
    assert_eq!(
        world.answers_in(&alpha_room()),
        [last_said(&world, "agent-001").await]
    );
}

#[tokio::test(start_paused = true)]
async fn a_short_answer_is_one_event() {
    let world = World::new().await;
    world.talk("hello").await;
    assert_eq!(world.agents_events(&alpha_room()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_streaming_there_is_only_the_whole_answer() {
    let world = World::new().await;
    set(&world, &world.admin, &alpha_room(), json!({ "streaming": false })).await;
    world.talk("[long 300] [trickle 60]").await;
    assert_eq!(world.agents_events(&alpha_room()).len(), 1);
    assert_eq!(
        world.answers_in(&alpha_room()),
        [last_said(&world, "agent-001").await]
    );
}

#[tokio::test(start_paused = true)]
async fn where_other_agents_are_the_first_event_says_whom_it_addresses() {
    let world = World::new().await;
    let room = group(&world).await;
    world.letta.script(
        "agent-001",
        ScriptedReply::say("I would ask @Agent Beta about this, who knows all of it, and more than I do")
            .trickle(Duration::from_secs(30)),
    );
    let ask = content::Message::text("who knows?").mention([alpha()]);
    world.says(&room, &ask).await;
    world.settled().await;
    let first = world.event_with(&room, "I would ask");
    assert_eq!(
        first.content["m.mentions"],
        json!({ "user_ids": ["@agent_002:matrix.test"] })
    );
    let edits = world.agents_events(&room);
    assert!(
        edits
            .iter()
            .all(|event| content::edited_event(&event.content).is_none())
    );
}

#[tokio::test(start_paused = true)]
async fn killed_while_it_streams_there_is_still_one_answer_and_it_is_complete() {
    for after in [100, 300, 500, 900, 1500, 4000, 9000, 11_000] {
        let mut world = World::new().await;
        world.says_text("[long 200] [trickle 10]").await;
        tokio::time::sleep(Duration::from_millis(after)).await;
        world.restart().await;
        world.settled().await;
        let answers = world.answers_in(&alpha_room());
        assert_eq!(
            answers,
            [last_said(&world, "agent-001").await],
            "killed after {after} ms"
        );
        assert_eq!(world.letta.count("send"), 1, "killed after {after} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn first_words_whose_sending_nobody_heard_of_become_the_whole_answer() {
    for kill in [false, true] {
        let mut world = World::new().await;
        let lost = Fault::on("send_message_event")
            .user(alpha())
            .fail_after(MatrixErrorKind::Timeout);
        world.matrix.plan(lost);
        world.says_text("[long 40] [trickle 3]").await;
        world
            .until("the first words are there", async || {
                !world.agents_events(&alpha_room()).is_empty()
            })
            .await;
        if kill {
            world.restart().await;
        }
        world.settled().await;
        world.matrix.assert_faults_used();
        assert_eq!(
            world.answers_in(&alpha_room()),
            [last_said(&world, "agent-001").await]
        );
    }
}
