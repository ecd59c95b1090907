//! What time the server has, by the `Date` of its answers.

use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, header};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};
use tokio::time::Instant;

/// The `Date` of the last answer that had one, and when it came.
#[derive(Debug, Default)]
pub(super) struct ServerClock(Mutex<Option<Reading>>);

#[derive(Clone, Copy, Debug)]
struct Reading {
    date: Timestamp,
    came: Instant,
}

impl ServerClock {
    /// Takes the time from an answer's headers. What is no date is passed over.
    pub(super) fn note(&self, headers: &HeaderMap) {
        let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
        let Some(date) = date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok()) else {
            return;
        };
        let came = Instant::now();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Reading { date, came });
    }

    /// The time there now: that of the last answer, moved on by what has passed since.
    pub(super) fn now(&self) -> Option<Timestamp> {
        let reading = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let passed = SignedDuration::try_from(reading.came.elapsed()).ok()?;
        reading.date.checked_add(passed).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn headers(date: &'static str) -> HeaderMap {
        [(header::DATE, http::HeaderValue::from_static(date))]
            .into_iter()
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_servers_clock_goes_on_between_answers() {
        let clock = ServerClock::default();
        assert_eq!(clock.now(), None);
        clock.note(&headers("Sat, 21 Nov 2026 01:23:40 GMT"));
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now(), "2026-11-21T01:25:10Z".parse().ok());
        clock.note(&headers("Sat, 21 Nov 2026 01:25:00 GMT"));
        assert_eq!(clock.now(), "2026-11-21T01:25:00Z".parse().ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_without_a_date_changes_nothing() {
        let clock = ServerClock::default();
        clock.note(&headers("Sat, 21 Nov 2026 01:23:40 GMT"));
        clock.note(&HeaderMap::new());
        clock.note(&headers("yesterday"));
        assert_eq!(clock.now(), "2026-11-21T01:23:40Z".parse().ok());
    }
}
