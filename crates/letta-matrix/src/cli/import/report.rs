//! An import in sentences.

use std::fmt::Write as _;

use agent_sync::{ImportReport, SkippedEntry, SpaceImport, SpaceProblem};

use super::{
    super::upkeep::{MAX_ERROR, MAX_NAME, counted},
    Imported, NextSync,
};
use crate::output::one_line;

pub(super) fn text(imported: &Imported) -> String {
    let report = &imported.report;
    let mut text = summary(imported) + "\n";
    for agent in &report.imported {
        let name = one_line(&agent.agent_name, MAX_NAME);
        let id = one_line(agent.agent_id.as_str(), MAX_NAME);
        let what = match &agent.room_id {
            None => "it has no room; the next sync makes one".to_owned(),
            Some(room) if agent.room_out_of_reach => format!(
                "its user is not in its room {room} any more; the next sync tries to come back, and makes another room if \
                 it cannot"
            ),
            Some(_) => continue,
        };
        let _ = writeln!(text, "  {name} ({id}): {what}");
    }
    if !report.skipped.is_empty() {
        let skipped = counted(report.skipped.len(), "agent is", "agents are");
        let _ = writeln!(text, "{skipped} not taken over:");
        for skipped in &report.skipped {
            let _ = writeln!(text, "{}", skipped_line(skipped));
        }
    }
    if let Some(space) = &report.space {
        let _ = writeln!(text, "{}", space_sentence(space, imported.dry_run));
    }
    if !report.checked {
        text.push_str("The homeserver was not asked: that takes a login for each agent, which a dry run does not make.\n");
    }
    text.push_str(&match (imported.dry_run, imported.next_sync) {
        (true, _) => "Nothing was written.\n".to_owned(),
        (false, Some(next)) => next_sentence(next),
        (false, None) => "`letta-matrix sync --dry-run` tells what the next sync will do.\n".to_owned(),
    });
    text
}

fn summary(imported: &Imported) -> String {
    let ImportReport {
        entries,
        imported: agents,
        unchanged,
        ..
    } = &imported.report;
    let would = if imported.dry_run { "would be " } else { "" };
    let before = match unchanged {
        0 => String::new(),
        unchanged => format!(", {unchanged} taken over before"),
    };
    format!(
        "{} in the file: {} {would}taken over{before}.",
        counted(*entries, "agent", "agents"),
        agents.len()
    )
}

fn skipped_line(skipped: &SkippedEntry) -> String {
    format!(
        "  {}: {}",
        one_line(&skipped.agent_id, MAX_NAME),
        one_line(&skipped.detail, MAX_ERROR)
    )
}

fn space_sentence(space: &SpaceImport, dry_run: bool) -> String {
    let (room_id, problem) = match space {
        SpaceImport::Adopted { room_id } if dry_run => {
            return format!("The space {room_id} would be taken over.");
        }
        SpaceImport::Adopted { room_id } => return format!("The space {room_id} is taken over."),
        SpaceImport::Unchanged { room_id } => return format!("The space {room_id} was taken over before."),
        SpaceImport::NotAdopted { room_id, problem } => (room_id, problem),
        other => return format!("{other:?}"),
    };
    let otherwise = "Otherwise the next sync makes a new space, invites the people there and moves the rooms; the old one \
                     stays as it is, with its list of rooms, until somebody leaves or deletes it.";
    let again = "and run this again";
    let because = match problem {
        SpaceProblem::NotIn => {
            format!("the bridge's own user is not in it. Invite it there with power 50 {again}. {otherwise}")
        }
        SpaceProblem::NoPower { has, needs } => format!(
            "the bridge's own user has power {has} there, and needs {needs}. Give it that {again}. {otherwise}"
        ),
        SpaceProblem::AliasElsewhere { to } => format!(
            "the alias of our space leads to {to} already. Remove it there, or choose another alias, {again}. {otherwise}"
        ),
        SpaceProblem::NotASpace => format!("it is a room and no space. {otherwise}"),
        SpaceProblem::Replaced { by } => {
            format!("it was replaced by {by}. Write that id into the file {again}. {otherwise}")
        }
        SpaceProblem::OtherSpace { ours } => format!(
            "we have the space {ours} already. The old one stays as it is, until somebody leaves or deletes it."
        ),
        SpaceProblem::Unanswered { error } => {
            format!("{}. Run this again. {otherwise}", one_line(error, MAX_ERROR))
        }
        other => format!("{other:?}"),
    };
    format!("The space {room_id} is not taken over: {because}")
}

fn next_sentence(next: NextSync) -> String {
    let missing = match next.missing {
        0 => String::new(),
        missing => format!(
            " {} not in Letta any more; nothing is done to their rooms for now.",
            counted(missing, "agent is", "agents are")
        ),
    };
    format!(
        "The next `letta-matrix sync` looks at {} and completes what they lack, and makes {}.{missing} \
         `letta-matrix sync --dry-run` tells more.\n",
        counted(next.rooms_to_complete, "room", "rooms"),
        match next.rooms_to_make {
            0 => "no room".to_owned(),
            rooms => counted(rooms, "room", "rooms"),
        }
    )
}
