//! What the language model is asked, and what comes of it.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{
    agents::AgentRecord,
    event::Totals,
    ids,
    message::{Body, Message},
    state::State,
    tools::FakeTool,
};
use crate::{
    AgentId, ContentPart, ConversationId, ToolCall,
    llm::{FakeLlm, FinishReason, LlmMessage, LlmRequest, LlmToolCall, OfferedTool},
};

/// What a model may write in one answer, in tokens.
const MAX_ANSWER: u64 = 16_384;

/// How often the server asks the provider again, and how long it waits before.
pub(super) const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];

/// What the model said.
#[derive(Debug, Clone)]
pub(super) struct Spoken {
    /// The id its message gets.
    pub(super) message: String,
    pub(super) reasoning: Option<String>,
    pub(super) text: Option<String>,
    pub(super) calls: Vec<ToolCall>,
    pub(super) finish: FinishReason,
}

impl Totals {
    /// Adds one answer of the model.
    pub(super) fn add(&mut self, prompt: u64, completion: u64) {
        self.prompt += prompt;
        self.completion += completion;
        self.steps += 1;
        self.context = Some(prompt + completion);
    }
}

impl State {
    /// The model behind an agent. Each has its own, so that one's script and call ids are not another's business.
    pub(super) fn llm(&mut self, agent: &AgentId) -> Arc<FakeLlm> {
        let config = &self.config.llm;
        let engine = self.llms.entry(agent.clone()).or_insert_with(|| {
            let seed = ids::seed_for(config.seed, agent.as_str());
            Arc::new(FakeLlm::with_config(config.clone()).with_seed(seed))
        });
        Arc::clone(engine)
    }

    /// The provider's name of a model.
    fn model_name(handle: &str) -> String {
        handle
            .rsplit_once('/')
            .map_or(handle, |(_, name)| name)
            .to_owned()
    }

    /// The request of one step: the context, the input that is not part of it yet, the tools.
    pub(super) fn llm_request<'a>(
        &self,
        agent: &AgentRecord,
        handle: &str,
        messages: impl IntoIterator<Item = &'a Message>,
        client_tools: impl IntoIterator<Item = OfferedTool>,
    ) -> LlmRequest {
        let offered = agent
            .tools
            .iter()
            .filter_map(|name| self.tools.get(name))
            .map(FakeTool::offered)
            .chain(client_tools);
        let mut request = LlmRequest::new(Self::model_name(handle))
            .with_parallel_tool_calls(false)
            .with_max_tokens(MAX_ANSWER)
            .messages(messages.into_iter().filter_map(for_model));
        for tool in offered {
            request = request.tool(tool);
        }
        request
    }

    /// The request that shortens a conversation.
    pub(super) fn summary_request(handle: &str, evicted: &[&Message]) -> LlmRequest {
        let transcript: String = evicted
            .iter()
            .filter_map(|message| for_model(message))
            .map(|message| format!("[{:?}] {}\n", message.role, message.text))
            .collect();
        LlmRequest::new(Self::model_name(handle))
            .message(LlmMessage::system(
                "Summarise the messages that leave the context.",
            ))
            .message(LlmMessage::user(format!(
                "<start_transcript>\n{transcript}<end_transcript>"
            )))
    }

    /// The first message of a context: the agent's system prompt with its memory.
    pub(super) fn system_text(&self, agent: &AgentRecord, conversation: Option<&ConversationId>) -> String {
        let mut text = agent
            .system
            .clone()
            .unwrap_or_else(|| super::agent_json::default_system().to_owned());
        if !agent.blocks.is_empty() {
            text.push_str(
                "\n\n<memory_blocks>\nThe following memory blocks are currently engaged in your core memory unit:\n\n",
            );
            for block in &agent.blocks {
                text.push_str(&format!(
                    "<{label}>\n<metadata>\n- chars_current={length}\n- chars_limit=100000\n</metadata>\n\
                     <value>\n{value}\n</value>\n</{label}>\n\n",
                    label = block.label,
                    length = block.value.chars().count(),
                    value = block.value,
                ));
            }
            text.push_str("</memory_blocks>");
        }
        let conversation = conversation.map_or("default", ConversationId::as_str);
        text.push_str(&format!(
            "\n\n<memory_metadata>\n- AGENT_ID: {}\n- CONVERSATION_ID: {conversation}\n</memory_metadata>",
            agent.id
        ));
        text
    }
}

impl FakeTool {
    /// The tool as the model sees it.
    fn offered(&self) -> OfferedTool {
        OfferedTool::new(&self.name, self.parameters.clone())
    }
}

/// A message as the model sees it; some it does not see.
fn for_model(message: &Message) -> Option<LlmMessage> {
    let spoken = |reasoning: &Option<String>, text: &Option<String>, calls: &[ToolCall]| {
        // Thoughts are not shown to the model again.
        let _ = reasoning;
        let text = text.clone().unwrap_or_default();
        calls.iter().fold(LlmMessage::assistant(text), |message, call| {
            message.with_tool_call(LlmToolCall {
                id: call.id.to_string(),
                name: call.name.clone(),
                arguments: call.arguments.clone(),
            })
        })
    };
    match &message.body {
        Body::System(text) => Some(LlmMessage::system(text)),
        Body::User(content) => {
            let (text, images) = flatten(content);
            Some(LlmMessage::user(text).with_images(images))
        }
        Body::Summary(summary) => Some(LlmMessage::user(&summary.packed)),
        Body::Assistant {
            reasoning,
            text,
            calls,
        } => Some(spoken(reasoning, text, calls)),
        Body::ApprovalRequest { reasoning, calls } => Some(spoken(reasoning, &None, calls)),
        Body::ApprovalResponse(_) => None,
        Body::ToolReturn(answer) => Some(LlmMessage::tool(answer.call.as_str(), &answer.output)),
    }
}

/// The texts of a content, joined by line breaks, and the number of its images.
pub(super) fn flatten(content: &[ContentPart]) -> (String, usize) {
    let texts: Vec<&str> = content
        .iter()
        .filter_map(|part| match part {
            ContentPart::Text(text) => Some(text.as_str()),
            ContentPart::Image { .. } => None,
        })
        .collect();
    (texts.join("\n"), content.len() - texts.len())
}

/// The message that tells the model, and whoever reads along, that older messages are summarised.
pub(super) fn pack_summary(
    text: &str,
    time: &str,
    evicted: Option<usize>,
    stats: &serde_json::Value,
) -> String {
    let which = evicted.map_or_else(|| "prior".to_owned(), |count| count.to_string());
    let packed = json!({
        "type": "system_alert",
        "message": format!(
            "Note: {which} messages from the beginning of the conversation have been hidden from view due to memory \
             constraints.\nThe following is a summary of the previous messages:\n {text}"
        ),
        "time": time,
        "compaction_stats": stats,
    });
    serde_json::to_string_pretty(&packed).unwrap_or_else(|_| packed.to_string())
}
