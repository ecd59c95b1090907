//! What the operator decides.

use matrix_client::Appservice;
use ruma::{OwnedRoomAliasId, OwnedServerName, OwnedUserId, RoomAliasId, RoomVersionId, UserId};

use crate::names::agent_localpart;

/// How agents are to appear on the homeserver.
#[derive(Debug, Clone)]
pub struct SyncConfig {
    /// The homeserver's name: what stands behind the colon of its users.
    pub server_name: OwnedServerName,
    /// The application service that acts for the agents.
    pub appservice: Appservice,
    /// What the localparts of users and aliases begin with.
    pub prefix: String,
    /// The space that holds the rooms.
    pub space: SpaceConfig,
    /// People who are invited to the space and to every room.
    pub invite: Vec<OwnedUserId>,
    /// The version of new rooms; `None` leaves it to the homeserver.
    pub room_version: Option<RoomVersionId>,
    /// How many agents are worked on at once. Rooms are made one after the other inside most homeservers: more
    /// than a few only wait longer.
    pub concurrency: usize,
}

/// The space that holds the agents' rooms.
#[derive(Debug, Clone)]
pub struct SpaceConfig {
    /// Its name.
    pub name: String,
    /// Its topic.
    pub topic: String,
    /// The localpart of its alias, by which it is found again.
    pub alias_localpart: String,
}

impl SyncConfig {
    /// The defaults: prefix `agent_`, the space "Letta Agents" under `#letta-agents`, nobody invited.
    #[must_use]
    pub fn new(server_name: OwnedServerName, appservice: Appservice) -> Self {
        Self {
            server_name,
            appservice,
            prefix: "agent_".to_owned(),
            space: SpaceConfig {
                name: "Letta Agents".to_owned(),
                topic: "All agents of our Letta server".to_owned(),
                alias_localpart: "letta-agents".to_owned(),
            },
            invite: Vec::new(),
            room_version: None,
            concurrency: 4,
        }
    }

    /// Invites these people.
    #[must_use]
    pub fn invite(mut self, people: impl IntoIterator<Item = OwnedUserId>) -> Self {
        self.invite.extend(people);
        self
    }

    /// The people to invite besides `me`: each once, never the one who invites.
    pub(crate) fn invitees(&self, me: &UserId) -> Vec<OwnedUserId> {
        let mut people: Vec<OwnedUserId> = Vec::new();
        for person in &self.invite {
            if person != me && *person != self.appservice.sender && !people.contains(person) {
                people.push(person.clone());
            }
        }
        people
    }

    /// The user of an agent.
    ///
    /// # Errors
    /// When prefix and server name leave no room for a valid user id.
    pub fn user_id(&self, agent: &letta_client::AgentId) -> Result<OwnedUserId, ruma::IdParseError> {
        UserId::parse(format!("@{}:{}", self.localpart(agent), self.server_name))
    }

    /// The alias of an agent's room.
    ///
    /// # Errors
    /// When prefix and server name leave no room for a valid alias.
    pub fn room_alias(&self, agent: &letta_client::AgentId) -> Result<OwnedRoomAliasId, ruma::IdParseError> {
        RoomAliasId::parse(format!("#{}:{}", self.localpart(agent), self.server_name))
    }

    /// The alias of the space.
    ///
    /// # Errors
    /// When the configured localpart makes no valid alias.
    pub fn space_alias(&self) -> Result<OwnedRoomAliasId, ruma::IdParseError> {
        RoomAliasId::parse(format!("#{}:{}", self.space.alias_localpart, self.server_name))
    }

    fn localpart(&self, agent: &letta_client::AgentId) -> String {
        agent_localpart(&self.prefix, agent, self.server_name.as_str().len())
    }
}
