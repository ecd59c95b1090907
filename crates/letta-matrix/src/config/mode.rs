//! How the bridge acts for its users.

use std::path::PathBuf;

use accounts::{AccountKey, WeakKey};
use matrix_client::{
    Appservice,
    ruma::{OwnedServerName, OwnedUserId, UserId},
};
use secrecy::SecretString;

use super::{
    ACCOUNT_KEY, ACCOUNT_REGISTRATION, APPSERVICE_ID, AS_TOKEN, HS_TOKEN, MODE, PASSWORD, REGISTRATION,
    REGISTRATION_SHARED_SECRET, REGISTRATION_TOKEN, SENDER_LOCALPART, SERVER_NAME, Setting, Sourced,
    USERNAME,
    value::{Reader, localpart, path, secret, shown, text},
};

/// How the bridge acts for its users.
#[derive(Debug)]
pub enum Mode {
    /// An application service speaks for all of them.
    Appservice(AppserviceMode),
    /// Each has an account of its own.
    Accounts(AccountsMode),
}

/// An application service speaks for all users.
#[derive(Debug)]
pub struct AppserviceMode {
    /// What opens the homeserver.
    pub as_token: Sourced<SecretString>,
    /// What the homeserver shows us.
    pub hs_token: Option<Sourced<SecretString>>,
    /// The registration file, if we know where it is.
    pub registration: Option<Sourced<PathBuf>>,
    /// The application service.
    pub appservice: Appservice,
}

/// Each user has an account of its own.
#[derive(Debug)]
pub struct AccountsMode {
    /// The bridge's own user.
    pub bot: Sourced<OwnedUserId>,
    /// Its password.
    pub password: Sourced<SecretString>,
    /// What agents' passwords and the encryption of tokens are made of.
    pub key: Sourced<AccountKey>,
    /// How agents' accounts are made.
    pub registration: AccountRegistration,
}

/// How agents' accounts are made.
#[derive(Debug)]
pub enum AccountRegistration {
    /// Anyone may register.
    Open,
    /// Whoever has this token may register.
    Token(Sourced<SecretString>),
    /// Whoever has Synapse's shared secret may register.
    SharedSecret(Sourced<SecretString>),
}

impl Mode {
    /// The bridge's own user.
    #[must_use]
    pub fn bot(&self) -> &UserId {
        match self {
            Self::Appservice(mode) => &mode.appservice.sender,
            Self::Accounts(mode) => &mode.bot.value,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Appservice,
    Accounts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    Token,
    SharedSecret,
}

/// `None` when something makes no sense: the reader has the problems then.
pub(super) fn mode(reader: &mut Reader<'_>, server_name: Option<&Sourced<OwnedServerName>>) -> Option<Mode> {
    let kind = if reader.is_set(&MODE) {
        reader.optional(&MODE, kind)?.value
    } else if reader.is_set(&USERNAME) && !reader.is_set(&AS_TOKEN) {
        Kind::Accounts
    } else {
        Kind::Appservice
    };
    match kind {
        Kind::Appservice => appservice(reader, server_name).map(Mode::Appservice),
        Kind::Accounts => accounts(reader, server_name).map(Mode::Accounts),
    }
}

fn appservice(
    reader: &mut Reader<'_>,
    server_name: Option<&Sourced<OwnedServerName>>,
) -> Option<AppserviceMode> {
    let as_token = reader.required(&AS_TOKEN, secret);
    let hs_token = reader.optional(&HS_TOKEN, secret);
    let registration = reader.optional(&REGISTRATION, path);
    let id = reader.required(&APPSERVICE_ID, text);
    let sender = reader.required(&SENDER_LOCALPART, localpart);
    let (as_token, server_name) = (as_token?, server_name?);
    let sender = user_id(reader, &SENDER_LOCALPART, &sender?.value, &server_name.value)?;
    Some(AppserviceMode {
        appservice: Appservice::new(id?.value, as_token.value.clone(), sender),
        as_token,
        hs_token,
        registration,
    })
}

fn accounts(reader: &mut Reader<'_>, server_name: Option<&Sourced<OwnedServerName>>) -> Option<AccountsMode> {
    let username = reader.required(&USERNAME, username);
    let password = reader.required(&PASSWORD, password);
    let key = reader.required(&ACCOUNT_KEY, key);
    let registration = registration(reader);
    let (username, server_name) = (username?, server_name?);
    let bot = match username.value.split_once(':') {
        Some((_, server)) if *server_name.value != *server => {
            reader.problem(format!(
                "{} is {}, and not a user of {}, as {} says",
                username.name(),
                shown(&username.value),
                server_name.value,
                server_name.name()
            ));
            return None;
        }
        Some((localpart, _)) => localpart.trim_start_matches('@'),
        None => &username.value,
    };
    let bot = user_id(reader, &USERNAME, bot, &server_name.value)?;
    Some(AccountsMode {
        bot: username.map(|_| bot),
        password: password?,
        key: key?,
        registration: registration?,
    })
}

fn registration(reader: &mut Reader<'_>) -> Option<AccountRegistration> {
    let way = if reader.is_set(&ACCOUNT_REGISTRATION) {
        reader.optional(&ACCOUNT_REGISTRATION, way)?.value
    } else if reader.is_set(&REGISTRATION_SHARED_SECRET) {
        Way::SharedSecret
    } else if reader.is_set(&REGISTRATION_TOKEN) {
        Way::Token
    } else {
        Way::Open
    };
    match way {
        Way::Open => Some(AccountRegistration::Open),
        Way::Token => reader
            .required(&REGISTRATION_TOKEN, secret)
            .map(AccountRegistration::Token),
        Way::SharedSecret => reader
            .required(&REGISTRATION_SHARED_SECRET, password)
            .map(AccountRegistration::SharedSecret),
    }
}

/// Names that are each right can be too long together.
fn user_id(
    reader: &mut Reader<'_>,
    setting: &Setting,
    localpart: &str,
    server_name: &OwnedServerName,
) -> Option<OwnedUserId> {
    let user_id = UserId::parse(format!("@{localpart}:{server_name}")).ok();
    if user_id.is_none() {
        reader.problem(format!(
            "{} and {} are too long together for a user's id",
            setting.key, SERVER_NAME.key
        ));
    }
    user_id
}

fn kind(text: &str) -> Result<Kind, String> {
    match text {
        "appservice" => Ok(Kind::Appservice),
        "accounts" => Ok(Kind::Accounts),
        _ => Err(format!("is {}: there are appservice and accounts", shown(text))),
    }
}

fn way(text: &str) -> Result<Way, String> {
    match text {
        "open" => Ok(Way::Open),
        "token" => Ok(Way::Token),
        "shared-secret" => Ok(Way::SharedSecret),
        _ => Err(format!(
            "is {}: there are open, token and shared-secret",
            shown(text)
        )),
    }
}

/// A localpart, or a full Matrix id.
fn username(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        Some(_) => UserId::parse(text).map(|id| id.to_string()).map_err(|_| {
            format!(
                "is {}, which is neither a name nor a Matrix id such as @letta:example.org",
                shown(text)
            )
        }),
        None => localpart(text.trim_start_matches('@')),
    }
}

/// People choose passwords: anything goes that can be typed.
fn password(text: &str) -> Result<SecretString, String> {
    if text.chars().any(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    Ok(text.into())
}

fn key(text: &str) -> Result<AccountKey, String> {
    AccountKey::new(text.into()).map_err(|WeakKey| {
        "is shorter than 32 characters, so that it could be guessed: `openssl rand -hex 32` makes one"
            .to_owned()
    })
}
