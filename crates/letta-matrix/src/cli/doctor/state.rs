//! The state: whether it can be read, and what it says.

use store::{Binding, StoreError};

use super::{
    Doctor,
    finding::{Finding, Report},
};
use crate::{
    config::{DATABASE, Database},
    failure,
    output::one_line,
    state::OpenState,
};

/// How much of an agent's error is shown.
const MAX_ERROR: usize = 200;

/// Answers what is bound; `None` when the state cannot be read. Makes no file.
pub(super) async fn check(doctor: &Doctor<'_>, report: &mut Report) -> Option<Vec<Binding>> {
    let database = &doctor.config.database;
    let shown = &database.value;
    match bindings(doctor).await {
        Ok(None) => {
            let made = match shown {
                Database::Sqlite(_) => format!("makes {shown}"),
                Database::Postgres(_) => format!("makes it in {shown}"),
            };
            report.add(Finding::ok(
                "state",
                format!("there is no state yet: the first sync {made}"),
            ));
            Some(Vec::new())
        }
        Ok(Some(bindings)) => {
            let agents = match bindings.len() {
                1 => "1 agent".to_owned(),
                count => format!("{count} agents"),
            };
            report.add(Finding::ok("state", format!("{shown} knows {agents}")));
            failed(&bindings, report);
            Some(bindings)
        }
        Err(error) => {
            report.add(
                Finding::failed("state", &failure::of_store(&error, doctor.config)).settings(&[&DATABASE]),
            );
            None
        }
    }
}

/// `None`: there is no state.
async fn bindings(doctor: &Doctor<'_>) -> Result<Option<Vec<Binding>>, StoreError> {
    let Some(state) = OpenState::look(&doctor.config.database.value).await? else {
        return Ok(None);
    };
    let bindings = state.store().list_bindings().await;
    state.close().await;
    bindings.map(Some)
}

fn failed(bindings: &[Binding], report: &mut Report) {
    let mut failed = bindings
        .iter()
        .filter_map(|binding| Some((binding, binding.last_error.as_deref()?)));
    let Some((first, error)) = failed.next() else {
        return;
    };
    let name = one_line(&first.agent_name, 60);
    let error = one_line(error, MAX_ERROR);
    let message = match failed.count() {
        0 => format!("{name} could not be brought home: {error}"),
        others => format!("{} agents could not be brought home; {name}: {error}", others + 1),
    };
    report.add(Finding::warning("state_agents", message).advice(
        "See `letta-matrix status`. When nothing else is wrong here, `letta-matrix sync` tries again.",
    ));
}
