//! The order of events in a turn.

use std::collections::{BTreeMap, HashMap};

use letta_client::{AgentId, ApprovalId, ToolCallId};
use ruma::OwnedEventId;

use crate::{AgentEvent, EventKind, EventType};

/// Checks the events of one turn, one after the other.
///
/// 1. `agent_started` comes first, and once; with `resumed` also later, and then what comes after it begins anew, but for
///    decisions that were made.
/// 2. `agent_thinking` comes before the first tool and before `agent_completed`.
/// 3. `tool_completed` comes after `tool_executing` of the same call, once each, and `agent_completed` after both.
/// 4. `approval_resolved` comes after `approval_requested` of the same request and call, once each.
/// 5. The turn ends in one `agent_completed` or `agent_failed`, and nothing comes after it.
///
/// ```
/// use agent_events::{Breach, EventKind, TurnRules};
///
/// let mut rules = TurnRules::default();
/// rules.observe(&EventKind::AgentStarted { resumed: false })?;
/// rules.observe(&EventKind::AgentThinking { text: None })?;
/// assert_eq!(rules.finish(), Err(Breach::NotEnded));
/// # Ok::<(), Breach>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct TurnRules {
    started: bool,
    thought: bool,
    ended: bool,
    tools: HashMap<ToolCallId, Progress>,
    approvals: HashMap<(ApprovalId, ToolCallId), Progress>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Open,
    Closed,
}

/// How events are out of order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Breach {
    /// Something before the start.
    #[error("{0} came before agent_started")]
    NotStarted(EventType),
    /// A second start.
    #[error("agent_started came twice")]
    StartedTwice,
    /// The model's work was left out.
    #[error("{0} came before agent_thinking")]
    NotThought(EventType),
    /// A call began twice.
    #[error("tool_executing came twice for the call {0}")]
    ToolTwice(ToolCallId),
    /// A call ended that had not begun, or had ended before.
    #[error("tool_completed came for the call {0}, which does not run")]
    ToolNotRunning(ToolCallId),
    /// The turn ended well while a tool still ran.
    #[error("agent_completed came before tool_completed of the call {0}")]
    ToolLeftRunning(ToolCallId),
    /// A request was made twice.
    #[error("approval_requested came twice for the call {0}")]
    ApprovalTwice(ToolCallId),
    /// A decision on what was not asked, or was decided before.
    #[error("approval_resolved came for the call {0}, which waits for no decision")]
    ApprovalNotPending(ToolCallId),
    /// Something after the end.
    #[error("{0} came after the end")]
    AfterEnd(EventType),
    /// No end.
    #[error("neither agent_completed nor agent_failed came")]
    NotEnded,
}

impl TurnRules {
    /// Takes the next event.
    ///
    /// # Errors
    /// When it may not come here. It is not counted then.
    pub fn observe(&mut self, kind: &EventKind) -> Result<(), Breach> {
        let name = kind.event_type();
        if self.ended {
            return Err(Breach::AfterEnd(name));
        }
        if !self.started && name != EventType::AgentStarted {
            return Err(Breach::NotStarted(name));
        }
        match kind {
            EventKind::AgentStarted { resumed: false } if self.started => return Err(Breach::StartedTwice),
            EventKind::AgentStarted { .. } => {
                let mut approvals = std::mem::take(&mut self.approvals);
                approvals.retain(|_, progress| *progress == Progress::Closed);
                *self = Self {
                    started: true,
                    approvals,
                    ..Self::default()
                };
            }
            EventKind::AgentThinking { .. } => self.thought = true,
            EventKind::ToolExecuting { .. } | EventKind::AgentCompleted { .. } if !self.thought => {
                return Err(Breach::NotThought(name));
            }
            EventKind::ToolExecuting { tool_call_id, .. } => {
                if self.tools.contains_key(tool_call_id) {
                    return Err(Breach::ToolTwice(tool_call_id.clone()));
                }
                self.tools.insert(tool_call_id.clone(), Progress::Open);
            }
            EventKind::ToolCompleted { tool_call_id, .. } => match self.tools.get_mut(tool_call_id) {
                Some(progress @ Progress::Open) => *progress = Progress::Closed,
                _ => return Err(Breach::ToolNotRunning(tool_call_id.clone())),
            },
            EventKind::AgentCompleted { .. } => {
                let running = self
                    .tools
                    .iter()
                    .filter(|(_, progress)| **progress == Progress::Open);
                if let Some(first) = running.map(|(call, _)| call).min() {
                    return Err(Breach::ToolLeftRunning(first.clone()));
                }
                self.ended = true;
            }
            EventKind::AgentFailed { .. } => self.ended = true,
            EventKind::ApprovalRequested {
                approval_id,
                tool_call_id,
                ..
            } => {
                let request = (approval_id.clone(), tool_call_id.clone());
                if self.approvals.contains_key(&request) {
                    return Err(Breach::ApprovalTwice(tool_call_id.clone()));
                }
                self.approvals.insert(request, Progress::Open);
            }
            EventKind::ApprovalResolved {
                approval_id,
                tool_call_id,
                ..
            } => match self
                .approvals
                .get_mut(&(approval_id.clone(), tool_call_id.clone()))
            {
                Some(progress @ Progress::Open) => *progress = Progress::Closed,
                _ => return Err(Breach::ApprovalNotPending(tool_call_id.clone())),
            },
            EventKind::MessageDelta { .. } => {}
        }
        Ok(())
    }

    /// Whether the turn is over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// There are no more events.
    ///
    /// # Errors
    /// When the end is missing.
    pub fn finish(self) -> Result<(), Breach> {
        if self.ended { Ok(()) } else { Err(Breach::NotEnded) }
    }
}

/// A turn that is out of order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the turn of {agent} for {correlation_id} is out of order")]
pub struct TurnBreach {
    /// The agent.
    pub agent: AgentId,
    /// The message it was asked.
    pub correlation_id: OwnedEventId,
    /// How.
    #[source]
    pub breach: Breach,
}

/// Checks whole turns of many agents that happened at once. Where a turn ended and the same message begins another one,
/// it was tried again.
///
/// # Errors
/// The first breach; of turns that did not end, that of the first agent by id.
pub fn check_turns<'a>(events: impl IntoIterator<Item = &'a AgentEvent>) -> Result<(), TurnBreach> {
    let mut turns: BTreeMap<(AgentId, OwnedEventId), TurnRules> = BTreeMap::new();
    let breach_in = |(agent, correlation_id): (AgentId, OwnedEventId), breach| TurnBreach {
        agent,
        correlation_id,
        breach,
    };
    for event in events {
        let key = (event.turn.agent.id.clone(), event.turn.correlation_id.clone());
        let rules = turns.entry(key.clone()).or_default();
        if rules.has_ended() && event.kind.event_type() == EventType::AgentStarted {
            *rules = TurnRules::default();
        }
        rules
            .observe(&event.kind)
            .map_err(|breach| breach_in(key, breach))?;
    }
    for (key, rules) in turns {
        rules.finish().map_err(|breach| breach_in(key, breach))?;
    }
    Ok(())
}
