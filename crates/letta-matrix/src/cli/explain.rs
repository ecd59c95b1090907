//! `letta-matrix explain`: what became of a message, as the state has it.

use clap::Args;
use conversation::{DeliveryFate, Fate, Outcome};
use matrix_client::ruma::OwnedEventId;
use serde::Serialize;

use super::{Global, OK, SOME_FAILED, look};
use crate::{
    failure::{self, Failure},
    output::{one_line, to_stdout},
};

/// Say what became of a message: why it was left alone, or how it was answered
///
/// Reads the state alone, changes nothing, and asks neither Letta nor the homeserver. Exit code 1: the state knows of no
/// such event. Messages are forgotten after a time (`talk.keep`).
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The id of the message's event, which clients show as its source or in a link to it
    #[arg(value_name = "EVENT_ID")]
    event: String,
    /// Print one JSON object for programs
    #[arg(long)]
    json: bool,
    /// Where the state is kept: SQLite file or postgres:// URL [env: DATABASE_URL] [default: letta-matrix.db]
    #[arg(long, value_name = "PLACE")]
    database: Option<String>,
}

/// A documented, stable output.
#[derive(Debug, Serialize)]
struct Explained {
    event_id: OwnedEventId,
    /// What was decided; `null` as long as nothing was.
    verdict: Option<String>,
    deliveries: Vec<ExplainedDelivery>,
}

#[derive(Debug, Serialize)]
struct ExplainedDelivery {
    /// Empty for the bridge itself.
    agent_id: String,
    attempt: u32,
    step: &'static str,
    /// `null` as long as it is not over.
    outcome: Option<Outcome>,
    /// The events that were said because of it.
    said: Vec<OwnedEventId>,
}

pub(super) async fn run(args: &ExplainArgs, global: &Global) -> Result<u8, Failure> {
    let event = OwnedEventId::try_from(args.event.trim()).map_err(|_| {
        Failure::new(format!("{:?} is no event's id", one_line(&args.event, 80)))
            .advice("An event's id begins with $. Quote it, or the shell takes the $ for its own.")
    })?;
    let (state, database) = look::state(args.database.as_deref(), global).await?;
    let fate = Fate::of(&*state.store(), &event).await;
    state.close().await;
    let fate = fate.map_err(|error| failure::of_state(&error, &database))?;
    let Some(fate) = fate else {
        to_stdout(if args.json {
            "null\n"
        } else {
            "No such event came in, or it is forgotten. Whether the homeserver pushes events, `letta-matrix doctor` tells.\n"
        })?;
        return Ok(SOME_FAILED);
    };
    if args.json {
        let explained = Explained {
            event_id: event,
            verdict: fate.verdict,
            deliveries: fate.deliveries.into_iter().map(ExplainedDelivery::from).collect(),
        };
        let json = serde_json::to_string_pretty(&explained)
            .map_err(|error| Failure::new(format!("cannot write the result as JSON: {error}")))?;
        to_stdout(&(json + "\n"))?;
    } else {
        to_stdout(&(text(&fate) + "\n"))?;
    }
    Ok(OK)
}

impl From<DeliveryFate> for ExplainedDelivery {
    fn from(fate: DeliveryFate) -> Self {
        Self {
            agent_id: fate.agent.to_string(),
            attempt: fate.attempt,
            step: fate.step,
            outcome: fate.outcome,
            said: fate.said,
        }
    }
}

fn text(fate: &Fate) -> String {
    let mut lines = vec![match &fate.verdict {
        Some(verdict) => one_line(verdict, 400),
        None => "It came in, and nothing was decided yet.".to_owned(),
    }];
    for delivery in &fate.deliveries {
        let who = match delivery.agent.as_str() {
            "" => "the bridge",
            agent => agent,
        };
        let tries = match delivery.attempt {
            0 => String::new(),
            again => format!(", tried again ({again})"),
        };
        let how = delivery
            .outcome
            .as_ref()
            .map_or_else(|| delivery.step.to_owned(), ended);
        lines.push(format!("  {who}{tries}: {how}"));
        lines.extend(delivery.said.iter().map(|event| format!("    said {event}")));
    }
    lines.join("\n")
}

fn ended(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered => "answered".to_owned(),
        Outcome::Silent => "the agent chose to say nothing".to_owned(),
        Outcome::Asked => "a tool waits for a decision".to_owned(),
        Outcome::Stopped => "was stopped".to_owned(),
        Outcome::Failed { why } => format!("failed: {}", one_line(why, 300)),
        Outcome::Told => "the sender was told".to_owned(),
        Outcome::TakenBack => "taken back by its sender".to_owned(),
        Outcome::Undeliverable { why } => format!("could not be said in the room: {}", one_line(why, 300)),
    }
}
