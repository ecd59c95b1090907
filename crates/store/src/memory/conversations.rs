//! The inbox, deliveries and small records.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use jiff::Timestamp;
use ruma::{EventId, OwnedEventId};
use serde_json::Value;

use super::MemoryStore;
use crate::{Delivery, DeliveryStore, InboxEvent, InboxStore, Intake, Lease, NewDelivery, Result, SetAside};

#[derive(Debug, Default)]
pub(super) struct Conversations {
    /// By their place in the order of arrival.
    events: BTreeMap<i64, InboxEvent>,
    places: HashMap<OwnedEventId, i64>,
    undecided: BTreeSet<i64>,
    last_seq: i64,
    set_aside: Vec<SetAside>,
    cursors: BTreeMap<String, String>,
    deliveries: BTreeMap<i64, Delivery>,
    last_delivery: i64,
    /// By kind, then by key.
    records: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Conversations {
    fn accept(&mut self, intake: &Intake) -> u64 {
        let mut new = 0;
        for arrival in &intake.arrivals {
            if self.places.contains_key(&arrival.event_id) {
                continue;
            }
            self.last_seq += 1;
            let seq = self.last_seq;
            self.places.insert(arrival.event_id.clone(), seq);
            self.undecided.insert(seq);
            self.events.insert(
                seq,
                InboxEvent {
                    seq,
                    arrival: arrival.clone(),
                    verdict: None,
                },
            );
            new += 1;
        }
        self.set_aside.extend(intake.set_aside.iter().cloned());
        if let Some(cursor) = &intake.cursor {
            self.cursors
                .insert(cursor.source.clone(), cursor.position.clone());
        }
        new
    }

    fn event(&self, event: &EventId) -> Option<&InboxEvent> {
        self.places.get(event).and_then(|seq| self.events.get(seq))
    }

    fn decide(
        &mut self,
        event: &EventId,
        verdict: &str,
        deliveries: &[NewDelivery],
        now: Timestamp,
    ) -> Vec<Delivery> {
        let Some(decided) = self.places.get(event).and_then(|seq| self.events.get_mut(seq)) else {
            return Vec::new();
        };
        decided.verdict = Some(verdict.to_owned());
        self.undecided.remove(&decided.seq);
        deliveries.iter().map(|new| self.owe(new, now)).collect()
    }

    fn owe(&mut self, new: &NewDelivery, now: Timestamp) -> Delivery {
        let is_same = |present: &&Delivery| {
            let of = &present.of;
            (&of.event_id, &of.agent_id, of.attempt) == (&new.event_id, &new.agent_id, new.attempt)
        };
        if let Some(present) = self.deliveries.values().find(is_same) {
            return present.clone();
        }
        self.last_delivery += 1;
        let delivery = Delivery {
            id: self.last_delivery,
            of: new.clone(),
            is_open: true,
            created_at: now,
            updated_at: now,
        };
        self.deliveries.insert(delivery.id, delivery.clone());
        delivery
    }

    fn forget(&mut self, before: Timestamp) -> u64 {
        let open: BTreeSet<OwnedEventId> = self
            .deliveries
            .values()
            .filter(|delivery| delivery.is_open)
            .map(|delivery| delivery.of.event_id.clone())
            .collect();
        let forgotten: BTreeSet<OwnedEventId> = self
            .events
            .values()
            .filter(|event| event.arrival.received_at < before && event.verdict.is_some())
            .map(|event| event.arrival.event_id.clone())
            .filter(|event| !open.contains(event))
            .collect();
        self.events
            .retain(|_, event| !forgotten.contains(&event.arrival.event_id));
        self.places.retain(|event, _| !forgotten.contains(event));
        self.deliveries
            .retain(|_, delivery| !forgotten.contains(&delivery.of.event_id));
        self.set_aside.retain(|set_aside| set_aside.received_at >= before);
        forgotten.len() as u64
    }
}

#[async_trait]
impl InboxStore for MemoryStore {
    async fn accept(&self, intake: &Intake) -> Result<u64> {
        Ok(self.state().conversations.accept(intake))
    }

    async fn get_cursor(&self, source: &str) -> Result<Option<String>> {
        Ok(self.state().conversations.cursors.get(source).cloned())
    }

    async fn list_undecided(&self, limit: u32) -> Result<Vec<InboxEvent>> {
        let state = self.state();
        let inbox = &state.conversations;
        Ok(inbox
            .undecided
            .iter()
            .filter_map(|seq| inbox.events.get(seq))
            .take(limit as usize)
            .cloned()
            .collect())
    }

    async fn get_event(&self, event: &EventId) -> Result<Option<InboxEvent>> {
        Ok(self.state().conversations.event(event).cloned())
    }

    async fn decide(
        &self,
        event: &EventId,
        verdict: &str,
        deliveries: &[NewDelivery],
        now: Timestamp,
        lease: &Lease,
    ) -> Result<Vec<Delivery>> {
        let mut state = self.state();
        state.fence(lease)?;
        Ok(state.conversations.decide(event, verdict, deliveries, now))
    }

    async fn list_set_aside(&self, limit: u32) -> Result<Vec<SetAside>> {
        let state = self.state();
        let newest = state.conversations.set_aside.iter().rev();
        Ok(newest.take(limit as usize).cloned().collect())
    }

    async fn forget_events(&self, before: Timestamp, lease: &Lease) -> Result<u64> {
        let mut state = self.state();
        state.fence(lease)?;
        Ok(state.conversations.forget(before))
    }
}

#[async_trait]
impl DeliveryStore for MemoryStore {
    async fn list_open_deliveries(&self) -> Result<Vec<Delivery>> {
        let state = self.state();
        let deliveries = state.conversations.deliveries.values();
        Ok(deliveries.filter(|delivery| delivery.is_open).cloned().collect())
    }

    async fn list_deliveries_of(&self, event: &EventId) -> Result<Vec<Delivery>> {
        let state = self.state();
        let deliveries = state.conversations.deliveries.values();
        Ok(deliveries
            .filter(|delivery| delivery.of.event_id == event)
            .cloned()
            .collect())
    }

    async fn get_delivery(&self, id: i64) -> Result<Option<Delivery>> {
        Ok(self.state().conversations.deliveries.get(&id).cloned())
    }

    async fn put_delivery(&self, delivery: &Delivery, lease: &Lease) -> Result<()> {
        let mut state = self.state();
        state.fence(lease)?;
        if let Some(present) = state.conversations.deliveries.get_mut(&delivery.id) {
            present.of.record = delivery.of.record.clone();
            present.is_open = delivery.is_open;
            present.updated_at = delivery.updated_at;
        }
        Ok(())
    }

    async fn get_record(&self, kind: &str, key: &str) -> Result<Option<Value>> {
        let state = self.state();
        let records = state.conversations.records.get(kind);
        Ok(records.and_then(|records| records.get(key)).cloned())
    }

    async fn list_records(&self, kind: &str) -> Result<Vec<(String, Value)>> {
        let state = self.state();
        let records = state.conversations.records.get(kind).into_iter().flatten();
        Ok(records
            .map(|(key, record)| (key.clone(), record.clone()))
            .collect())
    }

    #[allow(
        clippy::needless_lifetimes,
        reason = "the lifetime of an optional reference is spelled out for mocks"
    )]
    async fn put_record<'a>(
        &self,
        kind: &str,
        key: &str,
        record: Option<&'a Value>,
        lease: &Lease,
    ) -> Result<()> {
        let mut state = self.state();
        state.fence(lease)?;
        let records = state.conversations.records.entry(kind.to_owned()).or_default();
        match record {
            Some(record) => records.insert(key.to_owned(), record.clone()),
            None => records.remove(key),
        };
        Ok(())
    }
}
