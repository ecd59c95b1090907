//! SQLite's errors as the store's.

use sqlx::{Error, error::DatabaseError, migrate::MigrateError};
use store::{StoreError, StoreErrorKind};

/// For `map_err`: what could not be done.
pub(crate) fn failed(doing: impl Into<String>) -> impl FnOnce(Error) -> StoreError {
    let message = format!("cannot {}", doing.into());
    move |error| StoreError::new(kind(&error), message).with_source(error)
}

fn kind(error: &Error) -> StoreErrorKind {
    match error {
        Error::Database(cause) if cause.is_unique_violation() => StoreErrorKind::Conflict,
        Error::Database(cause) => of_code(&**cause),
        Error::ColumnDecode { .. } | Error::Decode(_) => StoreErrorKind::Corrupt,
        _ => StoreErrorKind::Unavailable,
    }
}

/// By SQLite's table of result codes. The lowest byte of an extended code is the code that it extends.
fn of_code(error: &dyn DatabaseError) -> StoreErrorKind {
    let code = error.code().and_then(|code| code.parse::<u32>().ok());
    match code.map(|code| code & 0xff) {
        // SQLITE_BUSY, SQLITE_LOCKED.
        Some(5 | 6) => StoreErrorKind::Busy,
        // SQLITE_CORRUPT.
        Some(11) => StoreErrorKind::Corrupt,
        // SQLITE_FULL.
        Some(13) => StoreErrorKind::Full,
        _ => StoreErrorKind::Unavailable,
    }
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
            let kind = match &error {
                MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => kind(cause),
                _ => StoreErrorKind::Unavailable,
            };
            StoreError::new(kind, format!("cannot prepare {shown}")).with_source(error)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
    use store::{Arrival, Clock, InboxStore, Intake, LeaseStore, SystemClock};

    use super::*;
    use crate::SqliteStore;

    /// More than one page of the file holds.
    fn intake() -> Intake {
        let arrivals = (0..20).map(|number| Arrival {
            event_id: format!("$event{number}").try_into().unwrap(),
            room_id: "!room:matrix.test".try_into().unwrap(),
            sender: "@ann:matrix.test".try_into().unwrap(),
            event: format!("{{\"number\":{number},\"text\":\"{}\"}}", "x".repeat(2000)),
            received_at: SystemClock.now(),
        });
        Intake {
            arrivals: arrivals.collect(),
            ..Intake::default()
        }
    }

    /// How many pages the file may have: a setting of each connection.
    async fn limit(store: &SqliteStore, pages: &'static str) {
        let mut connections = Vec::new();
        for _ in 0..store.pool.options().get_max_connections() {
            let mut connection = store.pool.acquire().await.unwrap();
            sqlx::query(pages).execute(&mut *connection).await.unwrap();
            connections.push(connection);
        }
    }

    #[tokio::test]
    async fn a_full_file_says_so_keeps_nothing_of_the_write_and_goes_on_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("bridge.db")).await.unwrap();
        // Not below what it has.
        limit(&store, "PRAGMA max_page_count = 1").await;
        let error = store.accept(&intake()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.is_retryable()),
            (StoreErrorKind::Full, true),
            "{error:?}"
        );
        assert_eq!(store.list_undecided(100).await.unwrap(), [], "all or nothing");
        limit(&store, "PRAGMA max_page_count = 1000000").await;
        assert_eq!(store.accept(&intake()).await.unwrap(), 20);
        store.close().await;
    }

    #[tokio::test]
    async fn a_locked_file_says_so_is_read_all_the_same_and_goes_on_when_it_is_let_go_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bridge.db");
        let store = SqliteStore::open(&path).await.unwrap();
        let options = SqliteConnectOptions::new().filename(&path);
        let mut stranger = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query("BEGIN EXCLUSIVE")
            .execute(&mut stranger)
            .await
            .unwrap();

        let events = intake();
        let acquired = store.acquire_lease("x", "test", SystemClock.now(), crate::open::BUSY);
        let (accepted, acquired, opened) =
            tokio::join!(store.accept(&events), acquired, SqliteStore::open(&path));
        for error in [accepted.unwrap_err(), acquired.unwrap_err(), opened.unwrap_err()] {
            assert_eq!(
                (error.kind(), error.is_retryable()),
                (StoreErrorKind::Busy, true),
                "{error:?}"
            );
        }
        assert_eq!(store.list_undecided(100).await.unwrap(), []);

        stranger.close().await.unwrap();
        assert_eq!(store.accept(&events).await.unwrap(), 20);
        store.close().await;
    }
}
