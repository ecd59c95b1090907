//! Reads `POST /v1/chat/completions`, and refuses what OpenAI refuses.

use letta_client::llm::{LlmMessage, LlmRequest, LlmToolCall, OfferedTool, ToolChoice};
use serde_json::{Map, Value};

use super::super::error::ApiError;

/// A chat request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ChatRequest {
    pub(super) llm: LlmRequest,
    pub(super) stream: bool,
    /// Whether a stream ends with a chunk that has the usage.
    pub(super) include_usage: bool,
}

type Read<T> = Result<T, ApiError>;

impl ChatRequest {
    pub(super) fn read(body: &Value) -> Read<Self> {
        let body = body
            .as_object()
            .ok_or_else(|| invalid_type("body", "an object"))?;
        let model = match body.get("model").and_then(Value::as_str) {
            Some(model) if !model.is_empty() => model,
            _ => return Err(ApiError::invalid("you must provide a model parameter")),
        };
        let stream = flag(body, "stream")?.unwrap_or(false);
        let mut llm = LlmRequest::new(model).messages(messages(body)?);
        llm.tools = tools(body)?;
        llm.tool_choice = tool_choice(body, &llm.tools)?;
        if let Some(allowed) = flag(body, "parallel_tool_calls")? {
            if llm.tools.is_empty() {
                return Err(only_with("parallel_tool_calls", "'tools' are specified"));
            }
            llm.parallel_tool_calls = allowed;
        }
        llm.max_tokens = match count(body, "max_completion_tokens")? {
            Some(limit) => Some(limit),
            None => count(body, "max_tokens")?,
        };
        if count(body, "n")?.is_some_and(|n| n != 1) {
            let refusal = ApiError::invalid("Invalid 'n': this provider answers with one choice only.");
            return Err(refusal.param("n").code("invalid_value"));
        }
        let include_usage = match given(body, "stream_options") {
            None => false,
            Some(_) if !stream => return Err(only_with("stream_options", "'stream' is enabled")),
            Some(Value::Object(options)) => flag(options, "include_usage")?.unwrap_or(false),
            Some(_) => return Err(invalid_type("stream_options", "an object")),
        };
        Ok(Self {
            llm,
            stream,
            include_usage,
        })
    }
}

/// A field that is there and not null.
fn given<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

fn flag(object: &Map<String, Value>, name: &str) -> Read<Option<bool>> {
    given(object, name)
        .map(|value| value.as_bool().ok_or_else(|| invalid_type(name, "a boolean")))
        .transpose()
}

fn count(object: &Map<String, Value>, name: &str) -> Read<Option<u64>> {
    let Some(value) = given(object, name) else {
        return Ok(None);
    };
    match value.as_u64() {
        Some(0) => Err(ApiError::invalid(format!(
            "Invalid '{name}': integer below minimum value. Expected a value >= 1, but got 0 instead."
        ))
        .param(name)
        .code("integer_below_min_value")),
        Some(count) => Ok(Some(count)),
        None => Err(invalid_type(name, "an integer")),
    }
}

fn invalid_type(param: &str, expected: &str) -> ApiError {
    ApiError::invalid(format!("Invalid type for '{param}': expected {expected}."))
        .param(param)
        .code("invalid_type")
}

fn missing(param: &str) -> ApiError {
    ApiError::invalid(format!("Missing required parameter: '{param}'."))
        .param(param)
        .code("missing_required_parameter")
}

fn only_with(param: &str, condition: &str) -> ApiError {
    ApiError::invalid(format!(
        "Invalid value for '{param}': '{param}' is only allowed when {condition}."
    ))
    .param(param)
}

fn messages(body: &Map<String, Value>) -> Read<Vec<LlmMessage>> {
    let raw = given(body, "messages").ok_or_else(|| missing("messages"))?;
    let raw = raw
        .as_array()
        .ok_or_else(|| invalid_type("messages", "an array of objects"))?;
    if raw.is_empty() {
        let message = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty \
                       array instead.";
        return Err(ApiError::invalid(message).param("messages").code("empty_array"));
    }
    let read = |(at, raw): (usize, &Value)| message(&format!("messages[{at}]"), raw);
    let messages: Vec<_> = raw.iter().enumerate().map(read).collect::<Read<_>>()?;
    check_results(&messages)?;
    Ok(messages)
}

fn message(path: &str, raw: &Value) -> Read<LlmMessage> {
    let raw = raw.as_object().ok_or_else(|| invalid_type(path, "an object"))?;
    let role = given(raw, "role")
        .and_then(Value::as_str)
        .ok_or_else(|| missing(&format!("{path}.role")))?;
    let calls = calls(path, raw)?;
    let content = match given(raw, "content") {
        Some(content) => Some(content_of(&format!("{path}.content"), content)?),
        None if role == "assistant" => None,
        None => {
            return Err(ApiError::invalid(format!(
                "Invalid value for 'content': expected a string, got null. ({path})"
            ))
            .param(format!("{path}.content")));
        }
    };
    if role == "assistant" && content.is_none() && calls.is_empty() && given(raw, "refusal").is_none() {
        return Err(missing(&format!("{path}.content")));
    }
    let (text, images) = content.unwrap_or_default();
    let message = match role {
        "system" | "developer" => LlmMessage::system(text),
        "user" => LlmMessage::user(text),
        "assistant" => LlmMessage::assistant(text),
        "tool" => {
            let id = given(raw, "tool_call_id").and_then(Value::as_str);
            LlmMessage::tool(id.ok_or_else(|| missing(&format!("{path}.tool_call_id")))?, text)
        }
        other => {
            return Err(ApiError::invalid(format!(
                "Invalid value: '{other}'. Supported values are: 'system', 'assistant', 'user', 'tool', and \
                 'developer'."
            ))
            .param(format!("{path}.role"))
            .code("invalid_value"));
        }
    };
    Ok(calls
        .into_iter()
        .fold(message.with_images(images), LlmMessage::with_tool_call))
}

/// The text of a content, its parts joined by line breaks, and how many images are in it.
fn content_of(path: &str, content: &Value) -> Read<(String, usize)> {
    let parts = match content {
        Value::String(text) => return Ok((text.clone(), 0)),
        Value::Array(parts) => parts,
        _ => return Err(invalid_type(path, "a string or an array of objects")),
    };
    let (mut texts, mut images) = (Vec::new(), 0);
    for (at, part) in parts.iter().enumerate() {
        let path = format!("{path}[{at}]");
        match part.get("type").and_then(Value::as_str) {
            Some("text") => {
                let text = part.get("text").and_then(Value::as_str);
                texts.push(text.ok_or_else(|| missing(&format!("{path}.text")))?);
            }
            Some("image_url") => {
                let url = part
                    .get("image_url")
                    .and_then(|image| image.get("url"))
                    .and_then(Value::as_str);
                url.ok_or_else(|| missing(&format!("{path}.image_url.url")))?;
                images += 1;
            }
            Some("refusal" | "input_audio" | "file") => {}
            Some(other) => {
                return Err(ApiError::invalid(format!(
                    "Invalid value: '{other}'. Supported values are: 'text', 'image_url', 'input_audio', 'refusal', \
                     and 'file'."
                ))
                .param(format!("{path}.type"))
                .code("invalid_value"));
            }
            None => return Err(missing(&format!("{path}.type"))),
        }
    }
    Ok((texts.join("\n"), images))
}

fn calls(path: &str, message: &Map<String, Value>) -> Read<Vec<LlmToolCall>> {
    let Some(raw) = given(message, "tool_calls") else {
        return Ok(Vec::new());
    };
    let path = format!("{path}.tool_calls");
    let raw = raw
        .as_array()
        .ok_or_else(|| invalid_type(&path, "an array of objects"))?;
    raw.iter()
        .enumerate()
        .map(|(at, call)| {
            let text = |pointer: &str| {
                let found = call.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
                found.ok_or_else(|| missing(&format!("{path}[{at}]{}", pointer.replace('/', "."))))
            };
            Ok(LlmToolCall {
                id: text("/id")?,
                name: text("/function/name")?,
                arguments: text("/function/arguments")?,
            })
        })
        .collect()
}

/// Every tool result answers a call of the assistant message before it, and every call has its result.
fn check_results(messages: &[LlmMessage]) -> Read<()> {
    let mut open: Vec<&str> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let Some(id) = message.tool_call_id.as_deref() else {
            check_closed(&open)?;
            open = message.tool_calls.iter().map(|call| call.id.as_str()).collect();
            continue;
        };
        let Some(position) = open.iter().position(|open| *open == id) else {
            return Err(ApiError::invalid(
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with \
                 'tool_calls'.",
            )
            .param(format!("messages.[{at}].role")));
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
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. \
         The following tool_call_ids did not have response messages: {}",
        open.join(", ")
    ))
    .param("messages"))
}

fn tools(body: &Map<String, Value>) -> Read<Vec<OfferedTool>> {
    let Some(raw) = given(body, "tools") else {
        return Ok(Vec::new());
    };
    let raw = raw
        .as_array()
        .ok_or_else(|| invalid_type("tools", "an array of objects"))?;
    raw.iter()
        .enumerate()
        .map(|(at, tool)| {
            let path = format!("tools[{at}].function");
            let function = tool.get("function").ok_or_else(|| missing(&path))?;
            let name = function.get("name").and_then(Value::as_str);
            let name = name.ok_or_else(|| missing(&format!("{path}.name")))?;
            let is_name_character = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || name.len() > 64 || !name.chars().all(is_name_character) {
                return Err(ApiError::invalid(format!(
                    "Invalid '{path}.name': string does not match pattern. Expected a string that matches the \
                     pattern '^[a-zA-Z0-9_-]{{1,64}}$'."
                ))
                .param(format!("{path}.name"))
                .code("invalid_value"));
            }
            Ok(OfferedTool::new(name, function.get("parameters").cloned().unwrap_or_default()))
        })
        .collect()
}

fn tool_choice(body: &Map<String, Value>, tools: &[OfferedTool]) -> Read<ToolChoice> {
    let Some(raw) = given(body, "tool_choice") else {
        return Ok(ToolChoice::Auto);
    };
    let choice = match (
        raw.as_str(),
        raw.pointer("/function/name").and_then(Value::as_str),
    ) {
        (Some("auto"), _) => ToolChoice::Auto,
        (Some("none"), _) => return Ok(ToolChoice::None),
        (Some("required"), _) => ToolChoice::Required,
        (None, Some(name)) if tools.iter().any(|tool| tool.name == name) => ToolChoice::Tool(name.to_owned()),
        (None, Some(name)) => {
            let message = format!("Tool choice '{name}' not found in 'tools' parameter.");
            return Err(ApiError::invalid(message).param("tool_choice"));
        }
        _ => {
            let message =
                "Invalid value for 'tool_choice': expected 'none', 'auto', 'required' or a function.";
            return Err(ApiError::invalid(message)
                .param("tool_choice")
                .code("invalid_value"));
        }
    };
    if tools.is_empty() {
        return Err(only_with("tool_choice", "'tools' are specified"));
    }
    Ok(choice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_whole_request_is_read() {
        let body = json!({
            "model": "fake-model",
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "name": "bob", "content": [
                    {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:,"}},
                    {"type": "text", "text": "b"},
                ]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "roll", "arguments": "{}"}},
                ]},
                {"role": "tool", "tool_call_id": "call_1", "content": "6"},
            ],
            "tools": [{"type": "function", "function": {"name": "roll", "parameters": {"type": "object"}}}],
            "tool_choice": {"type": "function", "function": {"name": "roll"}},
            "parallel_tool_calls": false, "max_completion_tokens": 7, "temperature": 1.0, "user": "u",
            "stream": true, "stream_options": {"include_usage": true},
        });
        let call = LlmToolCall {
            id: "call_1".into(),
            name: "roll".into(),
            arguments: "{}".into(),
        };
        let llm = LlmRequest::new("fake-model")
            .message(LlmMessage::system("Be brief."))
            .message(LlmMessage::user("a\nb").with_images(1))
            .message(LlmMessage::assistant("").with_tool_call(call))
            .message(LlmMessage::tool("call_1", "6"))
            .tool(OfferedTool::new("roll", json!({"type": "object"})))
            .with_tool_choice(ToolChoice::Tool("roll".into()))
            .with_parallel_tool_calls(false)
            .with_max_tokens(7);
        assert_eq!(
            ChatRequest::read(&body),
            Ok(ChatRequest {
                llm,
                stream: true,
                include_usage: true
            })
        );
    }

    #[test]
    fn absent_and_null_are_the_same() {
        let body = json!({
            "model": "m", "messages": [{"role": "user", "content": "x"}], "tools": null, "tool_choice": null,
            "stream": null, "stream_options": null, "max_tokens": null, "parallel_tool_calls": null, "n": null,
        });
        let llm = LlmRequest::new("m").message(LlmMessage::user("x"));
        assert_eq!(
            ChatRequest::read(&body),
            Ok(ChatRequest {
                llm,
                stream: false,
                include_usage: false
            })
        );
    }

    #[track_caller]
    fn assert_refused(change: &Value, part: &str) {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let error = ChatRequest::read(&body).expect_err(part);
        assert_eq!(error.status, 400);
        assert!(error.message.contains(part), "{}", error.message);
    }

    #[test]
    fn what_openai_refuses_is_refused() {
        let roll = json!([{"type": "function", "function": {"name": "roll"}}]);
        let called = json!({"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]});
        for (change, part) in [
            (json!({"model": null}), "you must provide a model"),
            (
                json!({"messages": null}),
                "Missing required parameter: 'messages'",
            ),
            (json!({"messages": []}), "empty array"),
            (json!({"messages": "x"}), "Invalid type for 'messages'"),
            (json!({"messages": [{"content": "x"}]}), "messages[0].role"),
            (
                json!({"messages": [{"role": "wizard", "content": "x"}]}),
                "'wizard'",
            ),
            (json!({"messages": [{"role": "user"}]}), "got null"),
            (
                json!({"messages": [{"role": "assistant"}]}),
                "messages[0].content",
            ),
            (
                json!({"messages": [{"role": "user", "content": [{"type": "video"}]}]}),
                "'video'",
            ),
            (
                json!({"messages": [{"role": "tool", "content": "x"}]}),
                "tool_call_id",
            ),
            (
                json!({"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]}),
                "preceeding",
            ),
            (
                json!({"messages": [called, {"role": "user", "content": "x"}]}),
                "did not have response messages: c",
            ),
            (json!({"tools": [{"type": "function"}]}), "tools[0].function"),
            (
                json!({"tools": [{"function": {"name": "a b"}}]}),
                "does not match pattern",
            ),
            (
                json!({"tools": roll, "tool_choice": {"type": "function", "function": {"name": "other"}}}),
                "'other'",
            ),
            (json!({"tool_choice": "required"}), "only allowed when 'tools'"),
            (
                json!({"tool_choice": "sometimes", "tools": roll}),
                "expected 'none'",
            ),
            (json!({"parallel_tool_calls": true}), "only allowed when 'tools'"),
            (json!({"max_tokens": 0}), "below minimum"),
            (json!({"max_tokens": "many"}), "an integer"),
            (json!({"stream": "yes"}), "a boolean"),
            (json!({"stream_options": {}}), "only allowed when 'stream'"),
            (json!({"n": 2}), "one choice"),
        ] {
            assert_refused(&change, part);
        }
        assert!(ChatRequest::read(&json!([])).is_err());
    }
}
