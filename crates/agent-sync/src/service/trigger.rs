//! Asking for a run, and waiting for the one that covers it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, watch};

use super::Outcome;
use crate::{SyncError, SyncReport};

/// What a run was asked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A signal of the operating system.
    Signal,
    /// A program that says that something changed.
    Webhook,
    /// A person.
    Person,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signal => "a signal",
            Self::Webhook => "a webhook",
            Self::Person => "a person",
        })
    }
}

/// Why there is no report.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NotSynced {
    /// The run could not begin.
    #[error("{0}")]
    Failed(#[source] Arc<SyncError>),
    /// The run ended by a mistake in the program.
    #[error("the sync ended by a mistake in the program: {0}")]
    Panicked(String),
    /// The service ended before the run did.
    #[error("the service was stopped")]
    Stopped,
}

/// Asks a service for runs. Cheap to clone; outlives the service.
#[derive(Debug, Clone)]
pub struct Trigger {
    requests: Arc<Requests>,
}

impl Trigger {
    pub(super) fn of(requests: &Arc<Requests>) -> Self {
        Self {
            requests: requests.clone(),
        }
    }

    /// Asks for a run that begins after this call. It begins at once, or when the one that is going has ended.
    pub fn request(&self, reason: Reason) -> Ticket {
        self.requests.add(reason, false)
    }

    /// The same, for a run that reads every room from the homeserver and mends what is wrong. If that run cannot begin,
    /// the next one that can is a check.
    pub fn request_check(&self, reason: Reason) -> Ticket {
        self.requests.add(reason, true)
    }
}

/// Stands for the run that covers a request. Dropping it takes nothing back.
#[derive(Debug)]
pub struct Ticket {
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Ticket {
    /// Waits for the end of the run.
    ///
    /// # Errors
    /// When the run could not begin, panicked, or the service is gone.
    pub async fn outcome(mut self) -> Result<Arc<SyncReport>, NotSynced> {
        match self.outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(NotSynced::Stopped)),
            Err(_) => Err(NotSynced::Stopped),
        }
    }
}

/// Everything that was asked for since the last run began.
#[derive(Debug)]
pub(super) struct Asked {
    /// By whom, each once, in the order of their first requests.
    pub(super) reasons: Vec<Reason>,
    /// Whether the run is to be a check.
    pub(super) check: bool,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Asked {
    fn nothing() -> Self {
        Self {
            reasons: Vec::new(),
            check: false,
            outcome: watch::Sender::new(None),
        }
    }

    /// Tells everybody who waits.
    pub(super) fn answer(self, outcome: Outcome) {
        self.outcome.send_replace(Some(outcome));
    }
}

/// Where requests are put together until a run takes them. Their number does not matter: they share one channel.
#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    asked: Option<Asked>,
    closed: bool,
}

impl Requests {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, reason: Reason, check: bool) -> Ticket {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Ticket {
                outcome: watch::Sender::new(None).subscribe(),
            };
        }
        let asked = waiting.asked.get_or_insert_with(Asked::nothing);
        if !asked.reasons.contains(&reason) {
            asked.reasons.push(reason);
        }
        asked.check |= check;
        let ticket = Ticket {
            outcome: asked.outcome.subscribe(),
        };
        drop(waiting);
        self.wake.notify_one();
        ticket
    }

    /// Waits until something is asked for, and takes it. Nothing is lost when it is dropped while it waits.
    pub(super) async fn next(&self) -> Asked {
        loop {
            if let Some(asked) = self.waiting().asked.take() {
                return asked;
            }
            self.wake.notified().await;
        }
    }

    /// What is asked for now, which may be nothing.
    pub(super) fn take(&self) -> Asked {
        self.waiting().asked.take().unwrap_or_else(Asked::nothing)
    }

    /// Nothing is taken any more.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        waiting.asked = None;
    }
}
