//! What a provider does with a request.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a provider does: an answer or a failure, and how long it takes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Completion {
    /// How long to wait, and where.
    pub delays: Delays,
    /// What happens then.
    pub outcome: Outcome,
}

impl Completion {
    /// The answer, when it is one.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.outcome {
            Outcome::Answer(answer) => Some(answer),
            Outcome::Failure(_) => None,
        }
    }

    /// The failure, when it is one.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.outcome {
            Outcome::Answer(_) => None,
            Outcome::Failure(failure) => Some(failure),
        }
    }
}

/// How long a completion takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Delays {
    /// Before the first byte of the response, its status line included.
    pub before_first_byte: Duration,
    /// Spread evenly over the chunks of a streamed answer. Does not slow an answer that is not streamed.
    pub spread: Duration,
}

impl Delays {
    /// These delays.
    #[must_use]
    pub fn new(before_first_byte: Duration, spread: Duration) -> Self {
        Self {
            before_first_byte,
            spread,
        }
    }

    /// How long to wait after each of `chunks` chunks, so that all of them take [`Delays::spread`].
    #[must_use]
    pub fn per_chunk(&self, chunks: usize) -> Duration {
        u32::try_from(chunks)
            .ok()
            .and_then(|chunks| self.spread.checked_div(chunks))
            .unwrap_or_default()
    }
}

/// An answer, or what went wrong instead.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The model answered.
    Answer(Answer),
    /// The provider failed.
    Failure(Failure),
}

/// The model's answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// What the model thought before it answered (`reasoning_content`, Anthropic's thinking block).
    pub reasoning: Option<String>,
    /// The text; `None` when the answer is tool calls only, empty when the model said nothing.
    pub text: Option<String>,
    /// The tools the model wants called.
    pub tool_calls: Vec<LlmToolCall>,
    /// Why the answer ended.
    pub finish_reason: FinishReason,
    /// What it cost.
    pub usage: Usage,
    /// A streamed answer is cut, without finish reason and end marker, after so many chunks. An answer that is not
    /// streamed is complete all the same.
    pub cut_after: Option<usize>,
    /// How it is cut, if it is.
    pub cut: Cut,
}

impl Answer {
    /// The answer in the pieces in which it is streamed: reasoning, then text, then tool calls. Joined, the pieces
    /// of one kind are the whole. [`Answer::cut_after`] is not applied.
    #[must_use]
    pub fn chunks(&self) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        if let Some(reasoning) = &self.reasoning {
            chunks.extend(words(reasoning).map(|piece| Chunk::Reasoning(piece.to_owned())));
        }
        if let Some(text) = &self.text {
            chunks.extend(words(text).map(|piece| Chunk::Text(piece.to_owned())));
        }
        for (index, call) in self.tool_calls.iter().enumerate() {
            chunks.push(Chunk::ToolCall {
                index,
                id: call.id.clone(),
                name: call.name.clone(),
            });
            chunks.extend(pieces(&call.arguments, 16).map(|fragment| Chunk::ToolArguments {
                index,
                fragment: fragment.to_owned(),
            }));
        }
        chunks
    }
}

/// How a stream is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cut {
    /// The response ends as if it were complete: a proxy gave up in between. Letta takes what came for the answer.
    #[default]
    Silent,
    /// The connection breaks: the client sees a transport error. Letta ends the turn with an error.
    Broken,
}

/// One piece of a streamed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Chunk {
    /// More of the reasoning.
    Reasoning(String),
    /// More of the text.
    Text(String),
    /// A tool call begins.
    ToolCall {
        /// Its place in [`Answer::tool_calls`].
        index: usize,
        /// Its id.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// More of a tool call's arguments.
    ToolArguments {
        /// The call's place in [`Answer::tool_calls`].
        index: usize,
        /// The next characters of [`LlmToolCall::arguments`].
        fragment: String,
    },
}

/// A tool call: asked for by the model, or reported in a conversation's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LlmToolCall {
    /// The call's id, `call_` and 24 hexadecimal digits when the engine made it. Never repeated by one engine.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments: the text of a JSON object.
    pub arguments: String,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinishReason {
    /// The model was done (OpenAI `stop`, Anthropic `end_turn`).
    Stop,
    /// The model wants tools called (OpenAI `tool_calls`, Anthropic `tool_use`).
    ToolCalls,
    /// The answer was cut off at the tokens allowed (OpenAI `length`, Anthropic `max_tokens`).
    Length,
}

/// What a completion cost, in tokens of about four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the request.
    pub prompt_tokens: u64,
    /// Tokens of the answer, [`Usage::reasoning_tokens`] among them.
    pub completion_tokens: u64,
    /// Tokens of the reasoning.
    pub reasoning_tokens: u64,
}

impl Usage {
    /// Tokens of request and answer together.
    #[must_use]
    pub fn total_tokens(&self) -> u64 {
        self.prompt_tokens + self.completion_tokens
    }
}

/// What went wrong instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The provider refused with an error of its own.
    Status {
        /// The HTTP status, 400 to 599.
        status: u16,
        /// What kind of error the provider calls it.
        kind: ProviderErrorKind,
        /// The provider's message.
        message: String,
        /// The `Retry-After` header.
        retry_after: Option<Duration>,
    },
    /// The request is longer than the model's context window (HTTP 400).
    ContextLengthExceeded {
        /// The model's context window, in tokens.
        limit: u64,
        /// How long the request was, in tokens.
        requested: u64,
    },
    /// Status 200 with a body that is not JSON.
    NotJson {
        /// The body.
        body: String,
    },
    /// The connection is closed without a response.
    Disconnect,
}

impl Failure {
    /// The failure that a provider reports with this HTTP status: the kind belongs to the status, the message is
    /// `fake failure <status>`.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            kind: ProviderErrorKind::from_status(status),
            message: format!("fake failure {status}"),
            retry_after: None,
        }
    }

    /// The HTTP status that the client sees; `None` when the connection is closed without one.
    #[must_use]
    pub fn http_status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::ContextLengthExceeded { .. } => Some(400),
            Self::NotJson { .. } => Some(200),
            Self::Disconnect => None,
        }
    }

    /// The provider's message; the body of [`Failure::NotJson`], nothing for [`Failure::Disconnect`].
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Status { message, .. } => message.clone(),
            Self::ContextLengthExceeded { limit, requested } => format!(
                "This model's maximum context length is {limit} tokens. However, your messages resulted in {requested} tokens."
            ),
            Self::NotJson { body } => body.clone(),
            Self::Disconnect => String::new(),
        }
    }
}

/// What kind of error a provider reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProviderErrorKind {
    /// 400: the request is malformed.
    InvalidRequest,
    /// 401: the API key is wrong or absent.
    Authentication,
    /// 402: there is no money left.
    InsufficientCredits,
    /// 403: the API key may not do this.
    PermissionDenied,
    /// 404: the model or the path does not exist.
    NotFound,
    /// 413: the request has too many bytes.
    RequestTooLarge,
    /// 422: the request is well formed but makes no sense.
    Unprocessable,
    /// 429: too many requests.
    RateLimited,
    /// 503 and 529: the provider has too much to do.
    Overloaded,
    /// Any other status from 500: the provider broke.
    Server,
    /// Any other status from 400 to 499.
    Other,
}

impl ProviderErrorKind {
    /// The kind that a provider reports with this HTTP status.
    #[must_use]
    pub fn from_status(status: u16) -> Self {
        match status {
            400 => Self::InvalidRequest,
            401 => Self::Authentication,
            402 => Self::InsufficientCredits,
            403 => Self::PermissionDenied,
            404 => Self::NotFound,
            413 => Self::RequestTooLarge,
            422 => Self::Unprocessable,
            429 => Self::RateLimited,
            503 | 529 => Self::Overloaded,
            500.. => Self::Server,
            _ => Self::Other,
        }
    }
}

/// Splits before the white space that precedes a word: `"a b "` is `"a"`, `" b"`, `" "`.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let word = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        let end = rest[word..]
            .find(char::is_whitespace)
            .map_or(rest.len(), |length| word + length);
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

/// Splits into pieces of at most `length` characters.
fn pieces(text: &str, length: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.char_indices().nth(length).map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}
