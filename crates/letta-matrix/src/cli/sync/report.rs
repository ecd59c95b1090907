//! A run, and the plan of one, in sentences.

use std::fmt::{Display, Write as _};

use agent_sync::{Action, FailedAgent, Plan, SpaceAction, SyncReport, Withheld};
use letta_client::AgentId;

use crate::{
    config::{Config, REMOVAL_MAX_SHARE},
    failure::where_agents_failed,
    output::one_line,
};

/// How much of a name is shown.
const MAX_NAME: usize = 60;
/// How much of an error is shown.
const MAX_ERROR: usize = 600;

/// How many agents are named in one sentence.
const MAX_LISTED: usize = 20;

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
            "{} no longer in Letta; nothing was done to their rooms yet: {}",
            counted(report.missing.len(), "agent is", "agents are"),
            names(&report.missing)
        ));
    }
    if let Some(withheld) = &report.withheld {
        line(withheld_line(withheld));
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

pub(in crate::cli) fn summary(report: &SyncReport) -> String {
    let done: Vec<String> = [
        (usize::from(report.space_created), "space made", "spaces made"),
        (report.users_created, "user registered", "users registered"),
        (report.rooms_created, "room made", "rooms made"),
        (report.renamed, "agent renamed", "agents renamed"),
        (report.adopted, "room found again", "rooms found again"),
        (report.repaired, "room mended", "rooms mended"),
        (report.archived, "room put away", "rooms put away"),
        (report.restored, "agent back", "agents back"),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, one, many)| counted(count, one, many))
    .collect();
    let agents = counted(report.agents, "agent", "agents");
    match done.as_slice() {
        [] if report.unchanged == report.agents => format!("{agents}, all at home: nothing to do."),
        [] if report.failed.is_empty() => format!("{agents}: nothing was to be done."),
        [] => format!("{agents}, {} at home.", report.unchanged),
        done => format!("{agents}: {}.", done.join(", ")),
    }
}

/// Why nothing was put away, and what to do if it should be.
pub(in crate::cli) fn withheld_line(withheld: &Withheld) -> String {
    format!(
        "{} of {} would be put away, which is more than {} ({}) allows at once: {}. If that is right, run \
         `letta-matrix sync --confirm-removals`.",
        counted(withheld.agents.len(), "agent", "agents"),
        withheld.of,
        REMOVAL_MAX_SHARE.key,
        withheld.limit,
        names(&withheld.agents)
    )
}

/// The first of them, and how many more there are.
pub(in crate::cli) fn names(agents: &[AgentId]) -> String {
    let mut names: Vec<String> = agents
        .iter()
        .take(MAX_LISTED)
        .map(|id| one_line(id.as_str(), MAX_NAME))
        .collect();
    if agents.len() > MAX_LISTED {
        names.push(format!("and {} more", agents.len() - MAX_LISTED));
    }
    names.join(", ")
}

pub(in crate::cli) fn failed_line(failed: &FailedAgent) -> String {
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
    for action in &plan.space {
        let _ = writeln!(text, "{}", space_sentence(action));
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

fn quoted(text: &str) -> String {
    format!("{:?}", one_line(text, MAX_NAME))
}

fn space_sentence(action: &SpaceAction) -> String {
    match action {
        SpaceAction::Create { name, alias } => format!("make the space {} ({alias})", quoted(name)),
        SpaceAction::Inspect => "look whether the space is as it should be".to_owned(),
        SpaceAction::Mark => "mark the space as ours".to_owned(),
        SpaceAction::SetAlias => "give the space its alias".to_owned(),
        SpaceAction::SetName { name } => format!("rename the space to {}", quoted(name)),
        SpaceAction::SetTopic { topic } => format!("set the space's topic {}", quoted(topic)),
        SpaceAction::SetBotName { name } => format!("name the bridge's own user {}", quoted(name)),
        SpaceAction::Invite { user } => format!("invite {user} to the space"),
    }
}

fn sentence(action: &Action) -> String {
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
        Action::PrepareAvatar => "upload the picture".to_owned(),
        Action::SetUserAvatar { .. } => "set the user's picture".to_owned(),
        Action::SetRoomAvatar { .. } => "set the room's picture".to_owned(),
        Action::Inspect => "look whether the room is as it should be".to_owned(),
        Action::Rejoin => "come back into the room".to_owned(),
        Action::Mark => "mark the room as the agent's".to_owned(),
        Action::SetAlias => "give the room its alias".to_owned(),
        Action::RemoveParent { .. } => "no longer name the space as the room's parent".to_owned(),
        Action::RemoveFromSpace { .. } => "take the room out of the space".to_owned(),
        Action::SendHistory => "put the latest messages into the room".to_owned(),
        Action::Leave => "leave the room".to_owned(),
        Action::SetParent => "name the space as the room's parent".to_owned(),
        Action::AddToSpace { .. } => "add the room to the space".to_owned(),
        Action::Invite { user } => format!("invite {user}"),
    }
}

pub(in crate::cli) fn counted(count: impl Display, one: &str, many: &str) -> String {
    let count = count.to_string();
    let noun = if count == "1" { one } else { many };
    format!("{count} {noun}")
}
