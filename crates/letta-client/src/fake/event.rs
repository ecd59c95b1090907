//! The events of a stream, as they go over the wire.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{message::Part, part_json::date};
use crate::{RunId, StopReason};

/// One event of a turn's stream.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    Ping { id: String, date: Timestamp },
    Part(Part),
    Stop(StopReason),
    Usage(Totals),
    Error(StreamError),
    Done,
}

/// What a turn cost, as the server counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    pub(super) prompt: u64,
    pub(super) completion: u64,
    pub(super) steps: u64,
    /// Tokens in the context after the last step; unknown before the first.
    pub(super) context: Option<u64>,
    /// Whether the provider's details are known (they are not in a token stream).
    pub(super) detailed: bool,
}

impl Totals {
    pub(super) fn json(self) -> Value {
        let detail = self.detailed.then_some(0);
        json!({
            "message_type": "usage_statistics",
            "completion_tokens": self.completion,
            "prompt_tokens": self.prompt,
            "total_tokens": self.prompt + self.completion,
            "step_count": self.steps,
            "run_ids": null,
            "cached_input_tokens": detail,
            "cache_write_tokens": detail,
            "reasoning_tokens": detail,
            "context_tokens": self.context,
        })
    }
}

/// What went wrong, inside a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamError {
    pub(super) error_type: &'static str,
    pub(super) message: String,
    pub(super) detail: String,
}

impl StreamError {
    pub(super) fn json(&self, run: &RunId, seq: Option<u64>) -> Value {
        json!({
            "message_type": "error_message",
            "run_id": run,
            "error_type": self.error_type,
            "message": self.message,
            "detail": self.detail,
            "seq_id": seq,
        })
    }
}

/// The stop reason as the server writes it.
pub(super) fn stop_json(reason: &StopReason) -> Value {
    json!({ "message_type": "stop_reason", "stop_reason": reason.as_wire() })
}

/// An event of a stream, ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamEvent {
    pub(super) run: RunId,
    /// Its place among the run's events, if they are kept.
    pub(super) seq: Option<u64>,
    pub(super) event: Event,
}

impl StreamEvent {
    /// The data of the event; [`Value::Null`] for the `[DONE]` at the end.
    #[must_use]
    pub fn json(&self) -> Value {
        match &self.event {
            Event::Ping { id, date: time } => json!({
                "id": id,
                "date": date(*time),
                "name": null,
                "message_type": "ping",
                "otid": null,
                "sender_id": null,
                "step_id": null,
                "is_err": null,
                "seq_id": self.seq,
                "run_id": self.run,
            }),
            Event::Part(part) => part.json(self.seq),
            Event::Stop(reason) => stop_json(reason),
            Event::Usage(totals) => totals.json(),
            Event::Error(error) => error.json(&self.run, self.seq),
            Event::Done => Value::Null,
        }
    }

    /// The event as it goes over the wire, its empty line included.
    #[must_use]
    pub fn sse(&self) -> String {
        match &self.event {
            Event::Done => "data: [DONE]\n\n".to_owned(),
            Event::Error(_) => format!("event: error\ndata: {}\n\n", self.json()),
            _ => format!("data: {}\n\n", self.json()),
        }
    }
}
