//! Running one statement, and no longer than it may take.
//!
//! A write under a lease locks the row of its lease against being granted anew, looks whether its token is the last, and
//! holds the lock until it is committed: who is granted the lease sees all that was written before, and nobody writes
//! after. The lock is exclusive although a shared one would do: a grant waits behind the writers that came before it,
//! and not behind all those that keep coming. Nearly every write is one statement.

use sqlx::{
    Connection, PgConnection, Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgQueryResult, PgRow},
    query::Query,
};
use store::{Lease, Result, StoreError};

use crate::{
    PostgresStore,
    error::{failed, no_answer},
};

/// A statement with its parameters.
pub(crate) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// A statement whose first two parameters are the name and the token of its lease.
pub(crate) fn fenced<'q>(sql: &'static str, lease: &'q Lease) -> Statement<'q> {
    sqlx::query(sql).bind(&lease.name).bind(lease.token)
}

/// PostgreSQL refuses texts with NUL.
pub(crate) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

impl PostgresStore {
    /// All rows that a statement answers.
    pub(crate) async fn rows(&self, statement: Statement<'_>, doing: &str) -> Result<Vec<PgRow>> {
        let mut connection = self.connection(doing).await?;
        let rows = statement.fetch_all(connection.as_mut() as &mut PgConnection);
        let rows = tokio::time::timeout(self.deadlines.statement, rows).await;
        self.finish(connection, rows, doing)
    }

    /// How many rows a statement touched.
    pub(crate) async fn execute(&self, statement: Statement<'_>, doing: &str) -> Result<u64> {
        let mut connection = self.connection(doing).await?;
        let done = statement.execute(connection.as_mut() as &mut PgConnection);
        let done = tokio::time::timeout(self.deadlines.statement, done).await;
        self.finish(connection, done, doing)
            .map(|done: PgQueryResult| done.rows_affected())
    }

    /// Runs a [`fenced`] write that touches a row if its lease is the last that was granted.
    pub(crate) async fn write(&self, statement: Statement<'_>, doing: &str, lease: &Lease) -> Result<()> {
        if self.execute(statement, doing).await? == 0 {
            return Err(StoreError::lease_lost(lease));
        }
        Ok(())
    }

    /// Runs a [`fenced`] write that answers a row if its lease is the last that was granted.
    pub(crate) async fn write_if_there(
        &self,
        statement: Statement<'_>,
        doing: &str,
        lease: &Lease,
    ) -> Result<()> {
        if self.rows(statement, doing).await?.is_empty() {
            return Err(StoreError::lease_lost(lease));
        }
        Ok(())
    }

    /// Runs statements one after the other under a lease, all or nothing, and answers the rows of the last. Together
    /// they may take as long as one.
    pub(crate) async fn transaction(
        &self,
        statements: Vec<Statement<'_>>,
        doing: &str,
        lease: &Lease,
    ) -> Result<Vec<PgRow>> {
        let mut connection = self.connection(doing).await?;
        let done = async {
            let mut transaction = connection.begin().await?;
            let fence = fenced(
                "SELECT FROM lease WHERE name = $1 AND last_token = $2 FOR NO KEY UPDATE",
                lease,
            );
            if fence.fetch_all(&mut *transaction).await?.is_empty() {
                transaction.rollback().await?;
                return Ok(None);
            }
            let mut rows = Vec::new();
            for statement in statements {
                rows = statement.fetch_all(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(Some(rows))
        };
        let done = tokio::time::timeout(self.deadlines.statement, done).await;
        self.finish(connection, done, doing)?
            .ok_or_else(|| StoreError::lease_lost(lease))
    }

    async fn connection(&self, doing: &str) -> Result<PoolConnection<Postgres>> {
        self.pool.acquire().await.map_err(|error| match error {
            // Whether nobody is there or nobody answers: the pool does not tell.
            sqlx::Error::PoolTimedOut => no_answer(doing, self.deadlines.connect),
            error => failed(doing, error),
        })
    }

    fn finish<T>(
        &self,
        mut connection: PoolConnection<Postgres>,
        done: std::result::Result<sqlx::Result<T>, tokio::time::error::Elapsed>,
        doing: &str,
    ) -> Result<T> {
        match done {
            Ok(done) => done.map_err(|error| failed(doing, error)),
            Err(_) => {
                // Given back to the pool, it would wait there for an answer that may never come.
                connection.close_on_drop();
                Err(no_answer(doing, self.deadlines.statement))
            }
        }
    }
}
