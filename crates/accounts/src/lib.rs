//! The Matrix users that the bridge acts as: [`Accounts`].
//!
//! An application service speaks for all its users ([`AppserviceAccounts`]). Where nobody may install one, each user has
//! an account of its own: [`PasswordAccounts`] makes the accounts of agents, logs in, and keeps what it got:
//!
//! - **Passwords are derived, not stored.** [`AccountKey`] makes each agent's password of the user's id. Whoever has the
//!   key finds back to every account, even with an empty database.
//! - **Tokens are kept for ever**, encrypted in the [`AccountStore`](store::AccountStore), over restarts. A login
//!   happens only where there is no token: after the homeserver refused it, or after the database was lost. The device
//!   stays the same over all logins, and nothing is ever logged out.
//! - **There are no login storms.** See [`PasswordAccounts`] for what holds logins back.

mod accounts;
mod api;
mod appservice;
mod attempt;
mod key;
mod pace;
mod settings;
mod slots;

pub use accounts::PasswordAccounts;
pub use api::{AccountError, Accounts};
pub use appservice::AppserviceAccounts;
pub use key::{AccountKey, WeakKey};
pub use settings::{AccountSettings, DEVICE_ID, RegistrationWay};
