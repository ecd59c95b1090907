//! What people tell the bridge instead of an agent.

use matrix_client::content::Message;

use crate::{
    scene::{assert_has, count, group, letta_with_tools, sleep},
    world::{World, alpha_room},
};

#[tokio::test(start_paused = true)]
async fn help_says_what_there_is_and_a_slip_what_was_meant() {
    let world = World::new().await;
    world.talk("!help").await;
    world.talk("!stpo").await;
    world.talk("!history many").await;
    let notices = world.notices_in(&alpha_room());
    assert_has(&notices, "`!stop` ends what the agents here are doing");
    assert_has(&notices, "Did you mean `!stop`?");
    assert_has(&notices, "`!history`: It takes a number");
    assert_eq!(world.letta.count("send"), 0);
}

#[tokio::test(start_paused = true)]
async fn status_says_what_agents_do_while_they_do_it() {
    let world = World::with(letta_with_tools()).await;
    world.talk("!status").await;
    world.says_text("[slow 30] first").await;
    world.says_text("second").await;
    sleep(3).await;
    world.says_text("!status").await;
    sleep(1).await;
    let notices = world.notices_in(&alpha_room());
    assert_has(&notices, "**Agent Alpha**: free");
    assert_has(&notices, "**Agent Alpha**: at work, 1 message waits");
    world.settled().await;
    world.talk("[tool:launch {}]").await;
    world.talk("!status").await;
    assert_has(
        &world.notices_in(&alpha_room()),
        "**Agent Alpha**: waits for a decision",
    );
}

#[tokio::test(start_paused = true)]
async fn stop_ends_what_the_agent_does_and_what_waits_goes_on() {
    let world = World::new().await;
    world.says_text("[long 900] [trickle 300]").await;
    world.says_text("and then?").await;
    sleep(20).await;
    world.says_text("!stop").await;
    sleep(15).await;
    let notices = world.notices_in(&alpha_room());
    assert_has(&notices, "Agent Alpha is being stopped.");
    assert_has(&notices, "Agent Alpha was stopped.");
    let answers = world.answers_in(&alpha_room());
    assert_eq!(answers.last().unwrap(), "echo: and then?");
    // What was said before stays, without the dots of what would go on.
    assert!(
        answers[0].starts_with("word0 word1") && !answers[0].contains('…'),
        "{answers:#?}"
    );
    world.talk("!stop").await;
    assert_has(&world.notices_in(&alpha_room()), "Agent Alpha is doing nothing.");
}

#[tokio::test(start_paused = true)]
async fn what_was_stopped_can_be_tried_again() {
    let world = World::new().await;
    world.says_text("[slow 30] hello").await;
    sleep(5).await;
    world.says_text("!stop").await;
    world.settled().await;
    assert!(world.answers_in(&alpha_room()).is_empty());
    world.talk("!retry").await;
    assert_eq!(count(&world.answers_in(&alpha_room()), "hello"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_letta_can_be_stopped() {
    let world = World::new().await;
    world.letta.down();
    world.says_text("forget this").await;
    sleep(40).await;
    world.says_text("!stop").await;
    sleep(5).await;
    world.letta.up();
    world.settled().await;
    sleep(60).await;
    assert_has(&world.notices_in(&alpha_room()), "Agent Alpha was stopped.");
    assert_eq!(world.times_heard("agent-001", "forget this").await, 0);
}

#[tokio::test(start_paused = true)]
async fn history_shows_what_was_said_without_what_the_bridge_added() {
    let world = World::new().await;
    for text in ["one", "two", "three"] {
        world.talk(text).await;
    }
    world.talk("!history 2").await;
    let shown = world.notices_in(&alpha_room()).pop().unwrap();
    assert!(shown.contains("🧑 three") && shown.contains("🤖"), "{shown}");
    assert!(
        !shown.contains("🧑 one") && !shown.contains("sent_at\":\"2026-01-01T00:00:00Z\"}]\none"),
        "{shown}"
    );
}

#[tokio::test(start_paused = true)]
async fn where_several_agents_are_a_command_is_for_whom_it_names() {
    let world = World::new().await;
    let room = group(&world).await;
    for text in ["!status", "!status @Agent Beta"] {
        world.says(&room, &Message::text(text)).await;
        world.settled().await;
    }
    let notices = world.notices_in(&room);
    assert_eq!(count(&notices, "Agent Alpha"), 1, "{notices:#?}");
    assert_eq!(count(&notices, "Agent Beta"), 2, "{notices:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_command_is_carried_out_once_whenever_we_are_killed() {
    for after in [0, 1, 20, 80, 200] {
        let mut world = World::new().await;
        world.talk("hello").await;
        world.says_text("!new").await;
        tokio::time::sleep(std::time::Duration::from_millis(after)).await;
        world.restart().await;
        world.settled().await;
        let notices = world.notices_in(&alpha_room());
        assert_eq!(
            count(&notices, "A new conversation"),
            1,
            "killed after {after} ms: {notices:#?}"
        );
    }
}
