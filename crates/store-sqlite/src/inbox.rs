//! [`InboxStore`] in SQL.

use async_trait::async_trait;
use jiff::Timestamp;
use ruma::EventId;
use sqlx::{FromRow, Row, sqlite::SqliteRow};
use store::{
    Delivery, InboxEvent, InboxStore, Intake, Lease, NewDelivery, Result, SetAside,
    columns::{DeliveryColumns, EventColumns, SetAsideColumns, write_time},
};

use crate::{SqliteStore, deliveries::DeliveryRow, error::failed};

struct EventRow(EventColumns);

impl FromRow<'_, SqliteRow> for EventRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self(EventColumns {
            seq: row.try_get("seq")?,
            event_id: row.try_get("event_id")?,
            room_id: row.try_get("room_id")?,
            sender: row.try_get("sender")?,
            event: row.try_get("event")?,
            received_at: row.try_get("received_at")?,
            verdict: row.try_get("verdict")?,
        }))
    }
}

#[async_trait]
impl InboxStore for SqliteStore {
    async fn accept(&self, intake: &Intake) -> Result<u64> {
        const DOING: &str = "take in events";
        if *intake == Intake::default() {
            return Ok(0);
        }
        let mut transaction = self.begin(DOING).await?;
        let mut new = 0;
        for arrival in &intake.arrivals {
            let done = sqlx::query(
                "INSERT INTO inbox (event_id, room_id, sender, event, received_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (event_id) DO NOTHING",
            )
            .bind(arrival.event_id.as_str())
            .bind(arrival.room_id.as_str())
            .bind(arrival.sender.as_str())
            .bind(&arrival.event)
            .bind(write_time(arrival.received_at))
            .execute(&mut *transaction)
            .await
            .map_err(failed(DOING))?;
            new += done.rows_affected();
        }
        for set_aside in &intake.set_aside {
            sqlx::query("INSERT INTO set_aside (raw, reason, received_at) VALUES ($1, $2, $3)")
                .bind(&set_aside.raw)
                .bind(&set_aside.reason)
                .bind(write_time(set_aside.received_at))
                .execute(&mut *transaction)
                .await
                .map_err(failed(DOING))?;
        }
        if let Some(cursor) = &intake.cursor {
            sqlx::query(
                "INSERT INTO cursor (source, position) VALUES ($1, $2)
                 ON CONFLICT (source) DO UPDATE SET position = excluded.position",
            )
            .bind(&cursor.source)
            .bind(&cursor.position)
            .execute(&mut *transaction)
            .await
            .map_err(failed(DOING))?;
        }
        transaction.commit().await.map_err(failed(DOING))?;
        Ok(new)
    }

    async fn get_cursor(&self, source: &str) -> Result<Option<String>> {
        sqlx::query_scalar("SELECT position FROM cursor WHERE source = $1")
            .bind(source)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed(format!("read how far {source} was read")))
    }

    async fn list_undecided(&self, limit: u32) -> Result<Vec<InboxEvent>> {
        // Named, because the table too is in the order that is asked for, and nearly all of it is decided.
        sqlx::query_as(
            "SELECT * FROM inbox INDEXED BY inbox_undecided WHERE verdict IS NULL ORDER BY seq LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read the undecided events"))?
        .into_iter()
        .map(|EventRow(columns)| columns.read())
        .collect()
    }

    async fn get_event(&self, event: &EventId) -> Result<Option<InboxEvent>> {
        sqlx::query_as("SELECT * FROM inbox WHERE event_id = $1")
            .bind(event.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed(format!("read the event {event}")))?
            .map(|EventRow(columns)| columns.read())
            .transpose()
    }

    async fn decide(
        &self,
        event: &EventId,
        verdict: &str,
        deliveries: &[NewDelivery],
        now: Timestamp,
        lease: &Lease,
    ) -> Result<Vec<Delivery>> {
        let doing = format!("write what was decided about {event}");
        let mut transaction = self.begin_fenced(doing.as_str(), lease).await?;
        let decided = sqlx::query("UPDATE inbox SET verdict = $2 WHERE event_id = $1")
            .bind(event.as_str())
            .bind(verdict)
            .execute(&mut *transaction)
            .await
            .map_err(failed(doing.as_str()))?
            .rows_affected();
        if decided == 0 {
            return Ok(Vec::new());
        }
        let mut owed = Vec::with_capacity(deliveries.len());
        for new in deliveries {
            // An update that changes nothing, to be answered the delivery that is there.
            let rows: Vec<DeliveryRow> = sqlx::query_as(
                "INSERT INTO delivery (event_id, agent_id, attempt, lane, room_id, is_open, record, created_at, updated_at)
                 VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $7)
                 ON CONFLICT (event_id, agent_id, attempt) DO UPDATE SET attempt = excluded.attempt
                 RETURNING *",
            )
            .bind(new.event_id.as_str())
            .bind(new.agent_id.as_str())
            .bind(new.attempt)
            .bind(&new.lane)
            .bind(new.room_id.as_str())
            .bind(DeliveryColumns::write_record(&new.event_id, &new.record)?)
            .bind(write_time(now))
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed(doing.as_str()))?;
            for DeliveryRow(columns) in rows {
                owed.push(columns.read()?);
            }
        }
        transaction.commit().await.map_err(failed(doing))?;
        Ok(owed)
    }

    async fn list_set_aside(&self, limit: u32) -> Result<Vec<SetAside>> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT raw, reason, received_at FROM set_aside ORDER BY id DESC LIMIT $1")
                .bind(limit)
                .fetch_all(&self.pool)
                .await
                .map_err(failed("read what was set aside"))?;
        rows.into_iter()
            .map(|(raw, reason, received_at)| {
                let columns = SetAsideColumns {
                    raw,
                    reason,
                    received_at,
                };
                columns.read()
            })
            .collect()
    }

    async fn forget_events(&self, before: Timestamp, lease: &Lease) -> Result<u64> {
        const DOING: &str = "forget old events";
        let mut transaction = self.begin_fenced(DOING, lease).await?;
        let before = write_time(before);
        let mut forgotten = 0;
        // The deliveries first: none of them is open, so the same events are found again.
        for sql in [
            "DELETE FROM set_aside WHERE received_at < $1",
            "DELETE FROM delivery WHERE event_id IN (
                 SELECT event_id FROM inbox WHERE received_at < $1 AND verdict IS NOT NULL
                 EXCEPT SELECT event_id FROM delivery WHERE is_open = 1)",
            "DELETE FROM inbox WHERE received_at < $1 AND verdict IS NOT NULL
                 AND event_id NOT IN (SELECT event_id FROM delivery WHERE is_open = 1)",
        ] {
            forgotten = sqlx::query(sql)
                .bind(&before)
                .execute(&mut *transaction)
                .await
                .map_err(failed(DOING))?
                .rows_affected();
        }
        transaction.commit().await.map_err(failed(DOING))?;
        Ok(forgotten)
    }
}
