//! A Redis server for a test.

use std::{
    env,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use agent_events::{BusSettings, RedisBus, RedisSettings, testing::until};
use secrecy::SecretString;
use store::SystemClock;
use tempfile::TempDir;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Where keys can be kept: the server of `REAL_REDIS_URL`, or one of its own.
pub(crate) struct Place {
    url: String,
    prefix: String,
    server: Option<Server>,
}

impl Place {
    /// On whatever server there is; says so when there is none.
    pub(crate) async fn find() -> Option<Self> {
        let (url, server) = match env::var("REAL_REDIS_URL") {
            Ok(url) => (url, None),
            Err(_) => {
                let server = Server::start(&[]).await?;
                (server.url(), Some(server))
            }
        };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("test-{}-{count}:", std::process::id());
        Some(Self { url, prefix, server })
    }

    /// What a process has.
    pub(crate) fn bus(&self, settings: BusSettings) -> RedisBus {
        open(&self.url, &self.prefix, settings)
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// What another program has.
    pub(crate) async fn connection(&self) -> redis::aio::MultiplexedConnection {
        connection(&self.url).await
    }

    /// Leaves a server that is not ours as it was.
    pub(crate) async fn clear(self) {
        if self.server.is_some() {
            return;
        }
        let mut connection = self.connection().await;
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg(format!("{}*", self.prefix))
            .query_async(&mut connection)
            .await
            .unwrap();
        for key in keys {
            let _: () = redis::cmd("DEL")
                .arg(key)
                .query_async(&mut connection)
                .await
                .unwrap();
        }
    }
}

pub(crate) fn open(url: &str, prefix: &str, bus: BusSettings) -> RedisBus {
    let settings = RedisSettings {
        bus,
        prefix: prefix.to_owned(),
        // The machine may be busy with other tests.
        time_limit: Duration::from_secs(10),
    };
    RedisBus::open(&SecretString::from(url), settings, Arc::new(SystemClock)).unwrap()
}

pub(crate) async fn connection(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// A server that belongs to the test. Ends with it.
pub(crate) struct Server {
    program: Program,
    arguments: Vec<String>,
    port: u16,
    data: TempDir,
    process: Option<Child>,
}

#[derive(Clone)]
struct Program {
    path: PathBuf,
    libraries: String,
}

impl Server {
    /// Starts one that keeps nothing over a restart unless the arguments say otherwise; or says that there is no program.
    #[expect(
        clippy::print_stdout,
        reason = "whoever reads the tests' output is to know what did not run"
    )]
    pub(crate) async fn start(arguments: &[&str]) -> Option<Self> {
        let Some(program) = Program::find() else {
            println!("skipped: needs redis-server on the PATH, or tests/real-services/run");
            return None;
        };
        // A port that was free may be taken before the server has it.
        for _ in 0..5 {
            let mut server = Self {
                program: program.clone(),
                arguments: arguments.iter().map(ToString::to_string).collect(),
                port: TcpListener::bind("127.0.0.1:0")
                    .unwrap()
                    .local_addr()
                    .unwrap()
                    .port(),
                data: TempDir::new().unwrap(),
                process: None,
            };
            if server.run().await {
                return Some(server);
            }
        }
        panic!("redis-server does not start");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Runs again at the same address with the same files.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        assert!(self.run().await, "redis-server does not start again");
    }

    /// It stays connected and does nothing, until `SIGCONT`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    async fn run(&mut self) -> bool {
        let mut process = Command::new(&self.program.path)
            .env_clear()
            .env("LD_LIBRARY_PATH", &self.program.libraries)
            .args([
                "--bind",
                "127.0.0.1",
                "--port",
                &self.port.to_string(),
                "--save",
                "",
                "--dir",
            ])
            .arg(self.data.path())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut has_ended = false;
        until("redis-server answers", async || {
            has_ended = process.try_wait().unwrap().is_some();
            has_ended || self.answers().await
        })
        .await;
        self.process = Some(process);
        !has_ended
    }

    async fn answers(&self) -> bool {
        let client = redis::Client::open(self.url()).unwrap();
        let Ok(mut connection) = client.get_multiplexed_async_connection().await else {
            return false;
        };
        match redis::cmd("PING").query_async::<String>(&mut connection).await {
            Ok(_) => true,
            // It is there, and lets nobody in.
            Err(error) => error.code() == Some("NOAUTH"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Program {
    /// The machine's own, or the one that `tests/real-services` unpacked.
    fn find() -> Option<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        if let Some(path) = env::split_paths(&path)
            .map(|folder| folder.join("redis-server"))
            .find(|path| path.is_file())
        {
            return Some(Self {
                path,
                libraries: String::new(),
            });
        }
        let home = PathBuf::from(env::var_os("HOME")?);
        let pieces = folders(&home.join(".cache/letta-matrix/real-services"));
        let root = pieces
            .into_iter()
            .find(|piece| piece.join("usr/bin/redis-server").is_file())?;
        let mut libraries = vec![root.join("usr/lib")];
        libraries.extend(folders(&root.join("usr/lib")));
        let libraries: Vec<String> = libraries.iter().map(|path| path.display().to_string()).collect();
        Some(Self {
            path: root.join("usr/bin/redis-server"),
            libraries: libraries.join(":"),
        })
    }
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let Ok(entries) = of.read_dir() else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.is_dir()).collect()
}
