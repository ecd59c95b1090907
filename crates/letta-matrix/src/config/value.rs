//! What values mean.

use std::path::PathBuf;

use agent_sync::{SpaceConfig, SyncConfig};
use conversation::{Permissions, Role};
use matrix_client::{
    Appservice,
    ruma::{OwnedServerName, OwnedUserId, RoomAliasId, RoomVersionId, ServerName, UserId},
};
use secrecy::SecretString;
use url::Url;

use super::{
    APPSERVICE_ID, AS_TOKEN, CONCURRENCY, Config, ConfigError, DATABASE, HOMESERVER_URL, HS_TOKEN, INVITE,
    LETTA_TOKEN, LETTA_URL, PERMISSIONS, ROOM_VERSION, SENDER_LOCALPART, SERVER_NAME, SPACE_ALIAS,
    SPACE_NAME, SPACE_TOPIC, Setting, Sourced, USER_PREFIX, Values,
};

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
    let as_token = reader.required(&AS_TOKEN, secret);
    let hs_token = reader.optional(&HS_TOKEN, secret);
    let appservice_id = reader.required(&APPSERVICE_ID, text);
    let sender = reader.required(&SENDER_LOCALPART, localpart);
    let prefix = reader.required(&USER_PREFIX, localpart);
    let room_version = reader.optional(&ROOM_VERSION, room_version);
    let space_name = reader.required(&SPACE_NAME, text);
    let space_topic = reader.required(&SPACE_TOPIC, text);
    let space_alias = reader.required(&SPACE_ALIAS, alias_localpart);
    let permissions = reader.optional(&PERMISSIONS, permissions);
    let invite = reader.optional(&INVITE, user_ids);
    let concurrency = reader.required(&CONCURRENCY, concurrency);
    let database = database(values)
        .map_err(|problem| reader.problems.push(problem))
        .ok();

    let problems = reader.problems;
    let config = || {
        let server_name = server_name?;
        let as_token = as_token?;
        let sender = UserId::parse(format!("@{}:{}", sender?.value, server_name.value)).ok()?;
        let appservice = Appservice::new(appservice_id?.value, as_token.value.clone(), sender);
        let permissions = permissions
            .map(|permissions| permissions.value)
            .unwrap_or_default();
        let mut sync = SyncConfig::new(server_name.value.clone(), appservice);
        sync.prefix = prefix?.value;
        sync.space = SpaceConfig {
            name: space_name?.value,
            topic: space_topic?.value,
            alias_localpart: space_alias?.value,
        };
        sync.invite = match invite {
            Some(invite) => invite.value,
            None => permissions.admins().cloned().collect(),
        };
        sync.room_version = room_version.map(|version| version.value);
        sync.concurrency = concurrency?.value;
        Some(Config {
            letta_url: letta_url?,
            letta_token,
            homeserver_url: homeserver_url?,
            server_name,
            as_token,
            hs_token,
            database: database?,
            sync,
            permissions,
        })
    };
    match config() {
        Some(config) if problems.is_empty() => Ok(config),
        Some(_) => Err(ConfigError { problems }),
        // Only names that are each right and too long together come here without a problem of their own.
        None if problems.is_empty() => Err(ConfigError::one(format!(
            "{} and {} are too long together for a user's id",
            SENDER_LOCALPART.key, SERVER_NAME.key
        ))),
        None => Err(ConfigError { problems }),
    }
}

struct Reader<'a> {
    values: &'a Values,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn optional<T>(
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

    fn required<T>(
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

/// The SQLite file, or the sentence that says why there is none.
pub(super) fn database(values: &Values) -> Result<Sourced<PathBuf>, String> {
    let value = values.get(&DATABASE).ok_or_else(|| values.missing(&DATABASE))?;
    let name = value.name();
    // What is no path may hold a password: it is not shown.
    let path = match value.value.split_once(':') {
        Some(("sqlite", path)) => path.strip_prefix("//").unwrap_or(path),
        Some(("postgres" | "postgresql", _)) => {
            return Err(format!(
                "{name} names a PostgreSQL database, which this version cannot use yet: give it the path of a SQLite file"
            ));
        }
        Some((scheme, rest)) if rest.starts_with("//") => {
            let scheme: String = scheme.chars().take(20).collect();
            return Err(format!(
                "{name} names a database of the kind {scheme:?}: give it the path of a SQLite file"
            ));
        }
        _ => &value.value,
    };
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if path.is_empty() || path == ":memory:" {
        return Err(format!(
            "{name} names no file: the state must outlive the program"
        ));
    }
    let path = PathBuf::from(path);
    Ok(value.map(|_| path))
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

fn secret(text: &str) -> Result<SecretString, String> {
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

fn text(text: &str) -> Result<String, String> {
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

fn localpart(text: &str) -> Result<String, String> {
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

fn alias_localpart(text: &str) -> Result<String, String> {
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

fn room_version(text: &str) -> Result<RoomVersionId, String> {
    RoomVersionId::try_from(text)
        .map_err(|error| format!("is {}, which is not a room version: {error}", shown(text)))
}

fn concurrency(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=64) => Ok(number),
        _ => Err(format!("is {}: it must be a number from 1 to 64", shown(text))),
    }
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

fn permissions(text: &str) -> Result<Permissions, String> {
    let mut permissions = Permissions::default();
    for entry in list(text) {
        let (who, role) = entry.rsplit_once('=').ok_or_else(|| {
            format!(
                "holds {}: write @ann:example.org=admin or example.org=talk",
                shown(entry)
            )
        })?;
        let role = match role.trim() {
            "admin" => Role::Admin,
            "talk" => Role::Talk,
            other => {
                return Err(format!(
                    "holds the role {}: there are admin and talk",
                    shown(other)
                ));
            }
        };
        let who = who.trim();
        if who.starts_with('@') {
            permissions.allow_user(user_id(who)?, role);
        } else {
            let server = ServerName::parse(who).map_err(|_| {
                format!(
                    "holds {}, which is neither a Matrix id nor a server name",
                    shown(who)
                )
            })?;
            permissions.allow_server(server, role);
        }
    }
    Ok(permissions)
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// A value as a message shows it: short, quoted, without anything that moves a cursor. What looks as if it held a
/// password is not shown.
fn shown(text: &str) -> String {
    if text.contains("://") && text.contains('@') {
        return "a value that may hold a password".to_owned();
    }
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}
