//! `/_fake/…`: how a test in another process steers the homeserver and looks into it.
//!
//! | request | does |
//! |---|---|
//! | `GET /_fake/health` | `{"status": "ok"}` |
//! | `GET /_fake/calls[?method=create_room]` | the journal: method, user, room, arguments, outcome |
//! | `DELETE /_fake/calls` | forgets it |
//! | `POST /_fake/faults` | plans a [`FaultOrder`] |
//! | `GET /_fake/faults` | the planned faults that no call met |
//! | `DELETE /_fake/faults` | takes all back |
//! | `POST /_fake/wire-faults` | plans a [`WireFaultOrder`] |
//! | `POST /_fake/down`, `up`, `restart`, `wipe` | outages |
//! | `POST /_fake/users` | makes a user: `{"localpart", "admin"?, "appservice_id"?}`; answers the session |
//! | `POST /_fake/users/{userId}/expire-tokens`, `log-out`, `deactivate` | ends sessions |
//! | `POST /_fake/appservices` | registers an application service; the registration as JSON |
//! | `GET /_fake/users`, `GET /_fake/rooms`, `GET /_fake/rooms/{roomId}/timeline` | what there is |
//! | `GET /_fake/appservices/{id}/backlog` | how many events wait for it |

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use matrix_client::{
    MatrixErrorKind,
    fake::{FakeMatrix, Fault, METHODS, UserView, WireFault},
};
use ruma::{OwnedRoomId, OwnedUserId, api::appservice::Registration};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) fn router() -> Router<FakeMatrix> {
    Router::new()
        .route("/health", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/calls", get(calls).delete(forget_calls))
        .route("/faults", get(unused_faults).post(plan).delete(clear_faults))
        .route("/wire-faults", post(plan_wire))
        .route("/down", post(down))
        .route("/up", post(up))
        .route("/restart", post(restart))
        .route("/wipe", post(wipe))
        .route("/users", get(users).post(add_user))
        .route("/users/{user_id}/{action}", post(end_sessions))
        .route("/rooms", get(rooms))
        .route("/rooms/{room_id}/timeline", get(timeline))
        .route("/appservices", post(register_appservice))
        .route("/appservices/{id}/backlog", get(backlog))
}

/// A fault of a call, as [`Fault`] has it.
#[derive(Clone, Debug, Deserialize)]
pub struct FaultOrder {
    /// The call it waits for, such as `create_room`.
    pub method: String,
    /// Only calls of this user.
    #[serde(default)]
    pub user: Option<OwnedUserId>,
    /// Only calls about this room.
    #[serde(default)]
    pub room: Option<OwnedRoomId>,
    /// Only calls whose arguments contain this text.
    #[serde(default)]
    pub argument: Option<String>,
    /// How many matching calls pass first.
    #[serde(default)]
    pub skip: u32,
    /// How often it strikes. Default: once.
    #[serde(default)]
    pub times: Option<u32>,
    /// It strikes every matching call.
    #[serde(default)]
    pub always: bool,
    /// What happens.
    #[serde(flatten)]
    pub effect: FaultEffect,
}

/// What a fault does.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultEffect {
    /// The server says no, with this status, code and words.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// The error code.
        errcode: String,
        /// The words.
        #[serde(default)]
        error: String,
    },
    /// `429`, with the time to wait.
    RateLimit {
        /// How long, in milliseconds.
        retry_after_ms: u64,
    },
    /// The connection is closed before the call has its effect.
    Close {},
    /// The call has its effect, and the connection is closed instead of an answer.
    CloseAfter {},
    /// The call has its effect, and the answer is a `500`.
    FailAfter {},
    /// A room is only begun (see [`Fault::leave_half_made`]); the answer is a `500`. Only for `create_room`.
    LeaveHalfMade {},
    /// The call takes this much longer.
    Delay {
        /// How long, in milliseconds.
        delay_ms: u64,
    },
}

/// A fault on the wire, as [`WireFault`] has it.
#[derive(Clone, Debug, Deserialize)]
pub struct WireFaultOrder {
    /// The HTTP method.
    pub method: String,
    /// The path; `*` at its end stands for anything.
    pub path: String,
    /// How often it strikes. Default: once.
    #[serde(default)]
    pub times: Option<u32>,
    /// It strikes every matching request.
    #[serde(default)]
    pub always: bool,
    /// What happens.
    #[serde(flatten)]
    pub effect: WireEffect,
}

/// What a fault on the wire does.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case", deny_unknown_fields)]
pub enum WireEffect {
    /// A status and an HTML page.
    Html {
        /// The HTTP status.
        status: u16,
    },
    /// A status and a JSON body.
    Json {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: Value,
    },
    /// Half of the body.
    HalfBody {},
    /// A redirection.
    Redirect {
        /// The HTTP status.
        status: u16,
        /// Where to.
        to: String,
    },
    /// A very long body.
    HugeBody {
        /// The HTTP status.
        status: u16,
        /// How long.
        bytes: usize,
    },
    /// No answer.
    Close {},
    /// The answer begins later.
    Stall {
        /// How much later, in milliseconds.
        delay_ms: u64,
    },
    /// The connection is closed after so many bytes.
    CutAfter {
        /// How many.
        bytes: usize,
    },
}

impl FaultOrder {
    fn into_fault(self) -> Result<Fault, String> {
        if !METHODS.contains(&self.method.as_str()) {
            return Err(format!(
                "there is no method `{}`; there are {METHODS:?}",
                self.method
            ));
        }
        if matches!(self.effect, FaultEffect::LeaveHalfMade {}) && self.method != "create_room" {
            return Err(format!(
                "{} makes no room that could be left half-made",
                self.method
            ));
        }
        let mut fault = Fault::on(self.method).skip(self.skip);
        if let Some(user) = self.user {
            fault = fault.user(user);
        }
        if let Some(room) = self.room {
            fault = fault.room(room);
        }
        if let Some(text) = self.argument {
            fault = fault.argument(text);
        }
        if let Some(times) = self.times {
            fault = fault.times(times);
        }
        if self.always {
            fault = fault.always();
        }
        Ok(match self.effect {
            FaultEffect::Refuse {
                status,
                errcode,
                error,
            } => fault.refuse(status, &errcode, &error),
            FaultEffect::RateLimit { retry_after_ms } => {
                fault.rate_limit(Duration::from_millis(retry_after_ms))
            }
            FaultEffect::Close {} => fault.fail(MatrixErrorKind::Interrupted),
            FaultEffect::CloseAfter {} => fault.fail_after(MatrixErrorKind::Interrupted),
            FaultEffect::FailAfter {} => fault.fail_after(MatrixErrorKind::Server),
            FaultEffect::LeaveHalfMade {} => fault.leave_half_made(),
            FaultEffect::Delay { delay_ms } => fault.delay(Duration::from_millis(delay_ms)),
        })
    }
}

impl From<WireEffect> for WireFault {
    fn from(effect: WireEffect) -> Self {
        match effect {
            WireEffect::Html { status } => Self::Html { status },
            WireEffect::Json { status, body } => Self::Json { status, body },
            WireEffect::HalfBody {} => Self::HalfBody,
            WireEffect::Redirect { status, to } => Self::Redirect { status, to },
            WireEffect::HugeBody { status, bytes } => Self::HugeBody { status, bytes },
            WireEffect::Close {} => Self::Close,
            WireEffect::Stall { delay_ms } => Self::Stall(Duration::from_millis(delay_ms)),
            WireEffect::CutAfter { bytes } => Self::CutAfter { bytes },
        }
    }
}

fn mistake(words: impl Into<String>) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": words.into() }))).into_response()
}

type Order<T> = Result<Json<T>, JsonRejection>;

#[derive(Deserialize)]
struct CallsQuery {
    method: Option<String>,
}

async fn calls(State(matrix): State<FakeMatrix>, Query(query): Query<CallsQuery>) -> Response {
    let calls = match query.method {
        Some(method) => matrix.calls_of(&method),
        None => matrix.calls(),
    };
    let shown = calls.into_iter().map(|call| {
        json!({
            "method": call.method,
            "user": call.user,
            "room": call.room,
            "arguments": call.arguments,
            "at_ms": u64::try_from(call.at.as_millis()).unwrap_or(u64::MAX),
            "outcome": format!("{:?}", call.outcome),
        })
    });
    Json(json!({ "calls": shown.collect::<Vec<_>>() })).into_response()
}

async fn forget_calls(State(matrix): State<FakeMatrix>) -> StatusCode {
    matrix.clear_journal();
    StatusCode::NO_CONTENT
}

async fn unused_faults(State(matrix): State<FakeMatrix>) -> Response {
    Json(json!({ "unused": matrix.unused_faults() })).into_response()
}

async fn clear_faults(State(matrix): State<FakeMatrix>) -> StatusCode {
    matrix.clear_faults();
    StatusCode::NO_CONTENT
}

async fn plan(State(matrix): State<FakeMatrix>, order: Order<FaultOrder>) -> Response {
    let order = match order {
        Ok(Json(order)) => order,
        Err(rejection) => return mistake(rejection.body_text()),
    };
    match order.into_fault() {
        Ok(fault) => {
            matrix.plan(fault);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(words) => mistake(words),
    }
}

async fn plan_wire(State(matrix): State<FakeMatrix>, order: Order<WireFaultOrder>) -> Response {
    match order {
        Ok(Json(order)) => {
            let times = if order.always {
                None
            } else {
                Some(order.times.unwrap_or(1))
            };
            matrix.plan_wire(&order.method, &order.path, times, order.effect.into());
            StatusCode::NO_CONTENT.into_response()
        }
        Err(rejection) => mistake(rejection.body_text()),
    }
}

async fn down(State(matrix): State<FakeMatrix>) -> StatusCode {
    matrix.down();
    StatusCode::NO_CONTENT
}

async fn up(State(matrix): State<FakeMatrix>) -> StatusCode {
    matrix.up();
    StatusCode::NO_CONTENT
}

async fn restart(State(matrix): State<FakeMatrix>) -> StatusCode {
    matrix.restart();
    StatusCode::NO_CONTENT
}

async fn wipe(State(matrix): State<FakeMatrix>) -> StatusCode {
    matrix.wipe();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    localpart: String,
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    appservice_id: Option<String>,
}

async fn add_user(State(matrix): State<FakeMatrix>, order: Order<NewUser>) -> Response {
    let new = match order {
        Ok(Json(new)) => new,
        Err(rejection) => return mistake(rejection.body_text()),
    };
    let taken = matrix
        .users()
        .iter()
        .any(|user| user.user_id.localpart() == new.localpart);
    if taken {
        return mistake(format!("there is a user `{}` already", new.localpart));
    }
    if let Some(id) = new.appservice_id {
        if !matrix.has_appservice(&id) {
            return mistake(format!("there is no application service `{id}`"));
        }
        return Json(json!({ "user_id": matrix.add_appservice_user(&id, &new.localpart) })).into_response();
    }
    let session = if new.admin {
        matrix.add_admin(&new.localpart)
    } else {
        matrix.add_user(&new.localpart)
    };
    let answer = json!({
        "user_id": session.user_id,
        "device_id": session.device_id,
        "access_token": session.token().expose_secret(),
    });
    Json(answer).into_response()
}

async fn end_sessions(
    State(matrix): State<FakeMatrix>,
    Path((user_id, action)): Path<(OwnedUserId, String)>,
) -> Response {
    match action.as_str() {
        "expire-tokens" => matrix.expire_tokens(&user_id),
        "log-out" => matrix.log_out_everywhere(&user_id),
        "deactivate" => matrix.deactivate_user(&user_id),
        other => return mistake(format!("`{other}` is none of expire-tokens, log-out, deactivate")),
    }
    StatusCode::NO_CONTENT.into_response()
}

fn show_user(user: &UserView) -> Value {
    json!({
        "user_id": user.user_id,
        "display_name": user.display_name,
        "avatar_url": user.avatar_url,
        "admin": user.admin,
        "deactivated": user.deactivated,
        "appservice_id": user.appservice_id,
    })
}

async fn users(State(matrix): State<FakeMatrix>) -> Response {
    let users: Vec<Value> = matrix.users().iter().map(show_user).collect();
    Json(json!({ "users": users })).into_response()
}

async fn rooms(State(matrix): State<FakeMatrix>) -> Response {
    let rooms = matrix.rooms().into_iter().map(|room| {
        json!({
            "room_id": room.room_id,
            "version": room.version,
            "room_type": room.room_type,
            "creator": room.creator,
            "name": room.name,
            "topic": room.topic,
            "canonical_alias": room.canonical_alias,
            "aliases": room.aliases,
            "members": room.members,
            "children": room.children,
            "parents": room.parents,
        })
    });
    Json(json!({ "rooms": rooms.collect::<Vec<_>>() })).into_response()
}

async fn timeline(State(matrix): State<FakeMatrix>, Path(room_id): Path<OwnedRoomId>) -> Response {
    Json(json!({ "events": matrix.timeline(&room_id) })).into_response()
}

async fn register_appservice(State(matrix): State<FakeMatrix>, order: Order<Registration>) -> Response {
    let registration = match order {
        Ok(Json(registration)) => registration,
        Err(rejection) => return mistake(rejection.body_text()),
    };
    if matrix.has_appservice(&registration.id) {
        return mistake(format!(
            "the application service `{}` is there already",
            registration.id
        ));
    }
    matrix.register_appservice(&registration);
    super::push_to_appservices(&matrix);
    StatusCode::NO_CONTENT.into_response()
}

async fn backlog(State(matrix): State<FakeMatrix>, Path(id): Path<String>) -> Response {
    Json(json!({ "events": matrix.backlog(&id) })).into_response()
}
