//! [`BindingStore`] in SQL.

use async_trait::async_trait;
use letta_client::AgentId;
use sqlx::{FromRow, Row, sqlite::SqliteRow};
use store::{
    Binding, BindingStore, Lease, Result, SpaceRecord, SyncProgress,
    columns::{BindingColumns, read_json, write_json},
};

use crate::{SqliteStore, error::failed, fence::fenced};

struct BindingRow(BindingColumns);

impl FromRow<'_, SqliteRow> for BindingRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self(BindingColumns {
            agent_id: row.try_get("agent_id")?,
            agent_name: row.try_get("agent_name")?,
            user_id: row.try_get("user_id")?,
            room_alias: row.try_get("room_alias")?,
            lifecycle: row.try_get("lifecycle")?,
            user_registered: row.try_get("user_registered")?,
            display_name: row.try_get("display_name")?,
            avatar: row.try_get("avatar")?,
            room_id: row.try_get("room_id")?,
            room: row.try_get("room")?,
            invitations: row.try_get("invitations")?,
            last_error: row.try_get("last_error")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
        }))
    }
}

impl SqliteStore {
    async fn record(&self, sql: &'static str, doing: &str) -> Result<Option<String>> {
        sqlx::query_scalar(sql)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed(doing))
    }
}

#[async_trait]
impl BindingStore for SqliteStore {
    async fn list_bindings(&self) -> Result<Vec<Binding>> {
        sqlx::query_as("SELECT * FROM binding ORDER BY agent_id")
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the agents' bindings"))?
            .into_iter()
            .map(|BindingRow(columns)| columns.read())
            .collect()
    }

    async fn get_binding(&self, agent: &AgentId) -> Result<Option<Binding>> {
        sqlx::query_as("SELECT * FROM binding WHERE agent_id = $1")
            .bind(agent.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed(format!("read the binding of {agent}")))?
            .map(|BindingRow(columns)| columns.read())
            .transpose()
    }

    async fn put_binding(&self, binding: &Binding, lease: &Lease) -> Result<()> {
        let doing = format!("write the binding of {}", binding.agent_id);
        let columns = BindingColumns::write(binding)?;
        let query = fenced(
            "INSERT INTO binding (agent_id, agent_name, user_id, room_alias, lifecycle, user_registered, display_name,
                 avatar, room_id, room, invitations, last_error, created_at, updated_at)
             SELECT $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16
             FROM lease WHERE name = $1 AND last_token = $2
             ON CONFLICT (agent_id) DO UPDATE SET
                 agent_name = excluded.agent_name, user_id = excluded.user_id, room_alias = excluded.room_alias,
                 lifecycle = excluded.lifecycle, user_registered = excluded.user_registered,
                 display_name = excluded.display_name, avatar = excluded.avatar, room_id = excluded.room_id,
                 room = excluded.room, invitations = excluded.invitations, last_error = excluded.last_error,
                 created_at = excluded.created_at, updated_at = excluded.updated_at",
            lease,
        )
        .bind(columns.agent_id)
        .bind(columns.agent_name)
        .bind(columns.user_id)
        .bind(columns.room_alias)
        .bind(columns.lifecycle)
        .bind(columns.user_registered)
        .bind(columns.display_name)
        .bind(columns.avatar)
        .bind(columns.room_id)
        .bind(columns.room)
        .bind(columns.invitations)
        .bind(columns.last_error)
        .bind(columns.created_at)
        .bind(columns.updated_at);
        self.write(query, doing, lease).await
    }

    async fn delete_binding(&self, agent: &AgentId, lease: &Lease) -> Result<()> {
        let doing = format!("delete the binding of {agent}");
        let query = fenced(
            "DELETE FROM binding
             WHERE agent_id = $3 AND EXISTS (SELECT 1 FROM lease WHERE name = $1 AND last_token = $2)",
            lease,
        )
        .bind(agent.as_str());
        self.write_if_there(query, doing, lease).await
    }

    async fn get_space(&self) -> Result<Option<SpaceRecord>> {
        self.record("SELECT record FROM space", "read the space")
            .await?
            .map(|json| read_json("the space", "record", &json))
            .transpose()
    }

    async fn put_space(&self, space: &SpaceRecord, lease: &Lease) -> Result<()> {
        let query = fenced(
            "INSERT INTO space (only, record) SELECT 1, $3 FROM lease WHERE name = $1 AND last_token = $2
             ON CONFLICT (only) DO UPDATE SET record = excluded.record",
            lease,
        )
        .bind(write_json("the space", "record", space)?);
        self.write(query, "write the space", lease).await
    }

    async fn get_progress(&self) -> Result<SyncProgress> {
        self.record("SELECT record FROM progress", "read the progress")
            .await?
            .map(|json| read_json("the progress", "record", &json))
            .transpose()
            .map(Option::unwrap_or_default)
    }

    async fn put_progress(&self, progress: &SyncProgress, lease: &Lease) -> Result<()> {
        let query = fenced(
            "INSERT INTO progress (only, record) SELECT 1, $3 FROM lease WHERE name = $1 AND last_token = $2
             ON CONFLICT (only) DO UPDATE SET record = excluded.record",
            lease,
        )
        .bind(write_json("the progress", "record", progress)?);
        self.write(query, "write the progress", lease).await
    }
}
