//! `/_fake/…`: how a test in another process steers the server.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use http::StatusCode;
use letta_client::AgentId;
use letta_client::fake::{Call, FakeLetta, FakeTool, Fault, WireFault};
use letta_client::llm::ScriptedReply;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::reply;
use super::server::LettaServer;

pub(super) fn router() -> Router<LettaServer> {
    Router::new()
        .route("/health", get(async || Json(json!({ "status": "ok" }))))
        .route("/agents", post(add_agent))
        .route("/tools", post(add_tool))
        .route("/script", post(script))
        .route(
            "/faults",
            get(unused_faults).post(plan_faults).delete(forget_faults),
        )
        .route("/wire-faults", post(plan_wire_fault))
        .route("/calls", get(calls).delete(forget_calls))
        .route(
            "/down",
            post(async |State(server): State<LettaServer>| done(&server, FakeLetta::down)),
        )
        .route(
            "/up",
            post(async |State(server): State<LettaServer>| done(&server, FakeLetta::up)),
        )
        .route(
            "/crash",
            post(async |State(server): State<LettaServer>| done(&server, FakeLetta::crash)),
        )
        .route(
            "/restart",
            post(async |State(server): State<LettaServer>| done(&server, FakeLetta::restart)),
        )
        .route("/options", put(options))
}

/// Does something to the fake that cannot go wrong.
fn done(server: &LettaServer, act: impl FnOnce(&FakeLetta)) -> StatusCode {
    act(server.letta());
    StatusCode::NO_CONTENT
}

/// Reads a body of this kind, or says what is wrong with it.
fn read<T: for<'a> Deserialize<'a>>(body: Value) -> Result<T, Box<Response>> {
    serde_json::from_value(body).map_err(|error| bad(&error.to_string()))
}

fn bad(problem: &str) -> Box<Response> {
    Box::new(reply::with_status(
        400,
        Json(json!({ "error": { "message": problem } })),
    ))
}

type Done = Result<StatusCode, Box<Response>>;

fn finish(done: Done) -> Response {
    done.map_or_else(|refused| *refused, IntoResponse::into_response)
}

async fn add_agent(State(server): State<LettaServer>, Json(body): Json<Value>) -> Response {
    reply::json(server.letta().rest().seed_agent(&body))
}

/// A tool that always answers the same.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    name: String,
    output: Option<String>,
    error: Option<String>,
    description: Option<String>,
    parameters: Option<Value>,
    #[serde(default)]
    requires_approval: bool,
    /// Seconds.
    #[serde(default)]
    takes: f64,
}

async fn add_tool(State(server): State<LettaServer>, Json(body): Json<Value>) -> Response {
    finish(read::<Tool>(body).and_then(|tool| {
        let result = match (tool.output, tool.error) {
            (output, None) => Ok(output.unwrap_or_default()),
            (None, Some(error)) => Err(error),
            (Some(_), Some(_)) => return Err(bad("a tool has `output` or `error`, not both")),
        };
        let takes = Duration::try_from_secs_f64(tool.takes).map_err(|error| bad(&error.to_string()))?;
        let mut made = FakeTool::new(tool.name, move |_| result.clone()).takes(takes);
        if let Some(description) = tool.description {
            made = made.description(description);
        }
        if let Some(parameters) = tool.parameters {
            made = made.parameters(parameters);
        }
        if tool.requires_approval {
            made = made.requires_approval();
        }
        server.letta().register_tool(made);
        Ok(StatusCode::NO_CONTENT)
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    agent: AgentId,
    replies: Vec<ScriptedReply>,
}

async fn script(State(server): State<LettaServer>, Json(body): Json<Value>) -> Response {
    finish(read::<Script>(body).map(|script| {
        for reply in script.replies {
            server.letta().script(script.agent.clone(), reply);
        }
        StatusCode::NO_CONTENT
    }))
}

async fn unused_faults(State(server): State<LettaServer>) -> Response {
    Json(server.letta().unused_faults()).into_response()
}

async fn plan_faults(State(server): State<LettaServer>, Json(body): Json<Value>) -> Response {
    let faults = match body {
        Value::Array(faults) => faults,
        fault => vec![fault],
    };
    let read: Result<Vec<_>, _> = faults.iter().map(Fault::from_json).collect();
    finish(match read {
        Ok(faults) => {
            faults.into_iter().for_each(|fault| server.letta().plan(fault));
            Ok(StatusCode::NO_CONTENT)
        }
        Err(error) => Err(bad(&error.to_string())),
    })
}

async fn forget_faults(State(server): State<LettaServer>) -> StatusCode {
    done(&server, FakeLetta::clear_faults)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlannedWireFault {
    method: String,
    path: String,
    #[serde(default = "once", deserialize_with = "or_always")]
    times: Option<u32>,
    fault: WireFault,
}

fn once() -> Option<u32> {
    Some(1)
}

fn or_always<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Option::deserialize(deserializer)
}

async fn plan_wire_fault(State(server): State<LettaServer>, Json(body): Json<Value>) -> Response {
    finish(read::<PlannedWireFault>(body).map(|planned| {
        server
            .letta()
            .plan_wire(&planned.method, &planned.path, planned.times, planned.fault);
        StatusCode::NO_CONTENT
    }))
}

async fn calls(State(server): State<LettaServer>) -> Response {
    Json(server.letta().calls().iter().map(call_json).collect::<Value>()).into_response()
}

fn call_json(call: &Call) -> Value {
    json!({
        "method": call.method, "agent": call.agent, "arguments": call.arguments, "at": call.at.to_string(),
    })
}

async fn forget_calls(State(server): State<LettaServer>) -> StatusCode {
    done(&server, FakeLetta::clear_journal)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    wrapped_lists: bool,
}

async fn options(State(server): State<LettaServer>, Json(body): Json<Value>) -> Response {
    finish(read::<Options>(body).map(|options| {
        server.wrap_lists(options.wrapped_lists);
        StatusCode::NO_CONTENT
    }))
}
