//! What is to be written, checked as it will be when it is read.

use matrix_client::ruma::UserId;
use secrecy::SecretString;

use super::InitArgs;
use crate::{
    config::{
        self, HOMESERVER_URL, LETTA_TOKEN, LETTA_URL, LISTEN, PASSWORD, REGISTRATION_SHARED_SECRET,
        REGISTRATION_TOKEN, SERVER_NAME, Setting,
    },
    failure::Failure,
    output::one_line,
};

pub(super) const DEFAULT_LETTA_URL: &str = "http://127.0.0.1:8283";
pub(super) const DEFAULT_HOMESERVER_URL: &str = "http://127.0.0.1:8008";

/// What was answered or told. Every value is one that the reader of settings takes.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) letta_url: String,
    pub(super) letta_token: Option<SecretString>,
    pub(super) homeserver_url: String,
    pub(super) server_name: String,
    /// The full id.
    pub(super) admin: Option<String>,
    pub(super) listen: String,
    pub(super) entrance: Entrance,
}

/// How the bridge acts for its users.
#[derive(Debug)]
pub(super) enum Entrance {
    /// As an application service.
    Appservice {
        /// `None`: the homeserver does not reach us.
        url: Option<String>,
    },
    /// With an account for each.
    Account(OwnAccount),
}

/// The bridge's own account, and how others are made.
#[derive(Debug)]
pub(super) struct OwnAccount {
    /// The full id.
    pub(super) username: String,
    pub(super) password: SecretString,
    pub(super) registration: AccountRegistration,
}

/// What makes agents' accounts.
#[derive(Debug)]
pub(super) enum AccountRegistration {
    Open,
    Token(SecretString),
    SharedSecret(SecretString),
}

impl Answers {
    /// From the command line and the environment alone.
    ///
    /// # Errors
    /// All values that make no sense, at once.
    pub(super) fn from_flags(args: &InitArgs) -> Result<Self, Failure> {
        let mut problems = Vec::new();
        let mut take = |flag: &str, check: Check, given: Option<&String>, default: Option<&str>| {
            let given = given.map(|text| text.trim()).filter(|text| !text.is_empty());
            let Some(text) = given.or(default) else {
                problems.push(format!("{flag} is needed"));
                return String::new();
            };
            if let Err(problem) = check(text) {
                problems.push(format!("{flag} {problem}"));
            }
            text.to_owned()
        };
        let letta_url = take(
            "--letta-url",
            letta_url,
            args.letta_url.as_ref(),
            Some(DEFAULT_LETTA_URL),
        );
        let homeserver_url = take(
            "--homeserver-url",
            homeserver_url,
            args.homeserver_url.as_ref(),
            Some(DEFAULT_HOMESERVER_URL),
        );
        let server_name = take("--server-name", server_name, args.server_name.as_ref(), None);
        let listen = take("--listen", listen, args.listen.as_ref(), LISTEN.default);
        let username = args
            .username
            .as_ref()
            .map(|given| take("--username", |_| Ok(()), Some(given), None))
            .map(|given| own_id(&given, &server_name));
        let url = args
            .url
            .as_ref()
            .map(|given| take("--url", homeserver_url_like, Some(given), None));
        let admin = args
            .admin
            .as_ref()
            .map(|given| take("--admin", |_| Ok(()), Some(given), None))
            .map(|given| full_id(&given, &server_name));
        let admin = match admin {
            Some(Err(problem)) => {
                problems.push(format!("--admin {problem}"));
                None
            }
            Some(Ok(admin)) => Some(admin),
            None => None,
        };
        let username = match username {
            Some(Err(problem)) => {
                problems.push(format!("--username {problem}"));
                None
            }
            Some(Ok(username)) => Some(username),
            None => None,
        };
        if username.is_some() && std::env::var_os(PASSWORD.env).is_none_or(|password| password.is_empty()) {
            problems.push(format!(
                "{} is needed in the environment: the password of the account",
                PASSWORD.env
            ));
        }
        let mut secret = |setting| {
            of_environment(setting).unwrap_or_else(|problem| {
                problems.push(problem);
                None
            })
        };
        let letta_token = secret(&LETTA_TOKEN);
        let entrance = match username {
            None => Entrance::Appservice { url },
            Some(username) => Entrance::Account(OwnAccount {
                username,
                password: secret(&PASSWORD).unwrap_or_default(),
                registration: match (secret(&REGISTRATION_SHARED_SECRET), secret(&REGISTRATION_TOKEN)) {
                    (Some(secret), _) => AccountRegistration::SharedSecret(secret),
                    (None, Some(token)) => AccountRegistration::Token(token),
                    (None, None) => AccountRegistration::Open,
                },
            }),
        };
        if !problems.is_empty() {
            return Err(Failure::new(problems.join("\n"))
                .advice("`letta-matrix init --help` explains the options; on a terminal init asks."));
        }
        Ok(Self {
            letta_url,
            letta_token,
            homeserver_url,
            server_name,
            admin,
            listen,
            entrance,
        })
    }
}

/// Says what is wrong with a value.
pub(super) type Check = fn(&str) -> Result<(), String>;

fn check(setting: &'static Setting, text: &str) -> Result<(), String> {
    config::check(setting, text.trim())
}

pub(super) fn letta_url(text: &str) -> Result<(), String> {
    check(&LETTA_URL, text)
}

pub(super) fn homeserver_url(text: &str) -> Result<(), String> {
    check(&HOMESERVER_URL, text)
}

/// The address under which we are reached is one like the homeserver's.
pub(super) fn homeserver_url_like(text: &str) -> Result<(), String> {
    check(&HOMESERVER_URL, text)
}

pub(super) fn server_name(text: &str) -> Result<(), String> {
    check(&SERVER_NAME, text)
}

pub(super) fn listen(text: &str) -> Result<(), String> {
    check(&LISTEN, text)
}

pub(super) fn password(text: &str) -> Result<(), String> {
    check(&PASSWORD, text)
}

pub(super) fn registration_token(text: &str) -> Result<(), String> {
    check(&REGISTRATION_TOKEN, text)
}

pub(super) fn letta_token(text: &str) -> Result<(), String> {
    check(&LETTA_TOKEN, text)
}

/// A Matrix id; the name alone is one of this server.
pub(super) fn full_id(text: &str, server_name: &str) -> Result<String, String> {
    let text = text.trim();
    let id = if text.contains(':') {
        text.to_owned()
    } else {
        format!("@{}:{server_name}", text.trim_start_matches('@'))
    };
    // Homeservers of old let names hold nearly everything; nobody ever had one with a space in it.
    let is_name = !id.contains(char::is_whitespace) && !id.starts_with("@:");
    match UserId::parse(&id) {
        Ok(id) if is_name => Ok(id.into()),
        _ => Err(format!(
            "is {:?}, which is not a Matrix id such as @ann:example.org",
            one_line(text, 80)
        )),
    }
}

/// The id of a user of this very server; the name alone will do.
pub(super) fn own_id(text: &str, server_name: &str) -> Result<String, String> {
    let id = full_id(text, server_name)?;
    if id
        .split_once(':')
        .is_some_and(|(_, server)| server == server_name)
    {
        Ok(id)
    } else {
        Err(format!("is {id}, which is no user of {server_name}"))
    }
}

/// The secret that other commands would take from the environment.
pub(super) fn of_environment(setting: &'static Setting) -> Result<Option<SecretString>, String> {
    let Some(secret) = std::env::var_os(setting.env) else {
        return Ok(None);
    };
    let name = format!("{} (from the environment)", setting.env);
    let secret = secret.into_string().map_err(|_| format!("{name} is not UTF-8"))?;
    let secret = secret.trim();
    if secret.is_empty() {
        return Ok(None);
    }
    check(setting, secret).map_err(|problem| format!("{name} {problem}"))?;
    Ok(Some(secret.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_account_is_one_of_the_homeserver() {
        for text in ["bot", "@bot", "@bot:example.org"] {
            assert_eq!(own_id(text, "example.org").unwrap(), "@bot:example.org");
        }
        let problem = own_id("@bot:other.test", "example.org").unwrap_err();
        assert!(problem.contains("no user of example.org"), "{problem}");
    }

    #[test]
    fn a_name_alone_is_one_of_the_homeserver() {
        for (text, expected) in [
            ("ann", "@ann:example.org"),
            ("@ann", "@ann:example.org"),
            ("@ann:other.test", "@ann:other.test"),
            (" @ann:other.test ", "@ann:other.test"),
        ] {
            assert_eq!(full_id(text, "example.org").unwrap(), expected);
        }
        for text in ["ann:other.test", "a nn", ""] {
            assert!(full_id(text, "example.org").is_err(), "{text}");
        }
    }
}
