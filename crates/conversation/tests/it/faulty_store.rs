//! A store that fails, or at which its process dies, at a chosen call.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use letta_client::AgentId;
use ruma::EventId;
use serde_json::Value;
use store::{
    Binding, BindingStore, Delivery, DeliveryStore, InboxEvent, InboxStore, Intake, Lease, LeaseStore,
    MemoryStore, NewDelivery, Result as StoreResult, SetAside, SpaceRecord, StoreError, StoreErrorKind,
    SyncProgress,
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

/// What goes wrong at every call, by its number.
type Chance = Box<dyn Fn(u64) -> Option<StoreFault> + Send + Sync>;

/// A way to a store in memory on which things go wrong.
#[derive(Default)]
pub struct FaultyStore {
    inner: Arc<MemoryStore>,
    calls: AtomicU64,
    fault: Mutex<Option<(u64, StoreFault)>>,
    chance: Mutex<Option<Chance>>,
    hung: Notify,
    fills: AtomicBool,
    is_full: AtomicBool,
}

impl std::fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultyStore").finish_non_exhaustive()
    }
}

impl FaultyStore {
    pub fn new(inner: Arc<MemoryStore>) -> Self {
        Self {
            inner,
            ..Self::default()
        }
    }

    /// How many calls there were, reading ones included.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Plans this fault for the call of this number.
    pub fn plan(&self, number: u64, fault: StoreFault) {
        *self.fault.lock().unwrap() = Some((number, fault));
    }

    /// Asks at every call what goes wrong with it, or no longer.
    pub fn set_chance(&self, chance: Option<Chance>) {
        *self.chance.lock().unwrap() = chance;
    }

    /// Whether the planned fault is still to come.
    pub fn has_fault(&self) -> bool {
        self.fault.lock().unwrap().is_some()
    }

    /// From the next events on that are taken in, nothing can be written any more.
    pub fn fill_with_next_events(&self) {
        self.fills.store(true, Ordering::SeqCst);
    }

    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::SeqCst)
    }

    /// There is room again.
    pub fn make_room(&self) {
        self.is_full.store(false, Ordering::SeqCst);
    }

    async fn write<T>(&self, effect: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        if self.is_full() {
            return Err(StoreError::new(StoreErrorKind::Full, "the disk is full"));
        }
        self.call(effect).await
    }

    /// Waits until a call hangs.
    pub async fn hung(&self) {
        self.hung.notified().await;
    }

    async fn call<T>(&self, effect: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let planned = self.fault.lock().unwrap().take_if(|(at, _)| *at == number);
        let fault = match planned {
            Some((_, fault)) => Some(fault),
            None => self
                .chance
                .lock()
                .unwrap()
                .as_ref()
                .and_then(|chance| chance(number)),
        };
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
impl InboxStore for FaultyStore {
    async fn accept(&self, intake: &Intake) -> StoreResult<u64> {
        let accepted = self.write(self.inner.accept(intake)).await;
        if accepted.is_ok() && self.fills.swap(false, Ordering::SeqCst) {
            self.is_full.store(true, Ordering::SeqCst);
        }
        accepted
    }

    async fn get_cursor(&self, source: &str) -> StoreResult<Option<String>> {
        self.call(self.inner.get_cursor(source)).await
    }

    async fn list_undecided(&self, limit: u32) -> StoreResult<Vec<InboxEvent>> {
        self.call(self.inner.list_undecided(limit)).await
    }

    async fn get_event(&self, event: &EventId) -> StoreResult<Option<InboxEvent>> {
        self.call(self.inner.get_event(event)).await
    }

    async fn decide(
        &self,
        event: &EventId,
        verdict: &str,
        deliveries: &[NewDelivery],
        now: Timestamp,
        lease: &Lease,
    ) -> StoreResult<Vec<Delivery>> {
        self.write(self.inner.decide(event, verdict, deliveries, now, lease))
            .await
    }

    async fn list_set_aside(&self, limit: u32) -> StoreResult<Vec<SetAside>> {
        self.call(self.inner.list_set_aside(limit)).await
    }

    async fn forget_events(&self, before: Timestamp, lease: &Lease) -> StoreResult<u64> {
        self.write(self.inner.forget_events(before, lease)).await
    }
}

#[async_trait]
impl DeliveryStore for FaultyStore {
    async fn list_open_deliveries(&self) -> StoreResult<Vec<Delivery>> {
        self.call(self.inner.list_open_deliveries()).await
    }

    async fn list_deliveries_of(&self, event: &EventId) -> StoreResult<Vec<Delivery>> {
        self.call(self.inner.list_deliveries_of(event)).await
    }

    async fn get_delivery(&self, id: i64) -> StoreResult<Option<Delivery>> {
        self.call(self.inner.get_delivery(id)).await
    }

    async fn put_delivery(&self, delivery: &Delivery, lease: &Lease) -> StoreResult<()> {
        self.write(self.inner.put_delivery(delivery, lease)).await
    }

    async fn get_record(&self, kind: &str, key: &str) -> StoreResult<Option<Value>> {
        self.call(self.inner.get_record(kind, key)).await
    }

    async fn list_records(&self, kind: &str) -> StoreResult<Vec<(String, Value)>> {
        self.call(self.inner.list_records(kind)).await
    }

    async fn put_record<'a>(
        &self,
        kind: &str,
        key: &str,
        record: Option<&'a Value>,
        lease: &Lease,
    ) -> StoreResult<()> {
        self.write(self.inner.put_record(kind, key, record, lease)).await
    }
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
        self.call(self.inner.put_binding(binding, lease)).await
    }

    async fn delete_binding(&self, agent: &AgentId, lease: &Lease) -> StoreResult<()> {
        self.call(self.inner.delete_binding(agent, lease)).await
    }

    async fn get_space(&self) -> StoreResult<Option<SpaceRecord>> {
        self.call(self.inner.get_space()).await
    }

    async fn put_space(&self, space: &SpaceRecord, lease: &Lease) -> StoreResult<()> {
        self.call(self.inner.put_space(space, lease)).await
    }

    async fn get_progress(&self) -> StoreResult<SyncProgress> {
        self.call(self.inner.get_progress()).await
    }

    async fn put_progress(&self, progress: &SyncProgress, lease: &Lease) -> StoreResult<()> {
        self.call(self.inner.put_progress(progress, lease)).await
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
        self.write(self.inner.acquire_lease(name, holder, now, ttl)).await
    }

    async fn renew_lease(&self, lease: &Lease, now: Timestamp, ttl: Duration) -> StoreResult<Option<Lease>> {
        self.write(self.inner.renew_lease(lease, now, ttl)).await
    }

    async fn release_lease(&self, lease: &Lease) -> StoreResult<()> {
        self.call(self.inner.release_lease(lease)).await
    }

    async fn get_lease(&self, name: &str) -> StoreResult<Option<Lease>> {
        self.call(self.inner.get_lease(name)).await
    }
}
