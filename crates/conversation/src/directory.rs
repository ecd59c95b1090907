//! Whose room it is.

use std::collections::HashMap;

use letta_client::AgentId;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

/// A room that belongs to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundRoom {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The agent that lives in it.
    pub agent_id: AgentId,
    /// What people call the agent.
    pub agent_name: String,
    /// The agent's user.
    pub agent_user: OwnedUserId,
}

/// Which room belongs to which agent, and which users are the bridge's own.
#[derive(Debug, Clone)]
pub struct Directory {
    rooms: HashMap<OwnedRoomId, BoundRoom>,
    bridge: OwnedUserId,
    prefix: String,
}

impl Directory {
    /// Without rooms. Own users are `bridge` itself and all users of its server whose localpart begins with `prefix`:
    /// those of agents that nobody knows any more as well.
    pub fn new(bridge: OwnedUserId, prefix: impl Into<String>) -> Self {
        Self {
            rooms: HashMap::new(),
            bridge,
            prefix: prefix.into(),
        }
    }

    /// Adds rooms.
    #[must_use]
    pub fn with_rooms(mut self, rooms: impl IntoIterator<Item = BoundRoom>) -> Self {
        self.rooms
            .extend(rooms.into_iter().map(|room| (room.room_id.clone(), room)));
        self
    }

    /// All rooms, in no order.
    pub fn rooms(&self) -> impl Iterator<Item = &BoundRoom> {
        self.rooms.values()
    }

    /// The room, if it belongs to an agent.
    #[must_use]
    pub fn room(&self, room_id: &RoomId) -> Option<&BoundRoom> {
        self.rooms.get(room_id)
    }

    /// Whether the bridge speaks for this user.
    #[must_use]
    pub fn is_own(&self, user: &UserId) -> bool {
        user == self.bridge
            || user.server_name() == self.bridge.server_name() && user.localpart().starts_with(&self.prefix)
    }
}
