//! Tools that agents can call: the server's base tools, a few deterministic ones for tests, and the test's own.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde_json::{Value, json};

/// What a tool's function answers: the result for the model, or what went wrong.
pub type ToolResult = Result<String, String>;

type Function = Arc<dyn Fn(&Value) -> ToolResult + Send + Sync>;

/// A tool for the fake's registry.
///
/// ```
/// # use std::time::Duration;
/// use letta_client::fake::{FakeLetta, FakeTool};
///
/// let letta = FakeLetta::new();
/// letta.register_tool(
///     FakeTool::new("dice", |arguments| Ok(format!("rolled {}", arguments["sides"])))
///         .description("Rolls a die.")
///         .requires_approval()
///         .takes(Duration::from_secs(4)),
/// );
/// ```
#[derive(Clone)]
#[must_use = "a tool does nothing until it is registered"]
pub struct FakeTool {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) parameters: Value,
    pub(super) requires_approval: bool,
    pub(super) duration: Duration,
    pub(super) body: ToolBody,
}

/// What a tool does.
#[derive(Clone)]
pub(super) enum ToolBody {
    /// Searches the agent's history.
    ConversationSearch,
    /// Adds to a memory block.
    MemoryInsert,
    /// Changes a memory block.
    MemoryReplace,
    /// Waits as long as its argument `seconds` says.
    Sleep,
    /// Whatever the test wants.
    Function(Function),
}

impl FakeTool {
    /// A tool whose function gets the arguments as JSON ([`Value::Null`] when the model wrote something else).
    pub fn new(
        name: impl Into<String>,
        function: impl Fn(&Value) -> ToolResult + Send + Sync + 'static,
    ) -> Self {
        Self::of(name.into(), ToolBody::Function(Arc::new(function)))
    }

    fn of(name: String, body: ToolBody) -> Self {
        Self {
            description: format!("Runs {name}."),
            name,
            parameters: json!({ "type": "object", "properties": {}, "required": [] }),
            requires_approval: false,
            duration: Duration::ZERO,
            body,
        }
    }

    /// Sets what it is for.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Sets the JSON schema of its arguments.
    pub fn parameters(mut self, schema: Value) -> Self {
        self.parameters = schema;
        self
    }

    /// Agents that get it ask before each call, until [`set_tool_approval`](crate::LettaApi::set_tool_approval)
    /// says otherwise (`default_requires_approval`).
    pub fn requires_approval(mut self) -> Self {
        self.requires_approval = true;
        self
    }

    /// The server's name for this kind of tool.
    pub(super) fn wire_type(&self) -> &'static str {
        match self.body {
            ToolBody::ConversationSearch => "letta_core",
            ToolBody::MemoryInsert | ToolBody::MemoryReplace => "letta_sleeptime_core",
            ToolBody::Sleep | ToolBody::Function(_) => "custom",
        }
    }

    /// Makes each call take so long.
    pub fn takes(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }
}

impl fmt::Debug for FakeTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeTool")
            .field("name", &self.name)
            .field("requires_approval", &self.requires_approval)
            .field("duration", &self.duration)
            .finish_non_exhaustive()
    }
}

/// All tools the server has, by name.
#[derive(Debug)]
pub(super) struct ToolRegistry {
    tools: BTreeMap<String, FakeTool>,
}

/// What every agent of the default type has.
const BASE_TOOLS: [&str; 3] = ["conversation_search", "memory_insert", "memory_replace"];

impl ToolRegistry {
    /// The base tools, and `echo`, `get_weather`, `fail` and `slow` for whoever attaches them.
    pub(super) fn new() -> Self {
        let text = |name: &str, about: &str| json!({ "type": "object", "properties": { name: { "type": "string", "description": about } }, "required": [name] });
        let tools = [
            FakeTool::of("conversation_search".to_owned(), ToolBody::ConversationSearch)
                .description("Finds earlier messages by text.")
                .parameters(json!({
                    "type": "object",
                    "properties": {
                        "query": { "type": "string", "description": "Text to find." },
                        "limit": { "type": "integer", "description": "How many results at most." },
                    },
                    "required": [],
                })),
            FakeTool::of("memory_insert".to_owned(), ToolBody::MemoryInsert)
                .description("Inserts text into a memory block.")
                .parameters(json!({
                    "type": "object",
                    "properties": {
                        "label": { "type": "string", "description": "Label of the memory block." },
                        "new_string": { "type": "string", "description": "The text to put there." },
                        "insert_line": { "type": "integer", "description": "Line behind which to insert; -1 for the end." },
                    },
                    "required": ["label", "new_string"],
                })),
            FakeTool::of("memory_replace".to_owned(), ToolBody::MemoryReplace)
                .description("Replaces text in a memory block.")
                .parameters(json!({
                    "type": "object",
                    "properties": {
                        "label": { "type": "string", "description": "Label of the memory block." },
                        "old_string": { "type": "string", "description": "The text to replace." },
                        "new_string": { "type": "string", "description": "The text to put there." },
                    },
                    "required": ["label", "old_string", "new_string"],
                })),
            FakeTool::new("echo", |arguments| Ok(text_of(arguments, "text")))
                .description("Returns its text.")
                .parameters(text("text", "The text to return.")),
            FakeTool::new("get_weather", |arguments| Ok(format!("sunny in {}", text_of(arguments, "city"))))
                .description("Tells the weather.")
                .parameters(text("city", "The city.")),
            FakeTool::new("fail", |arguments| Err(format!("RuntimeError: {}", text_of(arguments, "message"))))
                .description("Always fails.")
                .parameters(text("message", "What it fails with.")),
            FakeTool::of("slow".to_owned(), ToolBody::Sleep)
                .description("Takes its time.")
                .parameters(json!({
                    "type": "object",
                    "properties": { "seconds": { "type": "number", "description": "How long it takes." } },
                    "required": ["seconds"],
                })),
        ];
        Self {
            tools: tools.into_iter().map(|tool| (tool.name.clone(), tool)).collect(),
        }
    }

    pub(super) fn register(&mut self, tool: FakeTool) {
        self.tools.insert(tool.name.clone(), tool);
    }

    pub(super) fn get(&self, name: &str) -> Option<&FakeTool> {
        self.tools.get(name)
    }

    /// All tools, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = &FakeTool> {
        self.tools.values()
    }

    pub(super) fn exists(&self, name: &str) -> bool {
        self.tools.contains_key(name)
    }

    pub(super) fn asks_by_default(&self, name: &str) -> bool {
        self.get(name).is_some_and(|tool| tool.requires_approval)
    }

    pub(super) fn base_names(&self) -> Vec<String> {
        BASE_TOOLS.map(ToOwned::to_owned).into()
    }
}

/// A string argument, or another value as JSON.
pub(super) fn text_of(arguments: &Value, name: &str) -> String {
    match arguments.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
