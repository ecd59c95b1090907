//! Agents in each stage of a delivery, and people who go on writing, whatever becomes of the state.

use std::{path::Path, process::Command};

use letta_client::fake::Fault as LettaFault;
use matrix_client::fake::{Fault, TEST_APPSERVICE_ID};
use store::{Delivery, DeliveryStore};
use store_sqlite::SqliteStore;

use crate::cli::{
    Program,
    person::{Person, times_heard},
    run::running::{Running, until},
    servers::Servers,
};

/// The program at work, with everybody at home.
pub async fn start() -> (Servers, Running) {
    let mut servers = Servers::start().await;
    servers.program.set("DATABASE_URL", "letta-matrix.db");
    let running = after_the_first_sync(&mut servers, Program::command).await;
    (servers, running)
}

/// Starts this command of it, and waits until everybody is at home.
pub async fn after_the_first_sync(
    servers: &mut Servers,
    command: impl FnOnce(&Program) -> Command,
) -> Running {
    servers.program.set("MATRIX_AGENT_SYNC_INTERVAL", "24h");
    let running = Running::start_command(command(&servers.program)).await;
    until("the first sync is done", async || {
        running.get("/ready").await.0 == 200
    })
    .await;
    running
}

/// The steps of what is owed, as the state has them, sorted; `None` when that cannot be read in the middle of a write.
/// A copy is read: SQLite does not find a file on another process's disk.
async fn steps(path: &Path) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    for part in ["", "-wal"] {
        let beside = |path: &Path| format!("{}{part}", path.display());
        std::fs::copy(beside(path), beside(&copy)).ok()?;
    }
    let state = SqliteStore::open_read_only(&copy).await.ok()??;
    let open = state.list_open_deliveries().await.ok()?;
    state.close().await;
    let step = |delivery: &Delivery| delivery.of.record["step"]["step"].as_str().unwrap().to_owned();
    let mut steps: Vec<_> = open.iter().map(step).collect();
    steps.sort_unstable();
    Some(steps)
}

/// Three agents that talk with one person.
pub struct Talk {
    alpha: Person,
    beta: Person,
    gamma: Person,
    letta: letta_client::fake::Hold,
    matrix: matrix_client::fake::Hold,
}

impl Talk {
    /// Until Agent Alpha's message is being sent and another waits behind it, Agent Beta is at work, and the third
    /// answer is being said.
    pub async fn begin(servers: &Servers, path: &Path) -> Self {
        let alpha = Person::in_the_room_of("Agent Alpha", &servers.matrix).await;
        let beta = Person::in_the_room_of("Agent Beta", &servers.matrix).await;
        let gamma = Person::in_the_room_of("Sync Test Agent", &servers.matrix).await;
        let (fault, letta) = LettaFault::on("send").agent("agent-001").hold();
        servers.letta.plan(fault);
        let (fault, matrix) = Fault::on("send_message_event").user(gamma.agent.clone()).hold();
        servers.matrix.plan(fault);
        alpha.says("one").await;
        letta.reached().await;
        alpha.says("two").await;
        gamma.says("six").await;
        matrix.reached().await;
        beta.says("[slow 4] four").await;
        let expected = ["queued", "replying", "running", "sending"].map(ToOwned::to_owned);
        until("there is a delivery in each step", async || {
            steps(path).await.is_some_and(|steps| steps == expected)
        })
        .await;
        Self {
            alpha,
            beta,
            gamma,
            letta,
            matrix,
        }
    }

    /// Everything that was held goes on, and the person says more.
    pub async fn go_on(self, servers: &Servers) -> Heard {
        self.letta.release();
        self.matrix.release();
        self.alpha.says("three").await;
        self.beta.says("five").await;
        assert!(servers.matrix.backlog(TEST_APPSERVICE_ID) > 0);
        Heard {
            alpha: self.alpha,
            beta: self.beta,
            gamma: self.gamma,
        }
    }
}

/// What is to be heard in the end.
pub struct Heard {
    alpha: Person,
    beta: Person,
    gamma: Person,
}

impl Heard {
    /// Everybody is answered, everything once and in order, and nothing is left over.
    pub async fn ends_well(&self, servers: &Servers, path: &Path) {
        let all = [
            (&self.alpha, "agent-001", ["one", "two", "three"].as_slice()),
            (&self.beta, "agent-002", &["[slow 4] four", "five"]),
            (&self.gamma, "agent-sync-test", &["six"]),
        ];
        for (person, agent, texts) in all {
            for text in texts {
                person.hears_at_last(&format!("echo: {text}")).await;
            }
            let expected: Vec<_> = texts.iter().map(|text| format!("echo: {text}")).collect();
            let mut heard = person.hears();
            // Whoever waits for long is told so.
            heard.retain(|text| !text.starts_with('⏳'));
            assert_eq!(heard, expected, "{agent}");
            for text in texts {
                assert_eq!(times_heard(servers, agent, text).await, 1, "{agent} {text}");
            }
        }
        until("nothing is left over", async || {
            servers.matrix.backlog(TEST_APPSERVICE_ID) == 0
                && steps(path).await.is_some_and(|steps| steps.is_empty())
        })
        .await;
    }
}

/// What the program says of the trouble.
pub struct Words {
    pub ready: &'static str,
    pub log: &'static str,
    pub cause: &'static str,
    pub advice: &'static str,
}

/// People talk while the state cannot be written, from `begin` to `end`.
pub async fn nothing_is_lost_while<T>(
    servers: &Servers,
    running: &Running,
    path: &Path,
    words: &Words,
    begin: impl AsyncFnOnce() -> T,
    end: impl AsyncFnOnce(T),
) {
    let talk = Talk::begin(servers, path).await;
    let trouble = begin().await;
    let talk = talk.go_on(servers).await;

    until("the homeserver is told to keep its events", async || {
        running.log().contains("events stay in the homeserver's queue")
    })
    .await;
    until("it is not ready", async || {
        let (status, answer) = running.get("/ready").await;
        status == 503 && answer["because"] == words.ready
    })
    .await;
    assert_eq!(running.get("/health").await.0, 200, "no restart helps");
    assert!(
        servers.matrix.backlog(TEST_APPSERVICE_ID) > 0,
        "nothing is forgotten"
    );
    let log = running.log();
    let told: Vec<_> = log.lines().filter(|line| line.contains(words.log)).collect();
    assert_eq!(told.len(), 1, "{log}");
    for part in [" WARN ", words.cause, words.advice] {
        assert!(told[0].contains(part), "{part:?} in {}", told[0]);
    }

    end(trouble).await;
    until("it is ready", async || running.get("/ready").await.0 == 200).await;
    talk.ends_well(servers, path).await;
    let log = running.log();
    assert_eq!(log.matches(words.log).count(), 1, "told once: {log}");
    assert_eq!(
        log.matches("the state can be written again after ").count(),
        1,
        "{log}"
    );
    assert!(!log.contains(" ERROR "), "{log}");
    // A line for each part that waits, however long it does.
    assert!(log.matches(" WARN ").count() <= 8, "{log}");
}
