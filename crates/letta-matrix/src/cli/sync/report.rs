//! A run, and the plan of one, in sentences.

use std::fmt::{Display, Write as _};

use agent_sync::{Action, FailedAgent, Plan, SpaceAction, SyncReport};

use crate::{config::Config, failure::where_agents_failed, output::one_line};

/// How much of a name is shown.
const MAX_NAME: usize = 60;
/// How much of an error is shown.
const MAX_ERROR: usize = 600;

/// What a run did.
pub(super) fn text(report: &SyncReport, config: &Config) -> String {
    let mut text = String::new();
    let mut line = |sentence: String| {
        text.push_str(&sentence);
        text.push('\n');
    };
    if report.agents == 0 {
        line(format!(
            "Letta lists no agents: there is nothing to do. ({} as {} says)",
            config.letta_url.value.as_str().trim_end_matches('/'),
            config.letta_url.name()
        ));
    } else {
        line(summary(report));
    }
    if !report.listing_complete {
        line(
            "Letta's list of agents broke off: some may be missing here. The next sync lists them again."
                .to_owned(),
        );
    }
    if !report.missing.is_empty() {
        line(format!(
            "{} no longer in Letta; nothing was done to their rooms: {}",
            counted(report.missing.len(), "agent is", "agents are"),
            report
                .missing
                .iter()
                .map(|id| one_line(id.as_str(), MAX_NAME))
                .collect::<Vec<_>>()
                .join(", ")
        ));
    }
    if !report.failed.is_empty() {
        line(format!(
            "{} failed; the next sync tries again:",
            counted(report.failed.len(), "agent", "agents")
        ));
        report.failed.iter().for_each(|failed| line(failed_line(failed)));
        line(where_agents_failed(config));
    }
    line(format!(
        "{} and {} in {:.1} s.",
        counted(report.requests.matrix, "Matrix request", "Matrix requests"),
        counted(report.requests.letta, "Letta request", "Letta requests"),
        report.duration.as_secs_f64()
    ));
    text
}

fn summary(report: &SyncReport) -> String {
    let done: Vec<String> = [
        (usize::from(report.space_created), "space made", "spaces made"),
        (report.users_created, "user registered", "users registered"),
        (report.rooms_created, "room made", "rooms made"),
        (report.renamed, "agent renamed", "agents renamed"),
        (report.adopted, "room found again", "rooms found again"),
        (report.archived, "room archived", "rooms archived"),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, one, many)| counted(count, one, many))
    .collect();
    let agents = counted(report.agents, "agent", "agents");
    match done.as_slice() {
        [] if report.unchanged == report.agents => format!("{agents}, all at home: nothing to do."),
        [] => format!("{agents}, {} at home.", report.unchanged),
        done => format!("{agents}: {}.", done.join(", ")),
    }
}

fn failed_line(failed: &FailedAgent) -> String {
    let name = one_line(&failed.agent_name, MAX_NAME);
    let id = one_line(failed.agent_id.as_str(), MAX_NAME);
    format!(
        "  {name} ({id}), {}: {}",
        failed.step,
        one_line(&failed.error, MAX_ERROR)
    )
}

/// What a run would do.
pub(super) fn plan_text(plan: &Plan) -> String {
    let mut text = String::new();
    if let Some(SpaceAction::Create { name, alias }) = &plan.space
        && !plan.agents.is_empty()
    {
        let _ = writeln!(text, "make the space {:?} ({alias})", one_line(name, MAX_NAME));
    }
    for agent in &plan.agents {
        let (name, id) = (
            one_line(&agent.agent_name, MAX_NAME),
            one_line(agent.agent_id.as_str(), MAX_NAME),
        );
        let _ = writeln!(text, "{name} ({id}) as {}", agent.user_id);
        for action in &agent.actions {
            let _ = writeln!(text, "  {}", sentence(action));
        }
    }
    let _ = writeln!(
        text,
        "{} to bring home, {} at home already{}. Nothing was done.",
        counted(plan.agents.len(), "agent", "agents"),
        plan.unchanged,
        match plan.missing.len() {
            0 => String::new(),
            gone => format!(", {gone} no longer in Letta"),
        }
    );
    text
}

fn sentence(action: &Action) -> String {
    let quoted = |text: &str| format!("{:?}", one_line(text, MAX_NAME));
    match action {
        Action::Register => "register the user".to_owned(),
        Action::SetDisplayName { name } => format!("set the display name {}", quoted(name)),
        Action::CreateRoom { name, invite, .. } => {
            let people: Vec<&str> = invite.iter().map(|user| user.as_str()).collect();
            let inviting = if people.is_empty() {
                String::new()
            } else {
                format!(", inviting {}", people.join(", "))
            };
            format!("make the room {}{inviting}", quoted(name))
        }
        Action::SetRoomName { name } => format!("rename the room to {}", quoted(name)),
        Action::SetRoomTopic { topic } => format!("set the room's topic {}", quoted(topic)),
        Action::SetParent => "name the space as the room's parent".to_owned(),
        Action::AddToSpace => "add the room to the space".to_owned(),
        Action::Invite { user } => format!("invite {user}"),
    }
}

fn counted(count: impl Display, one: &str, many: &str) -> String {
    let count = count.to_string();
    let noun = if count == "1" { one } else { many };
    format!("{count} {noun}")
}
