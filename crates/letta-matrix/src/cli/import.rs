//! `letta-matrix import`: takes over the users and rooms of the Python bridge.

mod report;

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use accounts::{AccountError, PasswordAccounts};
use agent_sync::{
    Action, ImportOptions, ImportReport, Mapping, PasswordKeeper, Plan, Reconciler, RunOptions, SkipReason,
    SpaceImport, parse_space_config,
};
use async_trait::async_trait;
use clap::Args;
use matrix_client::ruma::{OwnedRoomId, UserId};
use secrecy::SecretString;
use serde::Serialize;
use store::{MemoryStore, Store};

use super::{
    Global, OK, SOME_FAILED,
    settings::SettingFlags,
    upkeep::{failure_of, homeserver, json},
};
use crate::{
    compose,
    config::{Config, Mode},
    failure::{Failure, plain},
    lock::StateLock,
    output::{to_stderr, to_stdout},
    signals::Stop,
};

/// Take over the users and rooms of a Python bridge (oculairmedia/Letta-Matrix)
///
/// Stop that bridge first, and import before the first sync. Writes down which agent has which user and room, and changes
/// nothing on the homeserver; the next sync completes the rooms. Importing again changes nothing. Exit code 0: all was
/// taken over; 1: some was not; 2: the import could not begin.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The file agent_user_mappings.json of that bridge
    #[arg(value_name = "FILE")]
    mapping: PathBuf,
    /// The file letta_space_config.json of that bridge: take over its space as well
    #[arg(long, value_name = "FILE")]
    space: Option<PathBuf>,
    /// Say what would be taken over, and write nothing. Reads from the homeserver
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

/// How long another instance is waited for: longer than a lease lasts.
const WAIT: Duration = Duration::from_secs(40);

/// What is printed for programs. A documented, stable output.
#[derive(Debug, Serialize)]
struct Imported {
    #[serde(flatten)]
    report: ImportReport,
    dry_run: bool,
    /// `null` in a dry run, and when it cannot be told.
    next_sync: Option<NextSync>,
}

/// What the next sync will do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct NextSync {
    /// Rooms that it looks at and completes.
    rooms_to_complete: usize,
    /// Rooms that it makes.
    rooms_to_make: usize,
    /// Agents that Letta no longer lists.
    missing: usize,
}

/// Accounts that keep the passwords of the file.
#[derive(Debug)]
struct Keeper(PasswordAccounts);

#[async_trait]
impl PasswordKeeper for Keeper {
    async fn keep(&self, user: &UserId, password: &SecretString) -> Result<(), AccountError> {
        self.0.adopt(user, password).await
    }
}

pub(super) async fn run(args: &ImportArgs, global: &Global) -> Result<u8, Failure> {
    let values = global.values(args.settings.0.clone())?;
    let config = Config::from_values(&values)?;
    let mapping = read_mapping(&args.mapping)?;
    let space = args.space.as_deref().map(read_space).transpose()?;
    if args.dry_run {
        return dry_run(args, &config, &mapping, space.as_ref()).await;
    }
    let stop = Stop::listen();
    let _lock = StateLock::take(&config.database)?;
    let state = compose::open_state(&config).await?;
    let store = state.store();
    let reconciler = compose::connect(&config, store.clone())?.reconciler();
    let keeper = keeper(&config, store)?;
    let options = options(space.as_ref(), keeper.as_ref(), false);
    let outcome = tokio::select! {
        outcome = reconciler.import(&mapping, &options) => Ok(outcome),
        code = stop.requested() => Err(code),
    };
    let done = match outcome {
        Ok(Ok(report)) => {
            let next_sync = next_sync(&reconciler).await;
            tell(args, report, next_sync)
        }
        Ok(Err(error)) => Err(failure_of(&error, "import", &config)),
        Err(code) => {
            to_stderr("stopped: what was taken over is recorded, the next import goes on from there");
            Ok(code)
        }
    };
    state.close().await;
    done
}

async fn dry_run(
    args: &ImportArgs,
    config: &Config,
    mapping: &Mapping,
    space: Option<&OwnedRoomId>,
) -> Result<u8, Failure> {
    let state = compose::look_at_state(config).await?;
    let store: Arc<dyn Store> = match &state {
        Some(state) => state.store(),
        None => Arc::new(MemoryStore::new()),
    };
    let reconciler = compose::connect(config, store.clone())?.reconciler();
    let keeper = keeper(config, store)?;
    let options = options(space, keeper.as_ref(), true);
    let outcome = reconciler.import(mapping, &options).await;
    if let Some(state) = state {
        state.close().await;
    }
    let report = outcome.map_err(|error| failure_of(&error, "import", config))?;
    tell(args, report, None)
}

fn options<'a>(
    space: Option<&'a OwnedRoomId>,
    keeper: Option<&'a Keeper>,
    dry_run: bool,
) -> ImportOptions<'a> {
    ImportOptions {
        space,
        dry_run,
        wait: WAIT,
        passwords: keeper.map(|keeper| keeper as &dyn PasswordKeeper),
    }
}

/// An application service needs no passwords.
fn keeper(config: &Config, store: Arc<dyn Store>) -> Result<Option<Keeper>, Failure> {
    match &config.mode {
        Mode::Appservice(_) => Ok(None),
        Mode::Accounts(mode) => {
            let accounts = compose::password_accounts(mode, &homeserver(config)?, store);
            Ok(Some(Keeper(accounts)))
        }
    }
}

/// `None` when Letta cannot be asked, which is no failure of the import.
async fn next_sync(reconciler: &Reconciler) -> Option<NextSync> {
    match reconciler.plan(RunOptions::default()).await {
        Ok(plan) => Some(NextSync::of(&plan)),
        Err(error) => {
            tracing::info!(%error, "what the next sync will do cannot be told");
            None
        }
    }
}

impl NextSync {
    fn of(plan: &Plan) -> Self {
        let agents_that = |wanted: fn(&Action) -> bool| {
            let agents = plan.agents.iter();
            agents.filter(|agent| agent.actions.iter().any(wanted)).count()
        };
        Self {
            rooms_to_complete: agents_that(|action| matches!(action, Action::Inspect)),
            rooms_to_make: agents_that(|action| matches!(action, Action::CreateRoom { .. })),
            missing: plan.missing.len(),
        }
    }
}

fn tell(args: &ImportArgs, report: ImportReport, next_sync: Option<NextSync>) -> Result<u8, Failure> {
    // Where nothing was made there is nothing to miss.
    let all_taken_over = report
        .skipped
        .iter()
        .all(|skipped| skipped.reason == SkipReason::NothingMade)
        && !matches!(report.space, Some(SpaceImport::NotAdopted { .. }));
    let imported = Imported {
        report,
        dry_run: args.dry_run,
        next_sync,
    };
    to_stdout(&if args.json {
        json(&imported)?
    } else {
        report::text(&imported)
    })?;
    Ok(if all_taken_over { OK } else { SOME_FAILED })
}

/// Far more than a file with ten thousand agents has.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

fn read_mapping(path: &Path) -> Result<Mapping, Failure> {
    Mapping::parse(&read(path)?).map_err(|error| {
        Failure::new(format!("{} is no mapping of a Python bridge", path.display()))
            .because(error.to_string())
            .advice("It is the file agent_user_mappings.json in that bridge's MATRIX_DATA_DIR.")
    })
}

fn read_space(path: &Path) -> Result<OwnedRoomId, Failure> {
    parse_space_config(&read(path)?).map_err(|error| {
        Failure::new(format!("{} names no space of a Python bridge", path.display()))
            .because(error.to_string())
            .advice(
                "It is the file letta_space_config.json in that bridge's MATRIX_DATA_DIR. Without --space the next sync \
                 makes a space.",
            )
    })
}

fn read(path: &Path) -> Result<String, Failure> {
    let fail = |why: String| Failure::new(format!("cannot read {}", path.display())).because(why);
    if path.is_dir() {
        return Err(fail("it is a directory".to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| fail(plain(&error)))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(fail("it is larger than 64 MiB".to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| fail("it is not UTF-8".to_owned()))
}
