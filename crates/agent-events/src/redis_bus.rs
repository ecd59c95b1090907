//! The bus on a Redis server.
//!
//! One stream holds the events: an entry's id is the event's, its field `event` is the event's JSON without `id`. The
//! state of an agent is a key that expires, and a set names the agents that have one. A publication writes all of that as
//! one transaction.
//!
//! One task of the process reads the stream into a [`Log`](crate::log::Log), from which all subscribers hear it. Those who
//! want to know what was before the process began read that from Redis first.

mod entry;
mod error;
mod link;
mod reader;
mod replay;
mod window;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use letta_client::AgentId;
use redis::{Client, Cmd, Pipeline};
use secrecy::{ExposeSecret, SecretString};
use store::Clock;
use tokio::{sync::watch, task::JoinHandle};

use self::{entry::Entry, link::Link, reader::Reader, replay::Replay, window::Window};
use crate::{
    AgentState, BusError, BusErrorKind, BusSettings, EventBus, EventDraft, EventId, Filter, LiveState,
    Subscription, log::Log,
};

/// How to use a Redis server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisSettings {
    /// How much is kept, and for how long. Every process on one prefix must have the same.
    pub bus: BusSettings,
    /// What the names of all keys begin with.
    pub prefix: String,
    /// How long a call may take.
    pub time_limit: Duration,
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            bus: BusSettings::default(),
            prefix: "letta-matrix:".to_owned(),
            time_limit: Duration::from_millis(500),
        }
    }
}

/// Carries events by way of a Redis server (7 or later, or Valkey), so that other programs and other instances share
/// them.
///
/// Begins without the server, and goes on when it comes back: meanwhile calls fail at once, and subscribers wait. What was
/// published while a connection was down is heard afterwards; if it is no longer there, everybody is told of a gap.
///
/// A gap is also told to whoever resumes exactly where the log begins, which cannot be told from a loss.
#[derive(Debug)]
pub struct RedisBus {
    keys: Keys,
    settings: RedisSettings,
    clock: Arc<dyn Clock>,
    link: Arc<Link>,
    log: Arc<Log>,
    /// Whether the reader knows where the stream is.
    is_ready: watch::Receiver<bool>,
    reader: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Keys {
    stream: String,
    agents: String,
    state: String,
}

impl Keys {
    fn new(prefix: &str) -> Self {
        Self {
            stream: format!("{prefix}events"),
            agents: format!("{prefix}agents-at-work"),
            state: format!("{prefix}state:"),
        }
    }

    fn state(&self, agent: &AgentId) -> String {
        format!("{}{agent}", self.state)
    }
}

fn client(url: &str) -> Result<Client, BusError> {
    // The cause is left out: it may quote the address, and with it the password.
    Client::open(url).map_err(|_| {
        BusError::new(
            BusErrorKind::Invalid,
            "the address of the Redis server must look like redis://[user:password@]host[:port][/database]; \
             encrypted connections are not supported",
        )
    })
}

impl RedisBus {
    /// Whether an address makes sense.
    ///
    /// # Errors
    /// `Invalid` if it does not. The error does not quote it.
    pub fn check(url: &str) -> Result<(), BusError> {
        client(url).map(drop)
    }

    /// A bus on the server at `url` (`redis://…` or `unix://…`). Connects in the background; needs a tokio runtime.
    ///
    /// # Errors
    /// `Invalid` if the address makes no sense.
    pub fn open(
        url: &SecretString,
        settings: RedisSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BusError> {
        let client = client(url.expose_secret())?;
        let keys = Keys::new(&settings.prefix);
        let log = Log::new(settings.bus.retained, EventId::ZERO);
        let link = Arc::new(Link::new(client.clone(), settings.time_limit));
        let (ready, is_ready) = watch::channel(false);
        let reader = Reader {
            client,
            window: Window::new(&keys.stream, settings.bus.retained),
            time_limit: settings.time_limit,
            log: Arc::clone(&log),
            link: Arc::clone(&link),
            ready,
            position: None,
        };
        Ok(Self {
            reader: tokio::spawn(reader.run()),
            keys,
            settings,
            clock,
            link,
            log,
            is_ready,
        })
    }

    fn check_open(&self) -> Result<(), BusError> {
        if self.log.is_closed() {
            return Err(BusError::closed());
        }
        Ok(())
    }

    async fn until_ready(&self) -> Result<(), BusError> {
        let mut is_ready = self.is_ready.clone();
        let wait = tokio::time::timeout(self.settings.time_limit, is_ready.wait_for(|ready| *ready));
        match wait.await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(BusError::new(
                BusErrorKind::Unavailable,
                "the Redis server has not been reached yet",
            )),
        }
    }

    fn window(&self) -> Window {
        Window::new(&self.keys.stream, self.settings.bus.retained)
    }

    /// What publishing an event writes.
    fn publication(&self, entry: &Entry) -> Result<Pipeline, BusError> {
        let state = LiveState {
            agent: entry.turn.agent.clone(),
            room_id: entry.turn.room_id.clone(),
            state: AgentState::after(&entry.kind),
            heard_at: entry.time,
        };
        let agent = &state.agent.id;
        let mut pipeline = redis::pipe();
        pipeline
            .atomic()
            .cmd("XADD")
            .arg(&self.keys.stream)
            .arg(&["MAXLEN", "~"])
            .arg(self.settings.bus.retained.get())
            .arg(&["*", entry::FIELD])
            .arg(entry.to_json()?);
        if state.state == AgentState::Idle {
            pipeline.cmd("DEL").arg(self.keys.state(agent)).ignore();
            pipeline
                .cmd("SREM")
                .arg(&self.keys.agents)
                .arg(agent.as_str())
                .ignore();
        } else {
            pipeline
                .cmd("SET")
                .arg(self.keys.state(agent))
                .arg(serde_json::to_string(&state).map_err(entry::unwritable)?)
                .arg("PX")
                .arg(millis(self.settings.bus.expiry.of(&state.state)))
                .ignore();
            // Never cleared but by an idle agent: it names each agent once, and a state that expired is skipped.
            pipeline
                .cmd("SADD")
                .arg(&self.keys.agents)
                .arg(agent.as_str())
                .ignore();
        }
        Ok(pipeline)
    }
}

#[async_trait]
impl EventBus for RedisBus {
    async fn publish(&self, draft: EventDraft) -> Result<EventId, BusError> {
        self.check_open()?;
        let pipeline = self.publication(&Entry::new(self.clock.now(), draft))?;
        let (id,): (String,) = self.link.run(&pipeline).await?;
        entry::parse_id(&id)
    }

    async fn subscribe(&self, after: Option<EventId>, filter: Filter) -> Result<Subscription, BusError> {
        self.check_open()?;
        self.until_ready().await?;
        let span = self.log.span();
        if let Some(after) = after
            && span.knows(after)
            && let Some(seat) = self.log.sit_after(after, span.epoch, &filter)
        {
            return Ok(Subscription::new(seat));
        }
        let mut replay = Replay::new(
            self.window(),
            Arc::clone(&self.link),
            Arc::clone(&self.log),
            span.epoch,
            filter,
        );
        match after {
            None => replay.begin_now().await?,
            Some(after) => replay.begin_after(after).await?,
        }
        Ok(replay.into_subscription())
    }

    async fn list_states(&self) -> Result<Vec<LiveState>, BusError> {
        self.check_open()?;
        let mut names = redis::pipe();
        names.add_command(Cmd::smembers(&self.keys.agents));
        let (mut agents,): (Vec<String>,) = self.link.run(&names).await?;
        if agents.is_empty() {
            return Ok(Vec::new());
        }
        agents.sort_unstable();
        let keys: Vec<String> = agents
            .iter()
            .map(|agent| self.keys.state(&AgentId::from(agent.as_str())))
            .collect();
        let mut values = redis::pipe();
        values.cmd("MGET").arg(keys);
        let (states,): (Vec<Option<String>>,) = self.link.run(&values).await?;
        // One that another version wrote so that we cannot read it is as good as none.
        let readable = states
            .iter()
            .flatten()
            .filter_map(|state| serde_json::from_str(state).ok());
        Ok(readable.collect())
    }

    async fn keep_state(&self, agent: &AgentId) -> Result<(), BusError> {
        self.check_open()?;
        let mut pipeline = redis::pipe();
        // Only to later: one that waits for a person is believed for longer anyway.
        pipeline
            .cmd("PEXPIRE")
            .arg(self.keys.state(agent))
            .arg(millis(self.settings.bus.expiry.working))
            .arg("GT");
        let (_,): (i64,) = self.link.run(&pipeline).await?;
        Ok(())
    }

    fn close(&self) {
        self.reader.abort();
        self.log.close();
        self.link.disconnect();
    }
}

impl Drop for RedisBus {
    fn drop(&mut self) {
        self.close();
    }
}

/// Redis wants at least one.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis())
        .unwrap_or(u64::MAX)
        .clamp(1, 1 << 53)
}
