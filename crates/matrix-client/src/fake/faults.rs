//! Planned misbehaviour.
//!
//! A [`Fault`] says which call it waits for and what happens to that call; [`FakeMatrix::plan`](super::FakeMatrix::plan)
//! queues it. Faults are looked through in the order in which they were planned: delays and holds add up, the first
//! failure ends the call. A planned fault that no call met fails
//! [`assert_faults_used`](super::FakeMatrix::assert_faults_used).

use std::{fmt, sync::Arc, time::Duration};

use ruma::{OwnedRoomId, OwnedUserId};
use tokio::sync::watch;

use super::{
    failure::{Failure, leaves_outcome_unknown},
    refusal::Refusal,
    wire_fault::PlannedWireFault,
};
use crate::MatrixErrorKind;

/// The methods a fault can wait for: those of [`MatrixApi`](crate::MatrixApi) and
/// [`SynapseAdminApi`](crate::SynapseAdminApi).
pub const METHODS: &[&str] = &[
    "versions",
    "login_flows",
    "login",
    "whoami",
    "logout",
    "register",
    "is_username_available",
    "get_profile",
    "set_display_name",
    "set_avatar_url",
    "create_room",
    "resolve_alias",
    "create_alias",
    "delete_alias",
    "join_room",
    "invite_user",
    "leave_room",
    "kick_user",
    "ban_user",
    "unban_user",
    "forget_room",
    "list_joined_rooms",
    "list_members",
    "list_joined_members",
    "get_state_event",
    "get_room_state",
    "set_state_event",
    "list_space_children",
    "send_message_event",
    "redact_event",
    "get_event",
    "list_messages",
    "set_typing",
    "send_receipt",
    "sync",
    "upload_media",
    "download_media",
    "media_config",
    "ping_appservice",
    "register_with_shared_secret",
    "get_user",
    "set_rate_limit_override",
    "list_rooms",
    "delete_room",
    "make_room_admin",
];

/// Whether a method changes anything on the server, so that a lost answer leaves the outcome unknown.
pub(super) fn is_write(method: &str) -> bool {
    !matches!(
        method,
        "versions"
            | "login_flows"
            | "whoami"
            | "is_username_available"
            | "get_profile"
            | "resolve_alias"
            | "list_joined_rooms"
            | "list_members"
            | "list_joined_members"
            | "get_state_event"
            | "get_room_state"
            | "list_space_children"
            | "get_event"
            | "list_messages"
            | "sync"
            | "download_media"
            | "media_config"
            | "get_user"
            | "list_rooms"
    )
}

/// Something that goes wrong with a call, once unless told otherwise.
///
/// ```
/// # use std::time::Duration;
/// use matrix_client::{MatrixErrorKind, fake::{FakeMatrix, Fault}};
///
/// let matrix = FakeMatrix::new("matrix.test");
/// matrix.plan(Fault::on("create_room").rate_limit(Duration::from_secs(3)).times(2));
/// matrix.plan(Fault::on("register").fail_after(MatrixErrorKind::Timeout));
/// matrix.plan(Fault::on("set_display_name").refuse(500, "M_UNKNOWN", "Internal server error"));
/// assert_eq!(matrix.unused_faults().len(), 3);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a fault does nothing until it is planned"]
pub struct Fault {
    method: String,
    user: Option<OwnedUserId>,
    room: Option<OwnedRoomId>,
    argument: Option<String>,
    skip: u32,
    /// How often it strikes; `None` is always.
    times: Option<u32>,
    struck: u32,
    effect: Effect,
    message: Option<String>,
}

#[derive(Clone, Debug)]
enum Effect {
    /// Nothing chosen yet.
    None,
    Fail(MatrixErrorKind),
    Refuse(Refusal),
    FailAfter(MatrixErrorKind),
    Delay(Duration),
    Hold(Arc<Gate>),
    HalfMade,
}

impl Fault {
    /// A fault of the next call of this method (see [`METHODS`]).
    ///
    /// # Panics
    /// When there is no such method: a fault that can never strike is a mistake in the test.
    pub fn on(method: impl Into<String>) -> Self {
        let method = method.into();
        assert!(
            METHODS.contains(&method.as_str()),
            "no method `{method}` to plan a fault for; there are {METHODS:?}"
        );
        Self {
            method,
            user: None,
            room: None,
            argument: None,
            skip: 0,
            times: Some(1),
            struck: 0,
            effect: Effect::None,
            message: None,
        }
    }

    /// Waits for a call that this user makes.
    pub fn user(mut self, user: impl Into<OwnedUserId>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Waits for a call that is about this room.
    pub fn room(mut self, room: impl Into<OwnedRoomId>) -> Self {
        self.room = Some(room.into());
        self
    }

    /// Waits for a call whose arguments, as JSON, contain this text: a localpart, an alias, an event type.
    pub fn argument(mut self, text: impl Into<String>) -> Self {
        self.argument = Some(text.into());
        self
    }

    /// Lets so many matching calls pass first.
    pub fn skip(mut self, calls: u32) -> Self {
        self.skip = calls;
        self
    }

    /// Strikes so many calls instead of one.
    pub fn times(mut self, calls: u32) -> Self {
        self.times = Some(calls);
        self
    }

    /// Strikes every matching call.
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    /// The call fails and has no effect. The error is the one a client would see, so after a `Timeout`, an
    /// `Interrupted` or a `Server` of a change it says all the same that the effect is possible.
    pub fn fail(mut self, kind: MatrixErrorKind) -> Self {
        self.effect = Effect::Fail(kind);
        self
    }

    /// The server says no, with this status, code and words; the call has no effect.
    pub fn refuse(mut self, status: u16, errcode: &str, error: &str) -> Self {
        self.effect = Effect::Refuse(Refusal::new(status, errcode, error));
        self
    }

    /// The call has its effect, and its answer is lost.
    ///
    /// # Panics
    /// When `kind` tells the caller that nothing happened, e.g. `Connect`: a server that did it cannot say so.
    pub fn fail_after(mut self, kind: MatrixErrorKind) -> Self {
        assert!(
            leaves_outcome_unknown(&kind),
            "{kind:?} tells the caller that nothing happened: use Timeout, Interrupted, Server, NotMatrix, Decode \
             or BodyTooLarge"
        );
        self.effect = Effect::FailAfter(kind);
        self
    }

    /// The call fails with `LimitExceeded` and says how long to wait.
    pub fn rate_limit(mut self, wait: Duration) -> Self {
        self.effect = Effect::Fail(MatrixErrorKind::LimitExceeded {
            retry_after: Some(wait),
        });
        self
    }

    /// The call takes this much longer, before it has its effect.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.effect = Effect::Delay(delay);
        self
    }

    /// The call waits, before it has its effect, until the [`Hold`] is released or dropped.
    pub fn hold(mut self) -> (Self, Hold) {
        let gate = Arc::new(Gate::new());
        self.effect = Effect::Hold(Arc::clone(&gate));
        (self, Hold { gate })
    }

    /// The room is only begun: its alias points to it and its creator is in it, but it has no name, no state of its own,
    /// no invitations. The answer is a `500`. Synapse leaves such rooms when something fails in the middle.
    ///
    /// # Panics
    /// When the method is not `create_room`.
    pub fn leave_half_made(mut self) -> Self {
        assert!(self.method == "create_room", "{} makes no room", self.method);
        self.effect = Effect::HalfMade;
        self
    }

    /// Sets the words of the error.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    fn matches(&self, asked: &Asked<'_>) -> bool {
        self.method == asked.method
            && self
                .user
                .as_ref()
                .is_none_or(|user| Some(user.as_str()) == asked.user)
            && self
                .room
                .as_ref()
                .is_none_or(|room| Some(room.as_str()) == asked.room)
            && self
                .argument
                .as_ref()
                .is_none_or(|text| asked.arguments.contains(text))
    }

    fn is_spent(&self) -> bool {
        self.times.is_some_and(|times| self.struck >= times)
    }

    fn failure(&self, kind: &MatrixErrorKind) -> Failure {
        Failure::of_kind(kind.clone(), self.message.clone())
            .with_may_have_applied(is_write(&self.method) && leaves_outcome_unknown(kind))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.method)?;
        if let Some(user) = &self.user {
            write!(f, " by {user}")?;
        }
        if let Some(room) = &self.room {
            write!(f, " about {room}")?;
        }
        if let Some(argument) = &self.argument {
            write!(f, " with {argument}")?;
        }
        match &self.effect {
            Effect::None => write!(f, ": nothing")?,
            Effect::Fail(kind) => write!(f, ": fail with {kind:?}")?,
            Effect::Refuse(refusal) => write!(f, ": refuse with {} {}", refusal.status, refusal.errcode())?,
            Effect::FailAfter(kind) => write!(f, ": fail after the effect with {kind:?}")?,
            Effect::Delay(delay) => write!(f, ": delay by {delay:?}")?,
            Effect::Hold(_) => write!(f, ": hold")?,
            Effect::HalfMade => write!(f, ": leave a half-made room")?,
        }
        match self.times {
            Some(times) => write!(f, " (struck {} of {times})", self.struck),
            None => write!(f, " (always, struck {})", self.struck),
        }
    }
}

/// A call as faults look at it.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) room: Option<&'a str>,
    pub(super) arguments: &'a str,
}

/// What the plan has for one call.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) delay: Duration,
    pub(super) gates: Vec<Arc<Gate>>,
    pub(super) before: Option<Failure>,
    pub(super) after: Option<Failure>,
    pub(super) half_made: bool,
}

/// All planned faults, in order.
#[derive(Debug, Default)]
pub(super) struct FaultPlan {
    faults: Vec<Fault>,
    pub(super) wire: Vec<PlannedWireFault>,
}

impl FaultPlan {
    pub(super) fn add(&mut self, fault: Fault) {
        assert!(
            !matches!(fault.effect, Effect::None),
            "a fault for {} was planned that says nothing about what happens",
            fault.method
        );
        self.faults.push(fault);
    }

    /// Takes what is planned for this call.
    pub(super) fn take(&mut self, asked: &Asked<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        for fault in &mut self.faults {
            if fault.is_spent() || !fault.matches(asked) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.struck += 1;
            match &fault.effect {
                Effect::None => {}
                Effect::Delay(delay) => verdict.delay += *delay,
                Effect::Hold(gate) => verdict.gates.push(Arc::clone(gate)),
                Effect::Fail(kind) => verdict.before = Some(fault.failure(kind)),
                Effect::Refuse(refusal) => {
                    let unknown = refusal.status >= 500 && is_write(&fault.method);
                    verdict.before = Some(Failure::from(refusal.clone()).with_may_have_applied(unknown));
                }
                Effect::FailAfter(kind) => verdict.after = Some(fault.failure(kind)),
                Effect::HalfMade => {
                    verdict.half_made = true;
                    verdict.after = Some(fault.failure(&MatrixErrorKind::Server));
                }
            }
            if verdict.before.is_some() || verdict.after.is_some() {
                break;
            }
        }
        verdict
    }

    /// The faults that no call, or not enough calls, met.
    pub(super) fn unused(&self) -> Vec<String> {
        let calls = self.faults.iter().filter(|fault| match fault.times {
            Some(times) => fault.struck < times,
            None => fault.struck == 0,
        });
        let wire = self.wire.iter().filter(|fault| !fault.is_used());
        calls
            .map(ToString::to_string)
            .chain(wire.map(ToString::to_string))
            .collect()
    }

    pub(super) fn clear(&mut self) {
        self.faults.clear();
        self.wire.clear();
    }
}

/// Where held calls wait.
#[derive(Debug)]
pub(super) struct Gate {
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Gate {
    fn new() -> Self {
        Self {
            open: watch::Sender::new(false),
            waiting: watch::Sender::new(0),
        }
    }

    pub(super) async fn pass(&self) {
        self.waiting.send_modify(|waiting| *waiting += 1);
        // The sender lives in `self`: waiting cannot fail.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}

/// The handle of a held call. Dropping it releases the call.
#[derive(Debug)]
#[must_use = "dropping the handle releases the call"]
pub struct Hold {
    gate: Arc<Gate>,
}

impl Hold {
    /// Waits until a call is held here.
    pub async fn reached(&self) {
        let _ = self
            .gate
            .waiting
            .subscribe()
            .wait_for(|waiting| *waiting > 0)
            .await;
    }

    /// Lets the call go on, and those to come.
    pub fn release(self) {}
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.gate.open.send_replace(true);
    }
}
