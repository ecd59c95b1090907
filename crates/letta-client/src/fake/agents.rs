//! Agents: what the server knows of them, and how it lists them.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    ids::is_well_formed,
    message::{Body, Message},
    refusal::{Refusal, agent_not_found, malformed_id, row_not_found},
    seed::AgentSeed,
    state::State,
};
use crate::{AgentId, AgentUpdate, ConversationId, LettaErrorKind, StopReason};

/// The kind of agent that the server makes unless told otherwise.
pub(super) const DEFAULT_AGENT_TYPE: &str = "letta_v1_agent";

/// An agent made with this tag is hidden, whatever else is asked for.
const SUBAGENT_TAG: &str = "role:subagent";

/// A memory block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) value: String,
}

/// An agent as the server stores it.
#[derive(Debug, Clone)]
pub(super) struct AgentRecord {
    pub(super) id: AgentId,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) agent_type: String,
    pub(super) model: String,
    pub(super) embedding: Option<String>,
    pub(super) system: Option<String>,
    pub(super) blocks: Vec<Block>,
    /// Names of the attached tools, base tools included.
    pub(super) tools: Vec<String>,
    /// Names of the tools that need a person's consent.
    pub(super) approval_rules: Vec<String>,
    pub(super) metadata: Option<Map<String, Value>>,
    pub(super) hidden: Option<bool>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    /// Ids of the messages of the default conversation that the model still sees, oldest first.
    pub(super) context: Vec<String>,
    pub(super) last_stop_reason: Option<StopReason>,
    pub(super) last_run_completion: Option<Timestamp>,
    pub(super) last_run_duration_ms: Option<u64>,
}

impl State {
    /// Whether `id` can be an agent's, which the server checks before it looks.
    pub(super) fn check_agent_id(&self, id: &AgentId) -> Result<(), Refusal> {
        if self.config.lenient || is_well_formed("agent", id.as_str()) {
            Ok(())
        } else {
            Err(malformed_id("agent_id", "agent", id.as_str()))
        }
    }

    pub(super) fn agent(&self, id: &AgentId) -> Result<&AgentRecord, Refusal> {
        self.check_agent_id(id)?;
        self.agents
            .iter()
            .find(|agent| agent.id == *id)
            .ok_or_else(|| agent_not_found(id.as_str()))
    }

    pub(super) fn agent_mut(&mut self, id: &AgentId) -> Result<&mut AgentRecord, Refusal> {
        self.check_agent_id(id)?;
        self.agents
            .iter_mut()
            .find(|agent| agent.id == *id)
            .ok_or_else(|| agent_not_found(id.as_str()))
    }

    /// Makes an agent as `POST /v1/agents/` does.
    pub(super) fn create_agent(&mut self, mut seed: AgentSeed) -> Result<AgentId, Refusal> {
        check_name(&seed.agent.name)?;
        if seed.agent.tags.iter().any(|tag| tag == SUBAGENT_TAG) {
            seed.hidden = Some(true);
        }
        self.insert_agent(seed)
    }

    /// Makes an agent without looking at its name.
    pub(super) fn insert_agent(&mut self, seed: AgentSeed) -> Result<AgentId, Refusal> {
        let AgentSeed {
            id,
            agent,
            agent_type,
            hidden,
            created_at,
        } = seed;
        let model = self.choose_model(agent.model.as_deref())?;
        let mut tools: Vec<String> = self.tools.base_names();
        for tool in agent.tools {
            if !self.tools.exists(&tool) {
                return Err(Refusal::detail(
                    400,
                    LettaErrorKind::InvalidRequest,
                    format!("Tools not found by name: {{'{tool}'}}"),
                ));
            }
            if !tools.contains(&tool) {
                tools.push(tool);
            }
        }
        let blocks = agent
            .memory_blocks
            .into_iter()
            .map(|(label, value)| Block {
                id: self.ids.next("block"),
                label,
                value,
            })
            .collect();
        let id = id.unwrap_or_else(|| AgentId::new(self.ids.next("agent")));
        let now = self.clock.now();
        let approval_rules = tools
            .iter()
            .filter(|tool| self.tools.asks_by_default(tool))
            .cloned()
            .collect();
        if self.agents.iter().any(|other| other.id == id) {
            self.delete_agent(&id)?;
        }
        self.agents.push(AgentRecord {
            id: id.clone(),
            name: agent.name,
            description: agent.description,
            tags: agent.tags,
            agent_type: agent_type.unwrap_or_else(|| DEFAULT_AGENT_TYPE.to_owned()),
            model,
            embedding: agent.embedding,
            system: agent.system,
            blocks,
            tools,
            approval_rules,
            metadata: (!agent.metadata.is_empty()).then_some(agent.metadata),
            hidden,
            created_at: created_at.unwrap_or(now),
            updated_at: created_at.unwrap_or(now),
            context: Vec::new(),
            last_stop_reason: None,
            last_run_completion: None,
            last_run_duration_ms: None,
        });
        self.save_system_message(&id, None)?;
        Ok(id)
    }

    /// Begins a context: the default one of an agent, or that of a conversation.
    pub(super) fn save_system_message(
        &mut self,
        id: &AgentId,
        conversation: Option<&ConversationId>,
    ) -> Result<(), Refusal> {
        let text = self.system_text(self.agent(id)?, conversation);
        let message = Message {
            id: self.ids.next("message"),
            agent: id.clone(),
            conversation: conversation.cloned(),
            run: None,
            step: None,
            otid: None,
            date: self.clock.now(),
            name: None,
            sender: None,
            body: Body::System(text),
        };
        let first = vec![message.id.clone()];
        match conversation {
            None => self.agent_mut(id)?.context = first,
            Some(conversation) => {
                if let Some(conversation) = self.conversation_mut(conversation) {
                    conversation.context = first;
                }
            }
        }
        self.messages.save(message);
        Ok(())
    }

    /// Empties the default context. The history stays.
    pub(super) fn reset_messages(&mut self, id: &AgentId) -> Result<(), Refusal> {
        let now = self.clock.now();
        let agent = self.agent_mut(id)?;
        agent.context.truncate(1);
        agent.updated_at = now;
        Ok(())
    }

    pub(super) fn update_agent(
        &mut self,
        id: &AgentId,
        update: &AgentUpdate,
    ) -> Result<&AgentRecord, Refusal> {
        let now = self.clock.now();
        self.check_agent_id(id)?;
        let agent = self
            .agent_mut(id)
            .map_err(|_| row_not_found("Agent", id.as_str()))?;
        if let Some(name) = &update.name {
            agent.name.clone_from(name);
        }
        if let Some(description) = &update.description {
            agent.description = Some(description.clone());
        }
        if let Some(tags) = &update.tags {
            agent.tags.clone_from(tags);
        }
        agent.updated_at = now;
        Ok(agent)
    }

    pub(super) fn delete_agent(&mut self, id: &AgentId) -> Result<(), Refusal> {
        self.check_agent_id(id)?;
        let before = self.agents.len();
        self.agents.retain(|agent| agent.id != *id);
        if self.agents.len() == before {
            return Err(row_not_found("Agent", id.as_str()));
        }
        self.conversations
            .retain(|conversation| conversation.agent != *id);
        self.messages.retain(|message| message.agent != *id);
        self.llms.remove(id);
        Ok(())
    }

    /// Whether there is a model of this name.
    pub(super) fn check_model(&self, handle: &str) -> Result<(), Refusal> {
        self.choose_model(Some(handle)).map(|_| ())
    }

    /// The handle of the model to use, or the server's refusal of it.
    fn choose_model(&self, wanted: Option<&str>) -> Result<String, Refusal> {
        let known = &self.config.models;
        match wanted {
            Some(handle) if known.iter().any(|model| model == handle) => Ok(handle.to_owned()),
            Some(handle) => Err(Refusal::detail(
                404,
                // A client knows that what is missing is not what it asked about.
                LettaErrorKind::InvalidRequest,
                format!("NOT_FOUND: Handle {handle} not found, must be one of {known:?}"),
            )),
            None => match known.first() {
                Some(first) if self.config.lenient => Ok(first.clone()),
                _ => Err(Refusal::detail(
                    400,
                    LettaErrorKind::InvalidRequest,
                    "INVALID_ARGUMENT: Must specify either model or llm_config in request",
                )),
            },
        }
    }
}

/// A new agent's name must be fit for a file name: the server says so with status 500.
fn check_name(name: &str) -> Result<(), Refusal> {
    // Python's `$` also matches before a final line break.
    let checked = name
        .strip_suffix('\n')
        .filter(|rest| !rest.is_empty())
        .unwrap_or(name);
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | ' ' | '\'' | '-');
    if checked.chars().all(allowed) {
        return Ok(());
    }
    Err(Refusal::detail(
        500,
        LettaErrorKind::InvalidRequest,
        format!(
            "Export failed: Agent name '{name}' contains invalid characters. Only letters (any language), digits, \
             spaces, hyphens, underscores, and apostrophes are allowed. Please avoid filesystem-unsafe characters \
             like: / \\ : * ? \" < > |"
        ),
    ))
}
