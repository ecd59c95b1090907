//! Writing down what came in.

use std::sync::Arc;

use jiff::Timestamp;
use matrix_client::{Event, SkippedEvent};
use serde_json::value::RawValue;
use store::{Arrival, Clock, Cursor, InboxStore, Intake, SetAside, StoreError};
use tokio::sync::Notify;

use super::relevance::{OwnUsers, is_relevant};

/// The longest event, in bytes. Homeservers allow 64 KiB, to which they add what an event replaces.
const MAX_EVENT: usize = 256 * 1024;

/// The longest id, in bytes.
const MAX_ID: usize = 255;

/// How much is kept of what makes no sense, in bytes.
const MAX_SET_ASIDE: usize = 8 * 1024;

/// How much is kept of the reason, in bytes.
const MAX_REASON: usize = 512;

/// Where all events come in.
///
/// Each call is one write, all or nothing: when it answers, everything is kept; when it fails, nothing is, and the
/// same may be handed over again. What makes no sense is set aside and never fails a call.
#[derive(Debug)]
pub struct Inbox {
    store: Arc<dyn InboxStore>,
    clock: Arc<dyn Clock>,
    own: OwnUsers,
    news: Notify,
}

/// What became of what was handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Events that are in the inbox now and were not before.
    pub new: u64,
    /// Events that had come in before.
    pub known: u64,
    /// Events that are nobody's business.
    pub left_out: u64,
    /// What makes no sense.
    pub set_aside: u64,
}

impl Inbox {
    /// The inbox in this store.
    pub fn new(store: Arc<dyn InboxStore>, clock: Arc<dyn Clock>, own: OwnUsers) -> Self {
        Self {
            store,
            clock,
            own,
            news: Notify::new(),
        }
    }

    /// Takes events as a homeserver pushes them. Each is looked at on its own: one that is no event is set aside.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn accept_raw(&self, events: &[Box<RawValue>]) -> Result<Accepted, StoreError> {
        let mut batch = self.batch();
        for raw in events {
            let text = raw.get();
            match read(text) {
                Ok(event) => batch.take(event, |_| Ok(text.to_owned())),
                Err(reason) => batch.set_aside(text, &reason),
            }
        }
        self.write(batch, None).await
    }

    /// Takes events that were asked for, and remembers how far the source has been read with them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn accept_events(
        &self,
        events: Vec<Event>,
        cursor: Option<Cursor>,
    ) -> Result<Accepted, StoreError> {
        self.accept_answer(events, &[], cursor).await
    }

    /// The same, with what the client could not read.
    pub(super) async fn accept_answer(
        &self,
        events: Vec<Event>,
        skipped: &[SkippedEvent],
        cursor: Option<Cursor>,
    ) -> Result<Accepted, StoreError> {
        let mut batch = self.batch();
        for skipped in skipped {
            let room = skipped.room_id.as_deref().map_or("no room", |room| room.as_str());
            batch.set_aside(
                &skipped.json.to_string(),
                &format!("in {room}: {}", skipped.reason),
            );
        }
        for event in events {
            match check(&event) {
                Ok(()) => batch.take(event, serde_json::to_string::<Event>),
                Err(reason) => batch.set_aside(&format!("{event:?}"), &reason),
            }
        }
        self.write(batch, cursor).await
    }

    /// Sets something aside that is no list of events at all.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_aside(&self, raw: &str, reason: &str) -> Result<(), StoreError> {
        let mut batch = self.batch();
        batch.set_aside(raw, reason);
        self.write(batch, None).await.map(drop)
    }

    /// How far a source was read; `None` before the first time.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn get_cursor(&self, source: &str) -> Result<Option<String>, StoreError> {
        self.store.get_cursor(source).await
    }

    /// Returns when something came in since the last call; at once, if it did already. For one waiter: of several, one
    /// is woken.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    fn batch(&self) -> Batch<'_> {
        Batch {
            own: &self.own,
            now: self.clock.now(),
            intake: Intake::default(),
            left_out: 0,
        }
    }

    async fn write(&self, batch: Batch<'_>, cursor: Option<Cursor>) -> Result<Accepted, StoreError> {
        let Batch {
            mut intake, left_out, ..
        } = batch;
        intake.cursor = cursor;
        let arrivals = count(intake.arrivals.len());
        let set_aside = count(intake.set_aside.len());
        let mut new = 0;
        if intake != Intake::default() {
            // However this ends: the store may have kept it when the caller is gone, or the answer of the store was
            // lost. Being woken for nothing does no harm.
            let _wake = (arrivals > 0).then_some(Wake(&self.news));
            new = self.store.accept(&intake).await?;
        }
        Ok(Accepted {
            new,
            known: arrivals.saturating_sub(new),
            left_out,
            set_aside,
        })
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Wakes whoever waits when it is dropped.
struct Wake<'a>(&'a Notify);

impl Drop for Wake<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// What is to be written at once.
struct Batch<'a> {
    own: &'a OwnUsers,
    now: Timestamp,
    intake: Intake,
    left_out: u64,
}

impl Batch<'_> {
    fn take(&mut self, event: Event, json: impl FnOnce(&Event) -> serde_json::Result<String>) {
        if !is_relevant(&event, self.own) {
            self.left_out += 1;
            return;
        }
        let json = match json(&event) {
            Ok(json) => json,
            Err(error) => return self.set_aside(&format!("{event:?}"), &error.to_string()),
        };
        let Some(room_id) = event.room_id else {
            return self.set_aside(&json, "it has no room_id");
        };
        self.intake.arrivals.push(Arrival {
            event_id: event.event_id,
            room_id,
            sender: event.sender,
            event: json,
            received_at: self.now,
        });
    }

    fn set_aside(&mut self, raw: &str, reason: &str) {
        tracing::warn!(
            reason,
            "something came in that makes no sense. It is set aside for people to look at"
        );
        self.intake.set_aside.push(SetAside {
            raw: bounded(raw, MAX_SET_ASIDE),
            reason: bounded(reason, MAX_REASON),
            received_at: self.now,
        });
    }
}

/// The event, or why it is none.
fn read(text: &str) -> Result<Event, String> {
    if text.len() > MAX_EVENT {
        return Err(format!("it is longer than {MAX_EVENT} bytes"));
    }
    // A list of the fields' values would be read as well.
    if !text.trim_start().starts_with('{') {
        return Err("it is no JSON object".to_owned());
    }
    let event = serde_json::from_str(text).map_err(|error| error.to_string())?;
    check(&event).map(|()| event)
}

/// What the types of an event do not check, and databases would stumble over.
fn check(event: &Event) -> Result<(), String> {
    let room_id = event.room_id.as_ref().ok_or("it has no room_id")?;
    for (name, id) in [
        ("event_id", event.event_id.as_str()),
        ("room_id", room_id.as_str()),
        ("sender", event.sender.as_str()),
    ] {
        if id.len() > MAX_ID || id.chars().any(char::is_control) {
            return Err(format!("its {name} is no id"));
        }
    }
    if !event.content.is_object() {
        return Err("its content is no JSON object".to_owned());
    }
    Ok(())
}

/// The beginning of a text, without what not every database can keep.
fn bounded(text: &str, max: usize) -> String {
    let beginning = &text[..text.floor_char_boundary(max)];
    beginning.replace('\0', "\u{fffd}")
}
