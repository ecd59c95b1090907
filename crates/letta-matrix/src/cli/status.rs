//! `letta-matrix status`: what is bound to what, and how it is, as the state has it.

use std::collections::BTreeMap;

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use store::{Binding, Lifecycle};

use super::{Global, OK, look};
use crate::{
    failure::{self, Failure},
    output::{one_line, to_stdout},
};

/// Show which agent has which user and room, and how that stands
///
/// Reads the state alone, changes nothing, and asks neither Letta nor the homeserver.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Print a JSON list of objects for programs
    #[arg(long)]
    json: bool,
    /// Where the state is kept: SQLite file or postgres:// URL [env: DATABASE_URL] [default: letta-matrix.db]
    #[arg(long, value_name = "PLACE")]
    database: Option<String>,
}

/// One agent. A documented, stable output.
#[derive(Debug, Serialize)]
struct AgentStatus {
    agent_id: String,
    agent_name: String,
    user_id: String,
    /// `null` until there is one.
    room_id: Option<String>,
    room_alias: String,
    state: State,
    last_error: Option<String>,
    /// By person: `invited`, `joined`, `left` or `failed`.
    invitations: BTreeMap<String, &'static str>,
    /// When the agent was first seen.
    created_at: String,
    /// When this last changed.
    updated_at: String,
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Everything is there.
    Ready,
    /// Something is still missing.
    Incomplete,
    /// The last attempt to complete it failed.
    Failed,
    /// Letta no longer lists the agent; nothing is done yet.
    Missing,
    /// The agent is gone and its room put away.
    Archived,
}

pub(super) async fn run(args: &StatusArgs, global: &Global) -> Result<u8, Failure> {
    let (state, database) = look::state(args.database.as_deref(), global).await?;
    let bindings = state.store().list_bindings().await;
    state.close().await;
    let bindings = bindings.map_err(|error| failure::of_state(&error, &database))?;

    let agents: Vec<AgentStatus> = bindings.into_iter().map(AgentStatus::of).collect();
    let text = if args.json {
        serde_json::to_string_pretty(&agents)
            .map_err(|error| Failure::new(format!("cannot write the result as JSON: {error}")))?
            + "\n"
    } else if agents.is_empty() {
        "No agents are known. `letta-matrix sync` brings them home.\n".to_owned()
    } else {
        table(&agents)
    };
    to_stdout(&text)?;
    Ok(OK)
}

impl AgentStatus {
    fn of(binding: Binding) -> Self {
        let complete = binding.user_registered
            && binding.room_id.is_some()
            && binding.room.parent_id.is_some()
            && binding.room.space_id.is_some();
        let state = match (&binding.last_error, &binding.lifecycle) {
            (Some(_), _) => State::Failed,
            (None, Lifecycle::Missing { .. }) => State::Missing,
            (None, Lifecycle::Archived { .. }) => State::Archived,
            (None, Lifecycle::Active) if complete => State::Ready,
            (None, Lifecycle::Active) => State::Incomplete,
        };
        Self {
            agent_id: binding.agent_id.to_string(),
            agent_name: binding.agent_name,
            user_id: binding.user_id.to_string(),
            room_id: binding.room_id.map(|room| room.to_string()),
            room_alias: binding.room_alias.to_string(),
            state,
            last_error: binding.last_error,
            invitations: binding
                .invitations
                .into_iter()
                .map(|(user, invitation)| (user.to_string(), invitation.as_str()))
                .collect(),
            created_at: binding.created_at.to_string(),
            updated_at: binding.updated_at.to_string(),
        }
    }
}

fn table(agents: &[AgentStatus]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_header(["agent", "user and room", "state", "people"]);
    if let Some((_, width)) = console::Term::stdout().size_checked() {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    let mut by_name: Vec<&AgentStatus> = agents.iter().collect();
    by_name.sort_by_key(|agent| agent.agent_name.to_lowercase());
    for agent in by_name {
        let state = match (&agent.last_error, agent.state) {
            (Some(error), _) => format!("failed: {}", one_line(error, 200)),
            (None, State::Ready) => "ready".to_owned(),
            (None, State::Missing) => "missing in Letta".to_owned(),
            (None, State::Archived) => "archived".to_owned(),
            (None, _) => "incomplete".to_owned(),
        };
        let people: Vec<String> = agent
            .invitations
            .iter()
            .map(|(user, how)| format!("{user} {how}"))
            .collect();
        table.add_row([
            format!(
                "{}\n{}",
                one_line(&agent.agent_name, 40),
                one_line(&agent.agent_id, 80)
            ),
            format!(
                "{}\n{}",
                agent.user_id,
                agent.room_id.as_deref().unwrap_or("no room yet")
            ),
            state,
            people.join("\n"),
        ]);
    }
    let ready = agents.iter().filter(|agent| agent.state == State::Ready).count();
    format!("{table}\n{ready} of {} agents ready\n", agents.len())
}
