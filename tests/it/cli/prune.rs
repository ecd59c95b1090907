//! `prune` between the served fakes.

use letta_client::LettaApi;
use matrix_client::{MatrixApi, fake::TEST_PASSWORD};
use rexpect::session::spawn_command;
use ruma::{OwnedRoomId, room_alias_id};
use secrecy::ExposeSecret;
use serde_json::json;

use super::servers::Servers;

/// A world in which Agent Beta is gone, and its room archived.
async fn without_beta() -> (Servers, OwnedRoomId) {
    let mut servers = Servers::start().await;
    servers.program.set("LETTA_MATRIX_REMOVAL_GRACE", "0s");
    sync(&servers).await;
    let alias = room_alias_id!("#agent_002:matrix.test");
    let room = servers.matrix.alias(alias).unwrap();
    servers.letta.delete_agent(&"agent-002".into()).await.unwrap();
    sync(&servers).await;
    sync(&servers).await;
    assert_eq!(
        servers.matrix.room(&room).unwrap().name.as_deref(),
        Some("Agent Beta (archived)")
    );
    servers.matrix.clear_journal();
    (servers, room)
}

async fn sync(servers: &Servers) {
    let ran = servers.program.run(&["sync"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[tokio::test]
async fn a_dry_run_tells_what_would_go_and_deletes_nothing() {
    let (servers, room) = without_beta().await;
    let before = servers.matrix.room(&room);
    let ran = servers.program.run(&["prune", "--dry-run"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for part in [
        "1 agent is gone: everybody is asked out",
        "Agent Beta (agent-002), @agent_002:matrix.test",
        &format!("{room} with 1 person, archived 2"),
        "deleted in Letta",
        "Nothing was deleted.",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is missing in {ran:?}");
    }
    let plan = servers
        .program
        .run(&["prune", "--dry-run", "--json"])
        .await
        .json();
    assert_eq!(
        (&plan["dry_run"], &plan["kept"], &plan["failed"]),
        (&json!(true), &json!([]), &json!([]))
    );
    let prunable = &plan["prunable"][0];
    assert_eq!(
        (&prunable["agent_id"], &prunable["reason"], &prunable["people"]),
        (&json!("agent-002"), &json!("deleted"), &json!(1))
    );
    assert_eq!(servers.matrix.room(&room), before);
}

#[tokio::test]
async fn without_a_terminal_it_takes_a_yes() {
    let (servers, room) = without_beta().await;
    let before = servers.matrix.room(&room);
    for arguments in [&["prune"][..], &["prune", "--json"]] {
        let ran = servers.program.run_with_input(arguments, "delete 1\n").await;
        ran.assert_could_not_run(&["there is no terminal to ask on", "--yes"]);
    }
    assert_eq!(servers.matrix.call_count(), 0);
    let ran = servers.program.run(&["prune", "--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout
            .contains(&format!("Agent Beta (agent-002): {room} is empty")),
        "{ran:?}"
    );
    assert_ne!(servers.matrix.room(&room), before);
    assert!(servers.matrix.room(&room).unwrap().joined().is_empty());
    let again = servers.program.run(&["prune", "--yes"]).await;
    assert_eq!(
        (again.code, again.stdout.as_str()),
        (0, "There is nothing to delete.\n")
    );
    let status = servers.program.run(&["status", "--json"]).await.json();
    assert_eq!(status.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_administrator_has_the_homeserver_delete_the_room() {
    let (mut servers, room) = without_beta().await;
    servers.matrix.add_admin("operator");
    servers.program.set("MATRIX_ADMIN_USERNAME", "operator");
    servers
        .program
        .run(&["prune", "--yes"])
        .await
        .assert_could_not_run(&[
            "MATRIX_ADMIN_USERNAME (from the environment) is set, and MATRIX_ADMIN_PASSWORD",
        ]);
    servers.program.set("MATRIX_ADMIN_PASSWORD", "not-a-real-secret");
    servers
        .program
        .run(&["prune", "--yes"])
        .await
        .assert_could_not_run(&[
            "the homeserver refused the administrator",
            "MATRIX_ADMIN_PASSWORD",
        ]);
    servers.program.set("MATRIX_ADMIN_PASSWORD", TEST_PASSWORD);
    let ran = servers.program.run(&["prune", "--yes", "--json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let report = ran.json();
    let pruned = json!([{
        "agent_id": "agent-002", "agent_name": "Agent Beta", "user_id": "@agent_002:matrix.test",
        "room_id": room, "outcome": "deleted", "remaining": [],
    }]);
    assert_eq!((&report["pruned"], &report["failed"]), (&pruned, &json!([])));
    assert!(report["requests"]["matrix"].is_u64() && report["duration_ms"].is_u64());
    assert_eq!(servers.matrix.room(&room), None);
    assert_eq!(
        servers.matrix.count("login"),
        servers.matrix.count("logout") + 1,
        "the administrator's session is ended"
    );
}

#[tokio::test]
async fn a_token_of_an_administrator_does_as_well_and_stays_valid() {
    let (mut servers, room) = without_beta().await;
    let operator = servers.matrix.add_admin("operator");
    servers.program.set("MATRIX_ADMIN_TOKEN", "not-a-real-secret");
    servers
        .program
        .run(&["prune", "--yes"])
        .await
        .assert_could_not_run(&["the homeserver refused the administrator", "MATRIX_ADMIN_TOKEN"]);
    servers
        .program
        .set("MATRIX_ADMIN_TOKEN", operator.token().expose_secret());
    let ran = servers.program.run(&["prune", "--yes", "--json"]).await;
    assert_eq!(ran.json()["pruned"][0]["outcome"], "deleted", "{ran:?}");
    assert_eq!(servers.matrix.room(&room), None);
    let who = servers.matrix.whoami(&operator).await.unwrap();
    assert_eq!(who.user_id, operator.user_id);
}

#[tokio::test]
async fn who_is_no_administrator_is_told_so() {
    let (mut servers, room) = without_beta().await;
    let before = servers.matrix.room(&room);
    servers.matrix.add_user("somebody");
    servers.program.set("MATRIX_ADMIN_USERNAME", "somebody");
    servers.program.set("MATRIX_ADMIN_PASSWORD", TEST_PASSWORD);
    servers
        .program
        .run(&["prune", "--yes"])
        .await
        .assert_could_not_run(&["somebody", "no administrator", "MATRIX_ADMIN_USERNAME"]);
    assert_eq!(servers.matrix.room(&room), before);
}

#[tokio::test]
async fn what_was_archived_only_just_is_kept_when_asked_for() {
    let (servers, room) = without_beta().await;
    let before = servers.matrix.room(&room);
    let ran = servers
        .program
        .run(&["prune", "--yes", "--older-than", "30d"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        ran.stdout,
        "There is nothing to delete.\n  kept: Agent Beta (agent-002): archived more recently than that\n"
    );
    assert_eq!(servers.matrix.room(&room), before);
    let ran = servers.program.run(&["prune", "--older-than", "soon"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[tokio::test]
async fn nothing_goes_while_letta_is_down() {
    let (servers, room) = without_beta().await;
    let before = servers.matrix.room(&room);
    servers.letta.down();
    servers
        .program
        .run(&["prune", "--yes"])
        .await
        .assert_could_not_run(&["the Letta server"]);
    assert_eq!(servers.matrix.room(&room), before);
}

#[tokio::test]
async fn without_a_state_there_is_nothing_to_prune() {
    let servers = Servers::start().await;
    let ran = servers.program.run(&["prune", "--yes"]).await;
    ran.assert_could_not_run(&["there is no state yet", "letta-matrix sync"]);
    assert_eq!(servers.program.files(), [""; 0]);
}

#[tokio::test]
async fn on_a_terminal_the_number_of_rooms_must_be_typed() {
    let (servers, room) = without_beta().await;
    let before = servers.matrix.room(&room);
    for (typed, deleted) in [("yes", false), ("delete 2", false), ("delete 1", true)] {
        let mut command = servers.program.command();
        command.args(["prune"]);
        let answered = tokio::task::spawn_blocking(move || {
            let mut terminal = spawn_command(command, Some(60_000)).unwrap();
            terminal
                .exp_string("Type \"delete 1\" to delete 1 room: ")
                .unwrap();
            terminal.send_line(typed).unwrap();
            terminal.exp_eof().unwrap()
        });
        let told = answered.await.unwrap();
        let expected = if deleted {
            "1 agent is gone for good."
        } else {
            "Nothing was deleted."
        };
        assert!(told.contains(expected), "{typed}: {told}");
        assert_eq!(servers.matrix.room(&room) == before, !deleted);
    }
}
