//! Looking at a state changes nothing.

use std::{collections::BTreeMap, path::Path};

use sqlx::sqlite::SqliteConnectOptions;

use super::{program::Program, servers::Servers};

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect()
}

#[tokio::test]
async fn status_dry_run_and_doctor_leave_the_state_as_it_is() {
    let servers = Servers::start().await;
    let program = &servers.program;
    program.run(&["sync"]).await;
    let before = contents(program.folder());
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        ["letta-matrix.db", "letta-matrix.db.lock"]
    );
    let status = program.run(&["status"]).await;
    assert!(status.stdout.ends_with("3 of 3 agents ready\n"), "{status:?}");
    let plan = program.run(&["sync", "--dry-run"]).await;
    assert!(plan.stdout.contains("3 at home already"), "{plan:?}");
    let doctor = program.run(&["doctor"]).await;
    assert!(
        doctor.stdout.contains("letta-matrix.db knows 3 agents"),
        "{doctor:?}"
    );
    assert!(contents(program.folder()) == before, "something changed");
}

#[tokio::test]
async fn the_state_of_an_older_version_is_shown_and_left_to_it() {
    let mut program = Program::new("http://127.0.0.1:1", "http://127.0.0.1:1");
    program.set("DATABASE_URL", "old.db");
    let options = SqliteConnectOptions::new()
        .filename(program.folder().join("old.db"))
        .create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::migrate!("../crates/store-sqlite/migrations")
        .run_to(1, &pool)
        .await
        .unwrap();
    sqlx::raw_sql(
        "INSERT INTO binding VALUES ('agent-001', 'Ada', '@agent_001:matrix.test', '#agent_001:matrix.test', 1, 'Ada',
             '!ada', 'Ada', NULL, '!space', '!space', '{}', 'it was late', '2026-01-01T12:00:00Z', '2026-01-01T12:00:00Z')",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    let before = contents(program.folder());
    let status = program.run(&["status", "--json"]).await.json();
    assert_eq!(status[0]["agent_name"], "Ada");
    assert_eq!(status[0]["last_error"], "it was late");
    assert!(contents(program.folder()) == before, "something changed");
}
