//! A Letta server, a homeserver and a store, all in memory, and a look at whether everybody is at home.

use std::{collections::BTreeSet, sync::Arc};

use accounts::AppserviceAccounts;
use agent_sync::{
    AGENT_MARKER, Reconciler, RequestCounts, RequestMeter, RunOptions, SyncConfig, SyncError, SyncReport,
    display_name,
};
use letta_client::{Agent, AgentId, AgentQuery, LettaApiExt, fake::FakeLetta};
use matrix_client::{
    Appservice, Session, SynapseAdminApi,
    admin::RoomDeletion,
    fake::{Credentials, FakeMatrix, Request, RoomView},
};
use ruma::{OwnedRoomId, RoomId, UserId};
use secrecy::ExposeSecret;
use serde_json::json;
use store::{Binding, BindingStore, testing::ManualClock};

use crate::{faulty_store::FaultyStore, support};

pub struct World {
    pub letta: FakeLetta,
    pub matrix: FakeMatrix,
    pub store: Arc<FaultyStore>,
    pub config: SyncConfig,
    pub appservice: Appservice,
    pub clock: Arc<ManualClock>,
    /// The person who is invited everywhere.
    pub admin: Session,
    /// The homeserver's administrator.
    pub root: Session,
}

impl World {
    /// Three agents in Letta, a homeserver that knows our application service and one person, nothing synced yet.
    pub fn new() -> Self {
        Self::with(FakeLetta::with_test_agents())
    }

    /// The same, with so many agents: `agent-1` "Agent 1" and so on.
    pub fn of(agents: usize) -> Self {
        let letta = FakeLetta::new().lenient();
        for n in 1..=agents {
            letta.add_agent(format!("agent-{n}"), format!("Agent {n}"));
        }
        Self::with(letta)
    }

    /// The same, with these agents.
    pub fn with(letta: FakeLetta) -> Self {
        let matrix = FakeMatrix::builder("matrix.test").test_appservice().build();
        let admin = matrix.add_user("admin");
        let root = matrix.add_admin("root");
        Self {
            admin,
            root,
            letta,
            matrix,
            store: Arc::default(),
            config: SyncConfig {
                concurrency: 1,
                ..support::config()
            },
            appservice: support::appservice(),
            clock: ManualClock::new(),
        }
    }

    pub fn reconciler(&self) -> Reconciler {
        let matrix = Arc::new(self.matrix.clone());
        Reconciler::new(
            Arc::new(self.letta.clone()),
            matrix.clone(),
            Arc::new(AppserviceAccounts::new(matrix, self.appservice.clone())),
            self.store.clone(),
            self.config.clone(),
            self.clock.clone(),
        )
        .with_meter(Arc::new(JournalMeter {
            letta: self.letta.clone(),
            matrix: self.matrix.clone(),
        }))
    }

    pub async fn try_sync(&self) -> Result<SyncReport, SyncError> {
        self.reconciler().run(RunOptions::default()).await
    }

    pub async fn sync(&self) -> SyncReport {
        self.try_sync().await.unwrap()
    }

    /// A sync that reads every room, and must succeed.
    pub async fn check_well(&self) -> SyncReport {
        let options = RunOptions {
            check: true,
            ..RunOptions::default()
        };
        let report = self.reconciler().run(options).await.unwrap();
        assert!(report.is_success(), "{report:#?}");
        report
    }

    /// The room of an agent.
    pub async fn room_of(&self, agent: &str) -> OwnedRoomId {
        self.binding(agent).await.room_id.unwrap()
    }

    /// The agent's user as it acts.
    pub async fn ghost_of(&self, agent: &str) -> Session {
        self.ghost(&self.binding(agent).await.user_id)
    }

    /// The homeserver's administrator deletes a room.
    pub async fn delete_room(&self, room: &RoomId) {
        self.matrix
            .delete_room(&self.root, room, &RoomDeletion::purge())
            .await
            .unwrap();
    }

    /// Somebody replaces a room by a new one.
    pub async fn upgrade_room(&self, by: &Session, room: &RoomId) -> OwnedRoomId {
        let credentials = Credentials {
            token: Some(by.token().expose_secret().to_owned()),
            user_id: by.is_appservice().then(|| by.user_id.to_string()),
            device_id: None,
        };
        let body = json!({ "new_version": "12" }).as_object().unwrap().clone();
        let request = Request::new("upgrade_room", json!({})).by(credentials.clone());
        let upgraded = self.matrix.run(request, |server| {
            let who = server.authenticate(&credentials)?;
            server.upgrade_room(&who, room.as_str(), &body)
        });
        upgraded.await.unwrap().try_into().unwrap()
    }

    /// A session of an agent's user.
    pub fn ghost(&self, user: &UserId) -> Session {
        self.appservice.act_as(user)
    }

    /// A session of the bridge's own user.
    pub fn bot(&self) -> Session {
        self.appservice.sender_session()
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
