//! `letta-matrix fake llm`

use clap::Args;
use fake_servers::llm::LlmServer;
use letta_client::llm::FakeLlm;

use super::{Answers, Common, serve};
use crate::failure::Failure;

/// An LLM provider: OpenAI's chat completions, models and embeddings, Anthropic's messages
#[derive(Debug, Args)]
pub(super) struct LlmArgs {
    #[command(flatten)]
    common: Common,
    /// How messages are answered
    #[arg(long, value_enum, default_value = "echo")]
    answers: Answers,
    /// Who the assistant is when no system prompt says so
    #[arg(long, value_name = "TEXT")]
    persona: Option<String>,
    /// Refuse requests without this API key
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
}

pub(super) async fn run(args: &LlmArgs) -> Result<(), Failure> {
    let mut config = args.answers.config(args.common.seed);
    config.persona.clone_from(&args.persona);
    let llm = FakeLlm::with_config(config);
    let server = match &args.api_key {
        Some(key) => LlmServer::with_api_key(llm, key.as_str().into()),
        None => LlmServer::new(llm),
    };
    serve(args.common.listen, |listener, _, stopped| {
        fake_servers::llm::serve(listener, server, stopped)
    })
    .await
}
