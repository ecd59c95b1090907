//! The fake's own tasks, and how they end.

use std::{
    panic::resume_unwind,
    sync::{MutexGuard, PoisonError},
};

use tokio::task::{JoinError, JoinSet};

use super::FakeLetta;

/// The turns that run.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    running: JoinSet<()>,
    /// Panics of turns that ended, for whoever joins them.
    panics: Vec<JoinError>,
}

impl Tasks {
    fn reap(&mut self) {
        while let Some(outcome) = self.running.try_join_next() {
            self.panics.extend(outcome.err().filter(JoinError::is_panic));
        }
    }
}

impl FakeLetta {
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks();
        tasks.reap();
        tasks.running.spawn(task);
    }

    /// Waits until no turn runs any more.
    ///
    /// # Panics
    /// When a turn panicked, for example in a tool's function.
    pub async fn join(&self) {
        loop {
            let mut running = {
                let mut tasks = self.tasks();
                tasks.reap();
                if let Some(panic) = tasks.panics.pop() {
                    drop(tasks);
                    resume_unwind(panic.into_panic());
                }
                std::mem::take(&mut tasks.running)
            };
            if running.is_empty() {
                return;
            }
            while let Some(outcome) = running.join_next().await {
                if let Err(error) = outcome
                    && error.is_panic()
                {
                    resume_unwind(error.into_panic());
                }
            }
        }
    }

    /// Stops all turns where they are and waits until they are gone.
    ///
    /// # Panics
    /// When a turn panicked before.
    pub async fn shutdown(&self) {
        self.tasks().running.abort_all();
        self.join().await;
    }

    /// The server dies: connections break, turns stop where they are, calls fail with `Connect` until
    /// [`restart`](Self::restart).
    ///
    /// What is stored stays. Runs that were active stay so for ever, locks until their time is over. Events of
    /// background runs stay too, because they are in Redis; whoever joins such a stream waits for ever behind the
    /// last of them.
    pub fn crash(&self) {
        self.tasks().running.abort_all();
        let mut state = self.state();
        state.up = false;
        state.forget_connections();
    }

    /// Starts the server again after a [`crash`](Self::crash).
    pub fn restart(&self) {
        self.state().up = true;
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
