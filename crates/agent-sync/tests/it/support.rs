//! What the tests share.

use std::{collections::BTreeMap, pin::Pin};

use agent_sync::{SyncConfig, display_name};
use jiff::Timestamp;
use letta_client::Agent;
use matrix_client::Appservice;
use ruma::OwnedUserId;
use store::{Binding, Invitation, SpaceRecord};

pub const NOON: Timestamp = Timestamp::constant(1_767_268_800, 0);

pub fn user(localpart: &str) -> OwnedUserId {
    format!("@{localpart}:matrix.test").try_into().unwrap()
}

/// The application service of the tests, with an obviously fake token.
pub fn appservice() -> Appservice {
    Appservice::new("letta-matrix", "as-token-for-tests".into(), user("letta_bot"))
}

pub fn config() -> SyncConfig {
    SyncConfig::new("matrix.test".try_into().unwrap(), appservice()).invite([user("admin")])
}

pub fn space() -> SpaceRecord {
    SpaceRecord {
        room_id: "!space:matrix.test".try_into().unwrap(),
        name: "Letta Agents".to_owned(),
        created_at: NOON,
    }
}

/// The binding of an agent that is complete under [`config`] and [`space`].
pub fn bound(agent: &Agent) -> Binding {
    let config = config();
    Binding {
        agent_id: agent.id.clone(),
        agent_name: agent.name.clone(),
        user_id: config.user_id(&agent.id).unwrap(),
        room_alias: config.room_alias(&agent.id).unwrap(),
        user_registered: true,
        display_name: Some(display_name(agent)),
        room_id: Some(format!("!{}", agent.id).try_into().unwrap()),
        room_name: Some(display_name(agent)),
        room_topic: Some("A Letta agent. Write something to talk with it.".to_owned()),
        parent_id: Some(space().room_id),
        space_id: Some(space().room_id),
        invitations: BTreeMap::from([(user("admin"), Invitation::Invited)]),
        last_error: None,
        created_at: NOON,
        updated_at: NOON,
    }
}

/// An answer for a mock's expectation, which returns a future so that it could also be slow.
pub fn answer<T: Send + 'static>(value: T) -> Pin<Box<dyn Future<Output = T> + Send>> {
    Box::pin(async move { value })
}
