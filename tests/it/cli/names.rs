//! Names of agents that are hard to show, and that nobody can forbid: Letta takes any.

use letta_client::fake::FakeLetta;
use serde_json::Value;

use super::servers::Servers;

fn awkward() -> [(&'static str, String); 7] {
    [
        ("agent-empty", String::new()),
        ("agent-long", "long ".repeat(1_000)),
        ("agent-emoji", "👩‍🔬🦀".to_owned()),
        ("agent-rtl", "سارة".to_owned()),
        ("agent-turned", "Ada\u{202E}nimda".to_owned()),
        ("agent-control", "\u{1b}[2J\u{7}bell\r\nnew line\0".to_owned()),
        ("agent-markup", "<b>&amp; `|`, \"$(rm)\" {}".to_owned()),
    ]
}

async fn servers() -> Servers {
    let letta = FakeLetta::new().lenient();
    for (id, name) in awkward() {
        letta.add_agent(id, name);
    }
    Servers::with(letta).await
}

/// Nothing in it moves a cursor, hides or turns text, or floods a terminal.
#[track_caller]
fn assert_harmless(text: &str) {
    for line in text.lines() {
        assert!(
            line.chars().count() < 1_000,
            "{} characters: {line}",
            line.chars().count()
        );
        assert!(
            !line
                .chars()
                .any(|c| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}')),
            "{line:?}"
        );
    }
}

#[tokio::test]
async fn every_name_becomes_a_user_and_a_room() {
    let servers = servers().await;
    assert_harmless(&servers.program.run(&["sync", "--dry-run"]).await.stdout);
    let ran = servers.program.run(&["sync"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_harmless(&ran.stdout);
    servers.assert_everyone_is_at_home();
    assert_eq!(
        servers.program.run(&["sync", "--json"]).await.json()["requests"]["matrix"],
        0
    );

    let table = servers.program.run(&["status"]).await;
    assert_harmless(&table.stdout);
    let status = servers.program.run(&["status", "--json"]).await.json();
    for agent in status.as_array().unwrap() {
        // Programs get the name as it is.
        let name = awkward()
            .into_iter()
            .find(|(id, _)| agent["agent_id"] == *id)
            .unwrap()
            .1;
        assert_eq!(agent["agent_name"], Value::String(name));
        let room = servers
            .matrix
            .room(agent["room_id"].as_str().unwrap().try_into().unwrap())
            .unwrap();
        let shown = room.name.unwrap();
        assert!(
            !shown.is_empty() && shown.len() <= 256 && !shown.chars().any(char::is_control),
            "{shown:?}"
        );
    }
}

#[tokio::test]
async fn every_name_can_stand_in_the_list_of_failures() {
    let servers = servers().await;
    servers.matrix.plan(
        matrix_client::fake::Fault::on("create_room")
            .skip(1)
            .refuse(403, "M_FORBIDDEN", "no\u{7}")
            .always(),
    );
    let ran = servers.program.run(&["sync"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_harmless(&ran.stdout);
    for (id, _) in awkward() {
        assert!(
            ran.stdout.contains(&format!("({id}), making the room: ")),
            "{id} is missing in:\n{}",
            ran.stdout
        );
    }
}
