//! Whatever stands in an event.

use super::*;

/// Pieces of text that mean something to somebody here.
fn words() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "@",
            "Agent Beta",
            "agent alpha:",
            ALPHA,
            BETA,
            "!stop",
            "!settings ",
            "`",
            "```",
            "\n",
            " ",
            "> <@a:b> x\n",
            "<a href=\"https://matrix.to/#/",
            "\">",
            "</a>",
            "<mx-reply>",
            "<code",
            "[x](https://matrix.to/#/",
            ")",
            "m.text",
            "m.image",
            "mxc://a/b",
            "$that",
            "m.replace",
            "m.annotation",
            "✅",
            "é",
            "İ",
            "👍🏽",
        ])
        .prop_map(str::to_owned),
        ".{0,4}",
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        words().prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "msgtype",
        "body",
        "formatted_body",
        "url",
        "file",
        "info",
        "m.mentions",
        "user_ids",
        "m.relates_to",
        "rel_type",
        "event_id",
        "key",
        "m.in_reply_to",
        "m.new_content",
        "m.poll",
        "question",
        "answers",
        "m.text",
        "geo_uri",
        "membership",
        "redacts",
        "name",
        "mode",
        HOPS_MARKER,
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(keys.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A message that mostly is one.
fn content() -> impl Strategy<Value = Value> {
    let message = (words(), words(), anything()).prop_map(|(body, html, mentions)| {
        json!({ "msgtype": "m.text", "body": body, "formatted_body": html, "m.mentions": mentions })
    });
    let users = prop::sample::subsequence(vec![ALPHA, BETA, ANN], 0..=3);
    let mentioning = (words(), users).prop_map(
        |(body, users)| json!({ "msgtype": "m.text", "body": body, "m.mentions": { "user_ids": users } }),
    );
    prop_oneof![anything(), message, mentioning]
}

fn event_type() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "m.room.message",
        "m.room.message",
        "m.room.message",
        "m.sticker",
        "m.reaction",
        "m.room.redaction",
        "m.room.member",
        "m.room.name",
        "m.poll.start",
        "m.room.encrypted",
        "dev.letta-matrix.settings",
        "x",
    ])
}

fn room() -> impl Strategy<Value = Room> {
    let mode = prop::sample::select(vec![
        None,
        Some(Mode::Open),
        Some(Mode::Mention),
        Some(Mode::Listen),
        Some(Mode::Off),
    ]);
    (mode, any::<bool>(), any::<bool>()).prop_map(|(mode, is_home, is_admin_room)| {
        let mut room = if is_home { home() } else { group(None) };
        room.settings.mode = mode;
        room.is_admin_room = is_admin_room;
        room
    })
}

proptest! {
    #[test]
    fn nothing_panics_and_nobody_without_right_is_heard(
        content in content(), event_type in event_type(), room in room(), state_key in prop::option::of(words()),
        sender in prop::sample::select(vec![ANN, "@boss:matrix.test", "@x:example.org", "@agent_001:example.org"]),
    ) {
        let mut event = event(sender, event_type, content);
        event.state_key = state_key;
        let decision = decided(&event, &room);
        let is_done = matches!(
            decision,
            Decision::Forward(_) | Decision::Decline { .. } | Decision::Command { .. } | Decision::Answer(_)
                | Decision::Retry { .. } | Decision::Replace { .. } | Decision::SettingsChanged(_)
                | Decision::Invited { .. }
        );
        prop_assert!(!is_done || rights().right_of(&event.sender).is_some(), "{decision:?}");
        if let Decision::Forward(forwards) = &decision {
            prop_assert!(!forwards.is_empty());
            for forward in forwards {
                let kept = serde_json::to_value(forward).unwrap();
                prop_assert_eq!(&serde_json::from_value::<Forward>(kept).unwrap(), forward);
            }
        }
    }

    #[test]
    fn our_own_users_are_heard_only_by_the_agents_they_mention(
        content in content(), event_type in event_type(), room in room(),
        sender in prop::sample::select(vec![ALPHA, BETA, "@agent_gone:matrix.test", "@letta_bot:matrix.test"]),
    ) {
        let event = event(sender, event_type, content);
        match decided(&event, &room) {
            Decision::Forward(forwards) => {
                let mentioned = event.content["m.mentions"]["user_ids"].as_array().unwrap();
                for forward in forwards {
                    let hearer = room.residents.iter().find(|resident| resident.agent_id == forward.agent).unwrap();
                    prop_assert!(hearer.user_id != event.sender);
                    prop_assert!(mentioned.iter().any(|user| user == hearer.user_id.as_str()));
                    prop_assert!(forward.hops >= 1);
                }
            }
            Decision::Ignore(_) => {}
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
