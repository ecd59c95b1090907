//! What the operator chose: `letta-matrix.toml`, overridden by the environment, overridden by the command line.
//!
//! Every value knows where it comes from, so that whatever fails later can name the setting to change.

mod file;
mod setting;
mod source;
mod value;

use std::{error::Error as StdError, fmt, path::PathBuf};

use agent_sync::SyncConfig;
use conversation::Permissions;
use matrix_client::ruma::OwnedServerName;
use secrecy::SecretString;
use url::Url;

pub use self::{
    setting::*,
    source::{DEFAULT_FILE, FILE_VARIABLE, Origin, Sourced, Sources, Values},
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
    /// What opens it.
    pub as_token: Sourced<SecretString>,
    /// What it shows us.
    pub hs_token: Option<Sourced<SecretString>>,
    /// Where the state is kept.
    pub database: Sourced<PathBuf>,
    /// How agents appear.
    pub sync: SyncConfig,
    /// Who may do what.
    pub permissions: Permissions,
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
/// When it is no file of SQLite.
pub fn database(values: &Values) -> Result<Sourced<PathBuf>, ConfigError> {
    value::database(values).map_err(ConfigError::one)
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
