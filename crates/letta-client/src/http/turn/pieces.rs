//! Tool calls that arrive in pieces.

use crate::{
    http::message::WireToolCall,
    types::{approval::ToolCall, id::ToolCallId},
};

/// A call of a tool whose pieces are still arriving.
#[derive(Debug, Default)]
pub(super) struct PartialCall {
    pub(super) id: Option<String>,
    name: String,
    arguments: String,
    progress: JsonProgress,
    /// Whether it was told already.
    pub(super) is_emitted: bool,
}

impl PartialCall {
    fn append(&mut self, piece: WireToolCall) {
        self.id = self.id.take().or(piece.tool_call_id);
        self.name.push_str(&piece.name.unwrap_or_default());
        if let Some(arguments) = piece.arguments {
            self.progress.feed(&arguments);
            self.arguments.push_str(&arguments);
        }
    }

    /// Whether its arguments came to their end.
    pub(super) fn is_complete(&self) -> bool {
        self.progress.is_complete
    }

    pub(super) fn call(&self) -> ToolCall {
        ToolCall {
            id: ToolCallId::new(self.id.clone().unwrap_or_default()),
            name: self.name.clone(),
            arguments: self.arguments.clone(),
        }
    }
}

/// Whether a JSON object that arrives in pieces has come to its closing brace.
#[derive(Debug, Default)]
struct JsonProgress {
    depth: usize,
    in_string: bool,
    escaped: bool,
    is_complete: bool,
}

impl JsonProgress {
    fn feed(&mut self, text: &str) {
        for byte in text.bytes() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.is_complete |= self.depth == 0;
                }
                _ => {}
            }
        }
    }
}

/// The piece continues the call it names, or the last one.
pub(super) fn append_piece(calls: &mut Vec<PartialCall>, piece: WireToolCall) {
    let position = match &piece.tool_call_id {
        Some(id) => calls.iter().position(|call| call.id.as_deref() == Some(id)),
        None => calls.len().checked_sub(1),
    };
    match position.and_then(|position| calls.get_mut(position)) {
        Some(call) => call.append(piece),
        None => {
            let mut call = PartialCall::default();
            call.append(piece);
            calls.push(call);
        }
    }
}
