//! A store in memory.

mod accounts;
mod bindings;
mod conversations;
mod leases;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use letta_client::AgentId;
use ruma::OwnedUserId;

use self::{conversations::Conversations, leases::LeaseSlot};
use crate::{Account, Binding, Lease, Result, SpaceRecord, StoreError, SyncProgress};

/// Keeps everything in memory. Shared by reference; forgets all with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bindings: BTreeMap<AgentId, Binding>,
    space: Option<SpaceRecord>,
    progress: SyncProgress,
    leases: BTreeMap<String, LeaseSlot>,
    accounts: BTreeMap<OwnedUserId, Account>,
    conversations: Conversations,
    writes: u64,
}

impl State {
    /// Refuses a write whose lease was granted anew.
    fn fence(&self, lease: &Lease) -> Result<()> {
        let last = self.leases.get(&lease.name).map(|slot| slot.last_token);
        if last != Some(lease.token) {
            return Err(StoreError::lease_lost(lease));
        }
        Ok(())
    }

    /// Counts a write, unless its lease was granted anew.
    fn write(&mut self, lease: &Lease) -> Result<()> {
        self.fence(lease)?;
        self.writes += 1;
        Ok(())
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many writes of bindings, space and progress it took, so that a test can tell "nothing changed" from "the
    /// same was written again".
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    crate::store_conformance!(async { Arc::new(crate::MemoryStore::new()) });
}
