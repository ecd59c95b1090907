//! What is under way when something goes wrong.

use std::{pin::Pin, time::Duration};

use letta_client::{
    fake::{AgentSeed, FakeLetta, FakeTool},
    llm::{Failure, ScriptedReply},
};
use matrix_client::{MatrixApi, Upload};
use serde_json::json;

use super::{Stage, survives_everything};
use crate::world::{World, alpha_room, beta_room};

/// What people say and do, until everything that follows is over.
pub struct Scenario {
    pub name: &'static str,
    make: fn() -> FakeLetta,
    play: for<'a> fn(&'a World) -> Step<'a>,
    /// The answers that people see at the end.
    pub answers: &'static [&'static str],
}

type Step<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

impl Scenario {
    /// The world right before the service begins.
    pub async fn prepare(&self, redis: bool) -> Stage {
        let letta = (self.make)();
        Stage::new(if redis { letta } else { letta.without_redis() }).await
    }

    pub fn play<'a>(&self, world: &'a World) -> Step<'a> {
        (self.play)(world)
    }
}

/// Tests that take a scenario through everything that can happen, on both kinds of Letta servers.
macro_rules! scenario {
    ($name:ident, $make:expr, $answers:expr, |$world:ident| $play:block) => {
        mod $name {
            use super::*;

            fn scenario() -> Scenario {
                fn play($world: &World) -> Step<'_> {
                    Box::pin(async move { $play })
                }
                Scenario {
                    name: stringify!($name),
                    make: $make,
                    play,
                    answers: &$answers,
                }
            }

            #[tokio::test(start_paused = true)]
            async fn with_redis() {
                survives_everything(scenario(), true).await;
            }

            #[tokio::test(start_paused = true)]
            async fn without_redis() {
                survives_everything(scenario(), false).await;
            }
        }
    };
}

scenario!(a_plain_message, FakeLetta::with_test_agents, ["hello"], |world| {
    world.talk("[say hello]").await;
});

scenario!(
    a_message_with_a_tool_call,
    || {
        let letta = FakeLetta::new().lenient();
        letta.register_tool(FakeTool::new("launch", |_| Ok("launched".to_owned())));
        letta.add(AgentSeed::new("agent-001", "Agent Alpha").tool("launch"));
        letta.add_agent("agent-002", "Agent Beta");
        letta
    },
    ["tool launch returned: launched"],
    |world| {
        world.talk("[tool:launch {}] please").await;
    }
);

scenario!(
    an_answer_that_grows,
    FakeLetta::with_test_agents,
    ["one two three four five six seven eight nine ten"],
    |world| {
        world
            .talk("[say one two three four five six seven eight nine ten] [trickle 6]")
            .await;
    }
);

scenario!(
    a_tool_that_needs_consent,
    || {
        let letta = FakeLetta::new().lenient();
        letta.register_tool(FakeTool::new("launch", |_| Ok("launched".to_owned())).requires_approval());
        letta.add(AgentSeed::new("agent-001", "Agent Alpha").tool("launch"));
        letta.add_agent("agent-002", "Agent Beta");
        letta
    },
    [
        "🔧 launch · ✅ allowed by @admin:matrix.test",
        "tool launch returned: launched"
    ],
    |world| {
        world.talk("[tool:launch {}] please").await;
        let request = world.event_with(&alpha_room(), "asks to use");
        world.reacts(&alpha_room(), &request.event_id, "✅").await;
        world.settled().await;
    }
);

scenario!(
    a_run_that_fails_and_is_tried_again,
    FakeLetta::with_test_agents,
    ["hello"],
    |world| {
        let refusals = ScriptedReply::fail(Failure::status(400)).times(100);
        world.letta.script("agent-001", refusals);
        world.talk("[say hello]").await;
        world.letta.llm(&"agent-001".into()).reset();
        let notice = world.event_with(&alpha_room(), "React with");
        world.reacts(&alpha_room(), &notice.event_id, "🔁").await;
        world.settled().await;
    }
);

scenario!(
    two_messages_in_a_row,
    FakeLetta::with_test_agents,
    ["hello", "again"],
    |world| {
        world.says_text("[slow 2] [say hello]").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.says_text("[say again]").await;
        world.settled().await;
    }
);

scenario!(
    messages_to_two_agents,
    FakeLetta::with_test_agents,
    ["again", "hello"],
    |world| {
        world
            .says(
                &beta_room(),
                &matrix_client::content::Message::text("[say again]"),
            )
            .await;
        world.says_text("[slow 2] [say hello]").await;
        world.settled().await;
    }
);

scenario!(an_image, FakeLetta::with_test_agents, ["look"], |world| {
    let png = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 1];
    let upload = Upload::new("image/png", png.to_vec()).filename("look.png");
    let uri = world.matrix.upload_media(&world.admin, &upload).await.unwrap();
    let content = json!({
        "msgtype": "m.image",
        "body": "[say look]",
        "filename": "look.png",
        "url": uri,
        "info": { "mimetype": "image/png", "size": 9 },
    });
    world.sends(&alpha_room(), "m.room.message", &content).await;
    world.settled().await;
});
