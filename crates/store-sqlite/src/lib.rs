//! The store traits on SQLite: one file, in WAL mode, with every write durable when the call returns.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use store::BindingStore;
//! use store_sqlite::SqliteStore;
//!
//! let folder = tempfile::tempdir()?;
//! let store = SqliteStore::open(&folder.path().join("bridge.db")).await?;
//! assert!(store.list_bindings().await?.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod bindings;

use std::{path::Path, time::Duration};

use sqlx::{
    SqlitePool,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use store::{Result, StoreError, StoreErrorKind};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// The bridge's state in one SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    pool: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, creating it and its tables if needed, and brings older tables up to date.
    ///
    /// # Errors
    /// `Unavailable` when the file can not be opened or written; `TooNew` when a newer version of this program wrote
    /// it.
    pub async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10))
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await
            .map_err(|error| {
                StoreError::new(
                    StoreErrorKind::Unavailable,
                    format!("cannot open the database {}", path.display()),
                )
                .with_source(error)
            })?;
        MIGRATIONS.run(&pool).await.map_err(|error| match error {
            MigrateError::VersionMissing(version) => StoreError::new(
                StoreErrorKind::TooNew,
                format!(
                    "the database {} was written by a newer version of letta-matrix (its schema is {version}, this \
                     program knows up to {}): run that version, or start with another file",
                    path.display(),
                    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default(),
                ),
            ),
            error => StoreError::new(
                StoreErrorKind::Unavailable,
                format!("cannot prepare the database {}", path.display()),
            )
            .with_source(error),
        })?;
        Ok(Self { pool })
    }

    /// Waits for writes in progress and closes the file.
    pub async fn close(self) {
        self.pool.close().await;
    }
}
