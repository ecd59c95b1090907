//! The main job on real servers: agents of a real Letta become users, rooms and a space on a real Synapse.
//!
//! One test, because its steps build on each other and the servers are shared.

#![expect(clippy::print_stdout, reason = "what it costs is worth reading in CI's log")]

mod program;
mod servers;

use std::{
    hash::{BuildHasher as _, RandomState},
    process::Stdio,
    time::Duration,
};

use letta_client::{AgentId, LettaApi};
use serde_json::Value;

use self::{program::Program, servers::Servers};
use crate::support::real_services;

/// How many agents the first sync brings home.
const AGENTS: usize = 200;

/// How many of them are renamed, deleted, and left out for a while.
const RENAMED: usize = 20;
const DELETED: usize = 5;
const EXCLUDED: usize = 5;

/// Matrix requests that do not depend on the number of agents: looking for the space, making it, naming its keeper.
const CONSTANT: u64 = 3;

/// How often a sync is killed, and how many new agents each time.
const KILLS: u64 = 10;
const KILLED_AGENTS: usize = 5;

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

fn count(report: &Value, field: &str) -> u64 {
    report
        .pointer(field)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("no {field} in {report}"))
}

/// Prints what a run cost.
fn tell(what: &str, report: &Value) {
    println!(
        "{what}: {} agents, {} Matrix requests, {} Letta requests, {:.1} s",
        count(report, "/agents"),
        count(report, "/requests/matrix"),
        count(report, "/requests/letta"),
        Duration::from_millis(count(report, "/duration_ms")).as_secs_f64()
    );
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
        servers.rename(id, name).await;
    }
    first_sync(&servers, &program).await;
    nothing_changed(&program).await;
    let (renamed, others) = ids.split_at(RENAMED);
    renames(&servers, &program, renamed).await;
    let (deleted, others) = others.split_at(DELETED);
    removal(&servers, &program, deleted).await;
    excluded_and_back(&servers, &program, &others[..EXCLUDED], deleted).await;
    database_lost(&servers, &program, deleted).await;
    killed(&servers, &program, deleted).await;
}

/// The first sync brings everybody home, at four requests an agent.
async fn first_sync(servers: &Servers, program: &Program) {
    let agents = servers.agents().await;
    let total = agents.len() as u64;
    let report = program.sync().await;
    tell("first sync", &report);
    assert_eq!(count(&report, "/agents"), total);
    assert_eq!(count(&report, "/users_created"), total, "{report}");
    assert_eq!(count(&report, "/rooms_created"), total, "{report}");
    assert_eq!(
        count(&report, "/requests/matrix"),
        4 * total + CONSTANT,
        "{report}"
    );
    servers.assert_home(&agents, &[]).await;
}

/// Nothing changed: the homeserver is not asked.
async fn nothing_changed(program: &Program) {
    let report = program.sync().await;
    tell("nothing changed", &report);
    let total = count(&report, "/agents");
    assert_eq!(count(&report, "/requests/matrix"), 0, "{report}");
    assert_eq!(count(&report, "/unchanged"), total);
    assert!(count(&report, "/requests/letta") <= 1 + total / 500, "{report}");

    // Reading every room shows that nothing is to be mended.
    let report = program.sync_with(&["--check"]).await;
    tell("everything read", &report);
    assert_eq!(count(&report, "/repaired"), 0, "{report}");
}

/// A rename reaches the user, the room and the room's place in the space.
async fn renames(servers: &Servers, program: &Program, agents: &[AgentId]) {
    for (n, id) in agents.iter().enumerate() {
        servers.rename(id, format!("Renamed {n:03}")).await;
    }
    let report = program.sync().await;
    tell("renamed", &report);
    assert_eq!(count(&report, "/renamed"), agents.len() as u64, "{report}");
    assert_eq!(
        count(&report, "/requests/matrix"),
        3 * agents.len() as u64,
        "{report}"
    );
    servers.assert_home(&servers.agents().await, &[]).await;
}

/// Deleted agents are missed first, and put away after the grace period.
async fn removal(servers: &Servers, program: &Program, agents: &[AgentId]) {
    for id in agents {
        servers.letta.delete_agent(id).await.unwrap();
    }
    let report = program.sync().await;
    assert_eq!(report["missing"].as_array().unwrap().len(), agents.len());
    assert_eq!(
        (count(&report, "/archived"), count(&report, "/requests/matrix")),
        (0, 0),
        "{report}"
    );
    let report = program.sync_with(&["--removal-grace", "0s"]).await;
    tell("deleted", &report);
    assert_eq!(count(&report, "/archived"), agents.len() as u64, "{report}");
    for id in agents {
        assert!(servers.room_name(id).await.ends_with(" (archived)"));
    }
    servers.assert_home(&servers.agents().await, agents).await;
}

/// Agents that the configuration leaves out are put away, and find their rooms when they are back.
async fn excluded_and_back(servers: &Servers, program: &Program, agents: &[AgentId], put_away: &[AgentId]) {
    let mut rooms = Vec::new();
    for id in agents {
        rooms.push(servers.room_of(id).await);
    }
    let ids: Vec<_> = agents.iter().map(AgentId::as_str).collect();
    let report = program.sync_with(&["--agents-disabled", &ids.join(",")]).await;
    tell("excluded", &report);
    assert_eq!(count(&report, "/archived"), agents.len() as u64, "{report}");
    let all = servers.agents().await;
    let (away, home): (Vec<_>, Vec<_>) = all.into_iter().partition(|agent| agents.contains(&agent.id));
    assert_eq!(away.len(), agents.len());
    servers.assert_home(&home, &[put_away, agents].concat()).await;
    let report = program.sync().await;
    tell("returned", &report);
    assert_eq!(
        (count(&report, "/restored"), count(&report, "/rooms_created")),
        (agents.len() as u64, 0),
        "{report}"
    );
    for (id, room) in agents.iter().zip(rooms) {
        assert_eq!(servers.room_of(id).await, room);
    }
    servers.assert_home(&servers.agents().await, put_away).await;
}

/// Without its database it finds everything again and makes nothing twice.
async fn database_lost(servers: &Servers, program: &Program, put_away: &[AgentId]) {
    program.forget();
    let agents = servers.agents().await;
    let report = program.sync().await;
    tell("database lost", &report);
    assert_eq!(
        (count(&report, "/users_created"), count(&report, "/rooms_created")),
        (0, 0),
        "{report}"
    );
    assert_eq!(
        count(&report, "/adopted"),
        agents.len() as u64 + 1,
        "every room and the space: {report}"
    );
    servers.assert_home(&agents, put_away).await;
    let report = program.sync().await;
    assert_eq!(count(&report, "/requests/matrix"), 0, "{report}");
}

/// Killed at random moments of a first sync, the next run finishes what was begun.
async fn killed(servers: &Servers, program: &Program, put_away: &[AgentId]) {
    let random = RandomState::new();
    for kill in 0..KILLS {
        servers
            .create_agents(&format!("Killed {kill}"), KILLED_AGENTS)
            .await;
        // Late kills meet agents that earlier ones left half made.
        let moment = Duration::from_millis(20 + random.hash_one(kill) % 800);
        println!("killed after {} ms", moment.as_millis());
        let mut interrupted = program
            .command(&["sync", "--json"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::timeout(moment, interrupted.wait()).await.ok();
        interrupted.kill().await.ok();
    }
    let report = program.sync().await;
    tell("after the kills", &report);
    servers.assert_home(&servers.agents().await, put_away).await;
    let report = program.sync_with(&["--check"]).await;
    assert_eq!(
        (count(&report, "/rooms_created"), count(&report, "/repaired")),
        (0, 0),
        "{report}"
    );
}
