//! A language model that answers by rule: the engine of the LLM fake.
//!
//! [`FakeLlm::plan`] takes what a provider would be asked ([`LlmRequest`]) and says what the provider does:
//! a [`Completion`], which is an answer or a failure, with its delays. The engine has no clock, no network and
//! no tasks: whoever drives it (the in-memory Letta fake, the served OpenAI and Anthropic endpoints) waits for the
//! delays, cuts the streams and renders the failures.
//!
//! The same seed and the same input give the same answer. What the engine remembers between calls is only which
//! `[failonce]` tags it saw, which tool call ids it gave away, and how far its script was used.
//!
//! # Markers
//!
//! The last user message steers the engine with markers; everything else in it is ordinary text.
//!
//! | marker | effect |
//! |---|---|
//! | (none) | `echo: <text>`, plus ` [images: N]` when images came with it |
//! | `[tool:NAME {json}]` | calls the tool; repeated markers are parallel calls. Once the results are the newest messages: `tool NAME returned: <result>`, joined by `; ` |
//! | `[loop:NAME {json}]` | calls the tool on every step, for ever |
//! | `[fail]`, `[fail 429]` | fails with that HTTP status (500 when none is given) on every try, until a tool result is there |
//! | `[failonce TAG]` | status 500 the first time this tag is seen, then answers |
//! | `[ctx]` | fails because the context is too long |
//! | `[dropstream]` | a streamed answer ends after its first chunk, as if it were complete |
//! | `[cutstream]` | the connection breaks after the first chunk of a streamed answer |
//! | `[badjson]` | status 200 with a body that is not JSON |
//! | `[slow N]` | N seconds (1) before the first byte |
//! | `[trickle N]` | spreads a streamed answer over N seconds (5) |
//! | `[think TEXT]` | reasons TEXT before answering |
//! | `[say TEXT]` | answers exactly TEXT |
//! | `[long N]` | answers N words (200): `word0 word1 …` |
//! | `[empty]` | answers the empty text |
//! | `[context]` | answers what is remembered: `context: 2 earlier user turns, the first was: hello` |
//!
//! Markers inside a transcript to be summarised and inside Letta's own alerts are quotations and do nothing.
//!
//! # Examples
//!
//! ```
//! use letta_client::llm::{FakeLlm, LlmMessage, LlmRequest};
//!
//! let llm = FakeLlm::new();
//! let completion = llm.plan(&LlmRequest::new("fake-model").message(LlmMessage::user("hello")));
//! assert_eq!(completion.answer().and_then(|answer| answer.text.as_deref()), Some("echo: hello"));
//! ```

mod arithmetic;
mod assistant;
mod completion;
mod embedding;
mod hash;
mod incoming;
mod markers;
mod planner;
mod request;
mod schema;
mod script;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::completion::{
    Answer, Chunk, Completion, Cut, Delays, Failure, FinishReason, LlmToolCall, Outcome, ProviderErrorKind,
    Usage,
};
pub use self::embedding::DEFAULT_EMBEDDING_DIMENSIONS;
pub use self::request::{LlmMessage, LlmRequest, LlmRole, OfferedTool, ToolChoice};
pub use self::script::{InvalidScript, ScriptedCall, ScriptedReply};

/// How the engine answers a message that no marker and no script speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Behaviour {
    /// `echo: <text>`: what tests want.
    #[default]
    Echo,
    /// In character, from the system prompt and the conversation: what a demonstration wants.
    Assistant,
}

/// A chat model that the fake provider offers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LlmModel {
    /// The provider's name of the model, for example `fake-model`.
    pub id: String,
    /// How many tokens a request may have; a longer one fails with [`Failure::ContextLengthExceeded`].
    pub context_window: u64,
}

impl LlmModel {
    /// A model with a context window of 128,000 tokens.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            context_window: 128_000,
        }
    }

    /// The same model with another context window, in tokens.
    #[must_use]
    pub fn with_context_window(mut self, tokens: u64) -> Self {
        self.context_window = tokens;
        self
    }
}

/// What a [`FakeLlm`] is like. `LlmConfig::default()` echoes and offers `fake-model`, `fake-model-b`, `gpt-4o-mini`
/// and the embedding models that Letta takes for granted: `text-embedding-3-small`, `text-embedding-3-large`,
/// `text-embedding-ada-002`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LlmConfig {
    /// Varies the wording of [`Behaviour::Assistant`], the tool call ids and the embeddings.
    pub seed: u64,
    /// The chat models offered, in the order they are listed.
    pub models: Vec<LlmModel>,
    /// The names of the embedding models offered.
    pub embedding_models: Vec<String>,
    /// How messages without markers are answered.
    pub behaviour: Behaviour,
    /// Who the assistant is when the system prompt does not say, for example `I am Alpha, a helpful librarian.`
    pub persona: Option<String>,
    /// Delays of every completion that no marker and no script gives its own.
    pub delays: Delays,
}

impl Default for LlmConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            models: ["fake-model", "fake-model-b", "gpt-4o-mini"]
                .map(LlmModel::new)
                .into(),
            embedding_models: [
                "text-embedding-3-small",
                "text-embedding-3-large",
                "text-embedding-ada-002",
            ]
            .map(str::to_owned)
            .into(),
            behaviour: Behaviour::Echo,
            persona: None,
            delays: Delays::default(),
        }
    }
}

/// The engine. Shared by reference; every method takes `&self`.
#[derive(Debug, Default)]
pub struct FakeLlm {
    config: LlmConfig,
    state: Mutex<State>,
}

/// What the engine remembers between calls.
#[derive(Debug, Default)]
struct State {
    script: Vec<ScriptedReply>,
    seen_tags: HashSet<String>,
    /// How often a request with this fingerprint was given tool call ids, so that no id is given away twice.
    repeated_calls: HashMap<u64, u64>,
}

impl FakeLlm {
    /// An engine that echoes, with seed 0 and the default models.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An engine with this configuration.
    #[must_use]
    pub fn with_config(config: LlmConfig) -> Self {
        Self {
            config,
            state: Mutex::default(),
        }
    }

    /// The same engine with another seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// The same engine with another behaviour for messages without markers.
    #[must_use]
    pub fn with_behaviour(mut self, behaviour: Behaviour) -> Self {
        self.config.behaviour = behaviour;
        self
    }

    /// The same engine with a persona for system prompts that name none.
    #[must_use]
    pub fn with_persona(mut self, persona: impl Into<String>) -> Self {
        self.config.persona = Some(persona.into());
        self
    }

    /// The same engine with other chat models.
    #[must_use]
    pub fn with_models(mut self, models: impl IntoIterator<Item = LlmModel>) -> Self {
        self.config.models = models.into_iter().collect();
        self
    }

    /// The same engine with other default delays.
    #[must_use]
    pub fn with_delays(mut self, before_first_byte: Duration, spread: Duration) -> Self {
        self.config.delays = Delays {
            before_first_byte,
            spread,
        };
        self
    }

    /// What this engine is like.
    pub fn config(&self) -> &LlmConfig {
        &self.config
    }

    /// The chat model of this name, if it is offered.
    pub fn model(&self, id: &str) -> Option<&LlmModel> {
        self.config.models.iter().find(|model| model.id == id)
    }

    /// Queues a scripted reply behind those that wait already.
    ///
    /// A request takes the first scripted reply that is meant for it ([`ScriptedReply::when`]); only when there is
    /// none do markers and [`Behaviour`] decide.
    pub fn push_script(&self, reply: ScriptedReply) {
        self.state().script.push(reply);
    }

    /// Replaces the whole queue of scripted replies.
    pub fn set_script(&self, replies: impl IntoIterator<Item = ScriptedReply>) {
        self.state().script = replies.into_iter().collect();
    }

    /// The scripted replies that no request took yet, oldest first. A test that planned them should find none.
    pub fn unused_script(&self) -> Vec<ScriptedReply> {
        self.state().script.clone()
    }

    /// Forgets the script and the `[failonce]` tags seen.
    pub fn reset(&self) {
        let mut state = self.state();
        state.script.clear();
        state.seen_tags.clear();
    }

    /// What the provider does with `request`.
    ///
    /// A request for a model that is not offered fails with status 404, one that is longer than the model's context
    /// window with [`Failure::ContextLengthExceeded`]; then the script, the markers of the last user message and the
    /// configured [`Behaviour`] decide, in this order. When a tool named `send_message` is offered, the final text
    /// is wrapped in a call of it, as agents of the older kind expect.
    pub fn plan(&self, request: &LlmRequest) -> Completion {
        planner::plan(self, request)
    }

    /// How many tokens `request` has, by the engine's own measure of about four bytes each.
    pub fn count_tokens(&self, request: &LlmRequest) -> u64 {
        planner::prompt_tokens(request)
    }

    /// The embedding of `text`: `dimensions` numbers with length 1, the same for the same seed and text, and
    /// alike for texts that share words. `dimensions` of 0 gives an empty vector.
    pub fn embed(&self, text: &str, dimensions: usize) -> Vec<f32> {
        embedding::embed(self.config.seed, text, dimensions)
    }

    /// The state; a panic elsewhere cannot leave it half-changed, so poisoning is ignored.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
