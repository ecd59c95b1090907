//! One run: read, plan, apply, report.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use letta_client::{Agent, AgentId, AgentListing, AgentQuery, LettaApi, LettaApiExt};
use matrix_client::MatrixApi;
use ruma::OwnedRoomId;
use store::{Binding, BindingStore, Clock, SpaceRecord};

use crate::{
    AgentPlan, FailedAgent, Plan, RequestCounts, RequestMeter, Silent, Step, SyncConfig, SyncError,
    SyncObserver, SyncReport,
    apply::{AgentOutcome, Applier, Outage},
    plan,
};

/// How many agents are asked for in one request. Letta answers a thousand in half a second.
const PAGE: u32 = 500;

/// Brings every agent of a Letta server home to Matrix, and keeps it there. See the [crate's page](crate).
#[derive(Clone)]
pub struct Reconciler {
    letta: Arc<dyn LettaApi>,
    matrix: Arc<dyn MatrixApi>,
    store: Arc<dyn BindingStore>,
    config: Arc<SyncConfig>,
    clock: Arc<dyn Clock>,
    meter: Arc<dyn RequestMeter>,
    observer: Arc<dyn SyncObserver>,
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
    listing: AgentListing,
    bindings: HashMap<AgentId, Binding>,
    space: Option<SpaceRecord>,
    plan: Plan,
}

impl Reconciler {
    /// A reconciler of these parts.
    pub fn new(
        letta: Arc<dyn LettaApi>,
        matrix: Arc<dyn MatrixApi>,
        store: Arc<dyn BindingStore>,
        config: SyncConfig,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            letta,
            matrix,
            store,
            config: Arc::new(config),
            clock,
            meter: Arc::new(NoMeter),
            observer: Arc::new(Silent),
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

    /// What [`run`](Self::run) would do now. Reads from Letta and the store, writes nothing, asks the homeserver
    /// nothing.
    ///
    /// # Errors
    /// When the agents cannot be listed or the store cannot be read.
    pub async fn plan(&self) -> Result<Plan, SyncError> {
        Ok(self.read().await?.plan)
    }

    /// One run. Agents that fail do not stop the others; they are in the report and tried again by the next run.
    ///
    /// # Errors
    /// When the run could not begin: the agents cannot be listed, the store does not work, the space cannot be made.
    #[tracing::instrument(name = "sync.run", skip_all)]
    pub async fn run(&self) -> Result<SyncReport, SyncError> {
        let started = self.clock.now();
        let requests_before = self.meter.requests();
        let present = self.read().await?;
        let mut report = SyncReport {
            agents: present.listing.agents.len(),
            unchanged: present.plan.unchanged,
            users_created: 0,
            rooms_created: 0,
            space_created: false,
            renamed: 0,
            adopted: 0,
            archived: 0,
            missing: present.plan.missing.clone(),
            listing_complete: present.listing.is_complete(),
            failed: Vec::new(),
            requests: RequestCounts::default(),
            duration: Duration::ZERO,
        };
        if !report.listing_complete {
            tracing::warn!(cause = ?present.listing.completeness, "the listing of agents is incomplete");
        }
        self.observer.planned(report.agents, present.plan.agents.len());
        if !present.plan.agents.is_empty() {
            let applier = Applier {
                matrix: &*self.matrix,
                store: &*self.store,
                config: &self.config,
                clock: &*self.clock,
            };
            let space = match present.space {
                Some(space) => space.room_id,
                None => {
                    let (space, outcome) = applier.ensure_space().await?;
                    report.space_created = outcome.is_created();
                    report.adopted += usize::from(!outcome.is_created());
                    space
                }
            };
            self.apply_all(
                &applier,
                &space,
                present.listing.agents,
                present.bindings,
                present.plan.agents,
                &mut report,
            )
            .await;
        }
        report.failed.sort_by(|a, b| a.agent_id.cmp(&b.agent_id));
        report.requests = self.meter.requests().since(requests_before);
        report.duration = self.clock.now().duration_since(started).unsigned_abs();
        Ok(report)
    }

    async fn read(&self) -> Result<Present, SyncError> {
        let query = AgentQuery {
            limit: PAGE,
            ..AgentQuery::default()
        };
        let mut listing = self
            .letta
            .list_all_agents(&query)
            .await
            .map_err(SyncError::ListAgents)?;
        listing.agents.retain(|agent| !agent.hidden);
        let bindings = self.store.list_bindings().await.map_err(SyncError::Store)?;
        let space = self.store.get_space().await.map_err(SyncError::Store)?;
        let mut plan =
            plan(&listing.agents, &bindings, space.as_ref(), &self.config).map_err(SyncError::Names)?;
        if !listing.is_complete() {
            // Whoever is not listed may well exist.
            plan.missing.clear();
        }
        let bindings = bindings
            .into_iter()
            .map(|binding| (binding.agent_id.clone(), binding))
            .collect();
        Ok(Present {
            listing,
            bindings,
            space,
            plan,
        })
    }

    async fn apply_all(
        &self,
        applier: &Applier<'_>,
        space: &OwnedRoomId,
        agents: Vec<Agent>,
        mut bindings: HashMap<AgentId, Binding>,
        plans: Vec<AgentPlan>,
        report: &mut SyncReport,
    ) {
        let mut agents: HashMap<_, _> = agents
            .into_iter()
            .map(|agent| (agent.id.clone(), agent))
            .collect();
        let outage = Outage::default();
        let totals = Mutex::new(report);
        let work: Vec<_> = plans
            .into_iter()
            .filter_map(|plan| {
                Some((
                    agents.remove(&plan.agent_id)?,
                    bindings.remove(&plan.agent_id),
                    plan,
                ))
            })
            .collect();
        stream::iter(work)
            .for_each_concurrent(self.config.concurrency.max(1), |(agent, binding, plan)| {
                let (outage, totals) = (&outage, &totals);
                Box::pin(async move {
                    let outcome = match outage.reason() {
                        Some(reason) => AgentOutcome::failed(Step::NotTried, reason),
                        None => {
                            applier
                                .bring_home(&agent, binding, &plan.user_id, space, outage)
                                .await
                        }
                    };
                    let failed = outcome
                        .failure
                        .as_ref()
                        .map(|(step, error)| (*step, error.as_str()));
                    self.observer.agent_done(&agent.id, &agent.name, failed);
                    add(
                        &mut totals.lock().unwrap_or_else(PoisonError::into_inner),
                        &agent,
                        outcome,
                    );
                })
            })
            .await;
    }
}

fn add(report: &mut SyncReport, agent: &Agent, outcome: AgentOutcome) {
    report.users_created += usize::from(outcome.user_created);
    report.rooms_created += usize::from(outcome.room_created);
    report.renamed += usize::from(outcome.renamed);
    report.adopted += usize::from(outcome.adopted);
    if let Some((step, error)) = outcome.failure {
        report.failed.push(FailedAgent {
            agent_id: agent.id.clone(),
            agent_name: agent.name.clone(),
            step,
            error,
        });
    }
}
