//! The service: takes what came in, decides about it, and sees that all that is owed is delivered.

mod budget;
mod dispatch;
mod earlier;
mod engine;
mod rooms;
mod watch;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use accounts::Accounts;
use agent_events::EventBus;
use letta_client::LettaApi;
use matrix_client::MatrixApi;
use ruma::OwnedRoomId;
use store::{Clock, ConversationStore, Lease, StoreError};
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::engine::Engine;
use crate::{
    control::Operator, decision::Limits, rights::Rights, room::Own, settings::Defaults, ways_in::Inbox,
};

/// The name of the lease under which conversations are carried.
pub const LEASE: &str = "conversation";

/// How long the lease lasts unless renewed, and how often it is.
const LEASE_FOR: Duration = Duration::from_secs(30);
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// How often somebody who waits for the lease asks.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// How often it is looked whether somebody is to be told that they have to wait.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often old events are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60 * 60);

/// What conversations are made of.
#[derive(Debug, Clone)]
pub struct ConversationParts {
    /// Letta.
    pub letta: Arc<dyn LettaApi>,
    /// The homeserver.
    pub matrix: Arc<dyn MatrixApi>,
    /// The users that the bridge acts as.
    pub accounts: Arc<dyn Accounts>,
    /// The state.
    pub store: Arc<dyn ConversationStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What only the program around can do.
    pub operator: Arc<dyn Operator>,
    /// Those who watch what agents do.
    pub events: Arc<dyn EventBus>,
}

/// How conversations are carried.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConversationConfig {
    /// What the localparts of agents' users begin with.
    pub prefix: String,
    /// Who may do what.
    pub rights: Rights,
    /// How agents behave in rooms that say nothing about it.
    pub defaults: Defaults,
    /// What no message may exceed.
    pub limits: Limits,
    /// What no delivery may exceed.
    pub delivery: DeliveryLimits,
    /// The room in which admins speak with the bridge itself.
    pub admin_room: Option<OwnedRoomId>,
    /// The instance, among those that share the state.
    pub holder: String,
    /// How long events are remembered after they were dealt with.
    pub keep: Duration,
    /// How long deliveries have to come to an end when the service is stopped.
    pub drain: Duration,
}

impl ConversationConfig {
    /// The defaults: nobody may do anything.
    pub fn new(prefix: impl Into<String>, holder: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            rights: Rights::default(),
            defaults: Defaults::default(),
            limits: Limits::default(),
            delivery: DeliveryLimits::default(),
            admin_room: None,
            holder: holder.into(),
            keep: Duration::from_secs(30 * 24 * 60 * 60),
            drain: Duration::from_secs(10),
        }
    }
}

/// What no delivery may exceed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryLimits {
    /// How many messages may wait in one lane.
    pub max_waiting: usize,
    /// How many messages a person may send in a minute.
    pub per_sender: NonZeroU32,
    /// How many messages may be sent in a room in a minute.
    pub per_room: NonZeroU32,
    /// How many messages one agent may send another in ten minutes.
    pub per_pair: NonZeroU32,
    /// After how long the sender of a message that waits is told so.
    pub tell_after: Duration,
    /// How long Letta may be away before a message is given up.
    pub give_up_after: Duration,
    /// How long an agent may be busy with what others ask of it before a message is given up.
    pub busy_patience: Duration,
    /// How long a message may be on its way to Letta before nothing of it means that it never arrived.
    pub grace: Duration,
    /// After how long a run that nobody hears of counts as lost.
    pub run_patience: Duration,
    /// The largest image that an agent gets, in bytes.
    pub max_image_bytes: u64,
    /// The largest text file that an agent gets, in bytes.
    pub max_text_file_bytes: u64,
}

impl Default for DeliveryLimits {
    fn default() -> Self {
        Self {
            max_waiting: 50,
            per_sender: const { NonZeroU32::new(30).unwrap() },
            per_room: const { NonZeroU32::new(60).unwrap() },
            per_pair: const { NonZeroU32::new(20).unwrap() },
            tell_after: Duration::from_secs(5),
            give_up_after: Duration::from_secs(24 * 60 * 60),
            busy_patience: Duration::from_secs(15 * 60),
            grace: Duration::from_secs(10),
            run_patience: Duration::from_secs(5 * 60),
            max_image_bytes: 10 * 1024 * 1024,
            max_text_file_bytes: 256 * 1024,
        }
    }
}

/// Carries conversations. See the [crate's documentation](crate).
#[derive(Debug)]
pub struct Conversations {
    parts: ConversationParts,
    config: ConversationConfig,
    inbox: Arc<Inbox>,
}

/// Why conversations are no longer carried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConversationError {
    /// The state cannot be read back.
    #[error("the state of the conversations cannot be read")]
    Store(#[source] StoreError),
}

impl Conversations {
    /// A service of these parts, which is told of events by this inbox.
    #[must_use]
    pub fn new(parts: ConversationParts, config: ConversationConfig, inbox: Arc<Inbox>) -> Self {
        Self { parts, config, inbox }
    }

    /// Carries conversations until `stop` is ready. What is being delivered then has a moment to come to its end; what
    /// does not is gone on with at the next start.
    ///
    /// Of several instances that share a state one works, and the others wait for it to end.
    ///
    /// # Errors
    /// When what is in the store cannot be read back.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), ConversationError> {
        let mut stop = Box::pin(stop);
        loop {
            let lease = tokio::select! {
                () = &mut stop => return Ok(()),
                lease = self.wait_for_lease() => lease?,
            };
            let mut engine = tokio::select! {
                () = &mut stop => return Ok(()),
                engine = self.load(&lease) => engine?,
            };
            let is_stopped = self.work(&mut engine, &lease, &mut stop).await?;
            engine.end(self.config.drain, is_stopped).await;
            if is_stopped {
                if let Err(error) = self.parts.store.release_lease(&lease).await {
                    tracing::debug!(%error, "the lease could not be given back: it ends by itself");
                }
                return Ok(());
            }
        }
    }

    async fn wait_for_lease(&self) -> Result<Lease, ConversationError> {
        let (store, holder) = (&self.parts.store, &self.config.holder);
        let (mut is_told, mut is_failing) = (false, false);
        loop {
            let now = self.parts.clock.now();
            match store.acquire_lease(LEASE, holder, now, LEASE_FOR).await {
                Ok(Some(lease)) => return Ok(lease),
                Ok(None) if !is_told => {
                    is_told = true;
                    tracing::info!("another instance carries the messages: waiting for it to end");
                }
                Ok(None) => {}
                Err(error) if error.is_retryable() => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "the state cannot be reached: messages wait");
                    }
                }
                Err(error) => return Err(ConversationError::Store(error)),
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn load(&self, lease: &Lease) -> Result<Engine, ConversationError> {
        let mut is_failing = false;
        loop {
            let own = Own::new(self.parts.accounts.bot().to_owned(), self.config.prefix.clone());
            match Engine::load(&self.parts, &self.config, own, lease.clone()).await {
                Ok(engine) => return Ok(engine),
                Err(error) if error.is_retryable() => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "the state cannot be read: messages wait");
                    }
                    tokio::time::sleep(ASK_EVERY).await;
                }
                Err(error) => return Err(ConversationError::Store(error)),
            }
        }
    }

    /// Works until it is to stop (`true`), or the lease is lost.
    async fn work(
        &self,
        engine: &mut Engine,
        lease: &Lease,
        stop: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<bool, ConversationError> {
        let mut look = interval(LOOK_EVERY);
        let mut renew = interval(RENEW_EVERY);
        let mut forget = interval(FORGET_EVERY);
        for ticker in [&mut look, &mut renew, &mut forget] {
            ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut renewed_at = Instant::now();
        let mut is_overdue = false;
        engine.start_all();
        engine.dispatch().await?;
        loop {
            tokio::select! {
                () = &mut *stop => return Ok(true),
                () = self.inbox.news() => engine.dispatch().await?,
                Some(ended) = engine.ended() => {
                    if !engine.note_end(ended).await? {
                        return Ok(false);
                    }
                }
                _ = look.tick() => engine.look().await?,
                _ = renew.tick() => {
                    let now = self.parts.clock.now();
                    match self.parts.store.renew_lease(lease, now, LEASE_FOR).await {
                        Ok(Some(_)) => {
                            renewed_at = Instant::now();
                            is_overdue = false;
                        }
                        Ok(None) => {
                            tracing::warn!("another instance carries the messages now");
                            return Ok(false);
                        }
                        // Writes under it are still refused as soon as somebody else has it.
                        Err(error) if is_overdue || renewed_at.elapsed() < LEASE_FOR => {
                            tracing::debug!(%error, "the lease could not be renewed");
                        }
                        Err(error) => {
                            is_overdue = true;
                            tracing::warn!(%error, "the lease could not be renewed");
                        }
                    }
                }
                _ = forget.tick() => engine.forget(self.config.keep).await,
            }
        }
    }
}
