//! A Letta server, a homeserver and a store, all in memory, and a look at whether everybody is at home.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use agent_sync::{
    AGENT_MARKER, Reconciler, RequestCounts, RequestMeter, SyncConfig, SyncReport, display_name,
};
use async_trait::async_trait;
use letta_client::{Agent, AgentId, AgentQuery, LettaApiExt, fake::FakeLetta};
use matrix_client::fake::{FakeMatrix, RoomView};
use store::{
    Binding, BindingStore, MemoryStore, Result as StoreResult, SpaceRecord, StoreError, StoreErrorKind,
    testing::ManualClock,
};

use crate::support;

pub struct World {
    pub letta: FakeLetta,
    pub matrix: FakeMatrix,
    pub store: Arc<CrashingStore>,
    pub config: SyncConfig,
}

impl World {
    /// Three agents in Letta, a homeserver that knows our application service and one person, nothing synced yet.
    pub fn new() -> Self {
        let matrix = FakeMatrix::builder("matrix.test").test_appservice().build();
        matrix.add_user("admin");
        Self {
            letta: FakeLetta::with_test_agents(),
            matrix,
            store: Arc::new(CrashingStore::default()),
            config: SyncConfig {
                concurrency: 1,
                ..support::config()
            },
        }
    }

    pub fn reconciler(&self) -> Reconciler {
        Reconciler::new(
            Arc::new(self.letta.clone()),
            Arc::new(self.matrix.clone()),
            Arc::clone(&self.store) as Arc<dyn BindingStore>,
            self.config.clone(),
            ManualClock::new(),
        )
        .with_meter(Arc::new(JournalMeter {
            letta: self.letta.clone(),
            matrix: self.matrix.clone(),
        }))
    }

    pub async fn sync(&self) -> SyncReport {
        self.reconciler().run().await.unwrap()
    }

    /// A sync that must succeed.
    pub async fn sync_well(&self) -> SyncReport {
        let report = self.sync().await;
        assert!(report.is_success(), "{report:#?}");
        report
    }

    pub async fn agents(&self) -> Vec<Agent> {
        self.letta
            .list_all_agents(&AgentQuery::default())
            .await
            .unwrap()
            .agents
    }

    pub async fn binding(&self, agent: &str) -> Binding {
        self.store
            .get_binding(&AgentId::new(agent))
            .await
            .unwrap()
            .unwrap()
    }

    /// Every agent has exactly one user and one room, named right, in the one space, with the right people; nothing
    /// else is there; and the store says so.
    pub async fn assert_home(&self) {
        let agents = self.agents().await;
        self.matrix.assert_invariants();
        let (spaces, rooms): (Vec<_>, Vec<_>) = self.matrix.rooms().into_iter().partition(RoomView::is_space);
        assert_eq!(spaces.len(), 1, "one space");
        assert_eq!(
            rooms.len(),
            agents.len(),
            "a room for each agent and no other: {rooms:#?}"
        );
        let children: BTreeSet<_> = spaces[0].children.iter().collect();
        assert_eq!(children.len(), agents.len(), "children of the space");
        let space = self.store.get_space().await.unwrap().unwrap();
        assert_eq!(space.room_id, spaces[0].room_id);
        for agent in &agents {
            let user = self.config.user_id(&agent.id).unwrap();
            let name = display_name(agent);
            let profile = self
                .matrix
                .user(&user)
                .unwrap_or_else(|| panic!("no user {user}"));
            assert_eq!(profile.display_name.as_deref(), Some(name.as_str()));
            let room = rooms
                .iter()
                .find(|room| room.creator == user)
                .unwrap_or_else(|| panic!("no room of {user}"));
            assert_eq!(room.name.as_deref(), Some(name.as_str()));
            assert_eq!(
                room.canonical_alias,
                Some(self.config.room_alias(&agent.id).unwrap())
            );
            assert_eq!(room.parents, std::slice::from_ref(&space.room_id));
            assert!(children.contains(&room.room_id), "{user}'s room is in the space");
            assert!(room.has_joined(&user));
            let marker = room
                .state(AGENT_MARKER, "")
                .unwrap_or_else(|| panic!("no marker in {user}'s room"));
            assert_eq!(marker["agent_id"], agent.id.as_str());
            for person in &self.config.invite {
                assert!(
                    room.has_invited(person) || room.has_joined(person),
                    "{person} in {user}'s room"
                );
            }
            let binding = self.binding(agent.id.as_str()).await;
            assert_eq!(
                (binding.user_id, binding.room_id),
                (user, Some(room.room_id.clone()))
            );
            assert_eq!(
                (binding.agent_name, binding.last_error),
                (agent.name.clone(), None)
            );
        }
    }
}

/// Counts calls: on the fakes every call is one request.
#[derive(Debug)]
struct JournalMeter {
    letta: FakeLetta,
    matrix: FakeMatrix,
}

impl RequestMeter for JournalMeter {
    fn requests(&self) -> RequestCounts {
        RequestCounts {
            matrix: self.matrix.call_count() as u64,
            letta: self.letta.calls().len() as u64,
        }
    }
}

/// A store whose process dies: from one write on, none succeeds any more until it is restarted.
#[derive(Debug, Default)]
pub struct CrashingStore {
    inner: MemoryStore,
    /// Writes that still succeed, plus one; 0 is "all of them".
    left: AtomicU64,
}

impl CrashingStore {
    /// Lets this many writes succeed and no more.
    pub fn die_after(&self, writes: u64) {
        self.left.store(writes + 1, Ordering::SeqCst);
    }

    pub fn restart(&self) {
        self.left.store(0, Ordering::SeqCst);
    }

    pub fn writes(&self) -> u64 {
        self.inner.writes()
    }

    fn write(&self) -> StoreResult<()> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 1 {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "the disk is full"));
        }
        self.left.store(left.saturating_sub(1), Ordering::SeqCst);
        Ok(())
    }
}

#[async_trait]
impl BindingStore for CrashingStore {
    async fn list_bindings(&self) -> StoreResult<Vec<Binding>> {
        self.inner.list_bindings().await
    }

    async fn get_binding(&self, agent: &AgentId) -> StoreResult<Option<Binding>> {
        self.inner.get_binding(agent).await
    }

    async fn put_binding(&self, binding: &Binding) -> StoreResult<()> {
        self.write()?;
        self.inner.put_binding(binding).await
    }

    async fn get_space(&self) -> StoreResult<Option<SpaceRecord>> {
        self.inner.get_space().await
    }

    async fn put_space(&self, space: &SpaceRecord) -> StoreResult<()> {
        self.write()?;
        self.inner.put_space(space).await
    }
}
