//! `letta-matrix doctor`: what is wrong, and which setting to change.
//!
//! Each module checks one area and adds one finding per check. Areas do not depend on each other's success: a Letta that
//! is down does not hide what is wrong with the homeserver. What is true for one way in alone (application service,
//! accounts) has a module of its own, chosen in [`run`].

mod accounts;
mod appservice;
mod clocks;
mod finding;
mod homeserver;
mod letta;
mod namespaces;
mod people;
mod ping;
mod rate_limit;
mod registration;
mod rooms;
mod state;

use std::{sync::Arc, time::Duration};

use ::accounts::PasswordAccounts;
use clap::Args;
use letta_client::http::{HttpLetta, HttpLettaBuilder};
use matrix_client::{Appservice, HttpMatrix, RetryPolicy, Session, ruma::UserId};
use store::{Clock, SystemClock};
use url::{Host, Url};

use self::finding::Report;
use super::{Global, OK, SOME_FAILED, settings::SettingFlags};
use crate::{
    config::{Config, Mode, Setting, Values},
    failure::{self, Failure, either_name},
};

/// Check every connection, token and right, and name the setting to change
///
/// Changes nothing: neither in Letta nor on the homeserver nor in the state. Exit code 0: no problems, warnings perhaps;
/// 1: problems were found; 2: the settings themselves make no sense.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Print one JSON object for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) async fn run(args: &DoctorArgs, global: &Global) -> Result<u8, Failure> {
    let values = global.values(args.settings.0.clone())?;
    let config = Config::from_values(&values)?;
    let doctor = Doctor::new(&config, &values)?;
    let mut report = Report::new(!args.json);

    letta::check(&doctor, &mut report).await;
    report.print_new()?;
    let bindings = state::check(&doctor, &mut report).await;
    report.print_new()?;
    if homeserver::check(&doctor, &mut report).await {
        report.print_new()?;
        let (sender, users) = match &config.mode {
            Mode::Appservice(mode) => {
                let sender = appservice::check(&doctor, mode, bindings.as_deref(), &mut report).await;
                (sender, Users::Appservice(&mode.appservice))
            }
            Mode::Accounts(mode) => {
                let accounts = accounts::open(&doctor, mode).await;
                let sender = accounts::check(&doctor, mode, accounts.as_ref(), &mut report).await;
                (sender, Users::Accounts(accounts.map(Box::new)))
            }
        };
        report.print_new()?;
        if let Some(sender) = &sender {
            people::check(&doctor, sender, &mut report).await;
            let bindings = bindings.as_deref().unwrap_or_default();
            rooms::check(&doctor, &users, bindings, &mut report).await;
        }
    }
    if let Mode::Appservice(mode) = &config.mode {
        registration::check(&doctor, mode, &mut report);
    }
    report.finish()?;
    Ok(if report.has_problems() { SOME_FAILED } else { OK })
}

/// How long a server may take to answer. Whoever runs this waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the checks work with.
#[derive(Debug)]
struct Doctor<'a> {
    config: &'a Config,
    values: &'a Values,
    letta: HttpLetta,
    matrix: HttpMatrix,
    clock: Arc<dyn Clock>,
}

impl<'a> Doctor<'a> {
    fn new(config: &'a Config, values: &'a Values) -> Result<Self, Failure> {
        let token = config.letta_token.as_ref().map(|token| token.value.clone());
        let letta = letta_builder(config)
            .maybe_token(token)
            .build()
            .map_err(|error| failure::of_letta(&error, config))?;
        // What is asked is asked once: that it was refused, and why, is what we are here to see.
        let matrix = HttpMatrix::builder(config.homeserver_url.value.clone())
            .user_agent(USER_AGENT)
            .request_timeout(PATIENCE)
            .retry(RetryPolicy::none())
            .build()
            .map_err(|error| failure::of_matrix(&error, config))?;
        Ok(Self {
            config,
            values,
            letta,
            matrix,
            clock: Arc::new(SystemClock),
        })
    }

    /// The name of a setting where it was set, or under which it can be set.
    fn name(&self, setting: &'static Setting) -> String {
        match self.values.get(setting) {
            Some(value) => value.name(),
            None => either_name(setting),
        }
    }

    /// The value of a setting that has a default.
    fn value(&self, setting: &'static Setting) -> String {
        self.values
            .get(setting)
            .map(|value| value.value)
            .unwrap_or_default()
    }
}

/// Who can act for the agents' users.
#[derive(Debug)]
enum Users<'a> {
    Appservice(&'a Appservice),
    /// `None`: there is no state yet, or it cannot be read.
    Accounts(Option<Box<PasswordAccounts>>),
}

impl Users<'_> {
    /// A session, unless one would have to be made.
    async fn session(&self, user: &UserId) -> Option<Session> {
        match self {
            Self::Appservice(appservice) => Some(appservice.act_as(user)),
            Self::Accounts(accounts) => accounts.as_ref()?.kept_session(user).await.ok()?,
        }
    }
}

const USER_AGENT: &str = concat!("letta-matrix/", env!("CARGO_PKG_VERSION"), " (doctor)");

fn letta_builder(config: &Config) -> HttpLettaBuilder {
    HttpLetta::builder(config.letta_url.value.as_str())
        .user_agent(USER_AGENT)
        .answer_timeout(PATIENCE)
        .retry(letta_client::http::RetryPolicy::none())
}

/// An address as messages show it.
fn shown(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

/// Whether what is sent there can be read on the way.
fn is_open_to_listeners(url: &Url) -> bool {
    let on_this_machine = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    };
    url.scheme() == "http" && !on_this_machine
}

/// A name that nobody else has. It need not be hard to guess.
fn unused_name() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_on_this_machine_needs_no_encryption() {
        for (url, open) in [
            ("http://127.0.0.1:8283", false),
            ("http://127.1.2.3", false),
            ("http://[::1]:8283", false),
            ("http://localhost:8283", false),
            ("http://letta.localhost", false),
            ("https://letta.example.org", false),
            ("http://letta.example.org", true),
            ("http://192.168.1.5:8283", true),
            ("http://letta:8283", true),
        ] {
            assert_eq!(is_open_to_listeners(&url.parse().unwrap()), open, "{url}");
        }
    }
}
