//! [`BindingStore`] in SQL.

use std::{fmt::Display, str::FromStr};

use async_trait::async_trait;
use letta_client::AgentId;
use sqlx::{FromRow, Row, sqlite::SqliteRow};
use store::{Binding, BindingStore, Result, SpaceRecord, StoreError, StoreErrorKind};

use crate::SqliteStore;

/// A row as it is stored; parsing what it holds happens outside the database's decoder, where the agent can be named.
#[derive(Debug, FromRow)]
struct BindingRow {
    agent_id: String,
    agent_name: String,
    user_id: String,
    room_alias: String,
    user_registered: bool,
    display_name: Option<String>,
    room_id: Option<String>,
    room_name: Option<String>,
    room_topic: Option<String>,
    parent_id: Option<String>,
    space_id: Option<String>,
    invitations: String,
    last_error: Option<String>,
    created_at: String,
    updated_at: String,
}

impl BindingRow {
    fn read(self) -> Result<Binding> {
        let agent = &self.agent_id;
        Ok(Binding {
            user_id: parse(agent, "user_id", &self.user_id)?,
            room_alias: parse(agent, "room_alias", &self.room_alias)?,
            room_id: self
                .room_id
                .as_deref()
                .map(|id| parse(agent, "room_id", id))
                .transpose()?,
            parent_id: self
                .parent_id
                .as_deref()
                .map(|id| parse(agent, "parent_id", id))
                .transpose()?,
            space_id: self
                .space_id
                .as_deref()
                .map(|id| parse(agent, "space_id", id))
                .transpose()?,
            invitations: serde_json::from_str(&self.invitations)
                .map_err(|error| corrupt(agent, "invitations", error))?,
            created_at: parse(agent, "created_at", &self.created_at)?,
            updated_at: parse(agent, "updated_at", &self.updated_at)?,
            agent_id: AgentId::new(&self.agent_id),
            agent_name: self.agent_name,
            user_registered: self.user_registered,
            display_name: self.display_name,
            room_name: self.room_name,
            room_topic: self.room_topic,
            last_error: self.last_error,
        })
    }
}

fn corrupt(
    record: impl Display,
    field: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> StoreError {
    StoreError::new(
        StoreErrorKind::Corrupt,
        format!("the record of {record} has an unreadable {field}"),
    )
    .with_source(error)
}

fn parse<T>(record: &str, field: &str, text: &str) -> Result<T>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|error| corrupt(record, field, error))
}

fn failed(doing: &str) -> impl FnOnce(sqlx::Error) -> StoreError + use<> {
    let message = format!("cannot {doing}");
    move |error| {
        let kind = match &error {
            sqlx::Error::Database(cause) if cause.is_unique_violation() => StoreErrorKind::Conflict,
            _ => StoreErrorKind::Unavailable,
        };
        StoreError::new(kind, message).with_source(error)
    }
}

#[async_trait]
impl BindingStore for SqliteStore {
    async fn list_bindings(&self) -> Result<Vec<Binding>> {
        sqlx::query_as::<_, BindingRow>("SELECT * FROM binding ORDER BY agent_id")
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the agents' bindings"))?
            .into_iter()
            .map(BindingRow::read)
            .collect()
    }

    async fn get_binding(&self, agent: &AgentId) -> Result<Option<Binding>> {
        sqlx::query_as::<_, BindingRow>("SELECT * FROM binding WHERE agent_id = ?")
            .bind(agent.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed(&format!("read the binding of {agent}")))?
            .map(BindingRow::read)
            .transpose()
    }

    async fn put_binding(&self, binding: &Binding) -> Result<()> {
        let agent = &binding.agent_id;
        let invitations = serde_json::to_string(&binding.invitations)
            .map_err(|error| corrupt(agent, "invitations", error))?;
        sqlx::query(
            "INSERT INTO binding (agent_id, agent_name, user_id, room_alias, user_registered, display_name, room_id,
                 room_name, room_topic, parent_id, space_id, invitations, last_error, created_at, updated_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (agent_id) DO UPDATE SET
                 agent_name = excluded.agent_name, user_id = excluded.user_id, room_alias = excluded.room_alias,
                 user_registered = excluded.user_registered, display_name = excluded.display_name,
                 room_id = excluded.room_id, room_name = excluded.room_name, room_topic = excluded.room_topic,
                 parent_id = excluded.parent_id, space_id = excluded.space_id,
                 invitations = excluded.invitations,
                 last_error = excluded.last_error, created_at = excluded.created_at,
                 updated_at = excluded.updated_at",
        )
        .bind(agent.as_str())
        .bind(&binding.agent_name)
        .bind(binding.user_id.as_str())
        .bind(binding.room_alias.as_str())
        .bind(binding.user_registered)
        .bind(&binding.display_name)
        .bind(binding.room_id.as_ref().map(|id| id.as_str()))
        .bind(&binding.room_name)
        .bind(&binding.room_topic)
        .bind(binding.parent_id.as_ref().map(|id| id.as_str()))
        .bind(binding.space_id.as_ref().map(|id| id.as_str()))
        .bind(invitations)
        .bind(&binding.last_error)
        .bind(binding.created_at.to_string())
        .bind(binding.updated_at.to_string())
        .execute(&self.pool)
        .await
        .map_err(failed(&format!("write the binding of {agent}")))?;
        Ok(())
    }

    async fn get_space(&self) -> Result<Option<SpaceRecord>> {
        let row: Option<SqliteRow> = sqlx::query("SELECT room_id, name, created_at FROM space")
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read the space"))?;
        row.map(|row| {
            Ok(SpaceRecord {
                room_id: parse("the space", "room_id", row.get("room_id"))?,
                name: row.get("name"),
                created_at: parse("the space", "created_at", row.get("created_at"))?,
            })
        })
        .transpose()
    }

    async fn put_space(&self, space: &SpaceRecord) -> Result<()> {
        sqlx::query(
            "INSERT INTO space (only, room_id, name, created_at) VALUES (1, ?, ?, ?)
             ON CONFLICT (only) DO UPDATE SET
                 room_id = excluded.room_id, name = excluded.name, created_at = excluded.created_at",
        )
        .bind(space.room_id.as_str())
        .bind(&space.name)
        .bind(space.created_at.to_string())
        .execute(&self.pool)
        .await
        .map_err(failed("write the space"))?;
        Ok(())
    }
}
