//! Files for tests.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use sqlx::{AssertSqlSafe, SqlitePool};

/// A path in a fresh folder. The folder outlives the test on purpose: the store may still hold the file.
pub(crate) fn fresh_path() -> PathBuf {
    tempfile::tempdir().unwrap().keep().join("bridge.db")
}

/// Runs SQL as a stranger would.
pub(crate) async fn execute(path: &Path, sql: &str) {
    let pool = pool(path).await;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    pool.close().await;
}

pub(crate) async fn pool(path: &Path) -> SqlitePool {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true);
    SqlitePool::connect_with(options).await.unwrap()
}

/// A file as the first version of this program left it, with a finished agent, one that failed and a space.
pub(crate) async fn first_version() -> PathBuf {
    let path = fresh_path();
    let pool = pool(&path).await;
    sqlx::migrate!("./migrations").run_to(1, &pool).await.unwrap();
    sqlx::raw_sql("PRAGMA journal_mode = WAL")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::raw_sql(
        r#"INSERT INTO binding VALUES
               ('agent-001', 'Ada "the first"', '@agent_001:matrix.test', '#agent_001:matrix.test', 1, 'Ada', '!ada',
                'Ada''s room', 'A topic', '!parent', '!space',
                '{"@ann:matrix.test":"joined","@bob:matrix.test":"left"}', NULL,
                '2026-01-01T12:00:00Z', '2026-01-02T12:00:00.123456789Z'),
               ('agent-002', 'Bea', '@agent_002:matrix.test', '#agent_002:matrix.test', 0, NULL, NULL, NULL, NULL, NULL,
                NULL, '{}', 'no such user', '2026-01-03T12:00:00Z', '2026-01-03T12:00:00Z');
           INSERT INTO space VALUES (1, '!space', 'Agents', '2026-01-01T11:00:00Z');"#,
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    path
}

/// A file as the second version of this program left it, with an agent, a space, progress, a lease of `a test` and an
/// account.
pub(crate) async fn second_version() -> PathBuf {
    let path = fresh_path();
    let pool = pool(&path).await;
    sqlx::migrate!("./migrations").run_to(2, &pool).await.unwrap();
    sqlx::raw_sql(
        r#"PRAGMA journal_mode = WAL;
           INSERT INTO binding VALUES
               ('agent-001', 'Ada', '@agent_001:matrix.test', '#agent_001:matrix.test', '{"state":"active"}', 1, 'Ada',
                '{}', '!ada', '{"verified":true}', '{"@ann:matrix.test":"joined"}', NULL,
                '2026-01-01T12:00:00.000000000Z', '2026-01-02T12:00:00.123456789Z');
           INSERT INTO space VALUES
               (1, '{"room_id":"!space","verified":true,"name":"Agents","topic":null,"alias_set":true,"marked":true,
                     "bot_name":null,"invitations":{},"created_at":"2026-01-01T11:00:00Z"}');
           INSERT INTO progress VALUES (1, '{"listing":null,"checked_at":"2026-01-02T12:00:00Z"}');
           INSERT INTO lease VALUES ('a test', 41, 'a test', '2026-01-01T12:00:00.000000000Z');
           INSERT INTO account VALUES ('@bot:matrix.test', 'DEVICE', x'0102', NULL, '2026-01-01T12:00:00.000000000Z');"#,
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    path
}

/// All files of a folder.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            (path, bytes)
        })
        .collect()
}
