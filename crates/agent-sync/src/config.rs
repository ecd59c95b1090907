//! What the operator decides.

use std::time::Duration;

use letta_client::AgentId;
use ruma::{OwnedRoomAliasId, OwnedServerName, OwnedUserId, RoomAliasId, RoomVersionId, UserId};
use uuid::Uuid;

use crate::{names::agent_localpart, select::Selection};

/// How agents are to appear on the homeserver.
#[derive(Debug, Clone)]
pub struct SyncConfig {
    /// The homeserver's name: what stands behind the colon of its users.
    pub server_name: OwnedServerName,
    /// What the localparts of users and aliases begin with.
    pub prefix: String,
    /// The display name of the bridge's own user; `None` leaves it alone.
    pub bot_name: Option<String>,
    /// The space that holds the rooms.
    pub space: SpaceConfig,
    /// People who are invited to the space and to every room.
    pub invite: Vec<OwnedUserId>,
    /// The version of new rooms; `None` leaves it to the homeserver.
    pub room_version: Option<RoomVersionId>,
    /// How many of an agent's latest messages are put into its new room.
    pub history: u32,
    /// Which agents have a home at all.
    pub select: Selection,
    /// What becomes of the rooms of agents that are gone.
    pub removal: RemovalConfig,
    /// How often every room is read from the homeserver and mended.
    pub check_interval: Duration,
    /// How often all agents are listed, where the runs in between ask for changes only.
    pub full_listing_interval: Duration,
    /// How many agents are worked on at once, at most. Rooms are made one after the other inside most homeservers, so
    /// fewer are where more only wait longer.
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

/// What becomes of the rooms of agents that are gone. Nothing is ever deleted by itself.
#[derive(Debug, Clone)]
pub struct RemovalConfig {
    /// What is done.
    pub mode: RemovalMode,
    /// For how long an agent must be missing.
    pub grace: Duration,
    /// Which share of the agents may be missing at once. If more are, nothing is done until somebody confirms it. One
    /// agent may always be.
    pub max_share: f64,
}

/// How a room is put away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovalMode {
    /// The room is renamed and taken out of the space; the agent's user stays in it.
    Archive,
    /// The same, and the agent's user leaves. The bridge's own user takes its place, so that the agent can come back.
    Leave,
    /// Nothing is done.
    Keep,
}

impl SyncConfig {
    /// The defaults: prefix `agent_`, the space "Letta Agents" under `#letta-agents`, every agent, nobody invited.
    #[must_use]
    pub fn new(server_name: OwnedServerName) -> Self {
        Self {
            server_name,
            prefix: "agent_".to_owned(),
            bot_name: Some("Letta Agents".to_owned()),
            space: SpaceConfig {
                name: "Letta Agents".to_owned(),
                topic: "All agents of our Letta server".to_owned(),
                alias_localpart: "letta-agents".to_owned(),
            },
            invite: Vec::new(),
            room_version: None,
            history: 0,
            select: Selection::default(),
            removal: RemovalConfig {
                mode: RemovalMode::Archive,
                grace: Duration::from_secs(2 * 60 * 60),
                max_share: 0.25,
            },
            check_interval: Duration::from_secs(6 * 60 * 60),
            full_listing_interval: Duration::from_secs(60 * 60),
            concurrency: 4,
        }
    }

    /// Invites these people.
    #[must_use]
    pub fn invite(mut self, people: impl IntoIterator<Item = OwnedUserId>) -> Self {
        self.invite.extend(people);
        self
    }

    /// The people to invite to a room of `me`: each once, never the one who invites, never the bot.
    pub(crate) fn invitees(&self, me: &UserId, bot: &UserId) -> Vec<OwnedUserId> {
        let mut people: Vec<OwnedUserId> = Vec::new();
        for person in &self.invite {
            if person != me && person != bot && !people.contains(person) {
                people.push(person.clone());
            }
        }
        people
    }

    /// The user of an agent.
    ///
    /// # Errors
    /// When prefix and server name leave no room for a valid user id.
    pub fn user_id(&self, agent: &AgentId) -> Result<OwnedUserId, ruma::IdParseError> {
        UserId::parse(format!("@{}:{}", self.localpart(agent), self.server_name))
    }

    /// The alias of an agent's room.
    ///
    /// # Errors
    /// When prefix and server name leave no room for a valid alias.
    pub fn room_alias(&self, agent: &AgentId) -> Result<OwnedRoomAliasId, ruma::IdParseError> {
        RoomAliasId::parse(format!("#{}:{}", self.localpart(agent), self.server_name))
    }

    /// The alias of the space.
    ///
    /// # Errors
    /// When the configured localpart makes no valid alias.
    pub fn space_alias(&self) -> Result<OwnedRoomAliasId, ruma::IdParseError> {
        RoomAliasId::parse(format!("#{}:{}", self.space.alias_localpart, self.server_name))
    }

    /// Changes whenever an agent could look different under this configuration.
    pub(crate) fn fingerprint(&self) -> String {
        Uuid::new_v5(&FINGERPRINT_NAMESPACE, format!("{self:?}").as_bytes())
            .simple()
            .to_string()
    }

    fn localpart(&self, agent: &AgentId) -> String {
        agent_localpart(&self.prefix, agent, self.server_name.as_str().len())
    }
}

const FINGERPRINT_NAMESPACE: Uuid = Uuid::from_u128(0x2d33_4ad5_9f0b_4f0e_8a36_0b7b_2f1c_57d1);
