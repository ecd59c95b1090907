//! Messages as the server writes them down.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{Timestamp, fmt::strtime};
use serde_json::{Value, json};

use super::{
    ids::otid_of,
    message::{CallDelta, Decision, Part, PartContent, ToolReturn},
};
use crate::{ContentPart, ToolCall, ToolStatus};

impl Part {
    /// The part as JSON; `seq` is its place in a stream that is kept.
    pub(super) fn json(&self, seq: Option<u64>) -> Value {
        let mut json = json!({
            "id": self.id,
            "date": date(self.date),
            "name": self.name,
            "message_type": self.content.message_type(),
            "otid": self.otid,
            "sender_id": self.sender,
            "step_id": self.step,
            "is_err": null,
            "seq_id": seq,
            "run_id": self.run,
        });
        let payload = match &self.content {
            PartContent::System(text) | PartContent::Assistant(text) => json!({ "content": text }),
            PartContent::User(content) => json!({ "content": user_content(&self.id, content) }),
            PartContent::Reasoning(text) => {
                json!({ "source": "reasoner_model", "reasoning": text, "signature": null })
            }
            PartContent::ToolCalls(calls) | PartContent::ApprovalRequest(calls) => json!({
                "tool_call": calls.first().map(call_json),
                "tool_calls": calls.iter().map(call_json).collect::<Vec<_>>(),
            }),
            PartContent::CallDelta(delta) => {
                let delta = delta_json(delta);
                json!({ "tool_call": delta, "tool_calls": delta })
            }
            PartContent::ApprovalResponse(decisions) => approval_response_json(decisions),
            PartContent::ToolReturn(answer) => tool_return_json(answer),
            PartContent::CompactionStarted {
                trigger,
                estimate,
                window,
            } => json!({
                "event_type": "compaction",
                "event_data": {
                    "trigger": trigger,
                    "context_token_estimate": estimate,
                    "context_window": window,
                },
            }),
            PartContent::Summary(summary) => {
                json!({ "summary": summary.text, "compaction_stats": summary.stats })
            }
        };
        if let (Value::Object(json), Value::Object(payload)) = (&mut json, payload) {
            json.extend(payload);
        }
        json
    }
}

fn call_json(call: &ToolCall) -> Value {
    json!({ "name": call.name, "arguments": call.arguments, "tool_call_id": call.id })
}

fn delta_json(delta: &CallDelta) -> Value {
    json!({ "name": delta.name, "arguments": delta.arguments, "tool_call_id": delta.call })
}

/// One text is a string; anything else is a list of parts, with images by value.
fn user_content(id: &str, content: &[ContentPart]) -> Value {
    if let [ContentPart::Text(text)] = content {
        return json!(text);
    }
    let parts = content.iter().enumerate().map(|(index, part)| match part {
        ContentPart::Text(text) => json!({ "type": "text", "text": text, "signature": null }),
        ContentPart::Image { media_type, data } => json!({
            "type": "image",
            "source": {
                "type": "letta",
                "file_id": format!("file-{}", otid_of(id, u8::try_from(index).unwrap_or(u8::MAX))),
                "media_type": media_type,
                "data": STANDARD.encode(data),
                "detail": null,
            },
        }),
    });
    parts.collect()
}

fn approval_response_json(decisions: &[Decision]) -> Value {
    let approvals: Vec<Value> = decisions.iter().map(decision_json).collect();
    let (approve, request, reason) = match decisions.first() {
        Some(Decision::Approval {
            call,
            approve,
            reason,
        }) => (Some(*approve), Some(call), reason.clone()),
        Some(Decision::Return { .. }) | None => (None, None, None),
    };
    json!({
        "approvals": approvals,
        "approve": approve,
        "approval_request_id": request,
        "reason": reason,
    })
}

fn decision_json(decision: &Decision) -> Value {
    match decision {
        Decision::Approval {
            call,
            approve,
            reason,
        } => {
            json!({ "type": "approval", "tool_call_id": call, "approve": approve, "reason": reason })
        }
        Decision::Return { call, output, status } => json!({
            "type": "tool",
            "tool_return": output,
            "status": status_name(*status),
            "tool_call_id": call,
            "stdout": null,
            "stderr": null,
        }),
    }
}

fn tool_return_json(answer: &ToolReturn) -> Value {
    let printed = if answer.sandboxed { json!([]) } else { Value::Null };
    let fields = json!({
        "tool_return": answer.output,
        "status": status_name(answer.status),
        "tool_call_id": answer.call,
        "stdout": printed,
        "stderr": printed,
    });
    let mut entry = fields.clone();
    entry["type"] = json!("tool");
    let mut json = fields;
    json["tool_returns"] = json!([entry]);
    json
}

fn status_name(status: ToolStatus) -> &'static str {
    match status {
        ToolStatus::Success => "success",
        ToolStatus::Error => "error",
    }
}

/// A message's time as the server writes it: to the second, with an offset.
pub(super) fn date(time: Timestamp) -> String {
    strtime::format("%Y-%m-%dT%H:%M:%S+00:00", time).unwrap_or_else(|_| time.to_string())
}
