//! One turn of an agent: its task, from the input to the end of its stream.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    FakeLetta, Refusal,
    approvals::{KEEP_ALIVE, Reception, receive, waits},
    event::{Event, Totals, stop_json},
    failure::{self, Failure},
    ids::Ids,
    message::{Body, Message, Part},
    request::{InputMessage, InputRole, TurnRequest},
    runs::status_of,
};
use crate::{AgentId, ContentPart, ConversationId, RunId, RunStatus, StopReason};

/// Steps of a turn when nobody says.
const MAX_STEPS: u32 = 50;

/// How often a stream looks whether its run was cancelled.
const CANCEL_CHECK: Duration = Duration::from_millis(500);

/// Why a turn does not go on.
#[derive(Debug)]
pub(super) enum Halt {
    /// Its stream was cancelled and has ended.
    Cancelled,
    /// It failed; its stream has not ended yet.
    Failed(Failure),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

pub(super) type Flow<T> = Result<T, Halt>;

/// A turn while it runs.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) letta: FakeLetta,
    pub(super) run: RunId,
    pub(super) agent: AgentId,
    pub(super) conversation: Option<ConversationId>,
    pub(super) request: TurnRequest,
    /// What the turn makes ids of: those of other turns do not matter.
    pub(super) ids: Ids,
    /// The context as this turn knows it. Every step writes it back whole, over whatever another turn wrote.
    pub(super) context: Vec<String>,
    /// Input that is saved with the next step.
    pub(super) input: Vec<Message>,
    /// Input behind a decision, saved with the step after it.
    follow_up: Vec<Message>,
    pub(super) totals: Totals,
    pub(super) stop: Option<StopReason>,
    /// What a request without a stream is answered with.
    pub(super) said: Vec<Part>,
    /// Whether the stream said anything but pings.
    pub(super) spoke: bool,
    checked: Instant,
}

impl Turn {
    pub(super) fn new(
        letta: FakeLetta,
        run: RunId,
        agent: AgentId,
        conversation: Option<ConversationId>,
        request: TurnRequest,
        context: Vec<String>,
    ) -> Self {
        let ids = letta.state().ids.child(run.as_str());
        Self {
            letta,
            run,
            agent,
            conversation,
            request,
            ids,
            context,
            input: Vec::new(),
            follow_up: Vec::new(),
            totals: Totals::default(),
            stop: None,
            said: Vec::new(),
            spoke: false,
            checked: Instant::now(),
        }
    }

    /// The whole turn. Answers what a request without a stream gets.
    pub(super) async fn run(mut self) -> Result<Value, Refusal> {
        match self.work().await {
            Ok(()) => Ok(self.finish()),
            Err(Halt::Cancelled) => Ok(Value::Null),
            Err(Halt::Failed(failure)) => Err(self.fail(&failure)),
        }
    }

    async fn work(&mut self) -> Flow<()> {
        if self.request.pings {
            let ping = Event::Ping {
                id: self.ids.next("ping"),
                date: self.now(),
            };
            self.emit(ping)?;
        }
        self.prepare()?;
        let most = self.request.max_steps.unwrap_or(MAX_STEPS);
        for number in 0..most {
            if number == 1 {
                self.input.append(&mut self.follow_up);
            }
            if !self.step().await? {
                break;
            }
            if number + 1 == most && self.stop.is_none() {
                self.stop = Some(StopReason::MaxSteps);
            }
        }
        self.stop.get_or_insert(StopReason::EndTurn);
        Ok(())
    }

    /// Looks at the input and makes messages of it, which are not saved before the model answered.
    fn prepare(&mut self) -> Flow<()> {
        let letta = self.letta.clone();
        let state = letta.state();
        let context: Vec<&Message> = self
            .context
            .iter()
            .filter_map(|id| state.messages.get(id))
            .collect();
        let mut messages = self.request.messages.clone();
        let mut decided = None;
        if let Some(decisions) = self.request.decisions.clone() {
            match receive(&context, &decisions)? {
                Reception::Expected => decided = Some(decisions),
                Reception::Repeated if messages.is_empty() => messages = vec![keep_alive()],
                Reception::Repeated => {}
            }
        } else if let Some(request) = context.last().filter(|message| waits(message)) {
            return Err(Failure::PendingApproval(request.id.clone()).into());
        }
        drop(state);
        let input = messages
            .into_iter()
            .map(|message| self.input_message(message))
            .collect::<Result<Vec<_>, _>>()?;
        match decided {
            Some(decisions) => {
                self.input = vec![self.message(Body::ApprovalResponse(decisions), None)];
                self.follow_up = input;
            }
            None => self.input = input,
        }
        Ok(())
    }

    fn input_message(&mut self, input: InputMessage) -> Result<Message, Failure> {
        let is_empty = match input.content.as_slice() {
            [] => true,
            [ContentPart::Text(text)] => text.is_empty(),
            _ => false,
        };
        if is_empty {
            return Err(Failure::Invalid("Message content is empty or invalid".to_owned()));
        }
        let text = || super::model::flatten(&input.content).0;
        let body = match input.role {
            InputRole::User => Body::User(input.content.clone()),
            InputRole::System => Body::System(text()),
            InputRole::Assistant => Body::Assistant {
                reasoning: None,
                text: Some(text()),
                calls: Vec::new(),
            },
        };
        let otid = match input.otid {
            Some(otid) => otid.to_string(),
            None => self.ids.next_uuid("otid").to_string(),
        };
        let mut message = self.message(body, None);
        message.otid = Some(otid);
        message.name = input.name;
        message.sender = input.sender;
        Ok(message)
    }

    /// A new message of this turn.
    pub(super) fn message(&mut self, body: Body, step: Option<&str>) -> Message {
        Message {
            id: self.ids.next("message"),
            agent: self.agent.clone(),
            conversation: self.conversation.clone(),
            run: Some(self.run.clone()),
            step: step.map(ToOwned::to_owned),
            otid: None,
            date: self.now(),
            name: None,
            sender: None,
            body,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.letta.state().clock.now()
    }

    /// Saves what a step brought, and makes the context what this turn thinks it is.
    pub(super) fn save(&mut self, step: &str, mut new: Vec<Message>) -> Flow<()> {
        let mut messages = std::mem::take(&mut self.input);
        messages.append(&mut new);
        let mut context = self.context.clone();
        context.extend(messages.iter().map(|message| message.id.clone()));
        let mut state = self.letta.state();
        let now = state.clock.now();
        let gone = Failure::Gone(format!("Step with id {step} does not exist"));
        let Ok(agent) = state.agent_mut(&self.agent) else {
            return Err(gone.into());
        };
        match &self.conversation {
            None => {
                agent.context.clone_from(&context);
                agent.updated_at = now;
            }
            Some(id) => match state.conversation_mut(id) {
                Some(conversation) => conversation.context.clone_from(&context),
                None => return Err(gone.into()),
            },
        }
        for mut message in messages {
            message.step.get_or_insert_with(|| step.to_owned());
            state.messages.save(message);
        }
        drop(state);
        self.context = context;
        Ok(())
    }

    /// Shows a part to whoever reads along.
    pub(super) fn show(&mut self, part: Part) -> Flow<()> {
        let name = part.content.message_type();
        if let Some(only) = &self.request.only_types
            && !only.iter().any(|wanted| wanted == name)
        {
            return Ok(());
        }
        if !self.request.streaming {
            self.said.push(part);
            return Ok(());
        }
        self.spoke = true;
        self.emit(Event::Part(part))
    }

    /// Adds an event to the stream, unless the run was cancelled meanwhile: then the stream ends instead.
    pub(super) fn emit(&mut self, event: Event) -> Flow<()> {
        if !self.request.streaming {
            return Ok(());
        }
        self.check_cancelled()?;
        self.letta.state().log(&self.run, event);
        Ok(())
    }

    fn check_cancelled(&mut self) -> Flow<()> {
        let now = Instant::now();
        if now.duration_since(self.checked) < CANCEL_CHECK {
            return Ok(());
        }
        self.checked = now;
        let mut state = self.letta.state();
        let cancelled = state
            .run(&self.run)
            .is_ok_and(|run| run.status == RunStatus::Cancelled);
        if !cancelled {
            return Ok(());
        }
        state.log(&self.run, Event::Stop(StopReason::Cancelled));
        if self.request.background {
            state.log(&self.run, Event::Done);
            state.unlock(&self.run);
        }
        state.close(&self.run);
        Err(Halt::Cancelled)
    }

    /// Whether the run was cancelled, which every step asks before it begins.
    pub(super) fn is_cancelled(&self) -> bool {
        self.letta
            .state()
            .run(&self.run)
            .is_ok_and(|run| run.status == RunStatus::Cancelled)
    }

    /// The turn is over and well.
    fn finish(mut self) -> Value {
        let reason = self.stop.take().unwrap_or(StopReason::EndTurn);
        if self.request.streaming && self.check_cancelled().is_err() {
            return Value::Null;
        }
        let mut state = self.letta.state();
        if let Some(run) = state.run_mut(&self.run) {
            run.totals = self.totals;
        }
        // Requests to a conversation that do not stream forget their run.
        if self.request.streaming || self.conversation.is_none() {
            state.end_run(&self.run, status_of(&reason), Some(reason.clone()), None);
        }
        if self.request.streaming {
            state.log(&self.run, Event::Stop(reason.clone()));
            state.log(&self.run, Event::Usage(self.totals));
            state.log(&self.run, Event::Done);
            state.close(&self.run);
        }
        json!({
            "messages": self.said.iter().map(|part| part.json(None)).collect::<Vec<_>>(),
            "stop_reason": stop_json(&reason),
            "usage": self.totals.json(),
            "logprobs": null,
            "turns": null,
        })
    }

    /// The turn is over and not well. Nothing of the step that failed was saved.
    fn fail(self, failure: &Failure) -> Refusal {
        let mut state = self.letta.state();
        if !self.request.streaming {
            if self.conversation.is_none() {
                let sentence = Value::String(failure.detail().to_owned());
                state.end_run(&self.run, RunStatus::Failed, None, Some(sentence));
            }
            return failure.refusal();
        }
        let reason = if self.spoke {
            self.stop.unwrap_or_else(|| failure.stop_reason())
        } else {
            failure.stop_reason()
        };
        let error = if self.spoke {
            failure.in_the_middle()
        } else {
            failure.at_the_start()
        };
        let metadata = failure::metadata(&error, &self.run);
        if self.spoke && !self.request.background {
            // So it is: a foreground run that failed in the middle counts as completed.
            state.end_run(&self.run, RunStatus::Completed, Some(reason.clone()), None);
        } else {
            let status = if self.spoke {
                status_of(&reason)
            } else {
                RunStatus::Failed
            };
            state.end_run(&self.run, status, Some(reason.clone()), Some(metadata));
        }
        state.log(&self.run, Event::Stop(reason));
        state.log(&self.run, Event::Error(error));
        if !self.spoke {
            state.log(&self.run, Event::Done);
        }
        state.close(&self.run);
        failure.refusal()
    }
}

/// What the server says when a decision came twice.
fn keep_alive() -> InputMessage {
    InputMessage {
        content: vec![ContentPart::Text(KEEP_ALIVE.to_owned())],
        ..InputMessage::default()
    }
}
