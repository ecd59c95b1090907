//! A store that fails, or at which its process dies, at a chosen call.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use letta_client::AgentId;
use store::{
    Binding, BindingStore, Lease, LeaseStore, MemoryStore, Result as StoreResult, SpaceRecord, StoreError,
    StoreErrorKind, SyncProgress,
};
use tokio::sync::Notify;

/// What happens at a call of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// It fails, and nothing is written.
    FailBefore,
    /// It is written, and fails all the same.
    FailAfter,
    /// It never returns, and nothing is written.
    HangBefore,
    /// It is written, and never returns.
    HangAfter,
}

impl StoreFault {
    pub const ALL: [Self; 4] = [
        Self::FailBefore,
        Self::FailAfter,
        Self::HangBefore,
        Self::HangAfter,
    ];
}

/// A store in memory with one planned fault.
#[derive(Debug, Default)]
pub struct FaultyStore {
    inner: MemoryStore,
    /// Writes that still succeed, plus one; 0 is "all of them".
    writes_left: AtomicU64,
    calls: AtomicU64,
    fault: Mutex<Option<(u64, StoreFault)>>,
    hung: Arc<Notify>,
}

impl FaultyStore {
    /// How many calls there were, reading ones included.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Plans this fault for the call after so many further ones.
    pub fn plan(&self, skip: u64, fault: StoreFault) {
        *self.fault.lock().unwrap() = Some((self.calls() + skip, fault));
    }

    /// Lets this many writes succeed and no more.
    pub fn die_after(&self, writes: u64) {
        self.writes_left.store(writes + 1, Ordering::SeqCst);
    }

    /// Undoes [`die_after`](Self::die_after).
    pub fn restart(&self) {
        self.writes_left.store(0, Ordering::SeqCst);
    }

    async fn write(&self, effect: impl Future<Output = StoreResult<()>>) -> StoreResult<()> {
        let left = self.writes_left.load(Ordering::SeqCst);
        if left == 1 {
            return Err(unavailable());
        }
        self.writes_left.store(left.saturating_sub(1), Ordering::SeqCst);
        self.call(effect).await
    }

    /// Whether the planned fault is still to come.
    pub fn has_fault(&self) -> bool {
        self.fault.lock().unwrap().is_some()
    }

    /// Waits until a call hangs.
    pub async fn hung(&self) {
        self.hung.notified().await;
    }

    /// How many writes of bindings, space and progress there were.
    pub fn writes(&self) -> u64 {
        self.inner.writes()
    }

    async fn call<T>(&self, effect: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let fault = self
            .fault
            .lock()
            .unwrap()
            .take_if(|(at, _)| *at == number)
            .map(|(_, fault)| fault);
        match fault {
            None => effect.await,
            Some(StoreFault::FailBefore) => Err(unavailable()),
            Some(StoreFault::FailAfter) => {
                effect.await?;
                Err(unavailable())
            }
            Some(StoreFault::HangBefore) => self.hang().await,
            Some(StoreFault::HangAfter) => {
                effect.await?;
                self.hang().await
            }
        }
    }

    async fn hang<T>(&self) -> T {
        self.hung.notify_one();
        std::future::pending().await
    }
}

fn unavailable() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the disk is full")
}

#[async_trait]
impl BindingStore for FaultyStore {
    async fn list_bindings(&self) -> StoreResult<Vec<Binding>> {
        self.call(self.inner.list_bindings()).await
    }

    async fn get_binding(&self, agent: &AgentId) -> StoreResult<Option<Binding>> {
        self.call(self.inner.get_binding(agent)).await
    }

    async fn put_binding(&self, binding: &Binding, lease: &Lease) -> StoreResult<()> {
        self.write(self.inner.put_binding(binding, lease)).await
    }

    async fn delete_binding(&self, agent: &AgentId, lease: &Lease) -> StoreResult<()> {
        self.write(self.inner.delete_binding(agent, lease)).await
    }

    async fn get_space(&self) -> StoreResult<Option<SpaceRecord>> {
        self.call(self.inner.get_space()).await
    }

    async fn put_space(&self, space: &SpaceRecord, lease: &Lease) -> StoreResult<()> {
        self.write(self.inner.put_space(space, lease)).await
    }

    async fn get_progress(&self) -> StoreResult<SyncProgress> {
        self.call(self.inner.get_progress()).await
    }

    async fn put_progress(&self, progress: &SyncProgress, lease: &Lease) -> StoreResult<()> {
        self.write(self.inner.put_progress(progress, lease)).await
    }
}

#[async_trait]
impl LeaseStore for FaultyStore {
    async fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> StoreResult<Option<Lease>> {
        self.call(self.inner.acquire_lease(name, holder, now, ttl)).await
    }

    async fn renew_lease(&self, lease: &Lease, now: Timestamp, ttl: Duration) -> StoreResult<Option<Lease>> {
        self.call(self.inner.renew_lease(lease, now, ttl)).await
    }

    async fn release_lease(&self, lease: &Lease) -> StoreResult<()> {
        self.call(self.inner.release_lease(lease)).await
    }

    async fn get_lease(&self, name: &str) -> StoreResult<Option<Lease>> {
        self.call(self.inner.get_lease(name)).await
    }
}
