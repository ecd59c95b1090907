//! What was asked of the fake.

use jiff::Timestamp;
use serde_json::Value;

use crate::AgentId;

/// One call that reached the fake, or tried to while it was down.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Call {
    /// The name of the method of [`LettaApi`](crate::LettaApi).
    pub method: &'static str,
    /// The agent it speaks of.
    pub agent: Option<AgentId>,
    /// The arguments worth asserting, e.g. `{"limit": 100, "after": null, …}` of `list_agents`.
    pub arguments: Value,
    /// When it was made, by the fake's clock.
    pub at: Timestamp,
}

/// All calls, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Journal {
    calls: Vec<Call>,
}

impl Journal {
    pub(super) fn record(&mut self, call: Call) {
        self.calls.push(call);
    }

    pub(super) fn calls(&self) -> &[Call] {
        &self.calls
    }

    pub(super) fn count(&self, method: &str) -> usize {
        self.calls.iter().filter(|call| call.method == method).count()
    }

    pub(super) fn clear(&mut self) {
        self.calls.clear();
    }
}
