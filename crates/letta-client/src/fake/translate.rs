//! From the server's events to those of the trait, as a client reads them.

use std::collections::VecDeque;

use futures_util::{Stream, stream};
use serde_json::Value;

use super::{
    event::{Event, StreamError, StreamEvent},
    message::{CallDelta, Part, PartContent},
    model::flatten,
    stream::Reader,
};
use crate::{
    ApprovalId, ApprovalRequest, Disposition, ItemId, LettaError, LettaErrorKind, ProviderFailure,
    ResumeToken, RunId, StopReason, ToolCall, ToolCallId, TurnError, TurnErrorKind, TurnEvent, TurnEventKind,
    TurnStream, Usage,
};

/// Reads the events of one run in order and says what they mean.
#[derive(Debug, Default)]
struct Translator {
    started: bool,
    /// A call whose pieces are not all there yet, the message it belongs to, and whether it will wait for approval.
    call: Option<(ToolCall, String, bool)>,
    stop: Option<StopReason>,
    error: Option<TurnError>,
    ended: bool,
}

impl Translator {
    fn read(&mut self, event: &Event) -> Vec<TurnEventKind> {
        let mut kinds = Vec::new();
        let continues = |call: &(ToolCall, String, bool)| match event {
            Event::Part(Part {
                content: PartContent::CallDelta(delta),
                ..
            }) => delta.call == call.0.id,
            Event::Ping { .. } => true,
            _ => false,
        };
        if self.call.as_ref().is_some_and(|call| !continues(call)) {
            kinds.extend(self.call.take().map(whole_call));
        }
        match event {
            Event::Ping { .. } if self.started => kinds.push(TurnEventKind::Alive),
            Event::Ping { .. } => {
                self.started = true;
                kinds.push(TurnEventKind::Started);
            }
            Event::Part(part) => self.read_part(part, &mut kinds),
            Event::Stop(reason) => self.stop = Some(reason.clone()),
            Event::Usage(totals) => kinds.push(TurnEventKind::Usage(Usage {
                prompt_tokens: totals.prompt,
                completion_tokens: totals.completion,
                total_tokens: totals.prompt + totals.completion,
                steps: totals.steps,
            })),
            Event::Error(error) => self.error = Some(turn_error(error)),
            Event::Done => kinds.extend(self.end()),
        }
        kinds
    }

    fn read_part(&mut self, part: &Part, kinds: &mut Vec<TurnEventKind>) {
        let item = || ItemId::new(part.otid.clone().unwrap_or_else(|| part.id.clone()));
        match &part.content {
            PartContent::Assistant(text) => kinds.push(TurnEventKind::Text {
                item: item(),
                append: text.clone(),
            }),
            PartContent::Reasoning(text) => kinds.push(TurnEventKind::Reasoning {
                item: item(),
                append: text.clone(),
            }),
            PartContent::ToolCalls(calls) => kinds.extend(calls.iter().cloned().map(TurnEventKind::ToolCall)),
            PartContent::ApprovalRequest(calls) => kinds.push(approval(&part.id, calls.clone())),
            PartContent::CallDelta(delta) => self.read_delta(&part.id, delta, kinds),
            PartContent::ToolReturn(answer) => kinds.push(TurnEventKind::ToolOutput {
                call: answer.call.clone(),
                status: answer.status,
                output: answer.output.clone(),
                is_final: true,
            }),
            PartContent::User(content) => kinds.push(alert(part, flatten(content).0)),
            PartContent::System(text) => kinds.push(notice(part, text.clone())),
            PartContent::Summary(summary) => kinds.push(notice(part, summary.text.clone())),
            PartContent::CompactionStarted { .. } => kinds.push(notice(part, "compaction".to_owned())),
            PartContent::ApprovalResponse(_) => kinds.push(notice(part, String::new())),
        }
    }

    fn read_delta(&mut self, message: &str, delta: &CallDelta, kinds: &mut Vec<TurnEventKind>) {
        let (call, _, _) = self.call.get_or_insert_with(|| {
            let call = ToolCall {
                id: ToolCallId::new(delta.call.as_str()),
                name: String::new(),
                arguments: String::new(),
            };
            (call, message.to_owned(), delta.asks)
        });
        call.name.push_str(delta.name.as_deref().unwrap_or_default());
        call.arguments
            .push_str(delta.arguments.as_deref().unwrap_or_default());
        // A call is told when it is complete; waiting for what follows would mean waiting for the tool.
        if delta.last {
            kinds.extend(self.call.take().map(whole_call));
        }
    }

    /// The last event, once the server said that, and why, the turn is over.
    fn end(&mut self) -> Option<TurnEventKind> {
        if self.ended || (self.stop.is_none() && self.error.is_none()) {
            return None;
        }
        self.ended = true;
        Some(TurnEventKind::Ended {
            reason: self.stop.clone().unwrap_or(StopReason::Error),
            error: self.error.take(),
        })
    }
}

fn whole_call((call, message, asks): (ToolCall, String, bool)) -> TurnEventKind {
    if asks {
        approval(&message, vec![call])
    } else {
        TurnEventKind::ToolCall(call)
    }
}

fn approval(message: &str, calls: Vec<ToolCall>) -> TurnEventKind {
    TurnEventKind::ApprovalRequested(ApprovalRequest {
        id: ApprovalId::new(message),
        calls,
    })
}

fn notice(part: &Part, text: String) -> TurnEventKind {
    TurnEventKind::Notice {
        message_type: part.content.message_type().to_owned(),
        text,
    }
}

/// What the server says to the agent on its own comes as a user's message of JSON with a `type`.
fn alert(part: &Part, text: String) -> TurnEventKind {
    let json: Option<Value> = serde_json::from_str(&text).ok();
    let field = |name: &str| Some(json.as_ref()?.get(name)?.as_str()?.to_owned());
    match (field("type"), field("message")) {
        (Some(message_type), Some(text)) => TurnEventKind::Notice { message_type, text },
        _ => notice(part, text),
    }
}

fn turn_error(error: &StreamError) -> TurnError {
    let says = |text: &str| error.message.contains(text) || error.detail.contains(text);
    let provider = match error.error_type {
        _ if says("CONTEXT_WINDOW_EXCEEDED") || error.error_type.contains("context_window") => {
            Some(ProviderFailure::ContextWindowExceeded)
        }
        "llm_authentication" => Some(ProviderFailure::Authentication),
        "llm_rate_limit" => Some(ProviderFailure::RateLimit),
        // Some failures have no type of their own inside a stream, only the name of their class in the sentence.
        other if other.starts_with("llm_") => Some(
            [
                ("PAYMENT_REQUIRED:", ProviderFailure::InsufficientCredits),
                ("INVALID_ARGUMENT:", ProviderFailure::BadRequest),
            ]
            .into_iter()
            .find_map(|(class, failure)| says(class).then_some(failure))
            .unwrap_or(ProviderFailure::Other),
        ),
        _ => None,
    };
    let kind = match provider {
        Some(failure) => TurnErrorKind::Provider(failure),
        None if says("Invalid tool call IDs")
            || says("Cannot process approval response")
            || says("Message content is empty or invalid") =>
        {
            TurnErrorKind::InvalidRequest
        }
        None if says("waiting for approval") => TurnErrorKind::PendingApproval,
        None => TurnErrorKind::Internal,
    };
    TurnError {
        kind,
        message: error.message.clone(),
        detail: (error.detail != error.message).then(|| error.detail.clone()),
    }
}

/// Where a reader is: the run, and how many of the trait's events came before.
fn token(run: &RunId, events: u64) -> ResumeToken {
    ResumeToken::new(format!("{run}/{events}"))
}

/// The run and the number in a token, if it is one of the fake's.
pub(super) fn read_token(token: &ResumeToken) -> Option<(RunId, u64)> {
    let (run, events) = token.as_str().rsplit_once('/')?;
    let events = events.parse().ok()?;
    (!run.is_empty()).then(|| (RunId::new(run), events))
}

/// The events of a turn as the trait has them.
struct Telling {
    reader: Reader,
    translator: Translator,
    run: RunId,
    background: bool,
    /// Events said so far, those skipped included.
    told: u64,
    skip: u64,
    ready: VecDeque<TurnEvent>,
    break_after: Option<usize>,
    over: bool,
}

/// Reads a run from its beginning and leaves out the first `skip` events of the trait.
pub(super) fn turn_stream(
    reader: Reader,
    background: bool,
    skip: u64,
    break_after: Option<usize>,
) -> TurnStream {
    let telling = Telling {
        translator: Translator::default(),
        run: reader.run.clone(),
        reader,
        background,
        told: 0,
        skip,
        ready: VecDeque::new(),
        break_after,
        over: false,
    };
    // Like HTTP: the server answers an input that it knows with the events of the first one, and does not say so.
    TurnStream::new(Disposition::Started, telling.events())
}

impl Telling {
    fn events(self) -> impl Stream<Item = Result<TurnEvent, LettaError>> + Send + 'static {
        stream::unfold(self, |mut telling| async move {
            let item = telling.next().await?;
            Some((item, telling))
        })
    }

    async fn next(&mut self) -> Option<Result<TurnEvent, LettaError>> {
        if self.over {
            return None;
        }
        if self.break_after == Some(0) {
            return Some(Err(self.interrupted()));
        }
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.break_after = self.break_after.map(|left| left - 1);
                self.over = matches!(event.kind, TurnEventKind::Ended { .. });
                return Some(Ok(event));
            }
            match self.reader.next().await {
                Some(Ok(event)) => self.tell(&event),
                Some(Err(refusal)) => {
                    self.over = true;
                    return Some(Err(refusal.to_error()));
                }
                // Some streams end without the word for it.
                None => match self.translator.end() {
                    Some(kind) => self.push(kind, false),
                    None => return Some(Err(self.interrupted())),
                },
            }
        }
    }

    fn tell(&mut self, event: &StreamEvent) {
        if self.reader.is_keep_alive(event) {
            let alive = self.event(TurnEventKind::Alive);
            self.ready.push_back(alive);
            return;
        }
        // The end of a stream carries no numbers: there is nothing to join again behind it.
        let numbered = matches!(event.event, Event::Ping { .. } | Event::Part(_));
        for kind in self.translator.read(&event.event) {
            self.push(kind, numbered);
        }
    }

    fn push(&mut self, kind: TurnEventKind, numbered: bool) {
        self.told += 1;
        if self.told > self.skip {
            let mut event = self.event(kind);
            event.resume = event.resume.filter(|_| numbered);
            self.ready.push_back(event);
        }
    }

    fn event(&self, kind: TurnEventKind) -> TurnEvent {
        TurnEvent {
            run: Some(self.run.clone()),
            resume: self
                .background
                .then(|| token(&self.run, self.told.max(self.skip))),
            kind,
        }
    }

    fn interrupted(&mut self) -> LettaError {
        self.over = true;
        LettaError::new(
            LettaErrorKind::Interrupted,
            "the connection broke before the turn was over",
        )
        .with_may_have_applied(true)
    }
}
