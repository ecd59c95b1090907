//! `letta-matrix run`: the service.

mod journal;
mod readers;
mod start;
mod state_watch;
#[cfg(unix)]
mod systemd;
#[cfg(not(unix))]
#[path = "run/no_systemd.rs"]
mod systemd;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use agent_sync::{NotSynced, Reason, ServiceConfig, SyncError, SyncService, Trigger};
use clap::Args;
use conversation::{
    ConversationError,
    ways_in::{Backoff, PingKeeper, SyncReader, SyncSettings},
};
use gateway::Gateway;
use store::SystemClock;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinError, JoinSet},
};

use self::{journal::Journal, state_watch::StateWatch};
use super::{Global, OK, settings::SettingFlags};
use crate::{
    compose::{self, Bridge, IntoInbox},
    config::{Config, Mode},
    failure::{self, Failure, plain},
    lock::StateLock,
    operator::Caretaker,
    signals::{self, Hangup, Stop},
};

/// Keep agents and Matrix in step and carry messages, as a service
///
/// Syncs at the start, by the clock, when a webhook asks for it, and on SIGHUP, which has every room read and mended.
/// What people write in agents' rooms goes to the agents, and their answers come back. Servers that are down are waited
/// for. It runs until it is told to stop (SIGTERM, Ctrl-C), with exit code 0; 2: it could not start, or can never sync
/// with these settings.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    settings: SettingFlags,
}

/// What is logged unless somebody wants more or less: what we do, and what others warn of. While the state is locked sqlx
/// warns of every single statement.
pub(super) const LOG: &str = "warn,letta_matrix=info,sqlx=error";

/// For how many intervals a sync may fail to come about before the service no longer counts as ready.
const READY_INTERVALS: u32 = 5;

/// It counts as ready for that long at least: a server that is restarted is no emergency.
const READY_AT_LEAST: Duration = Duration::from_secs(10 * 60);

pub(super) async fn run(args: &RunArgs, global: &Global) -> Result<u8, Failure> {
    let config = Arc::new(Config::from_values(&global.values(args.settings.0.clone())?)?);
    let (stop, hangup) = (Stop::listen(), Hangup::listen());
    signals::outlive_file_size_limit();
    let _lock = StateLock::take(&config.database)?;
    let listener = listen(&config).await?;
    let state = compose::open_state(&config).await?;
    let mut bridge = compose::connect(&config, state.store())?;
    bridge.share_events(&config)?;
    let ended = Box::pin(Service::start(&config, &bridge, listener)?.until(stop, hangup)).await;
    state.close().await;
    ended.map(|()| OK)
}

/// The port is taken before anything else is done: whoever runs the bridge twice is told at once.
async fn listen(config: &Config) -> Result<TcpListener, Failure> {
    let (address, setting) = (config.listen.value, config.listen.name());
    TcpListener::bind(address).await.map_err(|error| {
        Failure::new(format!("cannot listen at {address}: {}", plain(&error))).advice(format!(
            "Another program may be there, or another letta-matrix. The setting is {setting}."
        ))
    })
}

/// Everything that runs at once.
struct Service {
    config: Arc<Config>,
    trigger: Trigger,
    stop: watch::Sender<bool>,
    parts: JoinSet<Part>,
}

/// A part of the service that ended.
enum Part {
    Sync(Result<(), Arc<SyncError>>),
    Talk(Result<(), ConversationError>),
    /// One that cannot fail.
    Other,
}

impl Service {
    fn start(config: &Arc<Config>, bridge: &Bridge, listener: TcpListener) -> Result<Self, Failure> {
        let address = listener.local_addr()?;
        let clock = Arc::new(SystemClock);
        let timing = ServiceConfig {
            interval: config.interval,
            ..ServiceConfig::default()
        };
        let sync = SyncService::new(bridge.reconciler(), timing, clock.clone())
            .with_observer(Arc::new(Journal::new(config.clone())))
            .with_jitter(jitter);
        let (trigger, status) = (sync.trigger(), sync.status());
        let operator = Caretaker::new(bridge.parts().store.clone(), Some(trigger.clone()));
        let inbox = bridge.inbox();
        let talk = bridge.conversations(inbox.clone(), Arc::new(operator));

        let ready_within = READY_AT_LEAST.max(config.interval.saturating_mul(READY_INTERVALS));
        let state = StateWatch::new(config.clone(), bridge.parts().store.clone(), clock.clone());
        let mut gateway = Gateway::new(trigger.clone(), status.clone(), clock.clone())
            .with_ready_within(ready_within)
            .with_state(state.trouble())
            .with_events(Arc::new(IntoInbox(inbox.clone())));
        if let Mode::Appservice(mode) = &config.mode
            && let Some(token) = &mode.hs_token
        {
            gateway = gateway.with_hs_token(token.value.clone());
        }
        if let Some(secret) = &config.webhook_secret {
            gateway = gateway.with_webhook_secret(secret.value.clone());
        }
        start::tell(config, address);

        let stop = watch::Sender::new(false);
        let stopped = || told(stop.subscribe());
        let mut parts = JoinSet::new();
        let synced = stopped();
        parts.spawn(async move { Part::Sync(sync.run(synced).await) });
        let talked = stopped();
        parts.spawn(async move { Part::Talk(Box::pin(talk.run(talked)).await) });
        let (router, served) = (gateway::router(gateway), stopped());
        parts.spawn(async move {
            gateway::serve(listener, router, served).await;
            Part::Other
        });
        let watched = stopped();
        parts.spawn(async move {
            tokio::select! {
                () = watched => {}
                () = state.run() => {}
            }
            Part::Other
        });
        let matrix = bridge.parts().matrix.clone();
        let backoff = Backoff::new(|pause| pause.mul_f64(0.5 + jitter() / 2.0));
        match &config.mode {
            Mode::Appservice(mode) => {
                let (keeper, ended) = (PingKeeper::new(matrix, &mode.appservice, backoff), stopped());
                parts.spawn(async move {
                    keeper.run(ended).await;
                    Part::Other
                });
            }
            Mode::Accounts(_) => {
                let (users, readers) = watch::channel(BTreeSet::new());
                let store = bridge.parts().store.clone();
                let (watched, ended) = (stopped(), stopped());
                parts.spawn(async move {
                    tokio::select! {
                        () = watched => {}
                        () = readers::keep(users, status, store) => {}
                    }
                    Part::Other
                });
                let accounts = bridge.parts().accounts.clone();
                let reader =
                    SyncReader::new(matrix, accounts, inbox, clock, backoff, SyncSettings::default());
                parts.spawn(async move {
                    reader.run(readers, ended).await;
                    Part::Other
                });
            }
        }
        systemd::ready();
        Ok(Self {
            config: config.clone(),
            trigger,
            stop,
            parts,
        })
    }

    /// Runs until it is told to stop, or cannot go on.
    async fn until(mut self, stop: Stop, mut hangup: Hangup) -> Result<(), Failure> {
        let mut stopped = Box::pin(stop.requested());
        let mut result = Ok(());
        loop {
            tokio::select! {
                _ = &mut stopped => {
                    tracing::info!("told to stop");
                    break;
                }
                () = hangup.received() => self.check(),
                Some(ended) = self.parts.join_next() => {
                    result = self.of_part(ended);
                    break;
                }
            }
        }
        systemd::stopping();
        self.stop.send_replace(true);
        while let Some(ended) = self.parts.join_next().await {
            let ended = self.of_part(ended);
            result = result.and(ended);
        }
        result?;
        tracing::info!("stopped. What was done is recorded: the next start goes on from there");
        Ok(())
    }

    fn of_part(&self, ended: Result<Part, JoinError>) -> Result<(), Failure> {
        match ended {
            Ok(Part::Sync(Err(error))) => Err(failure::of_sync(&error, &self.config)),
            Ok(Part::Talk(Err(error))) => {
                Err(Failure::new("messages can no longer be carried").caused_by(&error))
            }
            Ok(Part::Sync(Ok(())) | Part::Talk(Ok(())) | Part::Other) => Ok(()),
            Err(error) => {
                Err(Failure::new("a part of the service ended by a mistake in the program").caused_by(&error))
            }
        }
    }

    /// Has every room read. What it did is told by the journal.
    fn check(&self) {
        tracing::info!("SIGHUP: every room is read from the homeserver and mended");
        let ticket = self.trigger.request_check(Reason::Signal);
        let config = self.config.clone();
        tokio::spawn(async move {
            match ticket.outcome().await {
                Ok(_) | Err(NotSynced::Stopped) => {}
                Err(error) => tracing::warn!(
                    "the rooms could not be read yet: {}. They are as soon as a sync comes about",
                    journal::reason(&error, &config)
                ),
            }
        });
    }
}

/// Ready when the service is to stop.
async fn told(mut stop: watch::Receiver<bool>) {
    // When the other end is gone, so is the service.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A number from 0 to 1.
fn jitter() -> f64 {
    // Without randomness several bridges only knock at the same time.
    getrandom::u32().map_or(0.0, |number| f64::from(number) / f64::from(u32::MAX))
}
