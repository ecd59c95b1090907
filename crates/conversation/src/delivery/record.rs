//! What is written down about a delivery, before each effect and after it.

use jiff::Timestamp;
use letta_client::RunId;
use ruma::{OwnedEventId, OwnedTransactionId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Delivery, StoreError, columns::corrupt};

use super::Approval;
use crate::{
    control::{Addressee, Order},
    decision::Forward,
};

/// What is to be done, and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Who is the reason for it.
    pub(crate) sender: OwnedUserId,
    /// When the event was sent, as its server says.
    pub(crate) sent_at: Timestamp,
    /// The root of the thread in which the event is, if it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thread: Option<OwnedEventId>,
    /// What is to be done.
    pub(crate) task: Task,
    /// How far it is.
    pub(crate) step: Step,
    /// What was said in the room because of it, or is to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) posts: Vec<Post>,
    /// What waits for a decision when this is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) asks: Option<Approval>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub(crate) enum Task {
    /// The agent is to hear a message and to answer.
    Message(Box<Forward>),
    /// A person decided on a tool call, and the agent is to go on.
    Decision {
        /// The key of the approval.
        approval: String,
        /// Whether the tool may run.
        approve: bool,
        /// Why not.
        reason: Option<String>,
    },
    /// A command is to be carried out.
    Order {
        /// The command.
        order: Order,
        /// The agents that it concerns, each with its lane.
        agents: Vec<Addressee>,
    },
    /// One of our users was invited, and is to join.
    Join,
    /// One of our users was invited by somebody who may not do that.
    Leave,
    /// The sender is to be told something.
    Tell {
        /// What, as Markdown.
        text: String,
    },
}

/// How far a delivery is. Each step is written down before what follows it is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(crate) enum Step {
    /// Nothing was done.
    Queued,
    /// It is being sent to Letta, or was: whoever finds this does not know.
    Sending {
        /// Since when.
        since: Timestamp,
        /// How often it was sent before.
        again: u32,
    },
    /// Letta works on it.
    Running {
        /// Since when it was being sent.
        since: Timestamp,
        /// How often it was sent before.
        again: u32,
        /// The run.
        run: Option<RunId>,
        /// Where its events can be heard again from the start.
        resume: Option<String>,
    },
    /// All that is to be said is known, and being said.
    Replying {
        /// How it ends with that.
        outcome: Outcome,
    },
    /// It is over.
    Done {
        /// How it ended.
        outcome: Outcome,
    },
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The agent answered.
    Answered,
    /// The agent chose to say nothing, or was only to listen.
    Silent,
    /// A tool of the agent waits for a decision.
    Asked,
    /// It was stopped.
    Stopped,
    /// It failed, and the sender was told.
    Failed {
        /// Why, in the words that were said in the room.
        why: String,
    },
    /// The sender was told something; no agent was asked.
    Told,
    /// Its sender took the message back before an agent heard it.
    TakenBack,
    /// The homeserver refuses to take what is to be said.
    Undeliverable {
        /// Why.
        why: String,
    },
}

/// Something said in the room, or to be said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Post {
    /// Its name among the posts of the delivery.
    pub(crate) key: String,
    /// The content of its event; of an edit, the new content.
    pub(crate) content: Value,
    /// What it edits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) edits: Option<Edits>,
    /// Its event, once it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) event_id: Option<OwnedEventId>,
}

/// What a post edits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Edits {
    /// Another post of the same delivery, which comes before it.
    Post(String),
    /// An event.
    Event(OwnedEventId),
}

impl Record {
    /// The record of a delivery.
    pub(crate) fn read(delivery: &Delivery) -> Result<Self, StoreError> {
        serde_json::from_value(delivery.of.record.clone())
            .map_err(|error| corrupt(&format!("delivery {}", delivery.id), "record", error))
    }

    /// The record as it is stored.
    pub(crate) fn write(&self) -> Value {
        // Structs of strings, numbers and lists: they always serialize.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The post of this name.
    pub(crate) fn post(&self, key: &str) -> Option<&Post> {
        self.posts.iter().find(|post| post.key == key)
    }

    /// The events that say the answer, as far as they were sent.
    pub(crate) fn answers(&self) -> Vec<OwnedEventId> {
        let parts = self
            .posts
            .iter()
            .filter(|post| post.edits.is_none() && post.key.starts_with("answer."));
        parts.filter_map(|post| post.event_id.clone()).collect()
    }

    /// Adds a post, or replaces the one of its name.
    pub(crate) fn put_post(&mut self, post: Post) {
        match self.posts.iter_mut().find(|known| known.key == post.key) {
            Some(known) => *known = post,
            None => self.posts.push(post),
        }
    }
}

/// The transaction ids of a delivery.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transactions(uuid::Uuid);

impl Transactions {
    pub(crate) fn of(delivery: &Delivery) -> Self {
        Self(crate::ids::delivery(
            &delivery.of.event_id,
            &delivery.of.agent_id,
            delivery.of.attempt,
        ))
    }

    pub(crate) fn id(&self, key: &str) -> OwnedTransactionId {
        crate::ids::transaction(&self.0, key)
    }
}
