//! What application services are to be told.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{
    appservice::Appservice,
    events::Show,
    homeserver::Homeserver,
    rooms::{Room, StoredEvent},
};

/// The most events in a transaction.
const MOST_EVENTS: usize = 100;

/// A transaction for an application service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Transaction {
    pub(super) id: u64,
    pub(super) body: Value,
}

/// What waits for all application services.
#[derive(Debug, Default)]
pub(super) struct Queues {
    queues: BTreeMap<String, Queue>,
    last_id: u64,
}

/// How long the queues were at a moment; see [`Queues::rewind`].
pub(super) struct Mark {
    lengths: BTreeMap<String, [usize; 3]>,
    last_id: u64,
}

impl Queues {
    pub(super) fn mark(&self) -> Mark {
        let lengths = |queue: &Queue| {
            [
                queue.events.len(),
                queue.unknown_users.len(),
                queue.transactions.len(),
            ]
        };
        Mark {
            lengths: self
                .queues
                .iter()
                .map(|(id, queue)| (id.clone(), lengths(queue)))
                .collect(),
            last_id: self.last_id,
        }
    }

    /// Forgets the events queued since the mark, if nothing was delivered or packed for a delivery in between. While
    /// a service is down each event is packed at once and alone, so here too only what came last goes.
    pub(super) fn rewind(&mut self, mark: &Mark) {
        for (id, queue) in &mut self.queues {
            let [events, users, transactions] = mark.lengths.get(id).copied().unwrap_or_default();
            queue.events.truncate(events);
            queue.unknown_users.truncate(users);
            queue.transactions.truncate(transactions);
        }
        self.last_id = mark.last_id;
    }
}

#[derive(Debug, Default)]
struct Queue {
    /// Not in a transaction yet.
    events: Vec<Arc<StoredEvent>>,
    ephemeral: Vec<Value>,
    /// Users of its namespace that were invited and do not exist.
    unknown_users: VecDeque<String>,
    transactions: VecDeque<Transaction>,
    /// The last delivery failed: from now on each event is a transaction of its own, and what is ephemeral is lost.
    down: bool,
}

impl Homeserver {
    /// Queues an event for all application services that have to do with it.
    pub(super) fn queue_event(&mut self, event: &Arc<StoredEvent>) {
        let Some(room) = self.rooms.get(&event.room_id) else {
            return;
        };
        let interested: Vec<String> = self
            .appservices
            .iter()
            .filter(|appservice| appservice.is_pushed_to && self.concerns(appservice, room, Some(event)))
            .map(|appservice| appservice.id.clone())
            .collect();
        for id in interested {
            let down = self.queues.queues.entry(id.clone()).or_default().down;
            if let Some(queue) = self.queues.queues.get_mut(&id) {
                queue.events.push(Arc::clone(event));
            }
            if down {
                self.pack(&id);
            }
        }
        self.ask_for_unknown_user(event);
    }

    fn ask_for_unknown_user(&mut self, event: &StoredEvent) {
        let Some(user_id) = event.state_key.as_ref().filter(|_| event.kind == "m.room.member") else {
            return;
        };
        if self.accounts.users.contains_key(user_id) {
            return;
        }
        let owner = self.appservices.iter().find(|appservice| {
            appservice.is_pushed_to && appservice.sender != *user_id && appservice.has_user(user_id)
        });
        if let Some(id) = owner.map(|appservice| appservice.id.clone()) {
            self.queues
                .queues
                .entry(id)
                .or_default()
                .unknown_users
                .push_back(user_id.clone());
        }
    }

    /// The next user that an application service is to be asked about.
    pub(super) fn next_unknown_user(&mut self, id: &str) -> Option<String> {
        self.queues.queues.get_mut(id)?.unknown_users.pop_front()
    }

    pub(super) fn queue_ephemeral(&mut self, room_id: &str, kind: &str, content: &Value) {
        let Some(room) = self.rooms.get(room_id) else {
            return;
        };
        let interested: Vec<String> = self
            .appservices
            .iter()
            .filter(|appservice| appservice.is_pushed_to && appservice.receive_ephemeral)
            .filter(|appservice| self.concerns(appservice, room, None))
            .map(|appservice| appservice.id.clone())
            .collect();
        for id in interested {
            let queue = self.queues.queues.entry(id).or_default();
            if !queue.down {
                queue
                    .ephemeral
                    .push(json!({ "type": kind, "room_id": room_id, "content": content }));
            }
        }
    }

    /// Whether an application service is told of what happens in a room: it has the room, one of its aliases, a
    /// member, or to do with the event itself.
    fn concerns(&self, appservice: &Appservice, room: &Room, event: Option<&StoredEvent>) -> bool {
        let about_user = |event: &StoredEvent| {
            let target = event
                .state_key
                .as_deref()
                .filter(|_| event.kind == "m.room.member");
            appservice.has_user(&event.sender) || target.is_some_and(|target| appservice.has_user(target))
        };
        event.is_some_and(about_user)
            || appservice.has_room(&room.room_id)
            || room
                .members("join")
                .any(|(user_id, _)| appservice.has_user(user_id))
            || self
                .aliases_of(&room.room_id)
                .iter()
                .any(|alias| appservice.has_alias(alias))
    }

    /// Puts what waits into a transaction.
    fn pack(&mut self, id: &str) {
        let Some(queue) = self.queues.queues.get_mut(id) else {
            return;
        };
        let count = queue.events.len().min(MOST_EVENTS);
        let events: Vec<Arc<StoredEvent>> = queue.events.drain(..count).collect();
        let ephemeral: Vec<Value> = queue
            .ephemeral
            .drain(..queue.ephemeral.len().min(MOST_EVENTS))
            .collect();
        if events.is_empty() && ephemeral.is_empty() {
            return;
        }
        let shown: Vec<Value> = events
            .iter()
            .filter_map(|event| Some((self.rooms.get(&event.room_id)?, event)))
            .map(|(room, event)| Value::Object(self.show(room, event, Show::push())))
            .collect();
        self.queues.last_id += 1;
        let transaction = Transaction {
            id: self.queues.last_id,
            body: json!({ "events": shown, "ephemeral": ephemeral }),
        };
        if let Some(queue) = self.queues.queues.get_mut(id) {
            queue.transactions.push_back(transaction);
        }
    }

    /// The transaction to deliver next: always the same one until it is delivered.
    pub(super) fn next_transaction(&mut self, id: &str) -> Option<Transaction> {
        if self.queues.queues.get(id)?.transactions.is_empty() {
            self.pack(id);
        }
        self.queues.queues.get(id)?.transactions.front().cloned()
    }

    /// Takes a delivered transaction off the queue.
    pub(super) fn delivered(&mut self, id: &str, transaction: u64) {
        let Some(queue) = self.queues.queues.get_mut(id) else {
            return;
        };
        if queue
            .transactions
            .front()
            .is_some_and(|front| front.id == transaction)
        {
            queue.transactions.pop_front();
        }
        if queue.transactions.is_empty() {
            queue.down = false;
        }
    }

    /// Keeps a transaction for later, without what is ephemeral.
    pub(super) fn not_delivered(&mut self, id: &str) {
        let Some(queue) = self.queues.queues.get_mut(id) else {
            return;
        };
        queue.down = true;
        queue.ephemeral.clear();
        for transaction in &mut queue.transactions {
            transaction.body["ephemeral"] = json!([]);
        }
        while self
            .queues
            .queues
            .get(id)
            .is_some_and(|queue| !queue.events.is_empty())
        {
            self.pack(id);
        }
    }

    /// How many events an application service has not got yet.
    pub(super) fn backlog(&self, id: &str) -> usize {
        let Some(queue) = self.queues.queues.get(id) else {
            return 0;
        };
        let packed = queue
            .transactions
            .iter()
            .filter_map(|transaction| transaction.body["events"].as_array());
        queue.events.len() + packed.map(Vec::len).sum::<usize>()
    }
}
