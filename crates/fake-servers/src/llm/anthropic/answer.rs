//! Renders an answer as a message, plain or streamed.

use axum::Json;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use letta_client::llm::{Answer, Chunk, Delays, FinishReason};
use serde_json::{Value, json};

use super::super::cut;
use crate::body::{Step, in_steps};

/// What stands for the signature under thinking.
const SIGNATURE: &str = "ZmFrZS1zaWduYXR1cmU=";

/// What every part of one answer repeats.
#[derive(Debug, Clone)]
pub(super) struct Head {
    id: String,
    model: String,
}

impl Head {
    pub(super) fn new(number: u64, model: &str) -> Self {
        Self {
            id: format!("msg_fake{number:020}"),
            model: model.to_owned(),
        }
    }

    fn message(
        &self,
        content: &[Value],
        stop_reason: Option<&str>,
        input_tokens: u64,
        output_tokens: u64,
    ) -> Value {
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": content,
            "stop_reason": stop_reason, "stop_sequence": null,
            "usage": {
                "input_tokens": input_tokens, "output_tokens": output_tokens,
                "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "service_tier": "standard",
            },
        })
    }

    pub(super) fn plain(&self, answer: &Answer) -> Response {
        let mut content = Vec::new();
        if let Some(reasoning) = &answer.reasoning {
            content.push(json!({"type": "thinking", "thinking": reasoning, "signature": SIGNATURE}));
        }
        if let Some(text) = answer.text.as_ref().filter(|text| !text.is_empty()) {
            content.push(json!({"type": "text", "text": text}));
        }
        for call in &answer.tool_calls {
            let input: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
            content.push(
                json!({"type": "tool_use", "id": tool_use_id(&call.id), "name": call.name, "input": input}),
            );
        }
        let stop_reason = stop_reason(answer.finish_reason);
        let usage = answer.usage;
        Json(self.message(
            &content,
            Some(stop_reason),
            usage.prompt_tokens,
            usage.completion_tokens,
        ))
        .into_response()
    }

    pub(super) fn streamed(&self, answer: &Answer, delays: Delays) -> Response {
        let steps = self.steps(answer, delays);
        (
            [
                (CONTENT_TYPE, "text/event-stream; charset=utf-8"),
                (CACHE_CONTROL, "no-cache"),
            ],
            in_steps(steps),
        )
            .into_response()
    }

    fn steps(&self, answer: &Answer, delays: Delays) -> Vec<Step> {
        let usage = answer.usage;
        let start = self.message(&[], None, usage.prompt_tokens, 1);
        let mut steps = vec![event(&json!({"type": "message_start", "message": start}))];
        let chunks = answer.chunks();
        let pause = delays.per_chunk(chunks.len());
        let mut blocks = Blocks::default();
        for (sent, chunk) in chunks.into_iter().enumerate() {
            if answer.cut_after == Some(sent) {
                return cut(steps, answer.cut);
            }
            blocks.push(chunk, &mut steps);
            if !pause.is_zero() {
                steps.push(Step::Wait(pause));
            }
        }
        if answer.cut_after.is_some() {
            return cut(steps, answer.cut);
        }
        blocks.close(&mut steps);
        steps.push(event(&json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason(answer.finish_reason), "stop_sequence": null},
            "usage": {"output_tokens": usage.completion_tokens},
        })));
        steps.push(event(&json!({"type": "message_stop"})));
        steps
    }
}

/// The content blocks of a stream: one is open at a time.
#[derive(Debug, Default)]
struct Blocks {
    open: Option<Kind>,
    index: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Thinking,
    Text,
    ToolUse,
}

impl Blocks {
    fn push(&mut self, chunk: Chunk, steps: &mut Vec<Step>) {
        match chunk {
            Chunk::Reasoning(piece) => {
                if self.open != Some(Kind::Thinking) {
                    self.start(
                        Kind::Thinking,
                        &json!({"type": "thinking", "thinking": "", "signature": ""}),
                        steps,
                    );
                }
                self.delta(&json!({"type": "thinking_delta", "thinking": piece}), steps);
            }
            Chunk::Text(piece) => {
                if self.open != Some(Kind::Text) {
                    self.start(Kind::Text, &json!({"type": "text", "text": ""}), steps);
                }
                self.delta(&json!({"type": "text_delta", "text": piece}), steps);
            }
            Chunk::ToolCall { id, name, .. } => {
                let block = json!({"type": "tool_use", "id": tool_use_id(&id), "name": name, "input": {}});
                self.start(Kind::ToolUse, &block, steps);
                self.delta(&json!({"type": "input_json_delta", "partial_json": ""}), steps);
            }
            Chunk::ToolArguments { fragment, .. } => {
                self.delta(
                    &json!({"type": "input_json_delta", "partial_json": fragment}),
                    steps,
                );
            }
            // A kind of chunk that this protocol has no word for.
            _ => {}
        }
    }

    fn start(&mut self, kind: Kind, block: &Value, steps: &mut Vec<Step>) {
        let is_first = self.index == 0 && self.open.is_none();
        self.close(steps);
        self.open = Some(kind);
        steps.push(event(
            &json!({"type": "content_block_start", "index": self.index, "content_block": block}),
        ));
        if is_first {
            steps.push(event(&json!({"type": "ping"})));
        }
    }

    fn delta(&self, delta: &Value, steps: &mut Vec<Step>) {
        steps.push(event(
            &json!({"type": "content_block_delta", "index": self.index, "delta": delta}),
        ));
    }

    fn close(&mut self, steps: &mut Vec<Step>) {
        let Some(kind) = self.open.take() else { return };
        if kind == Kind::Thinking {
            self.delta(&json!({"type": "signature_delta", "signature": SIGNATURE}), steps);
        }
        steps.push(event(&json!({"type": "content_block_stop", "index": self.index})));
        self.index += 1;
    }
}

/// An event, named after its type.
fn event(payload: &Value) -> Step {
    let name = payload["type"].as_str().unwrap_or("message");
    Step::Send(Bytes::from(format!("event: {name}\ndata: {payload}\n\n")))
}

/// The engine's `call_…` in Anthropic's form.
fn tool_use_id(id: &str) -> String {
    id.strip_prefix("call_")
        .map_or_else(|| id.to_owned(), |digits| format!("toolu_{digits}"))
}

fn stop_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::ToolCalls => "tool_use",
        FinishReason::Length => "max_tokens",
        _ => "end_turn",
    }
}
