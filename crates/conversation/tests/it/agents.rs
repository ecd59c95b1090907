//! Agents that talk with each other.

use std::num::NonZeroU32;

use letta_client::{fake::FakeLetta, llm::ScriptedReply};
use matrix_client::content::Message;
use ruma::OwnedRoomId;

use crate::{
    scene::{asleep, beta, count, group, history},
    world::{World, alpha},
};

async fn asks_alpha(world: &World, room: &OwnedRoomId, text: &str) {
    world.says(room, &Message::text(text).mention([alpha()])).await;
    world.settled().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_hears_another_only_when_it_is_addressed() {
    let world = World::new().await;
    let room = group(&world).await;
    for words in [
        "I spoke with Agent Beta yesterday",
        "`@Agent Beta` is how you write it",
    ] {
        world.letta.script("agent-001", ScriptedReply::say(words));
        asks_alpha(&world, &room, "tell me").await;
    }
    assert_eq!(world.times_heard("agent-002", "").await, 0);
    world
        .letta
        .script("agent-001", ScriptedReply::say("@Agent Beta: what do you say?"));
    world.letta.script("agent-002", ScriptedReply::say("I say yes"));
    asks_alpha(&world, &room, "ask the other").await;
    assert_eq!(world.answers_in(&room).last().unwrap(), "I say yes");
    assert_eq!(world.times_heard("agent-002", "what do you say?").await, 1);
    let heard = history(&world, &letta_client::ConversationRef::agent("agent-002")).await;
    let heard = format!("{heard:?}");
    assert!(
        heard.contains("agent_hops") && heard.contains("@agent_001:matrix.test"),
        "{heard}"
    );
    let answer = world.event_with(&room, "I say yes");
    assert_eq!(answer.content["dev.letta-matrix.hops"], 2);
    assert_eq!(answer.sender, beta());
}

/// Each always addresses the other.
fn echoing(letta: &FakeLetta) {
    for (agent, other) in [("agent-001", "@Agent Beta"), ("agent-002", "@Agent Alpha")] {
        letta.script(
            agent,
            ScriptedReply::say(format!("{other}: and you?")).times(1000),
        );
    }
}

#[tokio::test(start_paused = true)]
async fn two_agents_that_always_answer_each_other_come_to_an_end() {
    let world = World::new().await;
    let room = group(&world).await;
    echoing(&world.letta);
    asks_alpha(&world, &room, "begin").await;
    let answers = world.answers_in(&room);
    // One to the person, and as many more as there may be hops.
    assert_eq!(answers.len(), 5, "{answers:#?}");
    assert_eq!(world.letta.count("send"), 5);
    assert!(world.notices_in(&room).is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_agents_have_a_budget_for_each_other() {
    let mut world = asleep(FakeLetta::with_test_agents()).await;
    world.config.limits.max_hops = 1_000_000;
    world.config.delivery.per_pair = NonZeroU32::new(3).unwrap();
    world.start();
    let room = group(&world).await;
    echoing(&world.letta);
    asks_alpha(&world, &room, "begin").await;
    let answers = world.answers_in(&room);
    assert_eq!(count(&answers, "and you?"), 7, "{answers:#?}");
    // Nobody is told: that would go on.
    assert!(world.notices_in(&room).is_empty());
    // People are heard all the same.
    world.letta.llm(&"agent-001".into()).reset();
    asks_alpha(&world, &room, "enough").await;
    assert_eq!(count(&world.answers_in(&room), "enough"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_count_of_hops_survives_a_restart() {
    let mut world = World::new().await;
    let room = group(&world).await;
    echoing(&world.letta);
    world
        .says(&room, &Message::text("begin").mention([alpha()]))
        .await;
    for _ in 0..20 {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        world.restart().await;
    }
    world.settled().await;
    assert_eq!(world.answers_in(&room).len(), 5, "{:#?}", world.answers_in(&room));
}
