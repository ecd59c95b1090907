//! Failing everywhere: every call of every scenario fails in every way, or is the last one the process makes. After
//! that, clean runs must come to the very end to which an undisturbed run comes.
//!
//! The positions are those that an undisturbed run records; nothing here lists them.

#![expect(clippy::print_stdout, reason = "how many cases ran is part of the result")]

mod faults;
mod scenarios;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use agent_sync::{RunOptions, SyncError, SyncReport};
use serde_json::Value;

use self::{
    faults::{Disturbance, Site},
    scenarios::Scenario,
};
use crate::{
    normal_form::{differences, normal_form},
    world::World,
};

/// After so many clean runs everything must be as if nothing had happened.
const CLEAN_RUNS: usize = 3;

static CASES: AtomicUsize = AtomicUsize::new(0);

/// What a run without faults did, and where it came to.
struct Undisturbed {
    sites: Vec<Site>,
    end: Value,
}

async fn undisturbed(scenario: &Scenario) -> Undisturbed {
    let world = scenario.prepare().await;
    let store_calls = world.store.calls();
    let report = world.sync().await;
    assert!(report.is_success(), "{}: {report:#?}", scenario.name);
    let mut sites = Vec::new();
    let mut seen: BTreeMap<(bool, &str), u32> = BTreeMap::new();
    let mut nth = |is_letta: bool, method: &'static str| {
        let count = seen.entry((is_letta, method)).or_default();
        *count += 1;
        *count - 1
    };
    for call in world.matrix.calls() {
        sites.push(Site::Matrix(call.method, nth(false, call.method)));
    }
    for call in world.letta.calls() {
        sites.push(Site::Letta(call.method, nth(true, call.method)));
    }
    sites.extend((0..world.store.calls() - store_calls).map(Site::Store));
    settle(&world, scenario.name).await;
    let end = normal_form(&world).await;
    // What the store says is true: reading every room finds nothing to mend.
    let report = world.check_well().await;
    assert_eq!((report.repaired, report.renamed), (0, 0), "{}", scenario.name);
    let read_again = normal_form(&world).await;
    assert_eq!(differences(&end, &read_again), [""; 0], "{}", scenario.name);
    Undisturbed { sites, end }
}

/// Clean runs until nothing is left to do.
async fn settle(world: &World, what: &str) {
    let mut last = None;
    for _ in 0..CLEAN_RUNS {
        match world.try_sync().await {
            Ok(report) if report.is_success() => {
                last = None;
                break;
            }
            outcome => last = Some(outcome),
        }
    }
    assert!(last.is_none(), "{what}: still {last:#?}");
    let writes = world.store.writes();
    let report = world.try_sync().await;
    let report = report.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(report.is_success(), "{what}: {report:#?}");
    assert_eq!(
        (report.requests.matrix, world.store.writes() - writes),
        (0, 0),
        "{what}: a run with nothing to do is quiet"
    );
    world.matrix.assert_invariants();
}

/// One run with one fault.
async fn disturb(world: &World, site: Site, disturbance: &Disturbance, what: &str) {
    let hold = disturbance.plan(world, site);
    if !disturbance.ends_the_process() {
        let outcome = world.try_sync().await;
        assert_failures_say_why(&outcome, what);
        assert!(!world.store.has_fault(), "{what}: the store was not asked");
        world.matrix.assert_faults_used();
        world.letta.assert_faults_used();
        return;
    }
    let reconciler = world.reconciler();
    let mut run = tokio::spawn(async move { reconciler.run(RunOptions::default()).await });
    tokio::select! {
        () = hold.reached(world) => {}
        outcome = &mut run => panic!("{what}: never came to it: {outcome:?}"),
    }
    if *disturbance == Disturbance::Stalled {
        // Taken for dead, it goes on after another run did its work.
        world.try_sync().await.ok();
        hold.release();
        match run.await.unwrap() {
            Ok(_) | Err(SyncError::Superseded) => {}
            Err(error) => panic!("{what}: {error}"),
        }
    } else {
        run.abort();
        assert!(run.await.unwrap_err().is_cancelled());
        hold.release();
    }
}

fn assert_failures_say_why(outcome: &Result<SyncReport, SyncError>, what: &str) {
    match outcome {
        Ok(report) => {
            for failed in &report.failed {
                assert!(!failed.error.is_empty(), "{what}: a failure says why");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty(), "{what}: a failure says why"),
    }
}

/// Runs a scenario once for every position and everything that can happen there.
async fn survives_everything(scenario: Scenario) {
    let undisturbed = undisturbed(&scenario).await;
    assert!(!undisturbed.sites.is_empty());
    let mut cases = 0;
    let mut failures = Vec::new();
    for site in &undisturbed.sites {
        for disturbance in Disturbance::of(*site) {
            let what = format!("{}: {disturbance:?} at {site:?}", scenario.name);
            let world = scenario.prepare().await;
            disturb(&world, *site, &disturbance, &what).await;
            settle(&world, &what).await;
            if disturbance == Disturbance::Stalled {
                // What woke up late may have done harm that the store does not know of. The next check mends it.
                let report = world.check_well().await;
                assert_eq!(report.rooms_created, 0, "{what}");
            }
            let end = normal_form(&world).await;
            let differences = differences(&undisturbed.end, &end);
            if !differences.is_empty() {
                failures.push(format!("{what}:\n  {}", differences.join("\n  ")));
            }
            cases += 1;
        }
    }
    let all = CASES.fetch_add(cases, Ordering::SeqCst) + cases;
    println!(
        "crash matrix: {} cases at {} calls of {} ({all} so far)",
        cases,
        undisturbed.sites.len(),
        scenario.name
    );
    assert!(
        failures.is_empty(),
        "{} of {cases} cases came to another end:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
