//! A store in memory.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use letta_client::AgentId;

use crate::{Binding, BindingStore, Result, SpaceRecord, StoreError, StoreErrorKind};

/// Keeps everything in memory. Shared by reference; forgets all with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bindings: BTreeMap<AgentId, Binding>,
    space: Option<SpaceRecord>,
    writes: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many writes it took, so that a test can tell "nothing changed" from "the same was written again".
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BindingStore for MemoryStore {
    async fn list_bindings(&self) -> Result<Vec<Binding>> {
        Ok(self.state().bindings.values().cloned().collect())
    }

    async fn get_binding(&self, agent: &AgentId) -> Result<Option<Binding>> {
        Ok(self.state().bindings.get(agent).cloned())
    }

    async fn put_binding(&self, binding: &Binding) -> Result<()> {
        let mut state = self.state();
        for other in state
            .bindings
            .values()
            .filter(|other| other.agent_id != binding.agent_id)
        {
            let taken = if other.user_id == binding.user_id {
                Some(binding.user_id.as_str())
            } else if other.room_id.is_some() && other.room_id == binding.room_id {
                binding.room_id.as_ref().map(|room| room.as_str())
            } else {
                None
            };
            if let Some(taken) = taken {
                return Err(StoreError::new(
                    StoreErrorKind::Conflict,
                    format!("{taken} belongs to agent {} already", other.agent_id),
                ));
            }
        }
        state.bindings.insert(binding.agent_id.clone(), binding.clone());
        state.writes += 1;
        Ok(())
    }

    async fn get_space(&self) -> Result<Option<SpaceRecord>> {
        Ok(self.state().space.clone())
    }

    async fn put_space(&self, space: &SpaceRecord) -> Result<()> {
        let mut state = self.state();
        state.space = Some(space.clone());
        state.writes += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    crate::binding_store_conformance!(async { Arc::new(crate::MemoryStore::new()) });
}
