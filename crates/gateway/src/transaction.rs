//! Taking what the homeserver pushes. Application Service API, section "Pushing events".
//!
//! A homeserver pushes one transaction at a time, and again until it is answered with a success; everything behind it
//! waits. So whatever was read to its end is answered with one, once it is kept, and if only to be looked at by people.

use std::{
    collections::BTreeMap,
    error::Error as StdError,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use serde_json::{json, value::RawValue};
use tokio::time::timeout;

use crate::{EventSink, Gateway, SinkError, reply::refuse_matrix};

/// The longest body that is looked at. A hundred large events are 32 MiB.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// The longest body that is read to its end, so that its sender reads the answer.
const MAX_READ: usize = 4 * MAX_BODY;

/// How much is set aside of a body that is no transaction.
const MAX_SET_ASIDE: usize = 8 * 1024;

/// How long a body may take to arrive. Homeservers give up after a minute themselves.
const BODY_TIME: Duration = Duration::from_secs(60);

/// How long keeping may take. After that it is pushed again, and must not pile up here.
const KEEPING_TIME: Duration = Duration::from_secs(45);

/// A code of our own, as the specification wants it for what it has no code for.
const NOT_CARRIED: &str = "DEV.LETTA_MATRIX.NOT_CARRIED_YET";

/// `PUT /_matrix/app/v1/transactions/{txnId}`. The id is not remembered: homeservers use the same one for other events
/// after their database was set back, and the same events with other ids. The events' own ids count.
pub(crate) async fn take(
    State(gateway): State<Arc<Gateway>>,
    Path(transaction_id): Path<String>,
    body: Body,
) -> Response {
    let body = timeout(BODY_TIME, read(body)).await;
    let Some(sink) = gateway.events.clone() else {
        return not_carried(&gateway, &transaction_id);
    };
    let pushed = match body {
        Ok(Some(Read::Whole(body))) => parse(&body),
        Ok(Some(Read::TooLong(beginning))) => Pushed::nonsense(
            &beginning,
            format!("the transaction is longer than {MAX_BODY} bytes"),
        ),
        Ok(None) => {
            return refuse_matrix(StatusCode::BAD_REQUEST, "M_NOT_JSON", "the body broke off");
        }
        Err(_) => {
            return refuse_matrix(
                StatusCode::REQUEST_TIMEOUT,
                "M_UNKNOWN",
                "the body did not arrive in time",
            );
        }
    };
    if matches!(pushed, Pushed::NoEvents) && !gateway.told_of_no_events.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            transaction_id,
            "the homeserver pushed something without a list of events. It is answered as if the list were empty"
        );
    }
    // Not ended when the homeserver hangs up: it would only push the same once more.
    let keeping = async { timeout(KEEPING_TIME, keep(sink, pushed)).await };
    let kept = tokio::spawn(keeping)
        .await
        .map(|kept| kept.unwrap_or_else(|_| Err(SinkError::new("it takes too long"))));
    match kept {
        Ok(Ok(())) => {
            if gateway.told_of_failure.swap(false, Ordering::Relaxed) {
                tracing::info!("events can be kept again");
            }
            Json(json!({})).into_response()
        }
        Ok(Err(error)) => {
            if !gateway.told_of_failure.swap(true, Ordering::Relaxed) {
                let cause = causes(&error);
                tracing::warn!(%error, cause, "events stay in the homeserver's queue");
            }
            not_kept()
        }
        Err(_) => {
            tracing::error!("events were not kept by a mistake in the program");
            not_kept()
        }
    }
}

async fn keep(sink: Arc<dyn EventSink>, pushed: Pushed) -> Result<(), SinkError> {
    match pushed {
        Pushed::Events(events) if !events.is_empty() => sink.accept(&events).await,
        Pushed::Events(_) | Pushed::NoEvents => Ok(()),
        Pushed::Nonsense { raw, reason } => sink.set_aside(&raw, &reason).await,
    }
}

/// Why, to the last reason.
fn causes(error: &SinkError) -> String {
    let mut causes = Vec::new();
    let mut cause = StdError::source(error);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    causes.join(": ")
}

fn not_kept() -> Response {
    refuse_matrix(
        StatusCode::SERVICE_UNAVAILABLE,
        "M_UNKNOWN",
        "the events cannot be kept at the moment: push them again",
    )
}

/// Without a sink nobody would keep the events: the homeserver keeps them and delivers them, in order, to whoever does.
fn not_carried(gateway: &Gateway, transaction_id: &str) -> Response {
    if !gateway.told_of_push.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            transaction_id,
            "the homeserver pushes events, which this version does not carry yet. They stay in the homeserver's queue. \
             With `url: null` in the registration file it keeps none"
        );
    }
    refuse_matrix(
        StatusCode::SERVICE_UNAVAILABLE,
        NOT_CARRIED,
        "this version of the bridge does not carry messages yet: keep the events",
    )
}

/// What was pushed.
#[derive(Debug)]
enum Pushed {
    Events(Vec<Box<RawValue>>),
    /// A transaction that says nothing of events.
    NoEvents,
    Nonsense {
        raw: String,
        reason: String,
    },
}

impl Pushed {
    fn nonsense(body: &[u8], reason: impl Into<String>) -> Self {
        let beginning = &body[..body.len().min(MAX_SET_ASIDE)];
        Self::Nonsense {
            raw: String::from_utf8_lossy(beginning).into_owned(),
            reason: reason.into(),
        }
    }
}

/// Finds the events without looking into them: each is somebody else's text, and only the sink can tell what it makes
/// of one that is wrong.
fn parse(body: &[u8]) -> Pushed {
    // A character that is none spoils the event that it is in, at most.
    let text = String::from_utf8_lossy(body);
    let fields: BTreeMap<String, &RawValue> = match serde_json::from_str(&text) {
        Ok(fields) => fields,
        Err(error) => return Pushed::nonsense(body, format!("the transaction is no JSON object: {error}")),
    };
    let Some(events) = fields.get("events") else {
        return Pushed::NoEvents;
    };
    match serde_json::from_str(events.get()) {
        Ok(events) => Pushed::Events(events),
        Err(_) => Pushed::nonsense(body, "the transaction's events are no list"),
    }
}

enum Read {
    Whole(Vec<u8>),
    /// Its beginning.
    TooLong(Vec<u8>),
}

/// Reads a body to its end, also when it is too long: whoever is answered in the middle of it may never read the answer.
/// `None` when it breaks off.
async fn read(body: Body) -> Option<Read> {
    let mut pieces = body.into_data_stream();
    let (mut length, mut text) = (0usize, Vec::new());
    while let Some(piece) = pieces.next().await {
        let piece = piece.ok()?;
        length = length.saturating_add(piece.len());
        if length <= MAX_BODY {
            text.extend_from_slice(&piece);
        } else {
            text.truncate(MAX_SET_ASIDE);
            text.shrink_to_fit();
        }
        if length > MAX_READ {
            break;
        }
    }
    let is_whole = length <= MAX_BODY;
    Some(if is_whole {
        Read::Whole(text)
    } else {
        Read::TooLong(text)
    })
}
