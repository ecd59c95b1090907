//! The records of agents and of the space.

use std::collections::BTreeMap;

use jiff::Timestamp;
use letta_client::AgentId;
use ruma::{OwnedMxcUri, OwnedRoomAliasId, OwnedRoomId, OwnedUserId};
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
    /// Whether the agent is there, missing or archived.
    pub lifecycle: Lifecycle,
    /// Whether the user is registered.
    pub user_registered: bool,
    /// The display name that was set.
    pub display_name: Option<String>,
    /// The picture that was found for the agent, and where it was set.
    pub avatar: Avatar,
    /// The room, once it exists.
    pub room_id: Option<OwnedRoomId>,
    /// What is known of the room besides its id.
    pub room: RoomFacts,
    /// The people invited, and how that went.
    pub invitations: BTreeMap<OwnedUserId, Invitation>,
    /// Why the last attempt to complete this binding failed; `None` when it succeeded.
    pub last_error: Option<String>,
    /// When the agent was first seen.
    pub created_at: Timestamp,
    /// When this record last changed.
    pub updated_at: Timestamp,
}

impl Binding {
    /// A binding as it is before its first effect: nothing but the chosen names.
    #[must_use]
    pub fn planned(
        agent_id: AgentId,
        agent_name: String,
        user_id: OwnedUserId,
        room_alias: OwnedRoomAliasId,
        now: Timestamp,
    ) -> Self {
        Self {
            agent_id,
            agent_name,
            user_id,
            room_alias,
            lifecycle: Lifecycle::Active,
            user_registered: false,
            display_name: None,
            avatar: Avatar::default(),
            room_id: None,
            room: RoomFacts::default(),
            invitations: BTreeMap::new(),
            last_error: None,
            created_at: now,
            updated_at: now,
        }
    }
}

/// What is known of an agent's room. Of a room that was just found nothing is: the default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RoomFacts {
    /// Whether the other fields were read from the room or follow from how it was made. If not, the room is to be
    /// read before anything is done to it.
    pub verified: bool,
    /// Whether the agent's user is in the room.
    pub joined: bool,
    /// Whether the room is marked as this agent's.
    pub marked: bool,
    /// Whether the alias points to the room and is its canonical one.
    pub alias_set: bool,
    /// Its name.
    pub name: Option<String>,
    /// Its topic.
    pub topic: Option<String>,
    /// Its picture.
    pub avatar_url: Option<OwnedMxcUri>,
    /// The space that the room names as its parent.
    pub parent_id: Option<OwnedRoomId>,
    /// The space that lists the room as its child.
    pub space_id: Option<OwnedRoomId>,
    /// The `order` of its place in that space.
    pub space_order: Option<String>,
    /// What became of putting the agent's earlier messages into the room.
    pub history: History,
}

/// What became of putting the agent's earlier messages into its room.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum History {
    /// Nothing is to be put there: the room was found, or nobody wants it.
    #[default]
    None,
    /// The messages up to and including this one are there, the later ones are still to come.
    Pending {
        /// Letta's id of the last message that was put there.
        after: Option<String>,
        /// How many more.
        left: u32,
    },
    /// All are there.
    Done,
}

/// An agent's picture.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Avatar {
    /// A fingerprint of what Letta has.
    pub source: Option<String>,
    /// Where the homeserver keeps the picture made from `source`.
    pub url: Option<OwnedMxcUri>,
    /// What was set on the user.
    pub on_user: Option<OwnedMxcUri>,
}

/// Whether an agent is there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Lifecycle {
    /// Letta lists it.
    #[default]
    Active,
    /// Letta does not list it any more. Nothing is done yet.
    Missing {
        /// When that was first seen.
        since: Timestamp,
    },
    /// Its room is, or is being, put away.
    Archived {
        /// When that was decided.
        since: Timestamp,
        /// Why.
        reason: ArchiveReason,
    },
}

/// Why an agent's room is put away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveReason {
    /// Letta no longer has the agent.
    Deleted,
    /// Letta hides the agent.
    Hidden,
    /// The configuration leaves the agent out.
    Excluded,
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
    /// Whether the other fields were read from the space or follow from how it was made.
    pub verified: bool,
    /// The name that was set.
    pub name: Option<String>,
    /// The topic that was set.
    pub topic: Option<String>,
    /// Whether the alias points to the space and is its canonical one.
    pub alias_set: bool,
    /// Whether the space is marked as ours.
    pub marked: bool,
    /// The display name that the bridge's own user has been given.
    pub bot_name: Option<String>,
    /// The people invited, and how that went.
    pub invitations: BTreeMap<OwnedUserId, Invitation>,
    /// When it was made or found.
    pub created_at: Timestamp,
}

impl SpaceRecord {
    /// A space of which nothing but its id is known.
    #[must_use]
    pub fn found(room_id: OwnedRoomId, now: Timestamp) -> Self {
        Self {
            room_id,
            verified: false,
            name: None,
            topic: None,
            alias_set: false,
            marked: false,
            bot_name: None,
            invitations: BTreeMap::new(),
            created_at: now,
        }
    }
}

/// What reconciling needs to know of its earlier runs, besides the bindings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncProgress {
    /// The last listing of all agents; `None` before the first.
    pub listing: Option<ListingMark>,
    /// When every room was last read from the homeserver.
    pub checked_at: Option<Timestamp>,
}

/// Where a listing of all agents stood, so that the next run need only ask for what changed since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingMark {
    /// The latest change of any agent that has been seen.
    pub updated_at: Timestamp,
    /// Whether that was long enough ago that no earlier change can turn up any more.
    #[serde(default)]
    pub settled: bool,
    /// How many agents Letta counted.
    pub count: u64,
    /// When all agents were last listed.
    pub listed_at: Timestamp,
    /// A fingerprint of the configuration that the agents were held against.
    pub config: String,
}
