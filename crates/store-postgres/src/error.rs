//! PostgreSQL's errors as the store's.

use sqlx::{Error, migrate::MigrateError};
use store::{StoreError, StoreErrorKind};

/// What could not be done, and why.
pub(crate) fn failed(doing: &str, error: Error) -> StoreError {
    StoreError::new(kind(&error), format!("cannot {doing}")).with_source(error)
}

fn kind(error: &Error) -> StoreErrorKind {
    match error {
        Error::Database(cause) if cause.is_unique_violation() => StoreErrorKind::Conflict,
        Error::Database(cause) => cause
            .code()
            .map_or(StoreErrorKind::Unavailable, |code| of_sqlstate(&code)),
        Error::ColumnDecode { .. } | Error::Decode(_) => StoreErrorKind::Corrupt,
        _ => StoreErrorKind::Unavailable,
    }
}

/// By PostgreSQL's table of error codes.
fn of_sqlstate(code: &str) -> StoreErrorKind {
    match code {
        // Invalid authorization, unknown database, unknown schema, insufficient privilege, read-only transaction.
        "3D000" | "3F000" | "42501" | "25006" => StoreErrorKind::Refused,
        code if code.starts_with("28") => StoreErrorKind::Refused,
        "53100" => StoreErrorKind::Full,
        // Damaged data and indexes.
        code if code.starts_with("XX") => StoreErrorKind::Corrupt,
        _ => StoreErrorKind::Unavailable,
    }
}

/// Making or updating the tables failed.
pub(crate) fn of_migration(shown: &str, error: MigrateError) -> StoreError {
    let kind = match &error {
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => kind(cause),
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind, format!("cannot prepare {shown}")).with_source(error)
}

/// The deadline passed.
pub(crate) fn no_answer(doing: &str, waited: std::time::Duration) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!(
            "cannot {doing}: the database did not answer for {} s",
            waited.as_secs_f32()
        ),
    )
}
