//! `sync` and `status` between the served fakes.

use letta_client::{AgentUpdate, LettaApi};
use matrix_client::{MatrixErrorKind, fake::Fault};
use ruma::{OwnedUserId, owned_user_id, user_id};
use serde_json::{Value, json};

use super::servers::Servers;

fn beta() -> OwnedUserId {
    owned_user_id!("@agent_002:matrix.test")
}

#[tokio::test]
async fn agents_are_brought_home_and_a_second_sync_changes_nothing() {
    let servers = Servers::start().await;
    let first = servers.program.run(&["sync", "--json"]).await;
    assert_eq!(first.code, 0, "{first:?}");
    let mut report = first.json();
    assert!(report["duration_ms"].take().is_u64());
    let expected = json!({
        "agents": 3, "unchanged": 0, "users_created": 3, "rooms_created": 3, "space_created": true, "renamed": 0,
        "adopted": 0, "repaired": 0, "archived": 0, "restored": 0, "missing": [], "withheld": null,
        "listing": "full", "listing_complete": true, "failed": [],
        "requests": { "matrix": 15, "letta": 1 }, "duration_ms": null,
    });
    assert_eq!(report, expected);
    servers.assert_everyone_is_at_home();
    let alpha = servers.matrix.user(user_id!("@agent_001:matrix.test")).unwrap();
    assert_eq!(alpha.display_name.as_deref(), Some("Agent Alpha"));
    for room in servers.rooms() {
        assert!(
            servers
                .matrix
                .room(&room)
                .unwrap()
                .has_invited(user_id!("@admin:matrix.test"))
        );
    }

    servers.matrix.clear_journal();
    let second = servers.program.run(&["sync", "--json"]).await.json();
    assert_eq!(
        (&second["unchanged"], &second["requests"]),
        (&json!(3), &json!({ "matrix": 0, "letta": 1 }))
    );
    assert_eq!(servers.matrix.call_count(), 0);
    let told = servers.program.run(&["sync"]).await;
    assert!(
        told.stdout
            .starts_with("3 agents, all at home: nothing to do.\n0 Matrix requests and 1 Letta"),
        "{told:?}"
    );
    assert_eq!(told.stderr, "", "quiet where no terminal is");
}

#[tokio::test]
async fn status_tells_what_is_bound_to_what() {
    let servers = Servers::start().await;
    servers.program.run(&["sync"]).await;
    let status = servers.program.run(&["status", "--json"]).await;
    assert_eq!(status.code, 0);
    let list = status.json();
    assert_eq!(list.as_array().unwrap().len(), 3);
    let alpha = &list[0];
    assert_eq!(alpha["agent_id"], "agent-001");
    assert_eq!(alpha["agent_name"], "Agent Alpha");
    assert_eq!(alpha["user_id"], "@agent_001:matrix.test");
    assert_eq!(alpha["room_alias"], "#agent_001:matrix.test");
    assert_eq!(alpha["state"], "ready");
    assert_eq!(alpha["last_error"], Value::Null);
    assert_eq!(alpha["invitations"], json!({ "@admin:matrix.test": "invited" }));
    let room_id = alpha["room_id"].as_str().unwrap();
    assert_eq!(
        servers
            .matrix
            .room(room_id.try_into().unwrap())
            .unwrap()
            .name
            .as_deref(),
        Some("Agent Alpha")
    );

    // Status asks no server.
    servers.letta.down();
    servers.matrix.down();
    let table = servers.program.run(&["status"]).await;
    assert_eq!(table.code, 0, "{table:?}");
    for part in [
        "Agent Alpha",
        "agent-001",
        "@agent_001:matrix.test",
        room_id,
        "ready",
        "3 of 3 agents ready",
    ] {
        assert!(
            table.stdout.contains(part),
            "{part:?} is missing in:\n{}",
            table.stdout
        );
    }
}

#[tokio::test]
async fn a_rename_reaches_the_user_and_the_room() {
    let servers = Servers::start().await;
    servers.program.run(&["sync"]).await;
    servers
        .letta
        .update_agent(&"agent-002".into(), &AgentUpdate::rename("Beatrice"))
        .await
        .unwrap();
    let plan = servers.program.run(&["sync", "--dry-run"]).await;
    assert!(
        plan.stdout.contains("rename the room to \"Beatrice\""),
        "{plan:?}"
    );
    let ran = servers.program.run(&["sync"]).await;
    assert!(
        ran.stdout
            .starts_with("3 agents: 1 agent renamed.\n3 Matrix requests"),
        "{ran:?}"
    );
    assert_eq!(
        servers.matrix.user(&beta()).unwrap().display_name.as_deref(),
        Some("Beatrice")
    );
    assert!(
        servers
            .rooms()
            .iter()
            .any(|room| servers.matrix.room(room).unwrap().name.as_deref() == Some("Beatrice"))
    );
}

#[tokio::test]
async fn an_agent_that_fails_stops_no_other_and_the_next_sync_finishes_it() {
    let servers = Servers::start().await;
    servers.matrix.plan(
        Fault::on("create_room")
            .user(beta())
            .refuse(403, "M_FORBIDDEN", "You shall not"),
    );
    let ran = servers.program.run(&["sync"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    for part in [
        "1 agent failed; the next sync tries again:\n  Agent Beta (agent-002), making the room: ",
        "You shall not",
        "MATRIX_HOMESERVER_URL (from the environment)",
        "MATRIX_AS_TOKEN (from the environment)",
    ] {
        assert!(
            ran.stdout.contains(part),
            "{part:?} is missing in:\n{}",
            ran.stdout
        );
    }
    let status = servers.program.run(&["status", "--json"]).await.json();
    assert_eq!(
        (&status[1]["state"], &status[1]["room_id"]),
        (&json!("failed"), &Value::Null)
    );
    assert!(
        status[1]["last_error"]
            .as_str()
            .unwrap()
            .contains("You shall not"),
        "{status}"
    );

    let report = servers.program.run(&["sync", "--json"]).await.json();
    assert_eq!(
        (&report["rooms_created"], &report["unchanged"]),
        (&json!(1), &json!(2))
    );
    servers.assert_everyone_is_at_home();
    let status = servers.program.run(&["status", "--json"]).await.json();
    assert_eq!(
        (&status[1]["state"], &status[1]["last_error"]),
        (&json!("ready"), &Value::Null)
    );
}

#[tokio::test]
async fn a_failed_agent_is_an_object_for_programs() {
    let servers = Servers::start().await;
    servers.matrix.plan(
        Fault::on("register")
            .argument("agent_002")
            .refuse(400, "M_EXCLUSIVE", "Not yours"),
    );
    let ran = servers.program.run(&["sync", "--json"]).await;
    assert_eq!(ran.code, 1);
    let report = ran.json();
    let failed = report["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (&failed[0]["agent_id"], &failed[0]["step"]),
        (&json!("agent-002"), &json!("register"))
    );
    assert!(
        failed[0]["error"].as_str().unwrap().contains("Not yours"),
        "{report}"
    );
}

#[tokio::test]
async fn a_homeserver_that_fails_in_the_middle_leaves_nothing_half_done() {
    for kind in [MatrixErrorKind::Server, MatrixErrorKind::Interrupted] {
        for call in ["register", "set_display_name", "create_room", "set_state_event"] {
            let servers = Servers::start().await;
            servers
                .matrix
                .plan(Fault::on(call).skip(1).fail(kind.clone()).always());
            let ran = servers.program.run(&["sync", "--json"]).await;
            assert_eq!(ran.code, 1, "{call} {kind:?}: {ran:?}");
            servers.matrix.clear_faults();
            let ran = servers.program.run(&["sync", "--json"]).await;
            assert_eq!(
                (ran.code, &ran.json()["failed"]),
                (0, &json!([])),
                "{call} {kind:?}"
            );
            servers.assert_everyone_is_at_home();
            assert_eq!(
                servers.program.run(&["sync", "--json"]).await.json()["requests"]["matrix"],
                0
            );
        }
    }
}

#[tokio::test]
async fn answers_that_get_lost_leave_nothing_behind() {
    for call in ["register", "create_room", "set_state_event"] {
        let servers = Servers::start().await;
        servers
            .matrix
            .plan(Fault::on(call).fail_after(MatrixErrorKind::Interrupted).times(2));
        servers.program.run(&["sync", "--json"]).await;
        let ran = servers.program.run(&["sync", "--json"]).await;
        assert_eq!(ran.code, 0, "{call}: {ran:?}");
        servers.assert_everyone_is_at_home();
    }
}

#[tokio::test]
async fn a_homeserver_that_is_down_later_is_named() {
    let servers = Servers::start().await;
    servers.program.run(&["sync"]).await;
    servers.letta.add_agent("agent-003", "Agent Gamma");
    servers.matrix.down();
    let ran = servers.program.run(&["sync"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stdout
            .contains("Agent Gamma (agent-003), registering the user: "),
        "{ran:?}"
    );
    assert!(
        ran.stdout
            .contains("as MATRIX_HOMESERVER_URL (from the environment) says"),
        "{ran:?}"
    );
    servers.matrix.up();
    assert_eq!(servers.program.run(&["sync"]).await.code, 0);
    servers.assert_everyone_is_at_home();
}

#[tokio::test]
async fn an_agent_that_is_gone_is_reported_and_keeps_its_room() {
    let servers = Servers::start().await;
    servers.program.run(&["sync"]).await;
    servers.letta.delete_agent(&"agent-002".into()).await.unwrap();
    let ran = servers.program.run(&["sync"]).await;
    assert!(
        ran.code == 0
            && ran
                .stdout
                .contains("nothing was done to their rooms yet: agent-002"),
        "{ran:?}"
    );
    assert_eq!(
        servers.program.run(&["sync", "--json"]).await.json()["missing"],
        json!(["agent-002"])
    );
    assert_eq!(servers.rooms().len(), 3);
}

#[tokio::test]
async fn admins_are_invited_unless_somebody_else_is_named() {
    let mut servers = Servers::start().await;
    servers.program.unset("LETTA_MATRIX_INVITE");
    let file = servers.program.folder().join("letta-matrix.toml");
    std::fs::write(
        file,
        "[people.permissions]\n'@admin:matrix.test' = 'admin'\n'matrix.test' = 'talk'\n",
    )
    .unwrap();
    servers.program.run(&["sync"]).await;
    for room in servers.rooms() {
        assert_eq!(
            servers.matrix.room(&room).unwrap().invited(),
            ["@admin:matrix.test"]
        );
    }
}

#[tokio::test]
async fn the_most_talkative_log_shows_no_secret() {
    let servers = Servers::start().await;
    servers.matrix.plan(
        Fault::on("create_room")
            .user(beta())
            .refuse(403, "M_FORBIDDEN", "no"),
    );
    // The runs themselves check for secrets.
    let ran = servers.program.run(&["sync", "-vvv"]).await;
    assert!(ran.stderr.contains("create_room"), "nothing was logged");
    let mut wrong = servers.program;
    wrong.set("LETTA_TOKEN", "not-a-real-secret-and-wrong");
    assert_eq!(wrong.run(&["sync", "-vvv"]).await.code, 2);
    wrong.set("LETTA_TOKEN", super::program::LETTA_TOKEN);
    wrong.set("MATRIX_AS_TOKEN", "not-a-real-secret-and-wrong");
    wrong.set("DATABASE_URL", "other.db");
    assert_eq!(wrong.run(&["sync", "-vvv"]).await.code, 2);
}
