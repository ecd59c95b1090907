//! Switching over on real servers: what a Python bridge leaves behind on a Synapse is taken over, completed, and one room of
//! it deleted for good.
//!
//! The users are made as that bridge makes them, by ordinary registration with a password, while the homeserver does not
//! know our application service yet: afterwards their names are reserved.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    path::{Path, PathBuf},
    process::Stdio,
};

use agent_sync::{AGENT_MARKER, SyncConfig};
use letta_client::{AgentId, LettaApi, NewAgent, http::HttpLetta};
use matrix_client::{
    HttpMatrix, LoginRequest, MatrixApi, MatrixApiExt, MemberFilter, NewRoom, Registration, RoomPreset,
    Session, StateEventType, SynapseAdminApi, admin::RoomsRequest,
};
use ruma::{OwnedRoomId, OwnedUserId, UserId};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{embedding, env, model, real_services};

/// The password of every old user, which must never show.
const PASSWORD: &str = "not-a-real-secret-of-the-old-bridge";

struct Home {
    agent: AgentId,
    name: String,
    user: OwnedUserId,
    room: OwnedRoomId,
}

struct Old {
    /// What the agents' names begin with. Servers that are started for playing keep their agents.
    prefix: String,
    letta: HttpLetta,
    matrix: HttpMatrix,
    admin: Session,
    space: OwnedRoomId,
    homes: Vec<Home>,
}

impl Old {
    /// A Python bridge ran here before our application service was installed.
    async fn bridge() -> Self {
        let letta = HttpLetta::new(env("LETTA_API_URL"), Some(env("LETTA_TOKEN").into())).unwrap();
        let matrix = HttpMatrix::new(env("MATRIX_HOMESERVER_URL").parse().unwrap()).unwrap();
        let prefix = format!("Import {:x}", RandomState::new().hash_one(()));
        let mut agents = Vec::new();
        for n in 1..=4 {
            let name = format!("{prefix} {n}");
            let agent = NewAgent {
                model: Some(model()),
                embedding: Some(embedding()),
                ..NewAgent::named(name.as_str())
            };
            agents.push((letta.create_agent(&agent).await.unwrap().id, name));
        }
        restart_synapse(false).await;
        let login = LoginRequest::with_password(
            env("MATRIX_ADMIN_USERNAME").as_str(),
            SecretString::from(env("MATRIX_ADMIN_PASSWORD")),
        );
        let admin = matrix.login(&login).await.unwrap();
        let power = json!({ "events": { "m.space.child": 50 } });
        let space = NewRoom::space()
            .name("Letta Agents")
            .topic("All Letta AI agents - organized by the Letta Matrix bridge")
            .preset(RoomPreset::PrivateChat)
            .power_level_overrides(power.as_object().unwrap().clone());
        let space = matrix.create_room(&admin, &space).await.unwrap();
        let mut homes = Vec::new();
        for (agent, name) in agents {
            homes.push(home(&matrix, &admin, &space, agent, name).await);
        }
        restart_synapse(true).await;
        Self {
            prefix,
            letta,
            matrix,
            admin,
            space,
            homes,
        }
    }

    /// Its files.
    fn write_files(&self, folder: &Path) {
        let mapping: serde_json::Map<String, Value> = self.homes.iter().map(|home| (home.agent.to_string(), json!({
            "agent_id": home.agent, "agent_name": home.name, "matrix_user_id": home.user, "matrix_password": PASSWORD,
            "created": true, "room_id": home.room, "room_created": true,
            "invitation_status": { self.admin.user_id.as_str(): "joined" },
        }))).collect();
        let space = json!({ "space_id": self.space, "created_at": 1_763_000_000.5, "name": "Letta Agents" });
        std::fs::write(folder.join("mappings.json"), Value::Object(mapping).to_string()).unwrap();
        std::fs::write(folder.join("space.json"), space.to_string()).unwrap();
    }

    /// The old admin lets our bridge's own user into the space.
    async fn let_bot_in(&self) {
        let bot = UserId::parse(format!("@letta_bot:{}", env("MATRIX_SERVER_NAME"))).unwrap();
        let invited = self.matrix.invite_user(&self.admin, &self.space, &bot, None);
        invited.await.unwrap();
        let event_type = StateEventType::RoomPowerLevels;
        let levels = self
            .matrix
            .find_state_event(&self.admin, &self.space, &event_type, "");
        let mut levels = levels.await.unwrap().unwrap();
        levels["users"][bot.as_str()] = json!(50);
        let set = self
            .matrix
            .set_state_event(&self.admin, &self.space, &event_type, "", &levels);
        set.await.unwrap();
    }

    /// Who is in the room, and how.
    async fn members(&self, home: &Home) -> BTreeMap<OwnedUserId, String> {
        let everyone = MemberFilter::all();
        let members = self.matrix.list_members(&self.admin, &home.room, &everyone);
        let members = members.await.unwrap().into_iter();
        members
            .map(|member| (member.user_id, member.membership.to_string()))
            .collect()
    }

    /// The rooms that the agents' users made.
    async fn rooms(&self) -> BTreeMap<OwnedRoomId, OwnedUserId> {
        let mut rooms = BTreeMap::new();
        let mut request = RoomsRequest::new().limit(100);
        loop {
            let page = self.matrix.list_rooms(&self.admin, &request).await.unwrap();
            for room in page.rooms {
                if let Some(creator) = room.creator
                    && self.homes.iter().any(|home| home.user == creator)
                {
                    rooms.insert(room.room_id, creator);
                }
            }
            match page.next_batch {
                Some(next) => request = RoomsRequest::new().limit(100).from(next),
                None => return rooms,
            }
        }
    }

    async fn state(&self, home: &Home, event_type: &str) -> Option<Value> {
        let event_type = StateEventType::from(event_type);
        let content = self
            .matrix
            .find_state_event(&self.admin, &home.room, &event_type, "");
        content.await.unwrap()
    }
}

async fn home(
    matrix: &HttpMatrix,
    admin: &Session,
    space: &OwnedRoomId,
    agent: AgentId,
    name: String,
) -> Home {
    let config = SyncConfig::new(env("MATRIX_SERVER_NAME").try_into().unwrap());
    let user = config.user_id(&agent).unwrap();
    let registered = matrix
        .register(&Registration::dummy(user.localpart(), PASSWORD.into()))
        .await
        .unwrap();
    let session = registered.session.unwrap();
    matrix.set_display_name(&session, Some(&name)).await.unwrap();
    let room = NewRoom::room()
        .name(format!("{name} - Letta Agent Chat"))
        .topic(format!("Private chat with Letta agent: {name}"))
        .preset(RoomPreset::TrustedPrivateChat)
        .invite([admin.user_id.clone()]);
    let room = matrix.create_room(&session, &room).await.unwrap();
    matrix.join_room(admin, (&*room).into(), &[]).await.unwrap();
    let via = [env("MATRIX_SERVER_NAME").try_into().unwrap()];
    matrix.add_space_child(admin, space, &room, &via).await.unwrap();
    matrix.set_space_parent(admin, &room, space, &via).await.unwrap();
    Home {
        agent,
        name,
        user,
        room,
    }
}

/// With our application service, or as it was before that was installed.
async fn restart_synapse(with_appservice: bool) {
    let ctl = Path::new(env!("CARGO_MANIFEST_DIR")).join("real-services/ctl");
    for action in ["stop", "start"] {
        let done = Command::new(&ctl)
            .args([action, "synapse"])
            .env("REAL_APPSERVICE", if with_appservice { "1" } else { "0" })
            .status()
            .await
            .unwrap();
        assert!(done.success(), "{action}: {done}");
    }
}

/// The program in a folder of its own. It sees the imported agents alone: other tests made some as well.
struct Program {
    folder: tempfile::TempDir,
    prefix: String,
}

impl Program {
    fn command(&self, arguments: &[&str]) -> Command {
        let binary = std::env::var_os("LETTA_MATRIX_BIN").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/letta-matrix"),
            PathBuf::from,
        );
        let mut command = Command::new(binary);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .env("LETTA_MATRIX_INCLUDE", format!("name:{} *", self.prefix))
            // Apart from the one that other tests use, and in the namespace.
            .env(
                "LETTA_MATRIX_SPACE_ALIAS",
                format!("agent_{}", self.prefix.to_lowercase().replace(' ', "_")),
            )
            .env("LETTA_MATRIX_REMOVAL_GRACE", "0s")
            .env(
                "LETTA_MATRIX_INVITE",
                format!("@admin:{}", env("MATRIX_SERVER_NAME")),
            );
        command
    }

    async fn run(&self, arguments: &[&str]) -> Value {
        Self::finish(self.command(arguments)).await
    }

    async fn finish(mut command: Command) -> Value {
        let output = command.output().await.unwrap();
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
        assert!(
            !stdout.contains(PASSWORD) && !stderr.contains(PASSWORD),
            "{stdout}\n{stderr}"
        );
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
    }
}

#[tokio::test]
async fn a_python_bridge_is_taken_over_on_a_real_synapse() {
    if !real_services() {
        return;
    }
    let old = Old::bridge().await;
    old.let_bot_in().await;
    let program = Program {
        folder: tempfile::tempdir().unwrap(),
        prefix: old.prefix.clone(),
    };
    old.write_files(program.folder.path());
    let rooms = old.rooms().await;
    assert_eq!(rooms.len(), old.homes.len());
    let mut members = Vec::new();
    for home in &old.homes {
        members.push(old.members(home).await);
    }

    for home in &old.homes {
        let user = old.matrix.get_user(&old.admin, &home.user).await.unwrap();
        assert_eq!(user.appservice_id, None, "an ordinary user");
    }
    let import = ["import", "mappings.json", "--space", "space.json", "--json"];
    let report = program.run(&import).await;
    assert_eq!(report["imported"].as_array().unwrap().len(), 4, "{report}");
    assert_eq!(
        (&report["skipped"], &report["checked"]),
        (&json!([]), &json!(true))
    );
    assert_eq!(report["space"]["outcome"], "adopted", "{report}");
    assert_eq!(report["next_sync"]["rooms_to_complete"], 4, "{report}");
    assert_eq!(report["next_sync"]["rooms_to_make"], 0, "{report}");

    let report = program.run(&["sync", "--json"]).await;
    assert_eq!(
        (
            &report["users_created"],
            &report["rooms_created"],
            &report["space_created"]
        ),
        (&json!(0), &json!(0), &json!(false)),
        "{report}"
    );
    assert_eq!(old.rooms().await, rooms, "no new room");
    for (home, before) in old.homes.iter().zip(&members) {
        assert_eq!(&old.members(home).await, before, "people notice nothing");
        assert_eq!(old.state(home, "m.room.name").await.unwrap()["name"], home.name);
        let marker = old.state(home, AGENT_MARKER).await.unwrap();
        assert_eq!(marker["agent_id"], home.agent.as_str());
        let alias = format!("#{}:{}", home.user.localpart(), env("MATRIX_SERVER_NAME"));
        assert_eq!(
            old.state(home, "m.room.canonical_alias").await.unwrap()["alias"],
            alias
        );
        let profile = old.matrix.get_profile(&old.admin, &home.user).await.unwrap();
        assert_eq!(profile.display_name.as_deref(), Some(home.name.as_str()));
    }
    let report = program.run(&["sync", "--json"]).await;
    assert_eq!(report["requests"]["matrix"], 0, "{report}");
    let report = program.run(&import).await;
    assert_eq!(
        (&report["unchanged"], &report["imported"]),
        (&json!(4), &json!([]))
    );

    prune(&old, &program).await;
}

/// One room is deleted by the administrator, another one is left.
async fn prune(old: &Old, program: &Program) {
    let [deleted, left, ..] = old.homes.as_slice() else {
        panic!("four agents were made");
    };
    old.letta.delete_agent(&deleted.agent).await.unwrap();
    program.run(&["sync", "--json"]).await;
    let report = program.run(&["sync", "--json"]).await;
    assert_eq!(report["archived"], 1, "{report}");
    let plan = program.run(&["prune", "--dry-run", "--json"]).await;
    assert_eq!(plan["prunable"][0]["agent_id"], deleted.agent.as_str(), "{plan}");
    assert_eq!(plan["prunable"][0]["people"], 1, "{plan}");
    let report = program.run(&["prune", "--yes", "--json"]).await;
    assert_eq!(report["pruned"][0]["outcome"], "deleted", "{report}");
    let rooms = old.rooms().await;
    assert!(
        !rooms.contains_key(&deleted.room) && rooms.len() == 3,
        "{rooms:?}"
    );
    let alias = format!("#{}:{}", deleted.user.localpart(), env("MATRIX_SERVER_NAME"));
    let alias = alias.as_str().try_into().unwrap();
    assert_eq!(old.matrix.find_alias(&old.admin, alias).await.unwrap(), None);
    assert!(
        old.matrix.get_user(&old.admin, &deleted.user).await.is_ok(),
        "the user stays"
    );

    old.letta.delete_agent(&left.agent).await.unwrap();
    program.run(&["sync", "--json"]).await;
    program.run(&["sync", "--json"]).await;
    let mut command = program.command(&["prune", "--yes", "--json"]);
    command
        .env_remove("MATRIX_ADMIN_USERNAME")
        .env_remove("MATRIX_ADMIN_PASSWORD");
    let report = Program::finish(command).await;
    assert_eq!(report["pruned"][0]["outcome"], "left", "{report}");
    // The Python bridge's rooms give everybody in them the power of the agent.
    assert_eq!(
        report["pruned"][0]["remaining"],
        json!([old.admin.user_id]),
        "{report}"
    );
    let members = old.members(left).await;
    assert_eq!(members[&left.user], "leave");
    assert_eq!(members[&old.admin.user_id], "join");

    let status = program.run(&["status", "--json"]).await;
    assert_eq!(status.as_array().unwrap().len(), 2, "{status}");
    let report = program.run(&["sync", "--json"]).await;
    assert_eq!(
        (&report["rooms_created"], &report["failed"]),
        (&json!(0), &json!([])),
        "{report}"
    );
}
