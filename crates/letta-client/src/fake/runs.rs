//! Runs: their state, their events, and who holds which conversation.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use super::{
    agent_json::date_time,
    event::{Event, StreamEvent, Totals},
    ids::is_well_formed,
    refusal::{Refusal, row_not_found},
    state::State,
};
use crate::{AgentId, Conflict, ConversationId, LettaErrorKind, Run, RunId, RunStatus, StopReason};

/// How long the server keeps the events of a run.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(3);

/// How long a conversation stays locked when nobody unlocks it.
const LOCK_TTL: Duration = Duration::from_secs(300);

/// A run as the server stores it.
#[derive(Debug)]
pub(super) struct RunRecord {
    pub(super) id: RunId,
    pub(super) agent: AgentId,
    pub(super) conversation: Option<ConversationId>,
    pub(super) background: bool,
    pub(super) run_type: &'static str,
    pub(super) status: RunStatus,
    pub(super) stop_reason: Option<StopReason>,
    /// `metadata.error`: a sentence, or the error of the stream.
    pub(super) error: Option<Value>,
    pub(super) created_at: Timestamp,
    pub(super) completed_at: Option<Timestamp>,
    pub(super) totals: Totals,
    /// What it unlocks when it ends.
    pub(super) lock: Option<String>,
    /// Its events; of a foreground run only for the one who sent the request.
    pub(super) log: Vec<StreamEvent>,
    /// Whether no more events will come.
    pub(super) closed: bool,
    /// Told of every change of the log.
    pub(super) changed: watch::Sender<()>,
}

/// A conversation in use.
#[derive(Debug)]
pub(super) struct Lock {
    /// Derived from the ids of the messages that took it.
    token: String,
    until: Instant,
}

impl From<&RunRecord> for Run {
    fn from(record: &RunRecord) -> Self {
        let error = record.error.as_ref().map(|error| match error {
            Value::String(text) => text.clone(),
            other => ["detail", "message"]
                .into_iter()
                .find_map(|field| other.get(field).and_then(Value::as_str))
                .map_or_else(|| other.to_string(), ToOwned::to_owned),
        });
        Self {
            id: record.id.clone(),
            status: record.status.clone(),
            agent: Some(record.agent.clone()),
            conversation: record.conversation.clone(),
            background: record.background,
            stop_reason: record.stop_reason.clone(),
            error,
            created_at: Some(record.created_at),
            completed_at: record.completed_at,
        }
    }
}

impl RunRecord {
    /// The run as `GET /v1/runs/{id}` answers.
    pub(super) fn json(&self) -> Value {
        let mut metadata = json!({ "run_type": self.run_type });
        if let Some(error) = &self.error {
            metadata["error"] = error.clone();
        }
        json!({
            "id": self.id,
            "status": status_name(&self.status),
            "created_at": date_time(self.created_at),
            // Without a zone: so the server writes this one.
            "completed_at": self.completed_at.map(|time| date_time(time).trim_end_matches('Z').to_owned()),
            "agent_id": self.agent,
            "conversation_id": self.conversation,
            "base_template_id": null,
            "background": self.background,
            "metadata": metadata,
            "request_config": {
                "use_assistant_message": true,
                "assistant_message_tool_name": "send_message",
                "assistant_message_tool_kwarg": "message",
                "include_return_message_types": null,
            },
            "stop_reason": self.stop_reason.as_ref().map(StopReason::as_wire),
            "callback_url": null,
            "callback_sent_at": null,
            "callback_status_code": null,
            "callback_error": null,
            "ttft_ns": null,
            "total_duration_ns": null,
        })
    }
}

/// The name of a status on the wire.
pub(super) fn status_name(status: &RunStatus) -> &str {
    match status {
        RunStatus::Created => "created",
        RunStatus::Running => "running",
        RunStatus::Completed => "completed",
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "cancelled",
        RunStatus::Other(name) => name,
    }
}

/// What a run is that stopped so.
pub(super) fn status_of(reason: &StopReason) -> RunStatus {
    match reason {
        StopReason::Cancelled => RunStatus::Cancelled,
        StopReason::Error
        | StopReason::LlmApiError
        | StopReason::InvalidLlmResponse
        | StopReason::InvalidToolCall
        | StopReason::NoToolCall
        | StopReason::InsufficientCredits
        | StopReason::ContextWindowOverflow => RunStatus::Failed,
        _ => RunStatus::Completed,
    }
}

impl State {
    pub(super) fn run(&self, id: &RunId) -> Result<&RunRecord, Refusal> {
        if !self.config.lenient && !is_well_formed("run", id.as_str()) {
            return Err(Refusal::detail(
                400,
                LettaErrorKind::InvalidRequest,
                format!("INVALID_ARGUMENT: Invalid run ID format: {id}. Expected format: 'run-<uuid4>'"),
            ));
        }
        // The newest are the ones asked for.
        self.runs
            .iter()
            .rev()
            .find(|run| run.id == *id)
            .ok_or_else(|| row_not_found("Run", id.as_str()))
    }

    pub(super) fn run_mut(&mut self, id: &RunId) -> Option<&mut RunRecord> {
        // The newest are the ones asked for.
        self.runs.iter_mut().rev().find(|run| run.id == *id)
    }

    /// Runs, newest first.
    pub(super) fn list_runs(
        &self,
        agent: Option<&AgentId>,
        active_only: bool,
        limit: usize,
    ) -> Vec<&RunRecord> {
        self.runs
            .iter()
            .rev()
            .filter(|run| agent.is_none_or(|agent| run.agent == *agent))
            .filter(|run| !active_only || run.status.is_active())
            .take(limit)
            .collect()
    }

    pub(super) fn create_run(
        &mut self,
        agent: &AgentId,
        conversation: Option<ConversationId>,
        background: bool,
        run_type: &'static str,
        lock: Option<String>,
    ) -> RunId {
        let id = RunId::new(self.ids.next("run"));
        let created_at = self.clock.now();
        self.runs.push(RunRecord {
            id: id.clone(),
            agent: agent.clone(),
            conversation,
            background,
            run_type,
            status: RunStatus::Created,
            stop_reason: None,
            error: None,
            created_at,
            completed_at: None,
            totals: Totals::default(),
            lock,
            log: Vec::new(),
            closed: false,
            changed: watch::Sender::new(()),
        });
        self.last_runs.insert(agent.clone(), id.clone());
        id
    }

    /// Adds an event to a run's stream.
    pub(super) fn log(&mut self, id: &RunId, event: Event) {
        if let Some(run) = self.run_mut(id) {
            let seq = run.background.then_some(run.log.len() as u64 + 1);
            run.log.push(StreamEvent {
                run: id.clone(),
                seq,
                event,
            });
            run.changed.send_replace(());
        }
    }

    /// Ends a run's stream.
    pub(super) fn close(&mut self, id: &RunId) {
        if let Some(run) = self.run_mut(id) {
            run.closed = true;
            run.changed.send_replace(());
        }
    }

    /// Ends a run, as the server does it: the first end's time stays, the last end's status wins.
    pub(super) fn end_run(
        &mut self,
        id: &RunId,
        status: RunStatus,
        stop_reason: Option<StopReason>,
        error: Option<Value>,
    ) {
        let now = self.clock.now();
        let Some(run) = self.run_mut(id) else {
            return;
        };
        run.status = status;
        run.completed_at.get_or_insert(now);
        if stop_reason.is_some() {
            run.stop_reason.clone_from(&stop_reason);
        }
        if error.is_some() {
            run.error = error;
        }
        let duration = now.duration_since(run.created_at);
        let agent = run.agent.clone();
        if let Some(lock) = run.lock.clone() {
            self.locks.remove(&lock);
        }
        if let (Some(reason), Ok(agent)) = (stop_reason, self.agent_mut(&agent)) {
            agent.last_stop_reason = Some(reason);
            agent.updated_at = now;
            if agent.agent_type != super::agents::DEFAULT_AGENT_TYPE {
                // Agents of the newest kind never get these.
                agent.last_run_completion = Some(now);
                agent.last_run_duration_ms = u64::try_from(duration.as_millis()).ok();
            }
        }
    }

    /// Takes the lock of a conversation, or says who has it.
    pub(super) fn lock(&mut self, key: &str, token: &str) -> Result<(), Refusal> {
        let now = Instant::now();
        if let Some(lock) = self.locks.get(key)
            && now < lock.until
        {
            let run = self.runs_by_otid.get(&lock.token).cloned();
            return Err(Refusal::conflict(&Conflict::Busy { run }, None));
        }
        let lock = Lock {
            token: token.to_owned(),
            until: now + LOCK_TTL,
        };
        self.locks.insert(key.to_owned(), lock);
        Ok(())
    }

    /// Lets the next turn into the conversation that a run holds.
    pub(super) fn unlock(&mut self, id: &RunId) {
        if let Some(lock) = self.run_mut(id).and_then(|run| run.lock.clone()) {
            self.locks.remove(&lock);
        }
    }

    /// Whether a run's events may be read again, and the refusal if not.
    pub(super) fn check_resumable(&mut self, id: &RunId) -> Result<(), Refusal> {
        let now = self.clock.now();
        let run = self.run(id)?;
        if !run.background {
            return Err(Refusal::detail(
                400,
                LettaErrorKind::NotFound,
                "INVALID_ARGUMENT: Run was not created in background mode, so it cannot be retrieved.",
            ));
        }
        if now.duration_since(run.created_at) > KEPT_FOR {
            return Err(Refusal::detail(
                410,
                LettaErrorKind::NotFound,
                "EXPIRED: Run was created more than 3 hours ago, and is now expired.",
            ));
        }
        if self.config.redis {
            Ok(())
        } else {
            Err(needs_redis())
        }
    }
}

/// The refusal of everything that needs events to be kept.
pub(super) fn needs_redis() -> Refusal {
    Refusal::detail(
        503,
        LettaErrorKind::Unsupported,
        "INTERNAL_SERVER_ERROR: Background streaming requires Redis to be running. Please ensure Redis is properly \
         configured. LETTA_REDIS_HOST: None, LETTA_REDIS_PORT: 6379",
    )
}
