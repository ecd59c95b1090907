//! Writes that are refused once their lease was granted anew.
//!
//! A write of one statement looks at the lease's last token in it. SQLite has one writer at a time, so nobody is
//! granted the lease in between. A write of several is a transaction that is the writer from its begin.

use sqlx::{Sqlite, SqliteConnection, Transaction, query::Query, sqlite::SqliteArguments};
use store::{Lease, Result, StoreError};

use crate::{SqliteStore, error::failed};

const IS_LAST: &str = "SELECT EXISTS (SELECT 1 FROM lease WHERE name = $1 AND last_token = $2)";

/// A statement whose first two parameters are the name and the token of its lease.
pub(crate) fn fenced<'q>(sql: &'static str, lease: &'q Lease) -> Query<'q, Sqlite, SqliteArguments> {
    sqlx::query(sql).bind(&lease.name).bind(lease.token)
}

impl SqliteStore {
    /// Runs a [`fenced`] write that touches a row if its lease is the last that was granted.
    pub(crate) async fn write(
        &self,
        query: Query<'_, Sqlite, SqliteArguments>,
        doing: impl Into<String>,
        lease: &Lease,
    ) -> Result<()> {
        let done = query.execute(&self.pool).await.map_err(failed(doing))?;
        if done.rows_affected() == 0 {
            return Err(StoreError::lease_lost(lease));
        }
        Ok(())
    }

    /// Runs a [`fenced`] write that may touch no row because there is none.
    pub(crate) async fn write_if_there(
        &self,
        query: Query<'_, Sqlite, SqliteArguments>,
        doing: impl Into<String>,
        lease: &Lease,
    ) -> Result<()> {
        let done = query.execute(&self.pool).await.map_err(failed(doing))?;
        // Tokens only rise: if this one is the last now, it was then, and there was nothing to touch.
        if done.rows_affected() == 0 {
            let mut connection = self.pool.acquire().await.map_err(failed("read the lease"))?;
            refuse_lost(&mut connection, lease).await?;
        }
        Ok(())
    }

    /// Begins a transaction that writes alone until it ends. It is undone unless it is committed.
    pub(crate) async fn begin(&self, doing: impl Into<String>) -> Result<Transaction<'static, Sqlite>> {
        self.pool
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed(doing))
    }

    /// Like [`begin`](Self::begin), for writes under this lease.
    pub(crate) async fn begin_fenced(
        &self,
        doing: impl Into<String>,
        lease: &Lease,
    ) -> Result<Transaction<'static, Sqlite>> {
        let mut transaction = self.begin(doing).await?;
        refuse_lost(&mut transaction, lease).await?;
        Ok(transaction)
    }
}

/// Answers `LeaseLost` unless this lease is the last that was granted.
async fn refuse_lost(connection: &mut SqliteConnection, lease: &Lease) -> Result<()> {
    let is_last: bool = sqlx::query_scalar(IS_LAST)
        .bind(&lease.name)
        .bind(lease.token)
        .fetch_one(connection)
        .await
        .map_err(failed("read the lease"))?;
    if is_last {
        Ok(())
    } else {
        Err(StoreError::lease_lost(lease))
    }
}
