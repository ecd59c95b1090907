//! What the bridge itself adds to a message: from the moment at which the homeserver has it to the moment at which the
//! whole answer is in the room, with servers and a model that take no time. And what it costs in calls.
//!
//! `cargo bench -p conversation`
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and may panic"
)]

#[path = "../tests/it/faulty_store.rs"]
#[expect(dead_code, reason = "it fails only in tests")]
mod faulty_store;
#[path = "../tests/it/world.rs"]
#[expect(dead_code, reason = "tests use more of it")]
mod world;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use letta_client::fake::FakeLetta;
use matrix_client::content::Message;
use store::{ConversationStore, MemoryStore};
use store_sqlite::SqliteStore;
use tokio::time::Instant;

use self::{
    faulty_store::FaultyStore,
    world::{World, alpha_room},
};

/// How many messages are sent, one after the other, and how many before them that do not count.
const MESSAGES: u32 = 300;
const WARM_UP: u32 = 20;

/// How often it is looked whether the answer is there.
const LOOK_EVERY: Duration = Duration::from_micros(100);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    latency("memory", Arc::new(MemoryStore::new())).await;
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(&folder.path().join("bench.db")).await.unwrap();
    latency("SQLite, every write durable", Arc::new(sqlite)).await;
    cost().await;
}

async fn at_work(store: Arc<dyn ConversationStore>) -> World {
    let mut world = World::asleep(FakeLetta::with_test_agents(), store).await;
    let plenty = NonZeroU32::new(1_000_000).unwrap();
    world.config.delivery.per_sender = plenty;
    world.config.delivery.per_room = plenty;
    world.start();
    world
}

/// Sends a message and waits for the answer and for all that follows.
async fn talk(world: &World, number: u32) -> Duration {
    let words = format!("message {number}");
    let began = Instant::now();
    world.says(&alpha_room(), &Message::text(&words)).await;
    let took = loop {
        let newest = world.agents_events(&alpha_room()).pop();
        let body = newest.as_ref().and_then(|event| event.content["body"].as_str());
        if body.is_some_and(|body| body.ends_with(&words)) {
            break began.elapsed();
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    while !world.store.list_open_deliveries().await.unwrap().is_empty() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    took
}

async fn latency(store: &str, inner: Arc<dyn ConversationStore>) {
    let world = at_work(inner).await;
    let mut took = Vec::new();
    for number in 0..WARM_UP + MESSAGES {
        let each = talk(&world, number).await;
        if number >= WARM_UP {
            took.push(each);
        }
    }
    took.sort_unstable();
    let percentile = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
    println!(
        "added to a message ({store}): median {:.2?}, 99th percentile {:.2?}, of {MESSAGES}",
        percentile(50),
        percentile(99)
    );
}

/// What one message costs, once the agent's user has its device.
async fn cost() {
    let memory = Arc::new(MemoryStore::new());
    let counted = Arc::new(FaultyStore::new(memory.clone()));
    let mut world = World::asleep(FakeLetta::with_test_agents(), memory).await;
    world.service_store = counted.clone();
    world.start();
    talk(&world, 0).await;
    let before = (
        world.matrix.call_count(),
        world.letta.calls().len(),
        counted.calls(),
    );
    talk(&world, 1).await;
    println!(
        "a message costs {} requests to the homeserver besides the person's own, {} to Letta, {} calls of the store",
        world.matrix.call_count() - before.0 - 1,
        world.letta.calls().len() - before.1,
        counted.calls() - before.2
    );
}
