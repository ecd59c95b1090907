//! What somebody asks an agent to do, in all the forms the REST API has.

use crate::{
    AgentId, ApprovalDecision, ContentPart, ConversationId, ConversationRef, Otid, TurnInput, TurnOptions,
};

pub use super::message::Decision;

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `/v1/agents/{id}/messages`: the default conversation, without a lock.
    Agent(AgentId),
    /// `/v1/conversations/default/messages` with an `agent_id`: the default conversation, with a lock.
    LockedAgent(AgentId),
    /// `/v1/conversations/{id}/messages`.
    Conversation(ConversationId),
}

impl From<&ConversationRef> for Target {
    fn from(to: &ConversationRef) -> Self {
        match &to.conversation {
            Some(conversation) => Self::Conversation(conversation.clone()),
            None => Self::Agent(to.agent.clone()),
        }
    }
}

/// Who an input message is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InputRole {
    /// A person.
    #[default]
    User,
    /// The system.
    System,
    /// The agent: words put into its mouth.
    Assistant,
}

/// One message of the input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InputMessage {
    /// Who it is from.
    pub role: InputRole,
    /// What it says.
    pub content: Vec<ContentPart>,
    /// `name`
    pub name: Option<String>,
    /// `otid`; the server makes one when there is none.
    pub otid: Option<Otid>,
    /// `sender_id`
    pub sender: Option<String>,
}

/// A tool that the client runs itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientTool {
    /// Its name.
    pub name: String,
    /// The JSON schema of its arguments.
    pub parameters: serde_json::Value,
}

/// The body of a request to send something.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TurnRequest {
    /// Decisions on tool calls, which come first.
    pub decisions: Option<Vec<Decision>>,
    /// The messages, or those behind the decisions.
    pub messages: Vec<InputMessage>,
    /// `streaming`
    pub streaming: bool,
    /// `stream_tokens`
    pub tokens: bool,
    /// `background`
    pub background: bool,
    /// `include_pings`
    pub pings: bool,
    /// `max_steps`
    pub max_steps: Option<u32>,
    /// `include_return_message_types`
    pub only_types: Option<Vec<String>>,
    /// `include_compaction_messages`
    pub compaction_messages: bool,
    /// `client_tools`
    pub client_tools: Vec<ClientTool>,
    /// `override_model`
    pub model: Option<String>,
}

impl TurnRequest {
    /// What [`LettaApi::send`](crate::LettaApi::send) asks for.
    pub(super) fn say(input: &TurnInput, options: &TurnOptions, background: bool) -> Self {
        Self {
            messages: vec![InputMessage {
                content: input.content.clone(),
                name: input.name.clone(),
                otid: Some(input.otid.clone()),
                ..InputMessage::default()
            }],
            ..Self::stream(options, background)
        }
    }

    /// What [`LettaApi::decide`](crate::LettaApi::decide) asks for.
    pub(super) fn decide(decisions: &[ApprovalDecision], options: &TurnOptions, background: bool) -> Self {
        let decisions = decisions.iter().map(|decision| Decision::Approval {
            call: decision.call.clone(),
            approve: decision.approve,
            reason: decision.reason.clone(),
        });
        Self {
            decisions: Some(decisions.collect()),
            ..Self::stream(options, background)
        }
    }

    fn stream(options: &TurnOptions, background: bool) -> Self {
        Self {
            streaming: true,
            tokens: options.tokens,
            background,
            pings: true,
            max_steps: options.max_steps,
            ..Self::default()
        }
    }

    /// The ids that its sender gave it.
    pub(super) fn otids(&self) -> impl Iterator<Item = &Otid> {
        self.messages.iter().filter_map(|message| message.otid.as_ref())
    }

    /// What two requests share that are the same one sent twice.
    pub(super) fn token(&self) -> Option<String> {
        let otids: Vec<&str> = self.otids().map(Otid::as_str).collect();
        (!otids.is_empty()).then(|| otids.join("|"))
    }
}
