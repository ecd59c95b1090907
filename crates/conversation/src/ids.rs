//! Ids that are derived, so that the same thing done twice has the same id.

use letta_client::{AgentId, Otid};
use ruma::{EventId, OwnedTransactionId};
use uuid::{Uuid, uuid};

/// Ours alone: ids made in it meet nobody else's.
const NAMESPACE: Uuid = uuid!("5f3e3c0e-7d0b-4b69-9c46-0d1f8a3a6c52");

/// The id under which Letta keeps a message that was sent for an event, one for each time somebody asked to try again.
pub(crate) fn otid(event_id: &EventId, attempt: u32) -> Otid {
    let id = match attempt {
        0 => Uuid::new_v5(&NAMESPACE, event_id.as_bytes()),
        _ => Uuid::new_v5(&NAMESPACE, format!("{event_id}\0{attempt}").as_bytes()),
    };
    Otid::new(id.to_string())
}

/// What the transaction ids of one delivery begin with. A homeserver remembers them per application service and room,
/// whoever of its users speaks: so the agent is part of it.
pub(crate) fn delivery(event_id: &EventId, agent: &AgentId, attempt: u32) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{event_id}\0{agent}\0{attempt}").as_bytes())
}

/// The transaction id of one thing that is said because of a delivery.
pub(crate) fn transaction(delivery: &Uuid, key: &str) -> OwnedTransactionId {
    format!("{delivery}.{key}").into()
}

#[cfg(test)]
mod tests {
    use ruma::event_id;

    use super::*;

    #[test]
    fn the_same_event_has_the_same_id_for_ever() {
        // Written down: a new version must find what an older one sent.
        assert_eq!(
            otid(event_id!("$one"), 0).as_str(),
            "cc7d966c-635a-5b81-b1a6-99da9d3fa70d"
        );
        assert_ne!(otid(event_id!("$one"), 0), otid(event_id!("$two"), 0));
        assert_ne!(otid(event_id!("$one"), 0), otid(event_id!("$one"), 1));
        assert_ne!(otid(event_id!("$one"), 1), otid(event_id!("$one"), 2));
    }

    #[test]
    fn agents_attempts_and_keys_are_apart() {
        let (event, one, two) = (
            event_id!("$one"),
            AgentId::new("agent-1"),
            AgentId::new("agent-2"),
        );
        let ids = [
            transaction(&delivery(event, &one, 0), "answer.0"),
            transaction(&delivery(event, &one, 0), "answer.1"),
            transaction(&delivery(event, &one, 1), "answer.0"),
            transaction(&delivery(event, &two, 0), "answer.0"),
        ];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}
