//! One error for every store.

use std::error::Error as StdError;

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The database can not be opened, reached or written.
    Unavailable,
    /// Another program keeps the database locked.
    Busy,
    /// There is no room left to write to: the disk is full, or what the database may take of it.
    Full,
    /// The database's server is there and lets us not in: an unknown user or database, a wrong password, a missing
    /// right.
    Refused,
    /// The database holds what another program keeps there.
    Foreign,
    /// A record contradicts another one: a user or room that belongs to another agent.
    Conflict,
    /// A record can not be read back.
    Corrupt,
    /// The lease under which a write was made has been granted anew, so somebody else does the work now.
    LeaseLost,
    /// The database was written by a newer version of this program.
    TooNew,
    /// The database was written by an older version of this program, and may only be looked at.
    TooOld,
}

/// A call to the store that failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// An error of this kind with a sentence for people.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// The refusal of a write under a lease that was granted anew.
    #[must_use]
    pub fn lease_lost(lease: &crate::Lease) -> Self {
        Self::new(
            StoreErrorKind::LeaseLost,
            format!("another instance does the work of {} now", lease.name),
        )
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same call goes well as soon as the database is there again, is let go of, or has room: nobody has to
    /// change a setting or start this program anew.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            StoreErrorKind::Unavailable | StoreErrorKind::Busy | StoreErrorKind::Full
        )
    }
}
