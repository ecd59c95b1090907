//! Turns of one agent come one after the other, those of different agents do not wait.

use std::time::Duration;

use letta_client::fake::Fault;
use matrix_client::content::Message;
use tokio::time::timeout;

use crate::world::{World, alpha_room, beta_room};

#[tokio::test(start_paused = true)]
async fn a_second_message_waits_for_the_first_ones_answer() {
    let world = World::new().await;
    let slow = world.says(&alpha_room(), &Message::text("[slow 60] one")).await;
    let quick = world.says(&alpha_room(), &Message::text("two")).await;
    let (first, second) = tokio::join!(world.handle(&slow), world.handle(&quick));
    first.unwrap();
    second.unwrap();
    let texts: Vec<String> = world.heard().into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["echo: [slow 60] one", "echo: two"]);
    // Both are in the agent's memory: of two turns at once one would be lost.
    world.talk("[context]").await;
    assert_eq!(
        world.heard()[2].1,
        "context: 2 earlier user turns, the first was: [slow 60] one"
    );
}

#[tokio::test(start_paused = true)]
async fn another_agent_does_not_wait() {
    let world = World::new().await;
    let (fault, hold) = Fault::on("send").agent("agent-001").hold();
    world.letta.plan(fault);
    let for_alpha = world.says(&alpha_room(), &Message::text("hello")).await;
    let for_beta = world.says(&beta_room(), &Message::text("hello")).await;
    let mut held = Box::pin(world.handle(&for_alpha));
    assert!(timeout(Duration::from_secs(60), &mut held).await.is_err());
    world.handle(&for_beta).await.unwrap();
    assert_eq!(world.heard(), []);
    hold.release();
    held.await.unwrap();
    assert_eq!(world.heard()[0].1, "echo: hello");
}
