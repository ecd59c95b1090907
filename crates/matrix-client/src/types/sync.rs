use std::{collections::BTreeMap, time::Duration};

use ruma::{OwnedRoomId, OwnedUserId, api::client::filter::FilterDefinition, presence::PresenceState};
use serde_json::Value;

use super::{Event, SkippedEvent, StrippedEvent};

/// What is new since when. See [`MatrixApi::sync`](crate::MatrixApi::sync).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SyncRequest {
    /// `next_batch` of the answer before. `None`: an initial sync, which shows everything there is.
    pub since: Option<String>,
    /// How long to wait for news when there is none. `None` and zero: answer at once.
    pub timeout: Option<Duration>,
    /// What is wanted.
    pub filter: Option<SyncFilter>,
    /// All state of all rooms, even what is known from before.
    pub full_state: bool,
    /// What the call says about the user's presence. `None`: that of a user who is online.
    pub set_presence: Option<PresenceState>,
}

/// What a sync is to contain.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SyncFilter {
    /// A filter that goes with the request.
    Definition(Box<FilterDefinition>),
    /// The id of a filter that the user saved on the server.
    Id(String),
}

impl SyncRequest {
    /// An initial sync.
    pub fn initial() -> Self {
        Self::default()
    }

    /// What came after an earlier answer.
    pub fn since(token: impl Into<String>) -> Self {
        Self {
            since: Some(token.into()),
            ..Self::default()
        }
    }

    /// Waits this long for news.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Only what this filter lets through.
    #[must_use]
    pub fn filter(mut self, filter: FilterDefinition) -> Self {
        self.filter = Some(SyncFilter::Definition(Box::new(filter)));
        self
    }

    /// Only what the saved filter of this id lets through.
    #[must_use]
    pub fn filter_id(mut self, id: impl Into<String>) -> Self {
        self.filter = Some(SyncFilter::Id(id.into()));
        self
    }

    /// All state, even what is known.
    #[must_use]
    pub fn full_state(mut self) -> Self {
        self.full_state = true;
        self
    }

    /// Says this about the user's presence.
    #[must_use]
    pub fn set_presence(mut self, presence: PresenceState) -> Self {
        self.set_presence = Some(presence);
        self
    }
}

/// What is new.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SyncResponse {
    /// The token to go on with. It outlives restarts of the server.
    pub next_batch: String,
    /// Rooms the user is in and that have news.
    pub joined: BTreeMap<OwnedRoomId, JoinedRoom>,
    /// New invitations.
    pub invited: BTreeMap<OwnedRoomId, InvitedRoom>,
    /// Rooms the user has left or was removed from.
    pub left: BTreeMap<OwnedRoomId, LeftRoom>,
    /// Events that are not well-formed and were set aside.
    pub skipped: Vec<SkippedEvent>,
}

impl SyncResponse {
    /// An answer without news.
    pub fn new(next_batch: impl Into<String>) -> Self {
        Self {
            next_batch: next_batch.into(),
            ..Self::default()
        }
    }

    /// Whether there is no news of any room.
    pub fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.invited.is_empty() && self.left.is_empty() && self.skipped.is_empty()
    }
}

/// News of a room the user is in.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct JoinedRoom {
    /// What happened, oldest first. State events are part of it.
    pub timeline: Timeline,
    /// State that changed between the last answer and the beginning of the timeline.
    pub state: Vec<Event>,
    /// Typing notices, receipts and the like: objects with `type` and `content`.
    pub ephemeral: Vec<Value>,
}

/// A stretch of a room's history.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Timeline {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// Whether events are missing between the last answer and the first event here. They are found with
    /// `list_messages`, backward from `prev_batch` to the last answer's `next_batch`.
    pub limited: bool,
    /// The token of the timeline's beginning.
    pub prev_batch: Option<String>,
}

/// An invitation.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct InvitedRoom {
    /// What the inviting server tells of the room, including the invitation itself.
    pub state: Vec<StrippedEvent>,
}

impl InvitedRoom {
    /// An invitation with this state.
    pub fn new(state: Vec<StrippedEvent>) -> Self {
        Self { state }
    }

    /// Who invited `user`.
    pub fn inviter_of(&self, user: &ruma::UserId) -> Option<&OwnedUserId> {
        use ruma::events::StateEventType;
        self.state
            .iter()
            .find(|event| event.event_type == StateEventType::RoomMember && event.state_key == user.as_str())
            .map(|event| &event.sender)
    }
}

/// A room the user is no longer in.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LeftRoom {
    /// What happened until then, oldest first.
    pub timeline: Timeline,
    /// State that changed between the last answer and the beginning of the timeline.
    pub state: Vec<Event>,
}
