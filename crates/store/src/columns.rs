//! Records as the columns of a table, for stores that speak SQL.
//!
//! What is searched for or must be unique has a column of its own. Facts that belong together are one column of JSON,
//! so that a new fact needs no new column: it needs a default.

mod conversations;

use std::{error::Error as StdError, str::FromStr};

use jiff::Timestamp;
use letta_client::AgentId;
use serde::{Serialize, de::DeserializeOwned};

pub use self::conversations::{DeliveryColumns, EventColumns, SetAsideColumns};
use crate::{Binding, Result, StoreError, StoreErrorKind};

/// A [`Binding`] in columns of the same names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the binding's fields")]
pub struct BindingColumns {
    pub agent_id: String,
    pub agent_name: String,
    pub user_id: String,
    pub room_alias: String,
    /// JSON.
    pub lifecycle: String,
    pub user_registered: bool,
    pub display_name: Option<String>,
    /// JSON.
    pub avatar: String,
    pub room_id: Option<String>,
    /// JSON.
    pub room: String,
    /// JSON.
    pub invitations: String,
    pub last_error: Option<String>,
    /// See [`write_time`].
    pub created_at: String,
    /// See [`write_time`].
    pub updated_at: String,
}

impl BindingColumns {
    /// The columns of a binding.
    ///
    /// # Errors
    /// `Corrupt` when JSON cannot express it.
    pub fn write(binding: &Binding) -> Result<Self> {
        let agent = binding.agent_id.as_str();
        Ok(Self {
            agent_id: agent.to_owned(),
            agent_name: binding.agent_name.clone(),
            user_id: binding.user_id.to_string(),
            room_alias: binding.room_alias.to_string(),
            lifecycle: write_json(agent, "lifecycle", &binding.lifecycle)?,
            user_registered: binding.user_registered,
            display_name: binding.display_name.clone(),
            avatar: write_json(agent, "avatar", &binding.avatar)?,
            room_id: binding.room_id.as_ref().map(ToString::to_string),
            room: write_json(agent, "room", &binding.room)?,
            invitations: write_json(agent, "invitations", &binding.invitations)?,
            last_error: binding.last_error.clone(),
            created_at: write_time(binding.created_at),
            updated_at: write_time(binding.updated_at),
        })
    }

    /// The binding in the columns.
    ///
    /// # Errors
    /// `Corrupt` when one of them makes no sense. The error names the agent and the column.
    pub fn read(self) -> Result<Binding> {
        let agent = self.agent_id.as_str();
        Ok(Binding {
            user_id: parse(agent, "user_id", &self.user_id)?,
            room_alias: parse(agent, "room_alias", &self.room_alias)?,
            lifecycle: read_json(agent, "lifecycle", &self.lifecycle)?,
            avatar: read_json(agent, "avatar", &self.avatar)?,
            room_id: self
                .room_id
                .as_deref()
                .map(|id| parse(agent, "room_id", id))
                .transpose()?,
            room: read_json(agent, "room", &self.room)?,
            invitations: read_json(agent, "invitations", &self.invitations)?,
            created_at: parse(agent, "created_at", &self.created_at)?,
            updated_at: parse(agent, "updated_at", &self.updated_at)?,
            agent_id: AgentId::new(agent),
            agent_name: self.agent_name,
            user_registered: self.user_registered,
            display_name: self.display_name,
            last_error: self.last_error,
        })
    }
}

/// A time as RFC 3339 in UTC, always with nine digits behind the point: byte by byte such texts compare as the times.
#[must_use]
pub fn write_time(time: Timestamp) -> String {
    format!("{time:.9}")
}

/// A record, or a part of one, as JSON.
///
/// # Errors
/// `Corrupt` when JSON cannot express it.
pub fn write_json(record: &str, column: &str, value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| corrupt(record, column, error))
}

/// What [`write_json`] wrote.
///
/// # Errors
/// `Corrupt`, naming the record and the column.
pub fn read_json<T: DeserializeOwned>(record: &str, column: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| corrupt(record, column, error))
}

/// An id, or a time that [`write_time`] wrote.
///
/// # Errors
/// `Corrupt`, naming the record and the column.
pub fn parse<T>(record: &str, column: &str, text: &str) -> Result<T>
where
    T: FromStr,
    T::Err: StdError + Send + Sync + 'static,
{
    text.parse().map_err(|error| corrupt(record, column, error))
}

/// A column that cannot be read back.
pub fn corrupt(record: &str, column: &str, error: impl StdError + Send + Sync + 'static) -> StoreError {
    StoreError::new(
        StoreErrorKind::Corrupt,
        format!("the record of {record} has an unreadable {column}"),
    )
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{full_binding, planned_binding};

    #[test]
    fn columns_hold_the_whole_binding() {
        for binding in [full_binding("agent-001"), planned_binding("agent-002")] {
            assert_eq!(BindingColumns::write(&binding).unwrap().read().unwrap(), binding);
        }
    }

    /// Records of before a fact was known are read as if it were not there.
    #[test]
    fn facts_that_are_missing_have_their_default() {
        let bare = BindingColumns {
            lifecycle: r#"{"state":"active"}"#.to_owned(),
            avatar: "{}".to_owned(),
            room: "{}".to_owned(),
            ..BindingColumns::write(&planned_binding("agent-001")).unwrap()
        };
        assert_eq!(bare.read().unwrap(), planned_binding("agent-001"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let good = BindingColumns::write(&full_binding("agent-001")).unwrap();
        let nonsense = || "nonsense".to_owned();
        let bad = [
            (
                "user_id",
                BindingColumns {
                    user_id: nonsense(),
                    ..good.clone()
                },
            ),
            (
                "room_alias",
                BindingColumns {
                    room_alias: nonsense(),
                    ..good.clone()
                },
            ),
            (
                "lifecycle",
                BindingColumns {
                    lifecycle: nonsense(),
                    ..good.clone()
                },
            ),
            (
                "avatar",
                BindingColumns {
                    avatar: nonsense(),
                    ..good.clone()
                },
            ),
            (
                "room_id",
                BindingColumns {
                    room_id: Some(nonsense()),
                    ..good.clone()
                },
            ),
            (
                "room",
                BindingColumns {
                    room: nonsense(),
                    ..good.clone()
                },
            ),
            (
                "invitations",
                BindingColumns {
                    invitations: nonsense(),
                    ..good.clone()
                },
            ),
            (
                "created_at",
                BindingColumns {
                    created_at: nonsense(),
                    ..good.clone()
                },
            ),
            (
                "updated_at",
                BindingColumns {
                    updated_at: nonsense(),
                    ..good
                },
            ),
        ];
        for (column, columns) in bad {
            let error = columns.read().unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt);
            assert_eq!(
                error.to_string(),
                format!("the record of agent-001 has an unreadable {column}")
            );
        }
    }

    #[test]
    fn written_times_compare_as_times() {
        let times: Vec<Timestamp> = [
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.5Z",
            "2026-01-01T00:00:01Z",
        ]
        .map(|time| time.parse().unwrap())
        .into();
        let texts: Vec<String> = times.iter().copied().map(write_time).collect();
        assert!(texts.is_sorted(), "{texts:?}");
        assert_eq!(texts[1], "2026-01-01T00:00:00.500000000Z");
    }
}
