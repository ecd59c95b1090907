//! One error for every bus.

use std::error::Error as StdError;

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusErrorKind {
    /// The server of the bus can not be reached, or the connection broke. What was being published may have been.
    Unavailable,
    /// The server did not answer in time. What was being published may have been.
    TimedOut,
    /// The server is there and refuses: a wrong password, a missing right, a key that holds something else.
    Refused,
    /// What was configured, or what the server answered, makes no sense.
    Invalid,
    /// The bus was closed.
    Closed,
}

/// A call to the bus that failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BusError {
    kind: BusErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl BusError {
    /// An error of this kind with a sentence for people.
    pub fn new(kind: BusErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn closed() -> Self {
        Self::new(BusErrorKind::Closed, "the event bus is closed")
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> BusErrorKind {
        self.kind
    }
}
