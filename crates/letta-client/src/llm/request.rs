//! What a provider is asked.

use serde_json::{Map, Value};

use super::completion::LlmToolCall;

/// Who a message of the conversation is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LlmRole {
    /// Instructions (OpenAI's `system` and `developer`, Anthropic's top-level `system`).
    System,
    /// The person, or whoever speaks to the agent.
    User,
    /// The model's own earlier answer.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// One message of the conversation so far.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LlmMessage {
    /// Who it is from.
    pub role: LlmRole,
    /// Its text as the provider received it; several text parts are joined by a line break.
    pub text: String,
    /// How many images came with it.
    pub images: usize,
    /// The tool calls of an assistant message.
    pub tool_calls: Vec<LlmToolCall>,
    /// Which call a tool message is the result of.
    pub tool_call_id: Option<String>,
}

impl LlmMessage {
    fn new(role: LlmRole, text: impl Into<String>) -> Self {
        Self {
            role,
            text: text.into(),
            images: 0,
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }

    /// A system message.
    pub fn system(text: impl Into<String>) -> Self {
        Self::new(LlmRole::System, text)
    }

    /// A user message.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(LlmRole::User, text)
    }

    /// An assistant message.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new(LlmRole::Assistant, text)
    }

    /// The result of the tool call `tool_call_id`.
    pub fn tool(tool_call_id: impl Into<String>, result: impl Into<String>) -> Self {
        Self {
            tool_call_id: Some(tool_call_id.into()),
            ..Self::new(LlmRole::Tool, result)
        }
    }

    /// The same message with `images` images.
    #[must_use]
    pub fn with_images(mut self, images: usize) -> Self {
        self.images = images;
        self
    }

    /// The same message with one more tool call.
    #[must_use]
    pub fn with_tool_call(mut self, call: LlmToolCall) -> Self {
        self.tool_calls.push(call);
        self
    }
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OfferedTool {
    /// The tool's name.
    pub name: String,
    /// The JSON schema of its arguments; [`Value::Null`] when none was given.
    pub parameters: Value,
}

impl OfferedTool {
    /// A tool with the JSON schema of its arguments.
    pub fn new(name: impl Into<String>, parameters: Value) -> Self {
        Self {
            name: name.into(),
            parameters,
        }
    }

    /// Whether the schema demands the argument `name`.
    pub(super) fn requires(&self, name: &str) -> bool {
        self.parameters
            .get("required")
            .and_then(Value::as_array)
            .is_some_and(|required| required.iter().any(|item| item == name))
    }

    /// Whether the schema knows the argument `name`.
    pub(super) fn accepts(&self, name: &str) -> bool {
        self.parameters
            .get("properties")
            .and_then(Value::as_object)
            .is_some_and(|known: &Map<_, _>| known.contains_key(name))
    }
}

/// Whether the model must call a tool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// It must not.
    None,
    /// It must call one of those offered (OpenAI `required`, Anthropic `any`).
    Required,
    /// It must call this one.
    Tool(String),
}

impl ToolChoice {
    pub(super) fn allows(&self, name: &str) -> bool {
        match self {
            Self::Auto | Self::Required => true,
            Self::None => false,
            Self::Tool(wanted) => wanted == name,
        }
    }
}

/// One request for a completion.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LlmRequest {
    /// The provider's name of the model.
    pub model: String,
    /// The conversation, oldest message first.
    pub messages: Vec<LlmMessage>,
    /// The tools the model may call.
    pub tools: Vec<OfferedTool>,
    /// Whether the model must call a tool. A call that is demanded and that no marker makes gets arguments from the
    /// tool's schema, with what the model would have said for every text.
    pub tool_choice: ToolChoice,
    /// Whether one answer may carry several tool calls. When not, only the first is made.
    pub parallel_tool_calls: bool,
    /// How many tokens the answer may have; a longer one ends with [`FinishReason::Length`](super::FinishReason).
    pub max_tokens: Option<u64>,
}

impl LlmRequest {
    /// A request without messages and tools, that allows parallel tool calls.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            messages: Vec::new(),
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            parallel_tool_calls: true,
            max_tokens: None,
        }
    }

    /// The same request with one more message at its end.
    #[must_use]
    pub fn message(mut self, message: LlmMessage) -> Self {
        self.messages.push(message);
        self
    }

    /// The same request with more messages at its end.
    #[must_use]
    pub fn messages(mut self, messages: impl IntoIterator<Item = LlmMessage>) -> Self {
        self.messages.extend(messages);
        self
    }

    /// The same request with one more tool.
    #[must_use]
    pub fn tool(mut self, tool: OfferedTool) -> Self {
        self.tools.push(tool);
        self
    }

    /// The same request with another rule about calling tools.
    #[must_use]
    pub fn with_tool_choice(mut self, choice: ToolChoice) -> Self {
        self.tool_choice = choice;
        self
    }

    /// The same request with parallel tool calls allowed or not.
    #[must_use]
    pub fn with_parallel_tool_calls(mut self, allowed: bool) -> Self {
        self.parallel_tool_calls = allowed;
        self
    }

    /// The same request with a limit on the answer's tokens.
    #[must_use]
    pub fn with_max_tokens(mut self, tokens: u64) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    pub(super) fn offered(&self, name: &str) -> Option<&OfferedTool> {
        self.tools.iter().find(|tool| tool.name == name)
    }
}
