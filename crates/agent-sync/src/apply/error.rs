//! Why a step failed, and what that means for the others.

use std::{
    error::Error as StdError,
    sync::{Mutex, PoisonError},
};

use accounts::AccountError;
use letta_client::LettaError;
use matrix_client::{MatrixError, MatrixErrorKind};
use ruma::OwnedRoomId;
use store::{StoreError, StoreErrorKind};

/// Why one step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error("the homeserver refused")]
    Matrix(#[source] MatrixError),
    /// A refusal that concerns one user alone, though its kind would concern all.
    #[error("the homeserver refused")]
    OneUser(#[source] MatrixError),
    /// A refusal that shows that whoever asked is not in the room.
    #[error("the homeserver refused")]
    Outside(#[source] MatrixError),
    #[error("Letta refused")]
    Letta(#[source] LettaError),
    #[error("there is no session")]
    Account(#[source] AccountError),
    #[error("the state cannot be written")]
    Store(#[source] StoreError),
    #[error("the names make no valid Matrix id")]
    Names(#[source] ruma::IdParseError),
    #[error("the alias {alias} belongs to another room ({reason})")]
    Foreign { alias: String, reason: String },
    #[error("the room is marked as the room of {other}")]
    OtherAgent { other: String },
    #[error("the room {room} is not marked as the agent's, or nobody of ours can read it: it is left alone")]
    Unmarked { room: OwnedRoomId },
    #[error("the homeserver is still deleting the room {room}: prune again later")]
    StillThere { room: OwnedRoomId },
    #[error("the room was upgraded to {to}, where the agent's user is not let in: invite it there")]
    Upgraded {
        to: OwnedRoomId,
        #[source]
        source: MatrixError,
    },
    #[error("the step changed nothing that is missing")]
    NoProgress,
}

impl StepError {
    /// One line for people: without the wrapper where the cause says it all.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Matrix(cause) | Self::OneUser(cause) | Self::Outside(cause) => cause.to_string(),
            Self::Letta(cause) => cause.to_string(),
            Self::Account(AccountError::Matrix(cause)) => cause.to_string(),
            Self::Account(cause) => chain(cause),
            Self::Upgraded { .. } => self.to_string(),
            other => chain(other),
        }
    }

    /// The same, as one user's own.
    pub(crate) fn of_one_user(self) -> Self {
        match self {
            Self::Matrix(cause) => Self::OneUser(cause),
            other => other,
        }
    }

    fn matrix(&self) -> Option<&MatrixError> {
        match self {
            Self::Matrix(cause)
            | Self::OneUser(cause)
            | Self::Outside(cause)
            | Self::Account(AccountError::Matrix(cause)) => Some(cause),
            Self::Upgraded { source, .. } => Some(source),
            _ => None,
        }
    }

    pub(crate) fn matrix_kind(&self) -> Option<MatrixErrorKind> {
        self.matrix().map(|cause| cause.kind().clone())
    }

    pub(crate) fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Matrix(cause) if matches!(cause.kind(), MatrixErrorKind::Unauthorized { .. }))
    }

    /// Whether somebody is not let into a room, or there is none.
    pub(crate) fn is_shut_out(&self) -> bool {
        self.matrix()
            .is_some_and(|cause| super::room::is_shut_out(cause.kind()))
    }

    /// Whether the homeserver has too much to do.
    pub(crate) fn is_overload(&self) -> bool {
        self.matrix().is_some_and(MatrixError::is_retryable)
    }

    /// Whether the lease is somebody else's now.
    pub(crate) fn is_lease_lost(&self) -> bool {
        matches!(self, Self::Store(cause) if cause.kind() == StoreErrorKind::LeaseLost)
    }

    /// Whether every other agent would fail alike, so that trying them only costs time.
    pub(crate) fn is_general(&self) -> bool {
        match self {
            Self::Matrix(cause) | Self::Account(AccountError::Matrix(cause)) => matches!(
                cause.kind(),
                MatrixErrorKind::Connect
                    | MatrixErrorKind::Tls
                    | MatrixErrorKind::Redirected { .. }
                    | MatrixErrorKind::NotMatrix { .. }
                    | MatrixErrorKind::Unauthorized { .. }
                    | MatrixErrorKind::MissingToken
            ),
            Self::Store(cause) | Self::Account(AccountError::Store(cause)) => {
                cause.is_retryable() || cause.kind() == StoreErrorKind::LeaseLost
            }
            _ => false,
        }
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn StdError) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

/// A failure that concerns all agents, once there was one.
#[derive(Debug, Default)]
pub(crate) struct Outage(Mutex<Option<(String, bool)>>);

impl Outage {
    pub(crate) fn reason(&self) -> Option<String> {
        self.state().as_ref().map(|(reason, _)| reason.clone())
    }

    pub(crate) fn is_lease_lost(&self) -> bool {
        self.state().as_ref().is_some_and(|(_, lost)| *lost)
    }

    pub(crate) fn report(&self, reason: &str, lease_lost: bool) {
        let mut state = self.state();
        let (_, lost) = state.get_or_insert_with(|| (reason.to_owned(), lease_lost));
        *lost |= lease_lost;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Option<(String, bool)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
