//! Leases.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::MemoryStore;
use crate::{Lease, LeaseStore, Result};

/// A name's tokens go on rising when its lease is given back.
#[derive(Debug, Default)]
pub(super) struct LeaseSlot {
    pub(super) last_token: i64,
    held: Option<Lease>,
}

#[async_trait]
impl LeaseStore for MemoryStore {
    async fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Option<Lease>> {
        let mut state = self.state();
        let slot = state.leases.entry(name.to_owned()).or_default();
        let is_taken = slot
            .held
            .as_ref()
            .is_some_and(|lease| lease.holder != holder && lease.expires_at > now);
        if is_taken {
            return Ok(None);
        }
        slot.last_token += 1;
        let lease = Lease {
            name: name.to_owned(),
            holder: holder.to_owned(),
            token: slot.last_token,
            expires_at: now + ttl,
        };
        slot.held = Some(lease.clone());
        Ok(Some(lease))
    }

    async fn renew_lease(&self, lease: &Lease, now: Timestamp, ttl: Duration) -> Result<Option<Lease>> {
        let mut state = self.state();
        let held = state
            .leases
            .get_mut(&lease.name)
            .and_then(|slot| slot.held.as_mut())
            .filter(|held| held.token == lease.token);
        Ok(held.map(|held| {
            held.expires_at = now + ttl;
            held.clone()
        }))
    }

    async fn release_lease(&self, lease: &Lease) -> Result<()> {
        if let Some(slot) = self.state().leases.get_mut(&lease.name)
            && slot.held.as_ref().is_some_and(|held| held.token == lease.token)
        {
            slot.held = None;
        }
        Ok(())
    }

    async fn get_lease(&self, name: &str) -> Result<Option<Lease>> {
        Ok(self.state().leases.get(name).and_then(|slot| slot.held.clone()))
    }
}
