//! The providers' error bodies.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use letta_client::llm::{Failure, ProviderErrorKind};
use serde::Serialize;
use serde_json::json;

use crate::connections::HangUp;

/// Whose shape an error has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    OpenAi,
    Anthropic,
}

/// An error of the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: u16,
    pub(super) kind: ProviderErrorKind,
    pub(super) message: String,
    /// The field at fault, as OpenAI names it.
    pub(super) param: Option<String>,
    /// OpenAI's error code.
    pub(super) code: Option<&'static str>,
    pub(super) retry_after: Option<Duration>,
}

impl ApiError {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        let kind = ProviderErrorKind::from_status(status);
        Self {
            status,
            kind,
            message: message.into(),
            param: None,
            code: None,
            retry_after: None,
        }
    }

    /// A request that the provider does not accept.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    pub(super) fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    pub(super) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    pub(super) fn into_response(self, dialect: Dialect) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match dialect {
            Dialect::OpenAi => self.openai_body(),
            Dialect::Anthropic => self.anthropic_body(),
        };
        *response.status_mut() = status;
        if let Some(delay) = self.retry_after {
            // The header has whole seconds: rounded up, for coming back too early is refused again.
            let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn openai_body(&self) -> Response {
        use ProviderErrorKind::{
            Authentication, InsufficientCredits, NotFound, Overloaded, RateLimited, Server,
        };
        let kind = match self.kind {
            Server | Overloaded => "server_error",
            RateLimited => "rate_limit_error",
            InsufficientCredits => "insufficient_quota",
            _ => "invalid_request_error",
        };
        let code = self.code.or(match self.kind {
            Authentication => Some("invalid_api_key"),
            InsufficientCredits => Some("insufficient_quota"),
            NotFound => Some("model_not_found"),
            RateLimited => Some("rate_limit_exceeded"),
            _ => None,
        });
        let error = OpenAiError {
            message: &self.message,
            kind,
            param: self.param.as_deref(),
            code,
        };
        Json(OpenAiBody { error }).into_response()
    }

    fn anthropic_body(&self) -> Response {
        let kind = match self.kind {
            ProviderErrorKind::Authentication => "authentication_error",
            ProviderErrorKind::InsufficientCredits => "billing_error",
            ProviderErrorKind::PermissionDenied => "permission_error",
            ProviderErrorKind::NotFound => "not_found_error",
            ProviderErrorKind::RequestTooLarge => "request_too_large",
            ProviderErrorKind::RateLimited => "rate_limit_error",
            ProviderErrorKind::Overloaded => "overloaded_error",
            ProviderErrorKind::Server => "api_error",
            _ => "invalid_request_error",
        };
        let error = json!({"type": kind, "message": self.message});
        Json(json!({"type": "error", "error": error, "request_id": null})).into_response()
    }
}

/// OpenAI's error body, its fields in OpenAI's order: Letta quotes it to its own clients as it stands.
#[derive(Debug, Serialize)]
struct OpenAiBody<'a> {
    error: OpenAiError<'a>,
}

#[derive(Debug, Serialize)]
struct OpenAiError<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'a str>,
    code: Option<&'static str>,
}

/// The response for a failure that the engine planned.
pub(super) fn failure(failure: Failure, dialect: Dialect) -> Response {
    match failure {
        Failure::Status {
            status,
            kind,
            message,
            retry_after,
        } => {
            let message = match (dialect, kind) {
                // Anthropic names an unknown model in other words.
                (Dialect::Anthropic, ProviderErrorKind::NotFound) => message
                    .split('`')
                    .nth(1)
                    .map_or_else(|| message.clone(), |id| format!("model: {id}")),
                _ => message,
            };
            ApiError {
                status,
                kind,
                message,
                param: None,
                code: None,
                retry_after,
            }
            .into_response(dialect)
        }
        Failure::ContextLengthExceeded { limit, requested } => {
            let error = match dialect {
                Dialect::OpenAi => {
                    ApiError::invalid(Failure::ContextLengthExceeded { limit, requested }.message())
                }
                Dialect::Anthropic => ApiError::invalid(format!(
                    "prompt is too long: {requested} tokens > {limit} maximum"
                )),
            };
            error
                .param("messages")
                .code("context_length_exceeded")
                .into_response(dialect)
        }
        // Said to be JSON all the same, or clients would not try to read it.
        Failure::NotJson { body } => {
            ([(http::header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        // `Failure` may grow; what is not known here ends as abruptly as a failure can.
        _ => HangUp.into_response(),
    }
}
