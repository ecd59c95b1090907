//! `letta-matrix fake letta`

use clap::Args;
use fake_servers::letta::LettaServer;
use letta_client::{LettaApi, NewAgent, fake::FakeLetta};

use super::{Answers, Common, serve};
use crate::failure::Failure;

/// A Letta server: agents, conversations, runs, approvals and history, as version 0.16 has them
#[derive(Debug, Args)]
pub(super) struct LettaArgs {
    #[command(flatten)]
    common: Common,
    /// Refuse requests without this token
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Accept ids that no real server gives, such as agent-001, and agents without a model
    #[arg(long)]
    lenient: bool,
    /// Start with so many agents, "Agent 1", "Agent 2" …
    #[arg(long, value_name = "N", default_value_t = 0)]
    agents: u32,
    /// Start with the agents that all tests share (agent-001 "Agent Alpha" …); implies --lenient
    #[arg(long)]
    test_data: bool,
    /// How agents answer
    #[arg(long, value_enum, default_value = "echo")]
    answers: Answers,
    /// Answer lists as {"data": [...]} instead of a bare array
    #[arg(long)]
    wrapped_lists: bool,
}

pub(super) async fn run(args: &LettaArgs) -> Result<(), Failure> {
    let letta = if args.test_data {
        FakeLetta::with_test_agents()
    } else {
        FakeLetta::new()
    };
    let config = args.answers.config(args.common.seed);
    let model = config
        .models
        .first()
        .map(|model| format!("openai-proxy/{}", model.id));
    let mut letta = letta.with_seed(args.common.seed).with_llm(config);
    if args.lenient {
        letta = letta.lenient();
    }
    if let Some(token) = &args.token {
        letta = letta.with_token(token.as_str());
    }
    for number in 1..=args.agents {
        let agent = NewAgent {
            model: model.clone(),
            ..NewAgent::named(format!("Agent {number}"))
        };
        let made = letta.create_agent(&agent).await;
        made.map_err(|error| Failure::new("cannot make the agents").caused_by(&error))?;
    }
    let mut server = LettaServer::new(letta);
    if args.wrapped_lists {
        server = server.with_wrapped_lists();
    }
    serve(args.common.listen, |listener, _, stopped| {
        fake_servers::letta::serve(listener, server, stopped)
    })
    .await
}
