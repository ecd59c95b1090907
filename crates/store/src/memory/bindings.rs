//! Bindings, the space and progress.

use async_trait::async_trait;
use letta_client::AgentId;

use super::MemoryStore;
use crate::{Binding, BindingStore, Lease, Result, SpaceRecord, StoreError, StoreErrorKind, SyncProgress};

#[async_trait]
impl BindingStore for MemoryStore {
    async fn list_bindings(&self) -> Result<Vec<Binding>> {
        Ok(self.state().bindings.values().cloned().collect())
    }

    async fn get_binding(&self, agent: &AgentId) -> Result<Option<Binding>> {
        Ok(self.state().bindings.get(agent).cloned())
    }

    async fn put_binding(&self, binding: &Binding, lease: &Lease) -> Result<()> {
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
        state.write(lease)?;
        state.bindings.insert(binding.agent_id.clone(), binding.clone());
        Ok(())
    }

    async fn delete_binding(&self, agent: &AgentId, lease: &Lease) -> Result<()> {
        let mut state = self.state();
        state.write(lease)?;
        state.bindings.remove(agent);
        Ok(())
    }

    async fn get_space(&self) -> Result<Option<SpaceRecord>> {
        Ok(self.state().space.clone())
    }

    async fn put_space(&self, space: &SpaceRecord, lease: &Lease) -> Result<()> {
        let mut state = self.state();
        state.write(lease)?;
        state.space = Some(space.clone());
        Ok(())
    }

    async fn get_progress(&self) -> Result<SyncProgress> {
        Ok(self.state().progress.clone())
    }

    async fn put_progress(&self, progress: &SyncProgress, lease: &Lease) -> Result<()> {
        let mut state = self.state();
        state.write(lease)?;
        state.progress = progress.clone();
        Ok(())
    }
}
