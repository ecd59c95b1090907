//! Reads the stream for all subscribers of the process.

use std::{sync::Arc, time::Duration};

use redis::{Client, aio::MultiplexedConnection, streams::StreamReadReply};
use tokio::sync::watch;

use super::{
    entry,
    error::from_redis,
    link::{Link, connect},
    window::{Fit, PAGE, Window},
};
use crate::{BusError, EventId, log::Log};

/// How long Redis holds back an answer when there is nothing new.
const BLOCK: Duration = Duration::from_secs(2);

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Reader {
    pub(super) client: Client,
    pub(super) window: Window,
    pub(super) time_limit: Duration,
    pub(super) log: Arc<Log>,
    pub(super) link: Arc<Link>,
    pub(super) ready: watch::Sender<bool>,
    /// The last entry that was read; `None` before the first connection.
    pub(super) position: Option<EventId>,
}

impl Reader {
    pub(super) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        let mut is_down = false;
        loop {
            let error = match self.arrive().await {
                Ok(connection) => {
                    if std::mem::take(&mut is_down) {
                        tracing::info!("live events are heard from Redis again");
                    }
                    pause = FIRST_PAUSE;
                    self.follow(connection).await
                }
                Err(error) => error,
            };
            if !std::mem::replace(&mut is_down, true) {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "live events are not heard from Redis, trying again");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Connects, and reads what came since the last connection.
    async fn arrive(&mut self) -> Result<MultiplexedConnection, BusError> {
        let mut connection = connect(&self.client, self.time_limit, BLOCK + self.time_limit).await?;
        if self.position.is_none() {
            let answer = self
                .window
                .ask_last()
                .query_async(&mut connection)
                .await
                .map_err(from_redis)?;
            let last = Window::last(&answer)?;
            self.log.begin_anew(last, None);
            self.position = Some(last);
        }
        self.catch_up(&mut connection).await?;
        self.link.wake();
        self.ready.send_replace(true);
        Ok(connection)
    }

    /// Waits for new entries, until something fails.
    async fn follow(&mut self, mut connection: MultiplexedConnection) -> BusError {
        loop {
            if let Err(error) = self.wait(&mut connection).await {
                return error;
            }
        }
    }

    async fn wait(&mut self, connection: &mut MultiplexedConnection) -> Result<(), BusError> {
        let position = self.position.unwrap_or(EventId::ZERO);
        let reply: Option<StreamReadReply> = redis::cmd("XREAD")
            .arg(&["COUNT"])
            .arg(PAGE)
            .arg("BLOCK")
            .arg(super::millis(BLOCK))
            .arg(&["STREAMS", self.window.stream()])
            .arg(position.to_string())
            .query_async(connection)
            .await
            .map_err(from_redis)?;
        let entries = reply
            .into_iter()
            .flat_map(|reply| reply.keys)
            .flat_map(|key| key.ids);
        let entries: Vec<_> = entries.collect();
        // Where fewer entries came than there may be, none can have been removed that were not read. Otherwise, and
        // when nothing came for a while, it is seen to that nothing was.
        if entries.is_empty() || entries.len() >= PAGE.min(self.window.retained()) {
            return self.catch_up(connection).await;
        }
        for entry in entries {
            let id = entry::parse_id(&entry.id)?;
            self.position = Some(id);
            if let Some(event) = entry::read(id, &entry) {
                self.log.append(|_| event)?;
            }
        }
        Ok(())
    }

    /// Reads all that is there, and tells everybody when that may not be all that was.
    async fn catch_up(&mut self, connection: &mut MultiplexedConnection) -> Result<(), BusError> {
        loop {
            let position = self.position.unwrap_or(EventId::ZERO);
            let answer = self
                .window
                .ask(position)
                .query_async(connection)
                .await
                .map_err(from_redis)?;
            let page = self.window.page(position, &answer)?;
            if page.fit != Fit::Follows {
                tracing::warn!(event.id = %position, "the event stream no longer reaches back to what was read last");
                self.log.begin_anew(page.floor(), page.first);
                self.position = Some(page.floor());
            }
            if page.fit == Fit::Unknown {
                continue;
            }
            for event in page.events {
                self.log.append(|_| event)?;
            }
            self.position = Some(page.end);
            if page.is_last {
                return Ok(());
            }
        }
    }
}
