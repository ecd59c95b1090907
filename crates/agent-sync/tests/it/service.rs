//! Runs that never end, on a clock that the tests hold.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use agent_sync::{
    NotSynced, Phase, Reason, ServiceConfig, ServiceEvent, ServiceObserver, ServiceStatus, Step, SyncError,
    SyncObserver, SyncService, Trigger,
};
use letta_client::{AgentId, LettaApi, LettaErrorKind, fake::Fault as LettaFault};
use matrix_client::{MatrixErrorKind, fake::Fault};
use store::LeaseStore;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::Instant,
};

use crate::{support::NOON, world::World};

const INTERVAL: Duration = Duration::from_secs(60);

/// A service at work on a world.
struct Running {
    trigger: Trigger,
    status: watch::Receiver<ServiceStatus>,
    runs: Arc<Runs>,
    told: Arc<ToldOf>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), Arc<SyncError>>>,
}

impl Running {
    fn start(world: &World) -> Self {
        Self::start_with(world, Arc::default())
    }

    fn start_with(world: &World, runs: Arc<Runs>) -> Self {
        let told: Arc<ToldOf> = Arc::default();
        let service = SyncService::new(
            world.reconciler().with_observer(runs.clone()),
            ServiceConfig::default(),
            world.clock.clone(),
        )
        .with_observer(told.clone());
        let (stop, stopped) = oneshot::channel();
        Self {
            trigger: service.trigger(),
            status: service.status(),
            runs,
            told,
            stop: Some(stop),
            task: tokio::spawn(service.run(async {
                let _ = stopped.await;
            })),
        }
    }

    fn stop(&mut self) {
        drop(self.stop.take());
    }

    async fn ended(self) -> Result<(), Arc<SyncError>> {
        self.task.await.unwrap()
    }

    /// Waits until the status is like this.
    async fn until(&mut self, is: impl FnMut(&ServiceStatus) -> bool) -> ServiceStatus {
        self.status.wait_for(is).await.unwrap().clone()
    }

    async fn until_completed(&mut self) -> ServiceStatus {
        self.until(|status| status.completed_at.is_some() && status.phase == Phase::Waiting)
            .await
    }

    async fn until_failures(&mut self, failures: u32) -> ServiceStatus {
        self.until(|status| {
            let outage = status.outage.as_ref();
            outage.is_some_and(|outage| outage.failures >= failures)
        })
        .await
    }
}

/// Counts the runs that got as far as a plan.
#[derive(Default)]
struct Runs {
    planned: AtomicU32,
    at: Mutex<Vec<Instant>>,
    panics: AtomicBool,
}

impl Runs {
    fn count(&self) -> u32 {
        self.planned.load(Ordering::SeqCst)
    }

    /// The waits between the runs, in seconds.
    fn waits(&self) -> Vec<u64> {
        let at = self.at.lock().unwrap();
        at.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect()
    }
}

impl SyncObserver for Runs {
    fn planned(&self, _agents: usize, _to_do: usize) {
        self.planned.fetch_add(1, Ordering::SeqCst);
        self.at.lock().unwrap().push(Instant::now());
        assert!(!self.panics.load(Ordering::SeqCst), "as planned");
    }

    fn agent_done(&self, _agent: &AgentId, _name: &str, _failed: Option<(Step, &str)>) {}
}

/// Keeps in short what was told.
#[derive(Debug, Default)]
struct ToldOf(Mutex<Vec<String>>);

impl ToldOf {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl ServiceObserver for ToldOf {
    fn notice(&self, event: &ServiceEvent<'_>) {
        self.0.lock().unwrap().push(match event {
            ServiceEvent::Synced {
                report,
                news,
                reasons,
            } => {
                let reasons: Vec<_> = reasons.iter().map(ToString::to_string).collect();
                format!(
                    "synced for [{}]: first {}, {} rooms, {} renamed, {} failed, {} mended, {} missing",
                    reasons.join(", "),
                    news.first,
                    report.rooms_created,
                    report.renamed,
                    news.failed.len(),
                    news.mended.len(),
                    news.missing.len(),
                )
            }
            ServiceEvent::Failing { error, retry_in } => format!("failing: {error}, again in {retry_in:?}"),
            ServiceEvent::Recovered { failures, .. } => format!("recovered after {failures}"),
            ServiceEvent::SetAside { error } => format!("set aside: {error}"),
            ServiceEvent::CutOff => "cut off".to_owned(),
            other => format!("{other:?}"),
        });
    }
}

const FIRST: &str = "synced for []: first true, 3 rooms, 0 renamed, 0 failed, 0 mended, 0 missing";

fn letta_is_down() -> LettaFault {
    LettaFault::on("list_agents").fail(LettaErrorKind::Connect)
}

#[tokio::test(start_paused = true)]
async fn agents_come_home_at_the_start_and_new_ones_with_the_clock() {
    let world = World::new();
    let began = Instant::now();
    let mut service = Running::start(&world);
    let status = service.until_completed().await;
    assert_eq!(
        (began.elapsed(), status.report.unwrap().rooms_created),
        (Duration::ZERO, 3)
    );
    world.assert_home().await;

    world.letta.add_agent("agent-004", "Agent Delta");
    let status = service
        .until(|status| status.report.as_ref().is_some_and(|report| report.agents == 4))
        .await;
    assert_eq!(
        (began.elapsed(), status.report.unwrap().rooms_created),
        (INTERVAL, 1)
    );
    world.assert_home().await;
    service.stop();
    service.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_changes_is_a_run_each_minute_and_nothing_to_tell() {
    let world = World::new();
    let mut service = Running::start(&world);
    service.until_completed().await;
    let requests = world.matrix.call_count();
    tokio::time::sleep(60 * INTERVAL + Duration::from_secs(1)).await;
    assert_eq!(service.runs.count(), 61);
    assert!(service.runs.waits().iter().all(|wait| *wait == 60));
    assert_eq!(world.matrix.call_count(), requests, "the homeserver is not asked");
    assert_eq!(service.told.all(), [FIRST]);
    service.stop();
    service.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hundred_requests_during_a_run_lead_to_one_further_run_and_all_hear_of_it() {
    let world = World::new();
    let (fault, hold) = LettaFault::on("list_agents").hold();
    world.letta.plan(fault);
    let mut service = Running::start(&world);
    hold.reached().await;

    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let trigger = service.trigger.clone();
            tokio::spawn(async move { trigger.request(Reason::Webhook).outcome().await })
        })
        .collect();
    tokio::task::yield_now().await;
    // Whoever waits is answered by the run that began after the request.
    world.letta.add_agent("agent-004", "Agent Delta");
    let late = service.trigger.request(Reason::Person);
    hold.release();
    let report = late.outcome().await.unwrap();
    assert_eq!(report.agents, 4);
    for waiter in waiting {
        let heard = waiter.await.unwrap().unwrap();
        assert!(Arc::ptr_eq(&heard, &report), "the same run answers everybody");
    }
    assert_eq!(service.runs.count(), 2);
    tokio::time::sleep(INTERVAL - Duration::from_secs(1)).await;
    assert_eq!(service.runs.count(), 2, "no other run before its time");
    service.stop();
    service.until(|status| status.phase == Phase::Stopped).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_before_a_run_begins_is_answered_by_that_run() {
    let world = World::new();
    let runs: Arc<Runs> = Arc::default();
    let service = SyncService::new(
        world.reconciler().with_observer(runs.clone()),
        ServiceConfig::default(),
        world.clock.clone(),
    );
    let trigger = service.trigger();
    let tickets: Vec<_> = (0..3).map(|_| trigger.request(Reason::Webhook)).collect();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(service.run(async {
        let _ = stopped.await;
    }));
    for ticket in tickets {
        assert_eq!(ticket.outcome().await.unwrap().rooms_created, 3);
    }
    assert_eq!(runs.count(), 1);
    drop(stop);
    task.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_between_two_runs_does_not_wait_for_the_clock() {
    let world = World::new();
    let mut service = Running::start(&world);
    service.until_completed().await;
    let began = Instant::now();
    world.letta.add_agent("agent-004", "Agent Delta");
    let report = service.trigger.request(Reason::Webhook).outcome().await.unwrap();
    assert_eq!((began.elapsed(), report.rooms_created), (Duration::ZERO, 1));
    // The clock counts from the end of that run.
    tokio::time::sleep(INTERVAL + Duration::from_secs(1)).await;
    assert_eq!(service.runs.count(), 3);
    assert_eq!(
        service.told.all()[1],
        "synced for [a webhook]: first false, 1 rooms, 0 renamed, 0 failed, 0 mended, 0 missing"
    );
}

#[tokio::test(start_paused = true)]
async fn a_check_that_was_asked_for_reads_every_room() {
    let world = World::new();
    let mut service = Running::start(&world);
    service.until_completed().await;
    let before = world.matrix.call_count();
    service.trigger.request(Reason::Signal).outcome().await.unwrap();
    assert_eq!(world.matrix.call_count(), before);
    service
        .trigger
        .request_check(Reason::Signal)
        .outcome()
        .await
        .unwrap();
    assert!(world.matrix.call_count() > before, "the homeserver is asked");
    let after = world.matrix.call_count();
    service.trigger.request(Reason::Signal).outcome().await.unwrap();
    assert_eq!(world.matrix.call_count(), after, "one check is enough");
    assert_eq!(
        service.told.all()[1..],
        ["synced for [a signal]: first false, 0 rooms, 0 renamed, 0 failed, 0 mended, 0 missing"; 3],
        "who asks by hand hears of it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_check_that_could_not_be_made_is_made_up_for() {
    let world = World::new();
    let mut service = Running::start(&world);
    service.until_completed().await;
    let before = world.matrix.call_count();
    world.letta.plan(letta_is_down());
    let failed = service.trigger.request_check(Reason::Signal).outcome().await;
    assert!(matches!(failed, Err(NotSynced::Failed(_))), "{failed:?}");
    assert_eq!(world.matrix.call_count(), before);
    service.until(|status| status.outage.is_none()).await;
    assert!(world.matrix.call_count() > before, "the next run is the check");
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_after_ever_longer_waits_and_told_once() {
    let world = World::new();
    world.letta.plan(letta_is_down().times(12));
    let mut service = Running::start(&world);
    let mut waits = Vec::new();
    let mut last = Instant::now();
    for failures in 1..=12 {
        let status = service.until_failures(failures).await;
        assert_eq!(status.outage.unwrap().since, NOON);
        waits.push(last.elapsed().as_secs());
        last = Instant::now();
    }
    assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    service.until_completed().await;
    assert_eq!(last.elapsed().as_secs(), 300);
    assert_eq!(
        service.told.all(),
        [
            "failing: cannot list the agents of Letta, again in 1s",
            "recovered after 12",
            FIRST
        ]
    );
    world.assert_home().await;
    // Afterwards all is as before.
    tokio::time::sleep(2 * INTERVAL + Duration::from_secs(1)).await;
    assert_eq!(service.runs.waits(), [60, 60]);
}

#[tokio::test(start_paused = true)]
async fn a_request_during_an_outage_is_tried_at_once_and_the_waits_begin_anew() {
    let world = World::new();
    world.letta.plan(letta_is_down().times(9));
    let mut service = Running::start(&world);
    service.until_failures(7).await;
    let asked = Instant::now();
    let outcome = service.trigger.request(Reason::Webhook).outcome().await;
    let error = outcome.unwrap_err();
    assert_eq!(
        (asked.elapsed(), error.to_string().as_str()),
        (Duration::ZERO, "cannot list the agents of Letta")
    );
    service.until_failures(9).await;
    assert_eq!(asked.elapsed(), Duration::from_secs(1));
    service.until_completed().await;
    assert_eq!(asked.elapsed(), Duration::from_secs(3));
    assert_eq!(service.told.all().len(), 3, "{:?}", service.told.all());
}

#[tokio::test(start_paused = true)]
async fn an_outage_for_another_reason_is_told_and_the_same_reason_not_again() {
    let world = World::new();
    for kind in [
        LettaErrorKind::Connect,
        LettaErrorKind::Unauthorized,
        LettaErrorKind::Connect,
        LettaErrorKind::Unauthorized,
    ] {
        world.letta.plan(LettaFault::on("list_agents").fail(kind));
    }
    let mut service = Running::start(&world);
    service.until_completed().await;
    assert_eq!(
        service.told.all(),
        [
            "failing: cannot list the agents of Letta, again in 1s",
            "failing: cannot list the agents of Letta, again in 2s",
            "recovered after 4",
            FIRST
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_homeserver_that_is_down_at_first_is_waited_for() {
    let world = World::new();
    world
        .matrix
        .plan(Fault::on("create_room").fail(MatrixErrorKind::Connect).times(3));
    let mut service = Running::start(&world);
    service.until_completed().await;
    assert_eq!(
        service.told.all(),
        [
            "failing: cannot make the space of the agents, again in 1s",
            "recovered after 3",
            FIRST
        ]
    );
    world.assert_home().await;
}

#[tokio::test(start_paused = true)]
async fn agents_that_fail_for_an_hour_are_told_of_when_it_begins_and_when_it_ends() {
    let world = World::new();
    let mut service = Running::start(&world);
    service.until_completed().await;
    world.letta.add_agent("agent-004", "Agent Delta");
    world.letta.add_agent("agent-005", "Agent Epsilon");
    world
        .matrix
        .plan(Fault::on("register").fail(MatrixErrorKind::Connect).times(60));
    tokio::time::sleep(Duration::from_secs(2 * 60 * 60)).await;
    world.matrix.assert_faults_used();
    world.assert_home().await;
    let told = service.told.all();
    assert_eq!(
        told,
        [
            FIRST,
            "synced for []: first false, 0 rooms, 0 renamed, 2 failed, 0 mended, 0 missing",
            "synced for []: first false, 2 rooms, 0 renamed, 0 failed, 2 mended, 0 missing",
        ]
    );
    assert!(
        service.runs.waits().iter().all(|wait| *wait == 60),
        "new agents are looked for all the same"
    );
}

#[tokio::test(start_paused = true)]
async fn agents_that_are_gone_are_told_of_once() {
    let world = World::new();
    let mut service = Running::start(&world);
    service.until_completed().await;
    world
        .letta
        .delete_agent(&AgentId::new("agent-002"))
        .await
        .unwrap();
    tokio::time::sleep(10 * INTERVAL).await;
    assert_eq!(
        service.told.all(),
        [
            FIRST,
            "synced for []: first false, 0 rooms, 0 renamed, 0 failed, 0 mended, 1 missing"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_the_run_and_not_the_service() {
    let world = World::new();
    let runs: Arc<Runs> = Arc::default();
    runs.panics.store(true, Ordering::SeqCst);
    let mut service = Running::start_with(&world, runs.clone());
    let outcome = service.trigger.request(Reason::Person).outcome().await;
    assert_eq!(
        outcome.unwrap_err().to_string(),
        "the sync ended by a mistake in the program: as planned"
    );
    service.until_failures(3).await;
    runs.panics.store(false, Ordering::SeqCst);
    service.until_completed().await;
    world.assert_home().await;
    let told = service.told.all();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[0].starts_with("failing: the sync ended by a mistake"),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_state_of_another_homeserver_ends_the_service() {
    let mut world = World::new();
    world.sync_well().await;
    world.config.server_name = "elsewhere.test".try_into().unwrap();
    let service = Running::start(&world);
    let (status, trigger) = (service.status.clone(), service.trigger.clone());
    let error = service.ended().await.unwrap_err();
    assert!(matches!(*error, SyncError::OtherServer { .. }), "{error:?}");
    assert_eq!(status.borrow().phase, Phase::Stopped);
    assert!(matches!(
        trigger.request(Reason::Person).outcome().await,
        Err(NotSynced::Stopped)
    ));
}

#[tokio::test(start_paused = true)]
async fn stopping_lets_a_run_end_that_does_not_take_long() {
    let world = World::new();
    let (fault, hold) = Fault::on("create_room").skip(1).hold();
    world.matrix.plan(fault);
    let mut service = Running::start(&world);
    hold.reached().await;
    let ticket = service.trigger.request(Reason::Person);
    service.stop();
    tokio::time::sleep(Duration::from_secs(2)).await;
    hold.release();
    let told = service.told.clone();
    service.ended().await.unwrap();
    assert_eq!(told.all(), [FIRST]);
    world.assert_home().await;
    assert!(
        matches!(ticket.outcome().await, Err(NotSynced::Stopped)),
        "no further run was begun"
    );
}

#[tokio::test(start_paused = true)]
async fn stopping_cuts_a_long_run_off_and_a_new_service_finishes_the_job() {
    for skipped in 0..4 {
        let world = World::new();
        let (fault, hold) = Fault::on("create_room").skip(skipped).hold();
        world.matrix.plan(fault);
        let mut service = Running::start(&world);
        hold.reached().await;
        let stopped = Instant::now();
        service.stop();
        let told = service.told.clone();
        service.ended().await.unwrap();
        assert_eq!(stopped.elapsed(), ServiceConfig::default().grace);
        assert_eq!(told.all(), ["cut off"]);
        // The homeserver goes on with what it was told.
        hold.release();

        let mut service = Running::start(&world);
        let report = service.until_completed().await.report.unwrap();
        assert!(report.is_success(), "{report:?}");
        world.assert_home().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_dropped_leaves_nobody_waiting() {
    let world = World::new();
    let (fault, hold) = LettaFault::on("list_agents").hold();
    world.letta.plan(fault);
    let mut service = Running::start(&world);
    hold.reached().await;
    let going = service.trigger.request(Reason::Person);
    service.task.abort();
    assert!(matches!(going.outcome().await, Err(NotSynced::Stopped)));
    service.until(|status| status.phase == Phase::Stopped).await;
}

#[tokio::test(start_paused = true)]
async fn while_another_instance_works_the_clock_is_followed_and_a_request_waits_for_it() {
    let world = World::new();
    let other = |ttl| world.store.acquire_lease("sync", "other", NOON, ttl);
    let lease = other(Duration::from_secs(30)).await.unwrap().unwrap();
    let mut service = Running::start(&world);
    tokio::time::sleep(5 * INTERVAL + Duration::from_secs(1)).await;
    assert_eq!(
        service.told.all(),
        ["set aside: another instance (other) is syncing with the same state"]
    );
    assert!(service.status.borrow().outage.is_none(), "that is no outage");

    let ticket = service.trigger.request(Reason::Webhook);
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.store.release_lease(&lease).await.unwrap();
    assert_eq!(ticket.outcome().await.unwrap().rooms_created, 3);
    service.until_completed().await;
    world.assert_home().await;
}
