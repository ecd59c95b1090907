//! `letta-matrix run`: the service, as its operator and the servers around it see it.

pub mod running;

use std::{net::SocketAddr, time::Duration};

use fake_servers::{Served, letta::LettaServer};
use letta_client::{AgentId, AgentUpdate, LettaApi, fake::FakeLetta};
use matrix_client::{Appservice, MatrixApi, StateEventType, fake::Fault};
use serde_json::json;

use self::running::{Running, WEBHOOK_SECRET, until};
use super::{
    program::{AS_TOKEN, HS_TOKEN, LETTA_TOKEN},
    servers::Servers,
};

/// So long that no test sees the clock strike.
const NEVER: &str = "24h";

async fn started(interval: &str) -> (Servers, Running) {
    let mut servers = Servers::start().await;
    servers.program.set("MATRIX_AGENT_SYNC_INTERVAL", interval);
    let running = Running::start(&mut servers.program).await;
    (servers, running)
}

async fn at_home(servers: &Servers, agents: usize) {
    until("everybody is at home", async || {
        let spaces = servers.matrix.spaces();
        servers.rooms().len() == agents && spaces.first().is_some_and(|space| space.children.len() == agents)
    })
    .await;
    servers.assert_everyone_is_at_home();
}

#[tokio::test]
async fn agents_come_home_by_the_clock_and_sigterm_ends_it_well() {
    let (servers, running) = started("1").await;
    at_home(&servers, 3).await;
    servers.letta.add_agent("agent-004", "Agent Delta");
    at_home(&servers, 4).await;
    let rename = AgentUpdate::rename("Agent Omega");
    servers
        .letta
        .update_agent(&AgentId::new("agent-004"), &rename)
        .await
        .unwrap();
    until("the room has the new name", async || {
        let rooms = servers.matrix.rooms();
        rooms
            .iter()
            .any(|room| room.name.as_deref() == Some("Agent Omega"))
    })
    .await;
    until("it is told", async || running.log().contains("1 agent renamed")).await;
    let requests = servers.matrix.call_count();
    let runs = servers.letta.calls().len();
    until("some syncs find nothing to do", async || {
        servers.letta.calls().len() > runs + 3
    })
    .await;
    assert_eq!(
        servers.matrix.call_count(),
        requests,
        "the homeserver is not asked"
    );

    let log = running.terminated().await;
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    for part in [
        "keeps the agents of http://127.0.0.1:",
        "at home on matrix.test",
        "as the application service letta-bridge with @letta_bot:matrix.test; the state is in letta-matrix.db",
        "syncs every 1 s, on SIGHUP, and when the webhook asks for it",
        "for this machine alone",
        "3 agents: 1 space made, 3 users registered, 3 rooms made.",
        "4 agents: 1 user registered, 1 room made.",
        "4 agents: 1 agent renamed.",
        "told to stop",
        "stopped. What was done is recorded",
    ] {
        assert_eq!(log.matches(part).count(), 1, "{part:?} in {log}");
    }
    // What ran for ever and what runs once agree on the state.
    let again = servers.program.run(&["sync", "--json"]).await;
    assert_eq!((again.code, &again.json()["requests"]["matrix"]), (0, &json!(0)));
}

#[tokio::test]
async fn a_webhook_brings_a_new_agent_home_at_once() {
    let (servers, running) = started(NEVER).await;
    at_home(&servers, 3).await;
    servers.letta.add_agent("agent-004", "Agent Delta");
    let (status, answer) = running.webhook(WEBHOOK_SECRET, "agent-004").await;
    assert_eq!((status, &answer["rooms_created"]), (200, &json!(1)), "{answer}");
    at_home(&servers, 4).await;

    let calls = servers.letta.calls().len();
    let (status, answer) = running.webhook("not-a-real-secret-of-others", "agent-005").await;
    assert_eq!(status, 401, "{answer}");
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .contains("the signature is wrong"),
        "{answer}"
    );
    assert_eq!(servers.letta.calls().len(), calls, "nothing was asked for");
    let log = running.terminated().await;
    assert!(log.contains("asked for by a webhook"), "{log}");
}

#[tokio::test]
async fn without_a_secret_the_webhook_is_off_and_the_log_says_so() {
    let mut servers = Servers::start().await;
    let running = Running::start_with(&mut servers.program, |program| {
        program.unset("LETTA_WEBHOOK_SECRET");
        program.unset("MATRIX_HS_TOKEN");
    })
    .await;
    let (status, answer) = running.webhook(WEBHOOK_SECRET, "agent-001").await;
    assert_eq!(status, 403, "{answer}");
    let log = running.terminated().await;
    for part in [
        "the webhook is off, because LETTA_WEBHOOK_SECRET (webhook.secret in the file) is not set",
        "the homeserver is not let in, because MATRIX_HS_TOKEN",
    ] {
        assert!(log.contains(part), "{part:?} in {log}");
    }
}

#[tokio::test]
async fn sighup_has_every_room_mended() {
    let (servers, running) = started(NEVER).await;
    at_home(&servers, 3).await;
    let room = servers
        .matrix
        .rooms()
        .into_iter()
        .find(|room| !room.is_space())
        .unwrap();
    let appservice = Appservice::new("letta-matrix", AS_TOKEN.into(), room.creator.clone());
    servers
        .matrix
        .set_state_event(
            &appservice.act_as(&room.creator),
            &room.room_id,
            &StateEventType::RoomName,
            "",
            &json!({"name": "Renamed by hand"}),
        )
        .await
        .unwrap();
    running.signal("HUP");
    until("the room has its name again", async || {
        servers
            .matrix
            .rooms()
            .iter()
            .any(|other| other.room_id == room.room_id && other.name == room.name)
    })
    .await;
    until("it is told", async || {
        running.log().contains("asked for by a signal")
    })
    .await;
    let log = running.terminated().await;
    assert!(log.contains("SIGHUP: every room is read"), "{log}");
}

/// An address at which nobody listens any more.
async fn former_address() -> SocketAddr {
    let served = fake_servers::letta::spawn(LettaServer::new(FakeLetta::new()))
        .await
        .unwrap();
    let address = served.address();
    served.stop().await.unwrap();
    address
}

#[tokio::test]
async fn servers_that_are_down_at_the_start_are_waited_for() {
    let mut servers = Servers::start().await;
    let (letta, matrix) = (former_address().await, former_address().await);
    servers.program.set("LETTA_API_URL", format!("http://{letta}"));
    servers
        .program
        .set("MATRIX_HOMESERVER_URL", format!("http://{matrix}"));
    let running = Running::start(&mut servers.program).await;
    until("it is told that Letta is down", async || {
        running
            .log()
            .contains(&format!("the Letta server http://{letta} cannot be reached"))
    })
    .await;
    assert_eq!(running.get("/health").await.0, 200);
    let (status, answer) = running.get("/ready").await;
    assert_eq!(
        (status, &answer["because"]),
        (503, &json!("cannot list the agents of Letta"))
    );

    let server = LettaServer::new(servers.letta.clone());
    let _letta: Served = fake_servers::letta::spawn_at(letta, server).await.unwrap();
    running.hurry().await;
    until("it is told that the homeserver is down", async || {
        running
            .log()
            .contains(&format!("the homeserver http://{matrix} cannot be reached"))
    })
    .await;
    let _matrix = fake_servers::matrix::spawn_at(matrix, servers.matrix.clone())
        .await
        .unwrap();
    running.hurry().await;
    at_home(&servers, 3).await;
    until("it is ready", async || running.get("/ready").await.0 == 200).await;
    let log = running.terminated().await;
    assert_eq!(log.matches(" WARN ").count(), 2, "each outage once: {log}");
    assert_eq!(log.matches("works again after").count(), 1, "{log}");
}

#[tokio::test]
async fn an_outage_is_told_twice_however_long_it_is() {
    let (servers, running) = started("1").await;
    at_home(&servers, 3).await;
    // A failure that the client does not try again by itself.
    let refused =
        letta_client::fake::Fault::on("list_agents").fail(letta_client::LettaErrorKind::Unauthorized);
    servers.letta.plan(refused.times(5));
    until("it is told", async || running.log().contains(" WARN ")).await;
    for _ in 0..3 {
        running.hurry().await;
    }
    until("it is over", async || running.log().contains("works again after")).await;
    servers.letta.assert_faults_used();
    let log = running.terminated().await;
    assert_eq!(log.matches(" WARN ").count(), 1, "{log}");
    assert!(log.contains("It is tried again in 1 s"), "{log}");
}

#[tokio::test]
async fn a_killed_service_is_finished_by_the_next_one() {
    let mut servers = Servers::start().await;
    let (fault, hold) = Fault::on("create_room").skip(2).hold();
    servers.matrix.plan(fault);
    let running = Running::start(&mut servers.program).await;
    hold.reached().await;
    running.killed().await;
    // The homeserver makes the room all the same, and nobody hears of it.
    hold.release();
    let running = Running::start(&mut servers.program).await;
    at_home(&servers, 3).await;
    running.terminated().await;
}

#[tokio::test]
async fn sigterm_in_the_middle_of_a_sync_ends_it_within_seconds() {
    let mut servers = Servers::start().await;
    let (fault, hold) = Fault::on("create_room").skip(2).hold();
    servers.matrix.plan(fault);
    let running = Running::start(&mut servers.program).await;
    hold.reached().await;
    let log = running.terminated().await;
    assert!(log.contains("the sync that was going was cut off"), "{log}");
    hold.release();
    let running = Running::start(&mut servers.program).await;
    at_home(&servers, 3).await;
    running.terminated().await;
}

#[tokio::test]
async fn a_taken_port_is_told_before_anything_is_done() {
    let mut servers = Servers::start().await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    servers.program.set("LETTA_MATRIX_LISTEN", address.to_string());
    let ran = servers.program.run(&["run"]).await;
    ran.assert_could_not_run(&[
        &format!("cannot listen at {address}: address already in use"),
        "The setting is LETTA_MATRIX_LISTEN (from the environment)",
    ]);
    assert_eq!((servers.matrix.call_count(), servers.letta.calls().len()), (0, 0));
}

#[tokio::test]
async fn a_second_service_and_a_sync_keep_off_the_same_state() {
    let (servers, running) = started(NEVER).await;
    at_home(&servers, 3).await;
    for command in ["run", "sync"] {
        let second = servers.program.run(&[command]).await;
        second.assert_could_not_run(&[
            "another letta-matrix is at work on letta-matrix.db",
            "`letta-matrix run`, which syncs at once on SIGHUP",
        ]);
    }
    assert_eq!(
        servers.program.run(&["status"]).await.code,
        0,
        "looking is allowed"
    );
    running.terminated().await;
}

#[tokio::test]
async fn a_state_of_another_homeserver_ends_it() {
    let mut servers = Servers::start().await;
    servers.program.run(&["sync"]).await;
    servers.program.set("MATRIX_SERVER_NAME", "elsewhere.test");
    servers.program.set("LETTA_MATRIX_LISTEN", "127.0.0.1:0");
    let ran = servers.program.run(&["run", "--quiet"]).await;
    ran.assert_could_not_run(&[
        "the state belongs to the homeserver matrix.test, not to elsewhere.test",
        "MATRIX_SERVER_NAME (from the environment)",
    ]);
}

#[tokio::test]
async fn settings_that_make_no_sense_end_it() {
    let mut servers = Servers::start().await;
    servers.program.set("MATRIX_AGENT_SYNC_INTERVAL", "often");
    servers.program.set("LETTA_WEBHOOK_SECRET", "short");
    servers.program.run(&["run"]).await.assert_could_not_run(&[
        "MATRIX_AGENT_SYNC_INTERVAL (from the environment)",
        "LETTA_WEBHOOK_SECRET",
    ]);
}

#[tokio::test]
async fn pushed_events_are_taken_from_the_homeserver_alone() {
    let (_servers, running) = started(NEVER).await;
    for _ in 0..3 {
        assert_eq!(running.push(HS_TOKEN).await, (200, json!({})));
    }
    for _ in 0..3 {
        assert_eq!(running.push(LETTA_TOKEN).await.0, 403);
    }
    let log = running.terminated().await;
    assert_eq!(log.matches("did not show the hs_token").count(), 1, "{log}");
}

#[cfg(unix)]
#[tokio::test]
async fn systemd_is_told_when_it_is_ready_and_when_it_stops() {
    let mut servers = Servers::start().await;
    let path = servers.program.folder().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    servers.program.set("NOTIFY_SOCKET", path.to_str().unwrap());
    let running = Running::start(&mut servers.program).await;
    assert_eq!(told(&socket).await, "READY=1\n");
    running.terminated().await;
    assert_eq!(told(&socket).await, "STOPPING=1\n");
}

#[cfg(unix)]
async fn told(socket: &tokio::net::UnixDatagram) -> String {
    let mut message = [0; 100];
    let length = tokio::time::timeout(Duration::from_secs(60), socket.recv(&mut message))
        .await
        .expect("systemd is told")
        .unwrap();
    String::from_utf8_lossy(&message[..length]).into_owned()
}
