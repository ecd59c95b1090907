//! The contract.

use async_trait::async_trait;
use matrix_client::{MatrixError, Session};
use ruma::{OwnedUserId, UserId};
use store::StoreError;

/// The users that the bridge acts as: its own, the *bot*, and one for each agent.
///
/// An application service speaks for all of them ([`AppserviceAccounts`](crate::AppserviceAccounts)); without one each
/// has an account with a token of its own ([`PasswordAccounts`](crate::PasswordAccounts)). What comes after is the same.
#[async_trait]
pub trait Accounts: Send + Sync + std::fmt::Debug {
    /// The bridge's own user. It owns the space.
    fn bot(&self) -> &UserId;

    /// Makes an agent's user; whether it was made now. A user that is there already and is ours is fine.
    ///
    /// # Errors
    /// What the homeserver or the store refused, and `Foreign` when the user belongs to somebody else.
    async fn register(&self, user: &UserId) -> Result<bool, AccountError>;

    /// A session of an agent's user or the bot. The user must have been registered.
    ///
    /// # Errors
    /// What the homeserver or the store refused, and `Foreign` when the user belongs to somebody else.
    async fn session(&self, user: &UserId) -> Result<Session, AccountError>;

    /// Forgets a session that the homeserver refused as unauthorized. Whether [`session`](Self::session) may now
    /// answer one that is not refused.
    ///
    /// # Errors
    /// When the store fails.
    async fn forget(&self, session: &Session) -> Result<bool, AccountError>;
}

/// Why there is no session for a user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// The homeserver refused.
    #[error("the homeserver refused")]
    Matrix(#[source] MatrixError),
    /// The store refused.
    #[error("the state cannot be read or written")]
    Store(#[source] StoreError),
    /// The user exists, and we do not have its password.
    #[error("the user {user} exists and is not ours: its password is another one")]
    Foreign {
        /// The user.
        user: OwnedUserId,
    },
    /// What the store keeps of the account cannot be decrypted.
    #[error("the stored token of {user} cannot be read: it was encrypted under another key")]
    Sealed {
        /// The user.
        user: OwnedUserId,
    },
    /// The user was logged in to only just, and its token is refused again.
    #[error("the token of {user} is refused again right after a login")]
    LoginLoop {
        /// The user.
        user: OwnedUserId,
    },
}
