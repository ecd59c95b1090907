//! Faults planned by a test in another process, as JSON.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::faults::{Fault, METHODS};
use crate::{Conflict, LettaErrorKind, ProviderFailure};

/// A fault that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a fault: {0}")]
pub struct InvalidFault(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    method: String,
    agent: Option<String>,
    #[serde(default)]
    skip: u32,
    times: Option<Times>,
    fail: Option<String>,
    fail_after: Option<String>,
    rate_limit: Option<f64>,
    delay: Option<f64>,
    break_stream_after: Option<usize>,
    message: Option<String>,
    retry_after: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Times {
    Number(u32),
    Word(String),
}

impl Fault {
    /// Reads a fault from JSON, for the control of a served fake.
    ///
    /// `method` names the call it waits for (see [`METHODS`]); `agent`, `skip` and `times` (a number or `"always"`)
    /// narrow it. One of these says what happens: `fail` and `fail_after` (a kind of error in snake case:
    /// `timeout`, `interrupted`, `server`, `unauthorized`, `not_found`, `rate_limited`, `busy`, `pending_approval`,
    /// `concurrent_update`, `provider_rate_limit` …), `rate_limit` and `delay` (seconds), `break_stream_after`
    /// (events). `message` and `retry_after` (seconds) describe the error.
    ///
    /// ```
    /// use letta_client::fake::{FakeLetta, Fault};
    /// use serde_json::json;
    ///
    /// let letta = FakeLetta::new();
    /// letta.plan(Fault::from_json(&json!({ "method": "send", "fail_after": "timeout", "times": 2 })).unwrap());
    /// assert!(Fault::from_json(&json!({ "method": "sned", "fail": "timeout" })).is_err());
    /// ```
    ///
    /// # Errors
    /// When it is not one.
    pub fn from_json(json: &Value) -> Result<Self, InvalidFault> {
        let invalid = |problem: &str| InvalidFault(problem.to_owned());
        let wire = Wire::deserialize(json).map_err(|error| InvalidFault(error.to_string()))?;
        if !METHODS.contains(&wire.method.as_str()) {
            return Err(InvalidFault(format!("there is no method `{}`", wire.method)));
        }
        let seconds =
            |number: f64| Duration::try_from_secs_f64(number).map_err(|_| invalid("a time below zero"));
        let base = Self::on(wire.method.as_str());
        let effects = (
            wire.fail,
            wire.fail_after,
            wire.rate_limit,
            wire.delay,
            wire.break_stream_after,
        );
        let mut fault = match effects {
            (Some(kind), None, None, None, None) => base.fail(error_kind(&kind)?),
            (None, Some(kind), None, None, None) => match error_kind(&kind)? {
                kind if super::faults::leaves_outcome_unknown(&kind) => base.fail_after(kind),
                _ => return Err(invalid("this error tells the caller that nothing happened")),
            },
            (None, None, Some(wait), None, None) => base.rate_limit(seconds(wait)?),
            (None, None, None, Some(delay), None) => base.delay(seconds(delay)?),
            (None, None, None, None, Some(events)) => match wire.method.as_str() {
                "send" | "decide" | "resume" => base.break_stream_after(events),
                _ => return Err(invalid("this method answers with no stream")),
            },
            _ => return Err(invalid("it has to say one thing that happens")),
        };
        fault = fault.skip(wire.skip);
        if let Some(agent) = wire.agent {
            fault = fault.agent(agent);
        }
        match wire.times {
            None => {}
            Some(Times::Number(times)) => fault = fault.times(times),
            Some(Times::Word(word)) if word == "always" => fault = fault.always(),
            Some(Times::Word(_)) => return Err(invalid("`times` is a number or \"always\"")),
        }
        if let Some(message) = wire.message {
            fault = fault.message(message);
        }
        if let Some(wait) = wire.retry_after {
            fault = fault.retry_after(seconds(wait)?);
        }
        Ok(fault)
    }
}

fn error_kind(name: &str) -> Result<LettaErrorKind, InvalidFault> {
    Ok(match name {
        "connect" => LettaErrorKind::Connect,
        "timeout" => LettaErrorKind::Timeout,
        "interrupted" => LettaErrorKind::Interrupted,
        "unauthorized" => LettaErrorKind::Unauthorized,
        "forbidden" => LettaErrorKind::Forbidden,
        "not_found" => LettaErrorKind::NotFound,
        "invalid_request" => LettaErrorKind::InvalidRequest,
        "busy" => LettaErrorKind::Conflict(Conflict::Busy { run: None }),
        "pending_approval" => LettaErrorKind::Conflict(Conflict::PendingApproval { request: None }),
        "concurrent_update" => LettaErrorKind::Conflict(Conflict::ConcurrentUpdate),
        "rate_limited" => LettaErrorKind::RateLimited,
        "provider_authentication" => LettaErrorKind::Provider(ProviderFailure::Authentication),
        "provider_insufficient_credits" => LettaErrorKind::Provider(ProviderFailure::InsufficientCredits),
        "provider_rate_limit" => LettaErrorKind::Provider(ProviderFailure::RateLimit),
        "provider_bad_request" => LettaErrorKind::Provider(ProviderFailure::BadRequest),
        "provider_other" => LettaErrorKind::Provider(ProviderFailure::Other),
        "unsupported" => LettaErrorKind::Unsupported,
        "server" => LettaErrorKind::Server,
        "decode" => LettaErrorKind::Decode,
        "not_letta" => LettaErrorKind::NotLetta,
        "too_large" => LettaErrorKind::TooLarge,
        other => return Err(InvalidFault(format!("there is no kind of error `{other}`"))),
    })
}
