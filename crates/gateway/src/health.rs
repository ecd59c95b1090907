//! How the service is. Anybody who reaches us may ask, so the answers hold counts and no names.

use std::{collections::HashSet, sync::Arc};

use agent_sync::{NotSynced, Phase, ServiceStatus, Step, SyncReport};
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::Gateway;

/// So many agents without a home are an outage; fewer are some agents' misfortune.
const UNHEALTHY: usize = 4;

/// `GET /health`: whether the service lives. Servers that are down do not change that.
pub(crate) async fn live(State(gateway): State<Arc<Gateway>>) -> Response {
    if has_ended(&gateway) {
        let body = Json(json!({ "status": "stopped" }));
        return (StatusCode::SERVICE_UNAVAILABLE, body).into_response();
    }
    Json(json!({ "status": "ok" })).into_response()
}

/// `GET /ready`: whether agents and Matrix are in step, as far as anybody knows, and messages can be kept.
pub(crate) async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    let status = gateway.status.borrow().clone();
    let completed_at = status.completed_at.map(|at| at.to_string());
    match why_not_ready(&gateway, &status) {
        None => Json(json!({ "status": "ready", "completed_at": completed_at })).into_response(),
        Some(why) => {
            let body = json!({ "status": "not ready", "because": why, "completed_at": completed_at });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

/// `GET /health/agent-provisioning`: how many agents have no home.
pub(crate) async fn agent_provisioning(State(gateway): State<Arc<Gateway>>) -> Response {
    let status = gateway.status.borrow().clone();
    let why_not = why_not_ready(&gateway, &status);
    let Some(report) = status.report.filter(|_| why_not.is_none()) else {
        let body = json!({ "status": "unknown", "because": why_not });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    };
    let missing = without_home(&report);
    let (code, judgement) = match missing {
        0 => (StatusCode::OK, "healthy"),
        1..UNHEALTHY => (StatusCode::OK, "degraded"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
    };
    let body = json!({
        "status": judgement,
        "agents": report.agents,
        "missing": missing,
        "completed_at": status.completed_at.map(|at| at.to_string()),
    });
    (code, Json(body)).into_response()
}

fn has_ended(gateway: &Gateway) -> bool {
    gateway.status.borrow().phase == Phase::Stopped || gateway.status.has_changed().is_err()
}

/// Why the service is not ready, in a sentence.
fn why_not_ready(gateway: &Gateway, status: &ServiceStatus) -> Option<String> {
    if has_ended(gateway) {
        return Some("the service has ended".to_owned());
    }
    if let Some(trouble) = gateway.state.as_ref().and_then(|state| state.borrow().clone()) {
        return Some(trouble);
    }
    let failing = status.outage.as_ref().map(|outage| match &outage.error {
        // What a panic says is for the log.
        NotSynced::Panicked(_) => "the sync ends by a mistake in the program".to_owned(),
        error => error.to_string(),
    });
    let Some(completed_at) = status.completed_at else {
        return Some(failing.unwrap_or_else(|| "the first sync is not done yet".to_owned()));
    };
    // A run that is going and not failing is as good as a fresh one: it may have much to do.
    let is_at_work = matches!(status.phase, Phase::Running { .. }) && status.outage.is_none();
    let age = gateway.clock.now().duration_since(completed_at).unsigned_abs();
    if is_at_work || age <= gateway.ready_within {
        return None;
    }
    let since = format!("the last sync was {} s ago", age.as_secs());
    Some(match failing {
        Some(error) => format!("{since}: {error}"),
        None => since,
    })
}

/// How many agents are not at home. One that is gone from Letta and not put away yet has a home too many, not too few.
fn without_home(report: &SyncReport) -> usize {
    let agents: HashSet<_> = report
        .failed
        .iter()
        .filter(|failed| !matches!(failed.step, Step::Removal | Step::Leave))
        .map(|failed| &failed.agent_id)
        .collect();
    agents.len()
}
