//! Messages that end in an answer.

use conversation::{IgnoreReason, Outcome};
use letta_client::{ConversationRef, HistoryQuery, LettaApi};
use matrix_client::content::{Message, replied_to};
use serde_json::json;

use crate::world::{World, alpha_room};

#[tokio::test(start_paused = true)]
async fn a_message_is_answered_by_the_agent_of_the_room() {
    let world = World::new().await;
    let Outcome::Answered {
        run: Some(run),
        answer,
        notice: None,
    } = world.talk("hello").await
    else {
        panic!()
    };
    let said = world.heard_events();
    assert_eq!(said.len(), 1);
    assert_eq!(answer, [said[0].event_id.clone()]);
    assert_eq!(
        said[0].content,
        json!({ "msgtype": "m.text", "body": "echo: hello", "m.mentions": {} })
    );
    let sent = world.matrix.calls_of("send_message_event").pop().unwrap();
    assert!(
        sent.arguments.to_string().contains(&format!("{run}.0")),
        "{sent:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn letta_keeps_a_message_under_an_id_derived_from_the_event() {
    let world = World::new().await;
    let event = world.says(&alpha_room(), &Message::text("hello")).await;
    world.handle(&event).await.unwrap();
    let otid = uuid::Uuid::new_v5(
        &uuid::uuid!("5f3e3c0e-7d0b-4b69-9c46-0d1f8a3a6c52"),
        event.event_id.as_bytes(),
    );
    let history = world
        .letta
        .list_messages(&ConversationRef::agent("agent-001"), &HistoryQuery::default())
        .await;
    let kept: Vec<_> = history
        .unwrap()
        .messages
        .into_iter()
        .filter_map(|message| message.otid)
        .collect();
    assert!(
        kept.iter().any(|kept| kept.as_str() == otid.to_string()),
        "{otid} is not in {kept:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_agent_remembers_what_was_said_before() {
    let world = World::new().await;
    world.talk("first").await;
    world.talk("[context]").await;
    assert_eq!(
        world.heard()[1].1,
        "context: 1 earlier user turn, the first was: first"
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_comes_in_parts_that_fit() {
    let world = World::new().await;
    let outcome = world.talk("[long 7000]").await;
    let Outcome::Answered {
        answer, notice: None, ..
    } = &outcome
    else {
        panic!("{outcome:?}: {:?}", world.heard())
    };
    let parts = world.heard();
    assert!(
        parts.len() > 1 && answer.len() == parts.len(),
        "{} parts",
        parts.len()
    );
    let words: Vec<&str> = parts
        .iter()
        .flat_map(|(_, text)| text.split_whitespace())
        .collect();
    let expected: Vec<String> = (0..7_000).map(|n| format!("word{n}")).collect();
    assert_eq!(words, expected);
}

#[tokio::test(start_paused = true)]
async fn a_cry_to_everybody_in_an_answer_calls_nobody() {
    let world = World::new().await;
    world.talk("[say @room @admin:matrix.test look!]").await;
    let said = world.heard_events();
    assert_eq!(said[0].content["m.mentions"], json!({}));
}

#[tokio::test(start_paused = true)]
async fn the_agents_own_words_are_not_answered() {
    let world = World::new().await;
    world.talk("hello").await;
    let mut own = world.heard_events().pop().unwrap();
    own.room_id = Some(alpha_room());
    assert_eq!(
        world.handle(&own).await.unwrap(),
        Outcome::Ignored(IgnoreReason::Own)
    );
    assert_eq!(world.letta.count("send"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_picture_is_declined_in_the_room_and_does_not_reach_the_agent() {
    let world = World::new().await;
    let picture = json!({ "msgtype": "m.image", "body": "cat.png", "url": "mxc://matrix.test/cat" });
    let event = world.sends(&alpha_room(), "m.room.message", &picture).await;
    assert!(matches!(
        world.handle(&event).await.unwrap(),
        Outcome::Declined(_)
    ));
    assert_eq!(world.one_notice(), "I can only read text so far.");
    assert_eq!(
        replied_to(&world.heard_events()[0].content),
        Some(&*event.event_id)
    );
    assert_eq!(world.letta.count("send"), 0);
}
