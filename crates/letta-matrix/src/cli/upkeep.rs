//! What import and prune share.

use agent_sync::SyncError;
use matrix_client::HttpMatrix;
use serde::Serialize;

use crate::{
    config::Config,
    failure::{self, Failure},
};

/// How much of a name is shown.
pub(super) const MAX_NAME: usize = 60;
/// How much of an error is shown.
pub(super) const MAX_ERROR: usize = 600;

/// A client of the homeserver beside the bridge's own. Nothing is sent yet.
pub(super) fn homeserver(config: &Config) -> Result<HttpMatrix, Failure> {
    HttpMatrix::builder(config.homeserver_url.value.clone())
        .user_agent(concat!("letta-matrix/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| failure::of_matrix(&error, config))
}

/// Why a command that is no sync could not do its work.
pub(super) fn failure_of(error: &SyncError, what: &str, config: &Config) -> Failure {
    match error {
        SyncError::Homeserver(cause) => failure::of_matrix(cause, config),
        SyncError::Unsafe { .. } => Failure::new(error.to_string()).advice(format!(
            "Check {}, and look into the log of the Letta server.",
            config.letta_url.name()
        )),
        SyncError::Busy { .. } => Failure::new(format!("the {what} could not begin"))
            .caused_by(error)
            .advice("Wait until it is done, or stop it."),
        SyncError::Superseded => Failure::new(format!("the {what} was stopped in the middle"))
            .caused_by(error)
            .advice("What was done is recorded. Run it again."),
        SyncError::OtherServer { .. } => Failure::new(format!("the {what} could not begin"))
            .caused_by(error)
            .advice(format!("Check {}.", config.server_name.name())),
        error => failure::of_sync(error, config),
    }
}

pub(super) fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(format!("cannot write the result as JSON: {error}")))?;
    Ok(text + "\n")
}

/// `1 agent`, `2 agents`.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
