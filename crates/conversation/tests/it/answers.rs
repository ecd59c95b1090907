//! What an answer looks like, and where it is.

use letta_client::{ConversationQuery, LettaApi, fake::FakeLetta, llm::ScriptedReply};
use matrix_client::content::{self, Message};
use serde_json::json;

use crate::{
    scene::{asleep, assert_has, group, person, set},
    world::{World, alpha_room},
};

#[tokio::test(start_paused = true)]
async fn markdown_is_shown_with_its_tables_and_code() {
    let world = World::new().await;
    let markdown = "# Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```rust\nfn main() {}\n```";
    world.letta.script("agent-001", ScriptedReply::say(markdown));
    world.talk("show me").await;
    let answers = world.answers_in(&alpha_room());
    assert_eq!(answers, [markdown]);
    let events = world.agents_events(&alpha_room());
    let last = events.last().unwrap();
    let content = last.content.get("m.new_content").unwrap_or(&last.content);
    let html = content["formatted_body"].as_str().unwrap();
    for part in ["<h1>", "<table>", "<td>2</td>", "language-rust", "fn main() {}"] {
        assert!(html.contains(part), "{part} is not in {html}");
    }
    assert_eq!(content["m.mentions"], json!({}));
}

#[tokio::test(start_paused = true)]
async fn a_very_long_answer_comes_in_parts_complete_and_in_order() {
    let world = World::new().await;
    let lines: Vec<String> = (0..3_500).map(|line| format!("line {line} of many")).collect();
    let text = lines.join("\n");
    world.letta.script("agent-001", ScriptedReply::say(&text));
    world.talk("tell me everything").await;
    let answers = world.answers_in(&alpha_room());
    assert!(answers.len() > 1, "{} parts", answers.len());
    let said = answers.join("\n");
    let said: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    let differs = said.iter().zip(&lines).find(|(said, line)| *said != line);
    assert_eq!((differs, said.len()), (None, lines.len()));
    for event in world.agents_events(&alpha_room()) {
        assert!(event.content.to_string().len() < 60_000);
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_may_say_nothing() {
    let world = World::new().await;
    let event = world.talk("[say <no-reply/>] [trickle 5]").await;
    assert!(world.heard().is_empty(), "{:#?}", world.heard());
    assert_eq!(world.times_heard("agent-001", "no-reply").await, 1);
    assert_eq!(world.verdict(&event).await.unwrap(), "for agent-001");
}

#[tokio::test(start_paused = true)]
async fn an_answer_stays_in_the_thread_of_its_question() {
    let world = World::new().await;
    let root = world.talk("one").await;
    let in_thread = Message::text("two").in_thread(&root, &root);
    world.says(&alpha_room(), &in_thread).await;
    world.settled().await;
    let answer = world.event_with(&alpha_room(), "echo: two");
    assert_eq!(content::thread_root(&answer.content), Some(&*root));
    let first = world.event_with(&alpha_room(), "echo: one");
    assert_eq!(first.content.get("m.relates_to"), None);
}

#[tokio::test(start_paused = true)]
async fn whoever_replies_gets_a_reply_and_the_agent_reads_what_it_is_about() {
    let world = World::new().await;
    let first = world.talk("the moon is far").await;
    let reply = Message::text("why is that?").reply_to(&first);
    let question = world.says(&alpha_room(), &reply).await;
    world.settled().await;
    let answer = world.event_with(&alpha_room(), "echo: why is that");
    assert_eq!(content::replied_to(&answer.content), Some(&*question));
    assert_eq!(world.times_heard("agent-001", "in_reply_to").await, 1);
}

#[tokio::test(start_paused = true)]
async fn threads_are_conversations_of_their_own_where_the_room_says_so() {
    let world = World::new().await;
    set(
        &world,
        &world.admin,
        &alpha_room(),
        json!({ "conversation": "thread" }),
    )
    .await;
    let one = world.talk("about apples").await;
    let two = world.talk("about pears").await;
    for root in [&one, &two] {
        let ask = Message::text("[context]").in_thread(root, root);
        world.says(&alpha_room(), &ask).await;
        world.settled().await;
    }
    let answers = world.answers_in(&alpha_room());
    assert!(answers[2].contains("about apples"), "{answers:#?}");
    assert!(answers[3].contains("about pears"), "{answers:#?}");
    assert!(!answers[3].contains("2 earlier"), "{answers:#?}");
    let conversations = world
        .letta
        .list_conversations(&"agent-001".into(), &ConversationQuery::default())
        .await
        .unwrap();
    assert_eq!(conversations.conversations.len(), 2);
    // Each answer opens or continues the thread of its question.
    let answer = world.event_with(&alpha_room(), "echo: about apples");
    assert_eq!(content::thread_root(&answer.content), Some(&*one));
}

#[tokio::test(start_paused = true)]
async fn people_have_conversations_of_their_own_where_the_room_says_so() {
    let mut world = asleep(FakeLetta::with_test_agents()).await;
    let right = Some(conversation::rights::Right::Talk);
    let bob = person(&mut world, "bob", right, &[alpha_room()]).await;
    world.start();
    set(
        &world,
        &world.admin,
        &alpha_room(),
        json!({ "conversation": "person" }),
    )
    .await;
    world.talk("the secret of admin").await;
    for text in ["the secret of bob", "[context]"] {
        let said = Message::text(text).to_content();
        world.sends_as(&bob, &alpha_room(), "m.room.message", &said).await;
        world.settled().await;
    }
    let answers = world.answers_in(&alpha_room());
    assert!(answers[2].contains("the secret of bob"), "{answers:#?}");
    assert!(answers[2].contains("1 earlier"), "{answers:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_new_conversation_knows_nothing_of_the_one_before() {
    let mut world = World::new().await;
    world.talk("about apples").await;
    world.talk("!new").await;
    assert_has(
        &world.notices_in(&alpha_room()),
        "A new conversation with Agent Alpha begins",
    );
    world.talk("about pears").await;
    // It is the same one after a restart.
    world.restart().await;
    world.talk("[context]").await;
    let answers = world.answers_in(&alpha_room());
    let last = answers.last().unwrap();
    assert!(
        last.contains("1 earlier") && last.contains("about pears"),
        "{answers:#?}"
    );
    assert_eq!(world.letta.count("create_conversation"), 1);
}

#[tokio::test(start_paused = true)]
async fn another_room_is_another_conversation() {
    let world = World::new().await;
    world.talk("about apples").await;
    let group = group(&world).await;
    let ask = Message::text("@Agent Alpha [context]").mention([crate::world::alpha()]);
    world.says(&group, &ask).await;
    world.settled().await;
    let answers = world.answers_in(&group);
    assert_eq!(answers.len(), 1);
    assert!(!answers[0].contains("apples"), "{answers:#?}");
}
