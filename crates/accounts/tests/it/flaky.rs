//! A store that fails when told to.

use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use ruma::UserId;
use store::{Account, AccountStore, MemoryStore, Result, StoreError, StoreErrorKind};

/// When a call of the store fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before its effect.
    Before,
    /// After its effect.
    After,
}

/// A store in memory whose calls are counted and can fail.
#[derive(Debug, Default)]
pub struct FlakyStore {
    inner: MemoryStore,
    plan: Mutex<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    reads: usize,
    writes: usize,
    /// Counts down to the call that fails.
    fault: Option<(usize, When)>,
    /// Counts down to the call from which on none works.
    death: Option<usize>,
}

impl FlakyStore {
    /// The call after so many others fails, once.
    pub fn fail(&self, skip: usize, when: When) {
        self.plan().fault = Some((skip, when));
    }

    /// No call works after so many others.
    pub fn die_after(&self, calls: usize) {
        self.plan().death = Some(calls);
    }

    /// All calls work.
    pub fn heal(&self) {
        let mut plan = self.plan();
        (plan.fault, plan.death) = (None, None);
    }

    /// Whether the planned failure has not happened.
    pub fn is_waiting_to_fail(&self) -> bool {
        self.plan().fault.is_some()
    }

    pub fn reads(&self) -> usize {
        self.plan().reads
    }

    pub fn writes(&self) -> usize {
        self.plan().writes
    }

    pub fn calls(&self) -> usize {
        let plan = self.plan();
        plan.reads + plan.writes
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap()
    }

    /// What happens to this call.
    fn strike(&self) -> Option<When> {
        let mut plan = self.plan();
        match &mut plan.death {
            Some(0) => return Some(When::Before),
            Some(left) => *left -= 1,
            None => {}
        }
        match &mut plan.fault {
            Some((0, when)) => {
                let when = *when;
                plan.fault = None;
                Some(when)
            }
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        }
    }

    async fn run<T>(&self, effect: impl Future<Output = Result<T>>) -> Result<T> {
        let failed = || StoreError::new(StoreErrorKind::Unavailable, "the disk is full");
        match self.strike() {
            Some(When::Before) => Err(failed()),
            Some(When::After) => effect.await.and_then(|_| Err(failed())),
            None => effect.await,
        }
    }
}

#[async_trait]
impl AccountStore for FlakyStore {
    async fn get_account(&self, user_id: &UserId) -> Result<Option<Account>> {
        self.plan().reads += 1;
        self.run(self.inner.get_account(user_id)).await
    }

    async fn put_account(&self, account: &Account) -> Result<()> {
        self.plan().writes += 1;
        self.run(self.inner.put_account(account)).await
    }

    async fn delete_account(&self, user_id: &UserId) -> Result<()> {
        self.plan().writes += 1;
        self.run(self.inner.delete_account(user_id)).await
    }
}
