use proptest::prelude::*;
use ruma::{
    MilliSecondsSinceUnixEpoch, events::TimelineEventType, owned_event_id, owned_room_id, owned_user_id,
};
use serde_json::json;

use super::*;

mod anything;
mod people;
mod rows;

const ANN: &str = "@ann:matrix.test";
const ALPHA: &str = "@agent_001:matrix.test";
const BETA: &str = "@agent_002:matrix.test";

fn resident(number: &str, name: &str) -> Resident {
    Resident {
        agent_id: format!("agent-{number}").into(),
        agent_name: name.to_owned(),
        user_id: format!("@agent_{number}:matrix.test").try_into().unwrap(),
    }
}

/// A room of both agents that belongs to neither.
fn group(mode: Option<Mode>) -> Room {
    let mut room = Room::new(owned_room_id!("!group:matrix.test"));
    room.residents = vec![resident("001", "Agent Alpha"), resident("002", "Agent Beta")];
    room.settings.mode = mode;
    room
}

/// The room of the first agent.
fn home() -> Room {
    let mut room = group(None);
    room.home_of = Some("agent-001".into());
    room.residents.truncate(1);
    room
}

fn own() -> Own {
    Own::new(owned_user_id!("@letta_bot:matrix.test"), "agent_")
        .with_agent(ALPHA.try_into().unwrap(), "agent-001")
        .with_agent(BETA.try_into().unwrap(), "agent-002")
}

fn rights() -> Rights {
    let mut rights = Rights::default();
    rights.allow_user(ANN.try_into().unwrap(), Right::Talk);
    rights.allow_user(owned_user_id!("@judge:matrix.test"), Right::Approve);
    rights.allow_user(owned_user_id!("@chief:matrix.test"), Right::Command);
    rights.allow_user(owned_user_id!("@boss:matrix.test"), Right::Admin);
    rights
}

fn event(sender: &str, event_type: &str, content: Value) -> Event {
    Event::new(
        owned_event_id!("$one"),
        sender.try_into().unwrap(),
        TimelineEventType::from(event_type),
        MilliSecondsSinceUnixEpoch(1u8.into()),
        content,
    )
}

fn decided_at(event: &Event, room: Option<&Room>, age: Duration) -> Decision {
    let limits = Limits {
        max_text_bytes: 100,
        max_hops: 2,
        ..Limits::default()
    };
    decide(event, room, &own(), &rights(), &Defaults::default(), &limits, age)
}

fn decided(event: &Event, room: &Room) -> Decision {
    decided_at(event, Some(room), Duration::ZERO)
}

fn says(sender: &str, content: Value, room: &Room) -> Decision {
    decided(&event(sender, "m.room.message", content), room)
}

fn text(body: &str) -> Value {
    json!({ "msgtype": "m.text", "body": body })
}

/// The only agent that hears it.
fn heard(decision: Decision) -> Forward {
    match decision {
        Decision::Forward(mut forwards) if forwards.len() == 1 => forwards.remove(0),
        other => panic!("{other:?}"),
    }
}

/// Who hears it, as `001` and, of those who only listen, `(001)`.
fn hearers(decision: &Decision) -> String {
    let Decision::Forward(forwards) = decision else {
        return format!("{decision:?}");
    };
    let name = |forward: &Forward| {
        let number = forward.agent.as_str().trim_start_matches("agent-");
        if forward.quiet {
            format!("({number})")
        } else {
            number.to_owned()
        }
    };
    forwards.iter().map(name).collect::<Vec<_>>().join(" ")
}
