//! What is known about rooms.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use jiff::Timestamp;
use letta_client::AgentId;
use ruma::{OwnedRoomId, RoomId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Binding, ConversationStore, Lease, Lifecycle, StoreError};

use crate::{
    room::{Own, Resident, Room},
    settings::RoomSettings,
};

/// The kind of the records that rooms are kept as.
const ROOM: &str = "room";

/// What is remembered of a room, besides whose home it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct RoomRecord {
    pub(super) name: Option<String>,
    /// The agents that came into it, other than the one that it belongs to.
    pub(super) guests: BTreeSet<AgentId>,
    pub(super) is_direct: bool,
    pub(super) is_encrypted: bool,
    /// Whether people there were told that encrypted messages cannot be read.
    pub(super) told_encrypted: bool,
    /// The content of the settings event.
    pub(super) settings: Value,
}

/// All rooms that are known.
#[derive(Debug)]
pub(super) struct Rooms {
    pub(super) own: Own,
    agents: HashMap<AgentId, Resident>,
    homes: HashMap<OwnedRoomId, AgentId>,
    records: HashMap<OwnedRoomId, RoomRecord>,
    admin_room: Option<OwnedRoomId>,
    read_at: Timestamp,
}

impl Rooms {
    pub(super) async fn load(
        store: &dyn ConversationStore,
        own: Own,
        admin_room: Option<OwnedRoomId>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let records = store.list_records(ROOM).await?;
        let records = records.into_iter().filter_map(|(key, record)| {
            let room = OwnedRoomId::try_from(key).ok()?;
            Some((room, serde_json::from_value(record).ok()?))
        });
        let mut rooms = Self {
            own,
            agents: HashMap::new(),
            homes: HashMap::new(),
            records: records.collect(),
            admin_room,
            read_at: now,
        };
        rooms.take(store.list_bindings().await?);
        Ok(rooms)
    }

    /// Reads whose room is whose again, and what agents are called, unless what is known is younger than this.
    pub(super) async fn refresh(
        &mut self,
        store: &dyn ConversationStore,
        now: Timestamp,
        age: Duration,
    ) -> Result<(), StoreError> {
        if now.duration_since(self.read_at).unsigned_abs() >= age {
            self.take(store.list_bindings().await?);
            self.read_at = now;
        }
        Ok(())
    }

    fn take(&mut self, bindings: Vec<Binding>) {
        self.homes.clear();
        for binding in bindings {
            self.own
                .agents
                .insert(binding.user_id.clone(), binding.agent_id.clone());
            if matches!(binding.lifecycle, Lifecycle::Archived { .. }) {
                self.agents.remove(&binding.agent_id);
                continue;
            }
            if let Some(room) = binding.room_id {
                self.homes.insert(room, binding.agent_id.clone());
            }
            self.agents.insert(
                binding.agent_id.clone(),
                Resident {
                    agent_id: binding.agent_id,
                    agent_name: binding.display_name.unwrap_or(binding.agent_name),
                    user_id: binding.user_id,
                },
            );
        }
    }

    /// Whether anything is known of the room.
    pub(super) fn is_known(&self, room: &RoomId) -> bool {
        self.homes.contains_key(room)
            || self.records.contains_key(room)
            || self.admin_room.as_deref() == Some(room)
    }

    /// Whether the room is an agent's home as far as is known.
    pub(super) fn is_home(&self, room: &RoomId) -> bool {
        self.homes.contains_key(room)
    }

    /// Whether an agent came into the room that has no home as far as is known: this may become it.
    pub(super) fn may_become_home(&self, room: &RoomId) -> bool {
        self.records.get(room).is_some_and(|record| {
            let mut guests = record.guests.iter();
            guests.any(|guest| !self.homes.values().any(|agent| agent == guest))
        })
    }

    /// What is known of a room.
    pub(super) fn get(&self, room_id: &RoomId) -> Option<Room> {
        if !self.is_known(room_id) {
            return None;
        }
        let record = self.records.get(room_id).cloned().unwrap_or_default();
        let home_of = self.homes.get(room_id).cloned();
        let inhabitants = home_of.iter().chain(
            record
                .guests
                .iter()
                .filter(|guest| home_of.as_ref() != Some(*guest)),
        );
        Some(Room {
            name: record.name,
            residents: inhabitants
                .filter_map(|agent| self.agents.get(agent).cloned())
                .collect(),
            home_of,
            is_direct: record.is_direct,
            is_encrypted: record.is_encrypted,
            settings: RoomSettings::from_content(&record.settings),
            is_admin_room: self.admin_room.as_deref() == Some(room_id),
            ..Room::new(room_id.to_owned())
        })
    }

    /// An agent, wherever it is.
    pub(super) fn agent(&self, agent: &AgentId) -> Option<&Resident> {
        self.agents.get(agent)
    }

    /// Whether people in the room were told that encrypted messages cannot be read.
    pub(super) fn told_encrypted(&self, room: &RoomId) -> bool {
        self.records.get(room).is_some_and(|record| record.told_encrypted)
    }

    /// Changes what is remembered of a room, and writes it down.
    pub(super) async fn change(
        &mut self,
        room: &RoomId,
        store: &dyn ConversationStore,
        lease: &Lease,
        change: impl FnOnce(&mut RoomRecord),
    ) -> Result<(), StoreError> {
        let before = self.records.get(room).cloned().unwrap_or_default();
        let mut record = before.clone();
        change(&mut record);
        if record == before {
            return Ok(());
        }
        let is_needless = record.guests.is_empty() && !self.homes.contains_key(room);
        let json = serde_json::to_value(&record).unwrap_or_default();
        store
            .put_record(ROOM, room.as_str(), (!is_needless).then_some(&json), lease)
            .await?;
        if is_needless {
            self.records.remove(room);
        } else {
            self.records.insert(room.to_owned(), record);
        }
        Ok(())
    }
}
