//! The records.

use std::collections::BTreeMap;

use jiff::Timestamp;
use letta_client::AgentId;
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

/// What is known to be true on the homeserver for one agent.
///
/// A field that holds something written there (`display_name`, `room_name`, …) holds what the homeserver confirmed,
/// never what was only tried: a write that failed is seen as missing and tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The agent.
    pub agent_id: AgentId,
    /// Its name as last seen in Letta, unchanged.
    pub agent_name: String,
    /// The user chosen for it. Never changes.
    pub user_id: OwnedUserId,
    /// The alias chosen for its room. Never changes.
    pub room_alias: OwnedRoomAliasId,
    /// Whether the user is registered.
    pub user_registered: bool,
    /// The display name that was set.
    pub display_name: Option<String>,
    /// The room, once it exists.
    pub room_id: Option<OwnedRoomId>,
    /// The room's name that was set.
    pub room_name: Option<String>,
    /// The room's topic that was set.
    pub room_topic: Option<String>,
    /// The space that the room names as its parent.
    pub parent_id: Option<OwnedRoomId>,
    /// The space that lists the room as its child.
    pub space_id: Option<OwnedRoomId>,
    /// The people invited, and how that went.
    pub invitations: BTreeMap<OwnedUserId, Invitation>,
    /// Why the last attempt to complete this binding failed; `None` when it succeeded.
    pub last_error: Option<String>,
    /// When the agent was first seen.
    pub created_at: Timestamp,
    /// When this record last changed.
    pub updated_at: Timestamp,
}

/// How an invitation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Invitation {
    /// The homeserver took the invitation.
    Invited,
    /// The person is in the room.
    Joined,
    /// The person left, or declined.
    Left,
    /// The homeserver refused the invitation.
    Failed,
}

impl Invitation {
    /// The name under which it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Joined => "joined",
            Self::Left => "left",
            Self::Failed => "failed",
        }
    }
}

/// The space that holds the agents' rooms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceRecord {
    /// The space's room id.
    pub room_id: OwnedRoomId,
    /// The name that was set.
    pub name: String,
    /// When it was made or adopted.
    pub created_at: Timestamp,
}
