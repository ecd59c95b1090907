//! Which failures are worth another try, and how long to wait.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::call::Repeat;
use crate::{Conflict, LettaError, LettaErrorKind};

/// How often and how long [`HttpLetta`](super::HttpLetta) asks again by itself.
///
/// Only requests that may be repeated are: those that read, and those that set or delete something. Sending a
/// message and creating something are repeated only when the first request certainly never left this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many more times, at most.
    pub max_retries: usize,
    /// The first wait; each further one is twice as long, with some randomness added.
    pub min_delay: Duration,
    /// No wait of our own is longer. A `Retry-After` of the server may be.
    pub max_delay: Duration,
    /// All tries and waits together: a wait that would end later is not begun.
    pub max_total: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 3,
            min_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(5),
            max_total: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    /// Every request is sent once.
    #[must_use]
    pub fn none() -> Self {
        Self {
            max_retries: 0,
            ..Self::default()
        }
    }
}

/// Whether the request that failed so may be sent again.
pub(super) fn allowed(error: &LettaError, repeat: Repeat) -> bool {
    match error.kind() {
        LettaErrorKind::Connect => true,
        _ if repeat == Repeat::OnlyIfUnsent => false,
        LettaErrorKind::Interrupted
        | LettaErrorKind::RateLimited
        | LettaErrorKind::Conflict(Conflict::ConcurrentUpdate) => true,
        LettaErrorKind::Server => matches!(error.status(), Some(502..=504)),
        _ => false,
    }
}

/// `Retry-After`: seconds, or a date that is compared with the server's own `Date`.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = http_date(text)?;
    let now = http_date(headers.get(DATE)?.to_str().ok()?)?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

fn http_date(text: &str) -> Option<jiff::Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn retry_after_in_seconds_is_read() {
        assert_eq!(
            retry_after(&headers(&[("retry-after", " 7 ")])),
            Some(Duration::from_secs(7))
        );
    }

    #[test]
    fn retry_after_as_a_date_counts_from_the_servers_own_date() {
        let wait = retry_after(&headers(&[
            ("retry-after", "Sat, 21 Nov 2026 01:24:10 GMT"),
            ("date", "Sat, 21 Nov 2026 01:23:40 GMT"),
        ]));
        assert_eq!(wait, Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_date_that_has_passed_means_now() {
        let wait = retry_after(&headers(&[
            ("retry-after", "Sat, 21 Nov 2026 01:23:10 GMT"),
            ("date", "Sat, 21 Nov 2026 01:23:40 GMT"),
        ]));
        assert_eq!(wait, Some(Duration::ZERO));
    }

    #[test]
    fn nonsense_in_retry_after_is_ignored() {
        for text in ["soon", "-3", "1.5", ""] {
            assert_eq!(retry_after(&headers(&[("retry-after", text)])), None, "{text:?}");
        }
        assert_eq!(
            retry_after(&headers(&[("retry-after", "Sat, 21 Nov 2026 01:23:10 GMT")])),
            None
        );
    }

    #[test]
    fn a_message_is_repeated_only_when_it_never_left() {
        let error = |kind: LettaErrorKind, status| LettaError::new(kind, "").with_status(status);
        for (kind, status) in [
            (LettaErrorKind::Interrupted, 0),
            (LettaErrorKind::RateLimited, 429),
            (LettaErrorKind::Server, 503),
            (LettaErrorKind::Timeout, 0),
        ] {
            assert!(!allowed(&error(kind, status), Repeat::OnlyIfUnsent));
        }
        assert!(allowed(&error(LettaErrorKind::Connect, 0), Repeat::OnlyIfUnsent));
        assert!(allowed(&error(LettaErrorKind::Server, 503), Repeat::Safe));
        assert!(!allowed(&error(LettaErrorKind::Server, 500), Repeat::Safe));
        assert!(!allowed(&error(LettaErrorKind::Timeout, 0), Repeat::Safe));
    }
}
