//! The schema of the events.

use std::{fs, path::Path};

use agent_events::{
    AgentEvent, EventId, EventKind, SchemaVersion, json_schema,
    testing::{every_kind, turn},
};
use jiff::Timestamp;
use serde_json::{Value, json};

fn event(kind: EventKind) -> AgentEvent {
    AgentEvent {
        version: SchemaVersion,
        id: EventId::new(1_767_268_800_000, 3),
        time: Timestamp::constant(1_767_268_800, 0),
        turn: turn("ada", "room"),
        kind,
    }
}

fn samples() -> Vec<Value> {
    let mut events: Vec<AgentEvent> = every_kind().into_iter().map(event).collect();
    events[0].turn.run_id = None;
    events[1].turn.thread = Some(events[1].turn.correlation_id.clone());
    events[2].id = EventId::new(u64::MAX, u64::MAX);
    events[3].time = Timestamp::constant(1_767_268_800, 123_456_789);
    events
        .iter()
        .map(|event| serde_json::to_value(event).unwrap())
        .collect()
}

fn validator() -> jsonschema::Validator {
    jsonschema::options()
        .should_validate_formats(true)
        .build(&json_schema())
        .unwrap()
}

/// `UPDATE_AGENT_EVENT_SCHEMA=1` writes the file anew.
#[test]
fn the_schema_in_the_documentation_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/agent-event.schema.json");
    let schema = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_AGENT_EVENT_SCHEMA").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let documented = fs::read_to_string(&path).unwrap();
    assert!(
        documented == schema,
        "docs/agent-event.schema.json is out of date: run this test with UPDATE_AGENT_EVENT_SCHEMA=1"
    );
}

#[test]
fn every_event_is_what_the_schema_says() {
    let validator = validator();
    for sample in samples() {
        let errors: Vec<String> = validator
            .iter_errors(&sample)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{sample:#}\n{errors:#?}");
    }
}

#[test]
fn every_event_comes_back_from_its_json() {
    for sample in samples() {
        let event: AgentEvent = serde_json::from_value(sample.clone()).unwrap();
        assert_eq!(serde_json::to_value(&event).unwrap(), sample);
    }
}

#[test]
fn an_event_looks_like_this() {
    let sample = serde_json::to_value(event(EventKind::ToolExecuting {
        tool_call_id: "call-1".into(),
        tool_name: "roll_dice".to_owned(),
        arguments: Some(r#"{"sides":6}"#.into()),
    }))
    .unwrap();
    assert_eq!(
        sample,
        json!({
            "version": 1,
            "id": "1767268800000-3",
            "time": "2026-01-01T12:00:00Z",
            "agent": { "id": "agent-ada", "name": "ada" },
            "room_id": "!room:matrix.test",
            "sender": "@ann:matrix.test",
            "run_id": "run-1",
            "correlation_id": "$question-to-ada",
            "type": "tool_executing",
            "data": {
                "tool_call_id": "call-1",
                "tool_name": "roll_dice",
                "arguments": { "text": "{\"sides\":6}" },
            },
        })
    );
}

#[test]
fn the_schema_and_the_code_refuse_what_is_no_event() {
    let validator = validator();
    let good = serde_json::to_value(event(EventKind::MessageDelta { text: "a".into() })).unwrap();
    assert!(validator.is_valid(&good));
    for (pointer, wrong) in [
        ("/version", json!(2)),
        ("/version", json!("1")),
        ("/id", json!(5)),
        ("/id", json!("5")),
        ("/time", json!(1_767_268_800)),
        ("/time", json!("yesterday")),
        ("/agent", json!("ada")),
        ("/type", json!("message_omega")),
        ("/data", json!({})),
        ("/data/text", json!("a")),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = wrong;
        assert!(!validator.is_valid(&bad), "the schema takes {bad}");
        assert!(
            serde_json::from_value::<AgentEvent>(bad.clone()).is_err(),
            "the code takes {bad}"
        );
    }
    for name in [
        "version",
        "id",
        "time",
        "agent",
        "room_id",
        "sender",
        "correlation_id",
        "type",
        "data",
    ] {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(name);
        assert!(
            !validator.is_valid(&bad),
            "the schema takes an event without {name}"
        );
        assert!(
            serde_json::from_value::<AgentEvent>(bad).is_err(),
            "the code takes an event without {name}"
        );
    }
}

#[test]
fn what_later_programs_add_is_ignored() {
    let mut sample = serde_json::to_value(event(EventKind::AgentStarted { resumed: false })).unwrap();
    sample["mood"] = json!("good");
    sample["data"]["reason"] = json!("curiosity");
    sample["agent"]["colour"] = json!("blue");
    assert!(validator().is_valid(&sample));
    assert_eq!(
        serde_json::from_value::<AgentEvent>(sample).unwrap(),
        event(EventKind::AgentStarted { resumed: false })
    );
}
