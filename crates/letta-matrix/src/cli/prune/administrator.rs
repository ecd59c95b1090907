//! The administrator of a Synapse, if one is set.

use agent_sync::Administrator;
use matrix_client::{HttpMatrix, LoginRequest, MatrixApi, MatrixError, MatrixErrorKind, Session};
use secrecy::SecretString;

use crate::{
    cli::upkeep::homeserver,
    config::{ADMIN_PASSWORD, ADMIN_TOKEN, ADMIN_USERNAME, Config, Setting, Sourced, Values},
    failure::{self, Failure, either_name},
};

/// An administrator's session.
pub(super) struct LoggedIn {
    matrix: HttpMatrix,
    session: Session,
    /// It was made by us, and is ended by us.
    is_ours: bool,
}

impl LoggedIn {
    /// Logs in once, or takes the token that is set. `None` when no administrator is set.
    pub(super) async fn from_values(values: &Values, config: &Config) -> Result<Option<Self>, Failure> {
        if let Some(token) = values.get(&ADMIN_TOKEN) {
            return Self::with_token(&token, config).await.map(Some);
        }
        match (values.get(&ADMIN_USERNAME), values.get(&ADMIN_PASSWORD)) {
            (None, None) => Ok(None),
            (Some(username), Some(password)) => Self::log_in(&username, &password, config).await.map(Some),
            (Some(set), None) => Err(half_set(&set, &ADMIN_PASSWORD)),
            (None, Some(set)) => Err(half_set(&set, &ADMIN_USERNAME)),
        }
    }

    async fn log_in(
        username: &Sourced<String>,
        password: &Sourced<String>,
        config: &Config,
    ) -> Result<Self, Failure> {
        let matrix = homeserver(config)?;
        let secret = SecretString::from(password.value.as_str());
        let request = LoginRequest::with_password(username.value.as_str(), secret)
            .initial_device_display_name("letta-matrix prune");
        let session = matrix.login(&request).await;
        let session = session.map_err(|error| {
            refused(
                &error,
                config,
                &format!("{} and {}", username.name(), password.name()),
            )
        })?;
        Ok(Self {
            matrix,
            session,
            is_ours: true,
        })
    }

    async fn with_token(token: &Sourced<String>, config: &Config) -> Result<Self, Failure> {
        let matrix = homeserver(config)?;
        let secret = SecretString::from(token.value.as_str());
        // Whose token it is, the homeserver knows.
        let unknown = Session::with_access_token(config.mode.bot().to_owned(), secret.clone());
        let who = matrix.whoami(&unknown).await;
        let who = who.map_err(|error| refused(&error, config, &token.name()))?;
        Ok(Self {
            matrix,
            session: Session::with_access_token(who.user_id, secret),
            is_ours: false,
        })
    }

    pub(super) fn administrator(&self) -> Administrator<'_> {
        Administrator {
            api: &self.matrix,
            session: &self.session,
        }
    }

    /// Says that this user is no administrator.
    pub(super) fn is_none(&self, error: &MatrixError) -> Failure {
        let settings = if self.is_ours {
            &ADMIN_USERNAME
        } else {
            &ADMIN_TOKEN
        };
        Failure::new(format!(
            "{} is no administrator of the homeserver",
            self.session.user_id
        ))
        .caused_by(error)
        .advice(format!(
            "Check {}, or set none: then everybody is asked out of the rooms instead.",
            either_name(settings)
        ))
    }

    /// Ends the session, if it was made for this.
    pub(super) async fn log_out(self) {
        if self.is_ours
            && let Err(error) = self.matrix.logout(&self.session).await
        {
            tracing::warn!(%error, user = %self.session.user_id, "the administrator's session could not be ended");
        }
    }
}

fn half_set(set: &Sourced<String>, missing: &'static Setting) -> Failure {
    Failure::new(format!(
        "{} is set, and {} is not",
        set.name(),
        either_name(missing)
    ))
    .advice("Set both, or none: then everybody is asked out of the rooms instead.")
}

fn refused(error: &MatrixError, config: &Config, settings: &str) -> Failure {
    match error.kind() {
        MatrixErrorKind::Forbidden
        | MatrixErrorKind::Unauthorized { .. }
        | MatrixErrorKind::MissingToken
        | MatrixErrorKind::UserDisabled => Failure::new(format!(
            "the homeserver refused the administrator: HTTP {}",
            error.status().unwrap_or(401)
        ))
        .caused_by(error)
        .advice(format!("Check {settings}.")),
        _ => failure::of_matrix(error, config),
    }
}

impl std::fmt::Debug for LoggedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoggedIn")
            .field("user_id", &self.session.user_id)
            .finish_non_exhaustive()
    }
}
