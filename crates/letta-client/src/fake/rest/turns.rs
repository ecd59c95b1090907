//! Turns and runs.

use futures_util::{StreamExt, stream::BoxStream};
use serde_json::{Map, Value, json};

use super::{Answer, Rest, agents::parts_json};
use crate::{
    AgentId, ConversationId, LettaErrorKind, RunId,
    fake::{
        Refusal,
        cancel::CancelledRun,
        event::StreamEvent,
        history,
        model::flatten,
        request::{Target, TurnRequest},
        runs::{RunRecord, needs_redis},
        stream::Reader,
    },
};

/// The events of a turn as they happen. An error means that the connection is to be cut.
pub type EventStream = BoxStream<'static, Result<StreamEvent, Refusal>>;

/// The answer to a request to send something.
pub enum Sent {
    /// All at once.
    Json(Value),
    /// As server-sent events, see [`StreamEvent::sse`].
    Events(EventStream),
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json(json) => f.debug_tuple("Json").field(json).finish(),
            Self::Events(_) => f.debug_tuple("Events").finish_non_exhaustive(),
        }
    }
}

impl Rest {
    /// `POST /v1/agents/{id}/messages` and `POST /v1/conversations/{id}/messages`, and the same with
    /// `messages/stream`. Read the body with [`TurnRequest::from_body`].
    ///
    /// # Errors
    /// 404 for the agent or conversation, 409 when it is busy or waits for approval, 422 without messages, 503 for
    /// events that cannot be kept; what the model's provider refuses, when nothing is streamed.
    pub async fn send(&self, target: &Target, request: TurnRequest) -> Result<Sent, Refusal> {
        let method = if request.decisions.is_some() {
            "decide"
        } else {
            "send"
        };
        let agent = self.agent_at(target);
        let passage = self
            .letta
            .enter(method, agent.as_ref(), told(target, &request))
            .await?;
        let break_after = passage.break_stream_after;
        if request.streaming {
            let reader = passage.answer(self.letta.begin(target, request))?;
            return Ok(Sent::Events(reader.events(break_after).boxed()));
        }
        let answer = self.letta.complete(target, request).await;
        passage.answer(answer).map(Sent::Json)
    }

    /// `POST /v1/agents/{id}/messages/async`: the run.
    ///
    /// # Errors
    /// 404, 422.
    pub async fn send_async(&self, agent: &AgentId, mut request: TurnRequest) -> Answer {
        let target = Target::Agent(agent.clone());
        request.streaming = false;
        let passage = self
            .letta
            .enter("send", Some(agent), told(&target, &request))
            .await?;
        let begun = self.letta.begin_async(&target, request);
        passage.answer(begun)
    }

    /// `POST /v1/agents/{id}/messages/cancel`: what became of each run.
    ///
    /// # Errors
    /// 409 when nothing runs, 422.
    pub async fn cancel_agent(&self, agent: &AgentId, runs: &[RunId]) -> Answer {
        let passage = self
            .letta
            .enter("cancel", Some(agent), json!({ "runs": runs }))
            .await?;
        let cancelled = self.letta.state().cancel_agent(agent, runs);
        passage.answer(cancelled.map(cancelled_json))
    }

    /// `POST /v1/conversations/{id}/cancel`.
    ///
    /// # Errors
    /// 404, 409 when nothing runs, 422.
    pub async fn cancel_conversation(&self, id: &ConversationId) -> Answer {
        let agent = self.agent_of(id);
        let passage = self
            .letta
            .enter("cancel", agent.as_ref(), json!({ "conversation": id }))
            .await?;
        let cancelled = self.letta.state().cancel_conversation(id);
        passage.answer(cancelled.map(cancelled_json))
    }

    /// `GET /v1/runs/{id}`.
    ///
    /// # Errors
    /// 404, or 400 for an id that is none.
    pub async fn get_run(&self, id: &RunId) -> Answer {
        let passage = self.letta.enter("get_run", None, json!({ "run": id })).await?;
        let found = self.letta.state().run(id).map(RunRecord::json);
        passage.answer(found)
    }

    /// `GET /v1/runs/` and `GET /v1/runs/active`: an array, newest first.
    ///
    /// # Errors
    /// Planned faults.
    pub async fn list_runs(
        &self,
        agent: Option<&AgentId>,
        active_only: bool,
        limit: Option<usize>,
    ) -> Answer {
        let arguments = json!({ "active_only": active_only, "limit": limit });
        let passage = self.letta.enter("list_runs", agent, arguments).await?;
        let listed = {
            let state = self.letta.state();
            let runs = state.list_runs(agent, active_only, limit.unwrap_or(100));
            runs.into_iter().map(RunRecord::json).collect::<Value>()
        };
        passage.answer(Ok(listed))
    }

    /// `GET /v1/runs/{id}/messages`: an array, oldest first.
    ///
    /// # Errors
    /// 404, 400.
    pub async fn list_run_messages(&self, id: &RunId) -> Answer {
        let passage = self
            .letta
            .enter("list_run_messages", None, json!({ "run": id }))
            .await?;
        let listed = {
            let state = self.letta.state();
            state.run(id).map(|_| {
                let of_run: Vec<_> = state
                    .messages
                    .iter()
                    .filter(|message| message.run.as_ref() == Some(id))
                    .collect();
                parts_json(history::parts(&of_run))
            })
        };
        passage.answer(listed)
    }

    /// `GET /v1/runs/{id}/usage`.
    ///
    /// # Errors
    /// 404, 400.
    pub async fn get_run_usage(&self, id: &RunId) -> Answer {
        let passage = self
            .letta
            .enter("get_run_usage", None, json!({ "run": id }))
            .await?;
        let found = self.letta.state().run(id).map(|run| {
            json!({
                "completion_tokens": run.totals.completion,
                "prompt_tokens": run.totals.prompt,
                "total_tokens": run.totals.prompt + run.totals.completion,
                "prompt_tokens_details": null,
                "completion_tokens_details": null,
            })
        });
        passage.answer(found)
    }

    /// `POST /v1/runs/{id}/stream`: the events behind `starting_after`.
    ///
    /// # Errors
    /// 404, 400 for a run whose events were not kept, 410 when they are too old, 503 without Redis.
    pub async fn stream_run(&self, id: &RunId, body: &Value) -> Result<EventStream, Refusal> {
        let after = body.get("starting_after").and_then(Value::as_u64).unwrap_or(0);
        let pings = body.get("include_pings").and_then(Value::as_bool).unwrap_or(true);
        let passage = self
            .letta
            .enter("resume", None, json!({ "run": id, "after": after }))
            .await?;
        let break_after = passage.break_stream_after;
        let reader = passage.answer(self.letta.rejoin(id, after, pings))?;
        Ok(reader.events(break_after).boxed())
    }

    /// `POST /v1/conversations/{id}/stream`: joins a run again that is named by `run_id` or `otid`, or the one that
    /// is active. `None` for the conversation is the default one of the `agent_id` in the body.
    ///
    /// # Errors
    /// 404 for a run or an otid nobody knows, 400 when nothing runs, 503 without Redis.
    pub async fn stream_conversation(
        &self,
        conversation: Option<&ConversationId>,
        body: &Value,
    ) -> Result<EventStream, Refusal> {
        let arguments = json!({ "conversation": conversation, "body": body });
        let passage = self.letta.enter("resume", None, arguments).await?;
        let break_after = passage.break_stream_after;
        let reader = passage.answer(self.find_stream(conversation, body))?;
        Ok(reader.events(break_after).boxed())
    }

    fn find_stream(&self, conversation: Option<&ConversationId>, body: &Value) -> Result<Reader, Refusal> {
        let field = |name: &str| body.get(name).and_then(Value::as_str);
        let invalid = |text: &str| {
            Refusal::detail(
                400,
                LettaErrorKind::InvalidRequest,
                format!("INVALID_ARGUMENT: {text}"),
            )
        };
        let after = body.get("starting_after").and_then(Value::as_u64).unwrap_or(0);
        let pings = body.get("include_pings").and_then(Value::as_bool).unwrap_or(true);
        let run = {
            let state = self.letta.state();
            if !state.config.redis {
                return Err(needs_redis());
            }
            if let Some(run) = field("run_id") {
                state.run(&RunId::new(run))?.id.clone()
            } else if let Some(otid) = field("otid") {
                let unknown = || {
                    Refusal::detail(
                        404,
                        LettaErrorKind::NotFound,
                        format!("No run found for otid={otid}. The run may have expired or never existed."),
                    )
                };
                state.runs_by_otid.get(otid).cloned().ok_or_else(unknown)?
            } else {
                let agent = field("agent_id").map(AgentId::from);
                let active = state
                    .list_runs(None, true, usize::MAX)
                    .into_iter()
                    .find(|run| match conversation {
                        Some(id) => run.conversation.as_ref() == Some(id),
                        None => Some(&run.agent) == agent.as_ref(),
                    })
                    .ok_or_else(|| invalid("No active runs found for this conversation."))?;
                if !active.background {
                    return Err(invalid(
                        "Run was not created in background mode, so it cannot be retrieved.",
                    ));
                }
                active.id.clone()
            }
        };
        Ok(Reader::new(self.letta.clone(), run, after, pings).joined())
    }

    fn agent_at(&self, target: &Target) -> Option<AgentId> {
        match target {
            Target::Agent(agent) | Target::LockedAgent(agent) => Some(agent.clone()),
            Target::Conversation(id) => self.agent_of(id),
        }
    }
}

/// What the journal tells of a request.
fn told(target: &Target, request: &TurnRequest) -> Value {
    let conversation = match target {
        Target::Conversation(id) => Some(id),
        Target::Agent(_) | Target::LockedAgent(_) => None,
    };
    let text: Vec<String> = request
        .messages
        .iter()
        .map(|message| flatten(&message.content).0)
        .collect();
    json!({
        "conversation": conversation,
        "otid": request.otids().next(),
        "text": text.join("\n"),
        "streaming": request.streaming,
        "tokens": request.tokens,
        "resumable": request.background,
    })
}

fn cancelled_json(runs: Vec<CancelledRun>) -> Value {
    let outcome = |found: bool| Value::from(if found { "cancelled" } else { "failed" });
    let runs: Map<String, Value> = runs
        .into_iter()
        .map(|one| (one.run.to_string(), outcome(one.found)))
        .collect();
    Value::Object(runs)
}
