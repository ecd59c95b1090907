//! [`InboxStore`] in SQL.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use jiff::Timestamp;
use ruma::EventId;
use sqlx::{Row, postgres::PgRow};
use store::{
    Arrival, Delivery, InboxEvent, InboxStore, Intake, Lease, NewDelivery, Result, SetAside, StoreError,
    columns::{DeliveryColumns, EventColumns, SetAsideColumns, corrupt, write_time},
};

use crate::{
    PostgresStore, deliveries,
    statement::{Statement, fenced, text},
};

fn event_columns(row: &PgRow) -> sqlx::Result<EventColumns> {
    Ok(EventColumns {
        seq: row.try_get("seq")?,
        event_id: row.try_get("event_id")?,
        room_id: row.try_get("room_id")?,
        sender: row.try_get("sender")?,
        event: row.try_get("event")?,
        received_at: row.try_get("received_at")?,
        verdict: row.try_get("verdict")?,
    })
}

fn read_event(row: &PgRow) -> Result<InboxEvent> {
    event_columns(row)
        .map_err(|error| corrupt("an event", "column", error))?
        .read()
}

fn set_aside_columns(row: &PgRow) -> sqlx::Result<SetAsideColumns> {
    Ok(SetAsideColumns {
        raw: row.try_get("raw")?,
        reason: row.try_get("reason")?,
        received_at: row.try_get("received_at")?,
    })
}

fn read_set_aside(row: &PgRow) -> Result<SetAside> {
    set_aside_columns(row)
        .map_err(|error| corrupt("what was set aside", "column", error))?
        .read()
}

/// One statement for all: it is done or it is not. One intake follows the other, so that two which bring the same events
/// in another order do not wait for each other, and the order of arrival is the order in which events can be read.
fn taking_in(intake: &Intake) -> Statement<'static> {
    let arrivals = |column: fn(&Arrival) -> &str| texts(&intake.arrivals, column);
    let cursor = intake.cursor.as_ref();
    sqlx::query(
        "WITH turn AS MATERIALIZED (
                 SELECT pg_advisory_xact_lock('pg_class'::regclass::oid::int, 'inbox'::regclass::oid::int)),
             arrived AS (
                 INSERT INTO inbox (event_id, room_id, sender, event, received_at)
                 SELECT event_id, room_id, sender, event, received_at
                 FROM turn, unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY
                     AS intake (event_id, room_id, sender, event, received_at, n)
                 ORDER BY n
                 ON CONFLICT (event_id) DO NOTHING
                 RETURNING seq),
             put_aside AS (
                 INSERT INTO set_aside (raw, reason, received_at)
                 SELECT raw, reason, received_at
                 FROM turn, unnest($6::text[], $7::text[], $8::text[]) WITH ORDINALITY
                     AS intake (raw, reason, received_at, n)
                 ORDER BY n),
             moved AS (
                 INSERT INTO cursor (source, position) SELECT $9::text, $10::text FROM turn WHERE $9::text IS NOT NULL
                 ON CONFLICT (source) DO UPDATE SET position = excluded.position)
         SELECT count(*) AS new FROM arrived",
    )
    .bind(arrivals(|arrival| arrival.event_id.as_str()))
    .bind(arrivals(|arrival| arrival.room_id.as_str()))
    .bind(arrivals(|arrival| arrival.sender.as_str()))
    .bind(arrivals(|arrival| &arrival.event))
    .bind(times(&intake.arrivals, |arrival| arrival.received_at))
    .bind(texts(&intake.set_aside, |set_aside| &set_aside.raw))
    .bind(texts(&intake.set_aside, |set_aside| &set_aside.reason))
    .bind(times(&intake.set_aside, |set_aside| set_aside.received_at))
    .bind(cursor.map(|cursor| text(&cursor.source)))
    .bind(cursor.map(|cursor| text(&cursor.position)))
}

fn texts<T>(rows: &[T], column: fn(&T) -> &str) -> Vec<String> {
    rows.iter().map(|row| text(column(row))).collect()
}

fn times<T>(rows: &[T], column: fn(&T) -> Timestamp) -> Vec<String> {
    rows.iter().map(|row| write_time(column(row))).collect()
}

/// What tells deliveries apart, as it is written.
fn key(new: &NewDelivery) -> (String, String, i64) {
    (
        text(new.event_id.as_str()),
        text(new.agent_id.as_str()),
        new.attempt.into(),
    )
}

#[async_trait]
impl InboxStore for PostgresStore {
    async fn accept(&self, intake: &Intake) -> Result<u64> {
        const DOING: &str = "take in events";
        if *intake == Intake::default() {
            return Ok(0);
        }
        let rows = self.rows(taking_in(intake), DOING).await?;
        count(&rows, "new")
    }

    async fn get_cursor(&self, source: &str) -> Result<Option<String>> {
        let statement = sqlx::query("SELECT position FROM cursor WHERE source = $1").bind(text(source));
        let rows = self
            .rows(statement, &format!("read how far {source} was read"))
            .await?;
        rows.first()
            .map(|row| row.try_get("position"))
            .transpose()
            .map_err(|error| corrupt(source, "position", error))
    }

    async fn list_undecided(&self, limit: u32) -> Result<Vec<InboxEvent>> {
        let statement = sqlx::query("SELECT * FROM inbox WHERE verdict IS NULL ORDER BY seq LIMIT $1")
            .bind(i64::from(limit));
        let rows = self.rows(statement, "read the undecided events").await?;
        rows.iter().map(read_event).collect()
    }

    async fn get_event(&self, event: &EventId) -> Result<Option<InboxEvent>> {
        let statement = sqlx::query("SELECT * FROM inbox WHERE event_id = $1").bind(text(event.as_str()));
        let rows = self.rows(statement, &format!("read the event {event}")).await?;
        rows.first().map(read_event).transpose()
    }

    async fn decide(
        &self,
        event: &EventId,
        verdict: &str,
        deliveries: &[NewDelivery],
        now: Timestamp,
        lease: &Lease,
    ) -> Result<Vec<Delivery>> {
        // One row cannot be written twice by one statement.
        let mut seen = HashSet::new();
        let new: Vec<_> = deliveries
            .iter()
            .filter(|delivery| seen.insert(key(delivery)))
            .collect();
        let texts = |column: fn(&NewDelivery) -> &str| -> Vec<String> {
            new.iter().map(|delivery| text(column(delivery))).collect()
        };
        let records = new
            .iter()
            .map(|delivery| DeliveryColumns::write_record(&delivery.event_id, &delivery.record))
            .collect::<Result<Vec<_>>>()?;
        // An update that changes nothing is answered the delivery that is there, even one that this statement's view of
        // the table is too old for.
        let statement = fenced(
            "WITH fence AS (SELECT FROM lease WHERE name = $1 AND last_token = $2 FOR NO KEY UPDATE),
                 decided AS (UPDATE inbox SET verdict = $4 FROM fence WHERE event_id = $3 RETURNING seq),
                 owed AS (
                     INSERT INTO delivery (event_id, agent_id, attempt, lane, room_id, is_open, record, created_at,
                         updated_at)
                     SELECT owing.event_id, agent_id, attempt, lane, room_id, true, record, $11, $11
                     FROM decided,
                         unnest($5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[], $10::text[])
                             WITH ORDINALITY AS owing (event_id, agent_id, attempt, lane, room_id, record, n)
                     ORDER BY n
                     ON CONFLICT (event_id, agent_id, attempt) DO UPDATE SET attempt = excluded.attempt
                     RETURNING *)
             SELECT owed.* FROM fence LEFT JOIN owed ON true",
            lease,
        )
        .bind(text(event.as_str()))
        .bind(text(verdict))
        .bind(texts(|delivery| delivery.event_id.as_str()))
        .bind(texts(|delivery| delivery.agent_id.as_str()))
        .bind(
            new.iter()
                .map(|delivery| i64::from(delivery.attempt))
                .collect::<Vec<_>>(),
        )
        .bind(texts(|delivery| &delivery.lane))
        .bind(texts(|delivery| delivery.room_id.as_str()))
        .bind(records)
        .bind(write_time(now));
        let doing = format!("write what was decided about {event}");
        let rows = self.rows(statement, &doing).await?;
        if rows.is_empty() {
            return Err(StoreError::lease_lost(lease));
        }
        let mut owed = HashMap::new();
        for row in &rows {
            let id: Option<i64> = row
                .try_get("id")
                .map_err(|error| corrupt("a delivery", "id", error))?;
            if id.is_some() {
                let delivery = deliveries::read(row)?;
                owed.insert(key(&delivery.of), delivery);
            }
        }
        Ok(deliveries
            .iter()
            .filter_map(|delivery| owed.get(&key(delivery)).cloned())
            .collect())
    }

    async fn list_set_aside(&self, limit: u32) -> Result<Vec<SetAside>> {
        let statement =
            sqlx::query("SELECT raw, reason, received_at FROM set_aside ORDER BY id DESC LIMIT $1")
                .bind(i64::from(limit));
        let rows = self.rows(statement, "read what was set aside").await?;
        rows.iter().map(read_set_aside).collect()
    }

    /// The events are locked before their deliveries are looked at: by a statement of its own, because one statement does
    /// not see a delivery that was written while it waited for the lock.
    async fn forget_events(&self, before: Timestamp, lease: &Lease) -> Result<u64> {
        const DOING: &str = "forget old events";
        let before = write_time(before);
        let lock = "SELECT FROM inbox WHERE received_at < $1 AND verdict IS NOT NULL ORDER BY seq FOR UPDATE";
        let forget = "WITH forgotten AS (
                     DELETE FROM inbox WHERE received_at < $1 AND verdict IS NOT NULL
                         AND event_id NOT IN (SELECT event_id FROM delivery WHERE is_open)
                     RETURNING event_id),
                 owed AS (DELETE FROM delivery USING forgotten WHERE delivery.event_id = forgotten.event_id),
                 put_aside AS (DELETE FROM set_aside WHERE received_at < $1)
             SELECT count(*) AS forgotten FROM forgotten";
        let statements = [lock, forget].map(|sql| sqlx::query(sql).bind(&before));
        let rows = self.transaction(statements.into(), DOING, lease).await?;
        count(&rows, "forgotten")
    }
}

fn count(rows: &[PgRow], column: &'static str) -> Result<u64> {
    let count: Option<i64> = rows
        .first()
        .map(|row| row.try_get(column))
        .transpose()
        .map_err(|error| corrupt("the inbox", column, error))?;
    Ok(count
        .and_then(|count| u64::try_from(count).ok())
        .unwrap_or_default())
}
