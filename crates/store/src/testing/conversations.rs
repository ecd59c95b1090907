//! What conversations write.

use jiff::Timestamp;
use letta_client::AgentId;
use ruma::{EventId, OwnedEventId};
use serde_json::{Value, json};

use super::samples::{LATER, NOON, room, user};
use crate::{
    Arrival, ConversationStore, Cursor, Delivery, InboxEvent, InboxStore, Intake, Lease, NewDelivery,
    SetAside,
};

/// Characters that stores and their formats treat in their own ways, in JSON. NUL is there as JSON writes it.
pub(super) const ODD: &str = r#"{"body":"🦀 it's \"odd\" \\ % _ \u0000 \ud83e\udd80\n","n":1.50}"#;

pub(super) fn event_id(n: u32) -> OwnedEventId {
    EventId::parse(format!("$event-{n}")).expect("a valid event id")
}

/// An event that came in at noon.
pub(super) fn arrival(n: u32) -> Arrival {
    Arrival {
        event_id: event_id(n),
        room_id: room("room:matrix.test"),
        sender: user("ann"),
        event: format!(r#"{{"n":{n}}}"#),
        received_at: NOON,
    }
}

pub(super) fn set_aside(reason: &str) -> SetAside {
    SetAside {
        raw: "{\"🦀': ".to_owned(),
        reason: reason.to_owned(),
        received_at: NOON,
    }
}

pub(super) fn cursor(source: &str, position: &str) -> Cursor {
    Cursor {
        source: source.to_owned(),
        position: position.to_owned(),
    }
}

/// An intake of these events alone.
pub(super) fn intake(events: impl IntoIterator<Item = u32>) -> Intake {
    Intake {
        arrivals: events.into_iter().map(arrival).collect(),
        ..Intake::default()
    }
}

/// The first attempt to deliver an event to an agent.
pub(super) fn owed(event: u32, agent: &str) -> NewDelivery {
    NewDelivery {
        event_id: event_id(event),
        agent_id: AgentId::new(agent),
        attempt: 0,
        lane: format!("lane of {agent}"),
        room_id: room("room:matrix.test"),
        record: json!({ "state": "new", "body": "🦀 'odd' \"\0\" \\" }),
    }
}

/// A record that takes a megabyte.
pub(super) fn megabyte() -> Value {
    json!({ "body": "🦀\"".repeat(200_000) })
}

/// The numbers of the events about which nothing was decided.
pub(super) async fn undecided(store: &impl InboxStore, limit: u32) -> Vec<OwnedEventId> {
    ids(store.list_undecided(limit).await.unwrap())
}

pub(super) fn ids(events: Vec<InboxEvent>) -> Vec<OwnedEventId> {
    events.into_iter().map(|event| event.arrival.event_id).collect()
}

/// Takes in an event, decides to deliver it to an agent, and answers the delivery.
pub(super) async fn delivered(
    store: &impl ConversationStore,
    lease: &Lease,
    event: u32,
    agent: &str,
) -> Delivery {
    store.accept(&intake([event])).await.unwrap();
    let deliveries = store
        .decide(&event_id(event), "forward", &[owed(event, agent)], NOON, lease)
        .await
        .unwrap();
    let [delivery] = <[Delivery; 1]>::try_from(deliveries).unwrap();
    delivery
}

/// The delivery when it is done.
pub(super) fn done(delivery: Delivery) -> Delivery {
    Delivery {
        of: NewDelivery {
            record: json!({ "state": "done" }),
            ..delivery.of
        },
        is_open: false,
        updated_at: LATER,
        ..delivery
    }
}

pub(super) fn before(time: Timestamp) -> Timestamp {
    time - std::time::Duration::from_nanos(1)
}

pub(super) fn after(time: Timestamp) -> Timestamp {
    time + std::time::Duration::from_nanos(1)
}
