//! One kind of event after another, in an agent's own room.

use super::*;

#[test]
fn every_message_that_is_heard() {
    let media = |msgtype: &str| {
        json!({ "msgtype": msgtype, "body": "cat.png", "url": "mxc://matrix.test/cat",
        "info": { "mimetype": "image/png", "size": 5 } })
    };
    for (event_type, content, kind, words) in [
        ("m.room.message", text("hello"), MessageKind::Text, "hello"),
        (
            "m.room.message",
            json!({ "msgtype": "m.emote", "body": "waves" }),
            MessageKind::Emote,
            "waves",
        ),
        ("m.room.message", media("m.image"), MessageKind::Image, ""),
        ("m.room.message", media("m.file"), MessageKind::File, ""),
        ("m.room.message", media("m.audio"), MessageKind::Audio, ""),
        ("m.room.message", media("m.video"), MessageKind::Video, ""),
        ("m.sticker", media("x"), MessageKind::Sticker, "cat.png"),
        (
            "m.room.message",
            json!({ "msgtype": "m.location", "body": "Home", "geo_uri": "geo:1,2" }),
            MessageKind::Location,
            "Home\ngeo:1,2",
        ),
        (
            "m.poll.start",
            json!({ "m.poll": { "question": { "m.text": [{ "body": "Tea?" }] },
                "answers": [{ "m.id": "a", "m.text": [{ "mimetype": "text/html", "body": "<b>y</b>" }, { "body": "yes" }] }, 1] } }),
            MessageKind::Poll,
            "Tea?\n1. yes",
        ),
        (
            "org.matrix.msc3381.poll.start",
            json!({ "org.matrix.msc3381.poll.start": { "question": { "org.matrix.msc1767.text": "Tea?" },
                "answers": [{ "id": "a", "org.matrix.msc1767.text": "yes" }, { "id": "b", "body": "no" }] } }),
            MessageKind::Poll,
            "Tea?\n1. yes\n2. no",
        ),
    ] {
        let forward = heard(decided(&event(ANN, event_type, content.clone()), &home()));
        assert_eq!((forward.kind, forward.words.as_str()), (kind, words), "{content}");
        assert_eq!(forward.agent.as_str(), "agent-001");
        assert_eq!(
            forward.attachment.is_some(),
            content.get("url").is_some(),
            "{content}"
        );
        assert_eq!(
            (forward.hops, forward.from_agent, forward.quiet),
            (0, false, false)
        );
    }
}

#[test]
fn a_file_may_have_a_caption_beside_its_name() {
    let content = json!({ "msgtype": "m.image", "body": "my cat", "filename": "cat.png",
        "url": "mxc://matrix.test/cat", "info": { "mimetype": "image/png", "size": "big" } });
    let forward = heard(says(ANN, content, &home()));
    assert_eq!(forward.words, "my cat");
    assert_eq!(
        forward.attachment,
        Some(Attachment {
            url: "mxc://matrix.test/cat".into(),
            name: "cat.png".to_owned(),
            media_type: Some("image/png".to_owned()),
            size: None,
        })
    );
}

#[test]
fn replies_and_threads_are_kept() {
    let mut content = text("> <@agent_001:matrix.test> Agent Beta: x\n\nyes");
    content["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": "$root",
        "m.in_reply_to": { "event_id": "$that" } });
    let forward = heard(says(ANN, content.clone(), &home()));
    assert_eq!(forward.words, "yes");
    assert_eq!(forward.thread, Some(owned_event_id!("$root")));
    assert_eq!(forward.reply_to, Some(owned_event_id!("$that")));
    content["m.relates_to"]["is_falling_back"] = json!(true);
    assert_eq!(heard(says(ANN, content, &home())).reply_to, None);
}

#[test]
fn every_message_that_is_ignored() {
    use IgnoreReason::*;
    for (event_type, content, expected) in [
        (
            "m.room.message",
            json!({ "msgtype": "m.notice", "body": "beep" }),
            Notice,
        ),
        ("m.room.message", text(" \n"), Empty),
        ("m.room.message", json!({}), NotAMessage),
        (
            "m.room.message",
            json!({ "msgtype": 1, "body": ["x"] }),
            NotAMessage,
        ),
        (
            "m.room.message",
            json!({ "msgtype": "m.location", "body": "x" }),
            NotAMessage,
        ),
        (
            "m.room.message",
            json!({ "msgtype": "m.key.verification.request", "body": "x" }),
            NotAMessage,
        ),
        (
            "m.room.message",
            json!({ "msgtype": "m.text", "body": "x", "m.letta_historical": true }),
            Historical,
        ),
        (
            "m.room.message",
            json!({ "msgtype": "m.text", "body": "x", "dev.letta-matrix.history": {} }),
            Historical,
        ),
        (
            "m.room.message",
            json!({ "m.relates_to": { "rel_type": "m.replace", "event_id": "$old" } }),
            NotAMessage,
        ),
        (
            "m.room.message",
            json!({ "m.new_content": { "msgtype": "m.notice" }, "m.relates_to": { "rel_type": "m.replace", "event_id": "$old" } }),
            Notice,
        ),
        ("m.poll.start", json!({ "m.poll": { "answers": [] } }), Empty),
        ("m.poll.response", json!({}), PollAnswer),
        ("org.matrix.msc3381.poll.end", json!({}), PollAnswer),
        ("m.call.invite", json!({}), NotAMessage),
        ("m.reaction", json!({}), Reaction),
        ("m.room.redaction", json!({}), NotAMessage),
    ] {
        let decision = decided(&event(ANN, event_type, content.clone()), &home());
        assert_eq!(decision, Decision::Ignore(expected), "{content}");
        assert!(!expected.to_string().is_empty());
    }
    let mut gone = event(ANN, "m.room.message", json!({}));
    gone.unsigned.insert("redacted_because".to_owned(), json!({}));
    assert_eq!(decided(&gone, &home()), Decision::Ignore(TakenBack));
}

#[test]
fn every_message_that_is_declined() {
    use DeclineReason::*;
    let file = |more: Value| {
        let mut content = json!({ "msgtype": "m.file", "body": "x" });
        content
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        content
    };
    for (event_type, content, expected) in [
        ("m.room.encrypted", json!({}), Encrypted),
        (
            "m.room.message",
            file(json!({ "file": { "url": "mxc://a/b" } })),
            Encrypted,
        ),
        ("m.room.message", file(json!({})), NoAttachment),
        (
            "m.room.message",
            file(json!({ "url": "https://evil.test/x" })),
            NoAttachment,
        ),
        (
            "m.room.message",
            json!({ "msgtype": "com.example.x", "body": "x" }),
            UnknownKind,
        ),
        ("m.room.message", text(&"é".repeat(51)), TooLong { limit: 100 }),
    ] {
        let decision = decided(&event(ANN, event_type, content.clone()), &home());
        let agent = Some("agent-001".into());
        assert_eq!(
            decision,
            Decision::Decline {
                agent,
                reason: expected
            },
            "{content}"
        );
        // Where nobody was spoken to, nobody answers.
        if event_type != "m.room.encrypted" {
            let event = event(ANN, event_type, content);
            assert_eq!(
                decided(&event, &group(None)),
                Decision::Ignore(IgnoreReason::NotMentioned)
            );
            let listening = decided(&event, &group(Some(Mode::Listen)));
            assert_eq!(listening, Decision::Ignore(IgnoreReason::Unheard(expected)));
        }
    }
    assert!(matches!(
        says(ANN, text(&"é".repeat(50)), &home()),
        Decision::Forward(_)
    ));
}

#[test]
fn what_comes_too_late_is_declined() {
    let day = Limits::default().max_age;
    let late = day + Duration::from_millis(1);
    let message = event(ANN, "m.room.message", text("hello"));
    assert!(matches!(
        decided_at(&message, Some(&home()), day),
        Decision::Forward(_)
    ));
    for body in ["hello", "!stop"] {
        let message = event(ANN, "m.room.message", text(body));
        let decision = decided_at(&message, Some(&home()), late);
        assert!(
            matches!(
                decision,
                Decision::Decline {
                    reason: DeclineReason::TooOld,
                    ..
                }
            ),
            "{body}"
        );
    }
}

#[test]
fn reactions_answer_and_ask_again() {
    let react = |sender: &str, key: &str| {
        let relation = json!({ "rel_type": "m.annotation", "event_id": "$that", "key": key });
        decided(
            &event(sender, "m.reaction", json!({ "m.relates_to": relation })),
            &home(),
        )
    };
    for (key, expected) in [
        ("✅", true),
        ("👍", true),
        ("👍\u{fe0f}", true),
        ("👍🏽", true),
        ("❌", false),
        ("👎", false),
        ("👎🏿", false),
        ("❌\u{fe0f}", false),
    ] {
        let Decision::Answer(answer) = react("@judge:matrix.test", key) else {
            panic!("{key}")
        };
        assert_eq!(
            (answer.approve, answer.target),
            (expected, Some(owned_event_id!("$that"))),
            "{key}"
        );
        assert_eq!(
            react(ANN, key),
            Decision::Ignore(IgnoreReason::Lacks(Right::Approve)),
            "{key}"
        );
    }
    let target = owned_event_id!("$that");
    assert_eq!(react(ANN, "🔁"), Decision::Retry { target });
    assert_eq!(react(ANN, "🎉"), Decision::Ignore(IgnoreReason::Reaction));
    assert_eq!(react(ALPHA, "✅"), Decision::Ignore(IgnoreReason::Own));
}

#[test]
fn edits_and_redactions_name_what_they_change() {
    let content = json!({ "msgtype": "m.text", "body": "* new", "m.new_content": text("new"),
        "m.relates_to": { "rel_type": "m.replace", "event_id": "$old" } });
    let original = owned_event_id!("$old");
    assert_eq!(
        says(ANN, content.clone(), &home()),
        Decision::Replace {
            original: original.clone(),
            editor: ANN.try_into().unwrap(),
            content: text("new"),
        }
    );
    assert_eq!(says(ALPHA, content, &home()), Decision::Ignore(IgnoreReason::Own));

    let redaction = |sender: &str| event(sender, "m.room.redaction", json!({ "redacts": "$old" }));
    // A moderator need not be one who talks with agents.
    assert_eq!(
        decided(&redaction("@mod:example.org"), &home()),
        Decision::TakeBack { original }
    );
    assert_eq!(
        decided(&redaction(ALPHA), &home()),
        Decision::Ignore(IgnoreReason::Own)
    );
}

#[test]
fn commands_need_their_right() {
    let command = |command, agents: &[&str]| Decision::Command {
        command,
        agents: agents.iter().map(|id| AgentId::from(*id)).collect(),
    };
    let refused = |right| Decision::Decline {
        agent: Some("agent-001".into()),
        reason: DeclineReason::NotAllowed(right),
    };
    let answer = |approve, reason: Option<&str>| {
        Decision::Answer(ApprovalAnswer {
            target: None,
            agents: vec!["agent-001".into()],
            approve,
            reason: reason.map(str::to_owned),
        })
    };
    for (sender, body, expected) in [
        (ANN, "!stop", command(Command::Stop, &["agent-001"])),
        (ANN, "!new", refused(Right::Command)),
        (
            "@chief:matrix.test",
            "!new",
            command(Command::New, &["agent-001"]),
        ),
        (ANN, "!approve", refused(Right::Approve)),
        ("@judge:matrix.test", "!approve", answer(true, None)),
        (
            "@judge:matrix.test",
            "!deny too dear",
            answer(false, Some("too dear")),
        ),
        (
            "@nobody:matrix.test",
            "!stop",
            Decision::Ignore(IgnoreReason::NotAdmitted),
        ),
    ] {
        assert_eq!(says(sender, text(body), &home()), expected, "{sender} {body}");
    }
    assert_eq!(
        heard(says(ANN, text("!important note"), &home())).words,
        "!important note"
    );
    assert!(matches!(
        says(ANN, json!({ "msgtype": "m.emote", "body": "!stop" }), &home()),
        Decision::Forward(_)
    ));
}

#[test]
fn a_command_in_reply_is_about_what_it_replies_to() {
    let reply = |body: &str| {
        let mut content = text(body);
        content["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": "$that" } });
        says("@judge:matrix.test", content, &home())
    };
    let target = owned_event_id!("$that");
    assert_eq!(
        reply("!retry"),
        Decision::Retry {
            target: target.clone()
        }
    );
    let Decision::Answer(answer) = reply("!approve") else {
        panic!()
    };
    assert_eq!(answer.target, Some(target));
}

#[test]
fn commands_work_where_agents_hear_nothing_and_may_be_addressed() {
    let agents = |content: Value| match says(ANN, content, &group(Some(Mode::Off))) {
        Decision::Command {
            command: Command::Stop,
            agents,
        } => agents,
        other => panic!("{other:?}"),
    };
    let both: Vec<AgentId> = vec!["agent-001".into(), "agent-002".into()];
    assert_eq!(agents(text("!stop")), both);
    assert_eq!(agents(text("!stop @Agent Beta")), both[1..]);
    let mut mention = text("!stop");
    mention["m.mentions"] = json!({ "user_ids": [ALPHA] });
    assert_eq!(agents(mention), both[..1]);
    // A slip is not told to a room that did not ask.
    for mode in [Mode::Off, Mode::Mention, Mode::Listen] {
        let decision = says(ANN, text("!stpo"), &group(Some(mode)));
        assert!(!matches!(decision, Decision::Command { .. }), "{mode}");
    }
    assert!(matches!(
        says(ANN, text("!stpo"), &home()),
        Decision::Command { .. }
    ));
}

#[test]
fn the_admin_room_hears_commands_only() {
    let mut room = Room::new(owned_room_id!("!admin:matrix.test"));
    room.is_admin_room = true;
    let sync = Decision::Command {
        command: Command::Sync,
        agents: vec![],
    };
    assert_eq!(says("@boss:matrix.test", text("sync"), &room), sync);
    let refused = Decision::Decline {
        agent: None,
        reason: DeclineReason::NotAllowed(Right::Admin),
    };
    assert_eq!(says("@chief:matrix.test", text("sync"), &room), refused);
    let picture = json!({ "msgtype": "m.image", "body": "x", "url": "mxc://a/b" });
    assert_eq!(
        says("@boss:matrix.test", picture, &room),
        Decision::Ignore(IgnoreReason::NoAgentHere)
    );
}

#[test]
fn what_was_kept_by_another_version_is_read() {
    let kept = json!({ "agent": "agent-001", "attachment": { "url": "mxc://a/b", "new": 1 }, "new": 1 });
    let forward: Forward = serde_json::from_value(kept).unwrap();
    assert_eq!((forward.kind, forward.hops), (MessageKind::Text, 0));
    let again: Forward = serde_json::from_value(serde_json::to_value(&forward).unwrap()).unwrap();
    assert_eq!(again, forward);
}
