//! `letta-matrix sync`: one reconciliation.

mod progress;
mod report;

use std::sync::Arc;

use agent_sync::Plan;
use clap::Args;
use serde::Serialize;
use store::MemoryStore;

use self::progress::Progress;
use super::{Global, OK, SOME_FAILED, settings::SettingFlags};
use crate::{
    compose,
    config::Config,
    failure::{self, Failure},
    lock::StateLock,
    output::{to_stderr, to_stdout},
    signals::Stop,
};

/// Bring every agent home, once
///
/// A second run right after changes nothing. Exit code 0: all is well; 1: some agents failed, the next run tries them
/// again; 2: the run could not begin.
#[derive(Debug, Args)]
pub(super) struct SyncArgs {
    /// Say what would be done, and do nothing: no request to the homeserver, nothing written
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) async fn run(args: &SyncArgs, global: &Global) -> Result<u8, Failure> {
    let values = global.values(args.settings.0.clone())?;
    let config = Config::from_values(&values)?;
    if args.dry_run {
        return dry_run(&config, args.json).await;
    }
    let stop = Stop::listen();
    let _lock = StateLock::take(&config.database)?;
    let store = compose::open_state(&config).await?;
    let bridge = compose::connect(&config, Arc::new(store.clone()))?;
    let progress = Arc::new(Progress::new(!global.quiet));
    let reconciler = bridge.reconciler().with_observer(progress.clone());
    let outcome = tokio::select! {
        outcome = reconciler.run() => Ok(outcome),
        code = stop.requested() => Err(code),
    };
    progress.finish();
    store.close().await;
    match outcome {
        Ok(Ok(report)) => {
            to_stdout(&if args.json {
                json(&report)?
            } else {
                report::text(&report, &config)
            })?;
            Ok(if report.is_success() { OK } else { SOME_FAILED })
        }
        Ok(Err(error)) => Err(failure::of_sync(&error, &config)),
        Err(code) => {
            to_stderr("stopped: what was done is recorded, the next sync goes on from there");
            Ok(code)
        }
    }
}

async fn dry_run(config: &Config, as_json: bool) -> Result<u8, Failure> {
    let plan = if config.database.value.exists() {
        let store = compose::open_state(config).await?;
        let plan = compose::connect(config, Arc::new(store.clone()))?
            .reconciler()
            .plan()
            .await;
        store.close().await;
        plan
    } else {
        compose::connect(config, Arc::new(MemoryStore::new()))?
            .reconciler()
            .plan()
            .await
    };
    let plan: Plan = plan.map_err(|error| failure::of_sync(&error, config))?;
    to_stdout(&if as_json {
        json(&plan)?
    } else {
        report::plan_text(&plan)
    })?;
    Ok(OK)
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(format!("cannot write the result as JSON: {error}")))?;
    Ok(text + "\n")
}
