//! What tests about whole conversations share: people, rooms, tools.

use std::{sync::Arc, time::Duration};

use conversation::{rights::Right, settings::SETTINGS_MARKER};
use letta_client::{
    ConversationRef, HistoryItem, HistoryMessage, HistoryQuery, LettaApi,
    fake::{AgentSeed, FakeLetta, FakeTool},
};
use matrix_client::{Event, MatrixApi, NewRoom, Session, content};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, owned_user_id};
use serde_json::Value;
use store::MemoryStore;

use crate::world::{World, alpha};

pub fn beta() -> OwnedUserId {
    owned_user_id!("@agent_002:matrix.test")
}

/// Agent Alpha and Agent Beta, with tools: `launch` and `erase` ask first.
pub fn letta_with_tools() -> FakeLetta {
    let letta = FakeLetta::new().lenient();
    for name in ["launch", "erase"] {
        letta
            .register_tool(FakeTool::new(name, move |_| Ok(format!("{name} went well"))).requires_approval());
    }
    for (id, name) in [("agent-001", "Agent Alpha"), ("agent-002", "Agent Beta")] {
        letta.add(
            ["launch", "erase", "echo", "fail", "slow"]
                .into_iter()
                .fold(AgentSeed::new(id, name), AgentSeed::tool),
        );
    }
    letta
}

/// A world not started yet, for those who want to change how it is set up.
pub async fn asleep(letta: FakeLetta) -> World {
    World::asleep(letta, Arc::new(MemoryStore::new())).await
}

/// Somebody else, with this right, in these rooms.
pub async fn person(world: &mut World, name: &str, right: Option<Right>, rooms: &[OwnedRoomId]) -> Session {
    let session = world.matrix.add_user(name);
    if let Some(right) = right {
        world.config.rights.allow_user(session.user_id.clone(), right);
    }
    for room in rooms {
        invite(world, &world.admin, room, &session.user_id).await;
        let room = (&**room).into();
        world.matrix.join_room(&session, room, &[]).await.unwrap();
    }
    session
}

pub async fn invite(world: &World, by: &Session, room: &OwnedRoomId, user: &OwnedUserId) {
    world.matrix.invite_user(by, room, user, None).await.unwrap();
}

/// A room of @admin that both agents are invited to.
pub async fn group(world: &World) -> OwnedRoomId {
    let room = world
        .matrix
        .create_room(&world.admin, &NewRoom::room().name("Group"))
        .await
        .unwrap();
    for agent in [alpha(), beta()] {
        invite(world, &world.admin, &room, &agent).await;
    }
    world.settled().await;
    room
}

/// Writes the settings of a room.
pub async fn set(world: &World, who: &Session, room: &OwnedRoomId, settings: Value) {
    world
        .matrix
        .set_state_event(who, room, &SETTINGS_MARKER.into(), "", &settings)
        .await
        .unwrap();
    world.settled().await;
}

pub async fn take_back(world: &World, room: &OwnedRoomId, event: &OwnedEventId) {
    let transaction = format!("redact.{event}");
    world
        .matrix
        .redact_event(&world.admin, room, event, transaction.as_str().into(), None)
        .await
        .unwrap();
}

/// An edit of a message, by anybody.
pub async fn edit(world: &World, who: &Session, room: &OwnedRoomId, event: &OwnedEventId, text: &str) {
    let content = content::Message::text(text).edit_of(event).to_content();
    world.sends_as(who, room, "m.room.message", &content).await;
}

/// What Letta has of an agent, oldest first, all conversations.
pub async fn history(world: &World, of: &ConversationRef) -> Vec<HistoryMessage> {
    let query = HistoryQuery {
        limit: 1000,
        ..HistoryQuery::default()
    };
    world.letta.list_messages(of, &query).await.unwrap().messages
}

/// What an agent said last, as Letta has it.
pub async fn last_said(world: &World, agent: &str) -> String {
    let said = history(world, &ConversationRef::agent(agent)).await;
    let texts = said.into_iter().rev().find_map(|message| match message.item {
        HistoryItem::Assistant { text } => Some(text),
        _ => None,
    });
    texts.unwrap()
}

/// The reactions of agents in a room: what under which event.
pub fn reactions(world: &World, room: &OwnedRoomId) -> Vec<(OwnedEventId, String)> {
    let events = world.matrix.timeline(room).into_iter();
    events
        .filter(|event| event.sender.localpart().starts_with("agent_"))
        .filter_map(|event| {
            let (target, key) = content::reaction_target(&event.content)?;
            Some((target.to_owned(), key.to_owned()))
        })
        .collect()
}

/// When an event was sent, since the first of its room.
pub fn sent_after(world: &World, room: &OwnedRoomId, event: &Event) -> Duration {
    let first = world.matrix.timeline(room)[0].origin_server_ts;
    let millis = u64::from(event.origin_server_ts.get()) - u64::from(first.get());
    Duration::from_millis(millis)
}

pub async fn sleep(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Whether one of the texts has these words.
#[track_caller]
pub fn assert_has(texts: &[String], words: &str) {
    assert!(
        texts.iter().any(|text| text.contains(words)),
        "nobody said {words:?}: {texts:#?}"
    );
}

/// How many of the texts have these words.
pub fn count(texts: &[String], words: &str) -> usize {
    texts.iter().filter(|text| text.contains(words)).count()
}
