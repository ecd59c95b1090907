//! Reading a run's events while they happen, and afterwards.

use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::{sync::watch, time::Instant};

use super::{
    FakeLetta, Refusal,
    event::{Event, StreamEvent},
};
use crate::{LettaErrorKind, RunId};

/// How long a stream is silent before the server shows that it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How long the server goes on doing so when nothing happens.
const GIVE_UP: Duration = Duration::from_secs(1800);

/// One who reads a run's events.
#[derive(Debug)]
pub(super) struct Reader {
    letta: FakeLetta,
    pub(super) run: RunId,
    /// Whether there is anything to read: the server joins runs whose events it did not keep, and waits for ever.
    kept: bool,
    /// Place of the next event.
    next: usize,
    pings: bool,
    /// Which network it was opened on: a crash ends it.
    network: u64,
    changed: watch::Receiver<()>,
    last_data: Instant,
    sent_pings: u64,
    finished: bool,
}

/// What a reader finds.
enum Look {
    Event(Box<StreamEvent>),
    Nothing,
    End,
    Broken,
}

impl Reader {
    /// Reads from behind event number `after`, the first being 1.
    pub(super) fn new(letta: FakeLetta, run: RunId, after: u64, pings: bool) -> Self {
        let (network, changed) = {
            let mut state = letta.state();
            let changed = state.run_mut(&run).map_or_else(
                || watch::Sender::new(()).subscribe(),
                |run| run.changed.subscribe(),
            );
            (state.network, changed)
        };
        Self {
            letta,
            run,
            kept: true,
            next: usize::try_from(after).unwrap_or(usize::MAX),
            pings,
            network,
            changed,
            last_data: Instant::now(),
            sent_pings: 0,
            finished: false,
        }
    }

    /// The same, joined by somebody who did not send the request: only kept events are to be had.
    pub(super) fn joined(mut self) -> Self {
        let state = self.letta.state();
        let kept = state.run(&self.run).is_ok_and(|run| run.background);
        drop(state);
        self.kept = kept;
        self
    }

    /// The next event; `None` at the end, an error when the connection broke.
    pub(super) async fn next(&mut self) -> Option<Result<StreamEvent, Refusal>> {
        let silent_since = Instant::now();
        loop {
            if self.finished {
                return None;
            }
            self.changed.mark_unchanged();
            match self.look() {
                Look::Event(event) => {
                    self.next += 1;
                    self.last_data = Instant::now();
                    return Some(Ok(*event));
                }
                Look::End => {
                    self.finished = true;
                    return None;
                }
                Look::Broken => {
                    self.finished = true;
                    let refusal = Refusal::of_kind(LettaErrorKind::Interrupted, None);
                    return Some(Err(refusal.with_may_have_applied(true)));
                }
                Look::Nothing => {}
            }
            tokio::select! {
                biased;
                changed = self.changed.changed() => {
                    if changed.is_err() {
                        // The run is gone, and whoever waits for it waits for ever.
                        std::future::pending::<()>().await;
                    }
                }
                () = tokio::time::sleep_until(silent_since + KEEP_ALIVE), if self.pings => {
                    if self.last_data.elapsed() > GIVE_UP {
                        self.finished = true;
                        return None;
                    }
                    return Some(Ok(self.ping()));
                }
            }
        }
    }

    fn look(&self) -> Look {
        let state = self.letta.state();
        if state.network != self.network {
            return Look::Broken;
        }
        let Ok(run) = state.run(&self.run) else {
            return Look::Nothing;
        };
        if !self.kept {
            return Look::Nothing;
        }
        match run.log.get(self.next) {
            Some(event) => Look::Event(Box::new(event.clone())),
            None if run.closed => Look::End,
            None => Look::Nothing,
        }
    }

    /// A sign of life. It carries the number of the last event, so that a client can join again behind it.
    fn ping(&mut self) -> StreamEvent {
        self.sent_pings += 1;
        let mut state = self.letta.state();
        let name = format!("{} {} {}", self.run, self.next, self.sent_pings);
        let mut ids = state.ids.child(&name);
        let seq = state
            .run(&self.run)
            .ok()
            .filter(|run| run.background)
            .map(|_| self.next as u64);
        StreamEvent {
            run: self.run.clone(),
            seq,
            event: Event::Ping {
                id: ids.next("ping"),
                date: state.clock.now(),
            },
        }
    }

    /// Whether this event is a sign of life between those of the run.
    pub(super) fn is_keep_alive(&self, event: &StreamEvent) -> bool {
        matches!(event.event, Event::Ping { .. }) && {
            let state = self.letta.state();
            state.run(&self.run).map_or(true, |run| {
                !run.log
                    .get(self.next.saturating_sub(1))
                    .is_some_and(|logged| logged == event)
            })
        }
    }

    /// The events as a stream, which breaks behind `break_after` of them.
    pub(super) fn events(
        self,
        break_after: Option<usize>,
    ) -> impl Stream<Item = Result<StreamEvent, Refusal>> + Send + 'static {
        stream::unfold((self, break_after), |(mut reader, mut left)| async move {
            if left == Some(0) {
                reader.finished = true;
                left = None;
                let refusal = Refusal::of_kind(LettaErrorKind::Interrupted, None);
                return Some((Err(refusal.with_may_have_applied(true)), (reader, left)));
            }
            let item = reader.next().await?;
            left = left.map(|left| left - 1);
            Some((item, (reader, left)))
        })
    }
}
