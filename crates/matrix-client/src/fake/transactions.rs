//! Transaction ids: what was sent with which, and for how long that is known.

use std::collections::BTreeMap;

use super::requester::Requester;

/// How long Synapse keeps answers in memory.
const MEMORY_MS: u64 = 30 * 60 * 1000;

/// Synapse remembers twice: in memory by path and owner, where an application service is one owner whomever it speaks
/// for, and in its database by room, user and device, where there is a device.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    memory: BTreeMap<(String, String), (String, u64)>,
    database: BTreeMap<DatabaseKey, String>,
}

/// Room, user, device and transaction id.
type DatabaseKey = (String, String, String, String);

impl Transactions {
    /// The event that was sent with this transaction id before.
    pub(super) fn find(
        &self,
        who: &Requester,
        path: &str,
        room_id: &str,
        id: &str,
        now: u64,
    ) -> Option<String> {
        let remembered = self.memory.get(&(path.to_owned(), owner(who)));
        let remembered = remembered.filter(|(_, since)| now.saturating_sub(*since) <= MEMORY_MS);
        if let Some((event_id, _)) = remembered {
            return Some(event_id.clone());
        }
        self.database.get(&database_key(who, room_id, id)?).cloned()
    }

    pub(super) fn remember(
        &mut self,
        who: &Requester,
        path: &str,
        room_id: &str,
        id: &str,
        event_id: &str,
        now: u64,
    ) {
        self.memory
            .insert((path.to_owned(), owner(who)), (event_id.to_owned(), now));
        if let Some(key) = database_key(who, room_id, id) {
            self.database.insert(key, event_id.to_owned());
        }
    }

    pub(super) fn forget_memory(&mut self) {
        self.memory.clear();
    }
}

fn owner(who: &Requester) -> String {
    match (&who.appservice_id, &who.device_id) {
        (Some(appservice_id), _) => format!("appservice {appservice_id}"),
        (None, Some(device_id)) => format!("{} {device_id}", who.user_id),
        (None, None) => who.user_id.clone(),
    }
}

fn database_key(who: &Requester, room_id: &str, id: &str) -> Option<DatabaseKey> {
    let device_id = who.device_id.as_ref()?;
    Some((
        room_id.to_owned(),
        who.user_id.clone(),
        device_id.clone(),
        id.to_owned(),
    ))
}
