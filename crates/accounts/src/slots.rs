//! What is known of each user in memory, and who works on it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use matrix_client::Session;
use ruma::{OwnedUserId, UserId};
use store::Account;

use crate::pace::Trouble;

/// A user's place. Whoever holds its lock is the only one who asks homeserver and store about this user.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) state: tokio::sync::Mutex<State>,
    failures: AtomicU64,
}

impl Slot {
    /// How many attempts to get a session have failed here so far.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Acquire)
    }

    /// Counts a failed attempt. To be called with the lock held.
    pub(crate) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Release);
    }
}

/// What is known of a user.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The session, once it was read or made.
    pub(crate) session: Option<Session>,
    /// The record that the store did not take yet. It counts before the store's.
    pub(crate) unsaved: Option<Account>,
    /// What holds the next login back.
    pub(crate) trouble: Option<Trouble>,
}

impl State {
    fn is_idle(&self) -> bool {
        self.trouble.is_none() && self.unsaved.is_none()
    }
}

/// The places of all users that were asked for, up to a number.
#[derive(Debug)]
pub(crate) struct Slots {
    capacity: usize,
    by_user: Mutex<HashMap<OwnedUserId, Arc<Slot>>>,
}

impl Slots {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            by_user: Mutex::default(),
        }
    }

    /// A user's place. All who ask at the same time get the same one.
    pub(crate) fn get(&self, user: &UserId) -> Arc<Slot> {
        let mut by_user = self.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = by_user.get(user) {
            return Arc::clone(slot);
        }
        if by_user.len() >= self.capacity
            && let Some(idle) = find_idle(&by_user)
        {
            by_user.remove(&idle);
        }
        let slot = Arc::new(Slot::default());
        by_user.insert(user.to_owned(), Arc::clone(&slot));
        slot
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.by_user.lock().unwrap().len()
    }
}

/// A user who can be forgotten without harm: nobody works on it, and all that is known is in the store. Any will do:
/// when all agents are gone through in turn, the one that was used least recently would be the next to be needed.
fn find_idle(by_user: &HashMap<OwnedUserId, Arc<Slot>>) -> Option<OwnedUserId> {
    by_user
        .iter()
        .find(|(_, slot)| {
            Arc::strong_count(slot) == 1 && slot.state.try_lock().is_ok_and(|state| state.is_idle())
        })
        .map(|(user, _)| user.clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use matrix_client::{MatrixError, MatrixErrorKind};

    use super::*;

    fn user(number: usize) -> OwnedUserId {
        UserId::parse(format!("@agent_{number}:matrix.test")).unwrap()
    }

    #[test]
    fn no_more_places_are_kept_than_allowed() {
        let slots = Slots::new(10);
        for number in 0..1_000 {
            slots.get(&user(number));
        }
        assert_eq!(slots.len(), 10);
    }

    #[tokio::test]
    async fn a_place_with_work_under_way_or_with_something_to_remember_stays() {
        let slots = Slots::new(1);
        let held = slots.get(&user(0));
        {
            let mut failing = Trouble::default();
            failing.fail(
                crate::pace::Cause::Matrix(MatrixError::new(MatrixErrorKind::Server, "")),
                Duration::from_secs(300),
            );
            slots.get(&user(1)).state.lock().await.trouble = Some(failing);
        }
        for number in 2..100 {
            slots.get(&user(number));
        }
        assert!(Arc::ptr_eq(&held, &slots.get(&user(0))));
        assert!(slots.get(&user(1)).state.lock().await.trouble.is_some());
        assert!(slots.len() <= 3);
    }
}
