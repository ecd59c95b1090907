//! What the service does, in the log: a sentence when something happens, and none when nothing does.

use std::{fmt::Display, sync::Arc, time::Duration};

use agent_sync::{News, NotSynced, Reason, ServiceConfig, ServiceEvent, ServiceObserver, SyncReport};

use super::super::sync::report::{counted, failed_line, names, summary, withheld_line};
use crate::{
    config::Config,
    failure::{self, Failure},
};

/// How many agents' failures are told each by itself.
const MAX_FAILURES: usize = 5;

/// Writes the log.
#[derive(Debug)]
pub(super) struct Journal {
    config: Arc<Config>,
}

impl Journal {
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self { config }
    }

    fn synced(&self, report: &SyncReport, news: &News, reasons: &[Reason]) {
        if news.first || news.did_something || reasons.contains(&Reason::Signal) {
            tracing::info!("{}", done(report, reasons));
        }
        if report.agents == 0 && news.first {
            tracing::info!("there is nothing to do until there are agents");
        }
        for failed in news.failed.iter().take(MAX_FAILURES) {
            tracing::warn!(
                "failed and tried again with every sync: {}",
                failed_line(failed).trim_start()
            );
        }
        if let Some(more) = news
            .failed
            .len()
            .checked_sub(MAX_FAILURES)
            .filter(|more| *more > 0)
        {
            tracing::warn!(
                "{} failed as well: `letta-matrix status` names them",
                counted(more, "other agent", "other agents")
            );
        }
        if !news.mended.is_empty() {
            tracing::info!("no longer failing: {}", names(&news.mended));
        }
        if !news.missing.is_empty() {
            tracing::info!(
                "no longer in Letta: {}. {}",
                names(&news.missing),
                self.what_becomes_of_rooms()
            );
        }
        if news.withheld
            && let Some(withheld) = &report.withheld
        {
            tracing::warn!(
                "{} The service must be stopped for that.",
                withheld_line(withheld)
            );
        }
        if news.listing_broke_off {
            tracing::warn!(
                "Letta's list of agents broke off: nobody is taken for gone until it is whole again"
            );
        }
    }

    fn what_becomes_of_rooms(&self) -> String {
        let removal = &self.config.sync.removal;
        match removal.mode {
            agent_sync::RemovalMode::Keep => "Their rooms stay as they are.".to_owned(),
            _ => format!(
                "Their rooms are put away if that is still so in {}.",
                duration(removal.grace)
            ),
        }
    }
}

impl ServiceObserver for Journal {
    fn notice(&self, event: &ServiceEvent<'_>) {
        match event {
            ServiceEvent::Synced {
                report,
                news,
                reasons,
            } => self.synced(report, news, reasons),
            ServiceEvent::Failing { error, retry_in } => {
                let advice = advice(error, &self.config);
                tracing::warn!(
                    "{}.{}{advice} It is tried again in {}, then after ever longer waits of up to {}; the log tells \
                     when it works again",
                    reason(error, &self.config),
                    if advice.is_empty() { "" } else { " " },
                    duration(*retry_in),
                    duration(ServiceConfig::default().last_retry),
                );
            }
            ServiceEvent::Recovered { lasted, failures } => tracing::info!(
                "works again after {} and {}",
                duration(*lasted),
                counted(failures, "failure", "failures")
            ),
            ServiceEvent::SetAside { error } => {
                tracing::info!(
                    "{}: this one goes on when that one is done",
                    reason(error, &self.config)
                );
            }
            ServiceEvent::CutOff => tracing::info!("the sync that was going was cut off"),
            _ => {}
        }
    }
}

/// What a run did, and who wanted it.
fn done(report: &SyncReport, reasons: &[Reason]) -> String {
    let summary = summary(report);
    let cost = format!(
        "({} and {} in {:.1} s)",
        counted(report.requests.matrix, "Matrix request", "Matrix requests"),
        counted(report.requests.letta, "Letta request", "Letta requests"),
        report.duration.as_secs_f64()
    );
    if reasons.is_empty() {
        return format!("{summary} {cost}");
    }
    let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    format!("{summary} {cost}, asked for by {}", reasons.join(" and "))
}

/// Why a run did not come about.
fn failure_of(error: &NotSynced, config: &Config) -> Failure {
    match error {
        NotSynced::Failed(error) => failure::of_sync(error, config),
        error => Failure::new(error.to_string()),
    }
}

/// Why a run did not come about, as a sentence.
pub(super) fn reason(error: &NotSynced, config: &Config) -> String {
    failure_of(error, config).reason()
}

fn advice(error: &NotSynced, config: &Config) -> String {
    failure_of(error, config)
        .what_to_do()
        .map(ToOwned::to_owned)
        .unwrap_or_default()
}

/// A time as people say it, in its two largest units.
pub(super) fn duration(duration: Duration) -> impl Display {
    let seconds = duration.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (unit, size) in units {
        if left >= size {
            parts.push(format!("{} {unit}", left / size));
            left %= size;
        }
    }
    parts.truncate(2);
    if parts.is_empty() {
        parts.push("less than a second".to_owned());
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_two_largest_units() {
        for (seconds, expected) in [
            (0, "less than a second"),
            (1, "1 s"),
            (60, "1 min"),
            (90, "1 min 30 s"),
            (3_600 * 2, "2 h"),
            (86_400 * 3 + 3_600 + 60, "3 d 1 h"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)).to_string(), expected);
        }
    }
}
