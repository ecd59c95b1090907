//! Who sees what.

use std::collections::BTreeSet;

use letta_client::AgentId;
use ruma::{OwnedRoomId, RoomId};

use crate::{AgentEvent, EventType};

/// What somebody may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Everything: an admin, or the bridge itself.
    All,
    /// What happens in these rooms: a person, who is in them.
    Rooms(BTreeSet<OwnedRoomId>),
}

impl Audience {
    /// Whether what happens in a room may be seen.
    #[must_use]
    pub fn sees_room(&self, room: &RoomId) -> bool {
        match self {
            Self::All => true,
            Self::Rooms(rooms) => rooms.contains(room),
        }
    }

    /// Whether an event may be seen.
    #[must_use]
    pub fn sees(&self, event: &AgentEvent) -> bool {
        self.sees_room(&event.turn.room_id)
    }
}

/// What a subscriber may see, and what of it is wanted.
///
/// An empty set of agents, rooms or types wants all of them; it is the [`Audience`] that keeps things from somebody, and
/// there is no filter without one. Somebody who joins or leaves a room subscribes anew, from the last id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// What may be seen.
    pub audience: Audience,
    /// Agents that are wanted.
    pub agents: BTreeSet<AgentId>,
    /// Rooms that are wanted.
    pub rooms: BTreeSet<OwnedRoomId>,
    /// Types that are wanted.
    pub types: BTreeSet<EventType>,
}

impl Filter {
    /// All that may be seen.
    #[must_use]
    pub fn new(audience: Audience) -> Self {
        Self {
            audience,
            agents: BTreeSet::new(),
            rooms: BTreeSet::new(),
            types: BTreeSet::new(),
        }
    }

    /// Only what these agents do.
    #[must_use]
    pub fn agents(mut self, agents: impl IntoIterator<Item = AgentId>) -> Self {
        self.agents.extend(agents);
        self
    }

    /// Only what happens in these rooms.
    #[must_use]
    pub fn rooms(mut self, rooms: impl IntoIterator<Item = OwnedRoomId>) -> Self {
        self.rooms.extend(rooms);
        self
    }

    /// Only events of these types.
    #[must_use]
    pub fn types(mut self, types: impl IntoIterator<Item = EventType>) -> Self {
        self.types.extend(types);
        self
    }

    /// Whether an event may be seen and is wanted.
    #[must_use]
    pub fn sees(&self, event: &AgentEvent) -> bool {
        self.audience.sees(event)
            && (self.agents.is_empty() || self.agents.contains(&event.turn.agent.id))
            && (self.rooms.is_empty() || self.rooms.contains(&event.turn.room_id))
            && (self.types.is_empty() || self.types.contains(&event.kind.event_type()))
    }
}
