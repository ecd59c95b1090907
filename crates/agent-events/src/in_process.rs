//! The bus of one process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use letta_client::AgentId;
use store::Clock;
use tokio::time::Instant;

use crate::{
    AgentEvent, AgentState, BusError, BusSettings, EventBus, EventDraft, EventId, Filter, LiveState,
    Subscription,
    log::{Log, Start},
};

/// Carries events within the process, and forgets them with it.
///
/// Exact where the contract leaves room: a gap is told only where one is, and a subscriber that resumes with an id of an
/// earlier process is told of one.
#[derive(Debug)]
pub struct InProcessBus {
    log: Arc<Log>,
    clock: Arc<dyn Clock>,
    settings: BusSettings,
    states: Mutex<BTreeMap<AgentId, Believed>>,
}

#[derive(Debug)]
struct Believed {
    state: LiveState,
    until: Instant,
}

impl InProcessBus {
    /// A bus that nothing has been published on.
    #[must_use]
    pub fn new(settings: BusSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            log: Log::new(settings.retained, EventId::new(to_millis(clock.now()), 0)),
            clock,
            settings,
            states: Mutex::default(),
        }
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<AgentId, Believed>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_open(&self) -> Result<(), BusError> {
        if self.log.is_closed() {
            return Err(BusError::closed());
        }
        Ok(())
    }
}

#[async_trait]
impl EventBus for InProcessBus {
    async fn publish(&self, draft: EventDraft) -> Result<EventId, BusError> {
        // Held for both, so that of two events of an agent at once the state is that of the later one.
        let mut states = self.states();
        let event = self.log.append(|last| {
            let now = self.clock.now();
            AgentEvent::new(last.next(to_millis(now)), now, draft)
        })?;
        let state = LiveState::after(&event);
        let agent = state.agent.id.clone();
        if state.state == AgentState::Idle {
            states.remove(&agent);
        } else {
            let until = Instant::now() + self.settings.expiry.of(&state.state);
            states.insert(agent, Believed { state, until });
        }
        Ok(event.id)
    }

    async fn subscribe(&self, after: Option<EventId>, filter: Filter) -> Result<Subscription, BusError> {
        self.check_open()?;
        let start = match after {
            None => Start::Now,
            Some(EventId::ZERO) => Start::Oldest,
            Some(after) => Start::After(after),
        };
        Ok(Subscription::new(self.log.sit(start, filter)))
    }

    async fn list_states(&self) -> Result<Vec<LiveState>, BusError> {
        self.check_open()?;
        let mut states = self.states();
        let now = Instant::now();
        states.retain(|_, believed| believed.until > now);
        Ok(states.values().map(|believed| believed.state.clone()).collect())
    }

    async fn keep_state(&self, agent: &AgentId) -> Result<(), BusError> {
        self.check_open()?;
        let now = Instant::now();
        if let Some(believed) = self.states().get_mut(agent)
            && believed.until > now
        {
            believed.until = now + self.settings.expiry.of(&believed.state.state);
        }
        Ok(())
    }

    fn close(&self) {
        self.log.close();
    }
}

impl Drop for InProcessBus {
    fn drop(&mut self) {
        self.log.close();
    }
}

fn to_millis(time: jiff::Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or(0)
}
