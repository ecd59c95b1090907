//! What a run did.

use std::{fmt, time::Duration};

use accounts::AccountError;
use letta_client::{AgentId, LettaError};
use matrix_client::{MatrixError, MatrixErrorKind};
use serde::{Serialize, Serializer};
use store::StoreError;

use crate::{ListingKind, Withheld};

/// What one run did, skipped and failed at. Serialised it is the documented output of `letta-matrix sync --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SyncReport {
    /// Agents that Letta listed.
    pub agents: usize,
    /// How they were listed.
    pub listing: ListingKind,
    /// Agents for which nothing was to be done.
    pub unchanged: usize,
    /// Users that were registered.
    pub users_created: usize,
    /// Rooms that were made, without the space.
    pub rooms_created: usize,
    /// Whether the space was made.
    pub space_created: bool,
    /// Agents whose former display name or room name was replaced.
    pub renamed: usize,
    /// Rooms (the space among them) that existed under their alias and were taken over.
    pub adopted: usize,
    /// Rooms that were read from the homeserver and did not look as they should.
    pub repaired: usize,
    /// Agents whose rooms were put away.
    pub archived: usize,
    /// Agents that came back to the rooms that had been put away.
    pub restored: usize,
    /// Agents that have a room and are no longer listed. Nothing was done to them yet.
    pub missing: Vec<AgentId>,
    /// Agents whose rooms would have been put away if they were not so many. Somebody has to confirm it.
    pub withheld: Option<Withheld>,
    /// Whether the listing of agents came to its end. If not, `missing` is not known and empty.
    pub listing_complete: bool,
    /// What failed. The next run tries again.
    pub failed: Vec<FailedAgent>,
    /// What it cost.
    pub requests: RequestCounts,
    /// How long it took.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
}

impl SyncReport {
    /// Whether every listed agent is as it should be.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failed.is_empty() && self.listing_complete
    }
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// An agent that could not be completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedAgent {
    /// The agent.
    pub agent_id: AgentId,
    /// Its name in Letta.
    pub agent_name: String,
    /// The step that failed.
    pub step: Step,
    /// Why, in a sentence.
    pub error: String,
    /// What kind of error of the homeserver it was, if it was one.
    #[serde(skip)]
    pub kind: Option<MatrixErrorKind>,
}

/// The steps of bringing one agent home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// Choosing the names and recording them.
    Plan,
    /// Registering the user.
    Register,
    /// Setting its display name.
    DisplayName,
    /// Uploading or setting the picture.
    Avatar,
    /// Making, adopting or marking the room.
    Room,
    /// Reading the room.
    Inspect,
    /// Bringing the agent's user back into the room.
    Rejoin,
    /// Giving the room its alias.
    Alias,
    /// Setting the room's name.
    RoomName,
    /// Setting the room's topic.
    RoomTopic,
    /// Placing the room in the space, or taking it out.
    Space,
    /// Inviting the people.
    Invite,
    /// Putting earlier messages into the room.
    History,
    /// Leaving the room.
    Leave,
    /// Asking Letta whether the agent is gone.
    Removal,
    /// Nothing was tried, because the homeserver failed for all alike.
    NotTried,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plan => "planning",
            Self::Register => "registering the user",
            Self::DisplayName => "setting the display name",
            Self::Avatar => "setting the picture",
            Self::Room => "making the room",
            Self::Inspect => "reading the room",
            Self::Rejoin => "coming back into the room",
            Self::Alias => "giving the room its alias",
            Self::RoomName => "setting the room's name",
            Self::RoomTopic => "setting the room's topic",
            Self::Space => "placing the room in the space",
            Self::Invite => "inviting people",
            Self::History => "putting earlier messages into the room",
            Self::Leave => "leaving the room",
            Self::Removal => "asking Letta whether the agent is gone",
            Self::NotTried => "not tried",
        })
    }
}

/// Requests sent to each server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RequestCounts {
    /// To the homeserver, repetitions included.
    pub matrix: u64,
    /// To Letta, repetitions included.
    pub letta: u64,
}

impl RequestCounts {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            matrix: self.matrix - before.matrix,
            letta: self.letta - before.letta,
        }
    }
}

/// Tells how many requests have been sent so far. The clients count what really goes over the wire.
pub trait RequestMeter: Send + Sync + fmt::Debug {
    /// Requests since the clients were made.
    fn requests(&self) -> RequestCounts;
}

/// Why a run could not begin. What fails for one agent alone is in the report instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// Letta does not list its agents.
    #[error("cannot list the agents of Letta")]
    ListAgents(#[source] LettaError),
    /// The space could not be made, found or kept.
    #[error("cannot make the space of the agents")]
    Space(#[source] MatrixError),
    /// There is no session of the bridge's own user.
    #[error("cannot act as the bridge's own user")]
    Account(#[source] AccountError),
    /// The space's alias points to a room that is not ours.
    #[error("the alias {alias} belongs to another room ({reason}): remove it there, or choose another one")]
    ForeignSpace {
        /// The alias.
        alias: String,
        /// How we know.
        reason: String,
    },
    /// The store failed.
    #[error("cannot read or write the state")]
    Store(#[source] StoreError),
    /// Another instance is syncing with the same state.
    #[error("another instance ({holder}) is syncing with the same state")]
    Busy {
        /// Which one.
        holder: String,
    },
    /// Another instance took the work over, because this one did not show signs of life in time.
    #[error("another instance took the work over")]
    Superseded,
    /// The homeserver cannot be asked.
    #[error("the homeserver cannot be asked")]
    Homeserver(#[source] MatrixError),
    /// Something that cannot be taken back was not begun.
    #[error("nothing is deleted: {reason}")]
    Unsafe {
        /// Why.
        reason: String,
    },
    /// The state belongs to another homeserver.
    #[error("the state belongs to the homeserver {recorded}, not to {configured}")]
    OtherServer {
        /// The homeserver of the recorded users.
        recorded: String,
        /// The one that is configured.
        configured: String,
    },
    /// The configuration makes no valid Matrix ids.
    #[error("the names chosen in the configuration make no valid Matrix id")]
    Names(#[source] ruma::IdParseError),
}

impl SyncError {
    /// What a failure of the store means.
    pub(crate) fn of_store(error: StoreError) -> Self {
        if error.kind() == store::StoreErrorKind::LeaseLost {
            Self::Superseded
        } else {
            Self::Store(error)
        }
    }
}
