//! [`LeaseStore`] in SQL.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use store::{
    Lease, LeaseStore, Result,
    columns::{parse, write_time},
};

use crate::{SqliteStore, error::failed};

/// When a lease ends. One that would outlast all time ends with it.
fn end(now: Timestamp, ttl: Duration) -> Timestamp {
    now.checked_add(ttl).unwrap_or(Timestamp::MAX)
}

#[async_trait]
impl LeaseStore for SqliteStore {
    async fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Option<Lease>> {
        let expires_at = end(now, ttl);
        // All rows are fetched, there is at most one: only a statement that ran to its end is known to be committed.
        let tokens: Vec<i64> = sqlx::query_scalar(
            "INSERT INTO lease (name, last_token, holder, expires_at) VALUES ($1, 1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET
                 last_token = lease.last_token + 1, holder = excluded.holder, expires_at = excluded.expires_at
             WHERE lease.holder IS NULL OR lease.holder = excluded.holder OR lease.expires_at <= $4
             RETURNING last_token",
        )
        .bind(name)
        .bind(holder)
        .bind(write_time(expires_at))
        .bind(write_time(now))
        .fetch_all(&self.pool)
        .await
        .map_err(failed(format!("acquire the lease of {name}")))?;
        Ok(tokens.first().map(|token| Lease {
            name: name.to_owned(),
            holder: holder.to_owned(),
            token: *token,
            expires_at,
        }))
    }

    async fn renew_lease(&self, lease: &Lease, now: Timestamp, ttl: Duration) -> Result<Option<Lease>> {
        let expires_at = end(now, ttl);
        let done = sqlx::query(
            "UPDATE lease SET expires_at = $3 WHERE name = $1 AND last_token = $2 AND holder IS NOT NULL",
        )
        .bind(&lease.name)
        .bind(lease.token)
        .bind(write_time(expires_at))
        .execute(&self.pool)
        .await
        .map_err(failed(format!("renew the lease of {}", lease.name)))?;
        Ok((done.rows_affected() == 1).then(|| Lease {
            expires_at,
            ..lease.clone()
        }))
    }

    async fn release_lease(&self, lease: &Lease) -> Result<()> {
        sqlx::query("UPDATE lease SET holder = NULL, expires_at = NULL WHERE name = $1 AND last_token = $2")
            .bind(&lease.name)
            .bind(lease.token)
            .execute(&self.pool)
            .await
            .map_err(failed(format!("give back the lease of {}", lease.name)))?;
        Ok(())
    }

    async fn get_lease(&self, name: &str) -> Result<Option<Lease>> {
        let row: Option<(i64, String, String)> = sqlx::query_as(
            "SELECT last_token, holder, expires_at FROM lease WHERE name = $1 AND holder IS NOT NULL",
        )
        .bind(name)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed(format!("read the lease of {name}")))?;
        row.map(|(token, holder, expires_at)| {
            Ok(Lease {
                name: name.to_owned(),
                holder,
                token,
                expires_at: parse(&format!("the lease of {name}"), "expires_at", &expires_at)?,
            })
        })
        .transpose()
    }
}
