//! Says something to an agent of a Letta server and prints what it does, as it does it.
//!
//! ```sh
//! LETTA_API_URL=http://127.0.0.1:8283 LETTA_TOKEN=… cargo run --example talk -- "Agent Alpha" "Hello there"
//! ```
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{error::Error, io::Write};

use futures_util::StreamExt;
use letta_client::{
    AgentQuery, ConversationRef, LettaApi, LettaApiExt, TurnEventKind, TurnInput, TurnOptions,
    http::HttpLetta,
};
use secrecy::SecretString;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("usage: talk AGENT TEXT")?;
    let text = arguments.next().ok_or("usage: talk AGENT TEXT")?;
    let url = std::env::var("LETTA_API_URL").unwrap_or_else(|_| "http://127.0.0.1:8283".to_owned());
    let token = std::env::var("LETTA_TOKEN").ok().map(SecretString::from);

    let letta = HttpLetta::new(url, token)?;
    let query = AgentQuery {
        name: Some(name.clone()),
        ..AgentQuery::default()
    };
    let found = letta.list_all_agents(&query).await?;
    let agent = found
        .agents
        .first()
        .ok_or(format!("there is no agent {name:?}"))?;

    // The key under which this message is found again in the history. Make yours from what caused the message.
    let input = TurnInput::text(format!("talk-{}", std::process::id()), text);
    let to = ConversationRef::agent(agent.id.clone());
    let mut turn = letta.send(&to, &input, &TurnOptions::default()).await?;
    while let Some(event) = turn.next().await {
        match event?.kind {
            TurnEventKind::Reasoning { append, .. } => print!("\x1b[2m{append}\x1b[0m"),
            TurnEventKind::Text { append, .. } => print!("{append}"),
            TurnEventKind::ToolCall(call) => println!("[calls {} {}]", call.name, call.arguments),
            TurnEventKind::ToolOutput { output, .. } => println!("[answered {output}]"),
            TurnEventKind::ApprovalRequested(request) => println!("[asks to call {:?}]", request.calls),
            TurnEventKind::Ended { reason, error } => {
                println!("\n[{}]", reason.as_wire());
                if let Some(error) = error {
                    println!("[{}: {}]", error.message, error.detail.unwrap_or_default());
                }
            }
            _ => {}
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}
