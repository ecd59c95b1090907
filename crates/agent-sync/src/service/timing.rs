//! When the next run is.

use std::{fmt, time::Duration};

/// How a service times its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceConfig {
    /// How long after the end of a run the next one begins.
    pub interval: Duration,
    /// How long after the first failure it is tried again. Doubled with each further one.
    pub first_retry: Duration,
    /// How long it is waited at most after a failure.
    pub last_retry: Duration,
    /// How long a run may go on when the service is told to stop.
    pub grace: Duration,
    /// How long a run that was asked for waits for another instance that is at work on the same state.
    pub wait: Duration,
}

impl Default for ServiceConfig {
    /// Every minute; after failures within one second to five minutes; five seconds to stop; forty for another
    /// instance, which is longer than one that was killed is waited for.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            first_retry: Duration::from_secs(1),
            last_retry: Duration::from_secs(5 * 60),
            grace: Duration::from_secs(5),
            wait: Duration::from_secs(40),
        }
    }
}

/// The part of a wait that is added at random, at most.
const SPREAD: f64 = 0.1;

/// Counts failures and knows what they cost.
pub(super) struct Timing {
    config: ServiceConfig,
    failures: u32,
    jitter: Option<Box<dyn FnMut() -> f64 + Send>>,
}

impl fmt::Debug for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timing")
            .field("config", &self.config)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

impl Timing {
    pub(super) fn new(config: ServiceConfig) -> Self {
        Self {
            config,
            failures: 0,
            jitter: None,
        }
    }

    pub(super) fn set_jitter(&mut self, jitter: impl FnMut() -> f64 + Send + 'static) {
        self.jitter = Some(Box::new(jitter));
    }

    /// The wait after a run that came about.
    pub(super) fn interval(&mut self) -> Duration {
        self.spread(self.config.interval)
    }

    /// The wait after one that did not.
    pub(super) fn after_failure(&mut self) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        let wait = self.config.first_retry.saturating_mul(factor);
        self.spread(wait.min(self.config.last_retry))
    }

    /// Begins anew.
    pub(super) fn forget_failures(&mut self) {
        self.failures = 0;
    }

    fn spread(&mut self, wait: Duration) -> Duration {
        let Some(jitter) = &mut self.jitter else {
            return wait;
        };
        let share = jitter().clamp(0.0, 1.0);
        // A share that is no number adds nothing.
        let share = if share.is_nan() { 0.0 } else { share };
        wait.saturating_add(wait.mul_f64(SPREAD * share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(waits: impl IntoIterator<Item = Duration>) -> Vec<f64> {
        waits.into_iter().map(|wait| wait.as_secs_f64()).collect()
    }

    #[test]
    fn waits_double_up_to_the_limit_and_begin_anew_after_a_success() {
        let mut timing = Timing::new(ServiceConfig::default());
        let waits = seconds((0..12).map(|_| timing.after_failure()));
        assert_eq!(
            waits,
            [
                1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0, 300.0
            ]
        );
        timing.forget_failures();
        assert_eq!(timing.after_failure(), Duration::from_secs(1));
    }

    #[test]
    fn a_month_of_failures_overflows_nothing() {
        let mut timing = Timing::new(ServiceConfig::default());
        timing.failures = u32::MAX;
        assert_eq!(timing.after_failure(), Duration::from_secs(300));
        assert_eq!(timing.after_failure(), Duration::from_secs(300));
    }

    #[test]
    fn jitter_adds_a_tenth_at_most_whatever_it_answers() {
        let mut answers = [0.0, 0.5, 1.0, 7.0, -1.0, f64::NAN].into_iter();
        let mut timing = Timing::new(ServiceConfig::default());
        timing.set_jitter(move || answers.next().unwrap_or_default());
        let waits = seconds((0..6).map(|_| timing.interval()));
        assert_eq!(waits, [60.0, 63.0, 66.0, 66.0, 60.0, 60.0]);
    }
}
