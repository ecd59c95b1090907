//! Reads `POST /v1/messages`, and refuses what Anthropic refuses.

use letta_client::llm::{LlmMessage, LlmRequest, LlmToolCall, OfferedTool, ToolChoice};
use serde_json::Value;

use super::super::error::ApiError;

/// A request for a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MessagesRequest {
    pub(super) llm: LlmRequest,
    pub(super) stream: bool,
    /// Whether the answer may have thinking in it.
    pub(super) thinking: bool,
}

type Read<T> = Result<T, ApiError>;

impl MessagesRequest {
    pub(super) fn read(body: &Value) -> Read<Self> {
        let mut llm = read_conversation(body)?;
        llm.max_tokens = match given(body, "max_tokens") {
            Some(limit) => Some(limit.as_u64().filter(|limit| *limit > 0).ok_or_else(|| {
                ApiError::invalid("max_tokens: Input should be a valid integer greater than or equal to 1")
            })?),
            None => return Err(required("max_tokens")),
        };
        let stream = match given(body, "stream") {
            None => false,
            Some(Value::Bool(stream)) => *stream,
            Some(_) => return Err(ApiError::invalid("stream: Input should be a valid boolean")),
        };
        let thinking = given(body, "thinking").and_then(|thinking| thinking.get("type"));
        let thinking = matches!(thinking.and_then(Value::as_str), Some("enabled" | "adaptive"));
        Ok(Self {
            llm,
            stream,
            thinking,
        })
    }
}

/// The part of the request that token counting has too: model, system, messages, tools.
pub(super) fn read_conversation(body: &Value) -> Read<LlmRequest> {
    let model = given(body, "model").ok_or_else(|| required("model"))?;
    let model = model
        .as_str()
        .ok_or_else(|| ApiError::invalid("model: Input should be a valid string"))?;
    let mut llm = LlmRequest::new(model);
    if let Some(system) = given(body, "system") {
        let (text, _) = text_of("system", system)?;
        llm = llm.message(LlmMessage::system(text));
    }
    let messages = given(body, "messages").ok_or_else(|| required("messages"))?;
    let messages = messages
        .as_array()
        .ok_or_else(|| ApiError::invalid("messages: Input should be a valid list"))?;
    if messages.is_empty() {
        return Err(ApiError::invalid("messages: at least one message is required"));
    }
    for (at, message) in messages.iter().enumerate() {
        read_message(&format!("messages.{at}"), message, &mut llm.messages)?;
    }
    check_results(&llm.messages)?;
    llm.tools = tools(body)?;
    if let Some(choice) = given(body, "tool_choice") {
        llm.tool_choice = tool_choice(choice, &llm.tools)?;
        llm.parallel_tool_calls =
            choice.get("disable_parallel_tool_use").and_then(Value::as_bool) != Some(true);
    }
    Ok(llm)
}

/// A field that is there and not null.
fn given<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

fn required(path: &str) -> ApiError {
    ApiError::invalid(format!("{path}: Field required"))
}

fn string(object: &Value, path: &str, name: &str) -> Read<String> {
    let found = given(object, name).and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| required(&format!("{path}.{name}")))
}

/// The text of a string or of text blocks, and how many images stand among them.
fn text_of(path: &str, content: &Value) -> Read<(String, usize)> {
    let blocks = match content {
        Value::String(text) => return Ok((text.clone(), 0)),
        Value::Array(blocks) => blocks,
        _ => {
            return Err(ApiError::invalid(format!(
                "{path}: Input should be a valid string or list"
            )));
        }
    };
    let (mut texts, mut images) = (Vec::new(), 0);
    for (at, block) in blocks.iter().enumerate() {
        let path = format!("{path}.{at}");
        match string(block, &path, "type")?.as_str() {
            "text" => texts.push(string(block, &path, "text")?),
            "image" => images += 1,
            "document" | "search_result" | "tool_reference" => {}
            other => return Err(unexpected(&path, other)),
        }
    }
    Ok((texts.join("\n"), images))
}

fn unexpected(path: &str, kind: &str) -> ApiError {
    ApiError::invalid(format!(
        "{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags"
    ))
}

/// Tool results become messages of their own, before the text that stands beside them.
fn read_message(path: &str, message: &Value, messages: &mut Vec<LlmMessage>) -> Read<()> {
    let role = string(message, path, "role")?;
    let content = given(message, "content").ok_or_else(|| required(&format!("{path}.content")))?;
    let path = format!("{path}.content");
    match role.as_str() {
        "user" => read_user(&path, content, messages),
        "assistant" => {
            messages.push(read_assistant(&path, content)?);
            Ok(())
        }
        _ => Err(ApiError::invalid(format!(
            "{}.role: Input should be 'user' or 'assistant'",
            path.trim_end_matches(".content")
        ))),
    }
}

fn read_user(path: &str, content: &Value, messages: &mut Vec<LlmMessage>) -> Read<()> {
    let Value::Array(blocks) = content else {
        let (text, _) = text_of(path, content)?;
        messages.push(LlmMessage::user(text));
        return Ok(());
    };
    let (mut results, mut said) = (0, Vec::new());
    for (at, block) in blocks.iter().enumerate() {
        if given(block, "type").and_then(Value::as_str) != Some("tool_result") {
            said.push(block.clone());
            continue;
        }
        let path = format!("{path}.{at}");
        let id = string(block, &path, "tool_use_id")?;
        let (text, images) = match given(block, "content") {
            Some(content) => text_of(&format!("{path}.content"), content)?,
            None => (String::new(), 0),
        };
        messages.push(LlmMessage::tool(id, text).with_images(images));
        results += 1;
    }
    if results == 0 || !said.is_empty() {
        let (text, images) = text_of(path, &Value::Array(said))?;
        messages.push(LlmMessage::user(text).with_images(images));
    }
    Ok(())
}

fn read_assistant(path: &str, content: &Value) -> Read<LlmMessage> {
    let Value::Array(blocks) = content else {
        return Ok(LlmMessage::assistant(text_of(path, content)?.0));
    };
    let (mut texts, mut calls) = (Vec::new(), Vec::new());
    for (at, block) in blocks.iter().enumerate() {
        let path = format!("{path}.{at}");
        match string(block, &path, "type")?.as_str() {
            "text" => texts.push(string(block, &path, "text")?),
            "tool_use" => calls.push(LlmToolCall {
                id: string(block, &path, "id")?,
                name: string(block, &path, "name")?,
                arguments: given(block, "input")
                    .ok_or_else(|| required(&format!("{path}.input")))?
                    .to_string(),
            }),
            "thinking" | "redacted_thinking" => {}
            other => return Err(unexpected(&path, other)),
        }
    }
    Ok(calls.into_iter().fold(
        LlmMessage::assistant(texts.join("\n")),
        LlmMessage::with_tool_call,
    ))
}

/// Every tool result answers a call of the message before it, and every call has its result.
fn check_results(messages: &[LlmMessage]) -> Read<()> {
    let mut open: Vec<&str> = Vec::new();
    for message in messages {
        let Some(id) = message.tool_call_id.as_deref() else {
            check_closed(&open)?;
            open = message.tool_calls.iter().map(|call| call.id.as_str()).collect();
            continue;
        };
        let Some(position) = open.iter().position(|open| *open == id) else {
            return Err(ApiError::invalid(format!(
                "messages: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must \
                 have a corresponding `tool_use` block in the previous message."
            )));
        };
        open.remove(position);
    }
    check_closed(&open)
}

fn check_closed(open: &[&str]) -> Read<()> {
    if open.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "messages: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block \
         must have a corresponding `tool_result` block in the next message.",
        open.join(", ")
    )))
}

fn tools(body: &Value) -> Read<Vec<OfferedTool>> {
    let Some(raw) = given(body, "tools") else {
        return Ok(Vec::new());
    };
    let raw = raw
        .as_array()
        .ok_or_else(|| ApiError::invalid("tools: Input should be a valid list"))?;
    let mut tools = Vec::new();
    for (at, tool) in raw.iter().enumerate() {
        // Tools that the provider runs itself have a type of their own and no schema.
        if given(tool, "type").is_some_and(|kind| kind != "custom") {
            continue;
        }
        let path = format!("tools.{at}");
        let name = string(tool, &path, "name")?;
        let schema = given(tool, "input_schema").ok_or_else(|| required(&format!("{path}.input_schema")))?;
        tools.push(OfferedTool::new(name, schema.clone()));
    }
    Ok(tools)
}

fn tool_choice(choice: &Value, tools: &[OfferedTool]) -> Read<ToolChoice> {
    match string(choice, "tool_choice", "type")?.as_str() {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "any" if !tools.is_empty() => Ok(ToolChoice::Required),
        "any" => Err(ApiError::invalid(
            "tool_choice: may only be specified while providing tools",
        )),
        "tool" => {
            let name = string(choice, "tool_choice", "name")?;
            if tools.iter().any(|tool| tool.name == name) {
                return Ok(ToolChoice::Tool(name));
            }
            Err(ApiError::invalid(format!(
                "Tool '{name}' not found in provided tools"
            )))
        }
        other => Err(unexpected("tool_choice", other)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_whole_request_is_read() {
        let body = json!({
            "model": "fake-model", "max_tokens": 100, "stream": true,
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "roll"}, {"type": "image", "source": {}}]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "rolling"},
                    {"type": "tool_use", "id": "toolu_1", "name": "roll", "input": {"n": 6}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "4"}]},
                    {"type": "text", "text": "and?"},
                ]},
            ],
            "tools": [
                {"name": "roll", "input_schema": {"type": "object"}},
                {"type": "web_search_20250305", "name": "web_search"},
            ],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        });
        let call = LlmToolCall {
            id: "toolu_1".into(),
            name: "roll".into(),
            arguments: r#"{"n":6}"#.into(),
        };
        let llm = LlmRequest::new("fake-model")
            .message(LlmMessage::system("Be brief."))
            .message(LlmMessage::user("roll").with_images(1))
            .message(LlmMessage::assistant("rolling").with_tool_call(call))
            .message(LlmMessage::tool("toolu_1", "4"))
            .message(LlmMessage::user("and?"))
            .tool(OfferedTool::new("roll", json!({"type": "object"})))
            .with_tool_choice(ToolChoice::Required)
            .with_parallel_tool_calls(false)
            .with_max_tokens(100);
        assert_eq!(
            MessagesRequest::read(&body),
            Ok(MessagesRequest {
                llm,
                stream: true,
                thinking: true
            })
        );
    }

    #[test]
    fn what_anthropic_refuses_is_refused() {
        let called = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]});
        let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]});
        let user = json!({"role": "user", "content": "x"});
        for (change, part) in [
            (json!({"model": null}), "model: Field required"),
            (json!({"max_tokens": null}), "max_tokens: Field required"),
            (json!({"max_tokens": 0}), "max_tokens: Input"),
            (json!({"messages": null}), "messages: Field required"),
            (json!({"messages": []}), "at least one message"),
            (
                json!({"messages": [{"role": "system", "content": "x"}]}),
                "messages.0.role",
            ),
            (
                json!({"messages": [{"role": "user"}]}),
                "messages.0.content: Field required",
            ),
            (
                json!({"messages": [{"role": "user", "content": [{"type": "video"}]}]}),
                "'video'",
            ),
            (json!({"messages": [result]}), "unexpected `tool_use_id`"),
            (json!({"messages": [user, called]}), "without `tool_result`"),
            (json!({"tools": [{"name": "f"}]}), "tools.0.input_schema"),
            (json!({"tool_choice": {"type": "any"}}), "while providing tools"),
            (
                json!({"tool_choice": {"type": "tool", "name": "f"}}),
                "'f' not found",
            ),
            (json!({"tool_choice": {"type": "maybe"}}), "'maybe'"),
            (json!({"stream": 1}), "valid boolean"),
        ] {
            let mut body = json!({"model": "m", "max_tokens": 1, "messages": [user]});
            for (name, value) in change.as_object().unwrap() {
                body[name] = value.clone();
            }
            let error = MessagesRequest::read(&body).expect_err(part);
            assert!(
                error.status == 400 && error.message.contains(part),
                "{}",
                error.message
            );
        }
    }
}
