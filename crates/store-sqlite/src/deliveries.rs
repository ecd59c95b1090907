//! [`DeliveryStore`] in SQL.

use async_trait::async_trait;
use ruma::EventId;
use serde_json::Value;
use sqlx::{FromRow, Row, sqlite::SqliteRow};
use store::{
    Delivery, DeliveryStore, Lease, Result,
    columns::{DeliveryColumns, read_json, write_json, write_time},
};

use crate::{SqliteStore, error::failed, fence::fenced};

pub(crate) struct DeliveryRow(pub(crate) DeliveryColumns);

impl FromRow<'_, SqliteRow> for DeliveryRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self(DeliveryColumns {
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
        }))
    }
}

#[async_trait]
impl DeliveryStore for SqliteStore {
    async fn list_open_deliveries(&self) -> Result<Vec<Delivery>> {
        // Named, because the table too is in the order that is asked for, and nearly all of it is done.
        sqlx::query_as("SELECT * FROM delivery INDEXED BY delivery_open WHERE is_open = 1 ORDER BY id")
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the open deliveries"))?
            .into_iter()
            .map(|DeliveryRow(columns)| columns.read())
            .collect()
    }

    async fn list_deliveries_of(&self, event: &EventId) -> Result<Vec<Delivery>> {
        sqlx::query_as("SELECT * FROM delivery WHERE event_id = $1 ORDER BY id")
            .bind(event.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(failed(format!("read the deliveries for {event}")))?
            .into_iter()
            .map(|DeliveryRow(columns)| columns.read())
            .collect()
    }

    async fn get_delivery(&self, id: i64) -> Result<Option<Delivery>> {
        sqlx::query_as("SELECT * FROM delivery WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed(format!("read delivery {id}")))?
            .map(|DeliveryRow(columns)| columns.read())
            .transpose()
    }

    async fn put_delivery(&self, delivery: &Delivery, lease: &Lease) -> Result<()> {
        let query = fenced(
            "UPDATE delivery SET record = $4, is_open = $5, updated_at = $6
             WHERE id = $3 AND EXISTS (SELECT 1 FROM lease WHERE name = $1 AND last_token = $2)",
            lease,
        )
        .bind(delivery.id)
        .bind(DeliveryColumns::write_record(
            &delivery.of.event_id,
            &delivery.of.record,
        )?)
        .bind(delivery.is_open)
        .bind(write_time(delivery.updated_at));
        self.write_if_there(query, format!("write delivery {}", delivery.id), lease)
            .await
    }

    async fn get_record(&self, kind: &str, key: &str) -> Result<Option<Value>> {
        let record: Option<String> =
            sqlx::query_scalar("SELECT record FROM record WHERE kind = $1 AND key = $2")
                .bind(kind)
                .bind(key)
                .fetch_optional(&self.pool)
                .await
                .map_err(failed(format!("read the {kind} of {key}")))?;
        record
            .map(|json| read_json(&format!("the {kind} of {key}"), "record", &json))
            .transpose()
    }

    async fn list_records(&self, kind: &str) -> Result<Vec<(String, Value)>> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT key, record FROM record WHERE kind = $1 ORDER BY key")
                .bind(kind)
                .fetch_all(&self.pool)
                .await
                .map_err(failed(format!("read all records of the kind {kind}")))?;
        rows.into_iter()
            .map(|(key, json)| {
                let record = read_json(&format!("the {kind} of {key}"), "record", &json)?;
                Ok((key, record))
            })
            .collect()
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
            let query = fenced(
                "DELETE FROM record WHERE kind = $3 AND key = $4
                 AND EXISTS (SELECT 1 FROM lease WHERE name = $1 AND last_token = $2)",
                lease,
            )
            .bind(kind)
            .bind(key);
            return self.write_if_there(query, doing, lease).await;
        };
        let query = fenced(
            "INSERT INTO record (kind, key, record) SELECT $3, $4, $5 FROM lease WHERE name = $1 AND last_token = $2
             ON CONFLICT (kind, key) DO UPDATE SET record = excluded.record",
            lease,
        )
        .bind(kind)
        .bind(key)
        .bind(write_json(&format!("the {kind} of {key}"), "record", record)?);
        self.write(query, doing, lease).await
    }
}
