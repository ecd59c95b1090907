//! How a call fails: refused by the server, or lost on the way.

use std::time::Duration;

use super::refusal::Refusal;
use crate::{MatrixError, MatrixErrorKind};

/// Why a call got no answer, or none that could be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    kind: MatrixErrorKind,
    message: String,
    refusal: Option<Refusal>,
    may_have_applied: bool,
}

impl Failure {
    /// The failure of this kind, as the server or the way to it would cause it.
    pub(super) fn of_kind(kind: MatrixErrorKind, message: Option<String>) -> Self {
        let refusal = refusal_of(&kind, message.as_deref());
        let message = message.unwrap_or_else(|| usual_words(&kind).to_owned());
        Self {
            kind,
            message,
            refusal,
            may_have_applied: false,
        }
    }

    pub(super) fn silence(kind: MatrixErrorKind) -> Self {
        Self::of_kind(kind, None)
    }

    #[must_use]
    pub(super) fn with_may_have_applied(mut self, may_have_applied: bool) -> Self {
        self.may_have_applied = may_have_applied;
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> &MatrixErrorKind {
        &self.kind
    }

    /// What the server answers, if it is the server that says no.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// The error that a client makes of it.
    pub fn to_error(&self) -> MatrixError {
        let error = match &self.refusal {
            Some(refusal) => refusal.to_error(),
            None => MatrixError::new(self.kind.clone(), self.message.clone()),
        };
        let error = match (&self.kind, &self.refusal) {
            (MatrixErrorKind::NotMatrix { .. }, None) => error.with_status(502),
            (MatrixErrorKind::Redirected { .. }, None) => error.with_status(302),
            _ => error,
        };
        error.with_may_have_applied(self.may_have_applied)
    }

    pub(super) fn pause(&self) -> Duration {
        self.refusal
            .as_ref()
            .map_or(Duration::ZERO, |refusal| refusal.pause)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self {
            kind: refusal.to_error().kind().clone(),
            message: String::new(),
            may_have_applied: refusal.status >= 500,
            refusal: Some(refusal),
        }
    }
}

/// Whether whoever sees this cannot know if a change happened.
pub(super) fn leaves_outcome_unknown(kind: &MatrixErrorKind) -> bool {
    matches!(
        kind,
        MatrixErrorKind::Timeout
            | MatrixErrorKind::Interrupted
            | MatrixErrorKind::Server
            | MatrixErrorKind::NotMatrix { .. }
            | MatrixErrorKind::Decode { .. }
            | MatrixErrorKind::BodyTooLarge { .. }
    )
}

fn usual_words(kind: &MatrixErrorKind) -> &'static str {
    match kind {
        MatrixErrorKind::Connect => "connection refused",
        MatrixErrorKind::Timeout => "no answer in time",
        MatrixErrorKind::Interrupted => "connection reset",
        _ => "",
    }
}

fn refusal_of(kind: &MatrixErrorKind, message: Option<&str>) -> Option<Refusal> {
    use MatrixErrorKind as Kind;
    let refuse = |status, errcode: &str, usual: &str| Refusal::new(status, errcode, message.unwrap_or(usual));
    Some(match kind {
        Kind::Unauthorized { soft_logout: true } => Refusal::unknown_token("Access token has expired", true),
        Kind::Unauthorized { soft_logout: false } => {
            Refusal::unknown_token("Invalid access token passed.", false)
        }
        Kind::MissingToken => Refusal::missing_token(),
        Kind::Forbidden => refuse(403, "M_FORBIDDEN", "Forbidden"),
        Kind::UserDisabled => refuse(403, "M_USER_SUSPENDED", "User account has been suspended"),
        Kind::InteractiveAuthRequired { flows } => {
            let stages = flows
                .iter()
                .map(|stages| serde_json::json!({ "stages": stages }))
                .collect();
            let mut refusal = refuse(401, "M_UNKNOWN", "").with("flows", serde_json::Value::Array(stages));
            refusal.body.remove("errcode");
            refusal.body.remove("error");
            refusal
        }
        Kind::NotFound => refuse(404, "M_NOT_FOUND", "Not found"),
        Kind::UserInUse => Refusal::user_in_use(),
        Kind::RoomInUse => refuse(400, "M_ROOM_IN_USE", "Room alias already taken"),
        Kind::Exclusive => refuse(400, "M_EXCLUSIVE", "This is reserved by an application service."),
        Kind::Conflict => refuse(409, "M_UNKNOWN", "Conflict"),
        Kind::UnknownDevice => refuse(400, "M_UNKNOWN_DEVICE", "Unknown device"),
        Kind::InvalidUsername => refuse(400, "M_INVALID_USERNAME", "Invalid username"),
        Kind::BadAlias => refuse(400, "M_BAD_ALIAS", "The alias does not point to the room"),
        Kind::BadState => refuse(403, "M_BAD_STATE", "Bad state"),
        Kind::DuplicateAnnotation => refuse(400, "M_DUPLICATE_ANNOTATION", "Can't send same reaction twice"),
        Kind::UnsupportedRoomVersion => {
            let words = "Your homeserver does not support this room version";
            refuse(400, "M_UNSUPPORTED_ROOM_VERSION", words)
        }
        Kind::InvalidParam => refuse(400, "M_INVALID_PARAM", "Invalid parameter"),
        Kind::BadJson => refuse(400, "M_BAD_JSON", "Bad JSON"),
        Kind::NotJson => refuse(400, "M_NOT_JSON", "Content not JSON."),
        Kind::TooLarge => refuse(413, "M_TOO_LARGE", "event too large"),
        Kind::Unrecognized => refuse(404, "M_UNRECOGNIZED", "Unrecognized request"),
        Kind::LimitExceeded { retry_after } => {
            let mut refusal = Refusal::limit_exceeded(retry_after.unwrap_or_default());
            refusal.pause = Duration::ZERO;
            if retry_after.is_none() {
                refusal.body.remove("retry_after_ms");
            }
            refusal
        }
        Kind::AppservicePing { status, body } => {
            let refusal = refuse(502, "M_BAD_STATUS", "The application service cannot be reached");
            let refusal = match status {
                Some(status) => refusal.with("status", serde_json::json!(status)),
                None => refusal,
            };
            match body {
                Some(body) => refusal.with("body", serde_json::json!(body)),
                None => refusal,
            }
        }
        Kind::Server => refuse(500, "M_UNKNOWN", "Internal server error"),
        Kind::Other { errcode } => refuse(400, errcode, ""),
        Kind::InvalidRequest
        | Kind::Connect
        | Kind::Tls
        | Kind::Timeout
        | Kind::Interrupted
        | Kind::Redirected { .. }
        | Kind::NotMatrix { .. }
        | Kind::Decode { .. }
        | Kind::BodyTooLarge { .. }
        | Kind::ReadOnly => return None,
    })
}
