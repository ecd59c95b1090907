//! One turn of an agent, as far as it was heard.

mod recover;

use std::time::{Duration, Instant};

use letta_client::{
    ApprovalRequest, HistoryItem, HistoryMessage, ItemId, LettaError, ResumeToken, Run, RunId, RunStatus,
    StopReason, ToolCall, ToolCallId, ToolStatus, TurnError, TurnErrorKind, TurnEvent, TurnEventKind,
};

pub(crate) use self::recover::{Found, Recovery};

/// What was heard of a turn.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) run: Option<RunId>,
    /// Where the stream can be joined again.
    pub(crate) resume: Option<ResumeToken>,
    /// What the agent said; its separate answers are joined by an empty line.
    pub(crate) text: String,
    /// What the agent thought.
    pub(crate) reasoning: String,
    /// The tools it called, in order.
    pub(crate) tools: Vec<ToolUse>,
    /// What waits for a decision.
    pub(crate) approval: Option<ApprovalRequest>,
    last_item: Option<ItemId>,
    last_thought: Option<ItemId>,
}

/// A tool that was called.
#[derive(Debug, Clone)]
pub(crate) struct ToolUse {
    pub(crate) call: ToolCall,
    began: Instant,
    /// How it went, how long that took, and what it answered.
    pub(crate) ended: Option<(ToolStatus, Duration, String)>,
}

/// How a turn ended.
#[derive(Debug)]
pub(crate) enum TurnEnd {
    /// The server said how.
    Ended {
        reason: StopReason,
        error: Option<TurnError>,
    },
    /// The server did not take the message.
    Refused(LettaError),
    /// It cannot be found out. The agent may have heard the message.
    Unknown,
    /// It was sent again and again, and each time Letta turned out not to have it.
    Lost,
}

impl Heard {
    /// Takes an event; answers how the turn ended if it did.
    pub(crate) fn take(&mut self, event: TurnEvent) -> Option<TurnEnd> {
        if self.run.is_none() {
            self.run = event.run;
        }
        if event.resume.is_some() {
            self.resume = event.resume;
        }
        match event.kind {
            TurnEventKind::Text { item, append } => self.say(item, &append),
            TurnEventKind::Reasoning { item, append } => self.think(item, &append),
            TurnEventKind::ToolCall(call) => self.call(call),
            TurnEventKind::ToolOutput {
                call,
                status,
                output,
                is_final: true,
            } => self.tool_ended(&call, status, output),
            TurnEventKind::ApprovalRequested(request) => self.approval = Some(request),
            TurnEventKind::Ended { reason, error } => return Some(TurnEnd::Ended { reason, error }),
            _ => {}
        }
        None
    }

    fn say(&mut self, item: ItemId, append: &str) {
        if self.last_item.as_ref().is_some_and(|last| *last != item) && !self.text.is_empty() {
            self.text.push_str("\n\n");
        }
        self.last_item = Some(item);
        self.text.push_str(append);
    }

    fn think(&mut self, item: ItemId, append: &str) {
        if self.last_thought.as_ref().is_some_and(|last| *last != item) && !self.reasoning.is_empty() {
            self.reasoning.push_str("\n\n");
        }
        self.last_thought = Some(item);
        self.reasoning.push_str(append);
    }

    fn call(&mut self, call: ToolCall) {
        if self.tools.iter().any(|used| used.call.id == call.id) {
            return;
        }
        self.tools.push(ToolUse {
            call,
            began: now(),
            ended: None,
        });
    }

    fn tool_ended(&mut self, call: &ToolCallId, status: ToolStatus, output: String) {
        let began = self
            .tools
            .iter()
            .find(|used| used.call.id == *call)
            .map(|used| used.began);
        if let Some(began) = began {
            self.tool_took(call, status, output, now().duration_since(began));
        }
    }

    fn tool_took(&mut self, call: &ToolCallId, status: ToolStatus, output: String, took: Duration) {
        if let Some(used) = self.tools.iter_mut().find(|used| used.call.id == *call) {
            used.ended = Some((status, took, output));
        }
    }

    /// Whether the agent neither said nor did anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.tools.is_empty() && self.approval.is_none()
    }

    /// What the history has of a run that is over.
    pub(crate) fn of_history(messages: Vec<HistoryMessage>, run: &Run) -> (Self, TurnEnd) {
        let mut heard = Self {
            run: Some(run.id.clone()),
            ..Self::default()
        };
        let mut called_at = None;
        for (place, message) in messages.into_iter().enumerate() {
            let item = || ItemId::new(format!("{place}"));
            let date = message.date;
            match message.item {
                HistoryItem::Assistant { text } => heard.say(item(), &text),
                HistoryItem::Reasoning { text } => heard.think(item(), &text),
                HistoryItem::ToolCalls(calls) => {
                    called_at = date;
                    calls.into_iter().for_each(|call| heard.call(call));
                }
                HistoryItem::ToolReturn { call, status, output } => {
                    let took = called_at
                        .zip(date)
                        .map(|(called, ended)| ended.duration_since(called));
                    heard.tool_took(&call, status, output, took.unwrap_or_default().unsigned_abs());
                }
                HistoryItem::ApprovalRequest(request) => heard.approval = Some(request),
                HistoryItem::ApprovalResponse { .. } => heard.approval = None,
                _ => {}
            }
        }
        let end = heard.end_of(run);
        (heard, end)
    }

    fn end_of(&self, run: &Run) -> TurnEnd {
        let waits = self.approval.is_some();
        let reason = match (&run.stop_reason, &run.status) {
            (Some(reason), _) => reason.clone(),
            (None, _) if waits => StopReason::RequiresApproval,
            (None, RunStatus::Completed) => StopReason::EndTurn,
            (None, RunStatus::Cancelled) => StopReason::Cancelled,
            (None, _) => StopReason::Error,
        };
        let error = (run.status == RunStatus::Failed).then(|| TurnError {
            kind: TurnErrorKind::Internal,
            message: run.error.clone().unwrap_or_default(),
            detail: None,
        });
        TurnEnd::Ended { reason, error }
    }
}

/// How long a tool takes is told to people and decides nothing.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
