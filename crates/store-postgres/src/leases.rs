//! [`LeaseStore`] in SQL.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{Row, postgres::PgRow};
use store::{
    Lease, LeaseStore, Result,
    columns::{corrupt, parse, write_time},
};

use crate::PostgresStore;

/// When a lease ends. One that would outlast all time ends with it.
fn end(now: Timestamp, ttl: Duration) -> Timestamp {
    now.checked_add(ttl).unwrap_or(Timestamp::MAX)
}

fn read(name: &str, row: &PgRow) -> Result<Lease> {
    let record = format!("the lease of {name}");
    let column = |column: &'static str| move |error| corrupt(&format!("the lease of {name}"), column, error);
    let expires_at: String = row.try_get("expires_at").map_err(column("expires_at"))?;
    Ok(Lease {
        name: name.to_owned(),
        holder: row.try_get("holder").map_err(column("holder"))?,
        token: row.try_get("last_token").map_err(column("last_token"))?,
        expires_at: parse(&record, "expires_at", &expires_at)?,
    })
}

#[async_trait]
impl LeaseStore for PostgresStore {
    async fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Option<Lease>> {
        let statement = sqlx::query(
            "INSERT INTO lease (name, last_token, holder, expires_at) VALUES ($1, 1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET
                 last_token = lease.last_token + 1, holder = excluded.holder, expires_at = excluded.expires_at
             WHERE lease.holder IS NULL OR lease.holder = excluded.holder OR lease.expires_at <= $4
             RETURNING last_token, holder, expires_at",
        )
        .bind(name)
        .bind(holder)
        .bind(write_time(end(now, ttl)))
        .bind(write_time(now));
        let rows = self
            .rows(statement, &format!("acquire the lease of {name}"))
            .await?;
        rows.first().map(|row| read(name, row)).transpose()
    }

    async fn renew_lease(&self, lease: &Lease, now: Timestamp, ttl: Duration) -> Result<Option<Lease>> {
        let statement = sqlx::query(
            "UPDATE lease SET expires_at = $3 WHERE name = $1 AND last_token = $2 AND holder IS NOT NULL
             RETURNING last_token, holder, expires_at",
        )
        .bind(&lease.name)
        .bind(lease.token)
        .bind(write_time(end(now, ttl)));
        let rows = self
            .rows(statement, &format!("renew the lease of {}", lease.name))
            .await?;
        rows.first().map(|row| read(&lease.name, row)).transpose()
    }

    async fn release_lease(&self, lease: &Lease) -> Result<()> {
        let statement = sqlx::query(
            "UPDATE lease SET holder = NULL, expires_at = NULL WHERE name = $1 AND last_token = $2",
        )
        .bind(&lease.name)
        .bind(lease.token);
        self.execute(statement, &format!("give back the lease of {}", lease.name))
            .await?;
        Ok(())
    }

    async fn get_lease(&self, name: &str) -> Result<Option<Lease>> {
        let statement = sqlx::query(
            "SELECT last_token, holder, expires_at FROM lease WHERE name = $1 AND holder IS NOT NULL",
        )
        .bind(name);
        let rows = self.rows(statement, &format!("read the lease of {name}")).await?;
        rows.first().map(|row| read(name, row)).transpose()
    }
}
