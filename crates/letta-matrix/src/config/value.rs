//! What values mean.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use agent_events::RedisBus;
use conversation::rights::{Right, Rights};
use matrix_client::ruma::{OwnedServerName, OwnedUserId, RoomAliasId, ServerName, UserId};
use secrecy::SecretString;
use url::Url;

use super::{
    AS_TOKEN, Config, ConfigError, DATABASE, Database, HOMESERVER_URL, HS_TOKEN, INVITE, LETTA_TOKEN,
    LETTA_URL, LISTEN, PERMISSIONS, REDIS, REGISTRATION_TOKEN, SERVER_NAME, SYNC_INTERVAL, Setting, Sourced,
    Values, WEBHOOK_SECRET, mode, sync,
};

/// How often a sync can be had.
const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// Understands all values, and tells all problems at once.
pub(super) fn config(values: &Values) -> Result<Config, ConfigError> {
    let mut reader = Reader {
        values,
        problems: Vec::new(),
    };
    let letta_url = reader.required(&LETTA_URL, url);
    let letta_token = reader.optional(&LETTA_TOKEN, secret);
    let homeserver_url = reader.required(&HOMESERVER_URL, url);
    let server_name = reader.required(&SERVER_NAME, server_name);
    let mode = mode::mode(&mut reader, server_name.as_ref());
    let listen = reader.required(&LISTEN, listen);
    let interval = reader.required(&SYNC_INTERVAL, interval);
    let webhook_secret = reader.optional(&WEBHOOK_SECRET, webhook_secret);
    let redis = reader.optional(&REDIS, redis);
    let permissions = reader.optional(&PERMISSIONS, permissions);
    let invite = reader.optional(&INVITE, user_ids);
    let sync = sync::sync(&mut reader, server_name.as_ref());
    let talk = super::talk::talk(&mut reader);
    let database = database(values)
        .map_err(|problem| reader.problems.push(problem))
        .ok();

    let problems = reader.problems;
    let config = || {
        let permissions = permissions
            .map(|permissions| permissions.value)
            .unwrap_or_default();
        let mut sync = sync?;
        sync.invite = match invite {
            Some(invite) => invite.value,
            None => permissions.admins().cloned().collect(),
        };
        Some(Config {
            letta_url: letta_url?,
            letta_token,
            homeserver_url: homeserver_url?,
            server_name: server_name?,
            mode: mode?,
            listen: listen?,
            interval: interval?.value,
            webhook_secret,
            redis,
            database: database?,
            sync,
            permissions,
            talk: talk?,
        })
    };
    match config() {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(ConfigError { problems }),
    }
}

/// What is wrong with a value, for those settings that are asked for one by one.
pub(super) fn check(setting: &'static Setting, text: &str) -> Result<(), String> {
    match setting.key {
        key if key == LETTA_URL.key || key == HOMESERVER_URL.key => url(text).map(drop),
        key if [&LETTA_TOKEN, &AS_TOKEN, &HS_TOKEN, &REGISTRATION_TOKEN]
            .map(|token| token.key)
            .contains(&key) =>
        {
            secret(text).map(drop)
        }
        key if key == SERVER_NAME.key => server_name(text).map(drop),
        key if key == LISTEN.key => listen(text).map(drop),
        key if key == INVITE.key => user_ids(text).map(drop),
        _ => self::text(text).map(drop),
    }
}

pub(super) struct Reader<'a> {
    values: &'a Values,
    problems: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn optional<T>(
        &mut self,
        setting: &'static Setting,
        parse: fn(&str) -> Result<T, String>,
    ) -> Option<Sourced<T>> {
        let value = self.values.get(setting)?;
        match parse(&value.value) {
            Ok(parsed) => Some(value.map(|_| parsed)),
            Err(problem) => {
                self.problems.push(format!("{} {problem}", value.name()));
                None
            }
        }
    }

    /// Whether somebody gave the setting a value.
    pub(super) fn is_set(&self, setting: &'static Setting) -> bool {
        self.values.get(setting).is_some()
    }

    pub(super) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    pub(super) fn required<T>(
        &mut self,
        setting: &'static Setting,
        parse: fn(&str) -> Result<T, String>,
    ) -> Option<Sourced<T>> {
        if self.values.get(setting).is_none() {
            self.problems.push(self.values.missing(setting));
        }
        self.optional(setting, parse)
    }
}

/// Where the state is kept, or the sentence that says why that is not known.
pub(super) fn database(values: &Values) -> Result<Sourced<Database>, String> {
    let value = values.get(&DATABASE).ok_or_else(|| values.missing(&DATABASE))?;
    let database = Database::parse(&value.value).map_err(|problem| format!("{} {problem}", value.name()))?;
    Ok(value.map(|_| database))
}

fn redis(text: &str) -> Result<SecretString, String> {
    RedisBus::check(text).map(|()| text.into()).map_err(|error| {
        // What it quotes is the pattern, not the value.
        format!("is of no use: {error}")
    })
}

fn url(text: &str) -> Result<Url, String> {
    let example = "such as http://127.0.0.1:8008";
    let url = Url::parse(text).map_err(|error| match error {
        // A bare host:port is read as a scheme, or as a path.
        url::ParseError::RelativeUrlWithoutBase => {
            format!("is {}, without http:// or https:// in front", shown(text))
        }
        error => format!("is {}, which is not an address: {error}", shown(text)),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "must begin with http:// or https://, {example}, and not with {}:",
            shown(url.scheme())
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "holds a user name or a password, which is not used: write the address alone, {example}"
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!(
            "has something behind `?` or `#`: write the address alone, {example}"
        ));
    }
    Ok(url)
}

pub(super) fn secret(text: &str) -> Result<SecretString, String> {
    if text
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii())
    {
        return Err(
            "holds a character that no token has (a space, a line break, a letter outside of ASCII)"
                .to_owned(),
        );
    }
    Ok(text.into())
}

/// A time, or a number of seconds as in the settings of earlier bridges.
fn interval(text: &str) -> Result<Duration, String> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let interval = match text.parse() {
        Ok(seconds) if is_number => Duration::from_secs(seconds),
        _ => sync::time(text)?,
    };
    if !INTERVALS.contains(&interval) {
        return Err(format!(
            "is {}: it must be from one second to one day",
            shown(text)
        ));
    }
    Ok(interval)
}

/// Whoever guesses it can have us sync as often as he likes.
fn webhook_secret(text: &str) -> Result<SecretString, String> {
    if text.chars().count() < 16 {
        return Err(
            "is shorter than 16 characters, so that it could be guessed: `openssl rand -hex 32` makes one"
                .to_owned(),
        );
    }
    secret(text)
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    self::text(text).map(PathBuf::from)
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "is {}, which is not an address and a port such as 127.0.0.1:8470",
            shown(text)
        )
    })
}

pub(super) fn text(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    Ok(text.to_owned())
}

fn server_name(text: &str) -> Result<OwnedServerName, String> {
    ServerName::parse(text).map_err(|_| {
        let hint = if text.contains("//") {
            "it is the bare name, without https://"
        } else if text.starts_with('@') {
            "it is only what stands behind the colon of a user's id"
        } else {
            "it is what stands behind the colon of a user's id, such as example.org"
        };
        format!("is {}, which is not a server name: {hint}", shown(text))
    })
}

pub(super) fn localpart(text: &str) -> Result<String, String> {
    let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '=' | '-' | '/' | '+');
    if text.len() > 100 || !text.chars().all(allowed) {
        let hint = "up to 100 characters of a-z 0-9 . _ = - / +, without @ and server name";
        return Err(format!(
            "is {}, which cannot be part of a user's name: {hint}",
            shown(text)
        ));
    }
    Ok(text.to_owned())
}

pub(super) fn alias_localpart(text: &str) -> Result<String, String> {
    let valid = !text.contains([':', '#'])
        && !text.contains(char::is_whitespace)
        && RoomAliasId::parse(format!("#{text}:example.org")).is_ok();
    if !valid {
        return Err(format!(
            "is {}, which cannot be an alias: give the part between # and the colon",
            shown(text)
        ));
    }
    Ok(text.to_owned())
}

fn user_ids(text: &str) -> Result<Vec<OwnedUserId>, String> {
    list(text).map(user_id).collect()
}

fn user_id(text: &str) -> Result<OwnedUserId, String> {
    UserId::parse(text).map_err(|_| {
        format!(
            "holds {}, which is not a Matrix id such as @ann:example.org",
            shown(text)
        )
    })
}

fn permissions(text: &str) -> Result<Rights, String> {
    let mut rights = Rights::default();
    for entry in list(text) {
        let (who, right) = entry.rsplit_once('=').ok_or_else(|| {
            format!(
                "holds {}: write @ann:example.org=admin or example.org=talk",
                shown(entry)
            )
        })?;
        let right = match right.trim() {
            "none" => None,
            "talk" => Some(Right::Talk),
            "approve" => Some(Right::Approve),
            "command" => Some(Right::Command),
            "admin" => Some(Right::Admin),
            other => {
                return Err(format!(
                    "holds the right {}: there are none, talk, approve, command and admin",
                    shown(other)
                ));
            }
        };
        let who = who.trim();
        if who == "*" {
            match right {
                Some(right) => rights.allow_everyone(right),
                None => return Err("holds *=none, which holds anyway".to_owned()),
            }
        } else if who.starts_with('@') {
            let user = user_id(who)?;
            match right {
                Some(right) => rights.allow_user(user, right),
                None => rights.deny_user(user),
            }
        } else {
            let server = ServerName::parse(who).map_err(|_| {
                format!(
                    "holds {}, which is neither a Matrix id nor a server name",
                    shown(who)
                )
            })?;
            match right {
                Some(right) => rights.allow_server(server, right),
                None => rights.deny_server(server),
            }
        }
    }
    Ok(rights)
}

pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// A value as a message shows it: short, quoted, without anything that moves a cursor. What looks as if it held a
/// password is not shown.
pub(super) fn shown(text: &str) -> String {
    if text.contains("://") && text.contains('@') {
        return "a value that may hold a password".to_owned();
    }
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}
