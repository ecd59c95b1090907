//! Why a command could not do its work, in sentences: what failed, why, and what to do about it.

use std::{error::Error as StdError, fmt, io};

use accounts::AccountError;
use agent_sync::SyncError;
use letta_client::{LettaError, LettaErrorKind};
use matrix_client::{MatrixError, MatrixErrorKind};
use store::{StoreError, StoreErrorKind};

use crate::config::{
    ACCOUNT_KEY, AccountsMode, AppserviceMode, Config, ConfigError, Database, LETTA_TOKEN, Mode,
    SENDER_LOCALPART, SERVER_NAME, SPACE_ALIAS, Setting, Sourced, USER_PREFIX,
};

/// Why a command could not do its work.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    what: String,
    because: Vec<String>,
    advice: Option<String>,
}

impl Failure {
    /// What failed.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            because: Vec::new(),
            advice: None,
        }
    }

    /// Why.
    #[must_use]
    pub(crate) fn because(mut self, why: impl Into<String>) -> Self {
        let why = why.into();
        // Causes of several layers often say the same.
        if !self.because.iter().any(|said| said.contains(&why)) && !self.what.contains(&why) {
            self.because.push(why);
        }
        self
    }

    /// Why: an error and all its causes.
    #[must_use]
    pub(crate) fn caused_by(mut self, error: &(dyn StdError + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let text = error.to_string();
            if !SAYS_NOTHING.contains(&text.as_str()) {
                self = self.because(without_number(&text));
            }
            cause = error.source();
        }
        self
    }

    /// What failed, without why.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// What failed and why, as one sentence.
    pub(crate) fn reason(&self) -> String {
        let mut reason = self.what.trim_end().replace('\n', "; ");
        for why in &self.because {
            reason.push_str(": ");
            reason.push_str(why);
        }
        reason
    }

    /// What to do, where that is known.
    pub(crate) fn what_to_do(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    /// What to do.
    #[must_use]
    pub(crate) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what.trim_end().replace('\n', "\n       "))?;
        for why in &self.because {
            write!(f, "\n  because: {why}")?;
        }
        if let Some(advice) = &self.advice {
            write!(f, "\n  what to do: {advice}")?;
        }
        Ok(())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(format!("cannot write the result: {}", plain(&error)))
    }
}

/// Links in the chain of causes that only say which layer passed the error on.
const SAYS_NOTHING: &[&str] = &[
    "error sending request",
    "client error (Connect)",
    "tcp connect error",
];

/// An error of the operating system without its number.
pub(crate) fn plain(error: &io::Error) -> String {
    without_number(&error.to_string())
}

fn without_number(text: &str) -> String {
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_lowercase(),
        None => text.to_owned(),
    }
}

/// Why a run could not begin.
pub(crate) fn of_sync(error: &SyncError, config: &Config) -> Failure {
    match error {
        SyncError::ListAgents(cause) => of_letta(cause, config),
        SyncError::Space(cause) => of_matrix(cause, config),
        SyncError::ForeignSpace { .. } => {
            Failure::new(error.to_string()).advice(format!("The setting is {}.", either_name(&SPACE_ALIAS)))
        }
        SyncError::Store(cause) => of_store(cause, config),
        SyncError::Account(cause) => of_account(cause, config),
        SyncError::OtherServer { recorded, configured } => Failure::new(format!(
            "the state belongs to the homeserver {recorded}, not to {configured}"
        ))
        .advice(format!(
            "Check {} and {}: each homeserver needs a state of its own.",
            config.server_name.name(),
            config.database.name()
        )),
        SyncError::Names(_) => Failure::new("cannot choose names for the agents")
            .caused_by(error)
            .advice(format!(
                "Shorten {}, {} or {}.",
                either_name(&USER_PREFIX),
                either_name(&SPACE_ALIAS),
                either_name(&SERVER_NAME)
            )),
        _ => Failure::new("the sync could not begin").caused_by(error),
    }
}

/// Why Letta does not answer as it should.
pub(crate) fn of_letta(error: &LettaError, config: &Config) -> Failure {
    let url = &config.letta_url;
    let (address, setting) = (url.value.as_str().trim_end_matches('/'), url.name());
    let check = format!("Check {setting}, and whether the Letta server runs.");
    match error.kind() {
        LettaErrorKind::Unauthorized | LettaErrorKind::Forbidden => {
            let status = error.status().unwrap_or(401);
            match &config.letta_token {
                Some(token) => Failure::new(format!("{} was refused by {address}: HTTP {status}", token.name()))
                    .advice("Set it to the password of the Letta server (its LETTA_SERVER_PASSWORD), or to an API key."),
                None => Failure::new(format!("{address} asks for a token, and none is set: HTTP {status}"))
                    .advice(format!("Set {} to the password of the Letta server.", either_name(&LETTA_TOKEN))),
            }
        }
        LettaErrorKind::Connect => Failure::new(format!("the Letta server {address} cannot be reached"))
            .caused_by(error)
            .advice(check),
        LettaErrorKind::Timeout | LettaErrorKind::Interrupted => {
            Failure::new(format!("the Letta server {address} did not answer"))
                .caused_by(error)
                .advice(check)
        }
        LettaErrorKind::Redirected { to } => Failure::new(format!(
            "{address} sends us to {to}, which is not followed: the token would go there"
        ))
        .advice(format!(
            "If that is the Letta server, put its address into {setting}."
        )),
        LettaErrorKind::NotLetta
        | LettaErrorKind::Decode
        | LettaErrorKind::TooLarge
        | LettaErrorKind::Unsupported => {
            Failure::new(format!("{address} does not answer as a Letta server does"))
                .caused_by(error)
                .advice(format!("Check {setting}."))
        }
        LettaErrorKind::NotFound => Failure::new(format!("{address} has no list of agents"))
            .caused_by(error)
            .advice(format!(
                "Check {setting}: it is the address alone, without /v1/agents."
            )),
        _ => Failure::new(format!("the Letta server {address} failed"))
            .caused_by(error)
            .advice("Look into the log of the Letta server. The next sync tries again."),
    }
}

/// Why the homeserver does not answer as it should.
pub(crate) fn of_matrix(error: &MatrixError, config: &Config) -> Failure {
    let url = &config.homeserver_url;
    let (address, setting) = (url.value.as_str().trim_end_matches('/'), url.name());
    let check = format!("Check {setting}, and whether the homeserver runs.");
    match error.kind() {
        MatrixErrorKind::Unauthorized { .. }
        | MatrixErrorKind::MissingToken
        | MatrixErrorKind::Forbidden
        | MatrixErrorKind::Exclusive => match &config.mode {
            Mode::Appservice(mode) => appservice_refused(error, config, mode),
            Mode::Accounts(mode) => account_refused(error, config, mode),
        },
        MatrixErrorKind::Connect | MatrixErrorKind::Tls => {
            Failure::new(format!("the homeserver {address} cannot be reached"))
                .caused_by(error)
                .advice(check)
        }
        MatrixErrorKind::Timeout | MatrixErrorKind::Interrupted => {
            Failure::new(format!("the homeserver {address} did not answer"))
                .caused_by(error)
                .advice(check)
        }
        MatrixErrorKind::Redirected { to, .. } => Failure::new(format!(
            "{address} sends us to {to}, which is not followed: the token would go there"
        ))
        .advice(format!(
            "If that is the homeserver, put its address into {setting}."
        )),
        MatrixErrorKind::NotMatrix { .. }
        | MatrixErrorKind::Decode { .. }
        | MatrixErrorKind::BodyTooLarge { .. }
        | MatrixErrorKind::Unrecognized => {
            Failure::new(format!("{address} does not answer as a homeserver does"))
                .caused_by(error)
                .advice(format!(
                    "Check {setting}: it is the address of the homeserver's client API."
                ))
        }
        _ => Failure::new(format!("the homeserver {address} does not make the space")).caused_by(error),
    }
}

fn appservice_refused(error: &MatrixError, config: &Config, mode: &AppserviceMode) -> Failure {
    let address = config.homeserver_url.value.as_str().trim_end_matches('/');
    if matches!(
        error.kind(),
        MatrixErrorKind::Forbidden | MatrixErrorKind::Exclusive
    ) {
        let sender = &mode.appservice.sender;
        return Failure::new(format!("{address} does not let {sender} make the space"))
            .caused_by(error)
            .advice(format!(
                "Compare the registration file with {}, {} and {}.",
                either_name(&SENDER_LOCALPART),
                config.server_name.name(),
                either_name(&SPACE_ALIAS)
            ));
    }
    let (token, status) = (mode.as_token.name(), error.status().unwrap_or(401));
    Failure::new(format!("{token} was refused by {address}: HTTP {status}"))
        .caused_by(error)
        .advice(
            "It must be the as_token of the registration file, and the homeserver must have been restarted since that \
             file was installed.",
        )
}

fn account_refused(error: &MatrixError, config: &Config, mode: &AccountsMode) -> Failure {
    let address = config.homeserver_url.value.as_str().trim_end_matches('/');
    let bot = &mode.bot.value;
    if error.call() == Some("login") {
        return Failure::new(format!("{address} does not let {bot} log in"))
            .caused_by(error)
            .advice(format!(
                "Check {} and {}: there is no such user, or its password is another one.",
                mode.bot.name(),
                mode.password.name()
            ));
    }
    let failure = Failure::new(format!("{address} does not let {bot} make the space")).caused_by(error);
    if matches!(
        error.kind(),
        MatrixErrorKind::Forbidden | MatrixErrorKind::Exclusive
    ) {
        return failure.advice(format!(
            "The alias may belong to somebody else: give {} another one.",
            either_name(&SPACE_ALIAS)
        ));
    }
    failure.advice("The next sync logs in again.")
}

/// Why there is no session for the bridge's own user.
fn of_account(error: &AccountError, config: &Config) -> Failure {
    match error {
        AccountError::Matrix(cause) => of_matrix(cause, config),
        AccountError::Store(cause) => of_store(cause, config),
        AccountError::Sealed { .. } => Failure::new(error.to_string()).advice(format!(
            "{} must be the key with which the state was written.",
            match &config.mode {
                Mode::Accounts(mode) => mode.key.name(),
                Mode::Appservice(_) => either_name(&ACCOUNT_KEY),
            }
        )),
        AccountError::LoginLoop { .. } => Failure::new(error.to_string()).advice(
            "Somebody ends its sessions, or the homeserver loses them. Five minutes after the last login the next one \
             is made.",
        ),
        _ => Failure::new(error.to_string()),
    }
}

/// Why the state cannot be used.
pub(crate) fn of_store(error: &StoreError, config: &Config) -> Failure {
    of_state(error, &config.database)
}

/// Why the state cannot be used.
pub(crate) fn of_state(error: &StoreError, database: &Sourced<Database>) -> Failure {
    let setting = database.name();
    let (what, check) = match &database.value {
        Database::Sqlite(path) => (
            format!("the state file {}", path.display()),
            format!("Check {setting}, and the disk and the quota of that file."),
        ),
        address @ Database::Postgres(_) => (
            format!("the state in {address}"),
            format!("Check {setting}, and whether the PostgreSQL server runs."),
        ),
    };
    match error.kind() {
        StoreErrorKind::Full => {
            return Failure::new(format!("{what} cannot be written: its disk is full"))
                .caused_by(error)
                .advice("Make room on that disk.");
        }
        StoreErrorKind::Busy => {
            return Failure::new(format!(
                "{what} cannot be written: another program keeps it locked"
            ))
            .caused_by(error)
            .advice("End that program: a backup, or somebody who looks into the state.");
        }
        _ => {}
    }
    let advice = match error.kind() {
        StoreErrorKind::Refused => format!(
            "Check the user, the password and the database's name in {setting}. The database must exist, and this user \
             must be able to make tables in it."
        ),
        StoreErrorKind::Foreign => format!("Give the state a place of its own: change {setting}."),
        StoreErrorKind::TooNew => {
            format!("Run the newer version that wrote it, or begin anew elsewhere: change {setting}.")
        }
        StoreErrorKind::TooOld => "Run `letta-matrix sync` once: it brings the state up to date.".to_owned(),
        StoreErrorKind::LeaseLost => "Another letta-matrix works on the same state. Let it.".to_owned(),
        _ => check,
    };
    Failure::new(format!("{what} cannot be used"))
        .caused_by(error)
        .advice(advice)
}

/// A setting that nobody set, under the names it can be set by.
pub(crate) fn either_name(setting: &Setting) -> String {
    format!("{} ({} in the file)", setting.env, setting.key)
}

/// What the reports of failed agents are about: the settings to look at when it is not the agent.
pub(crate) fn where_agents_failed(config: &Config) -> String {
    let homeserver = format!(
        "The homeserver is {} as {} says",
        config.homeserver_url.value.as_str().trim_end_matches('/'),
        config.homeserver_url.name()
    );
    match &config.mode {
        Mode::Appservice(mode) => format!("{homeserver}, the token that of {}.", mode.as_token.name()),
        Mode::Accounts(mode) => format!(
            "{homeserver}, the bridge's own user {}, as {} says.",
            mode.bot.value,
            mode.bot.name()
        ),
    }
}
