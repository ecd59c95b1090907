//! The command line.

mod doctor;
mod explain;
mod import;
mod init;
mod look;
mod prune;
mod run;
mod settings;
mod status;
mod sync;
mod upkeep;

use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

use clap::{ArgAction, Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::{
    config::{Sources, Values},
    demo,
    failure::Failure,
    fake,
    output::to_stderr,
};

/// All is well.
const OK: u8 = 0;
/// The command ran, and something in it failed.
const SOME_FAILED: u8 = 1;
/// The command could not run.
const COULD_NOT_RUN: u8 = 2;

/// Gives every Letta agent a home on Matrix: a user, a room, and a place in a space.
#[derive(Debug, Parser)]
#[command(
    name = "letta-matrix",
    version,
    arg_required_else_help = true,
    max_term_width = 110
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// The configuration file. Without it: what LETTA_MATRIX_CONFIG names, else ./letta-matrix.toml if there is one
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Log more, to the standard error; twice for everything. RUST_LOG, if set, counts instead
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Log errors only, and show no progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::InitArgs),
    Doctor(doctor::DoctorArgs),
    Sync(sync::SyncArgs),
    Run(run::RunArgs),
    Status(status::StatusArgs),
    Explain(explain::ExplainArgs),
    Import(import::ImportArgs),
    Prune(prune::PruneArgs),
    Demo(demo::DemoArgs),
    Fake(fake::FakeArgs),
}

/// Runs the program: reads the command line, does what it says, and answers with the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let log = match cli.command {
        Command::Run(_) => run::LOG,
        _ => "warn",
    };
    start_logging(&cli.global, log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            to_stderr(&format!("error: cannot start: {error}"));
            return ExitCode::from(COULD_NOT_RUN);
        }
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Init(args) => init::run(&args, &cli.global).map(|()| OK),
            Command::Doctor(args) => Box::pin(doctor::run(&args, &cli.global)).await,
            Command::Sync(args) => Box::pin(sync::run(&args, &cli.global)).await,
            Command::Run(args) => Box::pin(run::run(&args, &cli.global)).await,
            Command::Status(args) => status::run(&args, &cli.global).await,
            Command::Explain(args) => Box::pin(explain::run(&args, &cli.global)).await,
            Command::Import(args) => Box::pin(import::run(&args, &cli.global)).await,
            Command::Prune(args) => Box::pin(prune::run(&args, &cli.global)).await,
            Command::Demo(args) => Box::pin(demo::run(&args)).await.map(|()| OK),
            Command::Fake(args) => Box::pin(fake::run(&args)).await.map(|()| OK),
        }
    });
    // Whatever still reads from a terminal would keep the program from ending.
    runtime.shutdown_background();
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            to_stderr(&failure.to_string());
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

impl Global {
    /// Reads file and environment, and lays these settings of the command line over them.
    fn values(&self, flags: std::collections::HashMap<&'static str, String>) -> Result<Values, Failure> {
        let env = |name: &str| std::env::var_os(name);
        Ok(Values::read(&Sources {
            file: self.config.clone(),
            flags,
            env: &env,
        })?)
    }
}

fn start_logging(global: &Global, default: &str) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => default,
        (false, 1) => "info",
        (false, 2) => "debug,hyper=info,h2=info,rustls=info,reqwest=info,sqlx=info",
        (false, _) => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(global.verbose > 1)
        .init();
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
