//! What the stream holds, and whether it holds what follows an event.

use std::num::NonZeroUsize;

use redis::{Pipeline, streams::StreamRangeReply};

use super::entry;
use crate::{AgentEvent, BusError, EventId};

/// Looks at the stream.
#[derive(Debug, Clone)]
pub(super) struct Window {
    stream: String,
    retained: NonZeroUsize,
}

/// How many entries are read at once.
pub(super) const PAGE: usize = 256;

/// The first, the last, the number, and a page of the stream's entries, all at one moment.
pub(super) type Answer = (StreamRangeReply, StreamRangeReply, usize, StreamRangeReply);

/// What follows an event.
#[derive(Debug)]
pub(super) struct Page {
    /// The first entry that there is.
    pub(super) first: Option<EventId>,
    pub(super) fit: Fit,
    pub(super) events: Vec<AgentEvent>,
    /// The last entry of the page, or the event that it follows.
    pub(super) end: EventId,
    /// Whether there was nothing more at that moment.
    pub(super) is_last: bool,
}

/// How a page fits to the event that it is to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// Nothing is missing between them.
    Follows,
    /// Something may be: the page begins with the first entry that there is.
    Torn,
    /// The stream never got so far: the event is of another one, or this one lost it. The page is empty.
    Unknown,
}

impl Page {
    /// Just before everything that there is.
    pub(super) fn floor(&self) -> EventId {
        self.first.map_or(EventId::ZERO, EventId::before)
    }
}

impl Window {
    pub(super) fn new(stream: &str, retained: NonZeroUsize) -> Self {
        Self {
            stream: stream.to_owned(),
            retained,
        }
    }

    pub(super) fn stream(&self) -> &str {
        &self.stream
    }

    pub(super) fn retained(&self) -> usize {
        self.retained.get()
    }

    /// Asks for the last entry alone.
    pub(super) fn ask_last(&self) -> Pipeline {
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("XREVRANGE")
            .arg(&self.stream)
            .arg(&["+", "-", "COUNT", "1"]);
        pipeline
    }

    /// The id of the last entry.
    pub(super) fn last((last,): &(StreamRangeReply,)) -> Result<EventId, BusError> {
        Ok(only_id(last)?.unwrap_or(EventId::ZERO))
    }

    /// Asks for what follows an event.
    pub(super) fn ask(&self, after: EventId) -> Pipeline {
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        pipeline
            .cmd("XRANGE")
            .arg(&self.stream)
            .arg(&["-", "+", "COUNT", "1"]);
        pipeline
            .cmd("XREVRANGE")
            .arg(&self.stream)
            .arg(&["+", "-", "COUNT", "1"]);
        pipeline.cmd("XLEN").arg(&self.stream);
        let begin = if after == EventId::ZERO {
            "-".to_owned()
        } else {
            format!("({after}")
        };
        pipeline
            .cmd("XRANGE")
            .arg(&self.stream)
            .arg(begin)
            .arg(&["+", "COUNT"])
            .arg(PAGE);
        pipeline
    }

    /// Reads the answer to [`ask`](Self::ask).
    pub(super) fn page(&self, after: EventId, answer: &Answer) -> Result<Page, BusError> {
        let (first, last, length, entries) = answer;
        let first = only_id(first)?;
        let last = only_id(last)?.unwrap_or(EventId::ZERO);
        let fit = match first {
            _ if after > last => Fit::Unknown,
            // Of a stream that is shorter than it may be, nothing was ever removed.
            Some(_) if after == EventId::ZERO && *length < self.retained.get() => Fit::Follows,
            Some(first) if first.before() > after => Fit::Torn,
            _ => Fit::Follows,
        };
        let mut end = after;
        let mut events = Vec::with_capacity(entries.ids.len());
        for entry in &entries.ids {
            end = entry::parse_id(&entry.id)?;
            events.extend(entry::read(end, entry));
        }
        Ok(Page {
            first,
            fit,
            events,
            end,
            is_last: entries.ids.len() < PAGE,
        })
    }
}

fn only_id(reply: &StreamRangeReply) -> Result<Option<EventId>, BusError> {
    reply
        .ids
        .first()
        .map(|entry| entry::parse_id(&entry.id))
        .transpose()
}
