//! The conformance suite: what every [`BindingStore`] does alike.
//!
//! ```text
//! store::binding_store_conformance!(async { Arc::new(MyStore::open().await) });
//! ```

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a case that fails panics: that is how a test fails"
)]

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use letta_client::AgentId;
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, UserId};

use crate::{Binding, BindingStore, Clock, Invitation, SpaceRecord, StoreErrorKind};

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(std::sync::Mutex<Timestamp>);

impl ManualClock {
    /// A clock that shows noon of a day in 2026.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self(std::sync::Mutex::new(Timestamp::constant(1_767_268_800, 0))))
    }

    /// Moves the clock.
    ///
    /// # Panics
    /// When the time leaves the range of a timestamp.
    pub fn advance(&self, by: std::time::Duration) {
        let mut now = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn user(localpart: &str) -> OwnedUserId {
    UserId::parse(format!("@{localpart}:matrix.test")).expect("a valid user id")
}

fn alias(localpart: &str) -> OwnedRoomAliasId {
    RoomAliasId::parse(format!("#{localpart}:matrix.test")).expect("a valid alias")
}

fn room(localpart: &str) -> OwnedRoomId {
    RoomId::parse(format!("!{localpart}")).expect("a valid room id")
}

/// A binding in which every field holds something that must come back unchanged.
#[must_use]
pub fn full_binding(agent: &str) -> Binding {
    let created_at = Timestamp::constant(1_767_268_800, 123_000_000);
    Binding {
        agent_id: AgentId::new(agent),
        agent_name: "Ünïcode 🦀 \"quoted\"\nname".to_owned(),
        user_id: user(&agent.replace('-', "_")),
        room_alias: alias(&agent.replace('-', "_")),
        user_registered: true,
        display_name: Some("Ünïcode 🦀".to_owned()),
        room_id: Some(room(&format!("room-of-{agent}"))),
        room_name: Some(String::new()),
        room_topic: Some("a topic".to_owned()),
        parent_id: Some(room("parent:matrix.test")),
        space_id: Some(room("space:matrix.test")),
        invitations: BTreeMap::from([
            (user("a"), Invitation::Invited),
            (user("b"), Invitation::Joined),
            (user("c"), Invitation::Left),
            (user("d"), Invitation::Failed),
        ]),
        last_error: Some("something failed".to_owned()),
        created_at,
        updated_at: created_at + std::time::Duration::from_millis(1_001),
    }
}

/// A binding as it is before its first effect.
#[must_use]
pub fn planned_binding(agent: &str) -> Binding {
    Binding {
        user_registered: false,
        display_name: None,
        room_id: None,
        room_name: None,
        room_topic: None,
        parent_id: None,
        space_id: None,
        invitations: BTreeMap::new(),
        last_error: None,
        ..full_binding(agent)
    }
}

/// An empty store has no bindings and no space.
pub async fn an_empty_store_has_nothing(store: Arc<dyn BindingStore>) {
    assert_eq!(store.list_bindings().await.unwrap(), []);
    assert_eq!(store.get_binding(&AgentId::new("agent-001")).await.unwrap(), None);
    assert_eq!(store.get_space().await.unwrap(), None);
}

/// What is written comes back unchanged, every field.
pub async fn a_binding_comes_back_as_it_was_written(store: Arc<dyn BindingStore>) {
    for binding in [full_binding("agent-001"), planned_binding("agent-002")] {
        store.put_binding(&binding).await.unwrap();
        assert_eq!(store.get_binding(&binding.agent_id).await.unwrap(), Some(binding));
    }
}

/// Bindings are listed by agent id, whatever the order of writing.
pub async fn bindings_are_listed_by_agent_id(store: Arc<dyn BindingStore>) {
    for agent in ["agent-c", "agent-a", "agent-b"] {
        store.put_binding(&planned_binding(agent)).await.unwrap();
    }
    let ids: Vec<_> = store
        .list_bindings()
        .await
        .unwrap()
        .into_iter()
        .map(|binding| binding.agent_id.to_string())
        .collect();
    assert_eq!(ids, ["agent-a", "agent-b", "agent-c"]);
}

/// A second write replaces the first in every field, be it to fill or to empty it.
pub async fn a_second_write_replaces_the_first(store: Arc<dyn BindingStore>) {
    let (bare, full) = (planned_binding("agent-001"), full_binding("agent-001"));
    for binding in [&bare, &full, &bare] {
        store.put_binding(binding).await.unwrap();
        assert_eq!(
            store.list_bindings().await.unwrap(),
            std::slice::from_ref(binding)
        );
    }
}

/// A user belongs to one agent.
pub async fn a_user_of_another_agent_is_refused(store: Arc<dyn BindingStore>) {
    let first = full_binding("agent-001");
    store.put_binding(&first).await.unwrap();
    let second = Binding {
        user_id: first.user_id.clone(),
        ..planned_binding("agent-002")
    };
    let error = store.put_binding(&second).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    assert_eq!(store.list_bindings().await.unwrap(), [first]);
}

/// A room belongs to one agent.
pub async fn a_room_of_another_agent_is_refused(store: Arc<dyn BindingStore>) {
    let first = full_binding("agent-001");
    store.put_binding(&first).await.unwrap();
    let second = Binding {
        room_id: first.room_id.clone(),
        ..planned_binding("agent-002")
    };
    let error = store.put_binding(&second).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    assert_eq!(store.get_binding(&second.agent_id).await.unwrap(), None);
}

/// The space is one record that is replaced.
pub async fn the_space_is_one_record(store: Arc<dyn BindingStore>) {
    for name in ["one", "two"] {
        let space = SpaceRecord {
            room_id: room(name),
            name: name.to_owned(),
            created_at: Timestamp::constant(1_767_268_800, 0),
        };
        store.put_space(&space).await.unwrap();
        assert_eq!(store.get_space().await.unwrap(), Some(space));
    }
}

/// Concurrent writers lose nothing.
pub async fn concurrent_writes_are_all_kept(store: Arc<dyn BindingStore>) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..32 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.put_binding(&full_binding(&format!("agent-{n:03}"))).await });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap().unwrap();
    }
    assert_eq!(store.list_bindings().await.unwrap().len(), 32);
}

/// Turns every case into a named test. Takes an expression: a future of an `Arc` of a fresh store.
#[macro_export]
macro_rules! binding_store_conformance {
    ($fresh:expr) => {
        $crate::binding_store_conformance!(@cases $fresh;
            an_empty_store_has_nothing,
            a_binding_comes_back_as_it_was_written,
            bindings_are_listed_by_agent_id,
            a_second_write_replaces_the_first,
            a_user_of_another_agent_is_refused,
            a_room_of_another_agent_is_refused,
            the_space_is_one_record,
            concurrent_writes_are_all_kept,
        );
    };
    (@cases $fresh:expr; $($case:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::testing::$case($fresh.await).await;
            }
        )*
    };
}
