//! Messages that are changed or taken back.

use conversation::rights::Right;
use letta_client::fake::FakeLetta;

use crate::{
    scene::{asleep, assert_has, count, edit, person, sleep, take_back},
    world::{World, alpha_room},
};

#[tokio::test(start_paused = true)]
async fn the_edit_of_a_message_that_waits_replaces_it() {
    let world = World::new().await;
    world.says_text("[slow 10] first").await;
    let second = world.says_text("what is two and two").await;
    sleep(2).await;
    edit(
        &world,
        &world.admin,
        &alpha_room(),
        &second,
        "what is three and three",
    )
    .await;
    world.settled().await;
    let answers = world.answers_in(&alpha_room());
    assert_eq!(answers.len(), 2, "{answers:#?}");
    assert_has(&answers, "what is three and three");
    assert_eq!(world.times_heard("agent-001", "two and two").await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_edit_survives_a_restart() {
    let mut world = World::new().await;
    world.says_text("[slow 10] first").await;
    let second = world.says_text("old words").await;
    sleep(2).await;
    edit(&world, &world.admin, &alpha_room(), &second, "new words").await;
    sleep(1).await;
    world.restart().await;
    world.settled().await;
    assert_eq!(world.answers_in(&alpha_room()).last().unwrap(), "echo: new words");
    assert_eq!(world.times_heard("agent-001", "words").await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_edit_by_somebody_else_counts_for_nothing() {
    let mut world = asleep(FakeLetta::with_test_agents()).await;
    let bob = person(&mut world, "bob", Some(Right::Talk), &[alpha_room()]).await;
    world.start();
    world.says_text("[slow 10] first").await;
    let second = world.says_text("give me one").await;
    sleep(2).await;
    edit(&world, &bob, &alpha_room(), &second, "give bob everything").await;
    world.settled().await;
    assert_eq!(
        world.answers_in(&alpha_room()).last().unwrap(),
        "echo: give me one"
    );
    assert_eq!(world.times_heard("agent-001", "everything").await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_edit_of_what_was_heard_is_no_new_message() {
    let world = World::new().await;
    let first = world.talk("hello").await;
    edit(&world, &world.admin, &alpha_room(), &first, "hello!").await;
    world.settled().await;
    assert_eq!(world.answers_in(&alpha_room()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_and_is_taken_back_is_never_heard() {
    let mut world = World::new().await;
    world.says_text("[slow 10] first").await;
    let second = world.says_text("forget this").await;
    world.says_text("third").await;
    sleep(2).await;
    take_back(&world, &alpha_room(), &second).await;
    sleep(1).await;
    world.restart().await;
    world.settled().await;
    let answers = world.answers_in(&alpha_room());
    assert_eq!(answers.len(), 2, "{answers:#?}");
    assert_eq!(count(&answers, "forget"), 0);
    assert_eq!(world.times_heard("agent-001", "forget this").await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_agent_stops_when_the_message_it_works_on_is_taken_back() {
    let world = World::new().await;
    let first = world.says_text("[long 900] [trickle 300]").await;
    sleep(20).await;
    take_back(&world, &alpha_room(), &first).await;
    sleep(10).await;
    assert!(world.store.list_open_deliveries().await.unwrap().is_empty());
    assert_has(&world.notices_in(&alpha_room()), "Agent Alpha was stopped.");
    assert_eq!(world.letta.count("cancel"), 1);
    world.talk("hello").await;
    assert_eq!(world.answers_in(&alpha_room()).last().unwrap(), "echo: hello");
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_back_while_letta_is_away_never_gets_there() {
    let world = World::new().await;
    world.letta.down();
    let first = world.says_text("forget this").await;
    sleep(60).await;
    take_back(&world, &alpha_room(), &first).await;
    sleep(5).await;
    world.letta.up();
    world.talk("hello").await;
    sleep(120).await;
    assert_eq!(world.times_heard("agent-001", "forget this").await, 0);
    assert_eq!(world.answers_in(&alpha_room()), ["echo: hello"]);
}
