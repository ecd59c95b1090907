//! Runs that never end: one after the other, by the clock and on request.

mod news;
mod status;
mod timing;
mod trigger;

use std::{any::Any, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use store::{Clock, StoreErrorKind};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

pub use self::{
    news::News,
    status::{Outage, Phase, ServiceStatus},
    timing::ServiceConfig,
    trigger::{NotSynced, Reason, Ticket, Trigger},
};
use self::{
    news::Told,
    timing::Timing,
    trigger::{Asked, Requests},
};
use crate::{Reconciler, RunOptions, Silent, SyncError, SyncReport};

/// What became of a run.
pub(crate) type Outcome = Result<Arc<SyncReport>, NotSynced>;

/// Keeps agents and Matrix in step for as long as it is let: it owns a [`Reconciler`] and runs it, never twice at once.
///
/// A run begins at once, then each time the interval has passed since the last one ended, and whenever a [`Trigger`]
/// asks for one. Any number of requests while a run is going lead to exactly one further run. A run that could not
/// begin is tried again after a wait that doubles up to a limit; a request is tried at once.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
/// # use std::sync::Arc;
/// # use accounts::AppserviceAccounts;
/// # use agent_sync::{Reconciler, SyncConfig};
/// # use letta_client::fake::FakeLetta;
/// # use matrix_client::fake::FakeMatrix;
/// # use store::{MemoryStore, SystemClock};
/// use agent_sync::{Reason, ServiceConfig, SyncService};
///
/// # let matrix = FakeMatrix::builder("matrix.test").test_appservice().build();
/// # let appservice = matrix.test_appservice();
/// # let matrix = Arc::new(matrix);
/// # let accounts = Arc::new(AppserviceAccounts::new(matrix.clone(), appservice));
/// # let config = SyncConfig::new("matrix.test".try_into()?);
/// # let (letta, store) = (Arc::new(FakeLetta::with_test_agents()), Arc::new(MemoryStore::new()));
/// # let reconciler = Reconciler::new(letta, matrix, accounts, store, config, Arc::new(SystemClock));
/// let service = SyncService::new(reconciler, ServiceConfig::default(), Arc::new(SystemClock));
/// let trigger = service.trigger();
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// let running = tokio::spawn(service.run(async { stopped.await.unwrap_or_default() }));
///
/// let report = trigger.request(Reason::Webhook).outcome().await?;
/// assert_eq!((report.agents, report.failed.len()), (3, 0));
/// drop(stop);
/// running.await??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct SyncService {
    reconciler: Reconciler,
    timing: Timing,
    grace: Duration,
    wait: Duration,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn ServiceObserver>,
    requests: Arc<Requests>,
    status: watch::Sender<ServiceStatus>,
    told: Told,
    /// A check that was asked for and did not come about yet.
    owed_check: bool,
}

/// What a service has to tell. Each is told once, not with every run: a server that is gone for a month is told of
/// twice, when it goes and when it comes back.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServiceEvent<'a> {
    /// A run came to its end, and there is something new or somebody asked for it by hand.
    Synced {
        /// What it did.
        report: &'a SyncReport,
        /// What is new about it.
        news: &'a News,
        /// What it was run for.
        reasons: &'a [Reason],
    },
    /// Runs do not come about any more, or for another reason than those that were told.
    Failing {
        /// Why.
        error: &'a NotSynced,
        /// When it is tried again, unless somebody asks for it before.
        retry_in: Duration,
    },
    /// Runs come about again.
    Recovered {
        /// For how long they did not.
        lasted: Duration,
        /// How many were tried.
        failures: u32,
    },
    /// Another instance is at it, or took over. The runs go on here as soon as it is done.
    SetAside {
        /// Which one, and what it does.
        error: &'a NotSynced,
    },
    /// The service was told to stop, and the run that was going did not end in time.
    CutOff,
}

/// Told of what a service does, e.g. to log it.
pub trait ServiceObserver: Send + Sync + std::fmt::Debug {
    /// Something happened.
    fn notice(&self, event: &ServiceEvent<'_>);
}

impl ServiceObserver for Silent {
    fn notice(&self, _event: &ServiceEvent<'_>) {}
}

/// Whether the service goes on after a run.
enum Next {
    /// With a run in so long.
    After(Duration),
    /// Not at all: waiting does not help.
    Never(Arc<SyncError>),
}

impl SyncService {
    /// A service of this reconciler. Nothing happens before [`run`](Self::run).
    #[must_use]
    pub fn new(reconciler: Reconciler, config: ServiceConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            reconciler,
            grace: config.grace,
            wait: config.wait,
            timing: Timing::new(config),
            clock,
            observer: Arc::new(Silent),
            requests: Arc::default(),
            status: watch::Sender::new(ServiceStatus::default()),
            told: Told::default(),
            owed_check: false,
        }
    }

    /// Tells this observer what happens.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn ServiceObserver>) -> Self {
        self.observer = observer;
        self
    }

    /// Spreads waits by up to a tenth: `jitter` answers a number from 0 to 1 each time it is asked.
    #[must_use]
    pub fn with_jitter(mut self, jitter: impl FnMut() -> f64 + Send + 'static) -> Self {
        self.timing.set_jitter(jitter);
        self
    }

    /// What asks for runs.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        Trigger::of(&self.requests)
    }

    /// How it stands, now and from now on. When the service is gone, so is the other end.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<ServiceStatus> {
        self.status.subscribe()
    }

    /// Runs until `stopped` is ready. A run that is going then has a few seconds ([`ServiceConfig::grace`]) to end and
    /// is cut off otherwise: the next one goes on from there, as after a crash.
    ///
    /// # Errors
    /// When no run can ever come about, whatever the servers do: the state belongs to another homeserver or to a newer
    /// version of the program, or the configuration makes no valid names.
    pub async fn run(mut self, stopped: impl Future<Output = ()>) -> Result<(), Arc<SyncError>> {
        let mut stopped = pin!(stopped);
        let mut due = Instant::now();
        let mut stopping = false;
        while !stopping {
            let (asked, requested) = tokio::select! {
                biased;
                () = &mut stopped => break,
                asked = self.requests.next() => (asked, true),
                () = sleep_until(due) => (self.requests.take(), false),
            };
            if requested {
                self.timing.forget_failures();
            }
            let options = self.options(&asked, requested);
            let started = self.clock.now();
            self.status.send_modify(|status| {
                status.phase = Phase::Running { since: started };
            });
            let mut run = Box::pin(attempt(self.reconciler.clone(), options));
            let outcome = tokio::select! {
                biased;
                outcome = &mut run => outcome,
                () = &mut stopped => {
                    stopping = true;
                    let Ok(outcome) = timeout(self.grace, &mut run).await else {
                        self.observer.notice(&ServiceEvent::CutOff);
                        break;
                    };
                    outcome
                }
            };
            let next = self.note(&outcome, &asked);
            asked.answer(outcome);
            match next {
                Next::After(wait) => due = Instant::now() + wait,
                Next::Never(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn options(&mut self, asked: &Asked, requested: bool) -> RunOptions {
        self.owed_check |= asked.check;
        RunOptions {
            check: self.owed_check,
            // The clock comes again by itself; whoever asked waits for an answer.
            wait: if requested { self.wait } else { Duration::ZERO },
            ..RunOptions::default()
        }
    }

    /// Records and tells what became of a run.
    fn note(&mut self, outcome: &Outcome, asked: &Asked) -> Next {
        match outcome {
            Ok(report) => {
                self.owed_check = false;
                self.timing.forget_failures();
                self.note_completed(report, asked);
                Next::After(self.timing.interval())
            }
            Err(error) if is_set_aside(error) => {
                if self.told.set_aside() {
                    self.observer.notice(&ServiceEvent::SetAside { error });
                }
                self.status.send_modify(|status| status.phase = Phase::Waiting);
                Next::After(self.timing.interval())
            }
            Err(error) => self.note_failed(error),
        }
    }

    fn note_completed(&mut self, report: &Arc<SyncReport>, asked: &Asked) {
        let now = self.clock.now();
        let mut outage = None;
        self.status.send_modify(|status| {
            status.phase = Phase::Waiting;
            status.completed_at = Some(now);
            status.report = Some(report.clone());
            outage = status.outage.take();
        });
        if let Some(outage) = outage {
            self.observer.notice(&ServiceEvent::Recovered {
                lasted: now.duration_since(outage.since).unsigned_abs(),
                failures: outage.failures,
            });
        }
        self.told.recovered();
        let news = self.told.news_in(report);
        // Whoever asked by hand wants to hear of it in any case.
        let is_wanted = asked
            .reasons
            .iter()
            .any(|reason| matches!(reason, Reason::Signal | Reason::Person));
        if let Some(news) = news.or_else(|| is_wanted.then(News::default)) {
            self.observer.notice(&ServiceEvent::Synced {
                report,
                news: &news,
                reasons: &asked.reasons,
            });
        }
    }

    fn note_failed(&mut self, error: &NotSynced) -> Next {
        let fatal = match error {
            NotSynced::Failed(error) if is_fatal(error) => Some(error.clone()),
            _ => None,
        };
        let now = self.clock.now();
        self.status.send_modify(|status| {
            status.phase = Phase::Waiting;
            let outage = status.outage.get_or_insert_with(|| Outage {
                since: now,
                failures: 0,
                error: error.clone(),
            });
            outage.failures = outage.failures.saturating_add(1);
            outage.error = error.clone();
        });
        if let Some(error) = fatal {
            return Next::Never(error);
        }
        let retry_in = self.timing.after_failure();
        if self.told.failure(error) {
            self.observer.notice(&ServiceEvent::Failing { error, retry_in });
        }
        Next::After(retry_in)
    }
}

impl Drop for SyncService {
    fn drop(&mut self) {
        self.requests.close();
        self.status.send_modify(|status| status.phase = Phase::Stopped);
    }
}

/// One run. A panic ends it and nothing else.
async fn attempt(reconciler: Reconciler, options: RunOptions) -> Outcome {
    match AssertUnwindSafe(reconciler.run(options)).catch_unwind().await {
        Ok(Ok(report)) => Ok(Arc::new(report)),
        Ok(Err(error)) => Err(NotSynced::Failed(Arc::new(error))),
        Err(panic) => Err(NotSynced::Panicked(panic_message(&*panic))),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it does not say why".to_owned())
}

fn is_set_aside(error: &NotSynced) -> bool {
    matches!(error, NotSynced::Failed(error) if matches!(**error, SyncError::Busy { .. } | SyncError::Superseded))
}

/// Whether waiting does not help.
fn is_fatal(error: &SyncError) -> bool {
    match error {
        SyncError::OtherServer { .. } | SyncError::Names(_) => true,
        SyncError::Store(error) => matches!(error.kind(), StoreErrorKind::TooNew | StoreErrorKind::Foreign),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use store::StoreError;

    use super::*;

    #[test]
    fn what_waiting_does_not_help_is_fatal_and_nothing_else() {
        let of_store = |kind| SyncError::Store(StoreError::new(kind, "a state"));
        for fatal in [
            of_store(StoreErrorKind::TooNew),
            of_store(StoreErrorKind::Foreign),
            SyncError::OtherServer {
                recorded: "a.test".to_owned(),
                configured: "b.test".to_owned(),
            },
        ] {
            assert!(is_fatal(&fatal), "{fatal:?}");
        }
        for passing in [
            of_store(StoreErrorKind::Unavailable),
            of_store(StoreErrorKind::Refused),
            of_store(StoreErrorKind::Conflict),
            SyncError::Superseded,
            SyncError::ForeignSpace {
                alias: "#agents:a.test".to_owned(),
                reason: "another marker".to_owned(),
            },
        ] {
            assert!(!is_fatal(&passing), "{passing:?}");
        }
    }
}
