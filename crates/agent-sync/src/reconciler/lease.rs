//! Only one instance at a time reconciles a state.

use std::time::Duration;

use store::Lease;

use super::Reconciler;
use crate::SyncError;

/// What the lease is called.
const LEASE: &str = "sync";

/// How long a lease lasts. An instance that is killed is waited for that long by another one.
const TTL: Duration = Duration::from_secs(30);

/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(10);

/// How often a lease that somebody else has is asked for.
const PATIENCE: Duration = Duration::from_secs(1);

impl Reconciler {
    /// The right to reconcile, waiting for it if somebody else has it.
    pub(crate) async fn take_lease(&self, wait: Duration) -> Result<Lease, SyncError> {
        let began = tokio::time::Instant::now();
        loop {
            let lease = self
                .store
                .acquire_lease(LEASE, &self.holder, self.clock.now(), TTL)
                .await
                .map_err(SyncError::Store)?;
            if let Some(lease) = lease {
                return Ok(lease);
            }
            if began.elapsed() >= wait {
                let held = self.store.get_lease(LEASE).await.map_err(SyncError::Store)?;
                return Err(SyncError::Busy {
                    holder: held.map_or_else(|| "unknown".to_owned(), |lease| lease.holder),
                });
            }
            tokio::time::sleep(PATIENCE.min(wait)).await;
        }
    }

    /// Renews the lease for as long as it can be renewed. A store that fails for a moment is no reason to stop: the
    /// lease outlives two failed renewals, and writes are fenced.
    pub(crate) async fn keep_lease(&self, lease: &Lease) -> SyncError {
        loop {
            tokio::time::sleep(RENEWAL).await;
            match self.store.renew_lease(lease, self.clock.now(), TTL).await {
                Ok(Some(_)) => {}
                Ok(None) => return SyncError::Superseded,
                Err(error) => tracing::warn!(%error, "the lease cannot be renewed"),
            }
        }
    }

    /// Lets the next instance begin at once. If that fails, it waits until the lease is over.
    pub(crate) async fn give_back(&self, lease: &Lease) {
        if let Err(error) = self.store.release_lease(lease).await {
            tracing::debug!(%error, "the lease cannot be given back");
        }
    }
}
