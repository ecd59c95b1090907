//! Settings that are missing or make no sense, and where they may come from.

use super::{
    program::{AS_TOKEN, Program},
    raw_server::{RawServer, closed_port, json},
};

async fn nowhere() -> Program {
    let closed = closed_port().await;
    Program::new(&closed, &closed)
}

#[tokio::test]
async fn a_newcomer_is_told_everything_that_is_missing() {
    let mut program = nowhere().await;
    for name in [
        "LETTA_API_URL",
        "MATRIX_HOMESERVER_URL",
        "MATRIX_SERVER_NAME",
        "MATRIX_AS_TOKEN",
    ] {
        program.unset(name);
    }
    program.run(&["sync"]).await.assert_could_not_run(&[
        "LETTA_API_URL",
        "MATRIX_HOMESERVER_URL",
        "MATRIX_SERVER_NAME",
        "MATRIX_AS_TOKEN",
        "letta-matrix.toml",
    ]);
    assert_eq!(program.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_garbage_file_is_told_without_its_secrets() {
    let program = nowhere().await;
    let file = program.folder().join("letta-matrix.toml");
    std::fs::write(
        &file,
        format!("[matrix]\nas_token = \"{AS_TOKEN}\nserver_name = 'x'\n"),
    )
    .unwrap();
    program
        .run(&["sync"])
        .await
        .assert_could_not_run(&["letta-matrix.toml, line 2 is not valid TOML"]);
    std::fs::write(&file, "[letta]\nurll = 'http://letta.test'\n").unwrap();
    let expected =
        "letta-matrix.toml, line 2: there is no setting `letta.urll`. The nearest known one is `letta.url`";
    program.run(&["sync"]).await.assert_could_not_run(&[expected]);
    program.run(&["status"]).await.assert_could_not_run(&[expected]);
}

#[tokio::test]
async fn the_file_is_found_beside_us_by_the_environment_and_by_the_flag() {
    let letta = RawServer::answering(json("200 OK", "[]")).await;
    let mut program = nowhere().await;
    program.unset("LETTA_API_URL");
    let text = format!("[letta]\nurl = '{}'\n", letta.url);
    std::fs::write(program.folder().join("letta-matrix.toml"), &text).unwrap();
    std::fs::write(program.folder().join("other.toml"), &text).unwrap();

    let says = |line: &str| format!("({} as letta.url ({line}) says)", letta.url);
    let ran = program.run(&["sync"]).await;
    assert!(
        ran.stdout.contains(&says("line 2 of letta-matrix.toml")),
        "{ran:?}"
    );
    program.set("LETTA_MATRIX_CONFIG", "other.toml");
    let ran = program.run(&["sync"]).await;
    assert!(ran.stdout.contains(&says("line 2 of other.toml")), "{ran:?}");
    program.set("LETTA_MATRIX_CONFIG", "missing.toml");
    let ran = program.run(&["--config", "other.toml", "sync"]).await;
    assert!(ran.stdout.contains(&says("line 2 of other.toml")), "{ran:?}");
    program
        .run(&["sync"])
        .await
        .assert_could_not_run(&["cannot read the configuration missing.toml (named by LETTA_MATRIX_CONFIG)"]);
}

#[tokio::test]
async fn a_flag_counts_before_the_environment() {
    let letta = RawServer::answering(json("200 OK", "[]")).await;
    let ran = nowhere().await.run(&["sync", "--letta-url", &letta.url]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.contains("as --letta-url (on the command line) says"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_wrong_command_line_says_how_it_is_used() {
    let program = nowhere().await;
    for arguments in [
        &[][..],
        &["sink"],
        &["sync", "--dryrun"],
        &["sync", "--letta-token", "x"],
    ] {
        let ran = program.run(arguments).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(ran.stderr.contains("Usage: letta-matrix"), "{ran:?}");
    }
    let ran = program.run(&["--help"]).await;
    assert!(
        ran.code == 0 && ran.stdout.contains("Usage: letta-matrix"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_state_that_cannot_be_used_names_the_setting() {
    let mut program = nowhere().await;
    let garbage = program.folder().join("garbage.db");
    std::fs::write(
        &garbage,
        "this is no database at all, it is only text that is long enough",
    )
    .unwrap();
    for (database, expected) in [
        ("missing/state.db", "cannot write beside the state file"),
        ("garbage.db", "the state file garbage.db cannot be used"),
        (".", "cannot be used"),
        (
            "postgres://me:not-a-real#secret@db.test/x",
            "no address of a PostgreSQL database",
        ),
        (
            "postgres://me:not-a-real-secret@127.0.0.1:1/x",
            "the state in postgres://127.0.0.1:1/x cannot be used",
        ),
    ] {
        program.set("DATABASE_URL", database);
        let setting = "DATABASE_URL (from the environment)";
        program
            .run(&["sync"])
            .await
            .assert_could_not_run(&[expected, setting]);
    }
    program.set("DATABASE_URL", "nothing.db");
    program
        .run(&["status"])
        .await
        .assert_could_not_run(&["there is no state yet", "letta-matrix sync"]);
    assert!(!program.folder().join("nothing.db").exists());
}

#[tokio::test]
async fn an_address_of_redis_that_makes_no_sense_is_told_without_its_password() {
    let mut program = nowhere().await;
    program.set(
        "REDIS_URL",
        "rediss://me:not-a-real-secret-redis@redis.test:6379/0",
    );
    let told = program.run(&["run"]).await;
    told.assert_could_not_run(&[
        "REDIS_URL (from the environment) is of no use",
        "redis://[user:password@]host",
    ]);
    assert!(!told.stderr.contains("not-a-real-secret-redis"), "{told:?}");
}
