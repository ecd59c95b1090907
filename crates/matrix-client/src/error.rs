use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use serde_json::{Value, json};

/// What the calls of this crate answer.
pub type Result<T, E = MatrixError> = std::result::Result<T, E>;

/// Why a call failed.
///
/// Opaque on purpose: ask [`kind`](Self::kind) what it is, [`is_retryable`](Self::is_retryable) whether waiting
/// helps, [`retry_after`](Self::retry_after) how long, and [`may_have_applied`](Self::may_have_applied) whether the
/// server may have done it all the same. `Display` is one line and holds neither the cause (see `source`) nor a secret.
#[derive(Clone)]
pub struct MatrixError(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: MatrixErrorKind,
    message: String,
    status: Option<u16>,
    errcode: Option<String>,
    call: Option<&'static str>,
    may_have_applied: bool,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What went wrong, in terms a caller can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MatrixErrorKind {
    // No answer of a Matrix server.
    /// The request could not be built: an unusable address, a token with control characters.
    InvalidRequest,
    /// No connection: refused, unreachable, unknown host. Nothing was sent.
    Connect,
    /// The connection could not be secured: an unknown, expired or wrong certificate. Nothing was sent.
    Tls,
    /// No complete answer in time.
    Timeout,
    /// The connection was cut after the request was sent.
    Interrupted,
    /// The server sends us to another host. Not followed: the token would go there.
    Redirected {
        /// The host that was asked, with the port if it is not the default one.
        from: String,
        /// The host it points to.
        to: String,
    },
    /// The answer does not come from a Matrix server: a proxy's page, a web server's default site.
    NotMatrix {
        /// Its media type.
        content_type: Option<String>,
        /// Its beginning, printable characters only.
        excerpt: String,
    },
    /// The answer is JSON, but not of the expected shape.
    Decode {
        /// The path of the field, such as `rooms.join.!a:b.timeline.limited`; empty if it is not known.
        path: String,
    },
    /// The answer is larger than the caller or the client allows.
    BodyTooLarge {
        /// What is allowed, in bytes.
        limit: u64,
    },

    // Who may do what.
    /// `M_UNKNOWN_TOKEN`: the token is not, or no longer, valid.
    Unauthorized {
        /// The session still exists and only its token is to be refreshed.
        soft_logout: bool,
    },
    /// `M_MISSING_TOKEN`
    MissingToken,
    /// `M_FORBIDDEN` and other refusals for lack of a right: not in the room, too little power, wrong password,
    /// masquerading outside the namespace or as an unregistered user.
    Forbidden,
    /// `M_USER_DEACTIVATED`, `M_USER_LOCKED`, `M_USER_SUSPENDED`: the account may not be used.
    UserDisabled,
    /// The server wants proof that this client cannot give (captcha, e-mail, terms …).
    InteractiveAuthRequired {
        /// The sequences of stages of which one is to be completed.
        flows: Vec<Vec<String>>,
    },

    // What there is and is not.
    /// It does not exist, or is not set.
    NotFound,
    /// `M_USER_IN_USE`: the name is taken, be it by a deactivated user.
    UserInUse,
    /// `M_ROOM_IN_USE`: the alias is taken.
    RoomInUse,
    /// `M_EXCLUSIVE`: the name belongs to an application service's namespace, or is outside the caller's own.
    Exclusive,
    /// It exists already, or someone else did it at the same time (status 409).
    Conflict,
    /// `M_UNKNOWN_DEVICE`: the asserted device does not exist.
    UnknownDevice,

    // What was asked is not acceptable.
    /// `M_INVALID_USERNAME`
    InvalidUsername,
    /// `M_BAD_ALIAS`: the alias does not exist or points to another room.
    BadAlias,
    /// `M_BAD_STATE`: not possible in the state things are in, such as inviting a banned user.
    BadState,
    /// `M_DUPLICATE_ANNOTATION`: the user has already reacted with this.
    DuplicateAnnotation,
    /// `M_UNSUPPORTED_ROOM_VERSION`
    UnsupportedRoomVersion,
    /// `M_INVALID_PARAM`, `M_MISSING_PARAM`
    InvalidParam,
    /// `M_BAD_JSON`
    BadJson,
    /// `M_NOT_JSON`
    NotJson,
    /// `M_TOO_LARGE` or status 413: the event or the file is too large.
    TooLarge,
    /// `M_UNRECOGNIZED`: the server has no such endpoint, or not with this method.
    Unrecognized,

    // Later perhaps.
    /// `M_LIMIT_EXCEEDED` or status 429.
    LimitExceeded {
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// The homeserver could not reach the application service (`M_CONNECTION_FAILED`, `M_CONNECTION_TIMEOUT`,
    /// `M_BAD_STATUS`).
    AppservicePing {
        /// What the application service answered, if it did.
        status: Option<u16>,
        /// The beginning of what it answered, printable characters only.
        body: Option<String>,
    },
    /// The server failed (5xx).
    Server,

    // Others.
    /// Refused by [`ReadOnly`](crate::layers::ReadOnly): the call would have changed something.
    ReadOnly,
    /// Any other error code of a Matrix server.
    Other {
        /// The code, such as `M_UNKNOWN`.
        errcode: String,
    },
}

impl MatrixError {
    /// An error of this kind. The message is one line for people; it must hold no secret.
    pub fn new(kind: MatrixErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: printable(&message.into(), MAX_MESSAGE),
            status: None,
            errcode: None,
            call: None,
            may_have_applied: false,
            source: None,
        }))
    }

    /// The error that a Matrix server expresses with this status, code and message.
    pub fn from_matrix(status: u16, errcode: &str, message: &str) -> Self {
        Self::from_matrix_body(status, &json!({ "errcode": errcode, "error": message }))
    }

    /// The error that a Matrix server expresses with this status and body. Reads `errcode`, `error`, and what belongs
    /// to some codes: `soft_logout`, `retry_after_ms`, `flows`, and a ping's `status` and `body`.
    pub fn from_matrix_body(status: u16, body: &Value) -> Self {
        let errcode = body.get("errcode").and_then(Value::as_str);
        let message = body.get("error").and_then(Value::as_str).unwrap_or_default();
        let kind = kind_of(status, errcode, body);
        let mut error = Self::new(kind, message);
        error.0.status = Some(status);
        error.0.errcode = errcode.map(|code| printable(code, MAX_ERRCODE));
        error
    }

    /// Names the status of the answer.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Names the call that failed, such as `create_room`.
    #[must_use]
    pub fn with_call(mut self, call: &'static str) -> Self {
        self.0.call = Some(call);
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Says whether the server may have done it all the same.
    #[must_use]
    pub fn with_may_have_applied(mut self, may_have_applied: bool) -> Self {
        self.0.may_have_applied = may_have_applied;
        self
    }

    /// Says how long the server asks to wait. Only for [`LimitExceeded`](MatrixErrorKind::LimitExceeded); of several
    /// such wishes the longest counts.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        if let MatrixErrorKind::LimitExceeded { retry_after } = &mut self.0.kind {
            *retry_after = (*retry_after).max(wait);
        }
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> &MatrixErrorKind {
        &self.0.kind
    }

    /// The server's own words, or ours when it said nothing.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The status of the answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The error code as the server wrote it, if it wrote one.
    pub fn errcode(&self) -> Option<&str> {
        self.0.errcode.as_deref()
    }

    /// The call that failed, if it is known.
    pub fn call(&self) -> Option<&'static str> {
        self.0.call
    }

    /// Whether the same call may succeed later without anyone changing anything.
    ///
    /// That is so for lost connections, timeouts, rate limits and failing servers, and for nothing else. It does not
    /// mean that calling again is harmless: see [`may_have_applied`](Self::may_have_applied).
    pub fn is_retryable(&self) -> bool {
        match &self.0.kind {
            MatrixErrorKind::Connect
            | MatrixErrorKind::Timeout
            | MatrixErrorKind::Interrupted
            | MatrixErrorKind::LimitExceeded { .. }
            | MatrixErrorKind::AppservicePing { .. } => true,
            MatrixErrorKind::Server => !matches!(self.0.status, Some(501 | 505)),
            // A proxy's error page: the server behind it is down.
            MatrixErrorKind::NotMatrix { .. } => self.0.status.is_some_and(|status| status >= 500),
            _ => false,
        }
    }

    /// How long the server asks to wait before the next try, if it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.kind {
            MatrixErrorKind::LimitExceeded { retry_after } => retry_after,
            _ => None,
        }
    }

    /// Whether the server may have done what was asked although no success was reported.
    ///
    /// Set for calls that change something when the request was sent and the outcome is unknown: a timeout, a cut
    /// connection, a 5xx, an unreadable answer. What is idempotent can just be called again; anything else
    /// ([`create_room`](crate::MatrixApi::create_room), [`register`](crate::MatrixApi::register),
    /// [`upload_media`](crate::MatrixApi::upload_media)) must first be looked up.
    pub fn may_have_applied(&self) -> bool {
        self.0.may_have_applied
    }

    /// Whether it is [`NotFound`](MatrixErrorKind::NotFound).
    pub fn is_not_found(&self) -> bool {
        self.0.kind == MatrixErrorKind::NotFound
    }
}

const MAX_MESSAGE: usize = 500;
const MAX_ERRCODE: usize = 100;
const MAX_EXCERPT: usize = 200;

fn kind_of(status: u16, errcode: Option<&str>, body: &Value) -> MatrixErrorKind {
    use MatrixErrorKind as Kind;
    if let Some(kind) = errcode.and_then(|errcode| kind_of_errcode(errcode, body)) {
        return kind;
    }
    // M_UNKNOWN, no code or a code from the future: the status says more.
    match status {
        401 if body.get("flows").is_some() => Kind::InteractiveAuthRequired {
            flows: flows_of(body),
        },
        403 => Kind::Forbidden,
        404 => Kind::NotFound,
        409 => Kind::Conflict,
        413 => Kind::TooLarge,
        429 => Kind::LimitExceeded {
            retry_after: retry_after_of(body),
        },
        500.. => Kind::Server,
        _ => Kind::Other {
            errcode: printable(errcode.unwrap_or("M_UNKNOWN"), MAX_ERRCODE),
        },
    }
}

fn kind_of_errcode(errcode: &str, body: &Value) -> Option<MatrixErrorKind> {
    use MatrixErrorKind as Kind;
    Some(match errcode {
        "M_UNKNOWN_TOKEN" => Kind::Unauthorized {
            soft_logout: body
                .get("soft_logout")
                .and_then(Value::as_bool)
                .unwrap_or_default(),
        },
        "M_MISSING_TOKEN" => Kind::MissingToken,
        "M_FORBIDDEN" | "M_UNAUTHORIZED" | "M_GUEST_ACCESS_FORBIDDEN" => Kind::Forbidden,
        "M_USER_DEACTIVATED" | "M_USER_LOCKED" | "M_USER_SUSPENDED" => Kind::UserDisabled,
        "M_NOT_FOUND" => Kind::NotFound,
        "M_USER_IN_USE" => Kind::UserInUse,
        "M_ROOM_IN_USE" => Kind::RoomInUse,
        "M_EXCLUSIVE" => Kind::Exclusive,
        "M_UNKNOWN_DEVICE" => Kind::UnknownDevice,
        "M_INVALID_USERNAME" => Kind::InvalidUsername,
        "M_BAD_ALIAS" => Kind::BadAlias,
        "M_BAD_STATE" => Kind::BadState,
        "M_DUPLICATE_ANNOTATION" => Kind::DuplicateAnnotation,
        "M_UNSUPPORTED_ROOM_VERSION" | "M_INCOMPATIBLE_ROOM_VERSION" => Kind::UnsupportedRoomVersion,
        "M_INVALID_PARAM" | "M_MISSING_PARAM" => Kind::InvalidParam,
        "M_BAD_JSON" => Kind::BadJson,
        "M_NOT_JSON" => Kind::NotJson,
        "M_TOO_LARGE" => Kind::TooLarge,
        "M_UNRECOGNIZED" => Kind::Unrecognized,
        "M_LIMIT_EXCEEDED" => Kind::LimitExceeded {
            retry_after: retry_after_of(body),
        },
        "M_CONNECTION_FAILED" | "M_CONNECTION_TIMEOUT" | "M_BAD_STATUS" => Kind::AppservicePing {
            status: body
                .get("status")
                .and_then(Value::as_u64)
                .and_then(|status| u16::try_from(status).ok()),
            body: body.get("body").and_then(Value::as_str).map(excerpt),
        },
        _ => return None,
    })
}

fn retry_after_of(body: &Value) -> Option<Duration> {
    body.get("retry_after_ms")
        .and_then(Value::as_u64)
        .map(Duration::from_millis)
}

fn flows_of(body: &Value) -> Vec<Vec<String>> {
    let stages_of = |flow: &Value| {
        let stages = flow.get("stages").and_then(Value::as_array);
        stages
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|s| printable(s, MAX_ERRCODE))
            .collect()
    };
    body.get("flows")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(stages_of)
        .collect()
}

/// The beginning of foreign text, fit for one line of a log.
pub(crate) fn excerpt(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    printable(&words.join(" "), MAX_EXCERPT)
}

/// Replaces what could break a line or hide text, and cuts what is too long.
fn printable(text: &str, max_chars: usize) -> String {
    let harmless = |c: char| {
        if c.is_control() || is_format_character(c) {
            '\u{fffd}'
        } else {
            c
        }
    };
    let mut chars = text.chars();
    let mut out: String = chars.by_ref().take(max_chars).map(harmless).collect();
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

/// Characters that reorder or hide others: bidirectional controls, zero-width ones, line and paragraph separators.
fn is_format_character(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

impl fmt::Display for MatrixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(call) = inner.call {
            write!(f, "{call}: ")?;
        }
        write!(f, "{}", inner.kind)?;
        match (inner.status, inner.errcode.as_deref()) {
            (Some(status), Some(errcode)) => write!(f, " ({status} {errcode})")?,
            (Some(status), None) => write!(f, " ({status})")?,
            _ => {}
        }
        if !inner.message.is_empty() {
            write!(f, ": {}", inner.message)?;
        }
        Ok(())
    }
}

impl fmt::Debug for MatrixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.debug_struct("MatrixError")
            .field("kind", &inner.kind)
            .field("message", &inner.message)
            .field("status", &inner.status)
            .field("errcode", &inner.errcode)
            .field("call", &inner.call)
            .field("may_have_applied", &inner.may_have_applied)
            .field("source", &inner.source)
            .finish()
    }
}

impl StdError for MatrixError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

impl fmt::Display for MatrixErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidRequest => f.write_str("the request could not be built"),
            Self::Connect => f.write_str("no connection to the homeserver"),
            Self::Tls => f.write_str("no secure connection to the homeserver"),
            Self::Timeout => f.write_str("no answer from the homeserver in time"),
            Self::Interrupted => f.write_str("the connection to the homeserver was cut"),
            Self::Redirected { from, to } => write!(f, "{from} redirects to {to}"),
            Self::NotMatrix {
                content_type,
                excerpt,
            } => {
                let content_type = content_type.as_deref().unwrap_or("an unknown type");
                write!(
                    f,
                    "not a Matrix server's answer but {content_type}: \"{excerpt}\""
                )
            }
            Self::Decode { path } if path.is_empty() => f.write_str("an answer of unexpected shape"),
            Self::Decode { path } => write!(f, "an answer of unexpected shape at {path}"),
            Self::BodyTooLarge { limit } => write!(f, "an answer of more than {limit} bytes"),
            Self::Unauthorized { soft_logout: true } => f.write_str("the access token has expired"),
            Self::Unauthorized { soft_logout: false } => f.write_str("the token is not valid"),
            Self::MissingToken => f.write_str("no token was sent"),
            Self::Forbidden => f.write_str("not allowed"),
            Self::UserDisabled => f.write_str("the account may not be used"),
            Self::InteractiveAuthRequired { flows } => {
                let flows: Vec<String> = flows.iter().map(|stages| stages.join(" + ")).collect();
                write!(f, "the homeserver asks for {}", flows.join(", or "))
            }
            Self::NotFound => f.write_str("not found"),
            Self::UserInUse => f.write_str("the user name is taken"),
            Self::RoomInUse => f.write_str("the room alias is taken"),
            Self::Exclusive => f.write_str("the name is reserved for an application service"),
            Self::Conflict => f.write_str("exists already, or was changed at the same time"),
            Self::UnknownDevice => f.write_str("no such device"),
            Self::InvalidUsername => f.write_str("not a valid user name"),
            Self::BadAlias => f.write_str("the alias does not point to this room"),
            Self::BadState => f.write_str("not possible in the present state"),
            Self::DuplicateAnnotation => f.write_str("the same reaction is already there"),
            Self::UnsupportedRoomVersion => f.write_str("the homeserver does not know this room version"),
            Self::InvalidParam => f.write_str("a parameter is missing or not valid"),
            Self::BadJson => f.write_str("the request's JSON is not of the right shape"),
            Self::NotJson => f.write_str("the request is not JSON"),
            Self::TooLarge => f.write_str("too large"),
            Self::Unrecognized => f.write_str("the homeserver does not have this endpoint"),
            Self::LimitExceeded {
                retry_after: Some(wait),
            } => {
                write!(f, "too many requests, wait {:.1} s", wait.as_secs_f64())
            }
            Self::LimitExceeded { retry_after: None } => f.write_str("too many requests"),
            Self::AppservicePing {
                status: Some(status), ..
            } => {
                write!(f, "the application service answered the homeserver with {status}")
            }
            Self::AppservicePing { status: None, .. } => {
                f.write_str("the homeserver cannot reach the application service")
            }
            Self::Server => f.write_str("the homeserver failed"),
            Self::ReadOnly => f.write_str("refused: this client only reads"),
            Self::Other { errcode } => write!(f, "the homeserver refuses with {errcode}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_keeps_the_longer_of_two_wishes() {
        let body =
            json!({ "errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests", "retry_after_ms": 4253 });
        let error = MatrixError::from_matrix_body(429, &body);
        assert_eq!(error.retry_after(), Some(Duration::from_millis(4253)));
        let longer = error.clone().with_retry_after(Some(Duration::from_secs(5)));
        assert_eq!(longer.retry_after(), Some(Duration::from_secs(5)));
        assert_eq!(
            error.with_retry_after(None).retry_after(),
            Some(Duration::from_millis(4253))
        );
    }

    #[test]
    fn an_unknown_code_is_told_apart_by_its_status() {
        for (status, kind) in [
            (403, MatrixErrorKind::Forbidden),
            (404, MatrixErrorKind::NotFound),
            (409, MatrixErrorKind::Conflict),
            (500, MatrixErrorKind::Server),
            (
                400,
                MatrixErrorKind::Other {
                    errcode: "M_UNKNOWN".to_owned(),
                },
            ),
        ] {
            let error = MatrixError::from_matrix(status, "M_UNKNOWN", "hm");
            assert_eq!(error.kind(), &kind);
            assert_eq!(
                (error.status(), error.errcode()),
                (Some(status), Some("M_UNKNOWN"))
            );
        }
    }

    #[test]
    fn a_message_cannot_break_or_turn_a_line() {
        let error = MatrixError::from_matrix(400, "M_\nX", "one\r\ntwo\u{202e}three\u{1b}[31m");
        let text = error.to_string();
        assert!(!text.contains(['\r', '\n', '\u{202e}', '\u{1b}']), "{text}");
    }

    #[test]
    fn display_does_not_repeat_the_cause() {
        let cause = std::io::Error::other("the cause");
        let error = MatrixError::new(MatrixErrorKind::Connect, "matrix.test").with_source(cause);
        assert!(!error.to_string().contains("the cause"));
        assert_eq!(error.source().expect("a cause").to_string(), "the cause");
    }

    #[test]
    fn a_request_for_more_proof_names_the_stages() {
        let body = json!({ "session": "s", "params": {}, "flows": [{ "stages": ["m.login.recaptcha", "m.login.terms"] }] });
        let error = MatrixError::from_matrix_body(401, &body);
        assert_eq!(
            error.to_string(),
            "the homeserver asks for m.login.recaptcha + m.login.terms (401)"
        );
    }
}
