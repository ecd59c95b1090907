//! How long to wait before something is tried again.

use std::{fmt, sync::Arc, time::Duration};

type Jitter = dyn Fn(Duration) -> Duration + Send + Sync;

/// Waits that double, from one second to one minute.
#[derive(Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    jitter: Arc<Jitter>,
}

impl Backoff {
    /// With this jitter: it is given each wait and answers the one to be made, so that not all come back at once.
    pub fn new(jitter: impl Fn(Duration) -> Duration + Send + Sync + 'static) -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            jitter: Arc::new(jitter),
        }
    }

    /// The wait after this many failures in a row, or what the server asks for if that is longer.
    pub(super) fn wait(&self, failures: u32, asked: Option<Duration>) -> Duration {
        let factor = 2u32.saturating_pow(failures.saturating_sub(1));
        let wait = self.first.saturating_mul(factor).min(self.longest);
        (self.jitter)(wait).max(asked.unwrap_or_default())
    }
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backoff")
            .field("first", &self.first)
            .field("longest", &self.longest)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute() {
        let backoff = Backoff::new(|wait| wait);
        let waits = [1, 2, 3, 6, 7, 8, u32::MAX].map(|failures| backoff.wait(failures, None).as_secs());
        assert_eq!(waits, [1, 2, 4, 32, 60, 60, 60]);
    }

    #[test]
    fn what_the_server_asks_for_counts_if_it_is_longer() {
        let backoff = Backoff::new(|wait| wait / 2);
        assert_eq!(backoff.wait(2, None), Duration::from_secs(1));
        assert_eq!(
            backoff.wait(2, Some(Duration::from_secs(90))),
            Duration::from_secs(90)
        );
        assert_eq!(
            backoff.wait(4, Some(Duration::from_secs(1))),
            Duration::from_secs(4)
        );
    }
}
