//! Everything the fake server knows, behind one lock.

use secrecy::SecretString;

use super::{
    agents::AgentRecord,
    clock::Clock,
    faults::FaultPlan,
    ids::Ids,
    journal::{Call, Journal},
    tools::ToolRegistry,
};
use crate::llm::LlmConfig;

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
    pub(super) faults: FaultPlan,
    pub(super) journal: Journal,
    /// Whether the server can be reached.
    pub(super) up: bool,
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
            faults: FaultPlan::default(),
            journal: Journal::default(),
            up: true,
        }
    }

    pub(super) fn record(&mut self, call: Call) {
        self.journal.record(call);
    }
}
