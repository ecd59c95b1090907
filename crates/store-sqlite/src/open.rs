//! Opening the file.

use std::{fs::OpenOptions, path::Path, time::Duration};

use sqlx::{
    Connection, SqliteConnection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous},
};
use store::{Result, StoreError, StoreErrorKind};

use crate::{
    SqliteStore,
    error::{failed, of_migration},
};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// How long a statement waits for another process's write.
pub(crate) const BUSY: Duration = Duration::from_secs(10);

impl SqliteStore {
    /// Opens the file, creating it and its tables if needed, and brings older tables up to date. A file that is
    /// created can be read by its owner alone, as far as the system knows of owners.
    ///
    /// # Errors
    /// `Unavailable` when the file can not be opened or written; `Foreign` when another program wrote it; `TooNew`
    /// when a newer version of this program did.
    pub async fn open(path: &Path) -> Result<Self> {
        let shown = shown(path);
        create(path).map_err(|error| {
            StoreError::new(StoreErrorKind::Unavailable, format!("cannot create {shown}")).with_source(error)
        })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY);
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await
            .map_err(failed(format!("open {shown}")))?;
        match prepare(&pool, &shown).await {
            Ok(()) => Ok(Self { pool }),
            Err(error) => {
                pool.close().await;
                Err(error)
            }
        }
    }
}

pub(crate) fn shown(path: &Path) -> String {
    format!("the database {}", path.display())
}

/// SQLite would make a file that everybody may read.
fn create(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Brings the tables up to date, all or nothing, while no other process does.
async fn prepare(pool: &SqlitePool, shown: &str) -> Result<()> {
    let doing = || failed(format!("prepare {shown}"));
    let mut connection = pool.acquire().await.map_err(doing())?;
    refuse_foreign(&mut connection, shown).await?;
    // Stays with the file. Not earlier: another program's file is left as it is.
    sqlx::query("PRAGMA journal_mode = WAL")
        .execute(&mut *connection)
        .await
        .map_err(doing())?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(doing())?;
    migrate(&mut transaction, shown).await?;
    transaction.commit().await.map_err(doing())
}

/// Answers `Foreign` when there are tables that are not ours.
pub(crate) async fn refuse_foreign(connection: &mut SqliteConnection, shown: &str) -> Result<()> {
    let foreign: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema)
             AND NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations')",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed(format!("read {shown}")))?;
    if foreign {
        return Err(StoreError::new(
            StoreErrorKind::Foreign,
            format!("{shown} belongs to another program: the state needs a file of its own"),
        ));
    }
    Ok(())
}

pub(crate) async fn migrate(connection: &mut SqliteConnection, shown: &str) -> Result<()> {
    let known = MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or_default();
    MIGRATIONS
        .run_direct(None, connection, false)
        .await
        .map_err(|error| of_migration(error, shown, known))
}
