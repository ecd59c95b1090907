//! The service as a process.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use store::{Clock, SystemClock};

use crate::cli::Program;

/// What the webhook is signed with.
pub const WEBHOOK_SECRET: &str = "not-a-real-secret-webhook";

/// What the names of all secrets have in common.
const SECRET: &str = "not-a-real-secret";

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long it may take to end: its grace, and a busy machine.
const END: Duration = Duration::from_secs(30);

/// The service at work. Dropped, it is killed.
pub struct Running {
    child: Option<Child>,
    log: Arc<Mutex<String>>,
    url: String,
    client: reqwest::Client,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until it is so.
pub async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Running {
    /// Starts it where it is to listen, else on a free port, and waits until it listens.
    pub async fn start(program: &mut Program) -> Self {
        Self::start_with(program, |_| {}).await
    }

    /// The same with other settings.
    pub async fn start_with(program: &mut Program, configure: impl FnOnce(&mut Program)) -> Self {
        program.set_unless_set("LETTA_MATRIX_LISTEN", "127.0.0.1:0");
        program.set("LETTA_WEBHOOK_SECRET", WEBHOOK_SECRET);
        configure(program);
        Self::start_command(program.command()).await
    }

    /// The same with a command that was put together by hand.
    pub async fn start_command(mut command: std::process::Command) -> Self {
        let mut child = command
            .arg("run")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log: Arc<Mutex<String>> = Arc::default();
        let (lines, written) = (BufReader::new(child.stderr.take().unwrap()), log.clone());
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut log = written.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut running = Self {
            child: Some(child),
            log,
            url: String::new(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        until("it listens", async || {
            running.log().contains("listens at http://")
        })
        .await;
        let log = running.log();
        let (_, address) = log.split_once("listens at http://").unwrap();
        let end = address.find([',', '\n']).unwrap();
        running.url = format!("http://{}", &address[..end]);
        running
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = std::process::Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        answered(self.client.get(format!("{}{path}", self.url))).await
    }

    /// Says that there is a new agent, and waits for the sync.
    pub async fn webhook(&self, secret: &str, agent: &str) -> (u16, Value) {
        let now = SystemClock.now().as_second();
        let body = json!({"agent_id": agent, "timestamp": now}).to_string();
        let signature = gateway::sign(&secret.into(), now, body.as_bytes());
        let request = self
            .client
            .post(format!("{}/webhook/new-agent?wait=true", self.url))
            .header("X-Letta-Signature", signature)
            .body(body);
        answered(request).await
    }

    /// Has it try at once what it waits for, whatever comes of it.
    pub async fn hurry(&self) {
        self.webhook(WEBHOOK_SECRET, "agent-001").await;
    }

    /// Pushes a transaction as a homeserver does.
    pub async fn push(&self, token: &str) -> (u16, Value) {
        let request = self
            .client
            .put(format!("{}/_matrix/app/v1/transactions/17", self.url))
            .bearer_auth(token)
            .body(json!({"events": []}).to_string());
        answered(request).await
    }

    /// Tells it to stop, and waits until it has, which it must do soon and with exit code 0. What it logged.
    pub async fn terminated(mut self) -> String {
        self.signal("TERM");
        let began = Instant::now();
        let mut child = self.child.take().unwrap();
        let status = tokio::task::spawn_blocking(move || child.wait().unwrap())
            .await
            .unwrap();
        let log = self.log();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(began.elapsed() < END, "it took {:?}: {log}", began.elapsed());
        until("the log is read", async || self.log().contains("stopped. ")).await;
        let log = self.log();
        assert!(!log.contains(SECRET), "a secret was shown: {log}");
        log
    }

    /// Kills it.
    pub async fn killed(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        tokio::task::spawn_blocking(move || child.wait().unwrap())
            .await
            .unwrap();
    }
}

async fn answered(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (
        status,
        serde_json::from_str(&response.text().await.unwrap()).unwrap(),
    )
}
