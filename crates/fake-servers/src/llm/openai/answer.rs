//! Renders an answer as a chat completion, plain or streamed.

use axum::Json;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use letta_client::llm::{Answer, Chunk, Delays, FinishReason, Usage};
use serde_json::{Value, json};

use super::super::cut;
use super::super::server::CREATED;
use crate::body::{Step, in_steps};

/// What every part of one answer repeats.
#[derive(Debug, Clone)]
pub(super) struct Head {
    id: String,
    model: String,
}

impl Head {
    pub(super) fn new(number: u64, model: &str) -> Self {
        Self {
            id: format!("chatcmpl-fake{number:024}"),
            model: model.to_owned(),
        }
    }

    fn object(&self, object: &str, choices: &Value) -> Value {
        json!({
            "id": self.id, "object": object, "created": CREATED, "model": self.model, "choices": choices,
            "service_tier": "default", "system_fingerprint": "fp_fake",
        })
    }

    pub(super) fn plain(&self, answer: &Answer) -> Response {
        let mut message =
            json!({"role": "assistant", "content": answer.text, "refusal": null, "annotations": []});
        if let Some(reasoning) = &answer.reasoning {
            message["reasoning_content"] = reasoning.as_str().into();
        }
        if !answer.tool_calls.is_empty() {
            let calls = answer.tool_calls.iter().map(|call| {
                json!({
                    "id": call.id, "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                })
            });
            message["tool_calls"] = calls.collect();
        }
        let choice = json!([{
            "index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(answer.finish_reason),
        }]);
        let mut body = self.object("chat.completion", &choice);
        body["usage"] = usage(answer.usage);
        Json(body).into_response()
    }

    pub(super) fn streamed(&self, answer: &Answer, delays: Delays, include_usage: bool) -> Response {
        let steps = self.steps(answer, delays, include_usage);
        (
            [
                (CONTENT_TYPE, "text/event-stream; charset=utf-8"),
                (CACHE_CONTROL, "no-cache"),
            ],
            in_steps(steps),
        )
            .into_response()
    }

    fn steps(&self, answer: &Answer, delays: Delays, include_usage: bool) -> Vec<Step> {
        let event = |delta: Value, finish_reason: Option<&str>| {
            let choice =
                json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}]);
            let mut body = self.object("chat.completion.chunk", &choice);
            if include_usage {
                body["usage"] = Value::Null;
            }
            data(&body.to_string())
        };
        let chunks = answer.chunks();
        let pause = delays.per_chunk(chunks.len());
        let mut steps = vec![event(
            json!({"role": "assistant", "content": "", "refusal": null}),
            None,
        )];
        for (sent, chunk) in chunks.into_iter().enumerate() {
            if answer.cut_after == Some(sent) {
                return cut(steps, answer.cut);
            }
            steps.push(event(delta(chunk), None));
            if !pause.is_zero() {
                steps.push(Step::Wait(pause));
            }
        }
        if answer.cut_after.is_some() {
            return cut(steps, answer.cut);
        }
        steps.push(event(json!({}), Some(finish_reason(answer.finish_reason))));
        if include_usage {
            let mut body = self.object("chat.completion.chunk", &json!([]));
            body["usage"] = usage(answer.usage);
            steps.push(data(&body.to_string()));
        }
        steps.push(data("[DONE]"));
        steps
    }
}

fn data(payload: &str) -> Step {
    Step::Send(Bytes::from(format!("data: {payload}\n\n")))
}

fn delta(chunk: Chunk) -> Value {
    match chunk {
        Chunk::Reasoning(piece) => json!({"reasoning_content": piece}),
        Chunk::Text(piece) => json!({"content": piece}),
        Chunk::ToolCall { index, id, name } => json!({"tool_calls": [{
            "index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""},
        }]}),
        Chunk::ToolArguments { index, fragment } => {
            json!({"tool_calls": [{"index": index, "function": {"arguments": fragment}}]})
        }
        // A kind of chunk that this protocol has no word for.
        _ => json!({}),
    }
}

fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::Length => "length",
        _ => "stop",
    }
}

fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens(),
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}
