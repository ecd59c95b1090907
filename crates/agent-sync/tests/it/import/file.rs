//! Files as they are found: of old versions, edited by hand, cut off, hostile.

use agent_sync::{Mapping, MappingError, SkipReason, parse_space_config};
use proptest::prelude::*;
use ruma::{room_id, user_id};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use store::Invitation;

use crate::support::user;

fn parse(value: &Value) -> Mapping {
    Mapping::parse(&value.to_string()).unwrap()
}

fn reasons(mapping: &Mapping) -> Vec<(&str, SkipReason)> {
    let mut reasons: Vec<_> = mapping
        .unusable
        .iter()
        .map(|skipped| (skipped.agent_id.as_str(), skipped.reason))
        .collect();
    reasons.sort_by_key(|(agent, _)| agent.to_owned());
    reasons
}

#[test]
fn an_entry_tells_user_room_password_and_invitations() {
    let mapping = parse(&json!({ "agent-001": {
        "agent_id": "agent-001",
        "agent_name": "Agent Alpha",
        "matrix_user_id": "@agent_001:matrix.test",
        "matrix_password": "not-a-real-secret",
        "created": true,
        "room_id": "!room:matrix.test",
        "room_created": true,
        "invitation_status": {
            "@a:matrix.test": "joined", "@b:matrix.test": "invited", "@c:matrix.test": "failed",
            "@d:matrix.test": "something else", "@e:matrix.test": 7, "no user": "joined",
        },
        "a field of tomorrow": { "with": ["anything"] },
    } }));
    let [entry] = mapping.entries.as_slice() else {
        panic!("{mapping:?}");
    };
    assert_eq!(
        (entry.agent_id.as_str(), entry.agent_name.as_str()),
        ("agent-001", "Agent Alpha")
    );
    assert_eq!(entry.user_id, user_id!("@agent_001:matrix.test"));
    assert_eq!(entry.room_id.as_deref(), Some(room_id!("!room:matrix.test")));
    assert_eq!(
        entry.password.as_ref().unwrap().expose_secret(),
        "not-a-real-secret"
    );
    assert_eq!(
        entry.invitations.clone().into_iter().collect::<Vec<_>>(),
        [
            (user("a"), Invitation::Joined),
            (user("b"), Invitation::Invited),
            (user("c"), Invitation::Failed)
        ]
    );
    assert!(mapping.unusable.is_empty());
    assert!(
        !format!("{mapping:?}").contains("not-a-real-secret"),
        "a password is never shown"
    );
}

#[test]
fn an_old_file_has_fewer_fields() {
    let mapping = parse(&json!({
        "agent-001": { "matrix_user_id": "@agent_001:matrix.test", "room_id": "!one" },
        "agent-002": { "matrix_user_id": "@agent_002:matrix.test", "room_id": null, "invitation_status": null },
        "agent-003": { "matrix_user_id": "@agent_003:matrix.test", "room_id": "", "created": true },
    }));
    let found: Vec<_> = mapping
        .entries
        .iter()
        .map(|entry| (entry.agent_name.as_str(), entry.room_id.is_some()))
        .collect();
    assert_eq!(
        found,
        [("agent-001", true), ("agent-002", false), ("agent-003", false)]
    );
}

#[test]
fn entries_that_make_no_sense_are_named_and_the_rest_goes_on() {
    let user = "@u:matrix.test";
    let mapping = parse(&json!({
        "agent-ok": { "matrix_user_id": "@agent_ok:matrix.test", "room_id": "!ok" },
        "agent-list": [],
        "agent-text": "a text",
        "agent-null": null,
        "agent-no-user": { "room_id": "!r" },
        "agent-bad-user": { "matrix_user_id": "agent_001" },
        "agent-user-type": { "matrix_user_id": 7 },
        "agent-bad-room": { "matrix_user_id": user, "room_id": "#alias:matrix.test" },
        "agent-room-type": { "matrix_user_id": user, "room_id": {} },
        "agent-name-type": { "matrix_user_id": user, "agent_name": [] },
        "agent-password-type": { "matrix_user_id": user, "matrix_password": 1234 },
        "agent-other": { "agent_id": "agent-another", "matrix_user_id": user },
        "agent-never": { "matrix_user_id": user, "created": false, "room_id": null },
        " ": { "matrix_user_id": user },
        "x".repeat(300): { "matrix_user_id": user },
    }));
    assert_eq!(mapping.entries.len(), 1);
    assert_eq!(mapping.entries[0].agent_id.as_str(), "agent-ok");
    assert_eq!(mapping.len(), 15);
    for (agent, reason) in reasons(&mapping) {
        let expected = if agent == "agent-never" {
            SkipReason::NothingMade
        } else {
            SkipReason::Unreadable
        };
        assert_eq!(reason, expected, "{agent}");
    }
}

#[test]
fn an_agent_named_twice_is_not_guessed() {
    let text = r#"{
        "agent-001": { "matrix_user_id": "@one:matrix.test", "room_id": "!one" },
        "agent-002": { "matrix_user_id": "@two:matrix.test", "room_id": "!two" },
        "agent-001": { "matrix_user_id": "@three:matrix.test", "room_id": "!three" }
    }"#;
    let mapping = Mapping::parse(text).unwrap();
    assert_eq!(mapping.entries.len(), 1);
    assert_eq!(reasons(&mapping), [("agent-001", SkipReason::Unreadable)]);
}

#[test]
fn of_two_agents_with_one_user_the_one_with_a_room_has_it() {
    let entry = |room: Value| json!({ "matrix_user_id": "@agent_ab:matrix.test", "room_id": room });
    let mapping = parse(&json!({ "agent-a.b": entry(json!("!one")), "agent-ab": entry(Value::Null) }));
    assert_eq!(mapping.entries[0].agent_id.as_str(), "agent-a.b");
    assert_eq!(reasons(&mapping), [("agent-ab", SkipReason::SharedUser)]);
    for rooms in [[json!("!one"), json!("!two")], [Value::Null, Value::Null]] {
        let [one, two] = rooms;
        let mapping = parse(&json!({ "agent-a.b": entry(one), "agent-ab": entry(two) }));
        assert_eq!(
            reasons(&mapping),
            [
                ("agent-a.b", SkipReason::SharedUser),
                ("agent-ab", SkipReason::SharedUser)
            ]
        );
    }
}

#[test]
fn of_two_agents_with_one_room_neither_has_it() {
    let entry = |user: &str| json!({ "matrix_user_id": user, "room_id": "!same" });
    let mapping = parse(&json!({ "agent-a": entry("@a:matrix.test"), "agent-b": entry("@b:matrix.test") }));
    assert!(mapping.entries.is_empty());
    assert_eq!(
        reasons(&mapping),
        [
            ("agent-a", SkipReason::SharedRoom),
            ("agent-b", SkipReason::SharedRoom)
        ]
    );
}

#[test]
fn what_is_no_mapping_is_refused_without_quoting_it() {
    for (text, expected) in [
        ("", MappingError::NotJson { line: 1, column: 0 }),
        (
            "{\n\"a\": not-a-real-secret",
            MappingError::NotJson { line: 2, column: 7 },
        ),
        ("{\"agent-001\": {", MappingError::NotJson { line: 1, column: 15 }),
        ("[]", MappingError::NotAMapping),
        ("\"not-a-real-secret\"", MappingError::NotAMapping),
        ("12", MappingError::NotAMapping),
        ("null", MappingError::NotAMapping),
    ] {
        let error = Mapping::parse(text).unwrap_err();
        assert_eq!(error, expected, "{text}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert!(matches!(Mapping::parse(&deep), Err(MappingError::NotJson { .. })));
    assert!(Mapping::parse("\u{feff}{}").unwrap().is_empty());
}

#[test]
fn a_space_config_names_a_space() {
    let id = parse_space_config(
        r#"{"space_id": "!space:matrix.test", "created_at": 1763000000.5, "name": "Letta Agents"}"#,
    );
    assert_eq!(id.unwrap(), room_id!("!space:matrix.test"));
    for text in [
        "{}",
        r#"{"space_id": null}"#,
        r##"{"space_id": "#alias:x"}"##,
        r#"{"space_id": 7}"#,
    ] {
        assert_eq!(
            parse_space_config(text).unwrap_err(),
            MappingError::NoSpace,
            "{text}"
        );
    }
    assert_eq!(parse_space_config("[]").unwrap_err(), MappingError::NotAMapping);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop_oneof![
            Just("@agent_001:matrix.test"),
            Just("!room"),
            Just("joined"),
            Just("agent-001")
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 40, 6, |inner| {
        let key = prop_oneof![
            Just("agent_id".to_owned()),
            Just("matrix_user_id".to_owned()),
            Just("room_id".to_owned()),
            Just("created".to_owned()),
            Just("invitation_status".to_owned()),
            ".{0,8}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_object_is_read_and_every_agent_is_accounted_for(
        members in prop::collection::btree_map(".{0,12}", any_json(), 0..8)
    ) {
        let text = Value::Object(members.clone().into_iter().collect()).to_string();
        let mapping = Mapping::parse(&text).unwrap();
        prop_assert_eq!(mapping.len(), members.len());
        let mut users: Vec<_> = mapping.entries.iter().map(|entry| &entry.user_id).collect();
        users.sort();
        users.dedup();
        prop_assert_eq!(users.len(), mapping.entries.len(), "one user each");
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        drop(Mapping::parse(&text));
        drop(parse_space_config(&text));
    }
}
