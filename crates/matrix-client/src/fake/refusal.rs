//! The server's "no": a status and a JSON body.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::MatrixError;

/// A JSON object.
pub type Object = Map<String, Value>;

/// What an operation of the model answers.
pub type Answer<T> = Result<T, Refusal>;

/// What the server answers in place of what was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The body, with `errcode` and `error`.
    pub body: Object,
    /// How long the server takes before it says so.
    pub(super) pause: Duration,
}

impl Refusal {
    /// A refusal with a code and words.
    pub fn new(status: u16, errcode: &str, error: impl Into<String>) -> Self {
        let mut body = Object::new();
        body.insert("errcode".to_owned(), json!(errcode));
        body.insert("error".to_owned(), json!(error.into()));
        Self {
            status,
            body,
            pause: Duration::ZERO,
        }
    }

    /// With one more field in the body.
    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.body.insert(key.to_owned(), value);
        self
    }

    /// The error code.
    pub fn errcode(&self) -> &str {
        self.body
            .get("errcode")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The same as the error that `HttpMatrix` makes of it.
    pub fn to_error(&self) -> MatrixError {
        MatrixError::from_matrix_body(self.status, &Value::Object(self.body.clone()))
    }

    pub(super) fn forbidden(error: impl Into<String>) -> Self {
        Self::new(403, "M_FORBIDDEN", error)
    }

    pub(super) fn not_found(error: impl Into<String>) -> Self {
        Self::new(404, "M_NOT_FOUND", error)
    }

    /// `400 M_UNKNOWN`, what Synapse says where it has no code.
    pub(super) fn bad(error: impl Into<String>) -> Self {
        Self::new(400, "M_UNKNOWN", error)
    }

    pub(super) fn bad_json(error: impl Into<String>) -> Self {
        Self::new(400, "M_BAD_JSON", error)
    }

    pub(super) fn invalid_param(error: impl Into<String>) -> Self {
        Self::new(400, "M_INVALID_PARAM", error)
    }

    pub(super) fn missing_param(name: &str) -> Self {
        Self::new(400, "M_MISSING_PARAM", format!("Missing params: {name}"))
    }

    pub(super) fn exclusive(error: impl Into<String>) -> Self {
        Self::new(400, "M_EXCLUSIVE", error)
    }

    pub(super) fn user_in_use() -> Self {
        Self::new(400, "M_USER_IN_USE", "User ID already taken.")
    }

    pub(super) fn invalid_username(error: impl Into<String>) -> Self {
        Self::new(400, "M_INVALID_USERNAME", error)
    }

    pub(super) fn missing_token() -> Self {
        Self::new(401, "M_MISSING_TOKEN", "Missing access token")
    }

    pub(super) fn unknown_token(error: &str, soft_logout: bool) -> Self {
        Self::new(401, "M_UNKNOWN_TOKEN", error).with("soft_logout", json!(soft_logout))
    }

    /// `429` after the half second that Synapse waits before it says so.
    pub(super) fn limit_exceeded(retry_after: Duration) -> Self {
        let millis = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
        let mut refusal =
            Self::new(429, "M_LIMIT_EXCEEDED", "Too Many Requests").with("retry_after_ms", json!(millis));
        refusal.pause = Duration::from_millis(500);
        refusal
    }

    pub(super) fn not_in_room(user_id: &str, room_id: &str) -> Self {
        Self::forbidden(format!("User {user_id} not in room {room_id}"))
    }

    pub(super) fn no_preview(user_id: &str, room_id: &str) -> Self {
        Self::forbidden(format!(
            "User {user_id} not in room {room_id}, and room previews are disabled"
        ))
    }

    /// `500`, what Synapse says where its code runs into what it did not expect.
    pub(super) fn internal() -> Self {
        Self::new(500, "M_UNKNOWN", "Internal server error")
    }

    /// Users and aliases of other servers: there are none.
    pub(super) fn other_server(id: &str) -> Self {
        let server = id.split_once(':').map_or(id, |(_, server)| server);
        Self::forbidden(format!("Federation denied with {server}."))
    }

    pub(super) fn event_not_found() -> Self {
        Self::not_found("Event not found.")
    }
}
