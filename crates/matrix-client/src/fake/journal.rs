//! What was asked of the server, in order.

use std::time::Duration;

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::Value;

/// A call as the server saw it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Call {
    /// The method of [`MatrixApi`](crate::MatrixApi) or [`SynapseAdminApi`](crate::SynapseAdminApi), or what
    /// comes nearest for a request that neither has.
    pub method: &'static str,
    /// Who asked, if the token told.
    pub user: Option<OwnedUserId>,
    /// The room it was about.
    pub room: Option<OwnedRoomId>,
    /// What was asked, as JSON, without passwords and tokens.
    pub arguments: Value,
    /// When, since the server was made.
    pub at: Duration,
    /// What became of it.
    pub outcome: Outcome,
}

impl Call {
    /// Whether this user made it.
    pub fn is_by(&self, user: &UserId) -> bool {
        self.user.as_deref() == Some(user)
    }

    /// Whether it is about this room.
    pub fn is_about(&self, room: &RoomId) -> bool {
        self.room.as_deref() == Some(room)
    }
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is still being answered.
    Pending,
    /// It was answered.
    Answered,
    /// It was refused with this status.
    Refused(u16),
    /// A planned fault struck before it had an effect, or the server was down.
    FailedBefore,
    /// A planned fault struck after it had its effect.
    FailedAfter,
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    calls: Vec<Call>,
    /// How many calls were cleared: numbers given out before stay valid.
    cleared: usize,
}

impl Journal {
    /// Answers the number under which the outcome is reported.
    pub(super) fn record(&mut self, call: Call) -> usize {
        self.calls.push(call);
        self.cleared + self.calls.len() - 1
    }

    pub(super) fn finish(&mut self, number: usize, outcome: Outcome) {
        let index = number.checked_sub(self.cleared);
        if let Some(call) = index.and_then(|index| self.calls.get_mut(index)) {
            call.outcome = outcome;
        }
    }

    pub(super) fn calls(&self) -> &[Call] {
        &self.calls
    }

    pub(super) fn clear(&mut self) {
        self.cleared += self.calls.len();
        self.calls.clear();
    }
}
