//! How the server says no: as the status and body it would send, and as the error a client makes of them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{Conflict, LettaError, LettaErrorKind, ProviderFailure, RunId};

/// A request that was not granted.
///
/// Has an HTTP status and a body when the server answered, and neither when no answer came (connection refused,
/// timeout, cut).
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    kind: LettaErrorKind,
    message: String,
    status: Option<u16>,
    body: Value,
    retry_after: Option<Duration>,
    may_have_applied: bool,
}

impl Refusal {
    /// An answer with this status and `{"detail": message}`.
    pub(super) fn detail(status: u16, kind: LettaErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            kind,
            status: Some(status),
            body: json!({ "detail": message }),
            message,
            retry_after: None,
            may_have_applied: false,
        }
    }

    /// An answer with this status and a body of its own.
    pub(super) fn with_body(
        status: u16,
        kind: LettaErrorKind,
        message: impl Into<String>,
        body: Value,
    ) -> Self {
        Self {
            kind,
            message: message.into(),
            status: Some(status),
            body,
            retry_after: None,
            may_have_applied: false,
        }
    }

    /// No answer at all.
    fn silence(kind: LettaErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            status: None,
            body: Value::Null,
            retry_after: None,
            may_have_applied: false,
        }
    }

    pub(super) fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(super) fn with_may_have_applied(mut self, may: bool) -> Self {
        self.may_have_applied = may;
        self
    }

    /// What a server, or the way to it, answers when this goes wrong.
    pub(super) fn of_kind(kind: LettaErrorKind, message: Option<String>) -> Self {
        let say = |usual: &str| message.clone().unwrap_or_else(|| usual.to_owned());
        match &kind {
            LettaErrorKind::Connect => Self::silence(kind, say("the server could not be reached")),
            LettaErrorKind::Timeout => Self::silence(kind, say("no answer in time")),
            LettaErrorKind::Interrupted => {
                Self::silence(kind, say("the connection broke before the answer was complete"))
            }
            LettaErrorKind::Redirected { to } => {
                let text = say(&format!("the server sends us to {to}"));
                Self::with_body(302, kind, text, Value::Null)
            }
            LettaErrorKind::Unauthorized => Self::detail(401, kind, say("Unauthorized")),
            LettaErrorKind::Forbidden => Self::detail(403, kind, say("Forbidden")),
            LettaErrorKind::NotFound => Self::detail(404, kind, say("Agent not found")),
            LettaErrorKind::InvalidRequest => Self::detail(422, kind, say("the request makes no sense")),
            LettaErrorKind::Conflict(conflict) => Self::conflict(&conflict.clone(), message),
            LettaErrorKind::RateLimited => Self::detail(429, kind, say("Too Many Requests")),
            LettaErrorKind::Provider(failure) => Self::provider(*failure, message),
            LettaErrorKind::Unsupported => Self::detail(501, kind, say("this server cannot do that")),
            LettaErrorKind::Server => Self::detail(500, kind, say("An unknown error occurred")),
            LettaErrorKind::Decode => Self::with_body(
                200,
                kind,
                say("the answer is not what the API promises"),
                json!({}),
            ),
            LettaErrorKind::NotLetta => {
                let page = Value::String("<html><body>Sign in</body></html>".to_owned());
                Self::with_body(200, kind, say("the answer is not JSON"), page)
            }
            LettaErrorKind::TooLarge => {
                Self::with_body(200, kind, say("the answer is too long"), Value::Null)
            }
            LettaErrorKind::ReadOnly => Self::silence(kind, say("this client only reads")),
        }
    }

    /// A conflict as the real server words it.
    pub(super) fn conflict(conflict: &Conflict, message: Option<String>) -> Self {
        let kind = LettaErrorKind::Conflict(conflict.clone());
        match conflict {
            Conflict::Busy { run } => busy(kind, run.as_ref(), message),
            Conflict::PendingApproval { request } => {
                let text = message.unwrap_or_else(|| PENDING_APPROVAL.to_owned());
                let mut detail = json!({ "code": "PENDING_APPROVAL", "message": text });
                if let Some(request) = request {
                    detail["pending_request_id"] = json!(request);
                }
                Self::with_body(409, kind, text, json!({ "detail": detail }))
            }
            Conflict::ConcurrentUpdate => Self::detail(
                409,
                kind,
                message.unwrap_or_else(|| {
                    "CONFLICT: Agent was updated by another transaction. Please retry your request."
                        .to_owned()
                }),
            ),
            Conflict::NothingToCancel => Self::detail(
                409,
                kind,
                message.unwrap_or_else(|| "CONFLICT: No active runs to cancel".to_owned()),
            ),
            Conflict::Other => Self::detail(409, kind, message.unwrap_or_else(|| "CONFLICT".to_owned())),
        }
    }

    /// A failure of the model's provider before the stream began.
    pub(super) fn provider(failure: ProviderFailure, detail: Option<String>) -> Self {
        let kind = LettaErrorKind::Provider(failure);
        let (status, wire, sentence) = match failure {
            ProviderFailure::Authentication => (
                401,
                "llm_authentication",
                "Authentication failed with the LLM model provider.",
            ),
            ProviderFailure::InsufficientCredits => (
                402,
                "llm_insufficient_credits",
                "Insufficient credits for LLM request. Please check your account.",
            ),
            ProviderFailure::RateLimit => (
                429,
                "llm_rate_limit",
                "Rate limit exceeded for LLM model provider. Please wait before making another request.",
            ),
            ProviderFailure::BadRequest => (
                400,
                "llm_bad_request",
                "The request to the LLM model provider was invalid.",
            ),
            ProviderFailure::ContextWindowExceeded => {
                let text = detail.unwrap_or_else(|| "the conversation is too long".to_owned());
                return Self::detail(400, kind, format!("CONTEXT_WINDOW_EXCEEDED: {text}"));
            }
            ProviderFailure::Other => (500, "llm_error", "An error occurred with the LLM request."),
        };
        let body = json!({ "error": { "type": wire, "message": sentence, "detail": detail } });
        Self::with_body(status, kind, sentence, body)
    }

    /// The HTTP status, if the server answered.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// The body of the answer; a string is not JSON but the text itself.
    #[must_use]
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// What the `Retry-After` header says.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &LettaErrorKind {
        &self.kind
    }

    /// The error that a client makes of it.
    #[must_use]
    pub fn to_error(&self) -> LettaError {
        let mut error = LettaError::new(self.kind.clone(), self.message.clone())
            .with_may_have_applied(self.may_have_applied);
        if let Some(status) = self.status {
            error = error.with_status(status);
        }
        if let Some(wait) = self.retry_after {
            error = error.with_retry_after(wait);
        }
        error
    }
}

impl From<Refusal> for LettaError {
    fn from(refusal: Refusal) -> Self {
        refusal.to_error()
    }
}

/// The sentence of the real server; clients recognise it inside a stream, where it comes without a code.
pub(super) const PENDING_APPROVAL: &str = "CONFLICT: Cannot send a new message: The agent is waiting for approval on \
     a tool call. Please approve or deny the pending request before continuing.";

fn busy(kind: LettaErrorKind, run: Option<&RunId>, message: Option<String>) -> Refusal {
    let text = message.unwrap_or_else(|| {
        let holder = run.map_or_else(String::new, |run| format!(" (run_id={run})"));
        format!(
            "CONFLICT: Cannot send a new message: Another request{holder} is currently being processed for this \
             conversation. Please wait for it to complete."
        )
    });
    let body = json!({ "detail": text, "run_id": run });
    Refusal::with_body(409, kind, text, body)
}

/// The account that a server without users acts as.
const ACTOR: &str = "id='user-00000000-0000-4000-8000-000000000000' \
     organization_id='org-00000000-0000-4000-8000-000000000000' name='default_user' created_at=None \
     updated_at=datetime.datetime(2026, 1, 5, 9, 0, tzinfo=TzInfo(UTC)) is_deleted=False";

/// The usual 404 of an agent.
pub(super) fn agent_not_found(id: &str) -> Refusal {
    Refusal::detail(
        404,
        LettaErrorKind::NotFound,
        format!("Agent with ID {id} not found"),
    )
}

/// The longer 404 of things that the database layer looks up by itself.
pub(super) fn row_not_found(what: &str, id: &str) -> Refusal {
    Refusal::detail(
        404,
        LettaErrorKind::NotFound,
        format!("{what} not found with id='['{id}']', access level in ['read'] for actor='{ACTOR}'"),
    )
}

/// The 422 for an id that does not look like one.
pub(super) fn malformed_id(what: &str, prefix: &str, id: &str) -> Refusal {
    let pattern =
        format!("^{prefix}-[0-9a-f]{{8}}-[0-9a-f]{{4}}-4[0-9a-f]{{3}}-[89ab][0-9a-f]{{3}}-[0-9a-f]{{12}}$");
    let text = format!(
        "[{{'type': 'string_pattern_mismatch', 'loc': ('path', '{what}'), 'msg': \"String should match pattern \
         '{prefix}-{{uuid4}}'\", 'input': '{id}', 'ctx': {{'pattern': '{pattern}'}}}}]"
    );
    let body = json!({
        "trace_id": "",
        "detail": text,
        "examples": [format!("{prefix}-123e4567-e89b-42d3-8456-426614174000")],
    });
    Refusal::with_body(422, LettaErrorKind::InvalidRequest, text, body)
}

/// The 422 of a body that does not fit.
pub(super) fn invalid_body(problem: &str) -> Refusal {
    let text = format!(
        "[{{'type': 'value_error', 'loc': ('body',), 'msg': 'Value error, {problem}', 'input': {{}}}}]"
    );
    let body = json!({ "trace_id": "", "detail": text });
    Refusal::with_body(422, LettaErrorKind::InvalidRequest, text, body)
}
