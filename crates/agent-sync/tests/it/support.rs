//! What the tests share.

use std::{collections::BTreeMap, pin::Pin};

use agent_sync::{SyncConfig, display_name};
use jiff::Timestamp;
use letta_client::Agent;
use matrix_client::Appservice;
use ruma::OwnedUserId;
use store::{Binding, Invitation, RoomFacts, SpaceRecord};

pub const NOON: Timestamp = Timestamp::constant(1_767_268_800, 0);

pub fn user(localpart: &str) -> OwnedUserId {
    format!("@{localpart}:matrix.test").try_into().unwrap()
}

/// The application service of the tests, with an obviously fake token.
pub fn appservice() -> Appservice {
    Appservice::new("letta-matrix", "as-token-for-tests".into(), user("letta_bot"))
}

pub fn config() -> SyncConfig {
    SyncConfig::new("matrix.test".try_into().unwrap()).invite([user("admin")])
}

pub fn space() -> SpaceRecord {
    let config = config();
    SpaceRecord {
        verified: true,
        name: Some(config.space.name),
        topic: Some(config.space.topic),
        alias_set: true,
        marked: true,
        bot_name: config.bot_name,
        invitations: BTreeMap::from([(user("admin"), Invitation::Invited)]),
        ..SpaceRecord::found("!space:matrix.test".try_into().unwrap(), NOON)
    }
}

/// The binding of an agent that is complete under [`config`] and [`space`].
pub fn bound(agent: &Agent) -> Binding {
    let config = config();
    let name = display_name(agent);
    Binding {
        user_registered: true,
        display_name: Some(name.clone()),
        room_id: Some(format!("!{}", agent.id).try_into().unwrap()),
        room: RoomFacts {
            verified: true,
            joined: true,
            marked: true,
            alias_set: true,
            space_order: Some(name.to_lowercase()),
            name: Some(name),
            topic: Some("A Letta agent. Write something to talk with it.".to_owned()),
            parent_id: Some(space().room_id),
            space_id: Some(space().room_id),
            ..RoomFacts::default()
        },
        invitations: BTreeMap::from([(user("admin"), Invitation::Invited)]),
        ..Binding::planned(
            agent.id.clone(),
            agent.name.clone(),
            config.user_id(&agent.id).unwrap(),
            config.room_alias(&agent.id).unwrap(),
            NOON,
        )
    }
}

/// An answer for a mock's expectation, which returns a future so that it could also be slow.
pub fn answer<T: Send + 'static>(value: T) -> Pin<Box<dyn Future<Output = T> + Send>> {
    Box::pin(async move { value })
}
