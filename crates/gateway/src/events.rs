//! Where events go.

use std::{error::Error as StdError, fmt::Debug};

use async_trait::async_trait;
use serde_json::value::RawValue;

/// Keeps what the homeserver pushes.
///
/// The homeserver is told that it may forget the events as soon as a call has succeeded, so they must be kept for good by
/// then. The same events may come again, also at the same time, and must then be taken once.
#[async_trait]
pub trait EventSink: Send + Sync + Debug {
    /// Keeps events, all or nothing, in this order. One that makes no sense must not fail the call: it would be pushed
    /// for ever, and all others behind it.
    ///
    /// # Errors
    /// When they cannot be kept now. They will come again.
    async fn accept(&self, events: &[Box<RawValue>]) -> Result<(), SinkError>;

    /// Keeps, for people to look at, the beginning of what was pushed and is no list of events.
    ///
    /// # Errors
    /// When it cannot be kept now. It will come again.
    async fn set_aside(&self, raw: &str, reason: &str) -> Result<(), SinkError>;
}

/// Events that could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("the events cannot be kept")]
pub struct SinkError(#[source] Box<dyn StdError + Send + Sync>);

impl SinkError {
    /// For this reason.
    pub fn new(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(source.into())
    }
}
