//! From the messages of a stream to the events of a turn.
//!
//! The order a server keeps: a ping that names the run, pieces of messages, pings every 20 seconds, `stop_reason`,
//! `usage_statistics`, `[DONE]`. A failure comes as `event: error` behind the stop reason; a cancelled stream has
//! no `[DONE]`; a stream whose server died has no stop reason.

mod error;
mod pieces;

use std::mem;

use serde::Deserialize;
use serde_json::Value;

use self::{
    error::turn_error,
    pieces::{PartialCall, append_piece},
};
use super::{
    message::{WireMessage, WireToolCall, content_text},
    sse::SseEvent,
    wire::{self, DecodeError},
};
use crate::{
    LettaError, LettaErrorKind,
    types::{
        approval::ApprovalRequest,
        id::{ApprovalId, ItemId, RunId},
        turn::{ResumeToken, StopReason, TurnError, TurnEvent, TurnEventKind, Usage},
    },
};

/// The end of a stream that ended as it should.
const DONE: &str = "[DONE]";

/// Run and position, as a [`ResumeToken`] holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) run: RunId,
    pub(super) sequence: u64,
}

impl Position {
    fn token(&self) -> ResumeToken {
        ResumeToken::new(format!("{}/{}", self.run, self.sequence))
    }

    pub(super) fn parse(token: &ResumeToken) -> Option<Self> {
        let (run, sequence) = token.as_str().rsplit_once('/')?;
        Some(Self {
            run: RunId::from(run).clone(),
            sequence: sequence.parse().ok()?,
        })
        .filter(|position| !position.run.as_str().is_empty())
    }
}

/// What is being put together from pieces.
#[derive(Debug)]
enum Pending {
    Calls(Vec<PartialCall>),
    Approval { id: String, calls: Vec<PartialCall> },
}

/// The state of a stream.
#[derive(Debug)]
pub(super) struct TurnDecoder {
    run: Option<RunId>,
    is_started: bool,
    is_done: bool,
    is_ended: bool,
    /// Position of the message being decoded, if the server keeps events.
    sequence: Option<u64>,
    /// Sequence number behind which a stream was joined again, until its first message is seen.
    joined_behind: Option<u64>,
    pending: Option<Pending>,
    stop_reason: Option<StopReason>,
    error: Option<TurnError>,
}

/// One message's worth of events, or the end of it all.
type Decoded = Vec<Result<TurnEvent, LettaError>>;

impl TurnDecoder {
    /// For a stream that begins with its turn.
    pub(super) fn new() -> Self {
        Self {
            run: None,
            is_started: false,
            is_done: false,
            is_ended: false,
            sequence: None,
            joined_behind: None,
            pending: None,
            stop_reason: None,
            error: None,
        }
    }

    /// For a stream that was joined again.
    pub(super) fn joined(behind: &Position) -> Self {
        Self {
            run: Some(behind.run.clone()),
            is_started: true,
            joined_behind: Some(behind.sequence),
            ..Self::new()
        }
    }

    /// Whether nothing more will come of it.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Whether the server already said how the turn ended.
    pub(super) fn knows_the_end(&self) -> bool {
        self.stop_reason.is_some() || self.error.is_some() || self.is_done
    }

    /// Takes the next event of the stream.
    pub(super) fn push(&mut self, event: &SseEvent) -> Decoded {
        let mut out = Vec::new();
        if self.is_ended {
            return out;
        }
        if event.data.trim() == DONE {
            self.is_done = true;
            self.finish(&mut out);
            return out;
        }
        let outcome = wire::decode::<Value>(event.data.as_bytes())
            .and_then(|value| self.message(event.name.as_deref(), value, &mut out));
        if let Err(error) = outcome {
            self.is_ended = true;
            out.push(Err(LettaError::new(
                LettaErrorKind::Decode,
                "an event of the turn is not what Letta's API promises",
            )
            .with_path(error.path)
            .with_may_have_applied(true)
            .with_source(error.source)));
        }
        out
    }

    /// The connection ended. Says how the turn did, or that nobody knows.
    pub(super) fn end(&mut self) -> Decoded {
        let mut out = Vec::new();
        if !self.is_ended {
            self.finish(&mut out);
        }
        out
    }

    fn finish(&mut self, out: &mut Decoded) {
        self.flush(out);
        self.is_ended = true;
        if !self.knows_the_end() {
            out.push(Err(LettaError::new(
                LettaErrorKind::Interrupted,
                "the stream ended before the turn did",
            )
            .with_may_have_applied(true)));
            return;
        }
        let error = self.error.take();
        let reason = self.stop_reason.take().unwrap_or(if error.is_some() {
            StopReason::Error
        } else {
            StopReason::EndTurn
        });
        out.push(Ok(TurnEvent {
            run: self.run.clone(),
            resume: None,
            kind: TurnEventKind::Ended { reason, error },
        }));
    }

    fn message(&mut self, name: Option<&str>, value: Value, out: &mut Decoded) -> Result<(), DecodeError> {
        let message_type = value
            .get("message_type")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if let Some(run) = value.get("run_id").and_then(Value::as_str) {
            self.run = Some(RunId::from(run));
        }
        let sequence = value.get("seq_id").and_then(Value::as_u64);
        if let Some(behind) = self.joined_behind.take() {
            // The position of a ping is that of the message before it.
            if message_type == "ping" {
                self.joined_behind = Some(behind);
            } else if sequence.is_some_and(|first| first > behind + 1) {
                self.emit(out, TurnEventKind::Gap);
            }
        }
        if message_type == "ping" {
            self.ping(sequence, out);
            return Ok(());
        }
        if !self.is_started {
            self.is_started = true;
            self.sequence = None;
            self.emit(out, TurnEventKind::Started);
        }
        if !self.belongs_to_pending(&message_type, &value) {
            // Their own position is the last one seen, this message's is the next.
            self.flush(out);
        }
        self.sequence = sequence;
        if name == Some("error") || message_type == "error_message" {
            self.error = Some(turn_error(&value));
            return Ok(());
        }
        match message_type.as_str() {
            "stop_reason" => {
                self.stop_reason = value
                    .get("stop_reason")
                    .and_then(Value::as_str)
                    .map(StopReason::from_wire);
                Ok(())
            }
            "usage_statistics" => {
                let usage = wire::decode_value::<WireUsage>(value)?.into();
                self.emit(out, TurnEventKind::Usage(usage));
                Ok(())
            }
            "assistant_message"
            | "reasoning_message"
            | "tool_call_message"
            | "tool_return_message"
            | "approval_request_message"
            | "user_message"
            | "summary_message" => {
                let message = wire::decode_value::<WireMessage>(value)?;
                self.known(&message_type, message, out);
                Ok(())
            }
            // A kind that is new, or of no interest to a reader: told, but not interpreted.
            _ => {
                let text = ["event_type", "text", "message"]
                    .into_iter()
                    .find_map(|field| value.get(field).and_then(Value::as_str))
                    .unwrap_or_default();
                let text = text.to_owned();
                self.emit(out, TurnEventKind::Notice { message_type, text });
                Ok(())
            }
        }
    }

    fn ping(&mut self, sequence: Option<u64>, out: &mut Decoded) {
        if self.pending.is_none() {
            self.sequence = sequence.or(self.sequence);
        }
        if mem::replace(&mut self.is_started, true) {
            self.emit(out, TurnEventKind::Alive);
        } else {
            self.emit(out, TurnEventKind::Started);
        }
    }

    fn known(&mut self, message_type: &str, mut message: WireMessage, out: &mut Decoded) {
        match message_type {
            "assistant_message" => {
                let (append, _) = content_text(&message.content);
                if !append.is_empty() {
                    self.emit(
                        out,
                        TurnEventKind::Text {
                            item: item(&message),
                            append,
                        },
                    );
                }
            }
            "reasoning_message" => {
                let append = message.reasoning.take().unwrap_or_default();
                if !append.is_empty() {
                    self.emit(
                        out,
                        TurnEventKind::Reasoning {
                            item: item(&message),
                            append,
                        },
                    );
                }
            }
            "tool_call_message" => match message.take_calls() {
                Ok(calls) => self.emit_all(out, calls.into_iter().map(TurnEventKind::ToolCall)),
                Err(piece) => self.tool_call_piece(piece, out),
            },
            "approval_request_message" => {
                let id = message.id.take().unwrap_or_default();
                match message.take_calls() {
                    Ok(calls) => self.emit(
                        out,
                        TurnEventKind::ApprovalRequested(ApprovalRequest {
                            id: ApprovalId::new(id),
                            calls,
                        }),
                    ),
                    Err(piece) => self.approval_piece(id, piece),
                }
            }
            "tool_return_message" => {
                let outputs = message.take_returns();
                self.emit_all(
                    out,
                    outputs
                        .into_iter()
                        .map(|(call, status, output)| TurnEventKind::ToolOutput {
                            call,
                            status,
                            output,
                            is_final: true,
                        }),
                );
            }
            "summary_message" => {
                let text = message.summary.take().unwrap_or_default();
                self.emit(
                    out,
                    TurnEventKind::Notice {
                        message_type: message_type.to_owned(),
                        text,
                    },
                );
            }
            _ => {
                let (text, _) = content_text(&message.content);
                self.emit(out, system_alert(message_type, text));
            }
        }
    }

    fn tool_call_piece(&mut self, piece: WireToolCall, out: &mut Decoded) {
        let mut calls = match self.pending.take() {
            Some(Pending::Calls(calls)) => calls,
            _ => Vec::new(),
        };
        append_piece(&mut calls, piece);
        // A call is complete at its closing brace; waiting for the message behind it would mean waiting for the
        // tool to return.
        let complete: Vec<_> = calls
            .iter_mut()
            .filter(|call| call.is_complete() && !call.is_emitted && call.id.is_some())
            .map(|call| {
                call.is_emitted = true;
                call.call()
            })
            .collect();
        let all_emitted = calls.iter().all(|call| call.is_emitted);
        self.pending = Some(Pending::Calls(calls));
        for (index, call) in complete.iter().enumerate() {
            // Joining again must not tear a call apart whose pieces are still coming.
            let resume = (all_emitted && index + 1 == complete.len())
                .then(|| self.token())
                .flatten();
            out.push(Ok(TurnEvent {
                run: self.run.clone(),
                resume,
                kind: TurnEventKind::ToolCall(call.clone()),
            }));
        }
    }

    fn approval_piece(&mut self, id: String, piece: WireToolCall) {
        let mut calls = match self.pending.take() {
            Some(Pending::Approval { calls, .. }) => calls,
            _ => Vec::new(),
        };
        append_piece(&mut calls, piece);
        self.pending = Some(Pending::Approval { id, calls });
    }

    /// Whether a message continues what is being put together.
    fn belongs_to_pending(&self, message_type: &str, value: &Value) -> bool {
        let is_piece = value.get("tool_calls").is_some_and(Value::is_object);
        match (&self.pending, message_type) {
            (Some(Pending::Calls(_)), "tool_call_message") => is_piece,
            (Some(Pending::Approval { id, .. }), "approval_request_message") => {
                is_piece && value.get("id").and_then(Value::as_str) == Some(id)
            }
            _ => false,
        }
    }

    /// Emits what was put together, whole or not.
    fn flush(&mut self, out: &mut Decoded) {
        match self.pending.take() {
            Some(Pending::Calls(calls)) => {
                let rest: Vec<_> = calls
                    .iter()
                    .filter(|call| !call.is_emitted)
                    .map(|call| TurnEventKind::ToolCall(call.call()))
                    .collect();
                self.emit_all(out, rest.into_iter());
            }
            Some(Pending::Approval { id, calls }) => {
                let calls = calls.iter().map(PartialCall::call).collect();
                self.emit(
                    out,
                    TurnEventKind::ApprovalRequested(ApprovalRequest {
                        id: ApprovalId::new(id),
                        calls,
                    }),
                );
            }
            None => {}
        }
    }

    /// Only the last event of a message knows where the next one starts.
    fn emit_all(&mut self, out: &mut Decoded, kinds: impl ExactSizeIterator<Item = TurnEventKind>) {
        let count = kinds.len();
        for (index, kind) in kinds.enumerate() {
            let resume = (index + 1 == count).then(|| self.token()).flatten();
            out.push(Ok(TurnEvent {
                run: self.run.clone(),
                resume,
                kind,
            }));
        }
    }

    fn emit(&mut self, out: &mut Decoded, kind: TurnEventKind) {
        self.emit_all(out, std::iter::once(kind));
    }

    /// Where to join again behind the message being decoded. Nowhere while something is being put together: its
    /// beginning would be lost.
    fn token(&self) -> Option<ResumeToken> {
        let torn = match &self.pending {
            Some(Pending::Calls(calls)) => calls.iter().any(|call| !call.is_emitted),
            Some(Pending::Approval { .. }) => true,
            None => false,
        };
        if torn {
            return None;
        }
        Some(
            Position {
                run: self.run.clone()?,
                sequence: self.sequence?,
            }
            .token(),
        )
    }
}

/// The thought and the answer of one step share their `id` and differ in `otid`.
fn item(message: &WireMessage) -> ItemId {
    ItemId::new(
        message
            .otid
            .as_deref()
            .or(message.id.as_deref())
            .unwrap_or_default(),
    )
}

/// What the server says to the agent on its own comes as a user's message of JSON with a `type`.
fn system_alert(message_type: &str, text: String) -> TurnEventKind {
    if let Ok(Value::Object(alert)) = serde_json::from_str::<Value>(&text)
        && let (Some(kind), Some(message)) = (
            alert.get("type").and_then(Value::as_str),
            alert.get("message").and_then(Value::as_str),
        )
    {
        return TurnEventKind::Notice {
            message_type: kind.to_owned(),
            text: message.to_owned(),
        };
    }
    TurnEventKind::Notice {
        message_type: message_type.to_owned(),
        text,
    }
}

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    step_count: Option<u64>,
}

impl From<WireUsage> for Usage {
    fn from(wire: WireUsage) -> Self {
        Self {
            prompt_tokens: wire.prompt_tokens.unwrap_or_default(),
            completion_tokens: wire.completion_tokens.unwrap_or_default(),
            total_tokens: wire.total_tokens.unwrap_or_default(),
            steps: wire.step_count.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;
