//! Messages that come while an agent is at work.

use std::num::NonZeroU32;

use letta_client::fake::{FakeLetta, Fault};
use matrix_client::content::Message;

use crate::{
    scene::{asleep, assert_has, count, sleep},
    world::{World, alpha, alpha_room, beta_room},
};

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_long_is_told_so_once() {
    let world = World::new().await;
    for text in ["[slow 60] first", "second", "third"] {
        world.says_text(text).await;
    }
    sleep(4).await;
    assert!(world.notices_in(&alpha_room()).is_empty());
    sleep(4).await;
    let told = [
        "⏳ Agent Alpha is at work. Your message is next.",
        "⏳ Agent Alpha is at work. 2 messages come before yours.",
    ];
    let mut notices = world.notices_in(&alpha_room());
    notices.sort_by_key(String::len);
    assert_eq!(notices, told);
    world.settled().await;
    assert_eq!(world.notices_in(&alpha_room()).len(), 2);
    let answers = world.answers_in(&alpha_room());
    assert_eq!(answers[1..], ["echo: second", "echo: third"]);
}

#[tokio::test(start_paused = true)]
async fn messages_are_answered_in_their_order_whenever_we_are_killed() {
    let mut world = World::new().await;
    let mut expected = Vec::new();
    for number in 0..12 {
        world.says_text(&format!("[slow 0.3] number {number}.")).await;
        expected.push(format!("echo: [slow 0.3] number {number}."));
        tokio::time::sleep(std::time::Duration::from_millis(number * 37)).await;
        world.restart().await;
    }
    world.settled().await;
    assert_eq!(world.answers_in(&alpha_room()), expected);
    for number in 0..12 {
        assert_eq!(
            world.times_heard("agent-001", &format!("number {number}.")).await,
            1
        );
    }
}

#[tokio::test(start_paused = true)]
async fn not_more_messages_wait_than_may() {
    let mut world = asleep(FakeLetta::with_test_agents()).await;
    world.config.delivery.max_waiting = 2;
    world.start();
    world.says_text("[slow 20] first").await;
    sleep(1).await;
    for text in ["second", "third", "fourth"] {
        world.says_text(text).await;
    }
    world.settled().await;
    assert_eq!(
        count(
            &world.notices_in(&alpha_room()),
            "Too many messages wait here already."
        ),
        1
    );
    assert_eq!(world.answers_in(&alpha_room()).len(), 3);
    assert_eq!(world.times_heard("agent-001", "fourth").await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_agent_holds_up_nobody_else() {
    let world = World::new().await;
    let (fault, hold) = Fault::on("send").agent("agent-001").hold();
    world.letta.plan(fault);
    world.says_text("hello").await;
    hold.reached().await;
    for number in 0..5 {
        world
            .says(&beta_room(), &Message::text(format!("number {number}")))
            .await;
        sleep(1).await;
        assert_eq!(world.answers_in(&beta_room()).len(), number + 1);
    }
    world.says_text("!status").await;
    sleep(1).await;
    assert_has(&world.notices_in(&alpha_room()), "at work");
    hold.release();
    world.settled().await;
    assert_eq!(world.answers_in(&alpha_room()), ["echo: hello"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_writes_too_much_is_told_so_and_heard_later() {
    let mut world = asleep(FakeLetta::with_test_agents()).await;
    world.config.delivery.per_sender = NonZeroU32::new(3).unwrap();
    world.start();
    for number in 0..4 {
        world.talk(&format!("number {number}")).await;
    }
    assert_eq!(world.answers_in(&alpha_room()).len(), 3);
    assert_has(
        &world.notices_in(&alpha_room()),
        "You wrote very much in a short time.",
    );
}

#[tokio::test(start_paused = true)]
async fn a_plain_message_costs_few_requests() {
    let world = World::new().await;
    // The agent's user has its device then.
    world.talk("hello").await;
    world.letta.clear_journal();
    world.matrix.clear_journal();
    world.talk("hello again").await;
    let letta: Vec<_> = world.letta.calls().iter().map(|call| call.method).collect();
    assert_eq!(letta, ["send"]);
    let calls = world.matrix.calls();
    let mut matrix: Vec<_> = calls
        .iter()
        .filter(|call| call.is_by(&alpha()))
        .map(|call| call.method)
        .collect();
    matrix.sort_unstable();
    assert_eq!(
        matrix,
        ["send_message_event", "send_receipt", "set_typing", "set_typing"]
    );
}
