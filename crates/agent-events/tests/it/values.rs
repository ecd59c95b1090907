//! Ids, excerpts, names.

use std::time::Duration;

use agent_events::{AgentState, EventId, EventKind, EventType, Excerpt, Expiry, testing::every_kind};
use proptest::prelude::*;
use serde_json::json;

#[test]
fn ids_are_compared_as_numbers() {
    let ids = ["0-1", "9-10", "10-9", "10-10", "18446744073709551615-0"];
    let parsed: Vec<EventId> = ids.iter().map(|id| id.parse().unwrap()).collect();
    assert!(parsed.is_sorted_by(|a, b| EventId::ZERO < *a && a < b));
    assert!(
        ids.iter()
            .eq(parsed.iter().map(ToString::to_string).collect::<Vec<_>>().iter())
    );
}

#[test]
fn what_is_no_id_is_refused() {
    for text in [
        "",
        "-",
        "1",
        "1-",
        "-1",
        "+1-1",
        "1-+1",
        "1- 1",
        "1-1-1",
        "a-1",
        "1-18446744073709551616",
        "١-1",
        "*",
        "$",
    ] {
        assert!(text.parse::<EventId>().is_err(), "{text:?}");
        assert!(
            serde_json::from_value::<EventId>(json!(text)).is_err(),
            "{text:?}"
        );
    }
}

#[test]
fn every_type_has_the_name_that_it_has_in_events() {
    for kind in every_kind() {
        let name = serde_json::to_value(&kind).unwrap()["type"].clone();
        assert_eq!(name, kind.event_type().as_str());
        assert_eq!(name, serde_json::to_value(kind.event_type()).unwrap());
    }
    for known in EventType::ALL {
        assert_eq!(known.as_str().parse(), Ok(*known));
        assert!(
            every_kind().iter().any(|kind| kind.event_type() == *known),
            "no sample of {known}"
        );
    }
    assert!("agent_danced".parse::<EventType>().is_err());
}

#[test]
fn what_others_wrote_too_long_is_cut_when_it_is_read() {
    let long = json!({ "type": "message_delta", "data": { "text": { "text": "a".repeat(5_000), "omitted_bytes": 6 } } });
    let EventKind::MessageDelta { text } = serde_json::from_value(long).unwrap() else {
        panic!("another kind");
    };
    assert_eq!(
        (text.text().len(), text.omitted_bytes()),
        (Excerpt::MAX_BYTES, 910)
    );
}

#[test]
fn a_state_is_named_beside_what_it_holds() {
    let in_tool = AgentState::InTool {
        tool_name: "search".to_owned(),
    };
    assert_eq!(
        serde_json::to_value([&AgentState::AwaitingApproval, &in_tool]).unwrap(),
        json!([{ "state": "awaiting_approval" }, { "state": "in_tool", "tool_name": "search" }])
    );
}

#[test]
fn only_what_waits_for_a_person_is_believed_for_long() {
    let expiry = Expiry::default();
    assert!(expiry.of(&AgentState::Thinking) < Duration::from_mins(10));
    assert_eq!(expiry.of(&AgentState::AwaitingApproval), expiry.awaiting);
}

proptest! {
    #[test]
    fn an_id_comes_back_from_its_text(millis: u64, number: u64) {
        let id = EventId::new(millis, number);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        prop_assert_eq!(serde_json::from_str::<EventId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
    }

    #[test]
    fn an_excerpt_is_the_beginning(text in "[aé𝄞\n]{0,6000}") {
        let excerpt = Excerpt::new(text.as_str());
        prop_assert!(text.starts_with(excerpt.text()));
        prop_assert!(excerpt.text().len() <= Excerpt::MAX_BYTES);
        prop_assert_eq!(excerpt.text().len() as u64 + excerpt.omitted_bytes(), text.len() as u64);
        prop_assert!(excerpt.omitted_bytes() == 0 || excerpt.text().len() > Excerpt::MAX_BYTES - 4);
        let json = serde_json::to_string(&excerpt).unwrap();
        prop_assert_eq!(serde_json::from_str::<Excerpt>(&json).unwrap(), excerpt);
    }

    #[test]
    fn pieces_put_together_are_the_text(text in "[aé𝄞\n]{0,6000}") {
        let pieces: Vec<Excerpt> = Excerpt::pieces(&text).collect();
        prop_assert!(pieces.iter().all(|piece| piece.omitted_bytes() == 0 && !piece.text().is_empty()));
        prop_assert_eq!(pieces.iter().map(Excerpt::text).collect::<String>(), text);
    }
}
