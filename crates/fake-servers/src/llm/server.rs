//! The state of the served provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use letta_client::llm::FakeLlm;
use secrecy::{ExposeSecret, SecretString};

use super::journal::{Journal, ReceivedRequest};

/// Unix time at which everything is said to have been created: the fake has no clock.
pub(super) const CREATED: i64 = 1_767_225_600;

/// The provider: an engine, the key it wants, and the journal of what it was asked. Cheap to clone; clones are the
/// same provider.
#[derive(Debug, Clone, Default)]
pub struct LlmServer {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    llm: Arc<FakeLlm>,
    api_key: Option<SecretString>,
    journal: Journal,
    responses: AtomicU64,
}

impl LlmServer {
    /// A provider with this engine, that takes any API key and none.
    pub fn new(llm: impl Into<Arc<FakeLlm>>) -> Self {
        Self::build(llm.into(), None)
    }

    /// A provider with this engine, that answers 401 unless it is given `api_key`, as a bearer token or in
    /// `x-api-key`.
    pub fn with_api_key(llm: impl Into<Arc<FakeLlm>>, api_key: SecretString) -> Self {
        Self::build(llm.into(), Some(api_key))
    }

    fn build(llm: Arc<FakeLlm>, api_key: Option<SecretString>) -> Self {
        Self {
            inner: Arc::new(Inner {
                llm,
                api_key,
                ..Inner::default()
            }),
        }
    }

    /// The engine: for its script.
    pub fn llm(&self) -> &FakeLlm {
        &self.inner.llm
    }

    /// The requests for completions and embeddings received, oldest first; the newest 1,000 are kept.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.inner.journal.entries().0
    }

    /// Forgets the requests received.
    pub fn forget_requests(&self) {
        self.inner.journal.clear();
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.inner.journal
    }

    pub(super) fn reset(&self) {
        self.inner.llm.reset();
        self.inner.journal.clear();
    }

    /// Whether the request brings the key that is wanted, in the header that the protocol uses.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(wanted) = &self.inner.api_key else {
            return true;
        };
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
        bearer.or_else(|| text("x-api-key")) == Some(wanted.expose_secret())
    }

    /// A number for the next response's id, never given twice.
    pub(super) fn next_response(&self) -> u64 {
        self.inner.responses.fetch_add(1, Ordering::Relaxed) + 1
    }
}
