//! The server's clock: an epoch that the test chooses, moved on by tokio's time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// What the clock shows when the fake is made, unless [`with_epoch`](super::FakeLetta::with_epoch) says otherwise.
pub(super) const DEFAULT_EPOCH: &str = "2026-01-05T09:00:00Z";

/// Wall-clock time under test control. With paused tokio time it moves only when the test lets it.
#[derive(Debug)]
pub(super) struct Clock {
    epoch: Timestamp,
    /// Taken at the first reading, so that a fake made outside a runtime starts with the runtime's clock.
    started: Option<Instant>,
    last: Option<Timestamp>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            epoch: DEFAULT_EPOCH.parse().unwrap_or(Timestamp::UNIX_EPOCH),
            started: None,
            last: None,
        }
    }

    pub(super) fn set_epoch(&mut self, epoch: Timestamp) {
        self.epoch = epoch;
        self.started = None;
        self.last = None;
    }

    /// The time now, at least one microsecond later than at the last reading: a database never stores two rows at
    /// the same instant, and what was made later must sort later even while time stands still.
    pub(super) fn now(&mut self) -> Timestamp {
        let started = *self.started.get_or_insert_with(Instant::now);
        let elapsed = Instant::now().saturating_duration_since(started);
        let mut now = add(self.epoch, elapsed);
        if let Some(last) = self.last
            && now <= last
        {
            now = add(last, Duration::from_micros(1));
        }
        self.last = Some(now);
        now
    }
}

/// `time` moved on by `duration`, to the microsecond, as the server's database stores it.
fn add(time: Timestamp, duration: Duration) -> Timestamp {
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    time.saturating_add(SignedDuration::from_micros(micros))
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_moves_with_tokios_clock_and_never_stands_still() {
        let mut clock = Clock::new();
        let first = clock.now();
        assert_eq!(first.to_string(), DEFAULT_EPOCH);
        let second = clock.now();
        assert_eq!(second.duration_since(first), SignedDuration::from_micros(1));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(clock.now().duration_since(first), SignedDuration::from_secs(60));
    }
}
