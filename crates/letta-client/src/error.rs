//! One error for every implementation, so that the fake can fail exactly as the real server does.

use std::{error::Error as StdError, fmt, time::Duration};

use crate::types::id::{ApprovalId, RunId};

/// What went wrong, in terms a caller can act on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LettaErrorKind {
    /// The server could not be reached; nothing was sent.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection broke before the answer was complete.
    Interrupted,
    /// The server sends us elsewhere, which is not followed: the address in the configuration is wrong.
    Redirected {
        /// Scheme and host it points to.
        to: String,
    },
    /// The token is missing or wrong.
    Unauthorized,
    /// The token is known and does not suffice.
    Forbidden,
    /// There is no such agent, conversation, run or message.
    NotFound,
    /// The request makes no sense to the server.
    InvalidRequest,
    /// The agent's state forbids it now.
    Conflict(Conflict),
    /// Too many requests to Letta itself.
    RateLimited,
    /// The model's provider failed, not Letta.
    Provider(ProviderFailure),
    /// This server cannot do that.
    Unsupported,
    /// The server failed.
    Server,
    /// The answer is JSON but not what the API promises; [`LettaError::path`] names the field.
    Decode,
    /// The answer is not JSON at all: probably not a Letta server.
    NotLetta,
    /// The answer is longer than this client accepts.
    TooLarge,
    /// Refused by a [`ReadOnly`](crate::layers::ReadOnly) layer.
    ReadOnly,
}

/// The kinds of conflict; they need different answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Conflict {
    /// Another turn runs: wait for it.
    Busy {
        /// The run that holds the conversation, when the server says so.
        run: Option<RunId>,
    },
    /// A tool call waits for a decision: waiting never clears it.
    PendingApproval {
        /// The request that waits, when the server says so.
        request: Option<ApprovalId>,
    },
    /// Two changes met: try again.
    ConcurrentUpdate,
    /// Nothing runs that could be cancelled.
    NothingToCancel,
    /// Another conflict; see the message.
    Other,
}

/// How the model's provider failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderFailure {
    /// Letta's key for the provider is wrong.
    Authentication,
    /// No credits left.
    InsufficientCredits,
    /// Too many requests to the provider.
    RateLimit,
    /// The provider refused the request.
    BadRequest,
    /// The conversation is too long for the model.
    ContextWindowExceeded,
    /// Anything else.
    Other,
}

/// A call to Letta that failed.
pub struct LettaError(Box<Inner>);

struct Inner {
    kind: LettaErrorKind,
    message: String,
    status: Option<u16>,
    path: Option<String>,
    retry_after: Option<Duration>,
    may_have_applied: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl LettaError {
    /// An error of this kind with a sentence for people.
    pub fn new(kind: LettaErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            status: None,
            path: None,
            retry_after: None,
            may_have_applied: false,
            source: None,
        }))
    }

    /// Adds the HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Adds the path of the field that could not be read, e.g. `[3].created_at`.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.0.path = Some(path.into());
        self
    }

    /// Adds how long the server asks us to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Says that the request may have had its effect although it failed.
    #[must_use]
    pub fn with_may_have_applied(mut self, may: bool) -> Self {
        self.0.may_have_applied = may;
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &LettaErrorKind {
        &self.0.kind
    }

    /// The sentence, without the kind and the cause.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The HTTP status, if there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The path of the field that could not be read.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.0.path.as_deref()
    }

    /// How long the server asks us to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the request may have had its effect although it failed.
    #[must_use]
    pub fn may_have_applied(&self) -> bool {
        self.0.may_have_applied
    }

    /// Whether the same call can succeed later without anybody changing anything. It says nothing about whether
    /// repeating it is safe: see [`may_have_applied`](Self::may_have_applied).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match &self.0.kind {
            LettaErrorKind::Connect
            | LettaErrorKind::Timeout
            | LettaErrorKind::Interrupted
            | LettaErrorKind::RateLimited
            | LettaErrorKind::Server => true,
            LettaErrorKind::Conflict(conflict) => {
                matches!(conflict, Conflict::Busy { .. } | Conflict::ConcurrentUpdate)
            }
            LettaErrorKind::Provider(failure) => {
                matches!(failure, ProviderFailure::RateLimit | ProviderFailure::Other)
            }
            _ => false,
        }
    }
}

impl fmt::Display for LettaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(path) = &self.0.path {
            write!(f, " (at `{path}`)")?;
        }
        if let Some(status) = self.0.status {
            write!(f, " (HTTP {status})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for LettaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LettaError")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("status", &self.0.status)
            .field("path", &self.0.path)
            .field("retry_after", &self.0.retry_after)
            .field("may_have_applied", &self.0.may_have_applied)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for LettaError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
