//! How a turn fails: with its own status when nothing was sent yet, and inside a stream that began with 200.

use serde_json::{Value, json};

use super::{
    event::StreamError,
    refusal::{PENDING_APPROVAL, Refusal},
};
use crate::{
    ApprovalId, Conflict, LettaErrorKind, ProviderFailure, StopReason,
    llm::{Failure as LlmFailure, ProviderErrorKind},
};

/// Why a turn failed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Failure {
    /// The model's provider failed. The text is the server's, with the provider's inside.
    Provider { class: ProviderFailure, detail: String },
    /// The conversation is too long, even after it was shortened.
    TooLong(String),
    /// The system prompt alone is too long.
    SystemPromptTooLong(String),
    /// The input makes no sense.
    Invalid(String),
    /// A tool call waits for a decision first.
    PendingApproval(String),
    /// The agent was deleted meanwhile.
    Gone(String),
}

impl Failure {
    /// What the server makes of a failure of the provider.
    pub(super) fn from_provider(failure: &LlmFailure) -> Self {
        let said = provider_says(failure);
        let status = match failure {
            LlmFailure::ContextLengthExceeded { .. } => {
                return Self::TooLong(format!(
                    "CONTEXT_WINDOW_EXCEEDED: Bad request to OpenAI (context window exceeded): {said} \
                     ({{'is_byok': False}})"
                ));
            }
            LlmFailure::NotJson { .. } => {
                return Self::other(
                    "INTERNAL_SERVER_ERROR: OpenAI API returned invalid JSON response (likely an HTML error page): \
                     Expecting value: line 1 column 1 (char 0)",
                );
            }
            LlmFailure::Disconnect => {
                return Self::other("INTERNAL_SERVER_ERROR: Failed to connect to OpenAI: Connection error.");
            }
            LlmFailure::Status { status, .. } => *status,
        };
        let (class, prefix) = match status {
            400 => (
                ProviderFailure::BadRequest,
                "INVALID_ARGUMENT: Bad request to OpenAI-compatible endpoint",
            ),
            401 => (
                ProviderFailure::Authentication,
                "UNAUTHENTICATED: Authentication failed with OpenAI",
            ),
            402 => (
                ProviderFailure::InsufficientCredits,
                "PAYMENT_REQUIRED: Insufficient credits",
            ),
            403 => (
                ProviderFailure::Other,
                "PERMISSION_DENIED: Permission denied by OpenAI",
            ),
            404 => (ProviderFailure::Other, "NOT_FOUND: Resource not found in OpenAI"),
            413 => {
                return Self::TooLong(format!(
                    "CONTEXT_WINDOW_EXCEEDED: Request too large for OpenAI (413): {said} ({{'is_byok': False}})"
                ));
            }
            422 => (
                ProviderFailure::Other,
                "INVALID_ARGUMENT: Invalid request content for OpenAI",
            ),
            429 => (
                ProviderFailure::RateLimit,
                "RATE_LIMIT_EXCEEDED: Rate limited by OpenAI",
            ),
            _ => (ProviderFailure::Other, "INTERNAL_SERVER_ERROR: OpenAI API error"),
        };
        Self::Provider {
            class,
            detail: format!("{prefix}: {said}"),
        }
    }

    /// What the server makes of a connection to the provider that breaks in the middle of an answer.
    pub(super) fn broken_off() -> Self {
        Self::other(
            "INTERNAL_SERVER_ERROR: Connection error during OpenAI streaming: peer closed connection without sending \
             complete message body (incomplete chunked read)",
        )
    }

    fn other(detail: &str) -> Self {
        Self::Provider {
            class: ProviderFailure::Other,
            detail: detail.to_owned(),
        }
    }

    /// The server's whole sentence.
    pub(super) fn detail(&self) -> &str {
        match self {
            Self::Provider { detail, .. }
            | Self::TooLong(detail)
            | Self::SystemPromptTooLong(detail)
            | Self::Invalid(detail)
            | Self::Gone(detail) => detail,
            Self::PendingApproval(_) => PENDING_APPROVAL,
        }
    }

    /// Why the turn ended, when it failed before it said anything.
    pub(super) fn stop_reason(&self) -> StopReason {
        match self {
            Self::Provider { .. } => StopReason::LlmApiError,
            Self::SystemPromptTooLong(_) => StopReason::ContextWindowOverflow,
            Self::TooLong(_) | Self::Invalid(_) | Self::PendingApproval(_) | Self::Gone(_) => {
                StopReason::Error
            }
        }
    }

    /// The error inside a stream that said nothing yet.
    pub(super) fn at_the_start(&self) -> StreamError {
        let (error_type, message) = match self {
            Self::Provider { class, .. } => match class {
                ProviderFailure::Authentication => ("llm_authentication", AUTHENTICATION.to_owned()),
                ProviderFailure::RateLimit => ("llm_rate_limit", RATE_LIMIT.to_owned()),
                // The others have no type of their own in a stream.
                _ => ("llm_error", "An error occurred with the LLM request.".to_owned()),
            },
            Self::SystemPromptTooLong(_) => (
                "context_window_overflow_in_system_prompt",
                SYSTEM_PROMPT.to_owned(),
            ),
            // The server repeats its own errors and hides those of its libraries.
            Self::TooLong(_) | Self::PendingApproval(_) => ("internal_error", self.detail().to_owned()),
            Self::Invalid(_) | Self::Gone(_) => (
                "internal_error",
                "An unknown error occurred with the LLM streaming request.".to_owned(),
            ),
        };
        StreamError {
            error_type,
            message,
            detail: self.detail().to_owned(),
        }
    }

    /// The error inside a stream that said something already.
    pub(super) fn in_the_middle(&self) -> StreamError {
        let (error_type, message) = match self {
            Self::SystemPromptTooLong(_) => ("context_window_overflow_in_system_prompt", SYSTEM_PROMPT),
            _ => ("internal_error", "An error occurred during agent execution."),
        };
        StreamError {
            error_type,
            message: message.to_owned(),
            detail: self.detail().to_owned(),
        }
    }

    /// The answer to a request that does not stream.
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Self::Provider { class, detail } => Refusal::provider(*class, Some(detail.clone())),
            Self::TooLong(detail) | Self::SystemPromptTooLong(detail) => Refusal::detail(
                400,
                LettaErrorKind::Provider(ProviderFailure::ContextWindowExceeded),
                detail.clone(),
            ),
            Self::Invalid(detail) => Refusal::detail(400, LettaErrorKind::InvalidRequest, detail.clone()),
            Self::PendingApproval(request) => Refusal::conflict(
                &Conflict::PendingApproval {
                    request: Some(ApprovalId::new(request.clone())),
                },
                None,
            ),
            Self::Gone(detail) => Refusal::detail(404, LettaErrorKind::NotFound, detail.clone()),
        }
    }
}

const AUTHENTICATION: &str = "Authentication failed with the LLM model provider.";
const RATE_LIMIT: &str =
    "Rate limit exceeded for LLM model provider. Please wait before making another request.";
const SYSTEM_PROMPT: &str = "Compaction failed because the system prompt is too large for this model's context \
     window. Reduce system instructions, memory blocks, or tools, or use a model with a larger context window.";

/// The provider's error as its Python library prints it.
fn provider_says(failure: &LlmFailure) -> String {
    let status = failure.http_status().unwrap_or_default();
    let message = failure.message();
    let (message, kind, param, code) = match failure {
        LlmFailure::ContextLengthExceeded { .. } => (
            // The message has an apostrophe: Python takes the other quotes.
            format!("\"{message}\""),
            "invalid_request_error",
            "'messages'",
            "'context_length_exceeded'",
        ),
        LlmFailure::Status { kind, .. } => {
            let (name, code) = names(*kind);
            (format!("'{message}'"), name, "None", code)
        }
        LlmFailure::NotJson { .. } | LlmFailure::Disconnect => return String::new(),
    };
    format!(
        "Error code: {status} - {{'error': {{'message': {message}, 'type': '{kind}', 'param': {param}, 'code': {code}}}}}"
    )
}

/// What OpenAI calls this kind of error: its `type` and, as Python prints it, its `code`.
fn names(kind: ProviderErrorKind) -> (&'static str, &'static str) {
    match kind {
        ProviderErrorKind::Server | ProviderErrorKind::Overloaded => ("server_error", "None"),
        ProviderErrorKind::RateLimited => ("rate_limit_error", "'rate_limit_exceeded'"),
        ProviderErrorKind::InsufficientCredits => ("insufficient_quota", "'insufficient_quota'"),
        ProviderErrorKind::Authentication => ("invalid_request_error", "'invalid_api_key'"),
        ProviderErrorKind::NotFound => ("invalid_request_error", "'model_not_found'"),
        _ => ("invalid_request_error", "None"),
    }
}

/// What a run remembers of the error in its stream.
pub(super) fn metadata(error: &StreamError, run: &crate::RunId) -> Value {
    json!({ "run_id": run, "error_type": error.error_type, "message": error.message, "detail": error.detail })
}
