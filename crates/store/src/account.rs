//! Accounts of the homeserver whose tokens are kept.

use async_trait::async_trait;
use jiff::Timestamp;
use ruma::{OwnedDeviceId, OwnedUserId, UserId};

use crate::Result;

/// An account that was logged in to, with its access token as it was sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device of the token. Stays the same over all logins.
    pub device_id: OwnedDeviceId,
    /// The access token, encrypted; `None` when the homeserver refused it and a new one is needed.
    pub sealed_token: Option<Vec<u8>>,
    /// The password, encrypted, where it cannot be derived: accounts that others made.
    pub sealed_password: Option<Vec<u8>>,
    /// When it was last logged in to.
    pub logged_in_at: Option<Timestamp>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("user_id", &self.user_id)
            .field("device_id", &self.device_id)
            .field("has_token", &self.sealed_token.is_some())
            .field("logged_in_at", &self.logged_in_at)
            .finish_non_exhaustive()
    }
}

/// The accounts of a bridge that has no application service.
///
/// # Errors
/// Any call can fail with `Unavailable`, `Busy`, `Full` and `Corrupt`.
#[async_trait]
pub trait AccountStore: Send + Sync + std::fmt::Debug {
    /// One account; `None` if it was never logged in to.
    async fn get_account(&self, user_id: &UserId) -> Result<Option<Account>>;

    /// Writes an account, replacing the former record.
    async fn put_account(&self, account: &Account) -> Result<()>;

    /// Forgets an account. Forgetting an unknown one does nothing.
    async fn delete_account(&self, user_id: &UserId) -> Result<()>;
}
