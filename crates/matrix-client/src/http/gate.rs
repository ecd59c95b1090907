//! Holds back what the server would refuse: after an answer 429 the other requests of that endpoint and user wait too.
//!
//! The limits of a server are not known in advance, and differ between servers, users and application services. So
//! nothing is counted beforehand: a gate is there only from an answer 429 until nobody waits at it any more.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ruma::{OwnedUserId, UserId};
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, sleep_until, timeout, timeout_at},
};

/// More keys than this are not remembered: then some requests are refused by the server and not by us.
const MAX_GATES: usize = 4096;

/// No server means to be left alone for longer.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a request may keep its turn without an answer. Longer than Synapse takes to refuse (half a second).
const MAX_TURN: Duration = Duration::from_secs(2);

/// Which requests wait together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The call, which is an endpoint.
    call: &'static str,
    /// Who acts, if it is somebody in particular.
    user: Option<OwnedUserId>,
    /// What is acted on, where servers have limits of their own for it.
    subject: Option<String>,
}

impl Key {
    pub(super) fn new(call: &'static str, user: Option<&UserId>, subject: Option<&str>) -> Self {
        Self {
            call,
            user: user.map(ToOwned::to_owned),
            subject: subject.map(ToOwned::to_owned),
        }
    }
}

/// The gates of one server.
#[derive(Debug, Default)]
pub(super) struct Gates(Mutex<HashMap<Key, Arc<Gate>>>);

/// Stays closed for a while; then it is passed one by one, in the order of arrival.
#[derive(Debug)]
struct Gate {
    opens: Mutex<Instant>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The right to pass a gate, and to be the only one who does.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    gates: &'a Gates,
    key: Key,
    gate: Arc<Gate>,
    _guard: OwnedMutexGuard<()>,
}

/// The gate opens too late, in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLate(pub(super) Duration);

impl Gates {
    /// Waits until a request may be sent; `None` when nothing is in the way.
    ///
    /// # Errors
    /// `TooLate` when that is not before the deadline: at once if that is known, else at the deadline.
    pub(super) async fn enter(&self, key: &Key, deadline: Instant) -> Result<Option<Turn<'_>>, TooLate> {
        let Some(gate) = self.find(key) else {
            return Ok(None);
        };
        gate.check(deadline)?;
        let turn = Arc::clone(&gate.turn).lock_owned();
        let Ok(guard) = timeout_at(deadline, turn).await else {
            return Err(gate.too_late());
        };
        let turn = Turn {
            gates: self,
            key: key.clone(),
            gate,
            _guard: guard,
        };
        turn.wait(deadline).await?;
        Ok(Some(turn))
    }

    /// Lets nobody pass for so long. A gate that is closed for longer stays so.
    pub(super) fn close(&self, key: &Key, wait: Duration) {
        let now = Instant::now();
        let opens = now + wait.min(MAX_WAIT);
        let mut gates = self.lock();
        if let Some(gate) = gates.get(key) {
            gate.close_until(opens);
            return;
        }
        gates.retain(|_, gate| Arc::strong_count(gate) > 1 || gate.opens() > now);
        if gates.len() < MAX_GATES {
            let gate = Gate {
                opens: Mutex::new(opens),
                turn: Arc::default(),
            };
            gates.insert(key.clone(), Arc::new(gate));
        }
    }

    /// The gate in the way, if there is one. One that is open and has nobody waiting is taken away.
    fn find(&self, key: &Key) -> Option<Arc<Gate>> {
        let mut gates = self.lock();
        let gate = gates.get(key)?;
        if Arc::strong_count(gate) == 1 && gate.opens() <= Instant::now() {
            // Whoever waited gave up.
            gates.remove(key);
            return None;
        }
        Some(Arc::clone(gate))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Gate>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    fn opens(&self) -> Instant {
        *self.opens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close_until(&self, opens: Instant) {
        let mut known = self.opens.lock().unwrap_or_else(PoisonError::into_inner);
        *known = opens.max(*known);
    }

    fn check(&self, deadline: Instant) -> Result<(), TooLate> {
        if self.opens() > deadline {
            return Err(self.too_late());
        }
        Ok(())
    }

    fn too_late(&self) -> TooLate {
        TooLate(self.opens().saturating_duration_since(Instant::now()))
    }
}

impl Turn<'_> {
    /// Waits until the gate is open, also when it is closed for longer meanwhile.
    ///
    /// # Errors
    /// `TooLate` when that is not before the deadline.
    pub(super) async fn wait(&self, deadline: Instant) -> Result<(), TooLate> {
        loop {
            self.gate.check(deadline)?;
            let opens = self.gate.opens();
            if opens <= Instant::now() {
                return Ok(());
            }
            sleep_until(opens).await;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut gates = self.gates.lock();
        // The map's and ours: clones are made under this lock only, so nobody else waits.
        if Arc::strong_count(&self.gate) == 2 && self.gate.opens() <= Instant::now() {
            gates.remove(&self.key);
        }
    }
}

/// Does something in one's turn. What takes long gives the turn to the next.
pub(super) async fn in_turn<F: Future>(turn: &mut Option<Turn<'_>>, work: F) -> F::Output {
    let mut work = std::pin::pin!(work);
    if turn.is_some() {
        if let Ok(output) = timeout(MAX_TURN, &mut work).await {
            return output;
        }
        *turn = None;
    }
    work.await
}

#[cfg(test)]
mod tests;
