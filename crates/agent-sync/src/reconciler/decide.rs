//! What becomes of whom: from the listing and the bindings to each agent's goal.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use letta_client::{Agent, AgentId, LettaApi};
use ruma::UserId;
use store::{ArchiveReason, Binding, Lifecycle};

use super::Present;
use crate::{
    FailedAgent, ListingKind, Step, SyncConfig, SyncError, Withheld,
    apply::Work,
    config::RemovalMode,
    goal::Goal,
    listing::Discovery,
    plan::agent_actions,
    removal::{Judgement, Testimony, Verdict, ask, judge},
};

/// Everybody's goal, where something is to be done for it.
#[derive(Debug, Default)]
pub(super) struct Decision {
    pub(super) work: Vec<Work>,
    pub(super) unchanged: usize,
    pub(super) missing: Vec<AgentId>,
    pub(super) withheld: Option<Withheld>,
    pub(super) archived: usize,
    pub(super) restored: usize,
    /// Agents of which it is not known whether they are gone.
    pub(super) failed: Vec<FailedAgent>,
    /// Whether somebody needs the space.
    pub(super) needs_space: bool,
}

/// Decides for everybody. Asks Letta for those alone that have been missing for long enough.
pub(super) async fn decide(
    letta: &dyn LettaApi,
    config: &SyncConfig,
    bot: &UserId,
    present: &Present,
    discovery: Discovery,
    confirmed: bool,
    now: Timestamp,
) -> Result<Decision, SyncError> {
    let judgement = judgement(config, present, &discovery, confirmed, now);
    let mut decider = Decider {
        config,
        bot,
        present,
        now,
        decision: Decision {
            withheld: judgement.withheld.clone(),
            ..Decision::default()
        },
    };
    let mut known: HashMap<&AgentId, &Binding> = present
        .bindings
        .iter()
        .map(|binding| (&binding.agent_id, binding))
        .collect();
    let mut seen = HashSet::new();
    for agent in &discovery.agents {
        seen.insert(&agent.id);
        let binding = known.remove(&agent.id);
        match (config.select.contains(agent) && !agent.hidden, binding) {
            (true, binding) => decider.welcome(agent, binding)?,
            (false, Some(binding)) => match judgement.of(&agent.id) {
                Some(Verdict::Excluded) => decider.put_away(binding, ArchiveReason::Excluded),
                // Withheld, or the listing does not tell: as it was.
                _ => decider.leave_alone(binding),
            },
            (false, None) => {}
        }
    }
    for binding in &present.bindings {
        if seen.contains(&binding.agent_id) {
            continue;
        }
        match judgement.of(&binding.agent_id) {
            Some(Verdict::Missing) => decider.miss(binding),
            Some(Verdict::Overdue) => match ask(letta, &binding.agent_id, config.select.needs_tags()).await {
                Testimony::Gone(reason) => decider.put_away(binding, reason),
                Testimony::Exists(agent) if config.select.contains(&agent) => {
                    decider.welcome(&agent, Some(binding))?;
                }
                // A listing that has it will tell.
                Testimony::Exists(_) => decider.miss(binding),
                Testimony::Unclear(error) => {
                    decider.miss(binding);
                    decider.decision.failed.push(FailedAgent {
                        agent_id: binding.agent_id.clone(),
                        agent_name: binding.agent_name.clone(),
                        step: Step::Removal,
                        error,
                        kind: None,
                    });
                }
            },
            _ => decider.leave_alone(binding),
        }
    }
    if discovery.kind == ListingKind::Changes {
        let changed = seen.len();
        decider.decision.unchanged += discovery.total.saturating_sub(changed);
    }
    Ok(decider.decision)
}

/// What the listing proves. One that broke off, or tells of changes alone, proves nothing of those it does not name.
fn judgement(
    config: &SyncConfig,
    present: &Present,
    discovery: &Discovery,
    confirmed: bool,
    now: Timestamp,
) -> Judgement {
    if discovery.kind != ListingKind::Full || !discovery.complete {
        return Judgement::default();
    }
    let listed = discovery
        .agents
        .iter()
        .map(|agent| (&agent.id, config.select.contains(agent) && !agent.hidden))
        .collect();
    judge(&present.bindings, &listed, &config.removal, confirmed, now)
}

struct Decider<'a> {
    config: &'a SyncConfig,
    bot: &'a UserId,
    present: &'a Present,
    now: Timestamp,
    decision: Decision,
}

impl Decider<'_> {
    /// The agent is there.
    fn welcome(&mut self, agent: &Agent, binding: Option<&Binding>) -> Result<(), SyncError> {
        let (mut binding, mut is_dirty) = match binding {
            Some(binding) => (binding.clone(), false),
            None => (self.first_binding(agent)?, true),
        };
        if binding.lifecycle != Lifecycle::Active {
            let was_archived = matches!(binding.lifecycle, Lifecycle::Archived { .. });
            self.decision.restored += usize::from(was_archived);
            // Much may have happened to the room meanwhile.
            binding.room.verified &= !was_archived || !binding.room.joined;
            binding.lifecycle = Lifecycle::Active;
            is_dirty = true;
        }
        if binding.agent_name != agent.name {
            binding.agent_name.clone_from(&agent.name);
            is_dirty = true;
        }
        self.decision.needs_space = true;
        self.add(Goal::home(agent), binding, is_dirty, true);
        Ok(())
    }

    /// The agent is gone, for this reason.
    fn put_away(&mut self, binding: &Binding, reason: ArchiveReason) {
        let mut binding = binding.clone();
        let is_new = !matches!(binding.lifecycle, Lifecycle::Archived { .. });
        if is_new {
            self.decision.archived += 1;
            // It has been without us for a while: whoever is not let in any more has nothing to put away.
            binding.room.verified &= !binding.room.joined;
            binding.lifecycle = Lifecycle::Archived {
                since: self.now,
                reason,
            };
        }
        self.add(self.archive(&binding), binding, is_new, false);
    }

    /// The agent is not listed, and that proves nothing yet.
    fn miss(&mut self, binding: &Binding) {
        self.decision.missing.push(binding.agent_id.clone());
        if binding.lifecycle == Lifecycle::Active {
            let mut binding = binding.clone();
            binding.lifecycle = Lifecycle::Missing { since: self.now };
            self.decision.work.push(Work {
                goal: Goal::Rest,
                binding,
                is_dirty: true,
            });
        }
    }

    /// Nothing is known to have changed. What was put away is put away completely.
    fn leave_alone(&mut self, binding: &Binding) {
        if matches!(binding.lifecycle, Lifecycle::Archived { .. }) {
            self.add(self.archive(binding), binding.clone(), false, false);
        }
    }

    fn archive(&self, binding: &Binding) -> Goal {
        Goal::archive(binding, self.config.removal.mode == RemovalMode::Leave)
    }

    fn add(&mut self, goal: Goal, binding: Binding, is_dirty: bool, counts: bool) {
        let space = self.present.space.as_ref();
        // A space that is to be read may turn out to be another one.
        let is_sure = space.is_some_and(|space| space.verified);
        let space = space.map(|space| &space.room_id);
        let invitees = self.config.invitees(&binding.user_id, self.bot);
        let has_failed = binding.last_error.is_some();
        let needs_nothing = agent_actions(&goal, &binding, space, &invitees).is_empty();
        if needs_nothing && !is_dirty && !has_failed && (is_sure || !counts) {
            self.decision.unchanged += usize::from(counts);
        } else {
            self.decision.work.push(Work {
                goal,
                binding,
                is_dirty,
            });
        }
    }

    fn first_binding(&self, agent: &Agent) -> Result<Binding, SyncError> {
        Ok(Binding::planned(
            agent.id.clone(),
            agent.name.clone(),
            self.config.user_id(&agent.id).map_err(SyncError::Names)?,
            self.config.room_alias(&agent.id).map_err(SyncError::Names)?,
            self.now,
        ))
    }
}
