//! Typing notices, read receipts, and messages to devices.

use serde_json::{Value, json};

use super::{
    homeserver::Homeserver,
    messages::position_of,
    refusal::{Answer, Object, Refusal},
    requester::Requester,
    rooms::{ReceiptKey, Room, StoredReceipt},
};

/// A message to a device that waits to be fetched.
#[derive(Clone, Debug)]
pub(super) struct ToDevice {
    position: u64,
    user_id: String,
    device_id: String,
    event: Value,
}

impl Room {
    pub(super) fn typing_users(&self) -> Vec<&str> {
        self.typing.keys().map(String::as_str).collect()
    }
}

impl Homeserver {
    /// `PUT /rooms/{roomId}/typing/{userId}`; `None` for no longer.
    pub fn set_typing(
        &mut self,
        who: &Requester,
        room_id: &str,
        user_id: &str,
        timeout_ms: Option<u64>,
    ) -> Answer<()> {
        if user_id != who.user_id {
            return Err(Refusal::new(
                400,
                "M_FORBIDDEN",
                "Cannot set another user's typing state",
            ));
        }
        self.joined_room(who, room_id)?;
        let until = timeout_ms.map(|timeout| self.now_ms() + timeout.clamp(1, 120_000));
        let position = self.position + 1;
        let Some(room) = self.rooms.get_mut(room_id) else {
            return Ok(());
        };
        let changed = match until {
            Some(until) => room.typing.insert(user_id.to_owned(), until).is_none(),
            None => room.typing.remove(user_id).is_some(),
        };
        if changed {
            room.typing_position = position;
            let content = json!({ "user_ids": room.typing_users() });
            self.position = position;
            self.queue_ephemeral(room_id, "m.typing", &content);
        }
        Ok(())
    }

    /// Ends typing notices whose time is over. Answers when the next one ends.
    pub(super) fn end_typing(&mut self) -> Option<u64> {
        let now = self.now_ms();
        let mut ended = Vec::new();
        let mut next: Option<u64> = None;
        for room in self.rooms.values_mut() {
            let before = room.typing.len();
            room.typing.retain(|_, until| *until > now);
            if room.typing.len() < before {
                ended.push(room.room_id.clone());
            }
            let first = room.typing.values().min().copied();
            next = [next, first].into_iter().flatten().min();
        }
        for room_id in ended {
            let position = self.touch();
            if let Some(room) = self.rooms.get_mut(&room_id) {
                room.typing_position = position;
                let content = json!({ "user_ids": room.typing_users() });
                self.queue_ephemeral(&room_id, "m.typing", &content);
            }
        }
        next
    }

    /// `POST /rooms/{roomId}/receipt/{receiptType}/{eventId}`. An unknown event is no error.
    pub fn send_receipt(
        &mut self,
        who: &Requester,
        room_id: &str,
        kind: &str,
        event_id: &str,
        thread: Option<&str>,
    ) -> Answer<()> {
        if !matches!(kind, "m.read" | "m.read.private" | "m.fully_read") {
            return Err(Refusal::bad(
                "Receipt type must be m.read.private, m.fully_read, m.read",
            ));
        }
        self.check_receipt(who, room_id, kind, event_id, thread)?;
        if kind == "m.fully_read" {
            let content = [("event_id".to_owned(), json!(event_id))].into_iter().collect();
            self.store_account_data(&who.user_id, room_id, "m.fully_read", content);
            return Ok(());
        }
        let key: ReceiptKey = (
            kind.to_owned(),
            who.user_id.clone(),
            thread.map(ToOwned::to_owned),
        );
        let (now, position) = (self.now_ms(), self.position + 1);
        let Some(room) = self.rooms.get_mut(room_id) else {
            return Ok(());
        };
        let place = |id: &str| room.by_id.get(id).map(|event| event.position);
        let (old, new) = (
            room.receipts.get(&key).and_then(|old| place(&old.event_id)),
            place(event_id),
        );
        // Receipts never go back, and unknown events are passed over in silence.
        if new.is_none() || old.is_some_and(|old| Some(old) >= new) {
            return Ok(());
        }
        let receipt = StoredReceipt {
            event_id: event_id.to_owned(),
            ts: now,
            position,
        };
        let content = receipt_content([(&key, &receipt)]);
        room.receipts.insert(key, receipt);
        self.position = position;
        if kind == "m.read" {
            self.queue_ephemeral(room_id, "m.receipt", &content);
        }
        Ok(())
    }

    /// `PUT /sendToDevice/{eventType}/{txnId}`
    pub fn send_to_device(&mut self, who: &Requester, kind: &str, messages: &Object) {
        for (user_id, devices) in messages {
            for (device_id, content) in devices.as_object().into_iter().flatten() {
                let event = json!({ "type": kind, "sender": who.user_id, "content": content });
                let account = self.accounts.users.get(user_id);
                let known = account
                    .into_iter()
                    .flat_map(|account| account.devices.keys().cloned());
                let targets: Vec<String> = known
                    .filter(|known| device_id == "*" || device_id == known)
                    .collect();
                for device_id in targets {
                    let position = self.touch();
                    let (user_id, event) = (user_id.clone(), event.clone());
                    self.to_device.push(ToDevice {
                        position,
                        user_id,
                        device_id,
                        event,
                    });
                }
            }
        }
    }

    /// Receipts for events that nobody knows are passed over, those of outsiders and for the wrong thread are not.
    fn check_receipt(
        &self,
        who: &Requester,
        room_id: &str,
        kind: &str,
        event_id: &str,
        thread: Option<&str>,
    ) -> Answer<()> {
        let room = self.room(room_id);
        let event = room.and_then(|room| room.by_id.get(event_id));
        let (Some(room), Some(event)) = (room, event) else {
            if kind == "m.fully_read" {
                let words = format!("Could not find event {event_id} in room {room_id}");
                return Err(Refusal::new(404, "M_UNKNOWN", words));
            }
            return Ok(());
        };
        if !room.is_joined(&who.user_id) {
            return Err(Refusal::forbidden(
                "You don't have permission to access that event.",
            ));
        }
        let in_thread = |root: &str| match super::relations::relation(&event.content) {
            _ if event_id == root => true,
            Some((_, parent)) => parent == root,
            None => root == "main",
        };
        match thread {
            Some(root) if !in_thread(root) => Err(Refusal::invalid_param(format!(
                "event_id {event_id} is not related to thread {root}"
            ))),
            _ => Ok(()),
        }
    }

    /// Messages to a device are gone once the device shows the token that came with them.
    pub(super) fn drop_fetched_to_device(&mut self, who: &Requester, since: Option<&str>) {
        let (Some(device_id), Some(Ok(since))) = (&who.device_id, since.map(position_of)) else {
            return;
        };
        self.to_device.retain(|message| {
            message.position > since || message.user_id != who.user_id || message.device_id != *device_id
        });
    }

    pub(super) fn waiting_to_device(&self, who: &Requester, since: Option<u64>) -> Vec<Value> {
        let Some(device_id) = &who.device_id else {
            return Vec::new();
        };
        let waiting = self.to_device.iter().filter(|message| {
            message.position > since.unwrap_or(0)
                && message.user_id == who.user_id
                && message.device_id == *device_id
        });
        waiting.map(|message| message.event.clone()).collect()
    }
}

/// The content of an `m.receipt` event.
pub(super) fn receipt_content<'a>(
    receipts: impl IntoIterator<Item = (&'a ReceiptKey, &'a StoredReceipt)>,
) -> Value {
    let mut content = json!({});
    for ((kind, user_id, thread), receipt) in receipts {
        let mut entry = json!({ "ts": receipt.ts });
        if let Some(thread) = thread {
            entry["thread_id"] = json!(thread);
        }
        content[receipt.event_id.as_str()][kind.as_str()][user_id.as_str()] = entry;
    }
    content
}
