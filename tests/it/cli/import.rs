//! `import` between the served fakes.

use fake_servers::letta::LettaServer;
use letta_client::fake::FakeLetta;
use matrix_client::{
    LoginRequest, MatrixApi, NewRoom, RoomPreset, Session,
    fake::{FakeMatrix, TEST_PASSWORD},
};
use ruma::{OwnedRoomId, OwnedUserId, user_id};
use serde_json::{Value, json};

use super::{
    program::{LETTA_TOKEN, Program, Ran},
    raw_server::closed_port,
    servers::Servers,
};

/// The password in the file. It must never show.
const PASSWORD: &str = "not-a-real-secret-of-the-old-bridge";

const AGENTS: [(&str, &str, &str); 3] = [
    ("agent-001", "agent_001", "Agent Alpha"),
    ("agent-002", "agent_002", "Agent Beta"),
    ("agent-sync-test", "agent_sync_test", "Sync Test Agent"),
];

/// What the Python bridge left behind on the homeserver.
struct Old {
    servers: Servers,
    admin: Session,
    space: OwnedRoomId,
    mapping: Value,
}

impl Old {
    async fn bridge() -> Self {
        let servers = Servers::start().await;
        let matrix = &servers.matrix;
        let login = LoginRequest::with_password("admin", TEST_PASSWORD.into());
        let admin = matrix.login(&login).await.unwrap();
        let mut mapping = json!({});
        for (agent, user, name) in AGENTS {
            let room = home(matrix, &admin, user, name).await;
            mapping[agent] = json!({
                "agent_id": agent, "agent_name": name, "matrix_user_id": format!("@{user}:matrix.test"),
                "matrix_password": PASSWORD, "created": true, "room_id": room, "room_created": true,
                "invitation_status": { "@admin:matrix.test": "joined" },
            });
        }
        let space = matrix.create_room(&admin, &NewRoom::space()).await.unwrap();
        matrix.clear_journal();
        let old = Self {
            servers,
            admin,
            space,
            mapping,
        };
        old.write("mappings.json", &old.mapping);
        let config = json!({ "space_id": old.space, "created_at": 1.5, "name": "Letta Agents" });
        old.write("space.json", &config);
        old
    }

    fn write(&self, file: &str, content: &Value) {
        std::fs::write(self.servers.program.folder().join(file), content.to_string()).unwrap();
    }

    async fn import(&self, flags: &[&str]) -> Ran {
        let arguments = [&["import", "mappings.json"], flags].concat();
        self.servers.program.run(&arguments).await
    }
}

async fn home(matrix: &FakeMatrix, admin: &Session, user: &str, name: &str) -> OwnedRoomId {
    let session = matrix.add_user(user);
    matrix.set_display_name(&session, Some(name)).await.unwrap();
    let room = NewRoom::room()
        .name(format!("{name} - Letta Agent Chat"))
        .preset(RoomPreset::TrustedPrivateChat)
        .invite([admin.user_id.clone()]);
    let room = matrix.create_room(&session, &room).await.unwrap();
    matrix.join_room(admin, (&*room).into(), &[]).await.unwrap();
    room
}

fn room(old: &Old, agent: &str) -> OwnedRoomId {
    old.mapping[agent]["room_id"]
        .as_str()
        .unwrap()
        .try_into()
        .unwrap()
}

#[tokio::test]
async fn an_import_and_a_sync_keep_every_room() {
    let old = Old::bridge().await;
    let dry = old.import(&["--dry-run"]).await;
    assert_eq!(dry.code, 0, "{dry:?}");
    assert_eq!(
        dry.stdout,
        "3 agents in the file: 3 would be taken over.\nNothing was written.\n"
    );
    assert!(
        !old.servers
            .program
            .files()
            .contains(&"letta-matrix.db".to_owned())
    );

    let ran = old.import(&[]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_eq!(
        ran.stdout,
        "3 agents in the file: 3 taken over.\n\
         The next `letta-matrix sync` looks at 3 rooms and completes what they lack, and makes no room. \
         `letta-matrix sync --dry-run` tells more.\n"
    );
    let report = old.servers.program.run(&["sync", "--json"]).await.json();
    assert_eq!(
        (
            &report["users_created"],
            &report["rooms_created"],
            &report["failed"]
        ),
        (&json!(0), &json!(0), &json!([]))
    );
    old.servers.assert_everyone_is_at_home_beside(&old.space);
    for (agent, user, name) in AGENTS {
        let view = old.servers.matrix.room(&room(&old, agent)).unwrap();
        assert_eq!(view.name.as_deref(), Some(name));
        let user = OwnedUserId::try_from(format!("@{user}:matrix.test")).unwrap();
        assert!(view.has_joined(&user) && view.has_joined(user_id!("@admin:matrix.test")));
    }
    let again = old.import(&[]).await;
    assert!(
        again
            .stdout
            .starts_with("3 agents in the file: 0 taken over, 3 taken over before.\n"),
        "{again:?}"
    );
}

#[tokio::test]
async fn the_space_comes_along_when_the_bridge_is_let_in() {
    let old = Old::bridge().await;
    let ran = old.import(&["--space", "space.json"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stdout
            .contains("is not taken over: the bridge's own user is not in it. Invite it there with power 50"),
        "{ran:?}"
    );
    let matrix = &old.servers.matrix;
    let bot = user_id!("@letta_bot:matrix.test");
    matrix
        .invite_user(&old.admin, &old.space, bot, None)
        .await
        .unwrap();
    let levels = json!({ "users": { bot.as_str(): 50 }, "events": { "m.space.child": 50 } });
    let changed = matrix
        .set_state_event(&old.admin, &old.space, &"m.room.power_levels".into(), "", &levels)
        .await;
    changed.unwrap();
    let ran = old.import(&["--space", "space.json", "--json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let report = ran.json();
    assert_eq!(
        report["space"],
        json!({ "outcome": "adopted", "room_id": old.space })
    );
    let report = old.servers.program.run(&["sync", "--json"]).await.json();
    assert_eq!(report["space_created"], false);
    old.servers.assert_everyone_is_at_home();
}

#[tokio::test]
async fn programs_are_told_everything() {
    let old = Old::bridge().await;
    let mut mapping = old.mapping.clone();
    mapping["agent-002"]["room_id"] = Value::Null;
    mapping["agent-elsewhere"] =
        json!({ "matrix_user_id": "@agent_x:elsewhere.test", "matrix_password": PASSWORD });
    mapping["agent-never"] = json!({ "matrix_user_id": "@agent_never:matrix.test", "created": false });
    old.write("mappings.json", &mapping);
    let ran = old.import(&["--json"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let report = ran.json();
    assert_eq!(report["imported"][1]["room_id"], Value::Null);
    let mut told = report.clone();
    told["imported"] = json!(report["imported"].as_array().unwrap().len());
    let expected = json!({
        "entries": 5, "imported": 3, "unchanged": 0, "space": null, "checked": true, "dry_run": false,
        "skipped": [
            { "agent_id": "agent-elsewhere", "reason": "other_server",
              "detail": "its user @agent_x:elsewhere.test is one of another homeserver than matrix.test" },
            { "agent_id": "agent-never", "reason": "nothing_made",
              "detail": "neither its user nor its room was ever made" },
        ],
        "next_sync": { "rooms_to_complete": 2, "rooms_to_make": 1, "missing": 0 },
    });
    assert_eq!(told, expected);
    assert_eq!(
        report["imported"][0],
        json!({
            "agent_id": "agent-001", "agent_name": "Agent Alpha", "user_id": "@agent_001:matrix.test",
            "room_id": room(&old, "agent-001"), "room_out_of_reach": false,
        })
    );
    let told = old.import(&[]).await.stdout;
    assert!(
        told.contains("2 agents are not taken over:\n  agent-elsewhere: its user"),
        "{told}"
    );
}

#[tokio::test]
async fn a_file_that_is_none_is_refused_without_showing_it() {
    let old = Old::bridge().await;
    let folder = old.servers.program.folder().to_owned();
    let write = |bytes: &[u8]| std::fs::write(folder.join("mappings.json"), bytes).unwrap();
    write(format!("{{\"agent-001\": {PASSWORD}").as_bytes());
    old.import(&[])
        .await
        .assert_could_not_run(&["mappings.json is no mapping of a Python bridge", "line 1, column"]);
    write(format!("[{PASSWORD:?}]").as_bytes());
    old.import(&[])
        .await
        .assert_could_not_run(&["it is not an object with an entry for each agent"]);
    write(&[0xff, 0xfe, 0x00]);
    old.import(&[]).await.assert_could_not_run(&["it is not UTF-8"]);
    let huge = std::fs::File::create(folder.join("mappings.json")).unwrap();
    huge.set_len(65 * 1024 * 1024).unwrap();
    old.import(&[])
        .await
        .assert_could_not_run(&["larger than 64 MiB"]);
    std::fs::remove_file(folder.join("mappings.json")).unwrap();
    old.import(&[])
        .await
        .assert_could_not_run(&["cannot read mappings.json", "no such file"]);
    write(b"{}");
    old.write("space.json", &json!({ "space_id": null }));
    old.import(&["--space", "space.json"])
        .await
        .assert_could_not_run(&["space.json names no space"]);
    old.import(&["--space", "."])
        .await
        .assert_could_not_run(&["it is a directory"]);
    let ran = old.import(&[]).await;
    assert!(ran.stdout.starts_with("0 agents in the file"), "{ran:?}");
}

#[tokio::test]
async fn names_in_the_file_cannot_move_the_cursor() {
    let old = Old::bridge().await;
    let mut mapping = old.mapping.clone();
    mapping["agent-\u{1b}[2J"] = json!("bad");
    mapping["agent-001"]["agent_name"] = json!("\u{1b}[31mred\nline");
    mapping["agent-001"]["room_id"] = Value::Null;
    old.write("mappings.json", &mapping);
    let ran = old.import(&[]).await;
    assert!(
        !ran.stdout.contains('\u{1b}') && ran.stdout.contains("red"),
        "{ran:?}"
    );
    assert_eq!(ran.stdout.lines().count(), 5, "{ran:?}");
}

#[tokio::test]
async fn an_import_needs_the_homeserver_and_not_letta() {
    let old = Old::bridge().await;
    old.servers.letta.down();
    let ran = old.import(&[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout
            .ends_with("`letta-matrix sync --dry-run` tells what the next sync will do.\n"),
        "{ran:?}"
    );
    old.write(
        "mappings.json",
        &json!({ "agent-9": { "matrix_user_id": "@agent_9:matrix.test" } }),
    );
    old.servers.matrix.down();
    let ran = old.import(&["--json"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.json()["skipped"][0]["reason"], "unanswered");
    let nobody = closed_port().await;
    let arguments = ["import", "mappings.json", "--matrix-homeserver-url", &nobody];
    let ran = old.servers.program.run(&arguments).await;
    ran.assert_could_not_run(&["cannot be reached", "--matrix-homeserver-url"]);
}

#[tokio::test]
async fn without_an_application_service_the_passwords_of_the_file_are_used() {
    let letta = FakeLetta::with_test_agents().with_token(LETTA_TOKEN);
    let matrix = FakeMatrix::builder("matrix.test").build();
    let admin = matrix.add_user("admin");
    matrix.add_user("letta");
    let mut mapping = json!({});
    for (agent, user, name) in AGENTS {
        let room = home(&matrix, &admin, user, name).await;
        mapping[agent] = json!({
            "matrix_user_id": format!("@{user}:matrix.test"), "matrix_password": TEST_PASSWORD, "room_id": room,
        });
    }
    mapping["agent-002"]["matrix_password"] = json!(PASSWORD);
    let served = [
        fake_servers::letta::spawn(LettaServer::new(letta)).await.unwrap(),
        fake_servers::matrix::spawn(matrix.clone()).await.unwrap(),
    ];
    let mut program = Program::new(served[0].base_url().as_str(), served[1].base_url().as_str());
    program.unset("MATRIX_AS_TOKEN");
    program.unset("MATRIX_HS_TOKEN");
    program.set("MATRIX_USERNAME", "letta");
    program.set("MATRIX_PASSWORD", TEST_PASSWORD);
    program.set("MATRIX_ACCOUNT_KEY", "not-a-real-secret-account-key-0123456789");
    program.set("LETTA_MATRIX_INVITE", "@admin:matrix.test");
    let write = |mapping: &Value| {
        std::fs::write(program.folder().join("mappings.json"), mapping.to_string()).unwrap();
    };
    write(&mapping);
    matrix.clear_journal();
    let arguments = ["import", "mappings.json", "--json"];
    let dry = program
        .run(&[&arguments[..], &["--dry-run"]].concat())
        .await
        .json();
    assert_eq!((&dry["checked"], matrix.call_count()), (&json!(false), 0));

    let ran = program.run(&arguments).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let report = ran.json();
    assert_eq!(report["imported"].as_array().unwrap().len(), 2, "{report}");
    assert_eq!(
        (&report["skipped"][0]["agent_id"], &report["skipped"][0]["reason"]),
        (&json!("agent-002"), &json!("not_ours")),
        "a password that is not the user's"
    );
    mapping["agent-002"]["matrix_password"] = json!(TEST_PASSWORD);
    write(&mapping);
    let report = program.run(&arguments).await.json();
    assert_eq!(
        (&report["unchanged"], &report["skipped"]),
        (&json!(2), &json!([])),
        "{report}"
    );
    let report = program.run(&["sync", "--json"]).await.json();
    assert_eq!(
        (
            &report["users_created"],
            &report["rooms_created"],
            &report["failed"]
        ),
        (&json!(0), &json!(0), &json!([])),
        "{report}"
    );
    assert_eq!(matrix.count("invite_user"), 0);
    let logins = matrix.count("login");
    assert!(
        logins <= 3 + 1 + 1,
        "each user once, and the wrong password: {logins}"
    );
}
