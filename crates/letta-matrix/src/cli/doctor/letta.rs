//! Letta: whether it is there, lets us in, and lets nobody else in.

use letta_client::{AgentQuery, LettaApi, LettaApiExt, LettaError, LettaErrorKind, http::HttpLetta};

use super::{
    Doctor, clocks,
    finding::{Finding, Report},
    is_open_to_listeners, letta_builder, shown,
};
use crate::{
    config::{LETTA_TOKEN, LETTA_URL},
    failure,
};

/// A token that no server has.
const MADE_UP_TOKEN: &str = "made-up-by-letta-matrix-doctor";

pub(super) async fn check(doctor: &Doctor<'_>, report: &mut Report) {
    let config = doctor.config;
    let address = shown(&config.letta_url.value);
    let health = doctor.letta.health().await;
    let skew = doctor.letta.clock_skew(doctor.clock.now());
    match health {
        Ok(health) => report.add(Finding::ok(
            "letta_connection",
            format!("Letta {} answers at {address}", health.version),
        )),
        Err(error) => {
            report.add(no_connection(doctor, &error));
            return;
        }
    }
    if is_open_to_listeners(&config.letta_url.value) {
        report.add(
            Finding::warning(
                "letta_encryption",
                format!("{address} is not encrypted: whoever is on the way can read the token and every conversation"),
            )
            .settings(&[&LETTA_URL])
            .advice(format!(
                "Give {} an https:// address, unless the network between here and Letta is yours alone.",
                config.letta_url.name()
            )),
        );
    }
    report.add(clocks::judge("letta_clock", "Letta", skew));
    report.add(agents(doctor).await);
    report.add(door(doctor).await);
}

/// Health is asked for without a token: what fails here is the way to the server.
fn no_connection(doctor: &Doctor<'_>, error: &LettaError) -> Finding {
    let config = doctor.config;
    let finding = match error.kind() {
        LettaErrorKind::NotFound => Finding::problem(
            "letta_connection",
            format!(
                "{} does not answer as a Letta server does: {error}",
                shown(&config.letta_url.value)
            ),
        )
        .advice(format!("Check {}.", config.letta_url.name())),
        _ => Finding::failed("letta_connection", &failure::of_letta(error, config)),
    };
    finding.settings(&[&LETTA_URL])
}

async fn agents(doctor: &Doctor<'_>) -> Finding {
    match doctor.letta.list_all_agents(&AgentQuery::default()).await {
        Ok(listing) => {
            let agents = match listing.agents.len() {
                0 => "Letta lets us in and lists no agents yet".to_owned(),
                1 => "Letta lets us in and lists 1 agent".to_owned(),
                count => format!("Letta lets us in and lists {count} agents"),
            };
            if listing.is_complete() {
                Finding::ok("letta_agents", agents)
            } else {
                Finding::warning("letta_agents", format!("{agents}, then the list broke off")).advice(
                    "Run doctor again. If it stays, look into the log of the Letta server: while the list is not \
                     complete, no agent is taken for gone.",
                )
            }
        }
        Err(error) => {
            let finding = Finding::failed("letta_agents", &failure::of_letta(&error, doctor.config));
            match error.kind() {
                LettaErrorKind::Unauthorized | LettaErrorKind::Forbidden => finding.settings(&[&LETTA_TOKEN]),
                _ => finding.settings(&[&LETTA_URL]),
            }
        }
    }
}

/// Whether a token that nobody ever made opens it.
async fn door(doctor: &Doctor<'_>) -> Finding {
    let config = doctor.config;
    let address = shown(&config.letta_url.value);
    let stranger: HttpLetta = match letta_builder(config).token(MADE_UP_TOKEN.into()).build() {
        Ok(stranger) => stranger,
        Err(error) => return Finding::failed("letta_door", &failure::of_letta(&error, config)),
    };
    let query = AgentQuery {
        limit: 1,
        ..AgentQuery::default()
    };
    match stranger.list_agents(&query).await {
        Ok(_) => Finding::warning(
            "letta_door",
            format!(
                "{address} lets everybody in: it took a token that we made up. Whoever can reach it can read and \
                 change every agent and run their tools"
            ),
        )
        .settings(&[&LETTA_TOKEN])
        .advice(format!(
            "Start Letta with --secure (SECURE=true in a container) and a LETTA_SERVER_PASSWORD, and set {} to that \
             password.",
            doctor.name(&LETTA_TOKEN)
        )),
        Err(error) => match error.kind() {
            LettaErrorKind::Unauthorized | LettaErrorKind::Forbidden => {
                Finding::ok("letta_door", "Letta refuses a token that it did not give out")
            }
            _ => Finding::skipped("letta_door", format!("whether Letta is open to all could not be tried: {error}")),
        },
    }
}
