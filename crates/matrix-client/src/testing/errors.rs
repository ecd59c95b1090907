//! The errors of a homeserver, as status and body, word for word as Synapse sends them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::MatrixError;

/// An error as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorReply {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body.
    pub body: Value,
}

impl ErrorReply {
    /// An error with this code and message.
    pub fn new(status: u16, errcode: &str, message: &str) -> Self {
        Self {
            status,
            body: json!({ "errcode": errcode, "error": message }),
        }
    }

    /// The same with one more field in the body.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.body[field] = value.into();
        self
    }

    /// The error that a client makes of it.
    pub fn to_error(&self) -> MatrixError {
        MatrixError::from_matrix_body(self.status, &self.body)
    }
}

/// 400 `M_USER_IN_USE`
pub fn user_in_use() -> ErrorReply {
    ErrorReply::new(400, "M_USER_IN_USE", "User ID already taken.")
}

/// 400 `M_ROOM_IN_USE`
pub fn room_in_use() -> ErrorReply {
    ErrorReply::new(400, "M_ROOM_IN_USE", "Room alias already taken")
}

/// 400 `M_EXCLUSIVE`, for a name in an application service's namespace
pub fn exclusive() -> ErrorReply {
    ErrorReply::new(
        400,
        "M_EXCLUSIVE",
        "This user ID is reserved by an application service.",
    )
}

/// 400 `M_INVALID_USERNAME`
pub fn invalid_username() -> ErrorReply {
    let message = "User ID can only contain characters a-z, 0-9, or '=_-./+'";
    ErrorReply::new(400, "M_INVALID_USERNAME", message)
}

/// 429 `M_LIMIT_EXCEEDED` with `retry_after_ms`
pub fn limit_exceeded(retry_after: Duration) -> ErrorReply {
    let millis = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
    ErrorReply::new(429, "M_LIMIT_EXCEEDED", "Too Many Requests").with("retry_after_ms", millis)
}

/// 401 `M_UNKNOWN_TOKEN` of a token that is gone for good
pub fn unknown_token() -> ErrorReply {
    ErrorReply::new(401, "M_UNKNOWN_TOKEN", "Invalid access token passed.").with("soft_logout", false)
}

/// 401 `M_UNKNOWN_TOKEN` of a token that has expired and can be refreshed
pub fn expired_token() -> ErrorReply {
    ErrorReply::new(401, "M_UNKNOWN_TOKEN", "Access token has expired").with("soft_logout", true)
}

/// 401 `M_MISSING_TOKEN`
pub fn missing_token() -> ErrorReply {
    ErrorReply::new(401, "M_MISSING_TOKEN", "Missing access token")
}

/// 403 `M_FORBIDDEN` with the given words
pub fn forbidden(message: &str) -> ErrorReply {
    ErrorReply::new(403, "M_FORBIDDEN", message)
}

/// 404 `M_NOT_FOUND` with the given words
pub fn not_found(message: &str) -> ErrorReply {
    ErrorReply::new(404, "M_NOT_FOUND", message)
}

/// 409 `M_UNKNOWN`, for an alias that exists or a room that is being made at the same time
pub fn conflict(message: &str) -> ErrorReply {
    ErrorReply::new(409, "M_UNKNOWN", message)
}

/// 404 `M_UNRECOGNIZED`
pub fn unrecognized() -> ErrorReply {
    ErrorReply::new(404, "M_UNRECOGNIZED", "Unrecognized request")
}

/// 413 `M_TOO_LARGE`
pub fn too_large() -> ErrorReply {
    ErrorReply::new(413, "M_TOO_LARGE", "event too large")
}

/// 400 `M_DUPLICATE_ANNOTATION`
pub fn duplicate_annotation() -> ErrorReply {
    ErrorReply::new(400, "M_DUPLICATE_ANNOTATION", "Can't send same reaction twice")
}

/// 400 `M_UNKNOWN_DEVICE`
pub fn unknown_device() -> ErrorReply {
    ErrorReply::new(
        400,
        "M_UNKNOWN_DEVICE",
        "Application service trying to use a device that doesn't exist",
    )
}

/// 502 `M_BAD_STATUS`: the application service answered the ping with this status and body
pub fn ping_bad_status(status: u16, body: &str) -> ErrorReply {
    ErrorReply::new(
        502,
        "M_BAD_STATUS",
        "HTTP status code from application service was not 200",
    )
    .with("status", status)
    .with("body", body)
}

/// 502 `M_CONNECTION_FAILED`: the application service could not be reached
pub fn ping_connection_failed() -> ErrorReply {
    ErrorReply::new(
        502,
        "M_CONNECTION_FAILED",
        "Failed to connect to application service",
    )
}

/// 500 `M_UNKNOWN`
pub fn internal_server_error() -> ErrorReply {
    ErrorReply::new(500, "M_UNKNOWN", "Internal server error")
}

/// 401 without a code: registration wants these stages
pub fn interactive_auth(session: &str, stages: &[&str]) -> ErrorReply {
    let body = json!({ "session": session, "flows": [{ "stages": stages }], "params": {} });
    ErrorReply { status: 401, body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MatrixErrorKind as Kind;

    #[test]
    fn each_body_becomes_its_kind() {
        let minute = Duration::from_secs(60);
        for (reply, kind) in [
            (user_in_use(), Kind::UserInUse),
            (room_in_use(), Kind::RoomInUse),
            (exclusive(), Kind::Exclusive),
            (invalid_username(), Kind::InvalidUsername),
            (
                limit_exceeded(minute),
                Kind::LimitExceeded {
                    retry_after: Some(minute),
                },
            ),
            (unknown_token(), Kind::Unauthorized { soft_logout: false }),
            (expired_token(), Kind::Unauthorized { soft_logout: true }),
            (missing_token(), Kind::MissingToken),
            (forbidden("no"), Kind::Forbidden),
            (not_found("no"), Kind::NotFound),
            (conflict("no"), Kind::Conflict),
            (unrecognized(), Kind::Unrecognized),
            (too_large(), Kind::TooLarge),
            (duplicate_annotation(), Kind::DuplicateAnnotation),
            (unknown_device(), Kind::UnknownDevice),
            (
                ping_bad_status(500, "no"),
                Kind::AppservicePing {
                    status: Some(500),
                    body: Some("no".to_owned()),
                },
            ),
            (
                ping_connection_failed(),
                Kind::AppservicePing {
                    status: None,
                    body: None,
                },
            ),
            (internal_server_error(), Kind::Server),
            (
                interactive_auth("s", &["m.login.dummy"]),
                Kind::InteractiveAuthRequired {
                    flows: vec![vec!["m.login.dummy".to_owned()]],
                },
            ),
        ] {
            assert_eq!(reply.to_error().kind(), &kind);
        }
    }
}
