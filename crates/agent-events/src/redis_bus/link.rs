//! The connection for everything but listening.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{AsyncConnectionConfig, Client, FromRedisValue, Pipeline, aio::MultiplexedConnection};
use tokio::{sync::Mutex as AsyncMutex, time::Instant};

use super::error::from_redis;
use crate::{BusError, BusErrorKind};

/// How many time limits at most to leave a server alone that did not answer.
const LONGEST_REST: u32 = 16;

/// Runs commands in a bounded time. When the server was not there, calls fail at once for a while: a turn publishes many
/// events, and is not to wait for each of them.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    time_limit: Duration,
    connection: AsyncMutex<Option<MultiplexedConnection>>,
    rest: Mutex<Rest>,
}

/// The server is left alone for one time limit after a failure, for two after the next one, and so on.
#[derive(Debug, Default)]
struct Rest {
    limits: u32,
    until: Option<Instant>,
}

impl Link {
    pub(super) fn new(client: Client, time_limit: Duration) -> Self {
        Self {
            client,
            time_limit,
            connection: AsyncMutex::new(None),
            rest: Mutex::default(),
        }
    }

    /// Runs commands. What they answer is a tuple.
    pub(super) async fn run<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, BusError> {
        if self.rest().until.is_some_and(|until| Instant::now() < until) {
            return Err(BusError::new(
                BusErrorKind::Unavailable,
                "the Redis server could not be reached a moment ago",
            ));
        }
        let call = async {
            let mut connection = self.connection().await?;
            pipeline.query_async(&mut connection).await.map_err(from_redis)
        };
        let outcome = tokio::time::timeout(self.time_limit, call)
            .await
            .unwrap_or_else(|_| {
                Err(BusError::new(
                    BusErrorKind::TimedOut,
                    "the Redis server did not answer in time",
                ))
            });
        match &outcome {
            Ok(_) => *self.rest() = Rest::default(),
            Err(error) if matches!(error.kind(), BusErrorKind::Unavailable | BusErrorKind::TimedOut) => {
                self.begin_rest();
            }
            Err(_) => {}
        }
        outcome
    }

    /// The server is there: the next call connects anew.
    pub(super) fn wake(&self) {
        self.disconnect();
        *self.rest() = Rest::default();
    }

    fn begin_rest(&self) {
        self.disconnect();
        let mut rest = self.rest();
        rest.limits = (rest.limits * 2).clamp(1, LONGEST_REST);
        rest.until = Some(Instant::now() + self.time_limit * rest.limits);
    }

    /// Lets go of the connection. Calls that are under way keep it until they end.
    pub(super) fn disconnect(&self) {
        // Somebody who holds it is connecting just now.
        if let Ok(mut connection) = self.connection.try_lock() {
            *connection = None;
        }
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(&self) -> Result<MultiplexedConnection, BusError> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let new = connect(&self.client, self.time_limit, self.time_limit).await?;
        Ok(connection.insert(new).clone())
    }
}

/// A connection of its own.
pub(super) async fn connect(
    client: &Client,
    time_limit: Duration,
    answer_limit: Duration,
) -> Result<MultiplexedConnection, BusError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(time_limit))
        .set_response_timeout(Some(answer_limit));
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .map_err(from_redis)
}
