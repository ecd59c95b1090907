//! What the operator chose.

use std::{sync::Arc, time::Duration};

use matrix_client::SynapseAdminApi;
use ruma::OwnedUserId;
use secrecy::SecretString;

use crate::AccountKey;

/// The device of all accounts. Always the same: homeservers keep transaction ids by device, and people see one session
/// of an agent instead of hundreds.
pub const DEVICE_ID: &str = "LETTAMATRIX";

/// What that device is called in a user's list of sessions.
pub(crate) const DEVICE_NAME: &str = "letta-matrix";

/// How accounts come into being.
#[derive(Debug, Clone)]
pub enum RegistrationWay {
    /// Open registration (`m.login.dummy`).
    Open,
    /// With a registration token of the homeserver (`m.login.registration_token`).
    Token(SecretString),
    /// With Synapse's `registration_shared_secret`, whether or not registration is open.
    SharedSecret {
        /// Synapse's administration API.
        api: Arc<dyn SynapseAdminApi>,
        /// The secret.
        secret: SecretString,
    },
}

/// What [`PasswordAccounts`](crate::PasswordAccounts) needs to know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AccountSettings {
    /// The bridge's own user. Its account is not made by [`session`](crate::PasswordAccounts::session).
    pub bot: OwnedUserId,
    /// The bot's password.
    pub bot_password: SecretString,
    /// How agents' accounts come into being.
    pub registration: RegistrationWay,
    /// What agents' passwords are derived from and tokens are encrypted with.
    pub key: AccountKey,
    /// How long after a login there is no other one of the same user, whatever becomes of the token.
    pub login_interval: Duration,
    /// How many sessions are kept in memory.
    pub cached_sessions: usize,
}

impl AccountSettings {
    /// These, with five minutes between two logins of a user and up to 20,000 sessions (some 5 MB) in memory.
    pub fn new(
        bot: OwnedUserId,
        bot_password: SecretString,
        registration: RegistrationWay,
        key: AccountKey,
    ) -> Self {
        Self {
            bot,
            bot_password,
            registration,
            key,
            login_interval: Duration::from_secs(300),
            cached_sessions: 20_000,
        }
    }
}
