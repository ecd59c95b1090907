//! Who is heard by whom, and what happens to a room.

use super::*;

#[test]
fn the_mode_decides_who_hears_a_message() {
    let not_mentioned = format!("{:?}", Decision::Ignore(IgnoreReason::NotMentioned));
    let off = format!("{:?}", Decision::Ignore(IgnoreReason::Off));
    for (mode, plain, beta) in [
        (None, not_mentioned.as_str(), "002"),
        (Some(Mode::Mention), &not_mentioned, "002"),
        (Some(Mode::Open), "001 002", "002"),
        (Some(Mode::Listen), "(001) (002)", "(001) 002"),
        (Some(Mode::Off), &off, &off),
    ] {
        let room = group(mode);
        assert_eq!(hearers(&says(ANN, text("hello"), &room)), plain, "{mode:?}");
        assert_eq!(
            hearers(&says(ANN, text("@Agent Beta hello"), &room)),
            beta,
            "{mode:?}"
        );
    }
    let mut guest = home();
    guest.residents = group(None).residents;
    assert_eq!(hearers(&says(ANN, text("hello"), &guest)), "001");
    assert_eq!(hearers(&says(ANN, text("Agent Beta: hello"), &guest)), "002");
}

#[test]
fn an_agent_is_mentioned_in_every_way_that_clients_know() {
    let with = |body: &str, key: &str, value: Value| {
        let mut content = text(body);
        content[key] = value;
        content
    };
    let pill = r#"<a href="https://matrix.to/#/@agent_002:matrix.test">B</a>"#;
    for (content, expected) in [
        (with("x", "m.mentions", json!({ "user_ids": [BETA] })), true),
        (with("x", "formatted_body", json!(pill)), true),
        (text("Agent Beta: x"), true),
        (text("x @agent beta"), true),
        (text("x @agent_002:matrix.test"), true),
        (with("x", "m.mentions", json!({ "room": true })), false),
        (
            with("x", "m.mentions", json!({ "user_ids": [1, ANN], "room": "x" })),
            false,
        ),
        (with("x", "m.mentions", json!([BETA])), false),
        (
            with(
                "x",
                "formatted_body",
                json!(format!("<mx-reply>{pill}</mx-reply>x")),
            ),
            false,
        ),
        (
            with(
                "> <@agent_002:matrix.test> y\n\nx",
                "m.relates_to",
                json!({ "m.in_reply_to": { "event_id": "$that" } }),
            ),
            false,
        ),
        (text("`@Agent Beta`"), false),
        (text("Agent Beta is nice"), false),
    ] {
        let decision = says(ANN, content.clone(), &group(None));
        let expected = if expected {
            "002".to_owned()
        } else {
            format!("{:?}", Decision::Ignore(IgnoreReason::NotMentioned))
        };
        assert_eq!(hearers(&decision), expected, "{content}");
    }
    let pilled = with("@agent_002:matrix.test hello", "formatted_body", json!(pill));
    let forward = heard(says(ANN, pilled, &group(None)));
    assert_eq!(
        (forward.words.as_str(), forward.is_mentioned),
        ("Agent Beta hello", true)
    );
}

#[test]
fn agents_hear_each_other_only_when_they_are_mentioned_and_not_for_ever() {
    let say = |sender: &str, mentioned: Value, hops: Option<Value>| {
        let mut content = text("@Agent Alpha @Agent Beta !stop");
        content["m.mentions"] = json!({ "user_ids": mentioned });
        if let Some(hops) = hops {
            content[HOPS_MARKER] = hops;
        }
        says(sender, content, &group(Some(Mode::Open)))
    };
    let own = Decision::Ignore(IgnoreReason::Own);
    let enough = Decision::Ignore(IgnoreReason::TooManyHops);
    assert_eq!(say(ALPHA, json!([]), None), own);
    assert_eq!(say(ALPHA, json!([ALPHA]), None), own);
    assert_eq!(say("@letta_bot:matrix.test", json!([BETA]), None), own);
    for (hops, expected) in [(None, 1), (Some(json!(0)), 1), (Some(json!(2)), 2)] {
        let forward = heard(say(ALPHA, json!([ALPHA, BETA]), hops));
        assert_eq!((forward.agent.as_str(), forward.hops), ("agent-002", expected));
        assert!(forward.from_agent);
    }
    for hops in [json!(3), json!(u64::MAX), json!(-1), json!("1"), json!(null)] {
        assert_eq!(say(ALPHA, json!([BETA]), Some(hops)), enough);
    }
    // What a person claims is nothing.
    let mut claims = text("@Agent Beta");
    claims[HOPS_MARKER] = json!(9);
    assert_eq!(heard(says(ANN, claims, &group(None))).hops, 0);
}

#[test]
fn agents_are_not_answered_with_refusals() {
    let mut content = text(&"x".repeat(101));
    content["m.mentions"] = json!({ "user_ids": [BETA] });
    assert!(matches!(
        says(ALPHA, content, &group(None)),
        Decision::Ignore(IgnoreReason::Unheard(_))
    ));
    let encrypted = event(ALPHA, "m.room.encrypted", json!({}));
    assert_eq!(
        decided(&encrypted, &group(None)),
        Decision::Ignore(IgnoreReason::Own)
    );
}

#[test]
fn strangers_and_rooms_of_nobody_are_not_heard() {
    assert_eq!(
        says("@ann:example.org", text("hi"), &home()),
        Decision::Ignore(IgnoreReason::NotAdmitted)
    );
    let message = event(ANN, "m.room.message", text("hi"));
    let decision = decided_at(&message, None, Duration::ZERO);
    assert_eq!(decision, Decision::Ignore(IgnoreReason::UnknownRoom));
}

#[test]
fn our_users_come_and_go() {
    let member = |sender: &str, user: &str, content: Value, before: &str| {
        let mut event = event(sender, "m.room.member", content).with_state_key(user);
        event
            .unsigned
            .insert("prev_content".to_owned(), json!({ "membership": before }));
        decided_at(&event, None, Duration::ZERO)
    };
    let user = |user: &str| OwnedUserId::try_from(user).unwrap();
    let alpha = Some(AgentId::from("agent-001"));
    let bot = "@letta_bot:matrix.test";
    let invite = json!({ "membership": "invite", "is_direct": true });
    let invited = |agent, whom: &str, by: &str| Decision::Invited {
        agent,
        user: user(whom),
        by: user(by),
        is_direct: true,
    };
    let uninvited = |agent, whom: &str| Decision::Uninvited {
        agent,
        user: user(whom),
    };
    for (sender, whom, content, before, expected) in [
        (
            ANN,
            ALPHA,
            invite.clone(),
            "leave",
            invited(alpha.clone(), ALPHA, ANN),
        ),
        (
            "@x:example.org",
            ALPHA,
            invite.clone(),
            "leave",
            uninvited(alpha.clone(), ALPHA),
        ),
        (
            ANN,
            "@agent_gone:matrix.test",
            invite.clone(),
            "leave",
            uninvited(None, "@agent_gone:matrix.test"),
        ),
        (ANN, bot, invite.clone(), "leave", uninvited(None, bot)),
        (
            "@boss:matrix.test",
            bot,
            invite.clone(),
            "leave",
            invited(None, bot, "@boss:matrix.test"),
        ),
        (
            bot,
            ALPHA,
            invite.clone(),
            "leave",
            Decision::Ignore(IgnoreReason::Own),
        ),
        (
            ANN,
            "@bob:matrix.test",
            invite,
            "leave",
            Decision::Ignore(IgnoreReason::StateEvent),
        ),
        (
            ALPHA,
            ALPHA,
            json!({ "membership": "join" }),
            "invite",
            Decision::Joined {
                agent: alpha.clone(),
                user: user(ALPHA),
            },
        ),
        (
            ALPHA,
            ALPHA,
            json!({ "membership": "join" }),
            "join",
            Decision::Ignore(IgnoreReason::StateEvent),
        ),
        (
            ANN,
            ALPHA,
            json!({ "membership": "ban" }),
            "join",
            Decision::Left {
                agent: alpha.clone(),
                user: user(ALPHA),
            },
        ),
        (
            ALPHA,
            ALPHA,
            json!({ "membership": "leave" }),
            "join",
            Decision::Left {
                agent: alpha,
                user: user(ALPHA),
            },
        ),
        (
            ALPHA,
            ALPHA,
            json!({}),
            "join",
            Decision::Ignore(IgnoreReason::StateEvent),
        ),
    ] {
        assert_eq!(
            member(sender, whom, content, before),
            expected,
            "{sender} {whom} {before}"
        );
    }
}

#[test]
fn changes_of_a_room_are_told() {
    let marker = crate::settings::SETTINGS_MARKER;
    let off = json!({ "mode": "off" });
    let changed = Decision::SettingsChanged(RoomSettings {
        mode: Some(Mode::Off),
        ..RoomSettings::default()
    });
    for (sender, event_type, content, expected) in [
        (
            "@x:example.org",
            "m.room.name",
            json!({ "name": " Tea " }),
            Decision::NameChanged(Some("Tea".to_owned())),
        ),
        (ANN, "m.room.name", json!({}), Decision::NameChanged(None)),
        (ANN, "m.room.encryption", json!({}), Decision::Encrypted),
        ("@chief:matrix.test", marker, off.clone(), changed.clone()),
        ("@letta_bot:matrix.test", marker, off.clone(), changed),
        (
            ANN,
            marker,
            off,
            Decision::Ignore(IgnoreReason::Lacks(Right::Command)),
        ),
        (
            ANN,
            "m.room.topic",
            json!({}),
            Decision::Ignore(IgnoreReason::StateEvent),
        ),
    ] {
        let event = event(sender, event_type, content).with_state_key("");
        assert_eq!(decided(&event, &home()), expected, "{sender} {event_type}");
        let unknown = Decision::Ignore(IgnoreReason::UnknownRoom);
        assert_eq!(decided_at(&event, None, Duration::ZERO), unknown);
        let other = event.with_state_key("x");
        assert_eq!(
            decided(&other, &home()),
            Decision::Ignore(IgnoreReason::StateEvent)
        );
    }
}
