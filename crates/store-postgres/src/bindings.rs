//! [`BindingStore`] in SQL.

use async_trait::async_trait;
use letta_client::AgentId;
use sqlx::{Row, postgres::PgRow};
use store::{
    Binding, BindingStore, Lease, Result, SpaceRecord, SyncProgress,
    columns::{BindingColumns, corrupt, read_json, write_json},
};

use crate::{
    PostgresStore,
    statement::{fenced, text},
};

fn columns(row: &PgRow) -> sqlx::Result<BindingColumns> {
    Ok(BindingColumns {
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
    })
}

fn read(row: &PgRow) -> Result<Binding> {
    columns(row)
        .map_err(|error| corrupt("an agent", "column", error))?
        .read()
}

impl PostgresStore {
    /// The column `record` of the only row.
    async fn record(&self, sql: &'static str, of: &str) -> Result<Option<String>> {
        let rows = self.rows(sqlx::query(sql), &format!("read {of}")).await?;
        rows.first()
            .map(|row| row.try_get("record"))
            .transpose()
            .map_err(|error| corrupt(of, "record", error))
    }
}

#[async_trait]
impl BindingStore for PostgresStore {
    async fn list_bindings(&self) -> Result<Vec<Binding>> {
        let statement = sqlx::query("SELECT * FROM binding ORDER BY agent_id");
        let rows = self.rows(statement, "read the agents' bindings").await?;
        rows.iter().map(read).collect()
    }

    async fn get_binding(&self, agent: &AgentId) -> Result<Option<Binding>> {
        let statement = sqlx::query("SELECT * FROM binding WHERE agent_id = $1").bind(agent.as_str());
        let rows = self
            .rows(statement, &format!("read the binding of {agent}"))
            .await?;
        rows.first().map(read).transpose()
    }

    async fn put_binding(&self, binding: &Binding, lease: &Lease) -> Result<()> {
        let columns = BindingColumns::write(binding)?;
        let statement = fenced(
            "WITH fence AS (SELECT FROM lease WHERE name = $1 AND last_token = $2 FOR NO KEY UPDATE)
             INSERT INTO binding (agent_id, agent_name, user_id, room_alias, lifecycle, user_registered, display_name,
                 avatar, room_id, room, invitations, last_error, created_at, updated_at)
             SELECT $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16 FROM fence
             ON CONFLICT (agent_id) DO UPDATE SET
                 agent_name = excluded.agent_name, user_id = excluded.user_id, room_alias = excluded.room_alias,
                 lifecycle = excluded.lifecycle, user_registered = excluded.user_registered,
                 display_name = excluded.display_name, avatar = excluded.avatar, room_id = excluded.room_id,
                 room = excluded.room, invitations = excluded.invitations, last_error = excluded.last_error,
                 created_at = excluded.created_at, updated_at = excluded.updated_at",
            lease,
        )
        .bind(columns.agent_id)
        .bind(text(&columns.agent_name))
        .bind(columns.user_id)
        .bind(columns.room_alias)
        .bind(columns.lifecycle)
        .bind(columns.user_registered)
        .bind(columns.display_name.as_deref().map(text))
        .bind(columns.avatar)
        .bind(columns.room_id)
        .bind(columns.room)
        .bind(columns.invitations)
        .bind(columns.last_error.as_deref().map(text))
        .bind(columns.created_at)
        .bind(columns.updated_at);
        let doing = format!("write the binding of {}", binding.agent_id);
        self.write(statement, &doing, lease).await
    }

    async fn delete_binding(&self, agent: &AgentId, lease: &Lease) -> Result<()> {
        let statement = fenced(
            "WITH fence AS (SELECT FROM lease WHERE name = $1 AND last_token = $2 FOR NO KEY UPDATE),
                 deleted AS (DELETE FROM binding USING fence WHERE agent_id = $3)
             SELECT FROM fence",
            lease,
        )
        .bind(agent.as_str());
        let doing = format!("delete the binding of {agent}");
        self.write_if_there(statement, &doing, lease).await
    }

    async fn get_space(&self) -> Result<Option<SpaceRecord>> {
        self.record("SELECT record FROM space", "the space")
            .await?
            .map(|json| read_json("the space", "record", &json))
            .transpose()
    }

    async fn put_space(&self, space: &SpaceRecord, lease: &Lease) -> Result<()> {
        let statement = fenced(
            "WITH fence AS (SELECT FROM lease WHERE name = $1 AND last_token = $2 FOR NO KEY UPDATE)
             INSERT INTO space (id, record) SELECT 1, $3 FROM fence
             ON CONFLICT (id) DO UPDATE SET record = excluded.record",
            lease,
        )
        .bind(write_json("the space", "record", space)?);
        self.write(statement, "write the space", lease).await
    }

    async fn get_progress(&self) -> Result<SyncProgress> {
        self.record("SELECT record FROM progress", "the progress")
            .await?
            .map(|json| read_json("the progress", "record", &json))
            .transpose()
            .map(Option::unwrap_or_default)
    }

    async fn put_progress(&self, progress: &SyncProgress, lease: &Lease) -> Result<()> {
        let statement = fenced(
            "WITH fence AS (SELECT FROM lease WHERE name = $1 AND last_token = $2 FOR NO KEY UPDATE)
             INSERT INTO progress (id, record) SELECT 1, $3 FROM fence
             ON CONFLICT (id) DO UPDATE SET record = excluded.record",
            lease,
        )
        .bind(write_json("the progress", "record", progress)?);
        self.write(statement, "write the progress", lease).await
    }
}
