//! Everything the fake server knows, behind one lock.

use std::{collections::HashMap, sync::Arc, time::Duration};

use secrecy::SecretString;

use super::{
    agents::AgentRecord,
    clock::Clock,
    conversations::ConversationRecord,
    faults::FaultPlan,
    history::Messages,
    ids::Ids,
    journal::{Call, Journal},
    runs::{Lock, RunRecord},
    tools::ToolRegistry,
};
use crate::{
    AgentId, RunId,
    llm::{FakeLlm, LlmConfig},
};

/// How the server is set up.
#[derive(Debug)]
pub(super) struct Config {
    /// Accept ids that no real server would give, and agents without a known model.
    pub(super) lenient: bool,
    /// Whether events of background runs are kept, and conversations are locked.
    pub(super) redis: bool,
    /// What a client must present; `None` lets everybody in.
    pub(super) token: Option<SecretString>,
    pub(super) seed: u64,
    pub(super) version: String,
    /// Handles of the models offered.
    pub(super) models: Vec<String>,
    pub(super) llm: LlmConfig,
    /// What every call takes.
    pub(super) latency: Duration,
}

impl Config {
    fn new() -> Self {
        let llm = LlmConfig::default();
        Self {
            lenient: false,
            redis: true,
            token: None,
            seed: 0,
            version: "0.16.8".to_owned(),
            models: handles(&llm),
            llm,
            latency: Duration::ZERO,
        }
    }
}

/// The names under which the server offers the provider's models.
pub(super) fn handles(llm: &LlmConfig) -> Vec<String> {
    llm.models
        .iter()
        .map(|model| format!("openai-proxy/{}", model.id))
        .collect()
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) ids: Ids,
    pub(super) tools: ToolRegistry,
    pub(super) agents: Vec<AgentRecord>,
    pub(super) conversations: Vec<ConversationRecord>,
    pub(super) messages: Messages,
    pub(super) runs: Vec<RunRecord>,
    /// The run that a cancellation without a name means.
    pub(super) last_runs: HashMap<AgentId, RunId>,
    /// Runs by the ids of the messages that started them, each alone and all together.
    pub(super) runs_by_otid: HashMap<String, RunId>,
    pub(super) locks: HashMap<String, Lock>,
    pub(super) llms: HashMap<AgentId, Arc<FakeLlm>>,
    pub(super) faults: FaultPlan,
    pub(super) journal: Journal,
    /// Whether the server can be reached.
    pub(super) up: bool,
    /// How often its connections were cut.
    pub(super) network: u64,
}

impl State {
    pub(super) fn new() -> Self {
        let config = Config::new();
        Self {
            ids: Ids::new(config.seed),
            config,
            clock: Clock::new(),
            tools: ToolRegistry::new(),
            agents: Vec::new(),
            conversations: Vec::new(),
            messages: Messages::default(),
            runs: Vec::new(),
            last_runs: HashMap::new(),
            runs_by_otid: HashMap::new(),
            locks: HashMap::new(),
            llms: HashMap::new(),
            faults: FaultPlan::default(),
            journal: Journal::default(),
            up: true,
            network: 0,
        }
    }

    pub(super) fn record(&mut self, call: Call) {
        self.journal.record(call);
    }
}
