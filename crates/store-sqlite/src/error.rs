//! SQLite's errors as the store's.

use sqlx::{Error, error::DatabaseError, migrate::MigrateError};
use store::{StoreError, StoreErrorKind};

/// For `map_err`: what could not be done.
pub(crate) fn failed(doing: impl Into<String>) -> impl FnOnce(Error) -> StoreError {
    let message = format!("cannot {}", doing.into());
    move |error| {
        let kind = match &error {
            Error::Database(cause) if cause.is_unique_violation() => StoreErrorKind::Conflict,
            Error::Database(cause) if is_damage(&**cause) => StoreErrorKind::Corrupt,
            Error::ColumnDecode { .. } | Error::Decode(_) => StoreErrorKind::Corrupt,
            _ => StoreErrorKind::Unavailable,
        };
        StoreError::new(kind, message).with_source(error)
    }
}

/// `SQLITE_CORRUPT` and its extended codes.
fn is_damage(error: &dyn DatabaseError) -> bool {
    let code = error.code().and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 11)
}

/// What went wrong with the schema of the database that `shown` names.
pub(crate) fn of_migration(error: MigrateError, shown: &str, known: i64) -> StoreError {
    match error {
        MigrateError::VersionMissing(version) => StoreError::new(
            StoreErrorKind::TooNew,
            format!(
                "{shown} was written by a newer version of letta-matrix (its schema is {version}, this program knows \
                 up to {known}): run that version, or start with another file"
            ),
        ),
        error => {
            StoreError::new(StoreErrorKind::Unavailable, format!("cannot prepare {shown}")).with_source(error)
        }
    }
}
