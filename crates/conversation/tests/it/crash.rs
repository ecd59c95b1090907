//! Failing everywhere: every call of every scenario fails in every way, or is the last one the process makes; every
//! stream breaks behind each of its events. After that, everything must be as if nothing had happened.
//!
//! The positions are those that an undisturbed run records; nothing here lists them.

#![expect(clippy::print_stdout, reason = "how many cases ran is part of the result")]

mod ending;
mod faults;
mod load;
mod random;
mod scenarios;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use letta_client::fake::FakeLetta;
use store::MemoryStore;

use self::{
    ending::{Ending, differences},
    faults::{Disturbance, Site},
    scenarios::Scenario,
};
use crate::{faulty_store::FaultyStore, world::World};

/// After so long nobody shows as typing any more, whatever was lost.
const TYPING_ENDS: Duration = Duration::from_secs(31);

/// How often a position is looked for.
const TRIES: usize = 8;

/// More events no stream of a scenario has.
const MOST_EVENTS: usize = 80;

static CASES: AtomicUsize = AtomicUsize::new(0);

/// A world whose service reaches its store in a way that can fail.
pub struct Stage {
    pub world: World,
    pub store: Arc<FaultyStore>,
}

impl Stage {
    pub async fn new(letta: FakeLetta) -> Self {
        let inner = Arc::new(MemoryStore::new());
        let mut world = World::asleep(letta, inner.clone()).await;
        let store = Arc::new(FaultyStore::new(inner));
        world.service_store = store.clone();
        world.matrix.clear_journal();
        world.letta.clear_journal();
        Self { world, store }
    }
}

/// What a run without faults did, and where it came to.
struct Undisturbed {
    sites: Vec<Site>,
    letta_calls: usize,
    ending: Ending,
}

async fn undisturbed(scenario: &Scenario, redis: bool) -> Undisturbed {
    let mut stage = scenario.prepare(redis).await;
    stage.world.start();
    scenario.play(&stage.world).await;
    let letta_calls = stage.world.letta.calls().len();
    let sites = sites_of(&stage);
    let ending = come_to_an_end(&stage).await;
    assert_eq!(
        ending.answers(),
        scenario.answers,
        "{}: {ending:#?}",
        scenario.name
    );
    Undisturbed {
        sites,
        letta_calls,
        ending,
    }
}

/// Every call of the service.
fn sites_of(stage: &Stage) -> Vec<Site> {
    let mut sites = Vec::new();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut nth = |key: String| {
        let count = seen.entry(key).or_default();
        *count += 1;
        *count - 1
    };
    for call in stage.world.matrix.calls() {
        if call.user.as_ref() == Some(&stage.world.admin.user_id) {
            continue;
        }
        let nth = nth(format!("{} {:?}", call.method, call.user));
        sites.push(Site::Matrix(call.method, call.user.clone(), nth));
    }
    for call in stage.world.letta.calls() {
        sites.push(Site::Letta(call.method, nth(format!("letta {}", call.method))));
    }
    sites.extend((0..stage.store.calls()).map(Site::Store));
    sites
}

/// Once more the process is killed and comes back, with nothing left to do.
async fn come_to_an_end(stage: &Stage) -> Ending {
    stage.world.crash(|| {}).await;
    stage.world.settled().await;
    tokio::time::sleep(TYPING_ENDS).await;
    Ending::of(&stage.world).await
}

/// Plays a scenario with one thing that goes wrong. What is only a courtesy (how an answer grows) depends on which of
/// two things that happen at once is looked at first, so a call may be left out: then another try is made.
async fn disturbed(
    scenario: &Scenario,
    redis: bool,
    site: &Site,
    disturbance: &Disturbance,
) -> Option<Stage> {
    for _ in 0..TRIES {
        let mut stage = scenario.prepare(redis).await;
        if is_met(scenario, &mut stage, site, disturbance).await {
            return Some(stage);
        }
    }
    None
}

async fn is_met(scenario: &Scenario, stage: &mut Stage, site: &Site, disturbance: &Disturbance) -> bool {
    let standstill = disturbance.plan(stage, site);
    stage.world.start();
    let (world, store) = (&stage.world, stage.store.clone());
    let mut play = Box::pin(scenario.play(world));
    if disturbance.ends_the_process() {
        tokio::select! {
            biased;
            () = standstill.reached(&store) => {}
            () = &mut play => return false,
        }
        world.crash(|| drop(standstill)).await;
    }
    play.await;
    !store.has_fault() && world.matrix.unused_faults().is_empty() && world.letta.unused_faults().is_empty()
}

/// Runs a scenario once for every position and everything that can happen there.
async fn survives_everything(scenario: Scenario, redis: bool) {
    let undisturbed = undisturbed(&scenario, redis).await;
    assert!(!undisturbed.sites.is_empty());
    let mut cases = 0;
    let mut failures = Vec::new();
    let mut not_met = Vec::new();
    let only = std::env::var("LETTA_MATRIX_CRASH_CASE").ok();
    for site in &undisturbed.sites {
        for disturbance in Disturbance::of(site) {
            let what = format!("{}: {disturbance:?} at {site:?}", scenario.name);
            if only.as_ref().is_some_and(|only| !what.contains(only.as_str())) {
                continue;
            }
            let Some(stage) = disturbed(&scenario, redis, site, &disturbance).await else {
                not_met.push(what);
                continue;
            };
            cases += 1;
            let ending = come_to_an_end(&stage).await;
            let differences = differences(&undisturbed.ending, &ending);
            if !differences.is_empty() {
                failures.push(format!("{what}:\n  {}", differences.join("\n  ")));
            }
            // The last break is behind the last event.
            if let Disturbance::StreamBreaks(events) = disturbance
                && (stage.world.letta.calls().len() <= undisturbed.letta_calls || events == MOST_EVENTS)
            {
                break;
            }
        }
    }
    let all = CASES.fetch_add(cases, Ordering::SeqCst) + cases;
    println!(
        "crash matrix: {} cases at {} calls of {} {} Redis ({all} so far)",
        cases,
        undisturbed.sites.len(),
        scenario.name,
        if redis { "with" } else { "without" },
    );
    assert!(not_met.len() * 50 <= cases, "never met: {not_met:#?}");
    assert!(
        failures.is_empty(),
        "{} of {cases} cases came to another end than\n{:#?}\n{}",
        failures.len(),
        undisturbed.ending,
        failures.join("\n")
    );
}
