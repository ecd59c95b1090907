//! The application service as the homeserver knows it: whose token this is, what names are ours, what is limited, and
//! whether the homeserver reaches us.

use matrix_client::{
    MatrixApi, MatrixErrorKind, Session,
    ruma::{OwnedServerName, OwnedUserId, UserId},
};
use store::Binding;

use super::{
    Doctor,
    finding::{Finding, Report},
    namespaces, ping, rate_limit, shown,
};
use crate::{
    config::{AS_TOKEN, AppserviceMode, HOMESERVER_URL, SENDER_LOCALPART, SERVER_NAME},
    failure,
};

/// Whom the homeserver takes our token for.
#[derive(Debug)]
pub(super) struct Sender {
    /// Acts as that user.
    pub(super) session: Session,
    /// What the homeserver calls itself.
    pub(super) server_name: OwnedServerName,
}

/// Answers whom the homeserver takes us for, if it knows us.
pub(super) async fn check(
    doctor: &Doctor<'_>,
    mode: &AppserviceMode,
    bindings: Option<&[Binding]>,
    report: &mut Report,
) -> Option<Sender> {
    let Some(sender) = token(doctor, mode, report).await else {
        for check in ["user_namespace", "alias_namespace", "rate_limit", "ping"] {
            report.add(Finding::skipped(
                check,
                "the homeserver must know the token first",
            ));
        }
        return None;
    };
    namespaces::check(doctor, &sender, bindings, report).await;
    report.add(rate_limit::check(doctor, &sender).await);
    ping::check(doctor, mode, &sender, report).await;
    Some(sender)
}

/// The token is sent without naming a user: then the homeserver says whom it takes us for, instead of refusing.
async fn token(doctor: &Doctor<'_>, mode: &AppserviceMode, report: &mut Report) -> Option<Sender> {
    let config = doctor.config;
    let address = shown(&config.homeserver_url.value);
    let wanted = format!(
        "@{}:{}",
        doctor.value(&SENDER_LOCALPART),
        config.server_name.value
    );
    let wanted: OwnedUserId = match UserId::parse(wanted) {
        Ok(wanted) => wanted,
        Err(error) => {
            let message = format!(
                "{} and {} make no user id: {error}",
                doctor.name(&SENDER_LOCALPART),
                doctor.name(&SERVER_NAME)
            );
            report.add(Finding::problem("sender", message).settings(&[&SENDER_LOCALPART, &SERVER_NAME]));
            return None;
        }
    };
    let session = Session::with_access_token(wanted.clone(), mode.as_token.value.clone());
    let known = match doctor.matrix.whoami(&session).await {
        Ok(known) => known,
        Err(error) => {
            let failure = failure::of_matrix(&error, config);
            report.add(match error.kind() {
                MatrixErrorKind::Unauthorized { .. } | MatrixErrorKind::MissingToken => {
                    Finding::refused("as_token", &failure).settings(&[&AS_TOKEN])
                }
                _ => Finding::failed("as_token", &failure).settings(&[&HOMESERVER_URL]),
            });
            return None;
        }
    };
    if known.device_id.is_some() {
        let message = format!(
            "{} is the access token of {}, and not that of an application service",
            mode.as_token.name(),
            known.user_id
        );
        report.add(
            Finding::problem("as_token", message)
                .settings(&[&AS_TOKEN])
                .advice("Set it to the as_token of the registration file. `letta-matrix init` makes one."),
        );
        return None;
    }
    report.add(Finding::ok(
        "as_token",
        format!("{address} takes us for {}", known.user_id),
    ));
    let server_name = known.user_id.server_name().to_owned();
    report.add(sender(doctor, &wanted, &known.user_id));
    report.add(name_of_server(doctor, &server_name));
    Some(Sender {
        session: Session::with_access_token(known.user_id, mode.as_token.value.clone()),
        server_name,
    })
}

fn sender(doctor: &Doctor<'_>, wanted: &UserId, known: &UserId) -> Finding {
    let name = doctor.name(&SENDER_LOCALPART);
    if wanted.localpart() == known.localpart() {
        return Finding::ok("sender", format!("{name} is that of the registration"));
    }
    Finding::problem(
        "sender",
        format!(
            "the sender_localpart of the registration is {}, and {name} says {}",
            known.localpart(),
            wanted.localpart()
        ),
    )
    .settings(&[&SENDER_LOCALPART])
    .advice(format!("Set {name} to {}.", known.localpart()))
}

fn name_of_server(doctor: &Doctor<'_>, known: &OwnedServerName) -> Finding {
    let wanted = &doctor.config.server_name;
    if wanted.value == *known {
        return Finding::ok("server_name", format!("the homeserver calls itself {known}"));
    }
    Finding::problem(
        "server_name",
        format!(
            "the homeserver calls itself {known}, and {} says {}",
            wanted.name(),
            wanted.value
        ),
    )
    .settings(&[&SERVER_NAME])
    .advice(format!("Set {} to {known}.", wanted.name()))
}
