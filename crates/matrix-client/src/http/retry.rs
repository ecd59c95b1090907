use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::Instant;

use crate::{MatrixError, MatrixErrorKind};

/// When and how often a call is sent again.
///
/// Sent again is only what cannot do harm: reads, idempotent changes (state, profile, join, everything with a
/// transaction id), and of the others (`create_room`, `register`, `login`, `upload_media`, `ping_appservice`) only what
/// surely had no effect, that is when no connection came about or the server refused for its rate limit.
///
/// Reasons to send again: no connection, a cut connection, 429, 502, 503 and 504. The pauses grow, with some
/// randomness; what the server asks for (`Retry-After`, `retry_after_ms`, the longer of the two) is waited at least. When
/// that does not fit into [`max_total`](Self::max_total) the call fails at once instead of waiting in vain.
///
/// # When the server limits the rate
/// What one request is told holds for its like: after a 429 that names a pause, no request for the same call by the same
/// user is sent until it is over, through this client or a clone. Then they go one by one, each when the one before it
/// is answered (or after two seconds), in the order in which they were made, until nobody waits any more. So a burst
/// meets one refusal for each time that the server opens, not one for each request. `login` and `invite_user` are held
/// back only for the same account and the same invited user, because servers limit those apart.
///
/// Waiting so costs no try, but counts for `max_total`: what could not be sent in time fails as
/// [`LimitExceeded`](MatrixErrorKind::LimitExceeded) without a status, at once where that is known. A policy of
/// [one try](Self::none) neither waits nor fails so.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    max_tries: usize,
    first_pause: Duration,
    max_pause: Duration,
    max_total: Duration,
}

impl Default for RetryPolicy {
    /// Four tries, pauses of about 0.25, 0.5 and 1 s, a minute in all.
    fn default() -> Self {
        Self {
            max_tries: 4,
            first_pause: Duration::from_millis(250),
            max_pause: Duration::from_secs(10),
            max_total: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// Every call is sent once, and at once.
    pub fn none() -> Self {
        Self {
            max_tries: 1,
            ..Self::default()
        }
    }

    /// How often a call is sent at most, the first time included.
    #[must_use]
    pub fn max_tries(mut self, tries: usize) -> Self {
        self.max_tries = tries.max(1);
        self
    }

    /// The first pause. Each following one is about twice as long.
    #[must_use]
    pub fn first_pause(mut self, pause: Duration) -> Self {
        self.first_pause = pause;
        self
    }

    /// No pause is longer than this, unless the server asks for it.
    #[must_use]
    pub fn max_pause(mut self, pause: Duration) -> Self {
        self.max_pause = pause;
        self
    }

    /// No further try begins later than this after the first one.
    #[must_use]
    pub fn max_total(mut self, total: Duration) -> Self {
        self.max_total = total;
        self
    }

    /// Until when a try may begin that was held back; `None` if no call waits for anything.
    pub(super) fn deadline(&self, started: Instant) -> Option<Instant> {
        // What overflows is as good as never.
        const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        (self.max_tries > 1).then(|| started + self.max_total.min(NEVER))
    }

    /// The pauses between the tries of one call.
    pub(super) fn pauses(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        ExponentialBuilder::new()
            .with_min_delay(self.first_pause)
            .with_max_delay(self.max_pause)
            .with_max_times(self.max_tries - 1)
            .with_jitter()
            .with_jitter_seed(RandomState::new().hash_one(self.max_tries))
            .build()
    }

    /// How long to wait before the next try, if there is to be one. `planned` is the next of the
    /// [`pauses`](Self::pauses), `elapsed` the time since the first try began.
    pub(super) fn wait(
        &self,
        error: &MatrixError,
        planned: Option<Duration>,
        elapsed: Duration,
    ) -> Option<Duration> {
        let wait = planned?.max(error.retry_after().unwrap_or_default());
        (elapsed + wait <= self.max_total).then_some(wait)
    }
}

/// What a call does to the server, which decides whether it may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Read,
    /// The same, however often it is sent.
    Idempotent,
    /// Something more each time.
    Once,
}

/// Whether sending the call again cannot do harm and may help.
pub(super) fn may_send_again(effect: Effect, error: &MatrixError) -> bool {
    let not_applied = matches!(
        error.kind(),
        MatrixErrorKind::Connect | MatrixErrorKind::LimitExceeded { .. }
    );
    if effect == Effect::Once {
        return not_applied && !error.may_have_applied();
    }
    let overloaded = matches!(
        error.kind(),
        MatrixErrorKind::Server | MatrixErrorKind::NotMatrix { .. }
    ) && matches!(error.status(), Some(502..=504));
    not_applied || overloaded || *error.kind() == MatrixErrorKind::Interrupted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, errcode: &str) -> MatrixError {
        MatrixError::from_matrix(status, errcode, "")
    }

    #[test]
    fn what_may_have_happened_is_not_sent_again_unless_idempotent() {
        let down = error(503, "M_UNKNOWN").with_may_have_applied(true);
        assert!(!may_send_again(Effect::Once, &down));
        assert!(may_send_again(Effect::Idempotent, &down));
        assert!(may_send_again(Effect::Read, &down));
        let cut = MatrixError::new(MatrixErrorKind::Interrupted, "").with_may_have_applied(true);
        assert!(!may_send_again(Effect::Once, &cut));
        assert!(may_send_again(Effect::Idempotent, &cut));
        for effect in [Effect::Once, Effect::Idempotent, Effect::Read] {
            assert!(may_send_again(
                effect,
                &MatrixError::new(MatrixErrorKind::Connect, "")
            ));
            assert!(may_send_again(effect, &error(429, "M_LIMIT_EXCEEDED")));
            for (status, errcode) in [(403, "M_FORBIDDEN"), (500, "M_UNKNOWN"), (502, "M_BAD_STATUS")] {
                assert!(
                    !may_send_again(effect, &error(status, errcode)),
                    "{effect:?} {status}"
                );
            }
        }
    }

    #[test]
    fn the_server_is_given_the_time_it_asks_for_or_the_call_fails_at_once() {
        let policy = RetryPolicy::default().max_total(Duration::from_secs(10));
        let limited = error(429, "M_LIMIT_EXCEEDED").with_retry_after(Some(Duration::from_secs(5)));
        let planned = Some(Duration::from_millis(250));
        assert_eq!(
            policy.wait(&limited, planned, Duration::ZERO),
            Some(Duration::from_secs(5))
        );
        assert_eq!(policy.wait(&limited, planned, Duration::from_secs(6)), None);
        assert_eq!(policy.wait(&limited, None, Duration::ZERO), None);
    }

    #[test]
    fn tries_are_bounded_and_pauses_grow() {
        let pauses: Vec<Duration> = RetryPolicy::default().max_tries(5).pauses().collect();
        assert_eq!(pauses.len(), 4);
        assert!(
            pauses.iter().all(|pause| *pause >= Duration::from_millis(250)),
            "{pauses:?}"
        );
        assert!(pauses[3] > pauses[0], "{pauses:?}");
        assert_eq!(RetryPolicy::none().pauses().count(), 0);
    }
}
