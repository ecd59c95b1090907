//! The contract.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use futures_util::{Stream, StreamExt, stream::BoxStream};
use letta_client::AgentId;
use serde::{Deserialize, Serialize};

use crate::{AgentEvent, BusError, EventDraft, EventId, Filter, LiveState};

/// Carries events from those who make them to those who watch, and keeps the latest of them.
///
/// The bus is a courtesy to those who watch: nothing that must happen may depend on it. Its log is bounded, and so is
/// what a subscriber costs, whether it reads or not.
#[async_trait]
pub trait EventBus: Send + Sync + fmt::Debug {
    /// Publishes an event, and notes what its agent is doing after it.
    ///
    /// Takes a bounded time whatever subscribers and servers do. Best effort: an error is to be logged, and the turn goes
    /// on. After an error the event may have been published nevertheless.
    ///
    /// Ids increase: an event whose publication began after that of another one ended has the greater id.
    async fn publish(&self, draft: EventDraft) -> Result<EventId, BusError>;

    /// Hears events, in the order of their ids.
    ///
    /// Without `after`, all events that are published after this call returned, and that the filter sees. With it, all
    /// that come after that id: first those that are retained, then new ones, none twice and none left out. With
    /// [`EventId::ZERO`], everything that is retained.
    ///
    /// When the log no longer reaches back to `after`, or does not know of it (another log, one that was lost), the first
    /// item is [`Delivery::Gap`], and what follows begins with the oldest event that is retained.
    async fn subscribe(&self, after: Option<EventId>, filter: Filter) -> Result<Subscription, BusError>;

    /// What agents are doing, ordered by agent id. Idle ones are left out, and so are those that have not been heard of
    /// for the time of [`Expiry`](crate::Expiry).
    async fn list_states(&self) -> Result<Vec<LiveState>, BusError>;

    /// The agent is still at it: its state is believed for another while. Does nothing if the agent is idle. For long
    /// pauses between events, such as that of a slow tool.
    async fn keep_state(&self, agent: &AgentId) -> Result<(), BusError>;

    /// Ends all subscriptions with [`CloseReason::Shutdown`]; every later call but this one fails with
    /// [`Closed`](crate::BusErrorKind::Closed).
    fn close(&self);
}

/// What a subscriber hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Something happened.
    Event(Arc<AgentEvent>),
    /// Events before this point were lost to this subscriber. What it knows has to be read anew from elsewhere.
    ///
    /// It may be said where nothing is missing after all; it is never left out where something is.
    Gap {
        /// The oldest event that is retained; `None` if there is none.
        oldest: Option<EventId>,
    },
    /// Nothing will follow. Whoever subscribes again with the last id it saw misses nothing that is still retained.
    Closed(CloseReason),
}

/// Why a subscription ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CloseReason {
    /// The subscriber read so slowly that the log left it behind.
    Lagged,
    /// The server of the bus could not be reached while older events were read.
    Unavailable,
    /// The bus was closed.
    Shutdown,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lagged => "events came faster than they were read",
            Self::Unavailable => "older events could not be read",
            Self::Shutdown => "the event bus was closed",
        })
    }
}

/// A stream of [`Delivery`]. [`Delivery::Closed`] is its last item. Dropping it unsubscribes.
pub struct Subscription(BoxStream<'static, Delivery>);

impl Subscription {
    /// Wraps what an implementation delivers.
    pub fn new(deliveries: impl Stream<Item = Delivery> + Send + 'static) -> Self {
        Self(deliveries.boxed())
    }
}

impl Stream for Subscription {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.0.poll_next_unpin(context)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}
