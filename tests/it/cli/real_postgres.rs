//! The program with its state on a PostgreSQL server.

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;

use super::servers::Servers;
use crate::support::{env, real_services};

/// An empty schema, and the address that leads to it. Has a password, which nobody may show.
struct Schema {
    name: &'static str,
    url: Url,
}

impl Schema {
    async fn make(name: &'static str) -> Self {
        sql(&format!(
            "DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}"
        ))
        .await;
        let mut url = Url::parse(&env("REAL_DATABASE_URL")).unwrap();
        url.set_password(Some("not-a-real-secret-database")).unwrap();
        url.set_query(Some(&format!("options=-csearch_path%3D{name}")));
        Self { name, url }
    }

    async fn remove(self) {
        sql(&format!("DROP SCHEMA {} CASCADE", self.name)).await;
    }

    async fn tables(&self) -> Vec<String> {
        let mut server = PgConnection::connect(&env("REAL_DATABASE_URL")).await.unwrap();
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = $1")
            .bind(self.name)
            .fetch_all(&mut server)
            .await
            .unwrap()
    }
}

async fn sql(statements: &str) {
    let mut server = PgConnection::connect(&env("REAL_DATABASE_URL")).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(&mut server)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_state_is_kept_on_a_server() {
    if !real_services() {
        return;
    }
    let schema = Schema::make("program_keeps_its_state").await;
    let mut servers = Servers::start().await;
    servers.program.set("DATABASE_URL", schema.url.as_str());

    // Looking makes nothing.
    servers.program.run(&["status"]).await.assert_could_not_run(&[
        "there is no state yet in postgres://127.0.0.1",
        "letta-matrix sync",
    ]);
    let plan = servers.program.run(&["sync", "--dry-run"]).await;
    assert_eq!(plan.code, 0, "{plan:?}");
    assert_eq!(schema.tables().await, [] as [&str; 0]);

    let first = servers.program.run(&["sync", "--json"]).await;
    assert_eq!(first.code, 0, "{first:?}");
    assert_eq!(first.json()["rooms_created"], 3);
    servers.assert_everyone_is_at_home();
    let status = servers.program.run(&["status", "--json"]).await.json();
    let states: Vec<_> = status
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| &agent["state"])
        .collect();
    assert_eq!(states, ["ready"; 3]);

    servers.matrix.clear_journal();
    let second = servers.program.run(&["sync", "--json"]).await.json();
    assert_eq!(
        (&second["unchanged"], &second["requests"]["matrix"]),
        (&json!(3), &json!(0))
    );
    let plan = servers.program.run(&["sync", "--dry-run"]).await;
    assert!(
        plan.stdout
            .starts_with("0 agents to bring home, 3 at home already"),
        "{plan:?}"
    );
    assert_eq!(servers.program.files(), [] as [&str; 0], "no file is needed");
    schema.remove().await;
}

#[tokio::test]
async fn two_programs_on_one_database_make_everything_once() {
    if !real_services() {
        return;
    }
    let schema = Schema::make("programs_share_a_state").await;
    let mut servers = Servers::start().await;
    servers.program.set("DATABASE_URL", schema.url.as_str());
    let (one, other) = tokio::join!(
        servers.program.run(&["sync", "--json"]),
        servers.program.run(&["sync", "--json"]),
    );
    assert_eq!((one.code, other.code), (0, 0), "{one:?} {other:?}");
    let made = |field: &str| {
        let count = |ran: &super::program::Ran| ran.json()[field].as_u64().unwrap();
        count(&one) + count(&other)
    };
    assert_eq!((made("users_created"), made("rooms_created")), (3, 3));
    servers.assert_everyone_is_at_home();
    schema.remove().await;
}

#[tokio::test]
async fn a_database_that_is_not_there_names_the_setting() {
    if !real_services() {
        return;
    }
    let mut servers = Servers::start().await;
    let mut url = Url::parse(&env("REAL_DATABASE_URL")).unwrap();
    url.set_path("/nowhere");
    servers.program.set("DATABASE_URL", url.as_str());
    for command in ["sync", "status"] {
        servers.program.run(&[command]).await.assert_could_not_run(&[
            "the state in postgres://127.0.0.1",
            "database \"nowhere\" does not exist",
            "Check the user, the password and the database's name in DATABASE_URL (from the environment)",
        ]);
    }
    assert_eq!(servers.matrix.call_count(), 0);
}
