//! Reading the bodies of requests, as forgiving and as strict as the server is.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Map, Value};

use super::{
    refusal::{Refusal, invalid_body},
    request::{ClientTool, Decision, InputMessage, InputRole, TurnRequest},
    seed::AgentSeed,
};
use crate::{AgentUpdate, ContentPart, LettaErrorKind, NewAgent, Otid, ToolCallId, ToolStatus};

impl TurnRequest {
    /// Reads the body of a request to send something. `streams` is what the endpoint does when nobody says.
    ///
    /// # Errors
    /// The server's answer to a body that does not fit.
    pub fn from_body(body: &Value, streams: bool) -> Result<Self, Refusal> {
        let fields = body
            .as_object()
            .ok_or_else(|| invalid_body("Input should be a valid dictionary"))?;
        let flag = |name: &str| fields.get(name).and_then(Value::as_bool);
        let mut request = Self {
            streaming: flag("streaming").unwrap_or(streams),
            tokens: flag("stream_tokens").unwrap_or(false),
            background: flag("background").unwrap_or(false),
            pings: flag("include_pings").unwrap_or(true),
            max_steps: fields
                .get("max_steps")
                .and_then(Value::as_u64)
                .and_then(|steps| u32::try_from(steps).ok()),
            only_types: fields.get("include_return_message_types").and_then(strings),
            compaction_messages: flag("include_compaction_messages").unwrap_or(false),
            client_tools: client_tools(fields),
            model: string(fields, "override_model"),
            ..Self::default()
        };
        request.check_flags(flag("include_pings"))?;
        match (fields.get("input"), fields.get("messages")) {
            (Some(input), None | Some(Value::Null)) if !input.is_null() => {
                request.messages = vec![InputMessage {
                    content: content(input)?,
                    ..InputMessage::default()
                }];
            }
            (_, Some(Value::Array(messages))) => {
                for (index, message) in messages.iter().enumerate() {
                    request.read_message(index, message)?;
                }
            }
            (_, Some(_)) => return Err(invalid_body("Input should be a valid list")),
            (_, None) => return Err(invalid_body("Must specify either \\'input\\' or \\'messages\\'.")),
        }
        Ok(request)
    }

    /// Some options are about streams only.
    fn check_flags(&self, pings: Option<bool>) -> Result<(), Refusal> {
        let mut errors = Vec::new();
        if !self.streaming && self.tokens {
            errors.push("stream_tokens can only be true when streaming=true");
        }
        if !self.streaming && pings == Some(false) {
            errors.push("include_pings can only be set to false when streaming=true");
        }
        if !self.streaming && self.background {
            errors.push("background can only be true when streaming=true");
        }
        if errors.is_empty() {
            return Ok(());
        }
        let text = format!(
            "Streaming options set without streaming enabled. {}. Either set streaming=true or use default values for \
             streaming options.",
            errors.join("; ")
        );
        Err(Refusal::detail(422, LettaErrorKind::InvalidRequest, text))
    }

    fn read_message(&mut self, index: usize, message: &Value) -> Result<(), Refusal> {
        let fields = message
            .as_object()
            .ok_or_else(|| invalid_body("Input should be a valid dictionary"))?;
        let decided = match string(fields, "type").as_deref() {
            Some("approval") => Some(decisions(fields)?),
            Some("tool_return") => Some(read_decisions(fields.get("tool_returns"))?),
            _ => None,
        };
        match decided {
            Some(decisions) if index == 0 => self.decisions = Some(decisions),
            // Behind other messages they are left out, without a word.
            Some(_) => {}
            None => self.messages.push(input_message(fields)?),
        }
        Ok(())
    }
}

fn input_message(fields: &Map<String, Value>) -> Result<InputMessage, Refusal> {
    let role = match fields.get("role").and_then(Value::as_str) {
        Some("user") => InputRole::User,
        Some("system") => InputRole::System,
        Some("assistant") => InputRole::Assistant,
        _ => {
            return Err(invalid_body(
                "Input should be <MessageRole.user: \\'user\\'>, <MessageRole.system: \\'system\\'> or \
                 <MessageRole.assistant: \\'assistant\\'>",
            ));
        }
    };
    Ok(InputMessage {
        role,
        content: content(fields.get("content").unwrap_or(&Value::Null))?,
        name: string(fields, "name"),
        otid: string(fields, "otid").map(Otid::new),
        sender: string(fields, "sender_id"),
    })
}

/// A text, or a list of texts and images.
fn content(value: &Value) -> Result<Vec<ContentPart>, Refusal> {
    match value {
        Value::String(text) => Ok(vec![ContentPart::Text(text.clone())]),
        Value::Array(parts) => parts.iter().map(content_part).collect(),
        _ => Err(invalid_body("Input should be a valid string or list")),
    }
}

fn content_part(part: &Value) -> Result<ContentPart, Refusal> {
    let kind = part.get("type").and_then(Value::as_str);
    let source = part.get("source");
    let in_source = |name: &str| source?.get(name)?.as_str();
    match (kind, in_source("type")) {
        (Some("text") | None, _) => match part.get("text").and_then(Value::as_str) {
            Some(text) => Ok(ContentPart::Text(text.to_owned())),
            None => Err(invalid_body("Field required: text")),
        },
        // The fake fetches nothing, from nowhere.
        (Some("image"), Some("url")) => Err(Refusal::detail(
            400,
            LettaErrorKind::InvalidRequest,
            format!(
                "INVALID_ARGUMENT: Failed to fetch image from {}: Unexpected error: All connection attempts failed",
                in_source("url").unwrap_or_default()
            ),
        )),
        (Some("image"), _) => {
            let data = in_source("data").unwrap_or_default();
            Ok(ContentPart::Image {
                media_type: in_source("media_type").unwrap_or("image/png").to_owned(),
                // The server takes anything for base64.
                data: STANDARD
                    .decode(data)
                    .map_or_else(|_| Bytes::from(data.to_owned()), Bytes::from),
            })
        }
        (Some(other), _) => Err(invalid_body(&format!(
            "Input tag {other} found using type does not match"
        ))),
    }
}

/// The decisions of an approval, in the new form or the old one.
fn decisions(fields: &Map<String, Value>) -> Result<Vec<Decision>, Refusal> {
    let listed = read_decisions(fields.get("approvals"))?;
    if !listed.is_empty() {
        return Ok(listed);
    }
    let old_form = string(fields, "approval_request_id").zip(fields.get("approve").and_then(Value::as_bool));
    Ok(old_form
        .map(|(request, approve)| Decision::Approval {
            call: ToolCallId::new(request),
            approve,
            reason: string(fields, "reason"),
        })
        .into_iter()
        .collect())
}

fn read_decisions(list: Option<&Value>) -> Result<Vec<Decision>, Refusal> {
    let entries = list
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    entries
        .iter()
        .map(|entry| {
            let fields = entry
                .as_object()
                .ok_or_else(|| invalid_body("Input should be a valid dictionary"))?;
            let call = string(fields, "tool_call_id")
                .map(ToolCallId::new)
                .ok_or_else(|| invalid_body("Field required: tool_call_id"))?;
            if fields.contains_key("tool_return") {
                let status = match fields.get("status").and_then(Value::as_str) {
                    Some("error") => ToolStatus::Error,
                    _ => ToolStatus::Success,
                };
                let output = super::tools::text_of(entry, "tool_return");
                return Ok(Decision::Return { call, output, status });
            }
            Ok(Decision::Approval {
                call,
                approve: fields
                    .get("approve")
                    .and_then(Value::as_bool)
                    .ok_or_else(|| invalid_body("Field required: approve"))?,
                reason: string(fields, "reason"),
            })
        })
        .collect()
}

fn client_tools(fields: &Map<String, Value>) -> Vec<ClientTool> {
    let listed = fields.get("client_tools").and_then(Value::as_array);
    listed
        .into_iter()
        .flatten()
        .filter_map(|tool| {
            Some(ClientTool {
                name: tool.get("name")?.as_str()?.to_owned(),
                parameters: tool.get("parameters").cloned().unwrap_or_default(),
            })
        })
        .collect()
}

/// Reads the body of `POST /v1/agents/`. `None` for the name: the server makes one up.
pub(super) fn new_agent(body: &Value) -> Result<(AgentSeed, Option<String>, bool), Refusal> {
    let fields = body
        .as_object()
        .ok_or_else(|| invalid_body("Input should be a valid dictionary"))?;
    for (name, fits) in [
        ("name", Value::is_string as fn(&Value) -> bool),
        ("tags", Value::is_array),
        ("tools", Value::is_array),
        ("memory_blocks", Value::is_array),
        ("metadata", Value::is_object),
    ] {
        if fields
            .get(name)
            .is_some_and(|value| !value.is_null() && !fits(value))
        {
            return Err(invalid_body(&format!("Input is not valid: {name}")));
        }
    }
    let name = string(fields, "name");
    let blocks = fields.get("memory_blocks").and_then(Value::as_array);
    let handle = string(fields, "model").or_else(|| string(fields.get("llm_config")?.as_object()?, "handle"));
    let agent = NewAgent {
        name: name.clone().unwrap_or_default(),
        description: string(fields, "description"),
        model: handle,
        embedding: string(fields, "embedding"),
        system: string(fields, "system"),
        memory_blocks: blocks
            .into_iter()
            .flatten()
            .map(|block| {
                (
                    super::tools::text_of(block, "label"),
                    super::tools::text_of(block, "value"),
                )
            })
            .collect(),
        tags: fields.get("tags").and_then(strings).unwrap_or_default(),
        tools: fields.get("tools").and_then(strings).unwrap_or_default(),
        metadata: fields
            .get("metadata")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default(),
        hidden: false,
    };
    let mut seed = AgentSeed::from(agent);
    seed.agent_type = string(fields, "agent_type");
    seed.hidden = fields.get("hidden").and_then(Value::as_bool);
    let sleeptime = fields
        .get("enable_sleeptime")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    Ok((seed, name, sleeptime))
}

/// Reads what of `PATCH /v1/agents/{id}` the trait has too.
pub(super) fn agent_update(body: &Value) -> Result<AgentUpdate, Refusal> {
    let fields = body
        .as_object()
        .ok_or_else(|| invalid_body("Input should be a valid dictionary"))?;
    Ok(AgentUpdate {
        name: string(fields, "name"),
        description: string(fields, "description"),
        tags: fields.get("tags").and_then(strings),
    })
}

pub(super) fn string(fields: &Map<String, Value>, name: &str) -> Option<String> {
    fields.get(name).and_then(Value::as_str).map(ToOwned::to_owned)
}

fn strings(value: &Value) -> Option<Vec<String>> {
    let list = value.as_array()?;
    Some(
        list.iter()
            .filter_map(Value::as_str)
            .map(ToOwned::to_owned)
            .collect(),
    )
}
