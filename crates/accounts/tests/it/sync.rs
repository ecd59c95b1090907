//! Agents come home without an application service.

use std::{collections::BTreeSet, sync::Arc};

use agent_sync::{Reconciler, RunOptions, SyncConfig, SyncReport};
use letta_client::fake::FakeLetta;
use matrix_client::fake::RoomView;
use ruma::{OwnedRoomId, UserId};
use store::MemoryStore;

use crate::world::{WAYS, Way, World, bot};

/// What the tests' three agents cost at first: register, name, room and place in the space for each.
const FIRST: usize = 3 * 4;

struct Home {
    world: World,
    letta: FakeLetta,
    bindings: Arc<MemoryStore>,
}

impl Home {
    fn new(way: Way) -> Self {
        Self {
            world: World::with(way),
            letta: FakeLetta::with_test_agents(),
            bindings: Arc::default(),
        }
    }

    /// What a process does that has just started.
    async fn sync(&self) -> SyncReport {
        self.run(RunOptions::default()).await
    }

    async fn run(&self, options: RunOptions) -> SyncReport {
        let mut config = SyncConfig::new("matrix.test".try_into().unwrap());
        config.bot_name = None;
        let reconciler = Reconciler::new(
            Arc::new(self.letta.clone()),
            Arc::new(self.world.matrix.clone()),
            Arc::new(self.world.accounts()),
            Arc::clone(&self.bindings) as _,
            config,
            Arc::clone(&self.world.clock) as _,
        );
        let report = reconciler.run(options).await.unwrap();
        assert!(report.is_success(), "{report:#?}");
        report
    }

    fn lose_the_database(&mut self) {
        self.world.lose_the_store();
        self.bindings = Arc::default();
    }

    /// That there is a room for each agent, made by a user of its own, in the one space of the bot; and their ids.
    fn rooms(&self) -> BTreeSet<OwnedRoomId> {
        let (spaces, rooms): (Vec<_>, Vec<_>) = self
            .world
            .matrix
            .rooms()
            .into_iter()
            .partition(RoomView::is_space);
        assert_eq!(spaces.len(), 1);
        assert_eq!(spaces[0].creator, bot());
        let creators: BTreeSet<_> = rooms.iter().map(|room| room.creator.clone()).collect();
        let agents = self.letta.agent_ids().len();
        assert_eq!(
            (rooms.len(), creators.len(), spaces[0].children.len()),
            (agents, agents, agents)
        );
        self.world.matrix.assert_invariants();
        rooms.into_iter().map(|room| room.room_id).collect()
    }

    fn clear_journal(&self) {
        self.world.matrix.clear_journal();
    }
}

#[tokio::test(start_paused = true)]
async fn agents_come_home_and_nobody_but_the_bot_logs_in() {
    for way in WAYS {
        let home = Home::new(way);
        let report = home.sync().await;
        assert_eq!((report.users_created, report.rooms_created), (3, 3), "{way:?}");
        // The bot's login, its look for a space that it had, and the space.
        let calls: Vec<_> = home
            .world
            .matrix
            .calls()
            .into_iter()
            .map(|call| call.method)
            .collect();
        assert_eq!(calls.len(), FIRST + 3, "{way:?}: {calls:?}");
        assert_eq!(home.world.requests(), (3, 1), "{way:?}");
        home.rooms();
        home.clear_journal();
        for _ in 0..3 {
            home.sync().await;
        }
        assert_eq!(home.world.matrix.call_count(), 0, "{way:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_loss_of_the_database_everybody_is_found_again() {
    for way in WAYS {
        let mut home = Home::new(way);
        home.sync().await;
        let rooms = home.rooms();
        home.lose_the_database();
        home.clear_journal();
        let report = home.sync().await;
        assert_eq!(
            (report.users_created, report.rooms_created, report.adopted),
            (0, 0, 4),
            "{way:?}"
        );
        assert_eq!(
            home.world.requests(),
            (3, 4),
            "{way:?}: one login for each, and the bot"
        );
        assert_eq!(home.rooms(), rooms, "{way:?}");
        home.clear_journal();
        home.sync().await;
        assert_eq!(home.world.matrix.call_count(), 0, "{way:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_were_revoked_are_replaced_where_they_are_needed() {
    for way in WAYS {
        let home = Home::new(way);
        home.sync().await;
        let rooms = home.rooms();
        for user in home.world.matrix.users() {
            home.world.matrix.log_out_everywhere(&user.user_id);
        }
        home.world.advance(301);
        home.letta.add_agent("agent-004", "Agent Delta");
        home.clear_journal();
        let report = home
            .run(RunOptions {
                check: true,
                ..RunOptions::default()
            })
            .await;
        assert_eq!(report.users_created, 1, "{way:?}");
        assert_eq!(home.world.requests(), (1, 4), "{way:?}: the bot and three agents");
        assert!(home.rooms().is_superset(&rooms));
        let device = &home
            .world
            .matrix
            .user(UserId::parse("@agent_001:matrix.test").unwrap().as_ref())
            .unwrap()
            .devices;
        assert_eq!(device, &["LETTAMATRIX"]);
    }
}
