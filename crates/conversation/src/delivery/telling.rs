//! Telling those who watch what the agent is doing.
//!
//! All of it is a courtesy: what fails here is not tried again, and no delivery fails because of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use agent_events::{AgentRef, EventBus, EventKind, Excerpt, FailureReason, Tokens, Turn};
use jiff::Timestamp;
use letta_client::{
    LettaErrorKind, ProviderFailure, StopReason, ToolCall, ToolCallId, ToolStatus, TurnErrorKind,
    TurnEventKind,
};
use ruma::{OwnedEventId, OwnedUserId};
use store::{Clock, Delivery};
use tokio::time::Instant;

use super::{
    Deliverer, Setting,
    approval::Approval,
    compose::Composer,
    record::{Outcome, Record, Step, Task},
};
use crate::{
    text,
    turn::{Heard, ToolUse, TurnEnd},
};

/// How long the pieces of an answer are collected.
const COLLECT: Duration = Duration::from_millis(200);

/// Tells of one turn.
#[derive(Debug)]
pub(super) struct Telling {
    bus: Arc<dyn EventBus>,
    clock: Arc<dyn Clock>,
    /// `None`: what is done asks nothing of an agent.
    turn: Option<Turn>,
    /// With what the turn begins, or goes on after a decision.
    opening: Opening,
    has_begun: bool,
    began: Timestamp,
    /// Whether the agent's words and thoughts are shown.
    shows_text: bool,
    shows_thoughts: bool,
    /// The part of the answer that was not told yet, and when it was told last.
    text: String,
    told_at: Instant,
    /// How much was told of its thoughts.
    thought: usize,
    running: BTreeMap<ToolCallId, Running>,
    /// Tools that were allowed to run, with what they are called with.
    allowed: Vec<ToolCall>,
    /// Tools that ended, or that were not allowed to run.
    ended: BTreeSet<ToolCallId>,
    cost: Option<(u64, Tokens)>,
    failure: FailureReason,
}

/// A tool at work.
#[derive(Debug)]
struct Running {
    name: String,
    since: Instant,
}

#[derive(Debug)]
enum Opening {
    /// The turn starts; or we take it up again after we were interrupted.
    Start { resumed: bool },
    /// Somebody decided on what it waited for.
    Decision {
        key: String,
        calls: Vec<String>,
        approved: bool,
        by: OwnedUserId,
    },
}

impl Telling {
    /// `decided`: what was decided on, where the delivery is a decision. `is_quiet`: the agent only listens, and says
    /// nothing whatever it answers.
    pub(super) fn new(
        deliverer: &Deliverer,
        delivery: &Delivery,
        record: &Record,
        decided: Option<Approval>,
        setting: &Setting,
        is_quiet: bool,
    ) -> Self {
        let resumed = record.step != Step::Queued;
        let mut opening = Opening::Start { resumed };
        let mut ended = BTreeSet::new();
        let mut turn = matches!(record.task, Task::Message(_) | Task::Decision { .. }).then(|| Turn {
            agent: AgentRef {
                id: delivery.of.agent_id.clone(),
                name: setting.agent_name.clone(),
            },
            room_id: delivery.of.room_id.clone(),
            thread: record.thread.clone(),
            sender: record.sender.clone(),
            run_id: None,
            correlation_id: delivery.of.event_id.clone(),
        });
        let mut allowed = Vec::new();
        if let (Task::Decision { approve, .. }, Some(approval)) = (&record.task, decided) {
            let calls = approval.calls.iter().map(|call| ToolCall {
                id: ToolCallId::new(&*call.id),
                name: call.name.clone(),
                arguments: call.arguments.clone().unwrap_or_default(),
            });
            match approve {
                true => allowed.extend(calls),
                false => ended.extend(calls.map(|call| call.id)),
            }
            if let Some(asked) = approval.turn {
                turn = Some(asked);
                if !resumed {
                    opening = Opening::Decision {
                        calls: approval.calls.into_iter().map(|call| call.id).collect(),
                        key: approval.key,
                        approved: *approve,
                        by: record.sender.clone(),
                    };
                }
            }
        }
        Self {
            bus: deliverer.events.clone(),
            clock: deliverer.clock.clone(),
            turn,
            opening,
            has_begun: false,
            began: deliverer.clock.now(),
            shows_text: !is_quiet,
            shows_thoughts: setting.effective.reasoning && !is_quiet,
            text: String::new(),
            told_at: Instant::now(),
            thought: 0,
            running: BTreeMap::new(),
            allowed,
            ended,
            cost: None,
            failure: FailureReason::Internal,
        }
    }

    /// The turn that is told of.
    pub(super) fn turn(&self) -> Option<&Turn> {
        self.turn.as_ref()
    }

    /// Tells of an event that was heard.
    pub(super) async fn hear(&mut self, event: &TurnEventKind, heard: &Heard, composer: &Composer) {
        if self.turn.is_none() || is_not_taken(event) {
            return;
        }
        if let (Some(turn), Some(run)) = (&mut self.turn, &heard.run) {
            turn.run_id = Some(run.clone());
        }
        self.begin().await;
        match event {
            TurnEventKind::Alive => return self.keep().await,
            TurnEventKind::Reasoning { .. } => return,
            TurnEventKind::Usage(usage) => {
                let tokens = Tokens {
                    input: usage.prompt_tokens,
                    output: usage.completion_tokens,
                };
                self.cost = Some((usage.steps, tokens));
            }
            _ => {}
        }
        self.tell_thoughts(heard).await;
        match event {
            TurnEventKind::Text { append, .. } => {
                self.text.push_str(append);
                if self.told_at.elapsed() >= COLLECT && !composer.may_become_silence(&heard.text) {
                    self.tell_text().await;
                }
            }
            TurnEventKind::ToolCall(call) => {
                self.tell_text().await;
                self.tool_runs(call).await;
            }
            TurnEventKind::ToolOutput {
                call,
                status,
                output,
                is_final: true,
            } => {
                if let Some(used) = heard.tools.iter().find(|used| used.call.id == *call) {
                    self.tool_ended(used).await;
                } else {
                    self.tool_ends(call, *status == ToolStatus::Success, output, None)
                        .await;
                }
            }
            _ => {}
        }
    }

    /// The agent is still at it.
    pub(super) async fn keep(&self) {
        if let Some(turn) = self.turn.as_ref().filter(|_| self.has_begun)
            && let Err(error) = self.bus.keep_state(&turn.agent.id).await
        {
            tracing::debug!(%error, "those who watch cannot be told that an agent is still at work");
        }
    }

    /// Tells what is known of a turn that is over and was not told while it went on, and notes how it ended.
    pub(super) async fn conclude(&mut self, heard: &Heard, end: &TurnEnd, outcome: &Outcome) {
        if self.turn.is_none() {
            return;
        }
        self.failure = failure_of(end);
        if text::is_silence(&heard.text) {
            self.text.clear();
        }
        let has_news = heard.run.is_some() || self.has_begun;
        if has_news {
            self.begin().await;
            self.tell_thoughts(heard).await;
            self.tell_text().await;
        }
        for used in heard.tools.iter().filter(|used| used.ended.is_some()) {
            self.tool_ended(used).await;
        }
        self.end_tools(outcome).await;
    }

    /// Tells how the turn ended, after everything was said in the room.
    pub(super) async fn end(
        &mut self,
        outcome: &Outcome,
        asks: Option<&Approval>,
        reply_event_ids: Vec<OwnedEventId>,
    ) {
        let duration_ms = millis(self.clock.now().duration_since(self.began).unsigned_abs());
        let failed = |reason, message: &str| EventKind::AgentFailed {
            reason,
            message: Excerpt::new(message),
            duration_ms,
        };
        let kind = match outcome {
            Outcome::Answered | Outcome::Silent => EventKind::AgentCompleted {
                duration_ms,
                reply_event_ids,
                steps: self.cost.map(|(steps, _)| steps),
                tokens: self.cost.map(|(_, tokens)| tokens),
            },
            Outcome::Asked => {
                if let Some(approval) = asks {
                    self.begin().await;
                    self.ask(approval).await;
                }
                return;
            }
            Outcome::Failed { why } => failed(self.failure, why),
            Outcome::Undeliverable { why } => failed(FailureReason::Undeliverable, why),
            Outcome::Stopped | Outcome::TakenBack | Outcome::Told if !self.has_begun => return,
            Outcome::Stopped | Outcome::TakenBack | Outcome::Told => {
                failed(FailureReason::Cancelled, "somebody stopped it")
            }
        };
        self.begin().await;
        self.end_tools(outcome).await;
        self.publish(kind).await;
    }

    /// How these ended was not heard. An agent that went on to its end got an answer.
    async fn end_tools(&mut self, outcome: &Outcome) {
        let went_well = matches!(outcome, Outcome::Answered | Outcome::Silent | Outcome::Asked);
        let words = if went_well {
            ""
        } else {
            "the turn ended before the tool did"
        };
        for call in self.running.keys().cloned().collect::<Vec<_>>() {
            self.tool_ends(&call, went_well, words, None).await;
        }
    }

    /// Tells that the turn was not taken after all, and comes later.
    pub(super) async fn put_off(&self) {
        if self.has_begun {
            let kind = EventKind::AgentFailed {
                reason: FailureReason::Cancelled,
                message: "an earlier tool call waits for a decision first".into(),
                duration_ms: millis(self.clock.now().duration_since(self.began).unsigned_abs()),
            };
            self.publish(kind).await;
        }
    }

    async fn ask(&mut self, approval: &Approval) {
        for call in &approval.calls {
            let kind = EventKind::ApprovalRequested {
                approval_id: approval.key.as_str().into(),
                tool_call_id: ToolCallId::new(&*call.id),
                tool_name: call.name.clone(),
                arguments: call.arguments.as_deref().map(Excerpt::from),
            };
            self.publish(kind).await;
        }
    }

    /// The agent has it: from now on the turn is told of.
    async fn begin(&mut self) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        match std::mem::replace(&mut self.opening, Opening::Start { resumed: true }) {
            Opening::Start { resumed } => self.publish(EventKind::AgentStarted { resumed }).await,
            Opening::Decision {
                key,
                calls,
                approved,
                by,
            } => {
                for call in calls {
                    let kind = EventKind::ApprovalResolved {
                        approval_id: key.as_str().into(),
                        tool_call_id: call.into(),
                        approved,
                        by: Some(by.clone()),
                    };
                    self.publish(kind).await;
                }
            }
        }
        self.publish(EventKind::AgentThinking { text: None }).await;
        for call in std::mem::take(&mut self.allowed) {
            self.tool_runs(&call).await;
        }
    }

    async fn tell_thoughts(&mut self, heard: &Heard) {
        let thoughts = heard.reasoning.get(self.thought..).unwrap_or_default().trim();
        let text = (self.shows_thoughts && !thoughts.is_empty()).then(|| Excerpt::new(thoughts));
        self.thought = heard.reasoning.len();
        if text.is_some() {
            self.publish(EventKind::AgentThinking { text }).await;
        }
    }

    async fn tell_text(&mut self) {
        self.told_at = Instant::now();
        let text = std::mem::take(&mut self.text);
        if self.shows_text {
            for piece in Excerpt::pieces(&text) {
                self.publish(EventKind::MessageDelta { text: piece }).await;
            }
        }
    }

    async fn tool_runs(&mut self, call: &ToolCall) {
        if self.ended.contains(&call.id) || self.running.contains_key(&call.id) {
            return;
        }
        let running = Running {
            name: call.name.clone(),
            since: Instant::now(),
        };
        self.running.insert(call.id.clone(), running);
        let kind = EventKind::ToolExecuting {
            tool_call_id: call.id.clone(),
            tool_name: call.name.clone(),
            arguments: (!call.arguments.is_empty()).then(|| call.arguments.as_str().into()),
        };
        self.publish(kind).await;
    }

    async fn tool_ended(&mut self, used: &ToolUse) {
        let Some((status, after, output)) = &used.ended else {
            return;
        };
        if self.ended.contains(&used.call.id) {
            return;
        }
        self.tool_runs(&used.call).await;
        let success = *status == ToolStatus::Success;
        self.tool_ends(&used.call.id, success, output, Some(*after)).await;
    }

    /// Tells that a tool ended that was told to run.
    async fn tool_ends(&mut self, call: &ToolCallId, success: bool, output: &str, after: Option<Duration>) {
        let Some(running) = self.running.remove(call) else {
            return;
        };
        self.ended.insert(call.clone());
        let said = (!output.is_empty()).then(|| Excerpt::new(output));
        let (result, error) = if success { (said, None) } else { (None, said) };
        let kind = EventKind::ToolCompleted {
            tool_call_id: call.clone(),
            tool_name: running.name,
            success,
            duration_ms: millis(after.unwrap_or_else(|| running.since.elapsed())),
            result,
            error,
        };
        self.publish(kind).await;
    }

    async fn publish(&self, kind: EventKind) {
        if let Some(turn) = &self.turn {
            publish(&*self.bus, turn, kind).await;
        }
    }
}

/// Tells that a request is decided by nobody any more, and that its turn is over with that.
pub(super) async fn tell_withdrawn(bus: &dyn EventBus, approval: &Approval) {
    let Some(turn) = &approval.turn else {
        return;
    };
    for call in &approval.calls {
        let kind = EventKind::ApprovalResolved {
            approval_id: approval.key.as_str().into(),
            tool_call_id: ToolCallId::new(&*call.id),
            approved: false,
            by: None,
        };
        publish(bus, turn, kind).await;
    }
    let kind = EventKind::AgentFailed {
        reason: FailureReason::Cancelled,
        message: "the request was decided elsewhere, or the agent was stopped".into(),
        duration_ms: 0,
    };
    publish(bus, turn, kind).await;
}

async fn publish(bus: &dyn EventBus, turn: &Turn, kind: EventKind) {
    if let Err(error) = bus.publish(turn.event(kind)).await {
        tracing::debug!(%error, "those who watch cannot be told");
    }
}

/// Whether the agent did not take the message, and is asked again later.
fn is_not_taken(event: &TurnEventKind) -> bool {
    let TurnEventKind::Ended {
        error: Some(error), ..
    } = event
    else {
        return false;
    };
    matches!(error.kind, TurnErrorKind::PendingApproval | TurnErrorKind::Busy)
}

fn failure_of(end: &TurnEnd) -> FailureReason {
    match end {
        TurnEnd::Refused(error) => match error.kind() {
            LettaErrorKind::Provider(failure) => provider(*failure),
            LettaErrorKind::Timeout => FailureReason::TimedOut,
            _ if error.is_retryable() => FailureReason::Unavailable,
            _ => FailureReason::Internal,
        },
        TurnEnd::Unknown | TurnEnd::Lost => FailureReason::Unavailable,
        TurnEnd::Ended {
            error: Some(error), ..
        } => match &error.kind {
            TurnErrorKind::Provider(failure) => provider(*failure),
            _ => FailureReason::Internal,
        },
        TurnEnd::Ended { reason, error: None } => match reason {
            StopReason::EndTurn | StopReason::ToolRule => FailureReason::NoAnswer,
            StopReason::MaxSteps
            | StopReason::MaxTokensExceeded
            | StopReason::ContextWindowOverflow
            | StopReason::InsufficientCredits => FailureReason::Limit,
            StopReason::Cancelled => FailureReason::Cancelled,
            StopReason::LlmApiError
            | StopReason::InvalidLlmResponse
            | StopReason::InvalidToolCall
            | StopReason::NoToolCall => FailureReason::Model,
            _ => FailureReason::Internal,
        },
    }
}

fn provider(failure: ProviderFailure) -> FailureReason {
    match failure {
        ProviderFailure::InsufficientCredits | ProviderFailure::ContextWindowExceeded => FailureReason::Limit,
        _ => FailureReason::Model,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
