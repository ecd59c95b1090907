//! The state, wherever it is kept.

use std::sync::Arc;

use store::{Store, StoreError};
use store_postgres::PostgresStore;
use store_sqlite::SqliteStore;

use crate::{config::Database, failure::Failure};

/// The state, open.
#[derive(Debug)]
pub(crate) enum OpenState {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl OpenState {
    /// Opens it, making it if needed, and brings it up to date.
    pub(crate) async fn open(database: &Database) -> Result<Self, StoreError> {
        Ok(match database {
            Database::Sqlite(path) => Self::Sqlite(SqliteStore::open(path).await?),
            Database::Postgres(url) => Self::Postgres(PostgresStore::open(url.secret()).await?),
        })
    }

    /// Opens it to look at: nothing is made, written or brought up to date. `None` when there is no state yet.
    pub(crate) async fn look(database: &Database) -> Result<Option<Self>, StoreError> {
        Ok(match database {
            Database::Sqlite(path) => SqliteStore::open_read_only(path).await?.map(Self::Sqlite),
            Database::Postgres(url) => PostgresStore::open_read_only(url.secret())
                .await?
                .map(Self::Postgres),
        })
    }

    /// What it holds.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => Arc::new(store.clone()),
            Self::Postgres(store) => Arc::new(store.clone()),
        }
    }

    /// Waits for writes in progress and closes it.
    pub(crate) async fn close(self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

/// What this process is called among those that share the state. No two are called the same, not even a process and the
/// one that takes its place. A file is locked, so whoever uses it is the only one and needs no name.
pub(crate) fn instance(database: &Database) -> Result<Option<String>, Failure> {
    if database.file().is_some() {
        return Ok(None);
    }
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new("the system gives no random numbers").caused_by(&error))?;
    let host = gethostname::gethostname();
    Ok(Some(format!(
        "process {} on {}, {:08x}",
        std::process::id(),
        host.to_string_lossy(),
        u32::from_be_bytes(bytes)
    )))
}
