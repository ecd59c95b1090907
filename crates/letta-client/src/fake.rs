//! A stateful in-memory Letta server.
//!
//! [`FakeLetta`] is a model of a self-hosted Letta 0.16.8: its rules, its quirks, its error answers. It implements
//! [`LettaApi`](crate::LettaApi) as [`HttpLetta`](crate::http::HttpLetta) does on the real server, and passes the same
//! conformance suite. It adds what no real server gives: planned faults, crashes at will, a journal of calls, time
//! under the test's control, and the same answers on every run.
//!
//! ```
//! use letta_client::{
//!     ConversationRef, LettaApi, LettaApiExt, LettaErrorKind, TurnInput, TurnOptions,
//!     fake::{FakeLetta, Fault},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> letta_client::Result<()> {
//! let letta = FakeLetta::with_test_agents();
//!
//! // It answers, and remembers.
//! let alpha = ConversationRef::agent("agent-001");
//! let outcome = letta
//!     .send_and_wait(&alpha, &TurnInput::text("otid-1", "hello"), &TurnOptions::default())
//!     .await?;
//! assert_eq!(outcome.text, "echo: hello");
//!
//! // It fails as planned, with the errors of the real client, and tells what it was asked.
//! letta.plan(Fault::on("delete_agent").fail_after(LettaErrorKind::Timeout));
//! let error = letta.delete_agent(&"agent-002".into()).await.unwrap_err();
//! assert!(error.may_have_applied());
//! assert_eq!(letta.agent_ids().len(), 2);
//! assert_eq!(letta.count("delete_agent"), 1);
//! letta.assert_faults_used();
//! # Ok(()) }
//! ```
//!
//! # Setting up
//!
//! | | |
//! |---|---|
//! | [`FakeLetta::new`] | strict: agents are made with a known model and have ids like the server's |
//! | [`FakeLetta::with_test_agents`] | lenient, with the three agents that all tests share |
//! | [`lenient`](FakeLetta::lenient) | accepts ids such as `agent-001`, and new agents that name no model |
//! | [`without_redis`](FakeLetta::without_redis) | keeps no events and locks nothing |
//! | [`with_token`](FakeLetta::with_token), [`presenting`](FakeLetta::presenting) | who may call |
//! | [`with_seed`](FakeLetta::with_seed), [`with_epoch`](FakeLetta::with_epoch) | ids and times |
//! | [`with_llm`](FakeLetta::with_llm), [`script`](FakeLetta::script) | what the model says; see [`llm`](crate::llm) |
//! | [`add_agent`](FakeLetta::add_agent), [`add`](FakeLetta::add), [`register_tool`](FakeLetta::register_tool) | what is there |
//!
//! Answers come from [`FakeLlm`]: an echo unless told otherwise, steered by markers in the message (`[slow 3]`,
//! `[tool:NAME {json}]`, `[fail 429]`, `[think …]`) or by scripted replies. Agents have the base tools of the real
//! server; `echo`, `get_weather`, `fail` and `slow` can be attached to any, as can a test's own [`FakeTool`].
//!
//! # Time, tasks and repetition
//!
//! Nothing but tokio's clock is ever waited for, so paused time makes minutes pass at once; the server's own clock
//! starts at the epoch and never shows the same instant twice. Turns run as tasks of their own, whether or not their
//! stream is read: [`join`](FakeLetta::join) waits for them (and passes on their panics),
//! [`shutdown`](FakeLetta::shutdown) stops them. The same seed and the same calls in the same order give the same ids
//! and answers.
//!
//! # Misbehaviour
//!
//! A [`Fault`] makes a call fail before or after its effect, wait, or break its stream. Beyond single calls:
//! [`down`](FakeLetta::down) and [`up`](FakeLetta::up) cut the network while turns go on;
//! [`crash`](FakeLetta::crash) and [`restart`](FakeLetta::restart) leave runs that run for ever and locks that nobody
//! holds. A [`WireFault`] (half an answer, an HTML page, a redirect) only exists where the fake is served over HTTP.
//! [`assert_faults_used`](FakeLetta::assert_faults_used) fails a test whose faults were never met.
//!
//! # What is modelled
//!
//! - Listing: order, filters, and that an unknown or deleted cursor silently starts the listing over. Names that are no
//!   file names are refused at creation and accepted at renaming. Every message moves `updated_at`.
//! - The default conversation has **no lock**: of two turns at once both answer, and the slower one overwrites the
//!   context. The other exchange stays in the history.
//! - Other conversations have contexts of their own and are locked while a turn streams (409 with the run), for 300
//!   seconds at most, also across a crash. Requests to them that do not stream lock nothing and leave a run that is
//!   `created` for ever.
//! - A message appears in the history when its step is saved, with its `otid`; a failed step leaves nothing. `otid`
//!   deduplicates only streams of conversations whose events are kept.
//! - Kept events (3 hours), numbered and read again from anywhere. A run whose events were not kept can be joined by
//!   its otid and stays silent.
//! - Tool calls, approvals with all their conditions, the made-up message when a decision comes twice, a denial that a
//!   stream of tokens does not show, client-side tools.
//! - Failures of the model's provider as statuses before a stream and as errors inside one, three tries on overload,
//!   compaction when the conversation is too long, empty and cut answers that look like success.
//! - Cancelling: at the next piece of a stream (looked at every 500 ms), at the next step otherwise, never in the middle
//!   of a request that does not stream. It clears a pending approval of the default conversation.
//!
//! # What is not
//!
//! - Groups, sources, files, archives, passages, identities, templates, MCP servers, batches, and tools in Python. A
//!   sleeping helper is only an agent in the listing.
//! - Changing or compiling memory blocks other than by the memory tools; the system prompt of a running conversation is
//!   that of its beginning, and is shorter than the real one.
//! - Token counts: a quarter of the bytes. How much a compaction keeps: the last answer.
//! - Rate limits of the server itself (it has none), and how fast it is: calls take no time unless
//!   [`with_latency`](FakeLetta::with_latency) or the model says so.
//! - The server refuses agent names with combining vowel signs (Hindi, Thai); the fake accepts them.

mod agent_json;
mod agents;
mod api;
mod approvals;
mod body;
mod cancel;
mod clock;
mod compaction;
mod conversations;
mod event;
mod execute;
mod failure;
mod fault_json;
mod faults;
mod gate;
mod history;
mod ids;
mod journal;
mod listing;
mod message;
mod model;
mod models_json;
mod part_json;
mod refusal;
mod request;
pub mod rest;
mod runs;
mod seed;
mod state;
mod step;
mod stream;
mod tasks;
mod tools;
mod translate;
mod turn;
mod turns;
mod wire_fault;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use secrecy::SecretString;

pub use self::{
    fault_json::InvalidFault,
    faults::{Fault, Hold, METHODS},
    journal::Call,
    listing::{Include, ListAgents},
    refusal::Refusal,
    seed::AgentSeed,
    tools::{FakeTool, ToolResult},
    wire_fault::WireFault,
};
use self::{state::State, tasks::Tasks};
use crate::{
    AgentId, LettaErrorKind,
    llm::{FakeLlm, LlmConfig, ScriptedReply},
};

/// A Letta server in memory. Clones are handles of the same server.
#[derive(Clone)]
pub struct FakeLetta {
    shared: Arc<Shared>,
    access: Access,
}

/// What all handles share.
struct Shared {
    state: Mutex<State>,
    tasks: Mutex<Tasks>,
}

/// What a handle presents to the server.
#[derive(Clone)]
enum Access {
    /// The right token, whatever it is.
    Owner,
    /// This token, or none.
    Token(Option<SecretString>),
}

impl Default for FakeLetta {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FakeLetta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("FakeLetta")
            .field("agents", &state.agents.len())
            .field("up", &state.up)
            .finish_non_exhaustive()
    }
}

impl FakeLetta {
    /// A server without agents: strict about ids, with Redis, open to everybody, echoing, seed 0.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State::new()),
                tasks: Mutex::default(),
            }),
            access: Access::Owner,
        }
    }

    /// A lenient server with the agents that all tests share: `agent-001` "Agent Alpha", `agent-002` "Agent Beta" and
    /// `agent-sync-test` "Sync Test Agent".
    #[must_use]
    pub fn with_test_agents() -> Self {
        let letta = Self::new().lenient();
        letta.add_agent("agent-001", "Agent Alpha");
        letta.add_agent("agent-002", "Agent Beta");
        letta.add_agent("agent-sync-test", "Sync Test Agent");
        letta
    }

    /// Accepts ids that no real server gives, such as `agent-001`, and makes agents without a known model.
    #[must_use]
    pub fn lenient(self) -> Self {
        self.state().config.lenient = true;
        self
    }

    /// A server without Redis: it keeps no events, so no turn can be resumed, and locks no conversation.
    #[must_use]
    pub fn without_redis(self) -> Self {
        self.state().config.redis = false;
        self
    }

    /// A server that wants this token. This handle and its clones have it; see [`presenting`](Self::presenting).
    #[must_use]
    pub fn with_token(self, token: impl Into<String>) -> Self {
        self.state().config.token = Some(SecretString::from(token.into()));
        self
    }

    /// Chooses the ids that the server gives: the same seed and the same calls give the same ids and answers.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        {
            let mut state = self.state();
            state.config.seed = seed;
            state.ids.reseed(seed);
        }
        self
    }

    /// Chooses what the server's clock shows when it is first read. From then on it follows tokio's clock.
    #[must_use]
    pub fn with_epoch(self, epoch: Timestamp) -> Self {
        self.state().clock.set_epoch(epoch);
        self
    }

    /// Chooses how the language model behind the server behaves, and which models it offers.
    #[must_use]
    pub fn with_llm(self, llm: LlmConfig) -> Self {
        {
            let mut state = self.state();
            state.config.models = state::handles(&llm);
            state.config.llm = llm;
        }
        self
    }

    /// A handle of the same server that presents this token, or none, instead of the right one.
    #[must_use]
    pub fn presenting(&self, token: Option<SecretString>) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            access: Access::Token(token),
        }
    }

    /// Puts an agent there without a call; any name is accepted.
    ///
    /// # Panics
    /// When the id is malformed and the server is not [`lenient`](Self::lenient).
    pub fn add_agent(&self, id: impl Into<AgentId>, name: impl Into<String>) -> AgentId {
        self.add(AgentSeed::new(id, name))
    }

    /// Puts an agent there without a call; any name is accepted.
    ///
    /// # Panics
    /// When the id is malformed and the server is not [`lenient`](Self::lenient), or a tool does not exist.
    pub fn add(&self, mut seed: AgentSeed) -> AgentId {
        let mut state = self.state();
        if seed.agent.model.is_none() {
            seed.agent.model = state.config.models.first().cloned();
        }
        let added = match &seed.id {
            Some(id) => state.check_agent_id(id),
            None => Ok(()),
        }
        .and_then(|()| state.insert_agent(seed));
        drop(state);
        match added {
            Ok(id) => id,
            Err(refusal) => panic!("the fake refuses this agent: {}", refusal.to_error()),
        }
    }

    /// The ids of all agents, hidden ones included, in the order in which they were made.
    #[must_use]
    pub fn agent_ids(&self) -> Vec<AgentId> {
        self.state().agents.iter().map(|agent| agent.id.clone()).collect()
    }

    /// Adds a tool that agents can be given. Replaces one of the same name.
    pub fn register_tool(&self, tool: FakeTool) {
        self.state().tools.register(tool);
    }

    /// Makes every call take so long before it has its effect. The model's own delays are part of
    /// [`with_llm`](Self::with_llm).
    #[must_use]
    pub fn with_latency(self, latency: Duration) -> Self {
        self.state().config.latency = latency;
        self
    }

    /// The model behind an agent, e.g. to queue replies with [`FakeLlm::push_script`]. Every agent has its own.
    #[must_use]
    pub fn llm(&self, agent: &AgentId) -> Arc<FakeLlm> {
        self.state().llm(agent)
    }

    /// Queues a scripted reply of an agent's model.
    pub fn script(&self, agent: impl Into<AgentId>, reply: ScriptedReply) {
        self.llm(&agent.into()).push_script(reply);
    }

    /// Takes the server off the network: streams break, and every call fails with `Connect`. Its state stays, and
    /// its turns go on.
    pub fn down(&self) {
        let mut state = self.state();
        state.up = false;
        state.forget_connections();
    }

    /// Undoes [`down`](Self::down).
    pub fn up(&self) {
        self.state().up = true;
    }

    /// Plans a fault.
    pub fn plan(&self, fault: Fault) {
        self.state().faults.add(fault);
    }

    /// Plans that the next call of this method fails so, without effect.
    pub fn fail_next(&self, method: &str, kind: LettaErrorKind) {
        self.plan(Fault::on(method).fail(kind));
    }

    /// Plans a fault for requests of this HTTP method and path; a path may end in `*`. `times` of `None` is always.
    /// Only a served fake meets it.
    pub fn plan_wire(&self, method: &str, path: &str, times: Option<u32>, fault: WireFault) {
        let planned = wire_fault::PlannedWireFault::new(method, path, times, fault);
        self.state().faults.wire.push(planned);
    }

    /// Takes the wire fault that is planned for this request. Whoever serves the fake asks before each answer.
    #[must_use]
    pub fn take_wire_fault(&self, method: &str, path: &str) -> Option<WireFault> {
        let mut state = self.state();
        state
            .faults
            .wire
            .iter_mut()
            .find_map(|fault| fault.strike(method, path))
    }

    /// The planned faults that did not strike as often as planned.
    #[must_use]
    pub fn unused_faults(&self) -> Vec<String> {
        self.state().faults.unused()
    }

    /// Forgets all planned faults.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// # Panics
    /// When a planned fault did not strike as often as planned: the test did not test what it says.
    pub fn assert_faults_used(&self) {
        let unused = self.unused_faults();
        assert!(
            unused.is_empty(),
            "planned faults that were never met: {unused:#?}"
        );
    }

    /// Every call so far, those that failed included.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state().journal.calls().to_vec()
    }

    /// How often a method was called.
    ///
    /// # Panics
    /// When there is no such method.
    #[must_use]
    pub fn count(&self, method: &str) -> usize {
        assert!(
            METHODS.contains(&method),
            "no method `{method}` to count; there are {METHODS:?}"
        );
        self.state().journal.count(method)
    }

    /// Forgets the calls so far.
    pub fn clear_journal(&self) {
        self.state().journal.clear();
    }

    /// The state. A panic elsewhere cannot leave it half-changed in a way that matters to a test that failed already.
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
