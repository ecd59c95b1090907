//! From a person's message to the agent's answer.

use std::time::Duration;

use letta_client::fake::{AgentSeed, FakeLetta, FakeTool};

use crate::world::{World, alpha, alpha_room};

#[tokio::test(start_paused = true)]
async fn a_message_is_answered_by_the_agent_of_the_room() {
    let world = World::new().await;
    let event = world.talk("hello").await;
    let answers = world.answers_in(&alpha_room());
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers[0].contains("hello"), "{answers:?}");
    assert_eq!(
        world.matrix.read_up_to(&alpha_room(), &alpha()),
        Some(event.clone())
    );
    assert!(world.matrix.typing(&alpha_room()).is_empty());
    assert_eq!(world.verdict(&event).await.unwrap(), "for agent-001");
    assert_eq!(world.times_heard("agent-001", "hello").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_needs_consent_runs_when_somebody_allows_it() {
    let letta = FakeLetta::new().lenient();
    letta.register_tool(FakeTool::new("launch", |_| Ok("launched".to_owned())).requires_approval());
    letta.add(AgentSeed::new("agent-001", "Agent Alpha").tool("launch"));
    let world = World::with(letta).await;
    world.talk("[tool:launch {}]").await;
    let request = world.event_with(&alpha_room(), "asks to use");
    world.reacts(&alpha_room(), &request.event_id, "✅").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.settled().await;
    let heard = world.heard();
    assert!(
        heard.iter().any(|(_, text)| text.contains("allowed by @admin")),
        "{heard:#?}"
    );
    assert!(
        heard.iter().any(|(_, text)| text.contains("launched")),
        "{heard:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_stops_the_service_waits_for_what_is_nearly_done() {
    let mut world = World::new().await;
    world.says_text("[slow 4] hello").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.stop().await;
    assert_eq!(world.answers_in(&alpha_room()), ["echo: [slow 4] hello"]);
}

#[tokio::test(start_paused = true)]
async fn what_takes_longer_goes_on_at_the_next_start() {
    let mut world = World::new().await;
    world.says_text("[slow 100] hello").await;
    world.says_text("and this").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = tokio::time::Instant::now();
    world.stop().await;
    assert!(began.elapsed() < Duration::from_secs(15));
    // What comes meanwhile waits at the homeserver.
    world.says_text("and that").await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    world.start();
    world.settled().await;
    let answers = world.answers_in(&alpha_room());
    assert_eq!(
        answers,
        ["echo: [slow 100] hello", "echo: and this", "echo: and that"]
    );
    assert_eq!(world.letta.count("send"), 3);
}
