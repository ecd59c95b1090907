//! `POST /webhook/new-agent`: somebody says that there is a new agent.

use std::{sync::Arc, time::Duration};

use agent_sync::{NotSynced, Phase, Reason};
use axum::{
    Json,
    body::to_bytes,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use crate::{
    Gateway,
    reply::refuse,
    signature::{Disbelief, HEADER, verify},
};

/// The longest body, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// How long the answer waits for the sync, if it is to.
const WAIT: Duration = Duration::from_secs(60);

/// The longest agent id, in bytes.
const MAX_AGENT_ID: usize = 256;

/// What is said. Further fields, such as a `timestamp`, are not looked at: the signature tells the time.
#[derive(Debug, Deserialize)]
struct NewAgent {
    agent_id: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Options {
    /// Whether the answer is the report of the sync.
    #[serde(default)]
    wait: bool,
}

/// Asks for a sync. Which agent is named makes no difference: a sync looks for all of them.
pub(crate) async fn new_agent(
    State(gateway): State<Arc<Gateway>>,
    options: Result<Query<Options>, QueryRejection>,
    request: Request,
) -> Response {
    let Some(secret) = &gateway.webhook_secret else {
        return refuse(
            StatusCode::FORBIDDEN,
            "the webhook is off: it needs a secret to check signatures with (LETTA_WEBHOOK_SECRET, or webhook.secret in \
             the file)",
        );
    };
    let signature = request.headers().get(HEADER).cloned();
    let body = match timeout(BODY_TIME, to_bytes(request.into_body(), MAX_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return refuse(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is longer than {MAX_BODY} bytes, or broke off"),
            );
        }
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
    };
    if let Err(disbelief) = verify(signature.as_ref(), &body, secret, gateway.clock.now()) {
        return refuse_unbelieved(disbelief);
    }
    let Ok(Query(options)) = options else {
        return refuse(StatusCode::BAD_REQUEST, "wait is neither true nor false");
    };
    match serde_json::from_slice::<NewAgent>(&body) {
        Ok(NewAgent { agent_id }) if agent_id.is_empty() || agent_id.len() > MAX_AGENT_ID => {
            return refuse(StatusCode::BAD_REQUEST, "agent_id is no agent's id");
        }
        Ok(_) => {}
        Err(error) => {
            return refuse(
                StatusCode::BAD_REQUEST,
                format!("the body is not {{\"agent_id\": \"…\"}}: {error}"),
            );
        }
    }
    if gateway.status.borrow().phase == Phase::Stopped {
        return stopped();
    }
    let ticket = gateway.trigger.request(Reason::Webhook);
    if !options.wait {
        return accepted("a sync will look for the agent");
    }
    match timeout(WAIT, ticket.outcome()).await {
        Ok(Ok(report)) => Json(&*report).into_response(),
        Ok(Err(NotSynced::Stopped)) => stopped(),
        Ok(Err(error)) => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the sync could not begin and will be tried again: {error}"),
        ),
        Err(_) => accepted("the sync takes longer than anybody should wait: it goes on"),
    }
}

fn accepted(what: &str) -> Response {
    (
        StatusCode::ACCEPTED,
        Json(json!({ "status": "accepted", "message": what })),
    )
        .into_response()
}

fn stopped() -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "the service is being stopped")
}

fn refuse_unbelieved(disbelief: Disbelief) -> Response {
    let unauthorized = StatusCode::UNAUTHORIZED;
    match disbelief {
        Disbelief::Missing => refuse(unauthorized, "there is no X-Letta-Signature"),
        Disbelief::Malformed => refuse(
            StatusCode::BAD_REQUEST,
            "X-Letta-Signature is not t=<unix seconds>,v1=<64 hexadecimal digits>",
        ),
        Disbelief::Wrong => refuse(
            unauthorized,
            "the signature is wrong: it must be the HMAC-SHA256 of \"{t}.{body}\" with the secret that is set here",
        ),
        Disbelief::Stale(age) => {
            let when = if age < 0 { "in the future" } else { "ago" };
            refuse(
                unauthorized,
                format!(
                    "the signature was made {} seconds {when}: compare the clocks of both machines",
                    age.unsigned_abs()
                ),
            )
        }
    }
}
