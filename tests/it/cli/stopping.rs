//! Being stopped, killed, and run twice at once.

use std::{
    io::Read,
    process::{Child, Stdio},
    time::Duration,
};

use matrix_client::fake::{Fault, Hold};
use serde_json::json;

use super::servers::Servers;

/// A sync that stands still while the second agent's room is made.
async fn sync_in_the_middle(servers: &Servers) -> (Child, Hold) {
    // The first room is the space.
    let (fault, hold) = Fault::on("create_room").skip(2).hold();
    servers.matrix.plan(fault);
    let child = servers
        .program
        .command()
        .args(["sync", "--sync-concurrency", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    tokio::time::timeout(Duration::from_secs(60), hold.reached())
        .await
        .expect("the sync gets that far");
    (child, hold)
}

/// Waits for the end: exit code, standard output, standard error.
async fn ended(mut child: Child) -> (Option<i32>, String, String) {
    tokio::task::spawn_blocking(move || {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (child.wait().unwrap().code(), stdout, stderr)
    })
    .await
    .unwrap()
}

async fn assert_the_next_sync_goes_on(servers: &Servers) {
    let ran = servers.program.run(&["sync", "--json"]).await;
    assert_eq!((ran.code, &ran.json()["failed"]), (0, &json!([])), "{ran:?}");
    servers.assert_everyone_is_at_home();
    assert_eq!(
        servers.program.run(&["sync", "--json"]).await.json()["requests"]["matrix"],
        0
    );
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupted_sync_says_so_and_the_next_one_goes_on() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let servers = Servers::start().await;
        let (child, hold) = sync_in_the_middle(&servers).await;
        let killed = std::process::Command::new("kill")
            .args([&format!("-{signal}"), &child.id().to_string()])
            .status();
        assert!(killed.unwrap().success());
        let (ended_with, stdout, stderr) = ended(child).await;
        assert_eq!((ended_with, stdout.as_str()), (Some(code), ""), "{stderr}");
        assert_eq!(
            stderr,
            "stopped: what was done is recorded, the next sync goes on from there\n"
        );
        hold.release();
        let status = servers.program.run(&["status", "--json"]).await.json();
        assert_eq!(
            (&status[0]["state"], &status[1]["state"]),
            (&json!("ready"), &json!("incomplete"))
        );
        assert_the_next_sync_goes_on(&servers).await;
    }
}

#[tokio::test]
async fn a_killed_sync_leaves_nothing_that_the_next_one_does_not_finish() {
    let servers = Servers::start().await;
    let (mut child, hold) = sync_in_the_middle(&servers).await;
    child.kill().unwrap();
    child.wait().unwrap();
    // The homeserver makes the room all the same, and nobody hears of it.
    hold.release();
    assert_the_next_sync_goes_on(&servers).await;
}

#[tokio::test]
async fn two_syncs_do_not_work_on_one_state() {
    let servers = Servers::start().await;
    let (child, hold) = sync_in_the_middle(&servers).await;
    let second = servers.program.run(&["sync"]).await;
    second.assert_could_not_run(&["another letta-matrix is at work on letta-matrix.db"]);
    // Looking is allowed.
    assert_eq!(
        servers
            .program
            .run(&["status", "--json"])
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(servers.program.run(&["sync", "--dry-run"]).await.code, 0);
    hold.release();
    let (code, stdout, stderr) = ended(child).await;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    servers.assert_everyone_is_at_home();
}

#[tokio::test]
async fn whoever_stops_reading_the_output_breaks_nothing() {
    let servers = Servers::start().await;
    servers.program.run(&["sync"]).await;
    let mut child = servers
        .program
        .command()
        .args(["status", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())
        .await
        .unwrap();
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &b""[..])
    );
}
