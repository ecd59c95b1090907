//! [`DeliveryStore`] in SQL.

use async_trait::async_trait;
use ruma::EventId;
use serde_json::Value;
use sqlx::{Row, postgres::PgRow};
use store::{
    Delivery, DeliveryStore, Lease, Result,
    columns::{DeliveryColumns, corrupt, read_json, write_json, write_time},
};

use crate::{
    PostgresStore,
    statement::{fenced, text},
};

fn columns(row: &PgRow) -> sqlx::Result<DeliveryColumns> {
    Ok(DeliveryColumns {
        id: row.try_get("id")?,
        event_id: row.try_get("event_id")?,
        agent_id: row.try_get("agent_id")?,
        attempt: row.try_get("attempt")?,
        lane: row.try_get("lane")?,
        room_id: row.try_get("room_id")?,
        is_open: row.try_get("is_open")?,
        record: row.try_get("record")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

pub(crate) fn read(row: &PgRow) -> Result<Delivery> {
    columns(row)
        .map_err(|error| corrupt("a delivery", "column", error))?
        .read()
}

/// The key and the JSON of a small record.
fn read_record(kind: &str, row: &PgRow) -> Result<(String, Value)> {
    let broken = |error| corrupt(&format!("a {kind}"), "column", error);
    let key: String = row.try_get("key").map_err(broken)?;
    let json: String = row.try_get("record").map_err(broken)?;
    let record = read_json(&format!("the {kind} of {key}"), "record", &json)?;
    Ok((key, record))
}

#[async_trait]
impl DeliveryStore for PostgresStore {
    async fn list_open_deliveries(&self) -> Result<Vec<Delivery>> {
        let statement = sqlx::query("SELECT * FROM delivery WHERE is_open ORDER BY id");
        let rows = self.rows(statement, "read the open deliveries").await?;
        rows.iter().map(read).collect()
    }

    async fn list_deliveries_of(&self, event: &EventId) -> Result<Vec<Delivery>> {
        let statement =
            sqlx::query("SELECT * FROM delivery WHERE event_id = $1 ORDER BY id").bind(text(event.as_str()));
        let rows = self
            .rows(statement, &format!("read the deliveries for {event}"))
            .await?;
        rows.iter().map(read).collect()
    }

    async fn get_delivery(&self, id: i64) -> Result<Option<Delivery>> {
        let statement = sqlx::query("SELECT * FROM delivery WHERE id = $1").bind(id);
        let rows = self.rows(statement, &format!("read delivery {id}")).await?;
        rows.first().map(read).transpose()
    }

    async fn put_delivery(&self, delivery: &Delivery, lease: &Lease) -> Result<()> {
        let statement = fenced(
            "WITH fence AS (SELECT FROM lease WHERE name = $1 AND last_token = $2 FOR NO KEY UPDATE),
                 written AS (
                     UPDATE delivery SET record = $4, is_open = $5, updated_at = $6 FROM fence WHERE id = $3)
             SELECT FROM fence",
            lease,
        )
        .bind(delivery.id)
        .bind(DeliveryColumns::write_record(
            &delivery.of.event_id,
            &delivery.of.record,
        )?)
        .bind(delivery.is_open)
        .bind(write_time(delivery.updated_at));
        self.write_if_there(statement, &format!("write delivery {}", delivery.id), lease)
            .await
    }

    async fn get_record(&self, kind: &str, key: &str) -> Result<Option<Value>> {
        let statement = sqlx::query("SELECT key, record FROM record WHERE kind = $1 AND key = $2")
            .bind(text(kind))
            .bind(text(key));
        let rows = self.rows(statement, &format!("read the {kind} of {key}")).await?;
        rows.first()
            .map(|row| read_record(kind, row).map(|(_, record)| record))
            .transpose()
    }

    async fn list_records(&self, kind: &str) -> Result<Vec<(String, Value)>> {
        let statement =
            sqlx::query("SELECT key, record FROM record WHERE kind = $1 ORDER BY key").bind(text(kind));
        let rows = self
            .rows(statement, &format!("read all records of the kind {kind}"))
            .await?;
        rows.iter().map(|row| read_record(kind, row)).collect()
    }

    #[allow(
        clippy::needless_lifetimes,
        reason = "the lifetime of an optional reference is spelled out for mocks"
    )]
    async fn put_record<'a>(
        &self,
        kind: &str,
        key: &str,
        record: Option<&'a Value>,
        lease: &Lease,
    ) -> Result<()> {
        let doing = format!("write the {kind} of {key}");
        let Some(record) = record else {
            let statement = fenced(
                "WITH fence AS (SELECT FROM lease WHERE name = $1 AND last_token = $2 FOR NO KEY UPDATE),
                     removed AS (DELETE FROM record USING fence WHERE kind = $3 AND key = $4)
                 SELECT FROM fence",
                lease,
            )
            .bind(text(kind))
            .bind(text(key));
            return self.write_if_there(statement, &doing, lease).await;
        };
        let statement = fenced(
            "WITH fence AS (SELECT FROM lease WHERE name = $1 AND last_token = $2 FOR NO KEY UPDATE)
             INSERT INTO record (kind, key, record) SELECT $3, $4, $5 FROM fence
             ON CONFLICT (kind, key) DO UPDATE SET record = excluded.record",
            lease,
        )
        .bind(text(kind))
        .bind(text(key))
        .bind(write_json(&format!("the {kind} of {key}"), "record", record)?);
        self.write(statement, &doing, lease).await
    }
}
