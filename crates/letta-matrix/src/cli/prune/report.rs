//! What pruning would do, and did, in sentences.

use std::fmt::Write as _;

use agent_sync::{
    FailedPrune, KeepReason, KeptAgent, Prunable, PrunePlan, PruneReport, PrunedAgent, RoomOutcome,
};
use store::ArchiveReason;

use super::super::upkeep::{MAX_ERROR, MAX_NAME, counted};
use crate::output::one_line;

/// What would be done.
pub(super) fn plan(plan: &PrunePlan, has_administrator: bool) -> String {
    let mut text = String::new();
    if plan.prunable.is_empty() {
        text.push_str("There is nothing to delete.\n");
    } else {
        let rooms = counted(plan.prunable.len(), "agent is", "agents are");
        let how = if has_administrator {
            "the homeserver deletes their rooms with everything that was said there"
        } else {
            "everybody is asked out of their rooms, and the agents leave; the homeserver keeps what was said there \
             (MATRIX_ADMIN_USERNAME and MATRIX_ADMIN_PASSWORD of a Synapse administrator have it deleted)"
        };
        let _ = writeln!(text, "{rooms} gone: {how}. Their users stay.");
        for prunable in &plan.prunable {
            let _ = writeln!(text, "{}", prunable_line(prunable));
        }
    }
    others(&mut text, &plan.kept, &plan.failed);
    text
}

fn prunable_line(prunable: &Prunable) -> String {
    let why = match prunable.reason {
        ArchiveReason::Deleted => "deleted in Letta",
        ArchiveReason::Hidden => "hidden in Letta",
        ArchiveReason::Excluded => "left out by the settings",
    };
    let room = match (&prunable.room_id, prunable.people) {
        (None, _) => "no room".to_owned(),
        (Some(room), None) => format!("{room}, out of our reach"),
        (Some(room), Some(people)) => format!("{room} with {}", counted(people, "person", "people")),
    };
    format!(
        "  {}, {}, {room}, archived {}: {why}",
        named(&prunable.agent_name, prunable.agent_id.as_str()),
        prunable.user_id,
        prunable.since.strftime("%Y-%m-%d %H:%M UTC"),
    )
}

/// What was done.
pub(super) fn done(report: &PruneReport) -> String {
    let mut text = format!(
        "{} gone for good.\n",
        counted(report.pruned.len(), "agent is", "agents are")
    );
    for pruned in &report.pruned {
        let _ = writeln!(text, "{}", pruned_line(pruned));
    }
    let kept: Vec<KeptAgent> = report
        .kept
        .iter()
        .filter(|kept| kept.reason == KeepReason::CameBack)
        .cloned()
        .collect();
    others(&mut text, &kept, &report.failed);
    let _ = writeln!(
        text,
        "{} and {} in {:.1} s.",
        counted_requests(report.requests.matrix, "Matrix"),
        counted_requests(report.requests.letta, "Letta"),
        report.duration.as_secs_f64()
    );
    text
}

fn pruned_line(pruned: &PrunedAgent) -> String {
    let outcome = match (pruned.outcome, &pruned.room_id) {
        (RoomOutcome::Deleted, Some(room)) => format!("{room} is deleted"),
        (RoomOutcome::Left, Some(room)) if pruned.remaining.is_empty() => format!("{room} is empty"),
        (RoomOutcome::Left, Some(room)) => {
            let people: Vec<&str> = pruned.remaining.iter().map(|user| user.as_str()).collect();
            format!(
                "{room} is left; with as much power there as the agent, these stay: {}",
                people.join(", ")
            )
        }
        (RoomOutcome::Gone, Some(room)) => format!("{room} was out of our reach already"),
        _ => "it had no room".to_owned(),
    };
    format!(
        "  {}: {outcome}",
        named(&pruned.agent_name, pruned.agent_id.as_str())
    )
}

fn others(text: &mut String, kept: &[KeptAgent], failed: &[FailedPrune]) {
    for kept in kept {
        let why = match kept.reason {
            KeepReason::TooRecent => "archived more recently than that",
            KeepReason::StillInLetta => {
                "Letta still has it; --include-excluded deletes its room all the same"
            }
            KeepReason::CameBack => "it is in Letta again, and the next sync brings it home",
            _ => "it is needed",
        };
        let _ = writeln!(
            text,
            "  kept: {}: {why}",
            named(&kept.agent_name, kept.agent_id.as_str())
        );
    }
    if !failed.is_empty() {
        let _ = writeln!(text, "{} failed:", counted(failed.len(), "agent", "agents"));
        for failed in failed {
            let _ = writeln!(
                text,
                "  {}, {}: {}",
                named(&failed.agent_name, failed.agent_id.as_str()),
                failed.step,
                one_line(&failed.error, MAX_ERROR)
            );
        }
    }
}

fn named(name: &str, id: &str) -> String {
    format!("{} ({})", one_line(name, MAX_NAME), one_line(id, MAX_NAME))
}

fn counted_requests(count: u64, server: &str) -> String {
    format!(
        "{count} {server} {}",
        if count == 1 { "request" } else { "requests" }
    )
}
