//! What people see of an agent's tools and thoughts.

use letta_client::llm::ScriptedReply;
use serde_json::json;

use crate::{
    scene::{letta_with_tools, set},
    world::{World, alpha_room},
};

#[tokio::test(start_paused = true)]
async fn a_tool_has_a_notice_that_is_kept_up_to_date() {
    let world = World::with(letta_with_tools()).await;
    world.says_text(r#"[tool:slow {"seconds": 12}]"#).await;
    world
        .until("the tool runs", async || {
            !world.notices_in(&alpha_room()).is_empty()
        })
        .await;
    assert_eq!(world.notices_in(&alpha_room()), ["🔧 slow …"]);
    world.settled().await;
    assert_eq!(world.notices_in(&alpha_room()), ["🔧 slow · done in 12.0 s"]);
    assert_eq!(world.answers_in(&alpha_room()).len(), 1);
    // The notice stands before the answer.
    assert_eq!(world.heard()[0].0, "m.notice");
}

#[tokio::test(start_paused = true)]
async fn each_of_several_tools_has_its_own_notice() {
    let world = World::with(letta_with_tools()).await;
    for (tool, arguments) in [
        ("echo", json!({ "text": "a" })),
        ("fail", json!({ "message": "no luck" })),
    ] {
        let arguments = arguments.as_object().cloned().unwrap();
        world
            .letta
            .script("agent-001", ScriptedReply::call(tool, arguments));
    }
    world.talk("use your tools").await;
    let notices = world.notices_in(&alpha_room());
    assert_eq!(notices.len(), 2, "{notices:#?}");
    assert!(notices[0].starts_with("🔧 echo · done in"), "{notices:#?}");
    assert!(notices[1].starts_with("🔧 fail · failed after"), "{notices:#?}");
    assert!(notices[1].contains("no luck"), "{notices:#?}");
}

#[tokio::test(start_paused = true)]
async fn tools_are_hidden_where_the_room_says_so() {
    let world = World::with(letta_with_tools()).await;
    set(&world, &world.admin, &alpha_room(), json!({ "tools": false })).await;
    world.talk(r#"[tool:echo {"text": "a"}]"#).await;
    assert!(world.notices_in(&alpha_room()).is_empty());
    assert_eq!(world.answers_in(&alpha_room()), ["tool echo returned: a"]);
}

#[tokio::test(start_paused = true)]
async fn thoughts_are_shown_only_where_the_room_says_so() {
    let world = World::new().await;
    world.talk("[think it is a secret] [say done]").await;
    assert_eq!(world.heard().len(), 1);
    set(&world, &world.admin, &alpha_room(), json!({ "reasoning": true })).await;
    world.talk("[think it is no secret] [say done]").await;
    let notices = world.notices_in(&alpha_room());
    assert_eq!(notices.len(), 1, "{notices:#?}");
    assert!(notices[0].contains("it is no secret"), "{notices:#?}");
}

#[tokio::test(start_paused = true)]
async fn killed_while_a_tool_runs_its_notice_is_there_once_and_done() {
    let mut world = World::with(letta_with_tools()).await;
    world.says_text(r#"[tool:slow {"seconds": 8}]"#).await;
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    world.restart().await;
    world.settled().await;
    let notices = world.notices_in(&alpha_room());
    assert_eq!(notices.len(), 1, "{notices:#?}");
    assert!(notices[0].starts_with("🔧 slow · done in"), "{notices:#?}");
    assert_eq!(world.answers_in(&alpha_room()).len(), 1);
}
