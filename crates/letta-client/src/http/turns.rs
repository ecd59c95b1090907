//! Turns: send, decide, join again, cancel.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use futures_util::{Stream, StreamExt, stream};
use reqwest::{Method, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::{
    call::{Call, Repeat},
    failure, runs,
    sse::{SseDecoder, SseEvent},
    transport::{Transport, content_type},
    turn::{Position, TurnDecoder},
};
use crate::{
    Conflict, LettaError, LettaErrorKind, Result,
    types::{
        approval::ApprovalDecision,
        conversation::ConversationRef,
        id::RunId,
        run::CancelOutcome,
        turn::{
            ContentPart, Disposition, ResumeToken, TurnEvent, TurnEventKind, TurnInput, TurnOptions,
            TurnStream,
        },
    },
};

/// How long a stream that was joined again may stay without events before the run is asked whether any can come.
const FIRST_LOOK: Duration = Duration::from_secs(3);

pub(super) async fn send(
    transport: &Transport,
    to: &ConversationRef,
    input: &TurnInput,
    options: &TurnOptions,
) -> Result<TurnStream> {
    let says_something = input.content.iter().any(|part| match part {
        ContentPart::Text(text) => !text.is_empty(),
        ContentPart::Image { .. } => true,
    });
    if !says_something {
        // The server would say so only inside the stream, after the turn began.
        return Err(LettaError::new(
            LettaErrorKind::InvalidRequest,
            "could not send a message: it has no content",
        ));
    }
    let mut message = Map::new();
    message.insert("role".to_owned(), "user".into());
    message.insert("content".to_owned(), content(&input.content));
    message.insert("otid".to_owned(), input.otid.as_str().into());
    if let Some(name) = &input.name {
        message.insert("name".to_owned(), name.clone().into());
    }
    start(transport, "send a message", to, message.into(), options).await
}

/// A lone text is sent as such; the server does not store it as a list of parts then.
fn content(parts: &[ContentPart]) -> Value {
    if let [ContentPart::Text(text)] = parts {
        return text.clone().into();
    }
    parts
        .iter()
        .filter(|part| !matches!(part, ContentPart::Text(text) if text.is_empty()))
        .map(|part| match part {
            ContentPart::Text(text) => json!({"type": "text", "text": text}),
            ContentPart::Image { media_type, data } => json!({
                "type": "image",
                "source": {"type": "base64", "media_type": media_type, "data": BASE64.encode(data)},
            }),
        })
        .collect()
}

pub(super) async fn decide(
    transport: &Transport,
    to: &ConversationRef,
    decisions: &[ApprovalDecision],
    options: &TurnOptions,
) -> Result<TurnStream> {
    if decisions.is_empty() {
        return Err(LettaError::new(
            LettaErrorKind::InvalidRequest,
            "could not decide on a tool call: there is no decision",
        ));
    }
    let approvals: Vec<_> = decisions
        .iter()
        .map(|decision| {
            json!({
                "type": "approval",
                "tool_call_id": decision.call,
                "approve": decision.approve,
                "reason": decision.reason,
            })
        })
        .collect();
    // Not the older form with `approval_request_id`: with it a denial leaves the call pending.
    let message = json!({"type": "approval", "approvals": approvals});
    start(transport, "decide on a tool call", to, message, options).await
}

async fn start(
    transport: &Transport,
    action: &'static str,
    to: &ConversationRef,
    message: Value,
    options: &TurnOptions,
) -> Result<TurnStream> {
    let mut body = json!({
        "messages": [message],
        "streaming": true,
        "stream_tokens": options.tokens,
        "include_pings": true,
    });
    if let Some(steps) = options.max_steps {
        body["max_steps"] = steps.into();
    }
    let path = match &to.conversation {
        Some(conversation) => ["conversations", conversation.as_str(), "messages"],
        None => ["agents", to.agent.as_str(), "messages"],
    };
    let mut call = Call::new(action, Method::POST, path, Repeat::OnlyIfUnsent).body(body);
    if options.resumable && !transport.lacks_background() {
        let foreground = call.body.clone();
        if let Some(body) = &mut call.body {
            body["background"] = true.into();
        }
        match transport.open(&call).await {
            Ok(response) => return stream_of(transport, &call, response).await,
            // Without Redis a server can not keep events. It says so before it begins.
            Err(error)
                if error.kind() == &LettaErrorKind::Unsupported && failure::needs_redis(error.message()) =>
            {
                transport.note_no_background();
                tracing::debug!("this Letta server has no Redis: turns can not be joined again");
                call.body = foreground;
            }
            Err(error) => return Err(error),
        }
    }
    let response = transport.open(&call).await?;
    stream_of(transport, &call, response).await
}

/// The turn in an answer: a stream of events, or (from a server that does not stream) all of it at once.
async fn stream_of(transport: &Transport, call: &Call<'_>, response: Response) -> Result<TurnStream> {
    let content_type = content_type(&response);
    if content_type.starts_with("text/event-stream") {
        let events = Events::new(response, TurnDecoder::new(), transport.limits().event_bytes);
        return Ok(TurnStream::new(Disposition::Started, events.into_stream()));
    }
    if !content_type.contains("json") {
        return Err(failure::not_a_stream(call, &content_type));
    }
    let answer: Value = transport.read_json(call, response).await?;
    let mut decoder = TurnDecoder::new();
    let mut events = Vec::new();
    let messages = answer.get("messages").and_then(Value::as_array);
    let rest = [answer.get("stop_reason"), answer.get("usage")];
    for message in messages.into_iter().flatten().chain(rest.into_iter().flatten()) {
        events.extend(decoder.push(&SseEvent {
            name: None,
            data: message.to_string(),
        }));
    }
    events.extend(decoder.end());
    Ok(TurnStream::new(Disposition::Started, stream::iter(events)))
}

pub(super) async fn resume(transport: &Transport, token: &ResumeToken) -> Result<TurnStream> {
    let Some(position) = Position::parse(token) else {
        return Err(LettaError::new(
            LettaErrorKind::InvalidRequest,
            "could not join a turn again: the token is not one of this client's",
        ));
    };
    let call = Call::new(
        "join a turn again",
        Method::POST,
        ["runs", position.run.as_str(), "stream"],
        Repeat::Safe,
    )
    .body(json!({"starting_after": position.sequence, "include_pings": true}));
    let response = match transport.open(&call).await {
        Ok(response) => response,
        // The run was made without keeping its events.
        Err(error)
            if error.kind() == &LettaErrorKind::InvalidRequest
                && error.message().contains("not created in background mode") =>
        {
            return Err(nothing_kept(&position.run));
        }
        Err(error) => return Err(error.with_may_have_applied(false)),
    };
    let content_type = content_type(&response);
    if !content_type.starts_with("text/event-stream") {
        return Err(failure::not_a_stream(&call, &content_type).with_may_have_applied(false));
    }
    let limits = transport.limits();
    let mut events = Events::new(response, TurnDecoder::joined(&position), limits.event_bytes);
    // For a run whose events are gone the server waits for ever, with nothing but pings. So: what comes at once is
    // passed on; of silence the run tells whether anything can still come.
    let looked = match timeout(FIRST_LOOK.min(limits.first_event), events.fill()).await {
        Ok(()) => events.has_more_than_pings(),
        Err(_) => false,
    };
    if !looked {
        let run = runs::get(transport, &position.run).await?;
        if !run.status.is_active() {
            // It may have ended in this very moment.
            let last_chance = timeout(FIRST_LOOK.min(limits.first_event), events.fill_past_pings()).await;
            if last_chance.is_err() {
                return Err(nothing_kept(&position.run));
            }
        }
    }
    events.first_event_within(limits.first_event);
    Ok(TurnStream::new(Disposition::Started, events.into_stream()))
}

fn nothing_kept(run: &RunId) -> LettaError {
    LettaError::new(
        LettaErrorKind::NotFound,
        format!("could not join a turn again: the server kept no events of {run}"),
    )
}

pub(super) async fn cancel(
    transport: &Transport,
    at: &ConversationRef,
    run: Option<&RunId>,
) -> Result<CancelOutcome> {
    let runs = match (&at.conversation, run) {
        (_, Some(run)) => cancel_runs(transport, at, &[run]).await?,
        (Some(conversation), None) => {
            let call = cancellation(["conversations", conversation.as_str(), "cancel"]);
            cancelled(transport, &call).await?
        }
        (None, None) => {
            // Without a run the server cancels the agent's latest one. A message that was refused while a tool call
            // waits for approval is a later run than the one that waits, so that one has to be named.
            let call = Call::get("cancel a turn", ["agents", at.agent.as_str()])
                .query("include", "agent.pending_approval");
            let waiting = transport.json::<WireWaiting>(&call).await?.pending_approval;
            let mut runs = cancel_runs(transport, at, &[]).await?;
            if let Some(run) = waiting.and_then(|approval| approval.run_id)
                && !runs.contains(&run)
            {
                runs.extend(cancel_runs(transport, at, &[&run]).await?);
            }
            runs
        }
    };
    Ok(if runs.is_empty() {
        CancelOutcome::NothingRunning
    } else {
        CancelOutcome::Cancelled(runs)
    })
}

#[derive(Deserialize)]
struct WireWaiting {
    pending_approval: Option<WireWaitingRun>,
}

#[derive(Deserialize)]
struct WireWaitingRun {
    run_id: Option<RunId>,
}

fn cancellation<'a>(path: impl Into<Vec<&'a str>>) -> Call<'a> {
    Call::new("cancel a turn", Method::POST, path, Repeat::Safe)
}

async fn cancel_runs(transport: &Transport, at: &ConversationRef, runs: &[&RunId]) -> Result<Vec<RunId>> {
    let body = if runs.is_empty() {
        json!({})
    } else {
        json!({"run_ids": runs})
    };
    let call = cancellation(["agents", at.agent.as_str(), "messages", "cancel"]).body(body);
    cancelled(transport, &call).await
}

async fn cancelled(transport: &Transport, call: &Call<'_>) -> Result<Vec<RunId>> {
    match transport.json::<BTreeMap<RunId, Value>>(call).await {
        Ok(runs) => Ok(runs
            .into_iter()
            .filter(|(_, outcome)| outcome.as_str() == Some("cancelled"))
            .map(|(run, _)| run)
            .collect()),
        Err(error) if error.kind() == &LettaErrorKind::Conflict(Conflict::NothingToCancel) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// A response on its way to be events.
struct Events {
    response: Option<Response>,
    sse: SseDecoder,
    turn: TurnDecoder,
    ready: VecDeque<Result<TurnEvent>>,
    /// Limit for the first event, while none has come.
    first_event: Option<Duration>,
}

impl Events {
    fn new(response: Response, turn: TurnDecoder, event_bytes: usize) -> Self {
        Self {
            response: Some(response),
            sse: SseDecoder::new(event_bytes),
            turn,
            ready: VecDeque::new(),
            first_event: None,
        }
    }

    fn first_event_within(&mut self, limit: Duration) {
        self.first_event = Some(limit);
    }

    /// Reads until there is at least one more event, or the end.
    async fn fill(&mut self) {
        let before = self.ready.len();
        while self.ready.len() == before {
            let Some(response) = &mut self.response else {
                return;
            };
            let chunk = response.chunk().await;
            self.take(chunk);
        }
    }

    async fn fill_past_pings(&mut self) {
        while self.response.is_some() && !self.has_more_than_pings() {
            self.fill().await;
        }
    }

    fn has_more_than_pings(&self) -> bool {
        self.response.is_none()
            || self.ready.iter().any(|event| {
                !matches!(
                    event,
                    Ok(TurnEvent {
                        kind: TurnEventKind::Alive,
                        ..
                    })
                )
            })
    }

    fn take(&mut self, chunk: reqwest::Result<Option<bytes::Bytes>>) {
        match chunk {
            Ok(Some(bytes)) => {
                let mut events = Vec::new();
                let outcome = self.sse.push(&bytes, &mut events);
                for event in &events {
                    self.ready.extend(self.turn.push(event));
                }
                if outcome.is_err() && !self.turn.is_ended() {
                    self.ready.push_back(Err(LettaError::new(
                        LettaErrorKind::TooLarge,
                        "an event of the turn is longer than this client accepts",
                    )
                    .with_may_have_applied(true)));
                }
                if outcome.is_err() || self.turn.is_ended() {
                    self.response = None;
                }
            }
            Ok(None) => {
                self.ready.extend(self.turn.end());
                self.response = None;
            }
            // The server said how the turn ended; that the connection was not closed properly changes nothing.
            Err(_) if self.turn.knows_the_end() => {
                self.ready.extend(self.turn.end());
                self.response = None;
            }
            Err(error) => {
                self.ready.push_back(Err(LettaError::new(
                    LettaErrorKind::Interrupted,
                    "the connection broke in the middle of a turn",
                )
                .with_may_have_applied(true)
                .with_source(error.without_url())));
                self.response = None;
            }
        }
    }

    async fn next(&mut self) -> Option<Result<TurnEvent>> {
        if self.ready.is_empty() {
            match self.first_event.take() {
                None => self.fill().await,
                Some(limit) => {
                    if timeout(limit, self.fill()).await.is_err() {
                        self.response = None;
                        return Some(Err(LettaError::new(
                            LettaErrorKind::Timeout,
                            format!("a turn that was joined again stayed silent for {limit:?}"),
                        )
                        .with_may_have_applied(true)));
                    }
                }
            }
        }
        self.first_event = None;
        self.ready.pop_front()
    }

    fn into_stream(self) -> impl Stream<Item = Result<TurnEvent>> + Send + 'static {
        stream::unfold(self, |mut events| async move {
            events.next().await.map(|event| (event, events))
        })
        .fuse()
    }
}
