//! Random histories: whatever agents, people, administrators, databases and time do, in the end every agent has one user
//! and one room, nothing was put away without proof, and nothing is left over.

mod happenings;
mod invariants;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use agent_sync::{Reconciler, RunOptions, SyncError, SyncReport};
use letta_client::AgentId;
use matrix_client::fake::Fault;
use proptest::{prelude::*, test_runner::Config};
use ruma::{OwnedRoomId, OwnedUserId};
use store::{Binding, BindingStore, Lifecycle};

use self::happenings::{Happening, happenings};
use crate::world::World;

/// What the world is, and what must be remembered to judge it.
pub struct Model {
    pub world: World,
    /// The agents of Letta, as they are.
    pub agents: BTreeMap<AgentId, AgentState>,
    /// Who left which room, and is not to be pestered.
    pub gone_from: BTreeSet<(OwnedRoomId, OwnedUserId)>,
    /// Rooms to which somebody did something by hand.
    pub touched: BTreeSet<OwnedRoomId>,
    /// Whether somebody confirmed that many may be put away.
    pub confirmed: bool,
    /// What is to go wrong in the next run.
    pub fault: Option<Fault>,
    /// Whether a fault may strike the next run.
    pub is_disturbed: bool,
}

/// An agent as it should be seen.
#[derive(Debug, Clone, Default)]
pub struct AgentState {
    pub name: String,
    pub description: Option<String>,
    pub is_tagged: bool,
    pub is_hidden: bool,
}

impl Model {
    fn new() -> Self {
        let mut world = World::of(0);
        world.config.concurrency = 2;
        world.matrix.add_user("friend");
        Self {
            world,
            agents: BTreeMap::new(),
            gone_from: BTreeSet::new(),
            touched: BTreeSet::new(),
            confirmed: false,
            fault: None,
            is_disturbed: false,
        }
    }

    /// Whether the agent is to have a home.
    pub fn is_wanted(&self, agent: &AgentId) -> bool {
        let is_excluded =
            |state: &AgentState| state.is_tagged && !self.world.config.select.exclude.is_empty();
        self.agents
            .get(agent)
            .is_some_and(|state| !state.is_hidden && !is_excluded(state))
    }

    pub async fn bindings(&self) -> Vec<Binding> {
        self.world.store.list_bindings().await.unwrap()
    }

    /// Takes back what was to go wrong.
    fn calm(&mut self) -> bool {
        self.fault = None;
        self.world.matrix.clear_faults();
        self.world.letta.clear_faults();
        std::mem::take(&mut self.is_disturbed)
    }

    fn options(&self, check: bool) -> RunOptions {
        RunOptions {
            check,
            confirm_removals: self.confirmed,
            ..RunOptions::default()
        }
    }

    /// One run, judged by what may have come of it.
    pub async fn sync(&mut self, check: bool) -> Option<SyncReport> {
        if let Some(fault) = self.fault.take() {
            self.world.matrix.plan(fault);
            self.is_disturbed = true;
        }
        let before = self.bindings().await;
        let reconciler = self.world.reconciler();
        let mut outcome = reconciler.run(self.options(check)).await;
        self.judge(&before, false).await;
        let disturbed = self.calm();
        if !disturbed && !outcome.as_ref().is_ok_and(SyncReport::is_success) {
            // It met what nobody told it, and knows better now.
            outcome = reconciler.run(self.options(false)).await;
            self.judge(&before, false).await;
        }
        match outcome {
            Ok(report) => {
                assert!(disturbed || report.is_success(), "twice in a row: {report:#?}");
                let is_well = report.is_success();
                if is_well {
                    self.assert_everybody_is_known().await;
                }
                Some(report).filter(|_| is_well)
            }
            Err(error) => {
                assert!(disturbed, "a run that nothing disturbs: {error}");
                None
            }
        }
    }

    /// A run whose process dies at its nth call of the homeserver, if it comes so far.
    pub async fn killed_sync(&mut self, method: &str, nth: u32) {
        self.calm();
        let before = self.bindings().await;
        let (fault, hold) = Fault::on(method).skip(nth).hold();
        self.world.matrix.plan(fault);
        let (reconciler, options) = (self.world.reconciler(), self.options(false));
        let mut run = tokio::spawn(async move { reconciler.run(options).await });
        tokio::select! {
            () = hold.reached() => run.abort(),
            outcome = &mut run => drop(outcome.unwrap()),
        }
        hold.release();
        self.calm();
        self.judge(&before, false).await;
    }

    /// Two instances at once: on the same state, or one of them on a state that was lost meanwhile.
    pub async fn race(&mut self, method: &str, nth: u32, is_state_lost: bool) {
        self.calm();
        let before = self.bindings().await;
        let (fault, hold) = Fault::on(method).skip(nth).hold();
        self.world.matrix.plan(fault);
        let first = self.world.reconciler().with_holder("first");
        if is_state_lost {
            self.world.store = Arc::default();
        }
        let second = self.world.reconciler().with_holder("second");
        let (wait, options) = (std::time::Duration::from_secs(60), self.options(false));
        let options = RunOptions { wait, ..options };
        let run = |reconciler: Reconciler| tokio::spawn(async move { reconciler.run(options).await });
        let mut first = run(first);
        let outcome = tokio::select! {
            () = hold.reached() => None,
            outcome = &mut first => {
                self.calm();
                Some(outcome.unwrap())
            }
        };
        // A homeserver that holds a call back for longer than a lease lasts.
        self.world.clock.advance(std::time::Duration::from_secs(40));
        let second = run(second).await.unwrap();
        hold.release();
        let first = match outcome {
            Some(outcome) => outcome,
            None => first.await.unwrap(),
        };
        self.calm();
        for outcome in [first, second] {
            match outcome {
                Ok(_) | Err(SyncError::Superseded | SyncError::Busy { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        if !is_state_lost {
            self.judge(&before, true).await;
        }
    }

    /// Checks until nothing is left to do.
    async fn settle(&mut self) {
        self.calm();
        let mut writes = 0;
        for _ in 0..4 {
            self.sync(true).await;
            writes = self.world.store.writes();
            let report = self.sync(false).await.unwrap();
            if report.requests.matrix == 0 && self.world.store.writes() == writes {
                break;
            }
        }
        let report = self.sync(false).await.unwrap();
        assert_eq!(
            (report.requests.matrix, self.world.store.writes() - writes),
            (0, 0),
            "it comes to rest: {report:#?}"
        );
        let report = self.sync(true).await.unwrap();
        assert_eq!((report.repaired, report.rooms_created), (0, 0), "{report:#?}");
        self.assert_home().await;
    }

    /// Whether everything that was put away was put away with reason.
    async fn judge(&self, before: &[Binding], is_race: bool) {
        let is_archived = |binding: &Binding| matches!(binding.lifecycle, Lifecycle::Archived { .. });
        let present: Vec<_> = before.iter().filter(|binding| !is_archived(binding)).collect();
        let leaving = present
            .iter()
            .filter(|binding| !self.is_wanted(&binding.agent_id))
            .count();
        let limit = (present.len() / 4).max(1);
        for binding in self.bindings().await {
            if !is_archived(&binding) {
                continue;
            }
            let agent = &binding.agent_id;
            let Some(old) = present.iter().find(|old| old.agent_id == *agent) else {
                continue;
            };
            assert!(!self.is_wanted(agent), "{agent} is there and was put away");
            assert!(
                is_race || self.confirmed || leaving <= limit,
                "{agent} was put away while {leaving} of {} are gone",
                present.len()
            );
            let is_listed = self.agents.get(agent).is_some_and(|state| !state.is_hidden);
            let now = store::Clock::now(&*self.world.clock);
            match old.lifecycle {
                // Left out by the configuration: nothing to wait for.
                _ if is_listed => {}
                Lifecycle::Missing { since } => {
                    let missing_for = now.duration_since(since).unsigned_abs();
                    assert!(
                        missing_for >= self.world.config.removal.grace,
                        "{agent}: too early"
                    );
                }
                _ => panic!("{agent} was put away at once"),
            }
        }
    }
}

fn live(history: &[Happening]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut model = Model::new();
        for happening in history {
            happening.happen(&mut model).await;
            model.assert_nobody_is_pestered();
        }
        model.settle().await;
    });
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn whatever_happens_everybody_has_one_home(history in happenings()) {
        live(&history);
    }
}
