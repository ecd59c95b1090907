//! Wall-clock time without a wall clock: an epoch that is given, plus the time of tokio's clock since then.

use std::time::Duration;

use tokio::time::Instant;

/// 2026-01-01T00:00:00Z in milliseconds.
pub(super) const DEFAULT_EPOCH_MS: u64 = 1_767_225_600_000;

/// Follows tokio's clock, so that paused tests see time stand still and jump.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    epoch_ms: u64,
    start: Instant,
}

impl Clock {
    pub(super) fn new(epoch_ms: u64) -> Self {
        Self {
            epoch_ms,
            start: Instant::now(),
        }
    }

    /// Milliseconds since 1970.
    pub(super) fn now_ms(&self) -> u64 {
        self.epoch_ms + u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }

    /// Since the server was made.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}
