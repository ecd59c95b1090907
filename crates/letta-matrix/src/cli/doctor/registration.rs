//! The registration file, where we are told of it: whether it and the settings say the same.

use matrix_client::ruma::api::appservice::Registration;
use secrecy::ExposeSecret;

use super::{
    Doctor,
    finding::{Finding, Report},
};
use crate::{
    config::{
        APPSERVICE_ID, AS_TOKEN, AppserviceMode, HS_TOKEN, REGISTRATION, SENDER_LOCALPART, SPACE_ALIAS,
        Setting, USER_PREFIX,
    },
    registration::{self, Coverage, aliases_of, coverage, exactly, users_of},
};

const CHECK: &str = "registration";

pub(super) fn check(doctor: &Doctor<'_>, mode: &AppserviceMode, report: &mut Report) {
    let Some(path) = &mode.registration else {
        return;
    };
    let registration = match registration::read(&path.value) {
        Ok(registration) => registration,
        Err(failure) => {
            report.add(
                Finding::failed(CHECK, &failure)
                    .settings(&[&REGISTRATION])
                    .advice(format!("Check {}.", path.name())),
            );
            return;
        }
    };
    let differing = compare(doctor, mode, &registration);
    if differing.is_empty() {
        report.add(Finding::ok(
            CHECK,
            format!("{} and the settings agree", path.value.display()),
        ));
    }
    for (what, setting) in differing {
        let finding = Finding::problem(CHECK, format!("{}: {what}", path.value.display()));
        report.add(match setting {
            Some(setting) => finding.settings(&[setting]).advice(format!(
                "Change {} or the file. A changed file must be installed, and the homeserver restarted.",
                doctor.name(setting)
            )),
            None => finding.advice("Change the file, install it, and restart the homeserver."),
        });
    }
}

/// What differs, and the setting it is about. No secret is shown.
fn compare(
    doctor: &Doctor<'_>,
    mode: &AppserviceMode,
    registration: &Registration,
) -> Vec<(String, Option<&'static Setting>)> {
    let config = doctor.config;
    let server_name = &config.server_name.value;
    let (prefix, sender, space) = (
        doctor.value(&USER_PREFIX),
        doctor.value(&SENDER_LOCALPART),
        doctor.value(&SPACE_ALIAS),
    );
    let mut differing: Vec<(String, Option<&'static Setting>)> = Vec::new();
    let id = doctor.value(&APPSERVICE_ID);
    if registration.id != id {
        differing.push((
            format!("its id is {:?}, and not {id:?}", registration.id),
            Some(&APPSERVICE_ID),
        ));
    }
    if registration.as_token != mode.as_token.value.expose_secret() {
        differing.push(("its as_token is another".to_owned(), Some(&AS_TOKEN)));
    }
    if let Some(hs_token) = &mode.hs_token
        && registration.hs_token != hs_token.value.expose_secret()
    {
        differing.push(("its hs_token is another".to_owned(), Some(&HS_TOKEN)));
    }
    if registration.sender_localpart != sender {
        let what = format!(
            "its sender_localpart is {:?}, and not {sender:?}",
            registration.sender_localpart
        );
        differing.push((what, Some(&SENDER_LOCALPART)));
    }
    if registration.rate_limited != Some(false) {
        let what = "rate_limited: false is missing: making the rooms of many agents takes hours";
        differing.push((what.to_owned(), None));
    }
    let namespaces = &registration.namespaces;
    for (kind, namespaces, name, regex, setting) in [
        (
            "users",
            &namespaces.users,
            format!("@{prefix}001:{server_name}"),
            users_of(&prefix, server_name),
            &USER_PREFIX,
        ),
        (
            "aliases",
            &namespaces.aliases,
            format!("#{prefix}001:{server_name}"),
            aliases_of(&prefix, server_name),
            &USER_PREFIX,
        ),
        (
            "aliases",
            &namespaces.aliases,
            format!("#{space}:{server_name}"),
            exactly('#', &space, server_name),
            &SPACE_ALIAS,
        ),
    ] {
        let what = match coverage(namespaces, &name) {
            Coverage::Exclusive => continue,
            Coverage::Shared => {
                format!("under namespaces, {kind} exclusive: true is missing beside '{regex}'")
            }
            Coverage::None => format!("under namespaces, {kind} '{regex}' is missing"),
        };
        differing.push((what, Some(setting)));
    }
    differing
}
