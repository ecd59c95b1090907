//! Running a tool.

use std::time::Duration;

use serde_json::Value;

use super::{
    FakeLetta,
    message::{Body, Message},
    model::flatten,
    state::State,
    tools::{ToolBody, ToolResult, text_of},
};
use crate::{AgentId, ToolCall, ToolStatus};

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Executed {
    pub(super) status: ToolStatus,
    pub(super) output: String,
    pub(super) sandboxed: bool,
}

/// How many results a search has when the model does not say.
const DEFAULT_RESULTS: u64 = 10;

impl FakeLetta {
    /// Runs a call of an agent's tool. Takes as long as the tool says.
    pub(super) async fn execute(&self, agent: &AgentId, call: &ToolCall) -> Executed {
        let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or(Value::Null);
        let (tool, valid) = {
            let state = self.state();
            let names = state
                .agent(agent)
                .map(|record| record.tools.clone())
                .unwrap_or_default();
            (state.tools.get(&call.name).cloned(), names)
        };
        let Some(tool) = tool.filter(|tool| valid.contains(&tool.name)) else {
            return Executed {
                status: ToolStatus::Error,
                output: format!(
                    "[ToolConstraintError] Cannot call {}, valid tools include: [{}].",
                    call.name,
                    valid
                        .iter()
                        .map(|name| format!("'{name}'"))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
                sandboxed: false,
            };
        };
        if !tool.duration.is_zero() {
            tokio::time::sleep(tool.duration).await;
        }
        let (outcome, sandboxed) = match &tool.body {
            ToolBody::ConversationSearch => (Ok(self.state().search(agent, &arguments)), false),
            ToolBody::MemoryInsert => (self.state().memory_insert(agent, &arguments), false),
            ToolBody::MemoryReplace => (self.state().memory_replace(agent, &arguments), false),
            ToolBody::Sleep => {
                let seconds = arguments.get("seconds").and_then(Value::as_f64).unwrap_or(1.0);
                let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                tokio::time::sleep(duration).await;
                (Ok(format!("slept for {seconds} s")), true)
            }
            // Not under the lock: the function may ask the fake something.
            ToolBody::Function(function) => (function(&arguments), true),
        };
        match outcome {
            Ok(output) => Executed {
                status: ToolStatus::Success,
                output,
                sandboxed,
            },
            Err(problem) => Executed {
                status: ToolStatus::Error,
                output: format!("Error executing function {}: {problem}", call.name),
                sandboxed,
            },
        }
    }
}

impl State {
    /// What was said to and by the agent that contains the text, newest first, printed as Python prints it.
    fn search(&mut self, agent: &AgentId, arguments: &Value) -> String {
        let now = self.clock.now();
        let query = text_of(arguments, "query").to_lowercase();
        let limit = arguments
            .get("limit")
            .and_then(Value::as_u64)
            .unwrap_or(DEFAULT_RESULTS);
        let found: Vec<String> = self
            .messages
            .iter()
            .rev()
            .filter(|message| message.agent == *agent)
            .filter_map(|message| spoken(message).map(|(role, text)| (message, role, text)))
            .filter(|(_, _, text)| text.to_lowercase().contains(&query))
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .map(|(message, role, text)| {
                format!(
                    "{{'timestamp': '{}', 'time_ago': '{}s ago', 'role': '{role}', 'relevance': {{'search_mode': \
                     'sql'}}, 'content': {}}}",
                    super::part_json::date(message.date),
                    now.duration_since(message.date).as_secs(),
                    python_string(&text)
                )
            })
            .collect();
        let message = if found.is_empty() {
            "No results found.".to_owned()
        } else {
            format!("Showing {} results:", found.len())
        };
        format!("{{'message': '{message}', 'results': [{}]}}", found.join(", "))
    }

    fn memory_insert(&mut self, agent: &AgentId, arguments: &Value) -> ToolResult {
        let new = text_of(arguments, "new_string");
        let line = arguments.get("insert_line").and_then(Value::as_i64).unwrap_or(-1);
        self.edit_block(agent, arguments, |value| {
            let mut lines: Vec<&str> = value.split('\n').collect();
            let place = usize::try_from(line).unwrap_or(lines.len()).min(lines.len());
            lines.insert(place, &new);
            Ok(lines.join("\n"))
        })
    }

    fn memory_replace(&mut self, agent: &AgentId, arguments: &Value) -> ToolResult {
        let (old, new) = (text_of(arguments, "old_string"), text_of(arguments, "new_string"));
        self.edit_block(agent, arguments, |value| match value.matches(&old).count() {
            _ if old.is_empty() => Err("ValueError: old_string must not be empty".to_owned()),
            0 => Err(format!(
                "ValueError: No replacement was performed, old_string `{old}` did not appear verbatim."
            )),
            1 => Ok(value.replacen(&old, &new, 1)),
            _ => Err(format!(
                "ValueError: No replacement was performed. Multiple occurrences of old_string `{old}`."
            )),
        })
    }

    /// Changes the memory block that the arguments name, and answers with its new value.
    fn edit_block(
        &mut self,
        agent: &AgentId,
        arguments: &Value,
        edit: impl FnOnce(&str) -> ToolResult,
    ) -> ToolResult {
        let label = text_of(arguments, "label");
        let Ok(record) = self.agent_mut(agent) else {
            return Err("ValueError: the agent is gone".to_owned());
        };
        let labels: Vec<String> = record
            .blocks
            .iter()
            .map(|block| format!("'{}'", block.label))
            .collect();
        let Some(block) = record.blocks.iter_mut().find(|block| block.label == label) else {
            return Err(format!(
                "KeyError: 'Block field {label} does not exist (available sections = {})'",
                labels.join(", ")
            ));
        };
        block.value = edit(&block.value)?;
        Ok(block.value.clone())
    }
}

/// Who said a message, and what.
fn spoken(message: &Message) -> Option<(&'static str, String)> {
    match &message.body {
        Body::User(content) => Some(("user", flatten(content).0)),
        Body::Assistant { text: Some(text), .. } => Some(("assistant", text.clone())),
        _ => None,
    }
}

/// A string as Python prints it: in single quotes unless only those are inside.
fn python_string(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\t', "\\t");
    if escaped.contains('\'') && !escaped.contains('"') {
        format!("\"{escaped}\"")
    } else {
        format!("'{}'", escaped.replace('\'', "\\'"))
    }
}
