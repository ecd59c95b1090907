//! What the operator chose: `letta-matrix.toml`, overridden by the environment, overridden by the command line.
//!
//! Every value knows where it comes from, so that whatever fails later can name the setting to change.

mod database;
mod file;
mod mode;
mod setting;
mod source;
mod sync;
mod talk;
mod value;

use std::{error::Error as StdError, fmt, net::SocketAddr, time::Duration};

use agent_sync::SyncConfig;
use conversation::rights::Rights;
use matrix_client::ruma::OwnedServerName;
use secrecy::SecretString;
use url::Url;

pub use self::{
    database::{Database, PostgresUrl},
    mode::{AccountRegistration, AccountsMode, AppserviceMode, Mode},
    setting::*,
    source::{DEFAULT_FILE, FILE_VARIABLE, Origin, Sourced, Sources, Values},
    talk::Talk,
};

/// Everything that a bridge needs to know.
#[derive(Debug)]
pub struct Config {
    /// Where Letta is.
    pub letta_url: Sourced<Url>,
    /// What opens it.
    pub letta_token: Option<Sourced<SecretString>>,
    /// Where the homeserver is.
    pub homeserver_url: Sourced<Url>,
    /// What it is called.
    pub server_name: Sourced<OwnedServerName>,
    /// How the bridge acts for its users.
    pub mode: Mode,
    /// Where the homeserver finds us.
    pub listen: Sourced<SocketAddr>,
    /// How long after a sync the next one begins, where one runs for ever.
    pub interval: Duration,
    /// What calls of the webhook are signed with.
    pub webhook_secret: Option<Sourced<SecretString>>,
    /// The Redis server on which other programs hear what agents are doing.
    pub redis: Option<Sourced<SecretString>>,
    /// Where the state is kept.
    pub database: Sourced<Database>,
    /// How agents appear.
    pub sync: SyncConfig,
    /// Who may do what.
    pub permissions: Rights,
    /// How conversations are carried.
    pub talk: Talk,
}

impl Config {
    /// Understands the values.
    ///
    /// # Errors
    /// When one is missing or makes no sense. All problems are told at once.
    pub fn from_values(values: &Values) -> Result<Self, ConfigError> {
        value::config(values)
    }
}

/// Where the state is kept, which is all that reading it takes.
///
/// # Errors
/// When it names no database that we can use.
pub fn database(values: &Values) -> Result<Sourced<Database>, ConfigError> {
    value::database(values).map_err(ConfigError::one)
}

/// What is wrong with a value for a setting: the end of a sentence that begins with the setting's name.
pub(crate) fn check(setting: &'static Setting, text: &str) -> Result<(), String> {
    value::check(setting, text)
}

/// What is wrong with the configuration, each problem a sentence that names the setting and where it was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    fn one(problem: String) -> Self {
        Self {
            problems: vec![problem],
        }
    }

    fn check(problems: Vec<String>) -> Result<(), Self> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Self { problems })
        }
    }

    /// The problems.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl StdError for ConfigError {}

#[cfg(test)]
mod tests;
