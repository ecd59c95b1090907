//! What is known about a room, and which users are the bridge's own.

use std::collections::BTreeMap;

use letta_client::AgentId;
use ruma::{OwnedRoomId, OwnedUserId, UserId};

use crate::settings::RoomSettings;

/// A room in which the bridge has something to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Room {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Its name.
    pub name: Option<String>,
    /// The agent that it belongs to.
    pub home_of: Option<AgentId>,
    /// The agents in it, the one that it belongs to among them.
    pub residents: Vec<Resident>,
    /// Whether it is a person's direct room.
    pub is_direct: bool,
    /// Whether it is encrypted.
    pub is_encrypted: bool,
    /// What it says about how agents behave in it.
    pub settings: RoomSettings,
    /// Whether admins speak with the bridge itself in it.
    pub is_admin_room: bool,
}

/// An agent in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resident {
    /// The agent.
    pub agent_id: AgentId,
    /// What people call it.
    pub agent_name: String,
    /// Its user.
    pub user_id: OwnedUserId,
}

impl Room {
    /// A room of which nothing else is known.
    #[must_use]
    pub fn new(room_id: OwnedRoomId) -> Self {
        Self {
            room_id,
            name: None,
            home_of: None,
            residents: Vec::new(),
            is_direct: false,
            is_encrypted: false,
            settings: RoomSettings::default(),
            is_admin_room: false,
        }
    }

    /// The agent in this room that has this user.
    #[must_use]
    pub fn resident(&self, user: &UserId) -> Option<&Resident> {
        self.residents.iter().find(|resident| resident.user_id == user)
    }
}

/// The bridge's own users: its bot, and all users of the bot's server whose localpart begins with the prefix, those of
/// agents that nobody knows any more as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// The bridge's own user.
    pub bot: OwnedUserId,
    /// What the localparts of agents' users begin with.
    pub prefix: String,
    /// The agents that are known, in whatever rooms.
    pub agents: BTreeMap<OwnedUserId, AgentId>,
}

impl Own {
    /// Without agents.
    pub fn new(bot: OwnedUserId, prefix: impl Into<String>) -> Self {
        Self {
            bot,
            prefix: prefix.into(),
            agents: BTreeMap::new(),
        }
    }

    /// Adds an agent.
    #[must_use]
    pub fn with_agent(mut self, user: OwnedUserId, agent: impl Into<AgentId>) -> Self {
        self.agents.insert(user, agent.into());
        self
    }

    /// Whether the bridge speaks for this user.
    #[must_use]
    pub fn is_own(&self, user: &UserId) -> bool {
        user == self.bot || self.is_agent(user)
    }

    /// Whether it is the user of an agent, be the agent known or not.
    #[must_use]
    pub fn is_agent(&self, user: &UserId) -> bool {
        let has_prefix =
            user.server_name() == self.bot.server_name() && user.localpart().starts_with(&self.prefix);
        user != self.bot && (has_prefix || self.agents.contains_key(user))
    }

    /// The agent that has this user, if it is known.
    #[must_use]
    pub fn agent_of(&self, user: &UserId) -> Option<&AgentId> {
        self.agents.get(user)
    }
}

#[cfg(test)]
mod tests {
    use ruma::{owned_user_id, user_id};

    use super::*;

    #[test]
    fn own_users_are_known_by_prefix_and_server() {
        let own = Own::new(owned_user_id!("@agent_bot:matrix.test"), "agent_")
            .with_agent(owned_user_id!("@old_name:matrix.test"), "agent-001");
        for (user, is_own, is_agent) in [
            (user_id!("@agent_bot:matrix.test"), true, false),
            (user_id!("@agent_gone:matrix.test"), true, true),
            (user_id!("@old_name:matrix.test"), true, true),
            (user_id!("@agent_001:example.org"), false, false),
            (user_id!("@ann:matrix.test"), false, false),
        ] {
            assert_eq!(
                (own.is_own(user), own.is_agent(user)),
                (is_own, is_agent),
                "{user}"
            );
        }
        assert_eq!(own.agent_of(user_id!("@agent_gone:matrix.test")), None);
    }
}
