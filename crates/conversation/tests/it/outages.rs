//! What happens while something else does not work.

use std::{sync::Arc, time::Duration};

use letta_client::{
    AgentId, Conflict, ConversationId, ConversationQuery, LettaApi, LettaErrorKind,
    fake::{FakeLetta, Fault},
};
use matrix_client::{MatrixApi, MatrixErrorKind, NewRoom, content::Message, fake::Fault as MatrixFault};
use store::MemoryStore;

use crate::{
    faulty_store::FaultyStore,
    scene::{asleep, assert_has, count, last_said, letta_with_tools, sleep},
    world::{World, alpha, alpha_room, beta_room},
};

#[tokio::test(start_paused = true)]
async fn while_letta_is_away_messages_wait_and_say_so_and_are_answered_once() {
    let mut world = World::new().await;
    world.letta.down();
    for text in ["one", "two", "three"] {
        world.says_text(text).await;
    }
    sleep(21).await;
    assert_has(&world.notices_in(&alpha_room()), "Letta cannot be reached.");
    sleep(39).await;
    world.restart().await;
    sleep(60).await;
    let notices = world.notices_in(&alpha_room());
    assert_eq!(
        count(&notices, "Letta cannot be reached. Agent Alpha gets your message"),
        1,
        "{notices:#?}"
    );
    assert!(world.answers_in(&alpha_room()).is_empty());
    world.letta.up();
    world.settled().await;
    assert_eq!(
        world.answers_in(&alpha_room()),
        ["echo: one", "echo: two", "echo: three"]
    );
    for text in ["\none", "\ntwo", "\nthree"] {
        assert_eq!(world.times_heard("agent-001", text).await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn letta_is_given_up_in_the_end() {
    let mut world = asleep(FakeLetta::with_test_agents()).await;
    world.config.delivery.give_up_after = Duration::from_secs(300);
    world.start();
    world.letta.down();
    world.talk("hello").await;
    assert_has(
        &world.notices_in(&alpha_room()),
        "Letta cannot be reached, so Agent Alpha did not get the message.",
    );
    world.letta.up();
    world.talk("!retry").await;
    assert_eq!(world.answers_in(&alpha_room()), ["echo: hello"]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_homeserver_loses_and_doubles_nothing() {
    for before in [0, 100, 600, 3_000, 9_900] {
        let world = World::new().await;
        world.says_text("[long 100] [trickle 10]").await;
        tokio::time::sleep(Duration::from_millis(before)).await;
        world.matrix.down();
        sleep(120).await;
        world.matrix.up();
        sleep(60).await;
        world.settled().await;
        let answers = world.answers_in(&alpha_room());
        assert_eq!(
            answers,
            [last_said(&world, "agent-001").await],
            "down after {before} ms"
        );
        assert_eq!(world.letta.count("send"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_homeserver_got_and_did_not_confirm_is_there_once() {
    let world = World::new().await;
    let lost = MatrixFault::on("send_message_event").user(alpha());
    world
        .matrix
        .plan(lost.fail_after(MatrixErrorKind::Timeout).times(3));
    world.talk("hello").await;
    world.matrix.assert_faults_used();
    assert_eq!(world.answers_in(&alpha_room()), ["echo: hello"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_homeserver_refuses_holds_nothing_up() {
    let world = World::new().await;
    let refused = MatrixFault::on("send_message_event").user(alpha());
    world.matrix.plan(refused.fail(MatrixErrorKind::Forbidden));
    world.talk("one").await;
    world.talk("two").await;
    assert_eq!(world.answers_in(&alpha_room()), ["echo: two"]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_agent_is_waited_for_and_its_sender_told() {
    let world = World::new().await;
    let busy = || Fault::on("send").fail(LettaErrorKind::Conflict(Conflict::Busy { run: None }));
    world.letta.plan(busy().times(7));
    world.says_text("hello").await;
    sleep(50).await;
    assert_has(
        &world.notices_in(&alpha_room()),
        "Agent Alpha is busy with something else and gets your message after that.",
    );
    world.settled().await;
    assert_eq!(world.answers_in(&alpha_room()), ["echo: hello"]);
    world.letta.plan(busy().always());
    world.talk("again").await;
    assert_has(
        &world.notices_in(&alpha_room()),
        "Agent Alpha is busy with something else and does not become free.",
    );
}

#[tokio::test(start_paused = true)]
async fn two_changes_that_met_are_tried_again() {
    let world = World::new().await;
    let met = || Fault::on("send").fail(LettaErrorKind::Conflict(Conflict::ConcurrentUpdate));
    world.letta.plan(met().times(2));
    world.talk("hello").await;
    assert_eq!(world.answers_in(&alpha_room()), ["echo: hello"]);
    assert_eq!(world.letta.count("send"), 3);
    world.letta.plan(met().always());
    world.talk("again").await;
    assert!(world.letta.count("send") < 15);
    assert_has(&world.notices_in(&alpha_room()), "React with 🔁");
}

#[tokio::test(start_paused = true)]
async fn a_message_of_which_nobody_knows_whether_letta_got_it_is_sent_once() {
    for kind in [
        LettaErrorKind::Timeout,
        LettaErrorKind::Interrupted,
        LettaErrorKind::Server,
    ] {
        // It got it.
        let world = World::new().await;
        world.letta.plan(Fault::on("send").fail_after(kind.clone()));
        world.talk("hello").await;
        assert_eq!(world.answers_in(&alpha_room()), ["echo: hello"], "{kind:?}");
        assert_eq!(world.letta.count("send"), 1, "{kind:?}");
        // It did not.
        world.letta.plan(Fault::on("send").fail(kind.clone()));
        world.talk("again").await;
        assert_eq!(
            world.answers_in(&alpha_room()).last().unwrap(),
            "echo: again",
            "{kind:?}"
        );
        assert_eq!(world.times_heard("agent-001", "again").await, 1, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_letta_loses_each_time_is_given_up_in_the_end_and_can_be_tried_again() {
    let world = World::new().await;
    let lost = || Fault::on("send").fail(LettaErrorKind::Timeout);
    world.letta.plan(lost().times(7));
    world.talk("hello").await;
    assert_eq!(world.answers_in(&alpha_room()), ["echo: hello"]);
    world.letta.plan(lost().times(8));
    world.talk("again").await;
    assert_has(
        &world.notices_in(&alpha_room()),
        "Letta lost this message each time it was sent. Agent Alpha does not have it.",
    );
    assert_eq!(world.times_heard("agent-001", "again").await, 0);
    world.talk("!retry").await;
    assert_eq!(world.answers_in(&alpha_room()), ["echo: hello", "echo: again"]);
    assert_eq!(world.letta.count("send"), 8 + 8 + 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_answer_is_told_when_letta_goes_away_and_gets_it_when_it_is_back() {
    for letta in [
        FakeLetta::with_test_agents(),
        FakeLetta::with_test_agents().without_redis(),
    ] {
        let world = World::with(letta).await;
        world.says_text("[slow 10] hello").await;
        sleep(3).await;
        world.letta.down();
        sleep(21).await;
        assert_has(&world.notices_in(&alpha_room()), "Letta cannot be reached.");
        sleep(99).await;
        let notices = world.notices_in(&alpha_room());
        assert_eq!(
            notices,
            ["Letta cannot be reached. What became of your message shows when it is back."]
        );
        world.letta.up();
        world.settled().await;
        assert_eq!(world.answers_in(&alpha_room()).len(), 1);
        assert_eq!(world.times_heard("agent-001", "hello").await, 1);
        assert_eq!(world.letta.count("send"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_shown_as_going_on_is_shown_as_broken_off_when_it_does_not() {
    for is_killed in [false, true] {
        let mut world = World::with(letta_with_tools()).await;
        world.says_text("[trickle 60] [long 60]").await;
        world
            .says(&beta_room(), &Message::text(r#"[tool:slow {"seconds": 60}]"#))
            .await;
        sleep(10).await;
        if is_killed {
            world.kill();
        }
        world.letta.crash();
        world.letta.restart();
        if is_killed {
            world.start();
        }
        world.settled().await;
        for room in [alpha_room(), beta_room()] {
            let said: Vec<_> = world.heard_in(&room).into_iter().map(|(_, text)| text).collect();
            assert!(!said.iter().any(|text| text.ends_with(" …")), "{said:#?}");
            assert_has(&said, "React with 🔁");
        }
        let tools = world.notices_in(&beta_room());
        assert_has(&tools, "🔧 slow · broken off");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_is_joined_again_or_read_from_the_history() {
    for (letta, breaks) in [
        (FakeLetta::with_test_agents(), 1),
        (FakeLetta::with_test_agents(), 9),
        (FakeLetta::with_test_agents().without_redis(), 1),
    ] {
        for events in [0, 1, 3, 20] {
            let world = World::with(letta.clone()).await;
            letta.clear_journal();
            for method in ["send", "resume"] {
                letta.plan(Fault::on(method).break_stream_after(events).times(breaks));
            }
            world.talk("[long 60] [trickle 6]").await;
            letta.clear_faults();
            let answers = world.answers_in(&alpha_room());
            assert_eq!(
                answers,
                [last_said(&world, "agent-001").await],
                "after {events} events"
            );
            assert_eq!(letta.count("send"), 1, "after {events} events");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_letta_lost_is_told_and_can_be_tried_again() {
    for letta in [
        FakeLetta::with_test_agents(),
        FakeLetta::with_test_agents().without_redis(),
    ] {
        let world = World::with(letta).await;
        world.says_text("[slow 60] hello").await;
        sleep(10).await;
        let began = tokio::time::Instant::now();
        world.letta.crash();
        world.letta.restart();
        world.settled().await;
        assert!(
            began.elapsed() <= world.config.delivery.run_patience * 2,
            "told after {:?}",
            began.elapsed()
        );
        let notices = world.notices_in(&alpha_room());
        assert_has(&notices, "React with 🔁");
        world.talk("!retry").await;
        assert_eq!(count(&world.answers_in(&alpha_room()), "hello"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_full_for_long_uses_up_nobodys_budget() {
    let inner = Arc::new(MemoryStore::new());
    let mut world = World::asleep(FakeLetta::with_test_agents(), inner.clone()).await;
    let store = Arc::new(FaultyStore::new(inner));
    world.service_store = store.clone();
    world.start();
    world.settled().await;

    store.fill_with_next_events();
    world.says_text("one").await;
    world.until("the disk is full", async || store.is_full()).await;
    // What is to be done about the message is thought of every second, and cannot be written down.
    sleep(120).await;
    world.says_text("two").await;
    sleep(60).await;
    assert!(world.heard().is_empty(), "{:#?}", world.heard());

    store.make_room();
    world.settled().await;
    assert_eq!(world.answers_in(&alpha_room()), ["echo: one", "echo: two"]);
    assert!(world.notices_in(&alpha_room()).is_empty(), "{:#?}", world.heard());
    for text in ["\none", "\ntwo"] {
        assert_eq!(world.times_heard("agent-001", text).await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_was_deleted_in_letta_is_begun_anew() {
    for killed in [false, true] {
        let mut world = World::new().await;
        let room = world
            .matrix
            .create_room(&world.admin, &NewRoom::room().is_direct(true).invite([alpha()]))
            .await
            .unwrap();
        world.settled().await;
        world.says(&room, &Message::text("one")).await;
        world.settled().await;
        let agent = AgentId::new("agent-001");
        let old = only_conversation(&world, &agent).await;
        world.letta.delete_conversation(&old).await.unwrap();
        if killed {
            // It dies while it does not know whether Letta got the message.
            world.letta.plan(Fault::on("send").hold().0);
            world.says(&room, &Message::text("two")).await;
            sleep(2).await;
            world.restart().await;
            world.letta.clear_faults();
        } else {
            world.says(&room, &Message::text("two")).await;
        }
        world.settled().await;
        assert_eq!(world.answers_in(&room), ["echo: one", "echo: two"]);
        assert_has(
            &world.notices_in(&room),
            "The conversation in this place is gone from Letta. Agent Alpha begins a new one.",
        );
        let new = only_conversation(&world, &agent).await;
        assert_ne!(new, old);
        world.says(&room, &Message::text("three")).await;
        world.settled().await;
        assert_eq!(only_conversation(&world, &agent).await, new);
        assert_eq!(world.notices_in(&room).len(), 1);
        // With its agent, the conversation is gone for good.
        world.letta.delete_agent(&agent).await.unwrap();
        world.says(&room, &Message::text("four")).await;
        world.settled().await;
        assert_has(&world.notices_in(&room), "Agent Alpha no longer exists in Letta.");
    }
}

async fn only_conversation(world: &World, agent: &AgentId) -> ConversationId {
    let all = world
        .letta
        .list_conversations(agent, &ConversationQuery::default())
        .await
        .unwrap()
        .conversations;
    assert_eq!(all.len(), 1, "{all:#?}");
    all[0].id.clone()
}
