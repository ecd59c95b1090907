//! From what came back to [`LettaError`]: the error bodies of a Letta server, and everything that is not one.

use reqwest::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, LOCATION},
};
use serde_json::Value;
use url::Url;

use super::{call::Call, retry::retry_after, wire::DecodeError};
use crate::{
    Conflict, LettaError, LettaErrorKind, ProviderFailure,
    types::id::{ApprovalId, RunId},
};

/// How much of a server's sentence is repeated.
const MAX_MESSAGE: usize = 500;
/// How much of something that is not an answer is shown.
const MAX_EXCERPT: usize = 120;

/// An answer with an error status.
pub(super) struct Answer<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// Whether `body` is all of it.
    pub(super) complete: bool,
    pub(super) had_token: bool,
}

/// What an error body says, whichever of its shapes it has.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// `error.type`, or `detail.code`.
    code: Option<String>,
    text: String,
    run: Option<RunId>,
    request: Option<ApprovalId>,
    is_json: bool,
    /// Whether it has the shape in which Letta reports failures of the model's provider.
    from_provider: bool,
}

pub(super) fn from_answer(call: &Call<'_>, answer: &Answer<'_>) -> LettaError {
    let status = answer.status;
    let said = read(answer.body);
    let kind = classify(call, status, &said);
    let sentence = match (&kind, said.is_json) {
        (LettaErrorKind::Unauthorized, _) if !answer.had_token => {
            "the Letta server asks for a token and none is configured".to_owned()
        }
        (LettaErrorKind::Unauthorized, _) => "the Letta server refuses the token".to_owned(),
        (_, true) if !said.text.is_empty() => said.text.clone(),
        (_, true) => format!("the server answered {status}"),
        (_, false) => format!(
            "the server answered {status} with {}",
            describe(content_type(answer.headers), answer.body, answer.complete)
        ),
    };
    let mut error = LettaError::new(kind, format!("could not {}: {sentence}", call.action))
        .with_status(status.as_u16())
        .with_may_have_applied(call.writes() && may_have_applied(status, &said));
    if let Some(wait) = retry_after(answer.headers) {
        error = error.with_retry_after(wait);
    }
    error
}

/// A server error leaves open what happened before it, unless it is known to come before anything happened.
fn may_have_applied(status: StatusCode, said: &Said) -> bool {
    (status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT)
        && !said.from_provider
        && !is_bad_name(&said.text)
        && !needs_redis(&said.text)
}

fn classify(call: &Call<'_>, status: StatusCode, said: &Said) -> LettaErrorKind {
    if said.from_provider {
        return LettaErrorKind::Provider(provider_failure(
            said.code.as_deref().unwrap_or_default(),
            &said.text,
        ));
    }
    if said.text.starts_with("CONTEXT_WINDOW_EXCEEDED") {
        return LettaErrorKind::Provider(ProviderFailure::ContextWindowExceeded);
    }
    match status {
        StatusCode::UNAUTHORIZED => LettaErrorKind::Unauthorized,
        StatusCode::PAYMENT_REQUIRED => LettaErrorKind::Provider(ProviderFailure::InsufficientCredits),
        StatusCode::FORBIDDEN => LettaErrorKind::Forbidden,
        // Starlette's answer for a path that is no endpoint at all; Letta's own ones name what they did not find.
        StatusCode::NOT_FOUND if said.text == "Not Found" => LettaErrorKind::Unsupported,
        StatusCode::NOT_FOUND | StatusCode::GONE if said.is_json => LettaErrorKind::NotFound,
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => LettaErrorKind::Unsupported,
        StatusCode::REQUEST_TIMEOUT => LettaErrorKind::Timeout,
        StatusCode::CONFLICT => LettaErrorKind::Conflict(conflict(said)),
        StatusCode::TOO_MANY_REQUESTS => LettaErrorKind::RateLimited,
        _ if needs_redis(&said.text) => LettaErrorKind::Unsupported,
        _ if is_bad_name(&said.text) => LettaErrorKind::InvalidRequest,
        _ if status.is_server_error() => LettaErrorKind::Server,
        _ if said.is_json || call.writes() && status == StatusCode::PAYLOAD_TOO_LARGE => {
            LettaErrorKind::InvalidRequest
        }
        _ => LettaErrorKind::NotLetta,
    }
}

/// Letta can not make an agent whose name does not fit in a file name, and says so with status 500.
fn is_bad_name(text: &str) -> bool {
    text.contains("Agent name") && text.contains("invalid characters")
}

/// Streams that can be joined again need Redis on the server's side.
pub(super) fn needs_redis(text: &str) -> bool {
    text.contains("requires Redis")
}

/// The provider's failure under the name Letta gives it, in an error body or inside a stream.
pub(super) fn provider_failure(error_type: &str, text: &str) -> ProviderFailure {
    if text.contains("CONTEXT_WINDOW_EXCEEDED") || error_type.contains("context_window") {
        return ProviderFailure::ContextWindowExceeded;
    }
    match error_type {
        "llm_authentication" | "bedrock_permission_denied" => ProviderFailure::Authentication,
        "llm_insufficient_credits" => ProviderFailure::InsufficientCredits,
        "llm_rate_limit" => ProviderFailure::RateLimit,
        "llm_bad_request" => ProviderFailure::BadRequest,
        // Inside a stream some failures have no type of their own, only the name of their class in the sentence.
        _ if text.contains("PAYMENT_REQUIRED:") => ProviderFailure::InsufficientCredits,
        _ if text.contains("RATE_LIMIT_EXCEEDED:") => ProviderFailure::RateLimit,
        _ if text.contains("INVALID_ARGUMENT:") => ProviderFailure::BadRequest,
        _ if text.contains("UNAUTHENTICATED:") => ProviderFailure::Authentication,
        _ => ProviderFailure::Other,
    }
}

/// Whether an `error.type` or `error_type` speaks of the model's provider.
pub(super) fn is_provider_error(error_type: &str) -> bool {
    error_type.starts_with("llm_") || error_type.starts_with("bedrock_")
}

/// What a sentence with `CONFLICT` in it means: the only sign there is inside a stream, and in some answers.
pub(super) fn conflict_in_text(text: &str) -> Option<Conflict> {
    if text.contains("waiting for approval") {
        Some(Conflict::PendingApproval { request: None })
    } else if text.contains("Another request") && text.contains("currently being processed") {
        let run = text
            .split_once("run_id=")
            .and_then(|(_, rest)| {
                rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                    .next()
            })
            .filter(|id| id.starts_with("run-"))
            .map(RunId::from);
        Some(Conflict::Busy { run })
    } else if text.contains("No active runs to cancel") {
        Some(Conflict::NothingToCancel)
    } else if text.contains("locked by another operation")
        || text.contains("eadlock")
        || text.contains("updated by another transaction")
        || text.contains("Another operation is currently in progress")
        || text.contains("CONCURRENT_UPDATE")
    {
        Some(Conflict::ConcurrentUpdate)
    } else {
        None
    }
}

fn conflict(said: &Said) -> Conflict {
    match said.code.as_deref() {
        Some("PENDING_APPROVAL") => Conflict::PendingApproval {
            request: said.request.clone(),
        },
        Some("CONVERSATION_BUSY") => Conflict::Busy {
            run: said.run.clone(),
        },
        Some("CONCURRENT_UPDATE" | "MEMORY_REPO_BUSY") => Conflict::ConcurrentUpdate,
        Some("NO_ACTIVE_RUNS_TO_CANCEL") => Conflict::NothingToCancel,
        _ => match conflict_in_text(&said.text) {
            Some(Conflict::Busy { run }) => Conflict::Busy {
                run: said.run.clone().or(run),
            },
            Some(Conflict::PendingApproval { .. }) => Conflict::PendingApproval {
                request: said.request.clone(),
            },
            Some(conflict) => conflict,
            None => Conflict::Other,
        },
    }
}

/// Reads an error body in any of its shapes:
/// `{"detail":"…"}`, `{"detail":{"code","message",…}}`, `{"detail":[…]}`, `{"error":{"type","message","detail"}}`.
fn read(body: &[u8]) -> Said {
    let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(body) else {
        return Said::default();
    };
    let mut said = Said {
        is_json: true,
        run: string(body.get("run_id")).map(RunId::from),
        ..Said::default()
    };
    match (body.get("error"), body.get("detail")) {
        (Some(Value::Object(error)), _) => {
            said.code = string(error.get("type"));
            said.from_provider = said.code.as_deref().is_some_and(is_provider_error);
            let message = string(error.get("message")).unwrap_or_default();
            said.text = match string(error.get("detail")) {
                Some(detail) if message.is_empty() => detail,
                Some(detail) if !message.contains(&detail) => format!("{message} {detail}"),
                _ => message,
            };
        }
        (_, Some(Value::Object(detail))) => {
            said.code = string(detail.get("code")).or_else(|| string(detail.get("error_code")));
            said.text =
                string(detail.get("message")).unwrap_or_else(|| Value::Object(detail.clone()).to_string());
            said.run = said.run.or_else(|| string(detail.get("run_id")).map(RunId::from));
            said.request = string(detail.get("pending_request_id")).map(ApprovalId::from);
        }
        (_, Some(Value::String(text))) => said.text.clone_from(text),
        (Some(Value::String(text)), None) => said.text.clone_from(text),
        (_, Some(detail)) => said.text = detail.to_string(),
        (_, None) => said.text = string(body.get("message")).unwrap_or_default(),
    }
    said.text = printable(&said.text, MAX_MESSAGE);
    said
}

fn string(value: Option<&Value>) -> Option<String> {
    value?.as_str().map(str::to_owned)
}

/// No answer at all: nothing was sent, or it broke off, or it took too long.
pub(super) fn unsent_or_interrupted(call: &Call<'_>, base: &Url, error: reqwest::Error) -> LettaError {
    let origin = origin(base);
    let (kind, sentence) = if error.is_connect() {
        (LettaErrorKind::Connect, format!("{origin} can not be reached"))
    } else if error.is_builder() {
        (
            LettaErrorKind::InvalidRequest,
            "the request can not be made".to_owned(),
        )
    } else if error.is_timeout() {
        (LettaErrorKind::Timeout, format!("{origin} took too long"))
    } else {
        (
            LettaErrorKind::Interrupted,
            format!("the connection to {origin} broke before the answer was complete"),
        )
    };
    let unsent = matches!(kind, LettaErrorKind::Connect | LettaErrorKind::InvalidRequest);
    LettaError::new(kind, format!("could not {}: {sentence}", call.action))
        .with_may_have_applied(call.writes() && !unsent)
        // The address may hold something private in its path.
        .with_source(error.without_url())
}

pub(super) fn redirected(call: &Call<'_>, from: &Url, response: &Response) -> LettaError {
    let location = response
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let (to, place) = match from.join(location) {
        Ok(target) if !location.is_empty() => {
            let to = origin(&target);
            let place = if to == origin(from) {
                format!("{to}{}", printable(target.path(), MAX_EXCERPT))
            } else {
                to.clone()
            };
            (to, place)
        }
        _ => ("nowhere".to_owned(), "nowhere".to_owned()),
    };
    LettaError::new(
        LettaErrorKind::Redirected { to },
        format!(
            "could not {}: {} sends us to {place}, which is not followed; is the address of the Letta server right?",
            call.action,
            origin(from)
        ),
    )
    .with_status(response.status().as_u16())
}

/// A success whose body can not be read.
pub(super) fn undecodable(
    call: &Call<'_>,
    content_type: &str,
    body: &[u8],
    error: DecodeError,
) -> LettaError {
    let looks_like_json = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
        || content_type.contains("json") && !body.trim_ascii().is_empty();
    let error = if looks_like_json {
        let sentence = if error.is_truncated {
            "the answer breaks off in the middle"
        } else {
            "the answer is not what Letta's API promises"
        };
        LettaError::new(
            LettaErrorKind::Decode,
            format!("could not {}: {sentence}", call.action),
        )
        .with_path(error.path)
        .with_source(error.source)
    } else {
        LettaError::new(
            LettaErrorKind::NotLetta,
            format!(
                "could not {}: the server answered with {}; is this a Letta server?",
                call.action,
                describe(content_type, body, true)
            ),
        )
    };
    // It said that it succeeded.
    error.with_may_have_applied(call.writes())
}

/// A success that is not the stream of events it should be.
pub(super) fn not_a_stream(call: &Call<'_>, content_type: &str) -> LettaError {
    LettaError::new(
        LettaErrorKind::NotLetta,
        format!(
            "could not {}: the server answered with {} instead of a stream of events; is this a Letta server?",
            call.action,
            printable(content_type, MAX_EXCERPT)
        ),
    )
    .with_may_have_applied(call.writes())
}

fn content_type(headers: &HeaderMap) -> &str {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("none")
}

/// Content type, size and beginning of a body, short and without anything that could confuse a terminal.
fn describe(content_type: &str, body: &[u8], complete: bool) -> String {
    let content_type = printable(content_type, MAX_EXCERPT);
    let excerpt = printable(
        &String::from_utf8_lossy(&body[..body.len().min(4 * MAX_EXCERPT)]),
        MAX_EXCERPT,
    );
    match (body.is_empty(), complete) {
        (true, _) => format!("an empty body (content type {content_type})"),
        (false, true) => format!("{} bytes of {content_type}: \"{excerpt}\"", body.len()),
        (false, false) => format!("more than {} bytes of {content_type}: \"{excerpt}\"", body.len()),
    }
}

/// One line of at most `limit` characters, without control characters.
pub(super) fn printable(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut written = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
            written += 1;
        }
        for c in word.chars() {
            if written >= limit {
                line.push('…');
                return line;
            }
            line.push(c);
            written += 1;
        }
    }
    line
}

/// Scheme, host and port: what may be shown of an address.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
