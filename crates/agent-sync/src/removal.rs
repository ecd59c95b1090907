//! Who is gone. Nothing is put away without four proofs: the listing was complete, few enough are missing, the agent
//! has been missing for the grace period, and Letta says of this very agent that it does not exist.

use std::collections::HashMap;

use jiff::Timestamp;
use letta_client::{Agent, AgentId};
use serde::Serialize;
use store::{ArchiveReason, Binding, Lifecycle};

use crate::config::{RemovalConfig, RemovalMode};

/// Agents whose rooms would be put away if they were not so many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Withheld {
    /// The agents.
    pub agents: Vec<AgentId>,
    /// How many may be missing at once.
    pub limit: usize,
    /// How many agents have a home.
    pub of: usize,
}

/// What a complete listing means for one agent that has a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is there.
    Present,
    /// It is there, and left out by the configuration.
    Excluded,
    /// It is not there; nothing is done yet.
    Missing,
    /// It has been missing for long enough: Letta is to be asked for it.
    Overdue,
}

/// Everybody's verdict.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    pub(crate) verdicts: HashMap<AgentId, Verdict>,
    pub(crate) withheld: Option<Withheld>,
}

impl Judgement {
    pub(crate) fn of(&self, agent: &AgentId) -> Option<Verdict> {
        self.verdicts.get(agent).copied()
    }
}

/// Judges everybody who has a binding by a complete listing. `listed` says of each listed agent whether it is
/// selected.
pub(crate) fn judge(
    bindings: &[Binding],
    listed: &HashMap<&AgentId, bool>,
    config: &RemovalConfig,
    confirmed: bool,
    now: Timestamp,
) -> Judgement {
    let mut judgement = Judgement::default();
    let mut leaving = Vec::new();
    for binding in bindings {
        let is_archived = matches!(binding.lifecycle, Lifecycle::Archived { .. });
        let verdict = match listed.get(&binding.agent_id) {
            Some(true) => Verdict::Present,
            Some(false) => Verdict::Excluded,
            None if is_archived => continue,
            None if is_overdue(&binding.lifecycle, config, now) => Verdict::Overdue,
            None => Verdict::Missing,
        };
        if verdict != Verdict::Present && !is_archived {
            leaving.push(binding.agent_id.clone());
        }
        judgement.verdicts.insert(binding.agent_id.clone(), verdict);
    }
    let of = bindings
        .iter()
        .filter(|binding| !matches!(binding.lifecycle, Lifecycle::Archived { .. }))
        .count();
    let limit = limit(of, config);
    if config.mode == RemovalMode::Keep || (leaving.len() > limit && !confirmed) {
        for agent in &leaving {
            judgement.verdicts.insert(agent.clone(), Verdict::Missing);
        }
        if config.mode != RemovalMode::Keep {
            judgement.withheld = Some(Withheld {
                agents: leaving,
                limit,
                of,
            });
        }
    }
    judgement
}

fn is_overdue(lifecycle: &Lifecycle, config: &RemovalConfig, now: Timestamp) -> bool {
    match lifecycle {
        Lifecycle::Missing { since } => {
            let missing_for = now.duration_since(*since);
            // A clock that was set back proves nothing.
            !missing_for.is_negative() && missing_for.unsigned_abs() >= config.grace
        }
        _ => false,
    }
}

/// How many agents may be missing at once.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a number of agents"
)]
fn limit(agents: usize, config: &RemovalConfig) -> usize {
    ((agents as f64 * config.max_share).floor() as usize).max(1)
}

/// What Letta says when it is asked for an agent that it did not list.
#[derive(Debug)]
pub(crate) enum Testimony {
    /// It exists after all.
    Exists(Box<Agent>),
    /// It is gone, for this reason.
    Gone(ArchiveReason),
    /// Nothing can be concluded.
    Unclear(String),
}

/// Asks Letta for an agent that it did not list, with its tags if they decide whether it is selected.
pub(crate) async fn ask(letta: &dyn letta_client::LettaApi, agent: &AgentId, tags: bool) -> Testimony {
    let include = letta_client::AgentInclude {
        tags,
        ..letta_client::AgentInclude::default()
    };
    match letta.get_agent(agent, include).await {
        Ok(agent) if agent.hidden => Testimony::Gone(ArchiveReason::Hidden),
        Ok(agent) => Testimony::Exists(Box::new(agent)),
        Err(error) if *error.kind() == letta_client::LettaErrorKind::NotFound => {
            Testimony::Gone(ArchiveReason::Deleted)
        }
        Err(error) => Testimony::Unclear(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_767_268_800, 0);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn config() -> RemovalConfig {
        RemovalConfig {
            mode: RemovalMode::Archive,
            grace: 2 * HOUR,
            max_share: 0.25,
        }
    }

    fn bindings(count: usize, lifecycle: &Lifecycle) -> Vec<Binding> {
        (0..count)
            .map(|n| {
                let localpart = format!("agent_{n:03}");
                let mut binding = Binding::planned(
                    AgentId::new(format!("agent-{n:03}")),
                    format!("Agent {n}"),
                    format!("@{localpart}:matrix.test").try_into().unwrap(),
                    format!("#{localpart}:matrix.test").try_into().unwrap(),
                    NOW,
                );
                binding.lifecycle = lifecycle.clone();
                binding
            })
            .collect()
    }

    /// The first `listed` of them are listed.
    fn verdicts(bindings: &[Binding], listed: usize, confirmed: bool, now: Timestamp) -> Judgement {
        let listed = bindings[..listed]
            .iter()
            .map(|binding| (&binding.agent_id, true))
            .collect();
        judge(bindings, &listed, &config(), confirmed, now)
    }

    fn count(judgement: &Judgement, verdict: Verdict) -> usize {
        let of = judgement.verdicts.values();
        of.filter(|found| **found == verdict).count()
    }

    #[test]
    fn whoever_is_missing_is_overdue_only_after_the_grace_period() {
        for (hours, verdict) in [
            (0, Verdict::Missing),
            (1, Verdict::Missing),
            (2, Verdict::Overdue),
        ] {
            let mut some = bindings(4, &Lifecycle::Active);
            some[3].lifecycle = Lifecycle::Missing { since: NOW };
            let judgement = verdicts(&some, 3, false, NOW + hours * HOUR);
            assert_eq!(
                judgement.of(&some[3].agent_id),
                Some(verdict),
                "after {hours} hours"
            );
            assert_eq!(count(&judgement, Verdict::Present), 3);
        }
    }

    #[test]
    fn a_clock_that_went_back_proves_nothing() {
        let mut one = bindings(1, &Lifecycle::Active);
        one[0].lifecycle = Lifecycle::Missing {
            since: NOW + 5 * HOUR,
        };
        assert_eq!(
            verdicts(&one, 0, false, NOW).of(&one[0].agent_id),
            Some(Verdict::Missing)
        );
    }

    #[test]
    fn too_many_are_withheld_until_somebody_confirms() {
        let missing = Lifecycle::Missing {
            since: NOW - 3 * HOUR,
        };
        for (of, gone, withheld) in [
            (1, 1, false),
            (2, 1, false),
            (2, 2, true),
            (3, 2, true),
            (8, 2, false),
            (8, 3, true),
            (100, 25, false),
            (100, 26, true),
            (100, 100, true),
        ] {
            let all = bindings(of, &missing);
            let judgement = verdicts(&all, of - gone, false, NOW);
            assert_eq!(judgement.withheld.is_some(), withheld, "{gone} of {of}");
            assert_eq!(
                count(&judgement, Verdict::Overdue),
                if withheld { 0 } else { gone },
                "{gone} of {of}"
            );
            assert_eq!(
                count(&verdicts(&all, of - gone, true, NOW), Verdict::Overdue),
                gone
            );
        }
    }

    #[test]
    fn whoever_the_configuration_leaves_out_is_excluded_at_once_and_counts_as_leaving() {
        let all = bindings(8, &Lifecycle::Active);
        for (excluded, is_withheld) in [(2, false), (3, true)] {
            let listed = all
                .iter()
                .enumerate()
                .map(|(n, binding)| (&binding.agent_id, n >= excluded))
                .collect();
            let judgement = judge(&all, &listed, &config(), false, NOW);
            assert_eq!(judgement.withheld.is_some(), is_withheld);
            let expected = if is_withheld { 0 } else { excluded };
            assert_eq!(count(&judgement, Verdict::Excluded), expected);
        }
    }

    #[test]
    fn the_archived_count_neither_as_agents_nor_as_missing() {
        let archived = Lifecycle::Archived {
            since: NOW,
            reason: ArchiveReason::Deleted,
        };
        let all = bindings(100, &archived);
        let judgement = verdicts(&all, 0, false, NOW);
        assert!(judgement.verdicts.is_empty() && judgement.withheld.is_none());
        let back = verdicts(&all, 100, false, NOW);
        assert_eq!(count(&back, Verdict::Present), 100);
    }

    #[test]
    fn who_keeps_all_rooms_withholds_nothing() {
        let all = bindings(
            4,
            &Lifecycle::Missing {
                since: NOW - 9 * HOUR,
            },
        );
        let keep = RemovalConfig {
            mode: RemovalMode::Keep,
            ..config()
        };
        let judgement = judge(&all, &HashMap::new(), &keep, false, NOW);
        assert_eq!(count(&judgement, Verdict::Missing), 4);
        assert_eq!(judgement.withheld, None);
    }
}
