//! Taking turns in: who may start one, and who has to wait.

use serde_json::Value;
use tokio::sync::oneshot;

use super::{
    FakeLetta, Refusal,
    request::{Target, TurnRequest},
    runs::needs_redis,
    state::State,
    stream::Reader,
    turn::Turn,
};
use crate::{AgentId, ConversationId, LettaErrorKind, RunId, RunStatus};

/// A turn that was let in.
#[derive(Debug)]
struct Admission {
    run: RunId,
    agent: AgentId,
    conversation: Option<ConversationId>,
    context: Vec<String>,
}

/// What became of a request to stream.
enum Entry {
    /// A new turn.
    New(Admission),
    /// The server knows the input: this run is its turn.
    Known(RunId),
}

impl FakeLetta {
    /// Starts a turn, and reads along. It goes on whether or not anybody reads.
    pub(super) fn begin(&self, target: &Target, request: TurnRequest) -> Result<Reader, Refusal> {
        let entry = self.state().enter_turn(target, &request)?;
        let pings = request.pings;
        match entry {
            Entry::Known(run) => Ok(Reader::new(self.clone(), run, 0, pings).joined()),
            Entry::New(admission) => {
                let run = admission.run.clone();
                let turn = self.turn(admission, request);
                // Before the turn begins, so that its reader misses nothing.
                let reader = Reader::new(self.clone(), run, 0, pings);
                // Whoever reads the stream learns what comes of it.
                self.spawn(async move { drop(turn.run().await) });
                Ok(reader)
            }
        }
    }

    /// Runs a whole turn and answers what a request without a stream gets.
    pub(super) async fn complete(&self, target: &Target, request: TurnRequest) -> Result<Value, Refusal> {
        let admission = match self.state().enter_turn(target, &request)? {
            Entry::New(admission) => admission,
            // Only streams are joined.
            Entry::Known(run) => return Ok(Value::String(run.to_string())),
        };
        let turn = self.turn(admission, request);
        let (answer, answered) = oneshot::channel();
        self.spawn(async move {
            // Nobody may be waiting any more.
            let _ = answer.send(turn.run().await);
        });
        match answered.await {
            Ok(outcome) => outcome,
            // The task was stopped: the server crashed.
            Err(_) => Err(Refusal::of_kind(LettaErrorKind::Interrupted, None).with_may_have_applied(true)),
        }
    }

    /// Starts a turn and answers with its run at once (`POST /v1/agents/{id}/messages/async`).
    pub(super) fn begin_async(&self, target: &Target, request: TurnRequest) -> Result<Value, Refusal> {
        let (admission, json) = {
            let mut state = self.state();
            let Entry::New(admission) = state.enter_turn(target, &request)? else {
                return Err(Refusal::of_kind(LettaErrorKind::Server, None));
            };
            let Some(run) = state.run_mut(&admission.run) else {
                return Err(Refusal::of_kind(LettaErrorKind::Server, None));
            };
            run.background = true;
            run.run_type = "send_message_async";
            // The answer is written before the turn begins.
            run.status = RunStatus::Created;
            let json = run.json();
            run.status = RunStatus::Running;
            (admission, json)
        };
        let turn = self.turn(admission, request);
        self.spawn(async move { drop(turn.run().await) });
        Ok(json)
    }

    fn turn(&self, admission: Admission, request: TurnRequest) -> Turn {
        Turn::new(
            self.clone(),
            admission.run,
            admission.agent,
            admission.conversation,
            request,
            admission.context,
        )
    }

    /// Reads a run's events again, from behind the one with this number.
    pub(super) fn rejoin(&self, run: &RunId, after: u64, pings: bool) -> Result<Reader, Refusal> {
        self.state().check_resumable(run)?;
        Ok(Reader::new(self.clone(), run.clone(), after, pings).joined())
    }
}

impl State {
    fn enter_turn(&mut self, target: &Target, request: &TurnRequest) -> Result<Entry, Refusal> {
        if request.messages.is_empty() && request.decisions.is_none() {
            return Err(Refusal::detail(
                422,
                LettaErrorKind::InvalidRequest,
                "Messages must not be empty",
            ));
        }
        let (agent, conversation) = self.resolve(target)?;
        if let Some(handle) = &request.model {
            self.check_model(handle)?;
        }
        let lock = lock_key(target, request).filter(|_| self.config.redis);
        if let Some(key) = &lock {
            let token = request.token();
            if request.background
                && let Some(run) = token.as_ref().and_then(|token| self.runs_by_otid.get(token))
            {
                return Ok(Entry::Known(run.clone()));
            }
            let token = token.unwrap_or_else(|| self.ids.next_uuid("token").to_string());
            self.lock(key, &token)?;
        }
        // A request to a conversation that does not stream forgets which one it was.
        let recorded = conversation.clone().filter(|_| request.streaming);
        let run_type = match target {
            Target::Conversation(_) => "send_conversation_message",
            Target::Agent(_) | Target::LockedAgent(_) => "send_message",
        };
        let run = self.create_run(&agent, recorded, request.background, run_type, lock);
        if self.config.redis && request.streaming {
            let names = request
                .token()
                .into_iter()
                .chain(request.otids().map(ToString::to_string));
            for name in names.collect::<Vec<_>>() {
                self.runs_by_otid.insert(name, run.clone());
            }
        }
        if request.background && request.streaming && !self.config.redis {
            let refusal = needs_redis();
            let sentence = Value::String(refusal.to_error().message().to_owned());
            self.end_run(&run, RunStatus::Failed, None, Some(sentence));
            return Err(refusal);
        }
        if (request.streaming || conversation.is_none())
            && let Some(run) = self.run_mut(&run)
        {
            run.status = RunStatus::Running;
        }
        let context = match &conversation {
            None => self.agent(&agent)?.context.clone(),
            Some(id) => self.conversation(id)?.context.clone(),
        };
        Ok(Entry::New(Admission {
            run,
            agent,
            conversation,
            context,
        }))
    }

    /// The agent and the conversation that a target is.
    fn resolve(&mut self, target: &Target) -> Result<(AgentId, Option<ConversationId>), Refusal> {
        match target {
            Target::Agent(agent) | Target::LockedAgent(agent) => {
                self.agent(agent)?;
                Ok((agent.clone(), None))
            }
            Target::Conversation(id) => {
                let agent = self.conversation(id)?.agent.clone();
                self.agent(&agent)?;
                let now = self.clock.now();
                if let Some(conversation) = self.conversation_mut(id) {
                    conversation.last_message_at = Some(now);
                    conversation.updated_at = now;
                }
                Ok((agent, Some(id.clone())))
            }
        }
    }

    /// Cuts all connections. What runs goes on.
    pub(super) fn forget_connections(&mut self) {
        self.network += 1;
        for run in &self.runs {
            run.changed.send_replace(());
        }
    }
}

/// What a turn locks. Requests to a conversation that do not stream lock nothing.
fn lock_key(target: &Target, request: &TurnRequest) -> Option<String> {
    match target {
        Target::Agent(_) => None,
        Target::LockedAgent(agent) => Some(agent.to_string()),
        Target::Conversation(id) => request.streaming.then(|| id.to_string()),
    }
}
