//! Many agents: what a sync costs then.
//!
//! `LETTA_MATRIX_LARGE` says how many agents; `.ci/run full` takes ten thousand with the release build (`LETTA_MATRIX_BIN`).

#![expect(clippy::print_stdout, reason = "what it costs is worth reading in CI's log")]

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use jiff::SignedDuration;
use letta_client::{
    AgentId, AgentUpdate, LettaApi,
    fake::{AgentSeed, FakeLetta},
};
use serde_json::{Value, json};
use store::{Clock as _, SystemClock};

use super::servers::Servers;

/// What the program may take at its peak.
const MAX_MEMORY_MB: u64 = 80;

/// What the space takes at first.
const SPACE: usize = 3;

/// Agents in one page of a full listing.
const PAGE: usize = 500;

fn agents() -> usize {
    std::env::var("LETTA_MATRIX_LARGE").map_or(1_200, |number| number.parse().unwrap())
}

fn id(n: usize) -> AgentId {
    AgentId::new(format!("agent-{n:08x}-0000-4000-8000-000000000000"))
}

/// The largest amount of memory a process has taken so far, where the operating system tells.
fn peak_memory_mb(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1_024)
}

fn command(servers: &Servers) -> Command {
    let mut command = servers.program.command();
    if let Some(binary) = std::env::var_os("LETTA_MATRIX_BIN") {
        let environment: Vec<_> = command
            .get_envs()
            .map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)))
            .collect();
        let mut other = Command::new(binary);
        other.env_clear().current_dir(servers.program.folder());
        for (name, value) in environment {
            if let Some(value) = value {
                other.env(name, value);
            }
        }
        command = other;
    }
    command
}

/// Runs a sync to its end, watching what it takes.
async fn sync(servers: &Servers, what: &str) -> Value {
    let mut command = command(servers);
    command
        .args(["sync", "--json", "--sync-concurrency", "16"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let began = Instant::now();
    let child = command.spawn().unwrap();
    let (output, peak) = tokio::task::spawn_blocking(move || watch(child)).await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    println!(
        "{what}: {} agents, {} Matrix and {} Letta requests, {:.1} s, {peak} MB at its peak",
        report["agents"],
        report["requests"]["matrix"],
        report["requests"]["letta"],
        began.elapsed().as_secs_f64()
    );
    assert!(
        peak <= MAX_MEMORY_MB,
        "{what} took {peak} MB of memory, more than {MAX_MEMORY_MB}"
    );
    report
}

#[expect(
    clippy::disallowed_methods,
    reason = "another process is watched from a thread of its own"
)]
fn watch(mut child: Child) -> (std::process::Output, u64) {
    let mut peak = 0;
    // Its output is one JSON object, which fits into the pipe.
    while child.try_wait().unwrap().is_none() {
        peak = peak_memory_mb(child.id()).map_or(peak, |now| now.max(peak));
        std::thread::sleep(Duration::from_millis(5));
    }
    (child.wait_with_output().unwrap(), peak)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_agents_cost_what_they_should() {
    let count = agents();
    let now = SystemClock.now();
    let letta = FakeLetta::new().with_epoch(now);
    // Made yesterday, one after the other.
    let mut made_at = now - SignedDuration::from_hours(24);
    for n in 0..count {
        made_at += SignedDuration::from_millis(50);
        letta.add(AgentSeed::new(id(n), format!("Agent {n}")).created_at(made_at));
    }
    let servers = Servers::with(letta).await;

    let report = sync(&servers, "first sync").await;
    assert_eq!(report["rooms_created"], json!(count));
    assert_eq!(report["requests"]["matrix"], json!(4 * count + SPACE));
    // Every page (after a full one, whether there is another), and the count that the next listing begins with.
    assert_eq!(report["requests"]["letta"], json!(count / PAGE + 1 + 1));
    servers.assert_everyone_is_at_home();

    // The first listing could not know how many there are, so much of it is seen twice.
    let report = sync(&servers, "nothing changed").await;
    assert_eq!(report["requests"]["matrix"], json!(0));
    for _ in 0..2 {
        let report = sync(&servers, "nothing changed").await;
        assert_eq!(
            (&report["listing"], &report["unchanged"]),
            (&json!("changes"), &json!(count))
        );
        assert_eq!(report["requests"], json!({ "matrix": 0, "letta": 2 }));
    }

    let update = AgentUpdate::rename("Renamed");
    servers.letta.update_agent(&id(7), &update).await.unwrap();
    servers.letta.add_agent(id(count), "New");
    let report = sync(&servers, "one renamed, one new").await;
    assert_eq!(report["listing"], "changes");
    assert_eq!(report["requests"], json!({ "matrix": 7, "letta": 2 }));

    servers.letta.delete_agent(&id(9)).await.unwrap();
    let report = sync(&servers, "one deleted").await;
    assert_eq!(
        (&report["listing"], &report["requests"]["matrix"]),
        (&json!("full"), &json!(0))
    );
    assert_eq!(report["missing"], json!([id(9)]));
}
