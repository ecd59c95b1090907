//! Opening the state to look at it.

use super::Global;
use crate::{
    config::{self, Database, Sourced},
    failure::{self, Failure},
    state::OpenState,
};

/// The state, and where it is. That there is none yet is an error which says so.
pub(super) async fn state(
    place: Option<&str>,
    global: &Global,
) -> Result<(OpenState, Sourced<Database>), Failure> {
    let flags = place
        .map(|place| (config::DATABASE.key, place.to_owned()))
        .into_iter()
        .collect();
    let database = config::database(&global.values(flags)?)?;
    let state = OpenState::look(&database.value).await;
    match state.map_err(|error| failure::of_state(&error, &database))? {
        Some(state) => Ok((state, database)),
        None => Err(Failure::new(match &database.value {
            Database::Sqlite(path) => format!("there is no state yet: {} does not exist", path.display()),
            address @ Database::Postgres(_) => format!("there is no state yet in {address}"),
        })
        .advice(format!(
            "Run `letta-matrix sync` first, or check {}.",
            database.name()
        ))),
    }
}
