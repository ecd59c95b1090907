//! What is under way when something goes wrong.

use std::{pin::Pin, sync::Arc, time::Duration};

use agent_sync::{RemovalMode, Rule};
use letta_client::{
    AgentId, AgentUpdate, ConversationRef, LettaApi, LettaApiExt, NewAgent, TurnInput, TurnOptions,
    fake::FakeLetta,
};
use matrix_client::{MatrixApi, MatrixApiExt, StateEventType};
use serde_json::json;

use super::survives_everything;
use crate::{support::user, world::World};

/// A world in which the next run has something to do.
pub struct Scenario {
    pub name: &'static str,
    make: fn() -> World,
    prepare: for<'a> fn(&'a mut World) -> Step<'a>,
}

type Step<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

impl Scenario {
    /// The world right before the run, with nothing in the journals.
    pub async fn prepare(&self) -> World {
        let mut world = (self.make)();
        (self.prepare)(&mut world).await;
        world.matrix.clear_journal();
        world.letta.clear_journal();
        world
    }
}

/// A test that takes a scenario through everything that can happen.
macro_rules! scenario {
    ($name:ident, $make:expr, |$world:ident| $prepare:block) => {
        #[tokio::test(start_paused = true)]
        async fn $name() {
            fn prepare($world: &mut World) -> Step<'_> {
                Box::pin(async move { $prepare })
            }
            let name = stringify!($name);
            survives_everything(Scenario {
                name,
                make: $make,
                prepare,
            })
            .await;
        }
    };
}

const HOUR: Duration = Duration::from_secs(60 * 60);

fn at_once(agents: usize) -> World {
    let mut world = World::of(agents);
    world.config.concurrency = agents;
    world
}

fn leaving(agents: usize) -> World {
    let mut world = at_once(agents);
    world.config.removal.mode = RemovalMode::Leave;
    world
}

async fn rename(world: &World, agents: usize) {
    for n in 1..=agents {
        let id = AgentId::new(format!("agent-{n}"));
        let update = AgentUpdate::rename(format!("Renamed {n}"));
        world.letta.update_agent(&id, &update).await.unwrap();
    }
}

async fn delete(world: &World, agents: usize) {
    for n in 1..=agents {
        let id = AgentId::new(format!("agent-{n}"));
        world.letta.delete_agent(&id).await.unwrap();
    }
}

/// Deletes agents and lets the grace period pass.
async fn overdue(world: &World, agents: usize) {
    world.sync_well().await;
    delete(world, agents).await;
    world.sync_well().await;
    world.clock.advance(3 * HOUR);
}

async fn archived(world: &World, agents: usize) {
    overdue(world, agents).await;
    assert_eq!(world.sync_well().await.archived, agents);
}

async fn set_state(world: &World, by: &matrix_client::Session, room: &ruma::RoomId, kind: &str, key: &str) {
    world
        .matrix
        .set_state_event(by, room, &StateEventType::from(kind), key, &json!({}))
        .await
        .unwrap();
}

scenario!(provisioning_one, || World::of(1), |world| {
    let _ = world;
});

scenario!(provisioning_three_one_by_one, || World::of(3), |world| {
    let _ = world;
});

scenario!(provisioning_three_at_once, || at_once(3), |world| {
    let _ = world;
});

scenario!(renaming_one, || World::of(2), |world| {
    world.sync_well().await;
    rename(world, 1).await;
});

scenario!(renaming_many, || at_once(3), |world| {
    world.sync_well().await;
    rename(world, 3).await;
});

scenario!(archiving_one, || World::of(2), |world| {
    overdue(world, 1).await;
});

scenario!(archiving_many, || at_once(8), |world| {
    overdue(world, 2).await;
});

scenario!(archiving_one_and_leaving, || leaving(1), |world| {
    overdue(world, 1).await;
});

scenario!(archiving_many_and_leaving, || leaving(8), |world| {
    overdue(world, 2).await;
});

scenario!(returning, || World::of(2), |world| {
    archived(world, 1).await;
    world.letta.add_agent("agent-1", "Agent 1");
});

scenario!(returning_into_a_room_that_was_left, || leaving(2), |world| {
    archived(world, 1).await;
    world.letta.add_agent("agent-1", "Agent 1 again");
});

scenario!(
    returning_without_a_database_into_a_room_that_was_left,
    || leaving(2),
    |world| {
        archived(world, 1).await;
        world.letta.add_agent("agent-1", "Agent 1 again");
        world.store = Arc::default();
    }
);

scenario!(excluding_one_and_including_another, || World::of(8), |world| {
    world.config.select.exclude = vec![Rule::Id("agent-1".to_owned())];
    world.sync_well().await;
    world.config.select.exclude = vec![Rule::Id("agent-2".to_owned())];
});

scenario!(mending_what_people_did, || World::of(3), |world| {
    world.sync_well().await;
    let (ghost, room) = (world.ghost_of("agent-1").await, world.room_of("agent-1").await);
    world
        .matrix
        .set_room_name(&ghost, &room, "By hand")
        .await
        .unwrap();
    world
        .matrix
        .set_room_topic(&ghost, &room, "By hand")
        .await
        .unwrap();
    let alias = world.binding("agent-2").await.room_alias;
    let ghost = world.ghost_of("agent-2").await;
    world.matrix.delete_alias(&ghost, &alias).await.unwrap();
    let space = world.matrix.spaces()[0].room_id.clone();
    let third = world.room_of("agent-3").await;
    set_state(world, &world.bot(), &space, "m.space.child", third.as_str()).await;
    set_state(
        world,
        &world.ghost_of("agent-3").await,
        &third,
        "m.space.parent",
        space.as_str(),
    )
    .await;
    world
        .matrix
        .set_display_name(&world.ghost_of("agent-3").await, None)
        .await
        .unwrap();
    world.clock.advance(7 * HOUR);
});

scenario!(replacing_a_room_that_was_deleted, || World::of(2), |world| {
    world.sync_well().await;
    world.delete_room(&world.room_of("agent-1").await).await;
    world.clock.advance(7 * HOUR);
});

scenario!(replacing_the_space_that_was_deleted, || World::of(2), |world| {
    world.sync_well().await;
    let space = world.matrix.spaces()[0].room_id.clone();
    world.delete_room(&space).await;
    world.clock.advance(7 * HOUR);
});

scenario!(replacing_a_room_that_was_left, || World::of(2), |world| {
    world.sync_well().await;
    let (ghost, room) = (world.ghost_of("agent-1").await, world.room_of("agent-1").await);
    world.matrix.leave_room(&ghost, &room, None).await.unwrap();
    world.clock.advance(7 * HOUR);
});

scenario!(adopting_without_a_database, || World::of(3), |world| {
    world.sync_well().await;
    world.store = Arc::default();
});

scenario!(following_the_upgrade_of_a_room, || World::of(2), |world| {
    world.sync_well().await;
    let (ghost, room) = (world.ghost_of("agent-1").await, world.room_of("agent-1").await);
    world.upgrade_room(&ghost, &room).await;
    world.clock.advance(7 * HOUR);
});

scenario!(following_the_upgrade_of_the_space, || World::of(2), |world| {
    world.sync_well().await;
    let space = world.matrix.spaces()[0].room_id.clone();
    world.upgrade_room(&world.bot(), &space).await;
    world.clock.advance(7 * HOUR);
});

scenario!(changing_the_configuration, || World::of(2), |world| {
    world.sync_well().await;
    world.matrix.add_user("friend");
    world.config.invite.push(user("friend"));
    world.config.space.name = "Our Agents".to_owned();
    world.config.bot_name = Some("Our Keeper".to_owned());
});

scenario!(importing_history, || World::of(1), |world| {
    world.config.history = 4;
    for text in ["one", "two", "three"] {
        let input = TurnInput::text(format!("otid-{text}"), text);
        let (to, options) = (ConversationRef::agent("agent-1"), TurnOptions::default());
        world.letta.send_and_wait(&to, &input, &options).await.unwrap();
    }
});

scenario!(
    giving_a_picture,
    || World::with(FakeLetta::new().lenient()),
    |world| {
        let mut agent = NewAgent::named("Ada");
        let picture = json!("data:image/png;base64,iVBORw0KGgo=");
        agent.metadata.insert("avatar".to_owned(), picture);
        world.letta.create_agent(&agent).await.unwrap();
        world.sync_well().await;
        // The room is there already when the second one gets its own.
        agent.name = "Eve".to_owned();
        world.letta.create_agent(&agent).await.unwrap();
    }
);
