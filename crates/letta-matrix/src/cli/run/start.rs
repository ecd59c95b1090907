//! What is told at the start: with whom, as whom, where.

use std::net::SocketAddr;

use conversation::rights::Rights;

use super::journal::duration;
use crate::config::{AccountRegistration, Config, HS_TOKEN, Mode, PERMISSIONS, WEBHOOK_SECRET};

/// Tells what the service is connected to, as whom it acts, where it listens, and what it does not do.
pub(super) fn tell(config: &Config, address: SocketAddr) {
    let letta = config.letta_url.value.as_str().trim_end_matches('/');
    let homeserver = config.homeserver_url.value.as_str().trim_end_matches('/');
    tracing::info!(
        "letta-matrix {} keeps the agents of {letta} at home on {} ({homeserver})",
        env!("CARGO_PKG_VERSION"),
        config.server_name.value
    );
    tracing::info!("{}; the state is in {}", who(&config.mode), config.database.value);
    tracing::info!(
        "syncs every {}, on SIGHUP, and when the webhook asks for it; {}",
        duration(config.interval),
        match &config.webhook_secret {
            Some(_) => format!("the webhook is http://{address}/webhook/new-agent"),
            None => format!(
                "the webhook is off, because {} ({} in the file) is not set",
                WEBHOOK_SECRET.env, WEBHOOK_SECRET.key
            ),
        }
    );
    tracing::info!("listens at http://{address}{}", reach(address));
    if let Mode::Appservice(mode) = &config.mode
        && mode.hs_token.is_none()
    {
        tracing::info!(
            "the homeserver is not let in, because {} ({} in the file) is not set",
            HS_TOKEN.env,
            HS_TOKEN.key
        );
    }
    if config.permissions == Rights::default() {
        tracing::warn!(
            "nobody may talk with the agents, because {} ({} in the file) is not set",
            PERMISSIONS.env,
            PERMISSIONS.key
        );
    }
}

fn who(mode: &Mode) -> String {
    match mode {
        Mode::Appservice(mode) => format!(
            "acts as the application service {} with {}",
            mode.appservice.id, mode.appservice.sender
        ),
        Mode::Accounts(mode) => format!(
            "acts as {} and with an account for each agent, registered {}",
            mode.bot.value,
            match mode.registration {
                AccountRegistration::Open => "by open registration",
                AccountRegistration::Token(_) => "with a registration token",
                AccountRegistration::SharedSecret(_) => "with the shared secret",
            }
        ),
    }
}

fn reach(address: SocketAddr) -> &'static str {
    if address.ip().is_loopback() {
        ", for this machine alone"
    } else {
        ", for every machine that can reach it"
    }
}
