//! Connecting, and preparing the tables.

use std::{str::FromStr, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection, PgConnection, Row,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};
use store::{Result, StoreError, StoreErrorKind};

use crate::{
    PostgresStore,
    error::{failed, no_answer, of_migration},
};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// How long to wait for the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For a connection, be it a new one or one that others are done with.
    pub connect: Duration,
    /// For the answer to one statement.
    pub statement: Duration,
    /// For the tables to be made or brought up to date, by this process or by another one that began earlier.
    pub prepare: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            statement: Duration::from_secs(30),
            prepare: Duration::from_secs(120),
        }
    }
}

impl PostgresStore {
    /// Connects to the database at this URL (`postgres://user:password@host:port/database`, with libpq's parameters
    /// such as `?sslmode=verify-full`), makes the tables if needed and brings older ones up to date. What the URL
    /// leaves out is taken from libpq's variables (`PGHOST`, …) and `~/.pgpass`.
    ///
    /// # Errors
    /// `Unavailable` when the URL is none, or nobody answers there; `Refused` when the server lets us not in or not
    /// make tables; `Foreign` when another program's tables are in the way; `TooNew` when a newer version of this
    /// program made the tables. No error shows the password.
    pub async fn open(url: &SecretString) -> Result<Self> {
        Self::open_with(url, Deadlines::default()).await
    }

    /// Like [`open`](Self::open), with other deadlines.
    ///
    /// # Errors
    /// Those of `open`.
    pub async fn open_with(url: &SecretString, deadlines: Deadlines) -> Result<Self> {
        let options = options(url)?;
        let shown = shown(&options);
        let mut connection = connect(&options, &shown, deadlines.connect).await?;
        let doing = format!("prepare {shown}");
        within(deadlines.prepare, &doing, prepare(&mut connection, &shown)).await?;
        end(connection, &doing, deadlines).await?;
        Ok(Self {
            pool: pool(deadlines).connect_lazy_with(options),
            deadlines,
            shown,
        })
    }

    /// Connects to look only: nothing is made, written or brought up to date, and writing fails with `Refused`. `None`
    /// when there are no tables yet.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and `TooOld` when the tables are to be brought up to date first.
    pub async fn open_read_only(url: &SecretString) -> Result<Option<Self>> {
        let deadlines = Deadlines::default();
        let options = options(url)?;
        let shown = shown(&options);
        let mut connection = connect(&options, &shown, deadlines.connect).await?;
        let doing = format!("read {shown}");
        let is_there = within(deadlines.statement, &doing, look(&mut connection, &shown)).await?;
        end(connection, &doing, deadlines).await?;
        let read_only = pool(deadlines).after_connect(|connection, _| {
            Box::pin(async {
                let statement = sqlx::query("SET default_transaction_read_only = on");
                statement.execute(connection).await.map(|_| ())
            })
        });
        Ok(is_there.then(|| Self {
            pool: read_only.connect_lazy_with(options),
            deadlines,
            shown,
        }))
    }
}

fn pool(deadlines: Deadlines) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(deadlines.connect)
}

async fn within<T>(deadline: Duration, doing: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(deadline, work)
        .await
        .map_err(|_| no_answer(doing, deadline))?
}

async fn end(connection: PgConnection, doing: &str, deadlines: Deadlines) -> Result<()> {
    let closed = async { connection.close().await.map_err(|error| failed(doing, error)) };
    within(deadlines.connect, doing, closed).await
}

fn options(url: &SecretString) -> Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(url.expose_secret()).map_err(|error| {
        StoreError::new(
            StoreErrorKind::Unavailable,
            "the address of the PostgreSQL database makes no sense",
        )
        .with_source(error)
    })?;
    Ok(match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("letta-matrix"),
    })
}

/// The database without its password.
fn shown(options: &PgConnectOptions) -> String {
    let user = options.get_username();
    let database = options.get_database().unwrap_or(user);
    let server = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    format!("the PostgreSQL database {database} of {user} at {server}")
}

/// The first connection. The pool would try for long, and not tell what is wrong.
async fn connect(options: &PgConnectOptions, shown: &str, deadline: Duration) -> Result<PgConnection> {
    let doing = format!("open {shown}");
    let connected = async {
        PgConnection::connect_with(options)
            .await
            .map_err(|error| failed(&doing, error))
    };
    within(deadline, &doing, connected).await
}

/// Brings the tables up to date, if they are ours. Of several processes one does it, the others wait.
async fn prepare(connection: &mut PgConnection, shown: &str) -> Result<()> {
    let tables = Tables::of(connection, shown).await?;
    if let (false, Some(table)) = (tables.have_history, tables.ours.first()) {
        return Err(foreign(
            shown,
            &format!("has a table {table} that is not the bridge's"),
        ));
    }
    match MIGRATIONS.run_direct(None, connection, false).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(version)) => {
            Err(if Tables::of(connection, shown).await?.are_ours() {
                too_new(shown, version)
            } else {
                foreign(shown, "belongs to another program")
            })
        }
        Err(error) => Err(of_migration(shown, error)),
    }
}

/// Whether there are tables, and they are ours and up to date.
async fn look(connection: &mut PgConnection, shown: &str) -> Result<bool> {
    let tables = Tables::of(connection, shown).await?;
    tables.refuse_foreign(shown)?;
    if !tables.have_history {
        return Ok(false);
    }
    let version: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(connection)
        .await
        .map_err(|error| failed(&format!("read {shown}"), error))?;
    match version {
        // Somebody is about to make them.
        None => Ok(false),
        Some(_) if !tables.are_ours() => Err(foreign(shown, "belongs to another program")),
        Some(version) if version > known() => Err(too_new(shown, version)),
        Some(version) if version < known() => Err(StoreError::new(
            StoreErrorKind::TooOld,
            format!("{shown} was written by an older version of letta-matrix"),
        )),
        Some(_) => Ok(true),
    }
}

/// The tables that are there when we come.
struct Tables {
    /// Whether the versions of tables are recorded.
    have_history: bool,
    /// Those that have names of ours.
    ours: Vec<String>,
}

impl Tables {
    /// Answers `Foreign` when tables are in the way.
    fn refuse_foreign(&self, shown: &str) -> Result<()> {
        match self.ours.first() {
            Some(table) if !self.have_history => Err(foreign(
                shown,
                &format!("has a table {table} that is not the bridge's"),
            )),
            _ => Ok(()),
        }
    }

    /// Whether tables with a history are the bridge's. Names such as `record` are anybody's.
    fn are_ours(&self) -> bool {
        self.ours.iter().any(|table| table == "binding")
    }

    async fn of(connection: &mut PgConnection, shown: &str) -> Result<Self> {
        let read = async {
            let row = sqlx::query(
                "SELECT to_regclass('_sqlx_migrations') IS NOT NULL AS have_history,
                     ARRAY(SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()
                         AND tablename IN ('binding', 'space', 'progress', 'lease', 'account', 'inbox', 'set_aside', 'cursor',
                             'delivery', 'record')
                         ORDER BY 1) AS ours",
            )
            .fetch_one(connection)
            .await?;
            Ok(Self {
                have_history: row.try_get("have_history")?,
                ours: row.try_get("ours")?,
            })
        };
        read.await
            .map_err(|error| failed(&format!("read {shown}"), error))
    }
}

fn foreign(shown: &str, what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Foreign,
        format!("{shown} {what}: the state needs a database of its own"),
    )
}

/// The version of the tables that this program makes.
fn known() -> i64 {
    let versions = MIGRATIONS.iter().map(|migration| migration.version);
    versions.max().unwrap_or_default()
}

fn too_new(shown: &str, version: i64) -> StoreError {
    let known = known();
    StoreError::new(
        StoreErrorKind::TooNew,
        format!(
            "{shown} was written by a newer version of letta-matrix (its schema is {version}, this program knows up \
             to {known}): run that version, or start with another database"
        ),
    )
}
