use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::talk::{count, end_of, plain, read, say, start, text_of};
use crate::{
    ConversationRef, LettaApi, NewAgent, StopReason, ToolStatus, TurnEvent, TurnEventKind, TurnInput,
    fake::{AgentSeed, FakeLetta, FakeTool},
};

fn output_of(events: &[TurnEvent]) -> (ToolStatus, &str) {
    events
        .iter()
        .find_map(|event| match &event.kind {
            TurnEventKind::ToolOutput { status, output, .. } => Some((*status, output.as_str())),
            _ => None,
        })
        .unwrap()
}

fn with_tools(tools: &[&str]) -> FakeLetta {
    let letta = FakeLetta::new().lenient();
    let seed = AgentSeed::new("agent-001", "Agent Alpha").memory_block("human", "Likes tea.");
    letta.add(tools.iter().fold(seed, |seed, tool| seed.tool(*tool)));
    letta
}

#[tokio::test(start_paused = true)]
async fn the_built_in_tools_do_what_they_say() {
    let letta = with_tools(&["echo", "fail", "slow", "get_weather"]);
    let events = say(&letta, r#"[tool:echo {"text": "ho"}]"#, &plain()).await;
    assert_eq!(output_of(&events), (ToolStatus::Success, "ho"));
    let events = say(&letta, r#"[tool:get_weather {"city": "Rome"}]"#, &plain()).await;
    assert_eq!(output_of(&events), (ToolStatus::Success, "sunny in Rome"));
    let events = say(&letta, r#"[tool:fail {"message": "out of ink"}]"#, &plain()).await;
    assert_eq!(
        output_of(&events),
        (
            ToolStatus::Error,
            "Error executing function fail: RuntimeError: out of ink"
        )
    );
    let begun = Instant::now();
    say(&letta, r#"[tool:slow {"seconds": 7}]"#, &plain()).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_tool_the_agent_does_not_have_is_refused_by_name() {
    let letta = with_tools(&[]);
    let events = say(&letta, r#"[tool:echo {"text": "ho"}]"#, &plain()).await;
    let (status, output) = output_of(&events);
    assert_eq!(status, ToolStatus::Error);
    assert_eq!(
        output,
        "[ToolConstraintError] Cannot call echo, valid tools include: ['conversation_search', 'memory_insert', \
         'memory_replace']."
    );
}

#[tokio::test(start_paused = true)]
async fn memory_tools_change_the_memory() {
    let letta = with_tools(&[]);
    let events = say(
        &letta,
        r#"[tool:memory_insert {"label": "human", "new_string": "Hates rain."}]"#,
        &plain(),
    )
    .await;
    assert_eq!(
        output_of(&events),
        (ToolStatus::Success, "Likes tea.\nHates rain.")
    );
    let replace = r#"[tool:memory_replace {"label": "human", "old_string": "tea", "new_string": "coffee"}]"#;
    let events = say(&letta, replace, &plain()).await;
    assert_eq!(
        output_of(&events),
        (ToolStatus::Success, "Likes coffee.\nHates rain.")
    );
    let events = say(&letta, replace, &plain()).await;
    assert_eq!(output_of(&events).0, ToolStatus::Error);
    let agent = letta
        .rest()
        .get_agent(&"agent-001".into(), crate::fake::Include::default())
        .await
        .unwrap();
    assert_eq!(
        agent["memory"]["blocks"][0]["value"],
        "Likes coffee.\nHates rain."
    );
}

#[tokio::test(start_paused = true)]
async fn a_tool_of_the_tests_own_gets_its_arguments_and_takes_its_time() {
    let letta = FakeLetta::new().lenient();
    letta.register_tool(
        FakeTool::new("add", |arguments| {
            let sum = arguments["a"]
                .as_i64()
                .zip(arguments["b"].as_i64())
                .map(|(a, b)| a + b);
            sum.map(|sum| sum.to_string())
                .ok_or_else(|| "TypeError: two numbers".to_owned())
        })
        .parameters(json!({
            "type": "object",
            "properties": { "a": { "type": "integer" }, "b": { "type": "integer" } },
            "required": ["a", "b"],
        }))
        .takes(Duration::from_secs(4)),
    );
    letta.add(AgentSeed::new("agent-001", "Agent Alpha").tool("add"));
    let begun = Instant::now();
    let events = say(&letta, r#"[tool:add {"a": 2, "b": 3}]"#, &plain()).await;
    assert_eq!(output_of(&events), (ToolStatus::Success, "5"));
    assert_eq!(begun.elapsed(), Duration::from_secs(4));
    let events = say(&letta, r#"[tool:add {"a": "x"}]"#, &plain()).await;
    assert_eq!(
        output_of(&events),
        (
            ToolStatus::Error,
            "Error executing function add: TypeError: two numbers"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_asks_by_default_asks_with_every_agent_that_gets_it() {
    let letta = FakeLetta::new().lenient();
    letta.register_tool(FakeTool::new("launch", |_| Ok("launched".to_owned())).requires_approval());
    let agent = NewAgent {
        tools: vec!["launch".to_owned()],
        ..NewAgent::named("Rocketeer")
    };
    let agent = letta.create_agent(&agent).await.unwrap();
    let to = ConversationRef::agent(agent.id);
    let turn = letta
        .send(&to, &TurnInput::text("o", "[tool:launch {}]"), &plain())
        .await
        .unwrap();
    assert_eq!(end_of(&read(turn).await), (&StopReason::RequiresApproval, None));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the tool is broken")]
async fn a_tools_panic_reaches_whoever_joins() {
    let letta = FakeLetta::new().lenient();
    letta.register_tool(FakeTool::new("broken", |_| panic!("the tool is broken")));
    letta.add(AgentSeed::new("agent-001", "Agent Alpha").tool("broken"));
    drop(start(&letta, "[tool:broken {}]", &plain()).await);
    letta.join().await;
}

#[tokio::test(start_paused = true)]
async fn a_search_finds_what_was_said() {
    let letta = with_tools(&[]);
    say(&letta, "I have a cat", &plain()).await;
    let events = say(&letta, r#"[tool:conversation_search {"query": "CAT"}]"#, &plain()).await;
    assert!(output_of(&events).1.contains("I have a cat"), "{events:?}");
    assert_eq!(
        count(&events, |kind| matches!(kind, TurnEventKind::ToolCall(_))),
        1
    );
    let events = say(
        &letta,
        r#"[tool:conversation_search {"query": "zebra"}]"#,
        &plain(),
    )
    .await;
    assert_eq!(
        output_of(&events).1,
        "{'message': 'No results found.', 'results': []}"
    );
    assert!(text_of(&events).ends_with("'results': []}"));
}
