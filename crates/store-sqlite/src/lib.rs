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

mod accounts;
mod bindings;
mod deliveries;
mod error;
mod fence;
mod inbox;
mod leases;
mod open;
mod read_only;

use sqlx::SqlitePool;

/// The bridge's state in one SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    pool: SqlitePool,
}

impl SqliteStore {
    /// Waits for writes in progress and closes the file.
    pub async fn close(self) {
        self.pool.close().await;
    }
}
