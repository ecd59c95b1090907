//! An inbox that shows what is in it, and fails as it is told.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;
use jiff::Timestamp;
use ruma::EventId;
use serde_json::Value;
use store::{
    Arrival, Delivery, InboxEvent, InboxStore, Intake, Lease, NewDelivery, SetAside, StoreError,
    StoreErrorKind,
};

#[derive(Debug, Default)]
pub struct TestInbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    arrivals: Vec<Arrival>,
    aside: Vec<SetAside>,
    cursors: BTreeMap<String, String>,
    writes: u32,
    fails_before: u32,
    fails_after: u32,
}

impl TestInbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The next writes fail and keep nothing.
    pub fn fail_before(&self, times: u32) {
        self.state().fails_before = times;
    }

    /// The next writes are kept, and fail all the same.
    pub fn fail_after(&self, times: u32) {
        self.state().fails_after = times;
    }

    pub fn arrivals(&self) -> Vec<Arrival> {
        self.state().arrivals.clone()
    }

    pub fn aside(&self) -> Vec<SetAside> {
        self.state().aside.clone()
    }

    /// What the messages in it say.
    pub fn bodies(&self) -> Vec<String> {
        let state = self.state();
        let events = state
            .arrivals
            .iter()
            .map(|arrival| serde_json::from_str::<Value>(&arrival.event).unwrap());
        events
            .filter_map(|event| Some(event["content"]["body"].as_str()?.to_owned()))
            .collect()
    }

    pub fn cursor(&self, source: &str) -> Option<String> {
        self.state().cursors.get(source).cloned()
    }

    pub fn set_cursor(&self, source: &str, position: &str) {
        self.state()
            .cursors
            .insert(source.to_owned(), position.to_owned());
    }

    pub fn writes(&self) -> u32 {
        self.state().writes
    }
}

fn failed() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the disk is full")
}

#[async_trait]
impl InboxStore for TestInbox {
    async fn accept(&self, intake: &Intake) -> store::Result<u64> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        state.writes += 1;
        if let Some(rest) = state.fails_before.checked_sub(1) {
            state.fails_before = rest;
            return Err(failed());
        }
        let mut new = 0;
        for arrival in &intake.arrivals {
            let is_known = |known: &Arrival| known.event_id == arrival.event_id;
            if !state.arrivals.iter().any(is_known) {
                state.arrivals.push(arrival.clone());
                new += 1;
            }
        }
        state.aside.extend(intake.set_aside.iter().cloned());
        if let Some(cursor) = &intake.cursor {
            state
                .cursors
                .insert(cursor.source.clone(), cursor.position.clone());
        }
        if let Some(rest) = state.fails_after.checked_sub(1) {
            state.fails_after = rest;
            return Err(failed());
        }
        Ok(new)
    }

    async fn get_cursor(&self, source: &str) -> store::Result<Option<String>> {
        Ok(self.cursor(source))
    }

    async fn list_undecided(&self, _limit: u32) -> store::Result<Vec<InboxEvent>> {
        panic!("ways in do not look into the inbox")
    }

    async fn get_event(&self, _event: &EventId) -> store::Result<Option<InboxEvent>> {
        panic!("ways in do not look into the inbox")
    }

    async fn decide(
        &self,
        _event: &EventId,
        _verdict: &str,
        _deliveries: &[NewDelivery],
        _now: Timestamp,
        _lease: &Lease,
    ) -> store::Result<Vec<Delivery>> {
        panic!("ways in decide nothing")
    }

    async fn list_set_aside(&self, _limit: u32) -> store::Result<Vec<SetAside>> {
        Ok(self.aside())
    }

    async fn forget_events(&self, _before: Timestamp, _lease: &Lease) -> store::Result<u64> {
        panic!("ways in forget nothing")
    }
}
