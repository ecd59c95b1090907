//! A place of its own for each test.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use store_postgres::PostgresStore;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// An empty schema in the database that `tests/real-services/run` starts.
pub(crate) struct Schema {
    name: String,
}

impl Schema {
    /// Makes one, or says that there is no database.
    #[expect(
        clippy::print_stdout,
        reason = "whoever reads the tests' output is to know what did not run"
    )]
    pub(crate) async fn make() -> Option<Self> {
        if std::env::var("REAL_SERVICES_AVAILABLE").as_deref() != Ok("1") {
            println!("skipped: needs real servers, start it with tests/real-services/run");
            return None;
        }
        let name = format!(
            "test_{}_{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let schema = Self { name };
        server(&format!("CREATE SCHEMA {}", schema.name)).await;
        Some(schema)
    }

    pub(crate) fn url(&self) -> SecretString {
        self.url_at(&address(), "")
    }

    /// The URL by way of another address, or as another user.
    pub(crate) fn url_at(&self, address: &str, more: &str) -> SecretString {
        let name = &self.name;
        format!("{address}?options=-csearch_path%3D{name}&application_name={name}{more}").into()
    }

    pub(crate) async fn store(&self) -> PostgresStore {
        PostgresStore::open(&self.url()).await.unwrap()
    }

    /// Makes the tables as the first version of this program left them, with an agent, a space, progress, a lease of
    /// `a test` and an account.
    pub(crate) async fn first_version(&self) {
        let mut connection = PgConnection::connect(self.url().expose_secret()).await.unwrap();
        let migrations = sqlx::migrate!("./migrations");
        migrations
            .run_direct(Some(1), &mut connection, false)
            .await
            .unwrap();
        sqlx::raw_sql(
            r#"INSERT INTO binding VALUES
                   ('agent-001', 'Ada', '@agent_001:matrix.test', '#agent_001:matrix.test', '{"state":"active"}', true,
                    'Ada', '{}', '!ada', '{"verified":true}', '{"@ann:matrix.test":"joined"}', NULL,
                    '2026-01-01T12:00:00.000000000Z', '2026-01-02T12:00:00.123456789Z');
               INSERT INTO space VALUES
                   (1, '{"room_id":"!space","verified":true,"name":"Agents","topic":null,"alias_set":true,
                         "marked":true,"bot_name":null,"invitations":{},"created_at":"2026-01-01T11:00:00Z"}');
               INSERT INTO progress VALUES (1, '{"listing":null,"checked_at":"2026-01-02T12:00:00Z"}');
               INSERT INTO lease VALUES ('a test', 41, 'a test', '2026-01-01T12:00:00.000000000Z');
               INSERT INTO account VALUES
                   ('@bot:matrix.test', 'DEVICE', '\x0102', NULL, '2026-01-01T12:00:00.000000000Z');"#,
        )
        .execute(&mut connection)
        .await
        .unwrap();
        connection.close().await.unwrap();
    }

    /// Runs SQL as a stranger would.
    pub(crate) async fn execute(&self, sql: &str) {
        server(&format!("SET search_path = {}; {sql}", self.name)).await;
    }

    /// How the server would run a statement.
    pub(crate) async fn plan(&self, sql: &str) -> String {
        let mut connection = PgConnection::connect(self.url().expose_secret()).await.unwrap();
        let lines: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN {sql}")))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        lines.join("\n")
    }

    /// The server ends the connections of all stores here.
    pub(crate) async fn end_connections(&self) {
        let ended: i64 = sqlx::query_scalar(
            "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE application_name = $1",
        )
        .bind(&self.name)
        .fetch_one(&mut PgConnection::connect(&address()).await.unwrap())
        .await
        .unwrap();
        assert!(ended > 0, "there was no connection to end");
    }

    /// Runs SQL as a stranger who takes time to commit it.
    pub(crate) async fn begin(&self, sql: &str) -> Open {
        let mut connection = PgConnection::connect(&address()).await.unwrap();
        let sql = format!("SET search_path = {}; BEGIN; {sql}", self.name);
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
        Open(connection)
    }

    /// Returns when exactly so many statements of stores here wait for a lock.
    pub(crate) async fn until_waiting(&self, count: i64) {
        let mut connection = PgConnection::connect(&address()).await.unwrap();
        let start = Instant::now();
        loop {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'",
            )
            .bind(&self.name)
            .fetch_one(&mut connection)
            .await
            .unwrap();
            if waiting == count {
                return;
            }
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{waiting} statements wait, not {count}"
            );
        }
    }

    pub(crate) async fn tables(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = $1 ORDER BY 1")
            .bind(&self.name)
            .fetch_all(&mut PgConnection::connect(&address()).await.unwrap())
            .await
            .unwrap()
    }

    /// Removes it. One whose test failed stays, to be looked at.
    pub(crate) async fn remove(self) {
        server(&format!("DROP SCHEMA {} CASCADE", self.name)).await;
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// A transaction that is not committed yet.
pub(crate) struct Open(PgConnection);

impl Open {
    pub(crate) async fn commit(mut self) {
        sqlx::raw_sql("COMMIT").execute(&mut self.0).await.unwrap();
    }
}

/// Where the server is.
pub(crate) fn address() -> String {
    std::env::var("REAL_DATABASE_URL").expect("tests/real-services/run sets it")
}

/// Runs SQL on the server.
pub(crate) async fn server(sql: &str) {
    let mut connection = PgConnection::connect(&address()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

/// Calls `case` with an empty store, if there is a server.
pub(crate) async fn with_store(case: impl AsyncFnOnce(Arc<PostgresStore>)) {
    if let Some(schema) = Schema::make().await {
        case(Arc::new(schema.store().await)).await;
        schema.remove().await;
    }
}

/// The error and all its causes, as a log shows them, and as a developer sees them.
pub(crate) fn everything(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{error:?}");
    let mut cause = Some(error);
    while let Some(error) = cause {
        text += &format!("\n{error}");
        cause = error.source();
    }
    text
}

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
