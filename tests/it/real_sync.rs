//! The main job on real servers: agents of a real Letta become users, rooms and a space on a real Synapse.
//!
//! One test, because its steps build on each other and the servers are shared: first sync, nothing to do, a rename, a
//! kill in the middle, a lost database.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use agent_sync::SyncConfig;
use letta_client::{
    Agent, AgentId, AgentQuery, AgentUpdate, LettaApi, LettaApiExt, NewAgent, http::HttpLetta,
};
use matrix_client::{
    Appservice, HttpMatrix, LoginRequest, MatrixApi, MatrixApiExt, Session, SynapseAdminApi,
    admin::RoomsRequest,
};
use ruma::{OwnedRoomId, UserId};
use secrecy::SecretString;
use serde_json::Value;
use tokio::process::Command;

use crate::support::{env, real_services};

/// How many agents the first sync brings home.
const AGENTS: usize = 25;

/// Matrix requests that do not depend on the number of agents: making the space.
const CONSTANT: u64 = 2;

/// Names that are hard to show, given by renaming: creating with them is refused by Letta.
fn hard_names() -> [String; 5] {
    [
        String::new(),
        "long ".repeat(1_000),
        "🦀 crab / with <b>all</b> : of @it".to_owned(),
        "سارة".to_owned(),
        "bell\u{7}\nand\ttab \u{202E}desrever".to_owned(),
    ]
}

struct Servers {
    letta: HttpLetta,
    matrix: HttpMatrix,
    admin: Session,
    bot: Session,
    config: SyncConfig,
}

impl Servers {
    async fn connect() -> Self {
        let letta = HttpLetta::new(env("LETTA_API_URL"), Some(env("LETTA_TOKEN").into())).unwrap();
        let matrix = HttpMatrix::new(env("MATRIX_HOMESERVER_URL").parse().unwrap()).unwrap();
        let login = LoginRequest::with_password(
            env("MATRIX_ADMIN_USERNAME").as_str(),
            SecretString::from(env("MATRIX_ADMIN_PASSWORD")),
        );
        let admin = matrix.login(&login).await.unwrap();
        let server_name = env("MATRIX_SERVER_NAME");
        let sender = UserId::parse(format!("@letta_bot:{server_name}")).unwrap();
        let appservice = Appservice::new("letta-matrix", SecretString::from(env("MATRIX_AS_TOKEN")), sender);
        let bot = appservice.sender_session();
        let config = SyncConfig::new(server_name.try_into().unwrap(), appservice);
        Self {
            letta,
            matrix,
            admin,
            bot,
            config,
        }
    }

    async fn create_agents(&self, prefix: &str, count: usize) -> Vec<AgentId> {
        let mut ids = Vec::new();
        for n in 1..=count {
            let agent = NewAgent {
                model: Some(crate::support::model()),
                embedding: Some(crate::support::embedding()),
                ..NewAgent::named(format!("{prefix} {n:02}"))
            };
            ids.push(self.letta.create_agent(&agent).await.unwrap().id);
        }
        ids
    }

    async fn agents(&self) -> Vec<Agent> {
        let listing = self.letta.list_all_agents(&AgentQuery::default()).await.unwrap();
        assert!(listing.is_complete());
        listing.agents
    }

    /// Names of all rooms in which the agents' users are, by the user that made them, and the spaces.
    async fn rooms(&self) -> (BTreeMap<String, Vec<OwnedRoomId>>, Vec<OwnedRoomId>) {
        let (mut rooms, mut spaces) = (BTreeMap::<String, Vec<_>>::new(), Vec::new());
        let mut request = RoomsRequest::new().limit(100);
        loop {
            let page = self.matrix.list_rooms(&self.admin, &request).await.unwrap();
            for room in page.rooms {
                let Some(creator) = room.creator else { continue };
                if creator == self.bot.user_id {
                    spaces.push(room.room_id);
                } else if creator.localpart().starts_with("agent_") {
                    rooms.entry(creator.to_string()).or_default().push(room.room_id);
                }
            }
            match page.next_batch {
                Some(next) => request = RoomsRequest::new().limit(100).from(next),
                None => return (rooms, spaces),
            }
        }
    }

    /// Every agent has one user and one room, named right, in the one space, and nothing else is there.
    async fn assert_home(&self, agents: &[Agent]) {
        let (rooms, spaces) = self.rooms().await;
        assert_eq!(spaces.len(), 1, "one space: {spaces:?}");
        let children: BTreeSet<_> = self
            .matrix
            .list_all_space_children(&self.bot, &spaces[0], Some(1))
            .await
            .unwrap()
            .into_iter()
            .flat_map(|room| room.children)
            .map(|child| child.room_id)
            .collect();
        let users: BTreeSet<_> = agents
            .iter()
            .map(|agent| self.config.user_id(&agent.id).unwrap().to_string())
            .collect();
        assert_eq!(
            rooms.keys().cloned().collect::<BTreeSet<_>>(),
            users,
            "a room for every agent's user"
        );
        assert_eq!(children.len(), agents.len(), "children of the space");
        for agent in agents {
            let user = self.config.user_id(&agent.id).unwrap();
            let name = agent_sync::display_name(agent);
            let profile = self.matrix.get_profile(&self.admin, &user).await.unwrap();
            assert_eq!(
                profile.display_name.as_deref(),
                Some(name.as_str()),
                "display name of {user}"
            );
            let own = &rooms[user.as_str()];
            assert_eq!(own.len(), 1, "rooms of {user}: {own:?}");
            assert!(children.contains(&own[0]), "{user}'s room is in the space");
            let alias = self.config.room_alias(&agent.id).unwrap();
            assert_eq!(
                self.matrix.resolve_alias(&self.admin, &alias).await.unwrap(),
                own[0]
            );
            let ghost = self.config.appservice.act_as(&user);
            let room_name = self
                .matrix
                .get_state_event(&ghost, &own[0], &"m.room.name".into(), "")
                .await
                .unwrap();
            assert_eq!(room_name["name"], name.as_str(), "room name of {user}");
        }
    }
}

/// The program under test, in a folder of its own.
struct Program {
    folder: tempfile::TempDir,
}

impl Program {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command.env(
            "LETTA_MATRIX_INVITE",
            format!("@admin:{}", env("MATRIX_SERVER_NAME")),
        );
        command
    }

    async fn sync(&self) -> Value {
        let output = self.command(&["sync", "--json"]).output().await.unwrap();
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
    }

    fn forget(&self) {
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
}

fn binary() -> PathBuf {
    std::env::var_os("LETTA_MATRIX_BIN").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/letta-matrix"),
        PathBuf::from,
    )
}

fn count(report: &Value, field: &str) -> u64 {
    report
        .pointer(field)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("no {field} in {report}"))
}

#[tokio::test]
async fn agents_of_a_real_letta_come_home_to_a_real_synapse() {
    if !real_services() {
        return;
    }
    let servers = Servers::connect().await;
    let program = Program::new();
    let ids = servers.create_agents("Sync", AGENTS).await;
    for (id, name) in ids.iter().zip(hard_names()) {
        servers
            .letta
            .update_agent(id, &AgentUpdate::rename(name))
            .await
            .unwrap();
    }
    let agents = servers.agents().await;
    let total = agents.len() as u64;

    // The first sync brings everybody home, at four requests an agent.
    let report = program.sync().await;
    assert_eq!(count(&report, "/agents"), total);
    assert_eq!(count(&report, "/users_created"), total, "{report}");
    assert_eq!(count(&report, "/rooms_created"), total, "{report}");
    let matrix_requests = count(&report, "/requests/matrix");
    assert!(
        matrix_requests <= 4 * total + CONSTANT,
        "{matrix_requests} requests for {total} agents"
    );
    servers.assert_home(&agents).await;

    // Nothing changed: the homeserver is not asked.
    let report = program.sync().await;
    assert_eq!(count(&report, "/requests/matrix"), 0, "{report}");
    assert_eq!(count(&report, "/unchanged"), total);
    assert!(count(&report, "/requests/letta") <= 1 + total / 500, "{report}");

    // A rename reaches the user and the room.
    servers
        .letta
        .update_agent(&ids[10], &AgentUpdate::rename("Renamed Agent"))
        .await
        .unwrap();
    let report = program.sync().await;
    assert_eq!(
        (count(&report, "/renamed"), count(&report, "/requests/matrix")),
        (1, 2),
        "{report}"
    );
    let agents = servers.agents().await;
    servers.assert_home(&agents).await;

    // Killed in the middle, the next run finishes what was begun.
    servers.create_agents("Late", 8).await;
    for _ in 0..3 {
        let mut interrupted = program
            .command(&["sync", "--json"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::timeout(Duration::from_millis(700), interrupted.wait())
            .await
            .ok();
        interrupted.kill().await.ok();
    }
    program.sync().await;
    let agents = servers.agents().await;
    servers.assert_home(&agents).await;

    // Without its database it finds everything again and makes nothing twice.
    program.forget();
    let report = program.sync().await;
    let total = agents.len() as u64;
    assert_eq!(
        (count(&report, "/users_created"), count(&report, "/rooms_created")),
        (0, 0),
        "{report}"
    );
    assert_eq!(
        count(&report, "/adopted"),
        total + 1,
        "every room and the space: {report}"
    );
    servers.assert_home(&agents).await;
    let report = program.sync().await;
    assert_eq!(count(&report, "/requests/matrix"), 0, "{report}");
}
