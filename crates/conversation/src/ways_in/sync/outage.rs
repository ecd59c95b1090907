//! Telling of what is wrong once, and not once for each of a thousand users.

use std::{
    collections::BTreeSet,
    error::Error as StdError,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ruma::{OwnedUserId, UserId};

use super::user::Trouble;

/// Who cannot be read at the moment.
#[derive(Debug, Default)]
pub(super) struct Outages(Mutex<Failing>);

#[derive(Debug, Default)]
struct Failing {
    /// Because a server does not answer.
    away: BTreeSet<OwnedUserId>,
    /// Because of something about the user.
    refused: BTreeSet<OwnedUserId>,
}

impl Outages {
    pub(super) fn failed(&self, user: &UserId, trouble: &Trouble) {
        let cause = trouble.source().map(ToString::to_string);
        let mut failing = self.lock();
        if trouble.is_passing() {
            let is_first = failing.away.is_empty();
            failing.away.insert(user.to_owned());
            if is_first {
                tracing::warn!(user.id = %user, error = %trouble, cause, "no news come in: it is tried again");
            }
        } else if failing.refused.insert(user.to_owned()) {
            tracing::warn!(user.id = %user, error = %trouble, cause, "this user's news cannot be read");
        }
    }

    pub(super) fn succeeded(&self, user: &UserId) {
        let mut failing = self.lock();
        if failing.away.remove(user) && failing.away.is_empty() {
            tracing::info!("news come in again");
        }
        if failing.refused.remove(user) {
            tracing::info!(user.id = %user, "this user's news can be read again");
        }
    }

    /// The user is not read any more.
    pub(super) fn forget(&self, user: &UserId) {
        let mut failing = self.lock();
        failing.away.remove(user);
        failing.refused.remove(user);
    }

    fn lock(&self) -> MutexGuard<'_, Failing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
