//! Rooms that agents come into, and what holds in them.

use conversation::rights::Right;
use letta_client::fake::FakeLetta;
use matrix_client::{
    MatrixApi, NewRoom,
    content::{self, Message},
};
use ruma::{OwnedRoomId, owned_room_id};
use serde_json::json;

use crate::{
    scene::{asleep, assert_has, beta, count, group, invite, person, set, sleep},
    world::{World, alpha, alpha_room, bind},
};

#[tokio::test(start_paused = true)]
async fn an_agent_takes_up_an_invitation_and_answers_when_it_is_mentioned() {
    let world = World::new().await;
    let room = group(&world).await;
    let view = world.matrix.room(&room).unwrap();
    assert!(view.has_joined(&alpha()) && view.has_joined(&beta()));
    let unheard = world.says(&room, &Message::text("hello everybody")).await;
    let question = world
        .says(
            &room,
            &Message::text("Agent Alpha: who is there?").mention([alpha()]),
        )
        .await;
    world.settled().await;
    assert_eq!(
        world.verdict(&unheard).await.unwrap(),
        "ignored: no agent is mentioned"
    );
    let answers = world.answers_in(&room);
    assert_eq!(answers.len(), 1, "{answers:#?}");
    let answer = world.event_with(&room, "echo:");
    assert_eq!(answer.sender, alpha());
    assert_eq!(content::replied_to(&answer.content), Some(&*question));
}

#[tokio::test(start_paused = true)]
async fn an_invitation_by_a_stranger_is_declined() {
    let mut world = asleep(FakeLetta::with_test_agents()).await;
    let eve = person(&mut world, "eve", None, &[]).await;
    world.start();
    let room = world.matrix.create_room(&eve, &NewRoom::room()).await.unwrap();
    invite(&world, &eve, &room, &alpha()).await;
    world.settled().await;
    let view = world.matrix.room(&room).unwrap();
    assert!(!view.has_joined(&alpha()) && !view.has_invited(&alpha()));
    let said = Message::text("hello").mention([alpha()]).to_content();
    let event = world.sends_as(&eve, &room, "m.room.message", &said).await;
    world.settled().await;
    assert!(world.answers_in(&room).is_empty());
    assert_eq!(world.verdict(&event).await, None);
    assert_eq!(world.letta.count("send"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_first_words_in_a_home_are_answered_even_if_it_was_written_down_after_its_agent_came() {
    let world = World::new().await;
    world.letta.add_agent("agent-003", "Agent Gamma");
    let appservice = world.matrix.test_appservice();
    let gamma = world.matrix.add_appservice_user(&appservice.id, "agent_003");
    let is_home = |room: Option<OwnedRoomId>| {
        let (store, user) = (&*world.store, gamma.clone());
        bind(store, &world.clock, "agent-003", "Agent Gamma", user, room)
    };
    is_home(None).await;
    sleep(70).await;
    let session = appservice.act_as(&gamma);
    let home = NewRoom::room().invite([world.admin.user_id.clone()]);
    let home = world.matrix.create_room(&session, &home).await.unwrap();
    world
        .matrix
        .join_room(&world.admin, (&*home).into(), &[])
        .await
        .unwrap();
    // Its agent is seen to come in before whoever made it says whose home it is.
    sleep(3).await;
    is_home(Some(home.clone())).await;
    let question = world.says(&home, &Message::text("hello")).await;
    world.settled().await;
    assert_eq!(
        world.answers_in(&home),
        ["echo: hello"],
        "{:?}",
        world.verdict(&question).await
    );
}

#[tokio::test(start_paused = true)]
async fn in_a_direct_room_an_agent_answers_everything() {
    let world = World::new().await;
    let room = world
        .matrix
        .create_room(&world.admin, &NewRoom::room().is_direct(true).invite([alpha()]))
        .await
        .unwrap();
    world.settled().await;
    world.says(&room, &Message::text("hello")).await;
    world.settled().await;
    assert_eq!(world.answers_in(&room), ["echo: hello"]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_was_removed_says_nothing_more_in_the_room() {
    let world = World::new().await;
    let room = group(&world).await;
    world
        .matrix
        .kick_user(&world.admin, &room, &alpha(), None)
        .await
        .unwrap();
    world.settled().await;
    world
        .says(&room, &Message::text("hello").mention([alpha(), beta()]))
        .await;
    world.settled().await;
    let events = world.agents_events(&room);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].sender, beta());
}

#[tokio::test(start_paused = true)]
async fn a_room_says_what_agents_hear_in_it() {
    let world = World::new().await;
    let room = alpha_room();
    set(&world, &world.admin, &room, json!({ "mode": "off" })).await;
    world.talk("is anybody there?").await;
    assert!(world.heard().is_empty());
    world.talk("!settings").await;
    assert_has(&world.notices_in(&room), "mode off");

    set(&world, &world.admin, &room, json!({ "mode": "mention" })).await;
    world.talk("nobody in particular").await;
    assert!(world.answers_in(&room).is_empty());
    world.talk("Agent Alpha, are you there?").await;
    assert_eq!(world.answers_in(&room).len(), 1);

    set(&world, &world.admin, &room, json!({ "mode": "listen" })).await;
    world.talk("the code is 4711").await;
    assert_eq!(world.answers_in(&room).len(), 1);
    assert_eq!(world.times_heard("agent-001", "4711").await, 1);
    assert_eq!(world.times_heard("agent-001", "in particular").await, 0);
    world.talk("Agent Alpha, what is it?").await;
    assert_eq!(world.answers_in(&room).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_only_listens_says_nothing_but_that_it_failed() {
    let world = World::new().await;
    set(&world, &world.admin, &alpha_room(), json!({ "mode": "listen" })).await;
    world.talk("[tool:conversation_search {}] [trickle 30]").await;
    assert!(world.heard().is_empty(), "{:#?}", world.heard());
    assert_eq!(world.matrix.count("set_typing"), 0);
    world.talk("[fail 401]").await;
    assert_has(
        &world.notices_in(&alpha_room()),
        "Letta's key for the language model",
    );
}

#[tokio::test(start_paused = true)]
async fn settings_survive_a_restart_and_are_changed_by_command() {
    let mut world = World::new().await;
    let room = alpha_room();
    world.talk("!settings mode mention").await;
    assert_has(
        &world.notices_in(&room),
        "I may not change the settings of this room",
    );
    let power = json!({ "users": { "@admin:matrix.test": 100, "@agent_001:matrix.test": 50 } });
    world
        .matrix
        .set_state_event(&world.admin, &room, &"m.room.power_levels".into(), "", &power)
        .await
        .unwrap();
    world.talk("!settings mode mention").await;
    assert_has(&world.notices_in(&room), "Done: mode mention.");
    world.restart().await;
    world.talk("hello").await;
    assert!(world.answers_in(&room).is_empty());
    // The one setting leaves the others as they are.
    world.talk("!settings tools off").await;
    let settings = world
        .matrix
        .state(&room, &"dev.letta-matrix.settings".into(), "")
        .unwrap();
    assert_eq!(settings, json!({ "mode": "mention", "tools": false }));
}

#[tokio::test(start_paused = true)]
async fn whoever_may_only_talk_changes_no_settings() {
    let mut world = asleep(FakeLetta::with_test_agents()).await;
    let bob = person(&mut world, "bob", Some(Right::Talk), &[alpha_room()]).await;
    world.start();
    let command = Message::text("!settings mode off").to_content();
    world
        .sends_as(&bob, &alpha_room(), "m.room.message", &command)
        .await;
    world.settled().await;
    assert_has(
        &world.notices_in(&alpha_room()),
        "You may not change how agents behave here.",
    );
    world.talk("hello").await;
    assert_eq!(world.answers_in(&alpha_room()), ["echo: hello"]);
}

#[tokio::test(start_paused = true)]
async fn strangers_are_never_heard() {
    let mut world = asleep(FakeLetta::with_test_agents()).await;
    let eve = person(&mut world, "eve", None, &[alpha_room()]).await;
    world.start();
    for text in ["hello", "!help", "!stop", "!nonsense", "Agent Alpha, hello"] {
        let said = Message::text(text).mention([alpha()]).to_content();
        let event = world.sends_as(&eve, &alpha_room(), "m.room.message", &said).await;
        world.settled().await;
        assert_eq!(
            world.verdict(&event).await.unwrap(),
            "ignored: the sender may not talk with agents"
        );
    }
    assert!(world.heard().is_empty());
    assert_eq!(world.letta.count("send"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_encrypted_room_is_told_once() {
    let mut world = World::new().await;
    let room = alpha_room();
    let encrypted = json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgA", "session_id": "s" });
    for _ in 0..3 {
        world.sends(&room, "m.room.encrypted", &encrypted).await;
        world.settled().await;
        world.restart().await;
    }
    let notices = world.notices_in(&room);
    assert_eq!(
        count(&notices, "I cannot read encrypted messages."),
        1,
        "{notices:#?}"
    );
    assert_eq!(world.letta.count("send"), 0);
}

#[tokio::test(start_paused = true)]
async fn admins_speak_with_the_bridge_itself_in_their_room() {
    let admin_room: OwnedRoomId = owned_room_id!("!admins:matrix.test");
    let mut world = asleep(FakeLetta::with_test_agents()).await;
    world.matrix.add_room(
        admin_room.as_str(),
        "@admin:matrix.test",
        &["@letta_bot:matrix.test"],
    );
    let bob = person(
        &mut world,
        "bob",
        Some(Right::Command),
        std::slice::from_ref(&admin_room),
    )
    .await;
    world.config.admin_room = Some(admin_room.clone());
    world.start();
    for text in ["help", "!sync", "agents", "rooms"] {
        world.says(&admin_room, &Message::text(text)).await;
        world.settled().await;
    }
    let sync = Message::text("!sync").to_content();
    world.sends_as(&bob, &admin_room, "m.room.message", &sync).await;
    world.settled().await;
    let said: Vec<_> = world
        .matrix
        .messages(&admin_room)
        .into_iter()
        .filter(|event| event.sender.localpart() == "letta_bot")
        .collect();
    let said: Vec<String> = said
        .iter()
        .map(|event| event.content["body"].as_str().unwrap().to_owned())
        .collect();
    for words in [
        "!sync",
        "Synced.",
        "Agents.",
        "Rooms.",
        "You may not manage the bridge here.",
    ] {
        assert_has(&said, words);
    }
    assert_eq!(count(&said, "Synced."), 1);
    // Elsewhere those commands are none.
    world.talk("!sync").await;
    assert_has(
        &world.notices_in(&alpha_room()),
        "It works in the admin room only.",
    );
}
