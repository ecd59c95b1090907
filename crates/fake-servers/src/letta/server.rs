//! The state of the served Letta.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use letta_client::fake::FakeLetta;

/// A Letta server to be served: the fake, and how its answers look. Cheap to clone; clones are the same server.
#[derive(Debug, Clone)]
pub struct LettaServer {
    letta: FakeLetta,
    wrapped_lists: Arc<AtomicBool>,
}

impl LettaServer {
    /// Serves this fake. When it wants a token, requests must bring it.
    #[must_use]
    pub fn new(letta: FakeLetta) -> Self {
        Self {
            letta,
            wrapped_lists: Arc::default(),
        }
    }

    /// Answers listings as `{"data": […]}` instead of a bare array, as some descriptions of the API have it.
    #[must_use]
    pub fn with_wrapped_lists(self) -> Self {
        self.wrap_lists(true);
        self
    }

    /// The fake: for its faults, its journal and its agents.
    #[must_use]
    pub fn letta(&self) -> &FakeLetta {
        &self.letta
    }

    pub(super) fn wrap_lists(&self, wrap: bool) {
        self.wrapped_lists.store(wrap, Ordering::Relaxed);
    }

    pub(super) fn wraps_lists(&self) -> bool {
        self.wrapped_lists.load(Ordering::Relaxed)
    }
}

impl From<FakeLetta> for LettaServer {
    fn from(letta: FakeLetta) -> Self {
        Self::new(letta)
    }
}
