//! The server's answers as HTTP responses.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use letta_client::LettaErrorKind;
use letta_client::fake::Refusal;
use letta_client::fake::rest::{EventStream, Sent};
use serde_json::{Value, json};

use crate::body::{Step, in_steps, repeated, until_failure};
use crate::connections::{HangUp, NeverAnswer};

/// Longer than any client should read.
const ENDLESS: usize = 1 << 30;

/// The JSON of a 200, or the refusal.
pub(super) fn json(answer: Result<Value, Refusal>) -> Response {
    match answer {
        Ok(body) => Json(body).into_response(),
        Err(refusal) => refused(&refusal),
    }
}

/// A listing: an array, or `{"data": …}` around it.
pub(super) fn list(answer: Result<Value, Refusal>, wrapped: bool) -> Response {
    json(answer.map(|items| if wrapped { json!({ "data": items }) } else { items }))
}

pub(super) fn sent(answer: Result<Sent, Refusal>) -> Response {
    match answer {
        Ok(Sent::Json(body)) => Json(body).into_response(),
        Ok(Sent::Events(events)) => stream(Ok(events)),
        Err(refusal) => refused(&refusal),
    }
}

/// Server-sent events; where the stream fails, the connection is cut.
pub(super) fn stream(answer: Result<EventStream, Refusal>) -> Response {
    match answer {
        Ok(events) => {
            let frames = events.map(|event| event.map(|event| Bytes::from(event.sse())));
            (
                [(CONTENT_TYPE, "text/event-stream; charset=utf-8")],
                until_failure(frames),
            )
                .into_response()
        }
        Err(refusal) => refused(&refusal),
    }
}

/// `{"detail": …}`.
pub(super) fn detail(status: u16, text: &str) -> Response {
    with_status(status, Json(json!({ "detail": text })))
}

/// The 422 of the framework, around the representation of one validation error.
pub(super) fn unprocessable(error: &str) -> Response {
    with_status(
        422,
        Json(json!({ "trace_id": "", "detail": format!("[{error}]") })),
    )
}

pub(super) fn with_status(status: u16, body: impl IntoResponse) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, body).into_response()
}

/// An HTML page, as a proxy answers.
pub(super) fn page(status: u16, page: impl Into<Body>) -> Response {
    with_status(
        status,
        ([(CONTENT_TYPE, "text/html; charset=utf-8")], page.into()),
    )
}

pub(super) fn redirect(status: u16, to: &str) -> Response {
    let mut response = with_status(status, ());
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

/// A refusal on the wire. One without a status is a connection that is closed, breaks or stays silent.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let Some(status) = refusal.status() else {
        return match refusal.kind() {
            LettaErrorKind::Timeout => NeverAnswer.into_response(),
            LettaErrorKind::Interrupted => interrupted(),
            _ => HangUp.into_response(),
        };
    };
    let mut response = match (refusal.kind(), refusal.body()) {
        (LettaErrorKind::Redirected { to }, _) => redirect(status, to),
        (LettaErrorKind::TooLarge, _) => with_status(
            status,
            ([(CONTENT_TYPE, "application/json")], repeated(" ", ENDLESS)),
        ),
        (_, Value::String(text)) => page(status, text.clone()),
        (_, body) => with_status(status, Json(body)),
    };
    if let Some(wait) = refusal.retry_after() {
        // The header has whole seconds: rounded up, for coming back too early is refused again.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The beginning of an answer that is never completed.
fn interrupted() -> Response {
    let body = in_steps(vec![Step::Send(Bytes::from_static(b"{\"")), Step::Cut]);
    (
        [(CONTENT_TYPE, "application/json"), (CONTENT_LENGTH, "1000")],
        body,
    )
        .into_response()
}
