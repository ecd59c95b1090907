//! What became of an event: why it was left alone, or who answered it with what.

use letta_client::AgentId;
use ruma::{EventId, OwnedEventId};
use store::{ConversationStore, StoreError};

use crate::delivery::{
    Outcome,
    record::{Record, Step},
};

/// What became of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Fate {
    /// What was decided about it, in words; `None` as long as nothing was.
    pub verdict: Option<String>,
    /// What was owed for it, in the order in which it came up.
    pub deliveries: Vec<DeliveryFate>,
}

/// How far something is that is owed for an event.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryFate {
    /// The agent; empty for the bridge itself.
    pub agent: AgentId,
    /// 0, and one more for each time that somebody asked to try again.
    pub attempt: u32,
    /// How it ended; `None` as long as it did not.
    pub outcome: Option<Outcome>,
    /// How far it is, in a word.
    pub step: &'static str,
    /// What was said in the room, in order.
    pub said: Vec<OwnedEventId>,
}

impl Fate {
    /// Looks up what became of an event; `None` if it never came in, or was forgotten.
    ///
    /// # Errors
    /// When the store fails, or cannot be read back.
    pub async fn of(store: &dyn ConversationStore, event: &EventId) -> Result<Option<Self>, StoreError> {
        let Some(known) = store.get_event(event).await? else {
            return Ok(None);
        };
        let mut deliveries = Vec::new();
        for delivery in store.list_deliveries_of(event).await? {
            let record = Record::read(&delivery)?;
            let (step, outcome) = match record.step {
                Step::Queued => ("waits", None),
                Step::Sending { .. } => ("on its way to Letta", None),
                Step::Running { .. } => ("the agent is at work", None),
                Step::Replying { .. } => ("the answer is on its way", None),
                Step::Done { outcome } => ("done", Some(outcome)),
            };
            deliveries.push(DeliveryFate {
                agent: delivery.of.agent_id,
                attempt: delivery.of.attempt,
                outcome,
                step,
                said: record
                    .posts
                    .into_iter()
                    .filter_map(|post| post.event_id)
                    .collect(),
            });
        }
        Ok(Some(Self {
            verdict: known.verdict,
            deliveries,
        }))
    }

    /// Whether nothing more is to come.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.verdict.is_some() && self.deliveries.iter().all(|delivery| delivery.outcome.is_some())
    }
}
