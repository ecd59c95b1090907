//! The store traits on PostgreSQL, for several instances of the bridge, or for one whose disk is not kept.
//!
//! Any number of processes may share one database. Tables are made in the first schema of the connection's
//! `search_path`. PostgreSQL knows no NUL in texts: wherever people or
//! servers write them it becomes U+FFFD.

mod accounts;
mod bindings;
mod connect;
mod deliveries;
mod error;
mod inbox;
mod leases;
mod statement;

use std::fmt;

use sqlx::PgPool;

pub use self::connect::Deadlines;

/// The bridge's state in a PostgreSQL database.
#[derive(Clone)]
pub struct PostgresStore {
    pool: PgPool,
    deadlines: Deadlines,
    /// User, host and database, as messages name them.
    shown: String,
}

impl PostgresStore {
    /// Waits for statements in progress and closes all connections.
    pub async fn close(self) {
        self.pool.close().await;
    }
}

/// Without the password, which the pool knows.
impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("database", &self.shown)
            .field("deadlines", &self.deadlines)
            .finish_non_exhaustive()
    }
}
