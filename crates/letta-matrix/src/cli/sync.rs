//! `letta-matrix sync`: one reconciliation.

mod progress;
pub(super) mod report;

use std::{sync::Arc, time::Duration};

use agent_sync::{Plan, RunOptions};
use clap::Args;
use serde::Serialize;
use store::{MemoryStore, Store};

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
    /// Read every room from the homeserver and mend what is wrong, though the last time is not long ago
    #[arg(long)]
    check: bool,
    /// Put away the rooms of all agents that are gone, however many they are
    #[arg(long)]
    confirm_removals: bool,
    /// Print one JSON object for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

/// How long another instance is waited for: longer than a lease lasts.
const WAIT: Duration = Duration::from_secs(40);

pub(super) async fn run(args: &SyncArgs, global: &Global) -> Result<u8, Failure> {
    let values = global.values(args.settings.0.clone())?;
    let config = Config::from_values(&values)?;
    let options = RunOptions {
        check: args.check,
        confirm_removals: args.confirm_removals,
        wait: WAIT,
    };
    if args.dry_run {
        return dry_run(&config, options, args.json).await;
    }
    let stop = Stop::listen();
    let _lock = StateLock::take(&config.database)?;
    let state = compose::open_state(&config).await?;
    let bridge = compose::connect(&config, state.store())?;
    let progress = Arc::new(Progress::new(!global.quiet));
    let reconciler = bridge.reconciler().with_observer(progress.clone());
    let outcome = tokio::select! {
        outcome = reconciler.run(options) => Ok(outcome),
        code = stop.requested() => Err(code),
    };
    progress.finish();
    state.close().await;
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

async fn dry_run(config: &Config, options: RunOptions, as_json: bool) -> Result<u8, Failure> {
    let state = compose::look_at_state(config).await?;
    let store: Arc<dyn Store> = match &state {
        Some(state) => state.store(),
        None => Arc::new(MemoryStore::new()),
    };
    let plan = compose::connect(config, store)?.reconciler().plan(options).await;
    if let Some(state) = state {
        state.close().await;
    }
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
