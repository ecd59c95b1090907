//! The homeserver, as everybody sees it.

use matrix_client::{MatrixApi, Versions, ruma::api::MatrixVersion};

use super::{
    Doctor, clocks,
    finding::{Finding, Report},
    is_open_to_listeners, shown,
};
use crate::{config::HOMESERVER_URL, failure};

/// The first version with the paths that we use.
const NEEDED: MatrixVersion = MatrixVersion::V1_1;

/// Answers whether there is one at all.
pub(super) async fn check(doctor: &Doctor<'_>, report: &mut Report) -> bool {
    let config = doctor.config;
    let address = shown(&config.homeserver_url.value);
    let versions = match doctor.matrix.versions().await {
        Ok(versions) => versions,
        Err(error) => {
            report.add(
                Finding::failed("homeserver_connection", &failure::of_matrix(&error, config))
                    .settings(&[&HOMESERVER_URL]),
            );
            return false;
        }
    };
    let skew = doctor.matrix.clock_skew(doctor.clock.now());
    report.add(match newest(&versions) {
        Some(newest) if newest >= NEEDED => Finding::ok(
            "homeserver_connection",
            format!(
                "the homeserver answers at {address} and speaks Matrix up to {}",
                as_text(newest)
            ),
        ),
        _ => Finding::problem(
            "homeserver_connection",
            format!("the homeserver {address} is too old: it does not speak Matrix 1.1"),
        )
        .settings(&[&HOMESERVER_URL])
        .advice("Update the homeserver."),
    });
    if is_open_to_listeners(&config.homeserver_url.value) {
        report.add(
            Finding::warning(
                "homeserver_encryption",
                format!("{address} is not encrypted: whoever is on the way can read the token and every message"),
            )
            .settings(&[&HOMESERVER_URL])
            .advice(format!(
                "Give {} an https:// address, unless the network between here and the homeserver is yours alone.",
                config.homeserver_url.name()
            )),
        );
    }
    report.add(clocks::judge("homeserver_clock", "the homeserver", skew));
    true
}

fn newest(versions: &Versions) -> Option<MatrixVersion> {
    versions.to_ruma().versions.into_iter().max()
}

fn as_text(version: MatrixVersion) -> String {
    version
        .as_str()
        .map_or_else(|| "1".to_owned(), |text| text.trim_start_matches('v').to_owned())
}
