//! Asking, on a terminal.

use dialoguer::{Confirm, Input, Password, Select, theme::ColorfulTheme};
use secrecy::SecretString;
use url::Url;

use super::{
    InitArgs,
    answers::{
        AccountRegistration, Answers, Check, DEFAULT_HOMESERVER_URL, DEFAULT_LETTA_URL, Entrance, OwnAccount,
        full_id, homeserver_url, homeserver_url_like, letta_token, letta_url, listen, of_environment, own_id,
        password, registration_token, server_name,
    },
};
use crate::{
    config::{LETTA_TOKEN, LISTEN, PASSWORD, REGISTRATION_SHARED_SECRET, REGISTRATION_TOKEN},
    failure::Failure,
};

/// Asks for everything that the command line does not tell.
///
/// # Errors
/// When what the command line tells makes no sense, or the terminal is gone.
pub(super) fn ask(args: &InitArgs) -> Result<Answers, Failure> {
    let letta_url = told_or_asked(
        "--letta-url",
        args.letta_url.as_deref(),
        letta_url,
        "Address of the Letta server",
        Some(DEFAULT_LETTA_URL.to_owned()),
    )?;
    let letta_token = match of_environment(&LETTA_TOKEN).map_err(Failure::new)? {
        Some(token) => Some(token),
        None => ask_token()?,
    };
    let homeserver_url = told_or_asked(
        "--homeserver-url",
        args.homeserver_url.as_deref(),
        homeserver_url,
        "Address of the homeserver",
        Some(DEFAULT_HOMESERVER_URL.to_owned()),
    )?;
    let server_name = told_or_asked(
        "--server-name",
        args.server_name.as_deref(),
        server_name,
        "Name of the homeserver, as it stands behind the colon of your Matrix id",
        guessed_server_name(&homeserver_url),
    )?;
    let admin = match &args.admin {
        Some(admin) => Some(full_id(admin, &server_name).map_err(|problem| told_wrong("--admin", &problem))?),
        None => ask_admin(&server_name)?,
    };
    let listen = told_or_asked(
        "--listen",
        args.listen.as_deref(),
        listen,
        "Address and port at which the bridge listens for the homeserver",
        LISTEN.default.map(ToOwned::to_owned),
    )?;
    let entrance = ask_entrance(args, &server_name, &listen)?;
    Ok(Answers {
        letta_url,
        letta_token,
        homeserver_url,
        server_name,
        admin,
        listen,
        entrance,
    })
}

/// An application service where one may be installed, else an account.
fn ask_entrance(args: &InitArgs, server_name: &str, listen: &str) -> Result<Entrance, Failure> {
    if let Some(url) = &args.url {
        let url = told_or_asked("--url", Some(url), homeserver_url_like, "", None)?;
        return Ok(Entrance::Appservice { url: Some(url) });
    }
    let is_account = match args.username {
        Some(_) => true,
        None => !Confirm::with_theme(&theme())
            .with_prompt("May you install an application service on the homeserver? (It is the better way)")
            .default(true)
            .interact()
            .map_err(gone)?,
    };
    if is_account {
        ask_account(args, server_name).map(Entrance::Account)
    } else {
        Ok(Entrance::Appservice {
            url: ask_url(listen)?,
        })
    }
}

fn ask_account(args: &InitArgs, server_name: &str) -> Result<OwnAccount, Failure> {
    let username = match &args.username {
        Some(username) => {
            own_id(username, server_name).map_err(|problem| told_wrong("--username", &problem))?
        }
        None => ask_username(server_name)?,
    };
    let secret_of = |setting| of_environment(setting).map_err(Failure::new);
    let password = match secret_of(&PASSWORD)? {
        Some(password) => password,
        None => ask_needed_secret("Its password", password)?,
    };
    let registration = if let Some(secret) = secret_of(&REGISTRATION_SHARED_SECRET)? {
        AccountRegistration::SharedSecret(secret)
    } else if let Some(token) = secret_of(&REGISTRATION_TOKEN)? {
        AccountRegistration::Token(token)
    } else {
        ask_registration()?
    };
    Ok(OwnAccount {
        username,
        password,
        registration,
    })
}

fn ask_registration() -> Result<AccountRegistration, Failure> {
    let way = Select::with_theme(&theme())
        .with_prompt("How are agents' accounts made?")
        .items([
            "open registration",
            "a registration token",
            "Synapse's registration_shared_secret",
        ])
        .default(0)
        .interact()
        .map_err(gone)?;
    Ok(match way {
        1 => AccountRegistration::Token(ask_needed_secret("The registration token", registration_token)?),
        2 => {
            AccountRegistration::SharedSecret(ask_needed_secret("The registration_shared_secret", password)?)
        }
        _ => AccountRegistration::Open,
    })
}

fn ask_username(server_name: &str) -> Result<String, Failure> {
    let name = server_name.to_owned();
    let username = Input::<String>::with_theme(&theme())
        .with_prompt("The bridge's own account on the homeserver, which must exist")
        .validate_with(move |answer: &String| {
            own_id(answer, &name)
                .map(drop)
                .map_err(|problem| format!("this {problem}"))
        })
        .interact_text()
        .map_err(gone)?;
    own_id(&username, server_name).map_err(Failure::new)
}

fn ask_needed_secret(question: &str, check: Check) -> Result<SecretString, Failure> {
    let secret = Password::with_theme(&theme())
        .with_prompt(question)
        .validate_with(move |answer: &String| {
            check(answer.trim()).map_err(|problem| format!("this {problem}"))
        })
        .interact()
        .map_err(gone)?;
    Ok(secret.trim().into())
}

fn told_or_asked(
    flag: &str,
    told: Option<&str>,
    check: Check,
    question: &str,
    default: Option<String>,
) -> Result<String, Failure> {
    if let Some(told) = told {
        let told = told.trim();
        check(told).map_err(|problem| told_wrong(flag, &problem))?;
        return Ok(told.to_owned());
    }
    let theme = theme();
    let mut input = Input::<String>::with_theme(&theme)
        .with_prompt(question)
        .validate_with(move |answer: &String| check(answer).map_err(|problem| format!("this {problem}")));
    if let Some(default) = default {
        input = input.default(default);
    }
    Ok(input.interact_text().map_err(gone)?.trim().to_owned())
}

fn ask_token() -> Result<Option<SecretString>, Failure> {
    ask_secret(
        "Password of the Letta server (LETTA_SERVER_PASSWORD; empty if it has none)",
        letta_token,
    )
}

fn ask_secret(question: &str, check: Check) -> Result<Option<SecretString>, Failure> {
    let secret = Password::with_theme(&theme())
        .with_prompt(question)
        .allow_empty_password(true)
        .validate_with(move |answer: &String| match answer.trim() {
            "" => Ok(()),
            secret => check(secret).map_err(|problem| format!("this {problem}")),
        })
        .interact()
        .map_err(gone)?;
    let secret = secret.trim();
    Ok((!secret.is_empty()).then(|| secret.into()))
}

fn ask_admin(server_name: &str) -> Result<Option<String>, Failure> {
    let name = server_name.to_owned();
    let admin = Input::<String>::with_theme(&theme())
        .with_prompt("Your Matrix id: you are invited to every room and may do everything (empty for nobody)")
        .allow_empty(true)
        .validate_with(move |answer: &String| match answer.trim() {
            "" => Ok(()),
            id => full_id(id, &name)
                .map(drop)
                .map_err(|problem| format!("this {problem}")),
        })
        .interact_text()
        .map_err(gone)?;
    match admin.trim() {
        "" => Ok(None),
        id => full_id(id, server_name).map(Some).map_err(Failure::new),
    }
}

fn ask_url(listen: &str) -> Result<Option<String>, Failure> {
    let reachable = Confirm::with_theme(&theme())
        .with_prompt("Can the homeserver reach the bridge there? (Needed for conversations, not to sync)")
        .default(true)
        .interact()
        .map_err(gone)?;
    if !reachable {
        return Ok(None);
    }
    told_or_asked(
        "--url",
        None,
        homeserver_url_like,
        "The address under which the homeserver reaches the bridge",
        Some(format!("http://{listen}")),
    )
    .map(Some)
}

/// Many homeservers answer at `matrix.` and are called by what follows.
fn guessed_server_name(homeserver_url: &str) -> Option<String> {
    let url = Url::parse(homeserver_url).ok()?;
    let host = url.domain()?;
    (host != "localhost").then(|| host.strip_prefix("matrix.").unwrap_or(host).to_owned())
}

fn theme() -> ColorfulTheme {
    ColorfulTheme::default()
}

fn told_wrong(flag: &str, problem: &str) -> Failure {
    Failure::new(format!("{flag} {problem}"))
}

fn gone(error: dialoguer::Error) -> Failure {
    let dialoguer::Error::IO(error) = error;
    Failure::new("nothing was written: the questions were not answered")
        .because(crate::failure::plain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_homeservers_name_is_guessed_from_its_address() {
        for (url, expected) in [
            ("https://matrix.example.org", Some("example.org")),
            ("https://example.org:8448", Some("example.org")),
            ("http://127.0.0.1:8008", None),
            ("http://localhost:8008", None),
        ] {
            assert_eq!(guessed_server_name(url).as_deref(), expected, "{url}");
        }
    }
}
