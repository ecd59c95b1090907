//! What is worth telling after a run, when there is a run every minute.

use std::collections::HashSet;

use letta_client::AgentId;

use super::NotSynced;
use crate::{FailedAgent, ListingKind, SyncError, SyncReport};

/// What a run has that the runs before it did not have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct News {
    /// Whether it is the first run.
    pub first: bool,
    /// Whether it changed something on the homeserver.
    pub did_something: bool,
    /// Agents that failed and did not fail before.
    pub failed: Vec<FailedAgent>,
    /// Agents that failed before and do not any more.
    pub mended: Vec<AgentId>,
    /// Agents that Letta lists no longer and listed before.
    pub missing: Vec<AgentId>,
    /// Whether more or fewer rooms than before would have been put away if they were not so many.
    pub withheld: bool,
    /// Whether the listing broke off and did not before.
    pub listing_broke_off: bool,
}

/// What has been told already.
#[derive(Debug, Default)]
pub(super) struct Told {
    ran: bool,
    failed: HashSet<AgentId>,
    missing: HashSet<AgentId>,
    withheld: usize,
    broke_off: bool,
    /// The kinds of failure of the present outage.
    failures: HashSet<String>,
    set_aside: bool,
}

impl Told {
    /// What is to be told about this run, if anything. An agent that fails at one step today and at another one
    /// tomorrow fails all the same.
    pub(super) fn news_in(&mut self, report: &SyncReport) -> Option<News> {
        let failed: HashSet<AgentId> = report
            .failed
            .iter()
            .map(|failed| failed.agent_id.clone())
            .collect();
        let mut news = News {
            first: !self.ran,
            did_something: did_something(report),
            failed: report
                .failed
                .iter()
                .filter(|failed| !self.failed.contains(&failed.agent_id))
                .cloned()
                .collect(),
            mended: self.failed.difference(&failed).cloned().collect(),
            listing_broke_off: !report.listing_complete && !self.broke_off,
            ..News::default()
        };
        news.mended.sort();
        // A listing that broke off, or told of changes alone, knows of nobody missing: that is no news.
        if report.listing_complete && report.listing == ListingKind::Full {
            news.missing = report
                .missing
                .iter()
                .filter(|agent| !self.missing.contains(*agent))
                .cloned()
                .collect();
            self.missing = report.missing.iter().cloned().collect();
            let withheld = report
                .withheld
                .as_ref()
                .map_or(0, |withheld| withheld.agents.len());
            news.withheld = withheld != self.withheld && withheld > 0;
            self.withheld = withheld;
        }
        self.failed = failed;
        self.broke_off = !report.listing_complete;
        self.ran = true;
        (news != News::default()).then_some(news)
    }

    /// Whether this failure is to be told: not if one of its kind was in the present outage.
    pub(super) fn failure(&mut self, error: &NotSynced) -> bool {
        self.failures.insert(kind(error))
    }

    /// Whether it is to be told that another instance is at it.
    pub(super) fn set_aside(&mut self) -> bool {
        !std::mem::replace(&mut self.set_aside, true)
    }

    /// A run came about.
    pub(super) fn recovered(&mut self) {
        self.failures.clear();
        self.set_aside = false;
    }
}

/// What kind of failure it is. Texts may differ each time, by a port or a time.
fn kind(error: &NotSynced) -> String {
    match error {
        NotSynced::Failed(error) => match &**error {
            SyncError::ListAgents(error) => format!("Letta {}", name_of(error.kind())),
            SyncError::Space(error) => format!("space {}", name_of(error.kind())),
            SyncError::Store(error) => format!("store {}", name_of(&error.kind())),
            other => name_of(other),
        },
        NotSynced::Panicked(_) => "panic".to_owned(),
        NotSynced::Stopped => "stopped".to_owned(),
    }
}

/// The name of a variant without what it holds.
fn name_of(variant: &impl std::fmt::Debug) -> String {
    let mut name = format!("{variant:?}");
    if let Some(end) = name.find(['(', ' ', '{']) {
        name.truncate(end);
    }
    name
}

/// Whether a run changed anything on the homeserver.
fn did_something(report: &SyncReport) -> bool {
    report.space_created
        || [
            report.users_created,
            report.rooms_created,
            report.renamed,
            report.adopted,
            report.repaired,
            report.archived,
            report.restored,
        ]
        .iter()
        .any(|count| *count > 0)
}
