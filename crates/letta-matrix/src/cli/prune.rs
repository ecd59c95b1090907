//! `letta-matrix prune`: deletes for good what belonged to agents that are gone.

mod administrator;
mod report;

use std::{
    io::{BufRead as _, IsTerminal as _},
    time::Duration,
};

use agent_sync::{PruneOptions, PrunePlan, Reconciler, SyncError};
use clap::Args;
use jiff::{Span, SpanRelativeTo};
use letta_client::AgentId;
use matrix_client::MatrixErrorKind;
use serde::Serialize;

use self::administrator::LoggedIn;
use super::{
    Global, OK, SOME_FAILED,
    settings::SettingFlags,
    upkeep::{counted, failure_of, json},
};
use crate::{
    compose,
    config::Config,
    failure::Failure,
    lock::StateLock,
    output::{Out, to_stderr, to_stdout},
    signals::Stop,
};

/// Delete for good the rooms of agents that are gone
///
/// Only rooms that were archived, that are marked as the agent's, and whose agent Letta says at that moment not to know.
/// With MATRIX_ADMIN_USERNAME and MATRIX_ADMIN_PASSWORD, or MATRIX_ADMIN_TOKEN, of a Synapse administrator the homeserver
/// deletes them; without, the agent asks everybody out and leaves. The agents' users stay. Exit code 0: all is done; 1:
/// something failed; 2: nothing was begun.
#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Say what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Only rooms that were archived so long ago, such as 30d or 12h
    #[arg(long, value_name = "TIME", value_parser = time)]
    older_than: Option<Duration>,
    /// Also agents that Letta still has: hidden ones, and ones that the settings leave out
    #[arg(long)]
    include_excluded: bool,
    /// Print one JSON object for programs. Without a dry run it takes --yes
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

/// How long another instance is waited for: longer than a lease lasts.
const WAIT: Duration = Duration::from_secs(40);

/// The plan for programs. A documented, stable output.
#[derive(Debug, Serialize)]
struct DryRun<'a> {
    dry_run: bool,
    #[serde(flatten)]
    plan: &'a PrunePlan,
}

pub(super) async fn run(args: &PruneArgs, global: &Global) -> Result<u8, Failure> {
    let values = global.values(args.settings.0.clone())?;
    let config = Config::from_values(&values)?;
    let asks = !args.yes && !args.dry_run;
    if asks && (args.json || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal()) {
        return Err(
            Failure::new("prune deletes rooms for good, and there is no terminal to ask on")
                .advice("Look at `letta-matrix prune --dry-run`, then confirm with --yes."),
        );
    }
    let Some(state) = compose::look_at_state(&config).await? else {
        return Err(
            Failure::new(format!("there is no state yet in {}", config.database.value)).advice(format!(
                "Run `letta-matrix sync` first, or check {}.",
                config.database.name()
            )),
        );
    };
    let administrator = LoggedIn::from_values(&values, &config).await?;
    let options = PruneOptions {
        include_excluded: args.include_excluded,
        older_than: args.older_than.unwrap_or_default(),
        wait: WAIT,
        administrator: administrator.as_ref().map(LoggedIn::administrator),
    };
    let plan = match compose::connect(&config, state.store()) {
        Ok(bridge) => bridge
            .reconciler()
            .plan_prune(&options)
            .await
            .map_err(|error| plan_failure(&error, administrator.as_ref(), &config)),
        Err(failure) => Err(failure),
    };
    state.close().await;
    let done = match plan {
        Ok(plan) => act(args, &config, &options, &plan).await,
        Err(failure) => Err(failure),
    };
    if let Some(administrator) = administrator {
        administrator.log_out().await;
    }
    done
}

fn plan_failure(error: &SyncError, administrator: Option<&LoggedIn>, config: &Config) -> Failure {
    match (error, administrator) {
        (SyncError::Homeserver(cause), Some(administrator))
            if *cause.kind() == MatrixErrorKind::Forbidden =>
        {
            administrator.is_none(cause)
        }
        _ => failure_of(error, "prune", config),
    }
}

/// Tells, asks, and does it.
async fn act(
    args: &PruneArgs,
    config: &Config,
    options: &PruneOptions<'_>,
    plan: &PrunePlan,
) -> Result<u8, Failure> {
    let code = if plan.failed.is_empty() { OK } else { SOME_FAILED };
    if args.dry_run {
        to_stdout(&if args.json {
            json(&DryRun { dry_run: true, plan })?
        } else {
            report::plan(plan, options.administrator.is_some()) + "Nothing was deleted.\n"
        })?;
        return Ok(code);
    }
    if !args.json {
        to_stdout(&report::plan(plan, options.administrator.is_some()))?;
    }
    if plan.prunable.is_empty() && !args.json {
        return Ok(code);
    }
    if !args.yes && !is_confirmed(plan.prunable.len()).await? {
        to_stdout("Nothing was deleted.\n")?;
        return Ok(code);
    }
    let stop = Stop::listen();
    let _lock = StateLock::take(&config.database)?;
    let state = compose::open_state(config).await?;
    let reconciler = compose::connect(config, state.store())?.reconciler();
    let done = tokio::select! {
        done = delete(args, config, &reconciler, options, plan) => done,
        code = stop.requested() => {
            to_stderr("stopped: the next prune goes on from there");
            Ok(code)
        }
    };
    state.close().await;
    done
}

async fn delete(
    args: &PruneArgs,
    config: &Config,
    reconciler: &Reconciler,
    options: &PruneOptions<'_>,
    plan: &PrunePlan,
) -> Result<u8, Failure> {
    let agents: Vec<AgentId> = plan
        .prunable
        .iter()
        .map(|prunable| prunable.agent_id.clone())
        .collect();
    let mut report = reconciler
        .prune(&agents, options)
        .await
        .map_err(|error| failure_of(&error, "prune", config))?;
    // What the plan could not tell of, and what it keeps, belongs to the whole.
    report.failed.extend(plan.failed.iter().cloned());
    report.kept.extend(plan.kept.iter().cloned());
    to_stdout(&if args.json {
        json(&report)?
    } else {
        report::done(&report)
    })?;
    Ok(if report.failed.is_empty() { OK } else { SOME_FAILED })
}

/// Has the person type what is going to happen.
async fn is_confirmed(rooms: usize) -> Result<bool, Failure> {
    let expected = format!("delete {rooms}");
    Out::new(true).prompt(&format!(
        "This cannot be taken back. Type \"{expected}\" to delete {}: ",
        counted(rooms, "room", "rooms")
    ))?;
    let typed = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    match typed.await {
        Ok(Ok(line)) => Ok(line.trim() == expected),
        Ok(Err(error)) => Err(Failure::new("cannot read what you type").caused_by(&error)),
        Err(error) => Err(Failure::new("cannot read what you type").caused_by(&error)),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let unreadable = || "write a time such as 30d, 12h or 1d 12h".to_owned();
    let span: Span = text.trim().parse().map_err(|_| unreadable())?;
    span.to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| unreadable())?
        .try_into()
        .map_err(|_| unreadable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        const DAY: u64 = 24 * 60 * 60;
        for (text, seconds) in [
            ("30d", 30 * DAY),
            ("12h", DAY / 2),
            ("1d 12h", DAY * 3 / 2),
            ("2w", 14 * DAY),
        ] {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "30", "soon", "-3d", "1 month"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
