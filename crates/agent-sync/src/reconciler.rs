//! One run: read, plan, apply, report.

mod decide;
mod lease;

use std::{sync::Arc, time::Duration};

use accounts::Accounts;
use futures_util::{StreamExt, stream::FuturesUnordered};
use letta_client::LettaApi;
use matrix_client::MatrixApi;
use store::{Binding, Clock, Lease, SpaceRecord, SyncProgress, SyncStore};

use self::decide::Decision;
use crate::{
    FailedAgent, Plan, RequestCounts, RequestMeter, Silent, Step, SyncConfig, SyncError, SyncObserver,
    SyncReport,
    apply::{AgentOutcome, Applier, Origin, Outage, Work},
    listing::{Discovery, Known, discover},
    pace::Pace,
    plan::{agent_actions, space_actions},
};

/// Brings every agent of a Letta server home to Matrix, and keeps it there. See the [crate's page](crate).
#[derive(Clone)]
pub struct Reconciler {
    pub(crate) letta: Arc<dyn LettaApi>,
    pub(crate) matrix: Arc<dyn MatrixApi>,
    pub(crate) accounts: Arc<dyn Accounts>,
    pub(crate) store: Arc<dyn SyncStore>,
    pub(crate) config: Arc<SyncConfig>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) meter: Arc<dyn RequestMeter>,
    observer: Arc<dyn SyncObserver>,
    holder: Arc<str>,
}

/// What a run does beyond the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunOptions {
    /// Read every room from the homeserver and mend what is wrong, though the last time is not long ago.
    pub check: bool,
    /// Put away the rooms of agents that are gone, however many they are.
    pub confirm_removals: bool,
    /// How long to wait for another instance that is syncing with the same state.
    pub wait: Duration,
}

impl std::fmt::Debug for Reconciler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reconciler")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Counts nothing.
#[derive(Debug)]
struct NoMeter;

impl RequestMeter for NoMeter {
    fn requests(&self) -> RequestCounts {
        RequestCounts::default()
    }
}

/// What a run starts from.
struct Present {
    bindings: Vec<Binding>,
    space: Option<SpaceRecord>,
    progress: SyncProgress,
    /// Whether every room is to be read.
    check: bool,
}

impl Reconciler {
    /// A reconciler of these parts.
    pub fn new(
        letta: Arc<dyn LettaApi>,
        matrix: Arc<dyn MatrixApi>,
        accounts: Arc<dyn Accounts>,
        store: Arc<dyn SyncStore>,
        config: SyncConfig,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            letta,
            matrix,
            accounts,
            store,
            config: Arc::new(config),
            clock,
            meter: Arc::new(NoMeter),
            observer: Arc::new(Silent),
            holder: "local".into(),
        }
    }

    /// Reports the requests that this meter counts.
    #[must_use]
    pub fn with_meter(mut self, meter: Arc<dyn RequestMeter>) -> Self {
        self.meter = meter;
        self
    }

    /// Tells this observer of each run's progress.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn SyncObserver>) -> Self {
        self.observer = observer;
        self
    }

    /// Names this instance among those that share the state. Instances of the same name are taken for one that was
    /// restarted.
    #[must_use]
    pub fn with_holder(mut self, holder: impl Into<Arc<str>>) -> Self {
        self.holder = holder.into();
        self
    }

    /// What [`run`](Self::run) would do now. Reads from Letta and the store, writes nothing, asks the homeserver
    /// nothing.
    ///
    /// # Errors
    /// When the agents cannot be listed or the store cannot be read.
    pub async fn plan(&self, options: RunOptions) -> Result<Plan, SyncError> {
        let present = self.read(options).await?;
        let discovery = self.discover(&present, options).await?;
        let complete = discovery.complete;
        let listing = discovery.kind;
        let decision = self.decide(&present, discovery, options).await?;
        let space_id = present
            .space
            .as_ref()
            .map(|space| &space.room_id)
            .filter(|_| !present.check);
        let invitees = self.config.invitees(self.accounts.bot(), self.accounts.bot());
        let mut plan = Plan {
            space: Vec::new(),
            agents: Vec::new(),
            unchanged: decision.unchanged,
            missing: decision.missing,
            withheld: decision.withheld,
            listing,
            listing_complete: complete,
        };
        for work in &decision.work {
            let invitees = self.config.invitees(&work.binding.user_id, self.accounts.bot());
            let actions = agent_actions(&work.goal, &work.binding, space_id, &invitees);
            if actions.is_empty() {
                continue;
            }
            plan.agents.push(crate::AgentPlan {
                agent_id: work.binding.agent_id.clone(),
                agent_name: work.binding.agent_name.clone(),
                user_id: work.binding.user_id.clone(),
                actions,
            });
        }
        if decision.needs_space || present.space.is_some() {
            plan.space =
                space_actions(present.space.as_ref(), &self.config, &invitees).map_err(SyncError::Names)?;
        }
        Ok(plan)
    }

    /// One run. Agents that fail do not stop the others; they are in the report and tried again by the next run.
    ///
    /// # Errors
    /// When the run could not begin: the agents cannot be listed, the store does not work, the space cannot be made,
    /// another instance is at it. `Superseded` when another instance took over meanwhile.
    #[tracing::instrument(name = "sync.run", skip_all)]
    pub async fn run(&self, options: RunOptions) -> Result<SyncReport, SyncError> {
        let lease = self.take_lease(options.wait).await?;
        let outcome = tokio::select! {
            outcome = self.run_under(&lease, options) => outcome,
            error = self.keep_lease(&lease) => Err(error),
        };
        self.give_back(&lease).await;
        outcome
    }

    async fn run_under(&self, lease: &Lease, options: RunOptions) -> Result<SyncReport, SyncError> {
        let started = self.clock.now();
        let requests_before = self.meter.requests();
        let mut present = self.read(options).await?;
        let discovery = self.discover(&present, options).await?;
        let mut report = empty_report(&discovery);
        let mark = discovery.mark.clone();
        let decision = self.decide(&present, discovery, options).await?;
        report.unchanged = decision.unchanged;
        report.missing.clone_from(&decision.missing);
        report.withheld.clone_from(&decision.withheld);
        report.archived = decision.archived;
        report.restored = decision.restored;
        report.failed.clone_from(&decision.failed);
        self.observer.planned(report.agents, decision.work.len());

        let pace = Pace::up_to(self.config.concurrency);
        let mut applier = Applier {
            letta: &*self.letta,
            matrix: &*self.matrix,
            accounts: &*self.accounts,
            store: &*self.store,
            config: &self.config,
            clock: &*self.clock,
            lease,
            pace: &pace,
            space: present.space.as_ref().map(|space| space.room_id.clone()),
            children: None,
        };
        self.keep_space(&mut applier, &mut present, &decision, &mut report)
            .await?;
        let outage = Outage::default();
        self.apply_all(&applier, decision, &outage, &mut report).await;
        if outage.is_lease_lost() {
            return Err(SyncError::Superseded);
        }

        let mut progress = present.progress.clone();
        if report.withheld.is_some() {
            // It is told again by every run until somebody decides.
            progress.listing = None;
        } else if mark != progress.listing && report.failed.is_empty() {
            progress.listing = mark;
        }
        let all_is_known = present.check || progress.checked_at.is_none();
        if all_is_known && outage.reason().is_none() {
            progress.checked_at = Some(started);
        }
        if progress != present.progress {
            self.store
                .put_progress(&progress, lease)
                .await
                .map_err(SyncError::of_store)?;
        }
        report.failed.sort_by(|a, b| a.agent_id.cmp(&b.agent_id));
        report.requests = self.meter.requests().since(requests_before);
        report.duration = self.clock.now().duration_since(started).unsigned_abs();
        Ok(report)
    }

    /// What the store knows, with every room to be read again when that is due.
    async fn read(&self, options: RunOptions) -> Result<Present, SyncError> {
        let mut bindings = self.store.list_bindings().await.map_err(SyncError::of_store)?;
        let mut space = self.store.get_space().await.map_err(SyncError::of_store)?;
        let progress = self.store.get_progress().await.map_err(SyncError::of_store)?;
        if let Some(other) = bindings
            .iter()
            .find(|binding| binding.user_id.server_name() != self.config.server_name)
        {
            return Err(SyncError::OtherServer {
                recorded: other.user_id.server_name().to_string(),
                configured: self.config.server_name.to_string(),
            });
        }
        let now = self.clock.now();
        let check = options.check
            || progress.checked_at.is_some_and(|checked_at| {
                now.duration_since(checked_at).unsigned_abs() >= self.config.check_interval
            });
        if check {
            for binding in &mut bindings {
                // Whoever is missing may turn up in this very run.
                let is_archived = matches!(binding.lifecycle, store::Lifecycle::Archived { .. });
                if !is_archived && binding.room.joined {
                    binding.room.verified = false;
                }
            }
        }
        // What the space lists is needed to know how a room stands in it.
        let is_room_unread = |binding: &Binding| {
            binding.lifecycle == store::Lifecycle::Active
                && binding.room_id.is_some()
                && !binding.room.verified
        };
        if let Some(space) = &mut space
            && (check || bindings.iter().any(is_room_unread))
        {
            space.verified = false;
        }
        Ok(Present {
            bindings,
            space,
            progress,
            check,
        })
    }

    async fn discover(&self, present: &Present, options: RunOptions) -> Result<Discovery, SyncError> {
        let known = Known {
            bindings: &present.bindings,
            progress: &present.progress,
            fingerprint: self.config.fingerprint(),
            now: self.clock.now(),
            // What was withheld must be seen again to be confirmed.
            all: present.check || options.confirm_removals,
        };
        discover(&*self.letta, &self.config, &known)
            .await
            .map_err(SyncError::ListAgents)
    }

    async fn decide(
        &self,
        present: &Present,
        discovery: Discovery,
        options: RunOptions,
    ) -> Result<Decision, SyncError> {
        decide::decide(
            &*self.letta,
            &self.config,
            self.accounts.bot(),
            present,
            discovery,
            options.confirm_removals,
            self.clock.now(),
        )
        .await
    }

    /// Makes and keeps the space, if there is one or need for one. While it cannot be read, the run fails.
    async fn keep_space(
        &self,
        applier: &mut Applier<'_>,
        present: &mut Present,
        decision: &Decision,
        report: &mut SyncReport,
    ) -> Result<(), SyncError> {
        if present.space.is_none() && !decision.needs_space {
            return Ok(());
        }
        let outcome = applier.keep_space(present.space.take()).await?;
        report.space_created = outcome.origin == Some(Origin::Created);
        report.adopted += usize::from(outcome.origin == Some(Origin::Adopted));
        applier.space = outcome.record.as_ref().map(|space| space.room_id.clone());
        applier.children = outcome.children;
        present.space = outcome.record;
        Ok(())
    }

    async fn apply_all(
        &self,
        applier: &Applier<'_>,
        decision: Decision,
        outage: &Outage,
        report: &mut SyncReport,
    ) {
        let mut waiting = decision.work.into_iter();
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < applier.pace.limit()
                && let Some(work) = waiting.next()
            {
                under_way.push(Box::pin(one(applier, work, outage)));
            }
            let Some((agent_id, agent_name, outcome)) = under_way.next().await else {
                break;
            };
            let failed = outcome
                .failure
                .as_ref()
                .map(|failure| (failure.step, failure.error.as_str()));
            self.observer.agent_done(&agent_id, &agent_name, failed);
            report.users_created += usize::from(outcome.user_created);
            report.rooms_created += usize::from(outcome.room_created);
            report.renamed += usize::from(outcome.renamed);
            report.adopted += usize::from(outcome.adopted);
            report.repaired += usize::from(outcome.repaired);
            if let Some(failure) = outcome.failure {
                report.failed.push(FailedAgent {
                    agent_id,
                    agent_name,
                    step: failure.step,
                    error: failure.error,
                    kind: failure.kind,
                });
            }
        }
    }
}

async fn one(
    applier: &Applier<'_>,
    work: Work,
    outage: &Outage,
) -> (letta_client::AgentId, String, AgentOutcome) {
    let (agent_id, agent_name) = (work.binding.agent_id.clone(), work.binding.agent_name.clone());
    let outcome = match outage.reason() {
        Some(reason) => AgentOutcome::failed(Step::NotTried, reason),
        None => applier.bring_home(work, outage).await,
    };
    (agent_id, agent_name, outcome)
}

fn empty_report(discovery: &Discovery) -> SyncReport {
    SyncReport {
        agents: discovery.total,
        listing: discovery.kind,
        unchanged: 0,
        users_created: 0,
        rooms_created: 0,
        space_created: false,
        renamed: 0,
        adopted: 0,
        repaired: 0,
        archived: 0,
        restored: 0,
        missing: Vec::new(),
        withheld: None,
        listing_complete: discovery.complete,
        failed: Vec::new(),
        requests: RequestCounts::default(),
        duration: Duration::ZERO,
    }
}
