use ruma::owned_user_id;

use super::*;

fn residents() -> [Resident; 2] {
    [
        Resident {
            agent_id: "agent-001".into(),
            agent_name: "Agent Alpha".to_owned(),
            user_id: owned_user_id!("@agent_001:matrix.test"),
        },
        Resident {
            agent_id: "agent-002".into(),
            agent_name: "Agent Beta".to_owned(),
            user_id: owned_user_id!("@agent_002:matrix.test"),
        },
    ]
}

fn command(text: &str) -> Option<Command> {
    parse(text, &residents(), &[], false).map(|parsed| parsed.command)
}

fn in_admin_room(text: &str) -> Option<Command> {
    parse(text, &[], &[], true).map(|parsed| parsed.command)
}

fn misused(word: &'static str, misuse: Misuse) -> Command {
    Command::Misused { word, misuse }
}

#[test]
fn every_command_is_read() {
    for (text, expected) in [
        ("!help", Command::Help),
        (" !Status \n", Command::Status),
        ("!STOP", Command::Stop),
        ("!retry", Command::Retry),
        ("!new", Command::New),
        ("!history", Command::History { count: None }),
        ("!history 10", Command::History { count: Some(10) }),
        ("!settings", Command::Settings),
        ("!settings streaming off", Command::Set(Setting::Streaming(false))),
        ("!settings tools on", Command::Set(Setting::Tools(true))),
        ("!settings  Reasoning  ON", Command::Set(Setting::Reasoning(true))),
        ("!settings mode open", Command::Set(Setting::Mode(Mode::Open))),
        (
            "!settings mode mention",
            Command::Set(Setting::Mode(Mode::Mention)),
        ),
        ("!settings mode listen", Command::Set(Setting::Mode(Mode::Listen))),
        ("!settings mode off", Command::Set(Setting::Mode(Mode::Off))),
        (
            "!settings conversation room",
            Command::Set(Setting::Conversation(ConversationMode::Room)),
        ),
        (
            "!settings conversation thread",
            Command::Set(Setting::Conversation(ConversationMode::Thread)),
        ),
        (
            "!settings conversation person",
            Command::Set(Setting::Conversation(ConversationMode::Person)),
        ),
        ("!approve", Command::Approve),
        ("!deny", Command::Deny { reason: None }),
        (
            "!deny ask @Agent Beta",
            Command::Deny {
                reason: Some("ask @Agent Beta".to_owned()),
            },
        ),
    ] {
        assert_eq!(command(text), Some(expected), "{text}");
    }
}

#[test]
fn ordinary_texts_are_no_commands() {
    for text in [
        "",
        "!",
        "!!!",
        "! stop",
        "!!stop",
        "stop",
        "!important note",
        "!no",
        "!a",
        "!stop!",
        "!stop-it",
        "say !stop",
        "!é",
        "!1",
        "Agent Beta: stop",
        "@Agent Beta",
        "!encyclopedia",
    ] {
        assert_eq!(command(text), None, "{text}");
    }
}

#[test]
fn a_slip_is_told_from_an_ordinary_text() {
    for (text, expected) in [
        ("!stpo", "stop"),
        ("!Statsu now", "status"),
        ("!setting", "settings"),
    ] {
        match command(text) {
            Some(Command::Unknown { nearest, .. }) => assert_eq!(nearest, Some(expected), "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    // Nobody is led to what works elsewhere only.
    assert_eq!(command("!snyc"), None);
}

#[test]
fn what_cannot_be_done_as_written_says_why() {
    for (text, expected) in [
        ("!new idea: let us", misused("new", Misuse::ExtraWords)),
        ("!stop @Agent Gamma", misused("stop", Misuse::ExtraWords)),
        ("!help me", misused("help", Misuse::ExtraWords)),
        ("!history all", misused("history", Misuse::NotANumber)),
        ("!history 0", misused("history", Misuse::NotANumber)),
        ("!history -1", misused("history", Misuse::NotANumber)),
        ("!history 99999999999", misused("history", Misuse::NotANumber)),
        (
            "!settings colour red",
            misused("settings", Misuse::UnknownSetting),
        ),
        ("!sync", misused("sync", Misuse::AdminRoomOnly)),
    ] {
        assert_eq!(command(text), Some(expected), "{text}");
    }
    for text in [
        "!settings tools",
        "!settings tools open",
        "!settings tools on off",
    ] {
        let Some(Command::Misused { misuse, .. }) = command(text) else {
            panic!("{text}")
        };
        assert_eq!(misuse.to_string(), "Write `!settings tools on|off`.");
    }
    assert_eq!(
        Misuse::UnknownSetting.to_string(),
        "The settings are `mode`, `streaming`, `tools`, `reasoning`, `conversation`."
    );
}

#[test]
fn a_command_may_be_addressed() {
    for (text, agents, expected) in [
        ("!stop @Agent Beta", &["agent-002"][..], Command::Stop),
        ("!stop agent beta", &["agent-002"], Command::Stop),
        ("!stop @agent_002:matrix.test", &["agent-002"], Command::Stop),
        (
            "!stop @Agent Beta, @Agent Alpha",
            &["agent-001", "agent-002"],
            Command::Stop,
        ),
        ("Agent Beta: !stop", &["agent-002"], Command::Stop),
        ("@Agent Beta !stop", &["agent-002"], Command::Stop),
        ("!stop", &[], Command::Stop),
        (
            "!history @Agent Beta 5",
            &["agent-002"],
            Command::History { count: Some(5) },
        ),
        (
            "!history 5 @Agent Beta",
            &["agent-002"],
            Command::History { count: Some(5) },
        ),
        (
            "!deny @Agent Beta: too dear",
            &["agent-002"],
            Command::Deny {
                reason: Some("too dear".to_owned()),
            },
        ),
        (
            "!deny Agent Beta is wrong",
            &[],
            Command::Deny {
                reason: Some("Agent Beta is wrong".to_owned()),
            },
        ),
    ] {
        let parsed = parse(text, &residents(), &[], false).unwrap();
        let named: Vec<_> = parsed.agents.iter().map(AgentId::as_str).collect();
        assert_eq!((named.as_slice(), parsed.command), (agents, expected), "{text}");
    }
}

#[test]
fn a_mentioned_agents_name_is_no_argument() {
    let parsed = parse(
        "!history Agent Beta 5",
        &residents(),
        &["agent-002".into()],
        false,
    )
    .unwrap();
    assert_eq!(parsed.command, Command::History { count: Some(5) });
    let parsed = parse("!history Agent Beta 5", &residents(), &[], false).unwrap();
    assert_eq!(parsed.command, misused("history", Misuse::NotANumber));
}

#[test]
fn in_the_admin_room_every_text_is_a_command() {
    for (text, expected) in [
        ("sync", Command::Sync),
        ("!agents", Command::Agents),
        ("Rooms", Command::Rooms),
        ("help", Command::Help),
        (
            "snyc",
            Command::Unknown {
                word: "snyc".to_owned(),
                nearest: Some("sync"),
            },
        ),
        (
            "hello there",
            Command::Unknown {
                word: "hello".to_owned(),
                nearest: Some("help"),
            },
        ),
        (
            "… what",
            Command::Unknown {
                word: "…".to_owned(),
                nearest: None,
            },
        ),
    ] {
        assert_eq!(in_admin_room(text), Some(expected), "{text}");
    }
    assert_eq!(in_admin_room(" "), None);
}

#[test]
fn help_lists_what_one_may_do() {
    let talk = help(Right::Talk, false);
    assert!(talk.contains("`!stop`") && talk.contains("`!settings`"), "{talk}");
    assert!(
        !talk.contains("!approve") && !talk.contains("KEY VALUE") && !talk.contains("!sync"),
        "{talk}"
    );
    assert!(help(Right::Command, false).contains("`!settings KEY VALUE`"));
    assert!(!help(Right::Admin, false).contains("!sync"));
    assert!(help(Right::Admin, true).contains("- `!sync` brings"));
}

#[test]
fn the_help_and_the_commands_ask_for_the_same_right() {
    for entry in &ENTRIES {
        let text = match entry.usage {
            " KEY VALUE" => format!("!{} mode open", entry.word),
            _ => format!("!{}", entry.word),
        };
        let parsed = parse(&text, &[], &[], true).unwrap();
        assert_eq!(parsed.command.right(), entry.right, "{text}");
    }
}
