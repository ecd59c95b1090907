//! What the provider was asked.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use crate::connections::HangUp;

/// How many requests are remembered.
const CAPACITY: usize = 1_000;

/// A request that the provider received.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ReceivedRequest {
    /// Its place among all requests, from 1.
    pub number: u64,
    /// The path, for example `/v1/chat/completions`.
    pub path: String,
    /// The body; a string when it was not JSON.
    pub body: Value,
    /// The status that was answered; absent while the answer is held back, and when the provider hung up instead.
    pub status: Option<u16>,
}

/// The newest requests.
#[derive(Debug, Default)]
pub(super) struct Journal(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    kept: VecDeque<ReceivedRequest>,
    received: u64,
    forgotten: u64,
}

impl Journal {
    /// Notes a request, and returns its number.
    pub(super) fn received(&self, path: &str, body: &[u8]) -> u64 {
        let body = serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into());
        let mut entries = self.lock();
        entries.received += 1;
        let number = entries.received;
        entries.kept.push_back(ReceivedRequest {
            number,
            path: path.to_owned(),
            body,
            status: None,
        });
        if entries.kept.len() > CAPACITY {
            entries.kept.pop_front();
            entries.forgotten += 1;
        }
        number
    }

    /// Notes what was answered; nothing when the provider hangs up instead.
    pub(super) fn answered(&self, number: u64, response: &Response) {
        if HangUp::is_meant_by(response) {
            return;
        }
        let status = response.status().as_u16();
        if let Some(entry) = self
            .lock()
            .kept
            .iter_mut()
            .rev()
            .find(|entry| entry.number == number)
        {
            entry.status = Some(status);
        }
    }

    /// The requests kept, oldest first, and how many older ones are not.
    pub(super) fn entries(&self) -> (Vec<ReceivedRequest>, u64) {
        let entries = self.lock();
        (entries.kept.iter().cloned().collect(), entries.forgotten)
    }

    pub(super) fn clear(&self) {
        let mut entries = self.lock();
        entries.kept.clear();
        entries.forgotten = 0;
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use http::StatusCode;

    use super::*;

    #[test]
    fn only_the_newest_requests_are_kept() {
        let journal = Journal::default();
        for n in 0..CAPACITY + 5 {
            journal.received("/v1/chat/completions", n.to_string().as_bytes());
        }
        let (kept, forgotten) = journal.entries();
        assert_eq!((kept.len(), forgotten), (CAPACITY, 5));
        assert_eq!(
            kept.first().map(|entry| (entry.number, entry.body.clone())),
            Some((6, 5.into()))
        );
    }

    #[test]
    fn an_answer_is_noted_beside_its_request() {
        let journal = Journal::default();
        let number = journal.received("/x", b"not json");
        let hung_up = journal.received("/x", b"{}");
        journal.answered(number, &StatusCode::BAD_REQUEST.into_response());
        journal.answered(hung_up, &HangUp.into_response());
        journal.answered(99, &StatusCode::OK.into_response());
        let (kept, _) = journal.entries();
        assert_eq!(
            (kept[0].body.as_str(), kept[0].status),
            (Some("not json"), Some(400))
        );
        assert_eq!(kept[1].status, None);
        journal.clear();
        assert_eq!(journal.entries(), (vec![], 0));
    }
}
