//! The two files.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use matrix_client::ruma::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tempfile::NamedTempFile;
use toml::Value;

use super::{
    Answers, Places,
    answers::{AccountRegistration, Entrance, OwnAccount},
    taken,
};
use crate::{
    config::{APPSERVICE_ID, Config, SENDER_LOCALPART, SPACE_ALIAS, Setting, Sources, USER_PREFIX, Values},
    failure::{Failure, plain},
    registration::{self, Wanted},
};

/// Writes all that is needed, or nothing.
pub(super) fn write(answers: &Answers, places: &Places, force: bool) -> Result<(), Failure> {
    match &answers.entrance {
        Entrance::Appservice { url } => write_both(answers, url.as_deref(), places, force),
        Entrance::Account(account) => {
            let config = config_text(answers, places, &account_text(account)?)?;
            let config_file = temporary(&places.config, &config)?;
            is_readable(config_file.path())?;
            put(config_file, &places.config, force)?;
            Ok(())
        }
    }
}

fn write_both(answers: &Answers, url: Option<&str>, places: &Places, force: bool) -> Result<(), Failure> {
    let (as_token, hs_token) = (new_token()?, new_token()?);
    let registration = registration(answers, url, &as_token, &hs_token)?;
    let entrance = format!(
        "# The same as in the registration.\n\
         as_token = {as_token}\n\
         hs_token = {hs_token}\n\
         # Only `letta-matrix doctor` reads it.\n\
         registration = {registration}\n",
        as_token = quoted(as_token.expose_secret()),
        hs_token = quoted(hs_token.expose_secret()),
        registration = quoted(text_of(&places.registration)?),
    );
    let config = config_text(answers, places, &entrance)?;
    // Only the owner may read a temporary file; that stays so when it gets its name.
    let registration_file = temporary(&places.registration, &registration)?;
    let config_file = temporary(&places.config, &config)?;
    is_readable(config_file.path())?;
    registration::read(registration_file.path())?;
    let made = put(registration_file, &places.registration, force)?;
    put(config_file, &places.config, force).inspect_err(|_| {
        if made {
            // Nobody was told of it yet.
            let _ = std::fs::remove_file(&places.registration);
        }
    })?;
    Ok(())
}

/// 32 bytes of the system's randomness, as 64 hexadecimal digits.
fn new_token() -> Result<SecretString, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new(format!(
            "the system gives no random numbers for the tokens: {error}"
        ))
    })?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(digits.into())
}

fn registration(
    answers: &Answers,
    url: Option<&str>,
    as_token: &SecretString,
    hs_token: &SecretString,
) -> Result<String, Failure> {
    let server_name = ServerName::parse(answers.server_name.as_str())
        .map_err(|error| Failure::new(format!("{} is no server name: {error}", answers.server_name)))?;
    let wanted = Wanted {
        id: default_of(&APPSERVICE_ID),
        url: url.map(|url| url.trim_end_matches('/')),
        as_token,
        hs_token,
        sender_localpart: default_of(&SENDER_LOCALPART),
        user_prefix: default_of(&USER_PREFIX),
        space_alias: default_of(&SPACE_ALIAS),
        server_name: &server_name,
    };
    let yaml = registration::to_yaml(&wanted.registration())?;
    Ok(format!(
        "# The application service letta-matrix, for the homeserver. Made by `letta-matrix init`.\n\
         # as_token and hs_token are those of {}. Restart the homeserver after a change.\n{yaml}",
        crate::config::DEFAULT_FILE
    ))
}

fn default_of(setting: &Setting) -> &'static str {
    setting.default.unwrap_or_default()
}

/// The settings of the bridge's own account and of those that it makes.
fn account_text(account: &OwnAccount) -> Result<String, Failure> {
    let registration = match &account.registration {
        AccountRegistration::Open => "account_registration = \"open\"".to_owned(),
        AccountRegistration::Token(token) => {
            format!("registration_token = {}", quoted(token.expose_secret()))
        }
        AccountRegistration::SharedSecret(secret) => {
            format!("registration_shared_secret = {}", quoted(secret.expose_secret()))
        }
    };
    Ok(format!(
        "mode = \"accounts\"\n\
         username = {username}\n\
         password = {password}\n\
         # Agents' passwords are made of it. Whoever loses it loses their accounts.\n\
         account_key = {key}\n\
         # How agents' accounts are made.\n\
         {registration}\n",
        username = quoted(&account.username),
        password = quoted(account.password.expose_secret()),
        key = quoted(new_token()?.expose_secret()),
    ))
}

fn config_text(answers: &Answers, places: &Places, entrance: &str) -> Result<String, Failure> {
    let token = match &answers.letta_token {
        Some(token) => format!("token = {}", quoted(token.expose_secret())),
        None => "# token = \"the password of the Letta server\"".to_owned(),
    };
    let people = match &answers.admin {
        Some(admin) => format!("{} = \"admin\"", quoted(admin)),
        None => format!("# \"@you:{}\" = \"admin\"", answers.server_name),
    };
    Ok(format!(
        "# Settings of letta-matrix, made by `letta-matrix init`. It holds secrets.\n\
         # All settings: https://github.com/letta-matrix/letta-matrix/blob/main/docs/CONFIGURATION.md\n\
         \n\
         # What is bound to what. It must not get lost, though it can be found again.\n\
         database = {database}\n\
         # Where the homeserver finds us.\n\
         listen = {listen}\n\
         \n\
         [letta]\n\
         url = {letta_url}\n\
         {token}\n\
         \n\
         [matrix]\n\
         homeserver_url = {homeserver_url}\n\
         server_name = {server_name}\n\
         {entrance}\
         \n\
         # Who may do what: \"admin\" (is also invited to every room) or \"talk\"; Matrix ids or whole servers.\n\
         [people.permissions]\n\
         {people}\n",
        database = quoted(text_of(&places.database)?),
        listen = quoted(&answers.listen),
        letta_url = quoted(&answers.letta_url),
        homeserver_url = quoted(&answers.homeserver_url),
        server_name = quoted(&answers.server_name),
    ))
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn text_of(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| {
        Failure::new(format!(
            "the folder of {} has a name that is not UTF-8",
            path.display()
        ))
        .advice("Give --dir another folder.")
    })
}

fn temporary(path: &Path, text: &str) -> Result<NamedTempFile, Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder).map_err(|error| cannot_write(path, &error))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.as_file().sync_all())
        .map_err(|error| cannot_write(path, &error))?;
    Ok(file)
}

/// What is written must be what is read.
fn is_readable(config: &Path) -> Result<(), Failure> {
    let nothing = |_: &str| None;
    let values = Values::read(&Sources {
        file: Some(PathBuf::from(config)),
        flags: std::collections::HashMap::new(),
        env: &nothing,
    })?;
    Config::from_values(&values)?;
    Ok(())
}

/// Gives a file its name, at once and whole. Answers whether there was none of that name.
fn put(file: NamedTempFile, path: &Path, force: bool) -> Result<bool, Failure> {
    let is_new = path.symlink_metadata().is_err();
    if force {
        file.persist(path)
            .map_err(|error| cannot_write(path, &error.error))?;
    } else {
        file.persist_noclobber(path)
            .map_err(|error| match error.error.kind() {
                std::io::ErrorKind::AlreadyExists => taken(path),
                _ => cannot_write(path, &error.error),
            })?;
    }
    Ok(is_new)
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot write {}: {}", path.display(), plain(error)))
        .advice("Give --dir a folder that you can write to.")
}
