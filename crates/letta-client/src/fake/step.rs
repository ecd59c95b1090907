//! One step of a turn: the model speaks once, and what it asks for is done.

use std::time::Duration;

use super::{
    event::{Event, Totals},
    execute::Executed,
    failure::Failure,
    ids::id_before,
    message::{Body, CallDelta, Decision, Message, Part, PartContent, ToolReturn},
    model::{PAUSES, Spoken},
    turn::{Flow, Halt, Turn},
};
use crate::{
    StopReason, ToolCall, ToolCallId, ToolStatus,
    llm::{Answer, Chunk, Completion, Cut, Failure as LlmFailure, FinishReason, OfferedTool, Outcome},
};

/// How often a conversation that is too long is shortened before the server gives up.
const COMPACTIONS: usize = 3;

impl Turn {
    /// One step. Answers whether there is to be another.
    pub(super) async fn step(&mut self) -> Flow<bool> {
        if let [
            Message {
                body: Body::ApprovalResponse(decisions),
                ..
            },
        ] = self.input.as_slice()
        {
            let decisions = decisions.clone();
            return self.settle(&decisions).await;
        }
        if self.is_cancelled() {
            self.stop = Some(StopReason::Cancelled);
            return Ok(false);
        }
        let step = self.ids.next("step");
        let spoken = self.ask(&step).await?;
        if spoken.calls.is_empty() {
            return self.answer(&step, spoken).await;
        }
        let asks = spoken.calls.iter().any(|call| self.asks(&call.name));
        if asks {
            let body = Body::ApprovalRequest {
                reasoning: spoken.reasoning,
                calls: spoken.calls,
            };
            let message = self.spoken_message(&step, spoken.message, body);
            self.stop = Some(StopReason::RequiresApproval);
            self.save(&step, vec![message.clone()])?;
            self.show_step(&[message])?;
            return Ok(false);
        }
        let calls = spoken.calls.clone();
        let body = Body::Assistant {
            reasoning: spoken.reasoning,
            text: spoken.text.filter(|text| !text.is_empty()),
            calls: spoken.calls,
        };
        let mut new = vec![self.spoken_message(&step, spoken.message, body)];
        for call in &calls {
            let executed = self.letta.execute(&self.agent, call).await;
            new.push(self.tool_message(&step, Some(call.name.clone()), &call.id, executed));
        }
        self.save(&step, new.clone())?;
        self.show_step(&new)?;
        self.compact_if_full(&step).await?;
        Ok(true)
    }

    /// The model answered without calling anything: the turn is over.
    async fn answer(&mut self, step: &str, spoken: Spoken) -> Flow<bool> {
        self.stop = Some(match spoken.finish {
            FinishReason::Length => StopReason::MaxTokensExceeded,
            _ => StopReason::EndTurn,
        });
        let text = spoken.text.filter(|text| !text.is_empty());
        if text.is_none() && spoken.reasoning.is_none() {
            // Nothing was said, and nothing is kept but what was asked.
            self.save(step, Vec::new())?;
            return Ok(false);
        }
        let body = Body::Assistant {
            reasoning: spoken.reasoning,
            text,
            calls: Vec::new(),
        };
        let message = self.spoken_message(step, spoken.message, body);
        self.save(step, vec![message.clone()])?;
        self.show_step(&[message])?;
        self.compact_if_full(step).await?;
        Ok(false)
    }

    /// Does what was decided on the calls that wait, in the step in which they were asked for.
    async fn settle(&mut self, decisions: &[Decision]) -> Flow<bool> {
        let request = {
            let state = self.letta.state();
            self.context.last().and_then(|id| state.messages.get(id)).cloned()
        };
        let Some(request) = request else {
            return Err(Failure::Invalid("the request for approval is gone".to_owned()).into());
        };
        let step = request.step.clone().unwrap_or_else(|| self.ids.next("step"));
        let mut new = Vec::new();
        let mut ran = false;
        for call in super::approvals::calls(&request) {
            let decision = decisions
                .iter()
                .find(|decision| decision.call() == &call.id || decision.call().as_str() == request.id);
            match decision {
                Some(Decision::Approval { approve: true, .. }) => {
                    let executed = self.letta.execute(&self.agent, call).await;
                    new.push(self.tool_message(&step, Some(call.name.clone()), &call.id, executed));
                    ran = true;
                }
                Some(Decision::Approval {
                    call: named, reason, ..
                }) if *named == call.id => {
                    let denied = Executed {
                        status: ToolStatus::Error,
                        output: super::approvals::denial(reason.as_deref()),
                        sandboxed: false,
                    };
                    new.push(self.tool_message(&step, None, &call.id, denied));
                }
                Some(Decision::Return { output, status, .. }) => {
                    let returned = Executed {
                        status: *status,
                        output: output.clone(),
                        sandboxed: false,
                    };
                    new.push(self.tool_message(&step, None, &call.id, returned));
                }
                // The old form can say yes but not no.
                Some(Decision::Approval { .. }) | None => {}
            }
        }
        if new.is_empty() {
            self.stop = Some(StopReason::InvalidToolCall);
            return Ok(false);
        }
        self.save(&step, new.clone())?;
        // A stream of tokens shows the answers of tools that ran, and no denials.
        if !self.request.tokens || ran {
            self.show_step(&new)?;
        }
        Ok(true)
    }

    /// Asks the model, shortening the conversation when it is too long.
    async fn ask(&mut self, step: &str) -> Flow<Spoken> {
        let mut shortened = 0;
        loop {
            let failure = match self.ask_provider(step).await? {
                Ok(spoken) => return Ok(spoken),
                Err(failure) => failure,
            };
            match failure {
                Failure::TooLong(_) if shortened < COMPACTIONS => {
                    self.compact(step, "context_window_exceeded").await?;
                    shortened += 1;
                }
                failure => {
                    self.stop = Some(failure.stop_reason());
                    return Err(Halt::Failed(failure));
                }
            }
        }
    }

    /// Asks the provider, again when it is overloaded or broken, as its Python library does.
    async fn ask_provider(&mut self, step: &str) -> Flow<Result<Spoken, Failure>> {
        let mut pauses = PAUSES.iter();
        loop {
            let Completion { delays, outcome, .. } = self.plan()?;
            tokio::time::sleep(delays.before_first_byte).await;
            match outcome {
                Outcome::Answer(answer) => return self.listen(step, answer, delays).await.map(Ok),
                Outcome::Failure(failure) => match pauses.next() {
                    Some(pause) if is_repeated(&failure) => {
                        tokio::time::sleep(asked_pause(&failure).unwrap_or(*pause)).await;
                    }
                    _ => return Ok(Err(Failure::from_provider(&failure))),
                },
            }
        }
    }

    /// What the provider does with the context as it is.
    fn plan(&self) -> Flow<Completion> {
        let mut state = self.letta.state();
        let engine = state.llm(&self.agent);
        let Ok(agent) = state.agent(&self.agent) else {
            return Err(Failure::Gone(format!("Agent with ID {} not found", self.agent)).into());
        };
        let handle = self.request.model.as_deref().unwrap_or(&agent.model);
        let context = self.context.iter().filter_map(|id| state.messages.get(id));
        let client_tools = self
            .request
            .client_tools
            .iter()
            .map(|tool| OfferedTool::new(&tool.name, tool.parameters.clone()));
        let request = state.llm_request(agent, handle, context.chain(&self.input), client_tools);
        drop(state);
        Ok(engine.plan(&request))
    }

    /// Takes the answer in, piece by piece where pieces are wanted.
    async fn listen(&mut self, step: &str, answer: Answer, delays: crate::llm::Delays) -> Flow<Spoken> {
        let usage = answer.usage;
        let mut spoken = Spoken {
            message: self.ids.next("message"),
            reasoning: None,
            text: None,
            calls: Vec::new(),
            finish: answer.finish_reason,
        };
        if !(self.request.streaming && self.request.tokens) {
            spoken.reasoning = answer.reasoning;
            spoken.text = answer.text;
            spoken.calls = answer.tool_calls.into_iter().map(call_of).collect();
            self.totals.detailed = true;
            self.totals.add(usage.prompt_tokens, usage.completion_tokens);
            return Ok(spoken);
        }
        let mut chunks = answer.chunks();
        let pause = delays.per_chunk(chunks.len());
        if let Some(most) = answer.cut_after {
            chunks.truncate(most);
        }
        let mut chunks = chunks.into_iter().peekable();
        while let Some(chunk) = chunks.next() {
            tokio::time::sleep(pause).await;
            let last =
                answer.cut_after.is_none() && !matches!(chunks.peek(), Some(Chunk::ToolArguments { .. }));
            self.hear(step, &mut spoken, chunk, last)?;
        }
        if spoken.calls.iter().any(|call| self.asks(&call.name)) {
            spoken.message = id_before(&spoken.message);
        }
        if answer.cut_after.is_some() && answer.cut == Cut::Broken {
            // The half of the server that listens says so first, and then the one that runs the turn.
            self.spoke = true;
            self.emit(Event::Stop(StopReason::Error))?;
            let failure = Failure::broken_off();
            self.stop = Some(failure.stop_reason());
            return Err(failure.into());
        }
        match answer.cut_after {
            // An answer that was cut off comes without its price, and looks like any other.
            Some(_) => {
                self.totals = Totals {
                    steps: self.totals.steps + 1,
                    context: Some(0),
                    ..self.totals
                }
            }
            None => self.totals.add(usage.prompt_tokens, usage.completion_tokens),
        }
        Ok(spoken)
    }

    /// Takes in one piece, and shows it.
    fn hear(&mut self, step: &str, spoken: &mut Spoken, chunk: Chunk, last: bool) -> Flow<()> {
        let index = u8::from(spoken.reasoning.is_some());
        let (index, content) = match chunk {
            Chunk::Reasoning(piece) => {
                spoken.reasoning.get_or_insert_default().push_str(&piece);
                (0, PartContent::Reasoning(piece))
            }
            Chunk::Text(piece) => {
                spoken.text.get_or_insert_default().push_str(&piece);
                (index, PartContent::Assistant(piece))
            }
            Chunk::ToolCall { id, name, .. } => {
                let call = ToolCallId::new(id);
                let asks = self.asks(&name);
                spoken.calls.push(ToolCall {
                    id: call.clone(),
                    name: name.clone(),
                    arguments: String::new(),
                });
                let delta = CallDelta {
                    call,
                    name: Some(name),
                    arguments: None,
                    asks,
                    last,
                };
                (
                    index + u8::from(spoken.text.is_some()),
                    PartContent::CallDelta(delta),
                )
            }
            Chunk::ToolArguments { fragment, .. } => {
                let Some(call) = spoken.calls.last_mut() else {
                    return Ok(());
                };
                call.arguments.push_str(&fragment);
                let (call, name) = (call.id.clone(), call.name.clone());
                let asks = self.asks(&name);
                let delta = CallDelta {
                    call,
                    name: None,
                    arguments: Some(fragment),
                    asks,
                    last,
                };
                (
                    index + u8::from(spoken.text.is_some()),
                    PartContent::CallDelta(delta),
                )
            }
        };
        let part = self.delta(step, &spoken.message, index, content);
        self.show(part)
    }

    pub(super) fn delta(&mut self, step: &str, message: &str, index: u8, content: PartContent) -> Part {
        let asks = matches!(&content, PartContent::CallDelta(delta) if delta.asks);
        let id = if asks {
            id_before(message)
        } else {
            message.to_owned()
        };
        let otid = if asks {
            id.clone()
        } else {
            super::ids::otid_of(&id, index)
        };
        Part {
            id,
            date: self.now(),
            name: None,
            otid: Some(otid),
            sender: None,
            step: Some(step.to_owned()),
            run: Some(self.run.clone()),
            content,
        }
    }

    /// Whether a call of this tool waits for a person, or for the client.
    fn asks(&self, tool: &str) -> bool {
        let state = self.letta.state();
        let rule = state
            .agent(&self.agent)
            .is_ok_and(|agent| agent.approval_rules.iter().any(|rule| rule == tool));
        rule || self.request.client_tools.iter().any(|client| client.name == tool)
    }

    fn spoken_message(&mut self, step: &str, id: String, body: Body) -> Message {
        Message {
            id,
            ..self.message(body, Some(step))
        }
    }

    fn tool_message(
        &mut self,
        step: &str,
        name: Option<String>,
        call: &ToolCallId,
        executed: Executed,
    ) -> Message {
        let body = Body::ToolReturn(ToolReturn {
            call: call.clone(),
            status: executed.status,
            output: executed.output,
            sandboxed: executed.sandboxed,
        });
        Message {
            name,
            ..self.message(body, Some(step))
        }
    }

    /// Shows what a step brought, or what of it was not shown as tokens yet.
    fn show_step(&mut self, new: &[Message]) -> Flow<()> {
        let tokens = self.request.streaming && self.request.tokens;
        for message in new {
            if tokens && !matches!(message.body, Body::ToolReturn(_)) {
                continue;
            }
            for part in message.parts() {
                self.show(part)?;
            }
        }
        Ok(())
    }
}

/// Whether the provider's library asks again by itself.
fn is_repeated(failure: &LlmFailure) -> bool {
    match failure {
        LlmFailure::Status { status, .. } => matches!(status, 408 | 409 | 429 | 500..),
        LlmFailure::Disconnect => true,
        LlmFailure::ContextLengthExceeded { .. } | LlmFailure::NotJson { .. } => false,
    }
}

/// How long the provider asks to wait; its library listens up to a minute.
fn asked_pause(failure: &LlmFailure) -> Option<Duration> {
    match failure {
        LlmFailure::Status { retry_after, .. } => retry_after.filter(|wait| *wait <= Duration::from_secs(60)),
        _ => None,
    }
}

fn call_of(call: crate::llm::LlmToolCall) -> ToolCall {
    ToolCall {
        id: ToolCallId::new(call.id),
        name: call.name,
        arguments: call.arguments,
    }
}
