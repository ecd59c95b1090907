//! Planned misbehaviour.
//!
//! A [`Fault`] says which call it waits for and what happens to that call; [`FakeLetta::plan`](super::FakeLetta::plan)
//! queues it. Faults are looked through in the order in which they were planned: delays and holds add up, the first
//! failure ends the call. A planned fault that no call met fails
//! [`assert_faults_used`](super::FakeLetta::assert_faults_used).

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{refusal::Refusal, wire_fault::PlannedWireFault};
use crate::{AgentId, LettaErrorKind};

/// The methods a fault can wait for: those of [`LettaApi`](crate::LettaApi), and what only the REST API has.
pub const METHODS: &[&str] = &[
    "health",
    "list_agents",
    "count_agents",
    "get_agent",
    "create_agent",
    "update_agent",
    "delete_agent",
    "set_tool_approval",
    "create_conversation",
    "get_conversation",
    "list_conversations",
    "delete_conversation",
    "send",
    "decide",
    "resume",
    "cancel",
    "get_run",
    "list_runs",
    "list_messages",
    // only in the REST API
    "list_agent_tools",
    "reset_messages",
    "list_tools",
    "list_models",
    "list_embedding_models",
    "list_tags",
    "update_conversation",
    "list_run_messages",
    "get_run_usage",
];

/// Whether a method changes anything on the server.
pub(super) fn is_write(method: &str) -> bool {
    matches!(
        method,
        "create_agent"
            | "update_agent"
            | "delete_agent"
            | "set_tool_approval"
            | "create_conversation"
            | "delete_conversation"
            | "send"
            | "decide"
            | "cancel"
            | "reset_messages"
            | "update_conversation"
    )
}

/// Something that goes wrong with a call, once unless told otherwise.
///
/// ```
/// # use std::time::Duration;
/// use letta_client::{LettaErrorKind, fake::{FakeLetta, Fault}};
///
/// let letta = FakeLetta::with_test_agents();
/// letta.plan(Fault::on("list_agents").rate_limit(Duration::from_secs(3)).times(2));
/// letta.plan(Fault::on("create_agent").fail_after(LettaErrorKind::Timeout));
/// letta.plan(Fault::on("get_agent").agent("agent-002").fail(LettaErrorKind::Server));
/// assert_eq!(letta.unused_faults().len(), 3);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a fault does nothing until it is planned"]
pub struct Fault {
    method: String,
    agent: Option<AgentId>,
    skip: u32,
    /// How often it strikes; `None` is always.
    times: Option<u32>,
    struck: u32,
    effect: Effect,
    message: Option<String>,
    retry_after: Option<Duration>,
}

#[derive(Debug, Clone)]
enum Effect {
    /// Nothing chosen yet.
    None,
    Fail(LettaErrorKind),
    FailAfter(LettaErrorKind),
    Delay(Duration),
    Hold(Arc<Gate>),
    /// The answer is a stream that breaks after so many events.
    BreakStream(usize),
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
            agent: None,
            skip: 0,
            times: Some(1),
            struck: 0,
            effect: Effect::None,
            message: None,
            retry_after: None,
        }
    }

    /// Waits for a call that speaks of this agent.
    pub fn agent(mut self, agent: impl Into<AgentId>) -> Self {
        self.agent = Some(agent.into());
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
    /// `Interrupted` or a `Server` of a write it says all the same that the effect is possible.
    pub fn fail(mut self, kind: LettaErrorKind) -> Self {
        self.effect = Effect::Fail(kind);
        self
    }

    /// The call has its effect, and its answer is lost.
    ///
    /// # Panics
    /// When `kind` tells the caller that nothing happened, e.g. `Connect`: a server that did it cannot say so.
    pub fn fail_after(mut self, kind: LettaErrorKind) -> Self {
        assert!(
            leaves_outcome_unknown(&kind),
            "{kind:?} tells the caller that nothing happened: use Timeout, Interrupted, Server, NotLetta, Decode or TooLarge"
        );
        self.effect = Effect::FailAfter(kind);
        self
    }

    /// The call fails with `RateLimited` and says how long to wait.
    pub fn rate_limit(mut self, wait: Duration) -> Self {
        self.effect = Effect::Fail(LettaErrorKind::RateLimited);
        self.retry_after = Some(wait);
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

    /// The call succeeds; its stream breaks with `Interrupted` behind so many events. The turn goes on.
    ///
    /// # Panics
    /// When the method answers with no stream.
    pub fn break_stream_after(mut self, events: usize) -> Self {
        assert!(
            matches!(self.method.as_str(), "send" | "decide" | "resume"),
            "{} answers with no stream that could break",
            self.method
        );
        self.effect = Effect::BreakStream(events);
        self
    }

    /// Sets the sentence of the error.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Sets how long the error asks to wait.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    fn matches(&self, method: &str, agent: Option<&AgentId>) -> bool {
        self.method == method && (self.agent.is_none() || self.agent.as_ref() == agent)
    }

    fn is_spent(&self) -> bool {
        self.times.is_some_and(|times| self.struck >= times)
    }

    fn refusal(&self, kind: &LettaErrorKind) -> Refusal {
        let write = is_write(&self.method);
        let mut refusal = Refusal::of_kind(kind.clone(), self.message.clone());
        if let Some(wait) = self.retry_after {
            refusal = refusal.with_retry_after(wait);
        }
        refusal.with_may_have_applied(write && leaves_outcome_unknown(kind))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.method)?;
        if let Some(agent) = &self.agent {
            write!(f, " of {agent}")?;
        }
        match &self.effect {
            Effect::None => write!(f, ": nothing")?,
            Effect::Fail(kind) => write!(f, ": fail with {kind:?}")?,
            Effect::FailAfter(kind) => write!(f, ": fail after the effect with {kind:?}")?,
            Effect::Delay(delay) => write!(f, ": delay by {delay:?}")?,
            Effect::Hold(_) => write!(f, ": hold")?,
            Effect::BreakStream(events) => write!(f, ": break the stream after {events} events")?,
        }
        match self.times {
            Some(times) => write!(f, " (struck {} of {times})", self.struck),
            None => write!(f, " (always, struck {})", self.struck),
        }
    }
}

/// Whether a caller who sees this kind cannot know if its write happened.
pub(super) fn leaves_outcome_unknown(kind: &LettaErrorKind) -> bool {
    matches!(
        kind,
        LettaErrorKind::Timeout
            | LettaErrorKind::Interrupted
            | LettaErrorKind::Server
            | LettaErrorKind::NotLetta
            | LettaErrorKind::Decode
            | LettaErrorKind::TooLarge
    )
}

/// What the plan has for one call.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) delay: Duration,
    pub(super) gates: Vec<Arc<Gate>>,
    pub(super) before: Option<Refusal>,
    pub(super) after: Option<Refusal>,
    pub(super) break_stream_after: Option<usize>,
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
    pub(super) fn take(&mut self, method: &str, agent: Option<&AgentId>) -> Verdict {
        let mut verdict = Verdict::default();
        for fault in &mut self.faults {
            if fault.is_spent() || !fault.matches(method, agent) {
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
                Effect::BreakStream(events) => verdict.break_stream_after = Some(*events),
                Effect::Fail(kind) => {
                    verdict.before = Some(fault.refusal(kind));
                    break;
                }
                Effect::FailAfter(kind) => {
                    verdict.after = Some(fault.refusal(kind));
                    break;
                }
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
