//! What people can have done by a command, once it is clear what is meant.

use async_trait::async_trait;
use letta_client::AgentId;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use crate::settings::Setting;

/// What only the program around the conversations can do. The answers are shown in the admin room, as Markdown.
#[async_trait]
pub trait Operator: Send + Sync + std::fmt::Debug {
    /// Brings users and rooms up to date, and says what was done.
    async fn sync(&self) -> String;

    /// Lists the agents.
    async fn agents(&self) -> String;

    /// Lists the rooms.
    async fn rooms(&self) -> String;
}

/// A command that something is to be done about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Say how the agents are.
    Status,
    /// End what they do.
    Stop,
    /// Begin a new conversation.
    New,
    /// Show earlier messages.
    History {
        /// How many.
        count: u32,
    },
    /// Change one of the room's settings.
    Set(Setting),
    /// Bring users and rooms up to date.
    Sync,
    /// List the agents.
    Agents,
    /// List the rooms.
    Rooms,
}

/// An agent that a command is for, as it was when the command came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Addressee {
    pub(crate) agent: AgentId,
    pub(crate) name: String,
    pub(crate) user: OwnedUserId,
    /// The lane of whoever gave the command.
    pub(crate) lane: String,
    /// The lane that the agent works in, if it works.
    pub(crate) at_work: Option<String>,
    /// How many deliveries wait for it.
    pub(crate) waiting: usize,
    /// The requests of it that wait for a decision.
    pub(crate) asks: Vec<String>,
}
