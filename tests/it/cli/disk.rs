//! `letta-matrix run` while its state cannot be written: the file is locked, the disk is full, the file may not grow.

mod scenes;

use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use self::scenes::{Words, nothing_is_lost_while, start};
use crate::cli::servers::Servers;

/// Another program that has the state file to itself.
async fn lock(path: &std::path::Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    let mut stranger = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE")
        .execute(&mut stranger)
        .await
        .unwrap();
    stranger
}

#[tokio::test]
async fn a_state_that_another_program_locks_loses_nothing_and_says_nothing_twice() {
    let (servers, running) = start().await;
    let path = servers.program.folder().join("letta-matrix.db");
    let words = Words {
        ready: "the state cannot be written: another program keeps it locked",
        log: "the state file letta-matrix.db cannot be written: another program keeps it locked: ",
        cause: "database is locked",
        advice: "End that program: a backup, or somebody who looks into the state. Until then messages wait, and none \
                 is lost",
    };
    nothing_is_lost_while(
        &servers,
        &running,
        &path,
        &words,
        async || lock(&path).await,
        async |stranger| {
            stranger.close().await.unwrap();
        },
    )
    .await;
    running.terminated().await;
}

#[tokio::test]
async fn a_state_that_is_locked_at_the_start_is_told_with_what_to_do() {
    let servers = Servers::start().await;
    servers.program.run(&["sync"]).await;
    let stranger = lock(&servers.program.folder().join("letta-matrix.db")).await;
    let ran = servers.program.run(&["run"]).await;
    ran.assert_could_not_run(&[
        "the state file letta-matrix.db cannot be written: another program keeps it locked",
        "because: error returned from database: (code: 5) database is locked",
        "what to do: End that program",
    ]);
    stranger.close().await.unwrap();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        fs::File,
        io::{ErrorKind, Write},
        path::PathBuf,
        process::Command,
    };

    use super::{
        scenes::{Talk, after_the_first_sync},
        *,
    };
    use crate::cli::{
        Program,
        run::running::{Running, until},
    };

    /// How far the process may make files grow. No byte, or without end.
    fn set_file_size(running: &Running, soft: &str) {
        let set = Command::new("prlimit")
            .arg(format!("--pid={}", running.pid()))
            .arg(format!("--fsize={soft}:"))
            .status();
        assert!(set.unwrap().success());
    }

    #[tokio::test]
    async fn a_state_file_that_may_not_grow_loses_nothing_and_says_nothing_twice() {
        let (servers, running) = start().await;
        let path = servers.program.folder().join("letta-matrix.db");
        let words = Words {
            ready: "the state cannot be written",
            log: "the state file letta-matrix.db cannot be used: ",
            cause: "disk I/O error",
            advice: "Check DATABASE_URL (from the environment), and the disk and the quota of that file. Until then \
                     messages wait, and none is lost",
        };
        nothing_is_lost_while(
            &servers,
            &running,
            &path,
            &words,
            async || set_file_size(&running, "0"),
            async |()| set_file_size(&running, "unlimited"),
        )
        .await;
        running.terminated().await;
    }

    /// A small disk of the program's own, that goes with it.
    const MOUNT: &str = "mount -t tmpfs -o size=16m tmpfs disk && exec \"$@\"";
    const WITHIN: &[&str] = &[
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        MOUNT,
        "sh",
    ];

    /// Whether this system lets us have a disk of our own. Says so when not.
    #[expect(
        clippy::print_stdout,
        reason = "whoever reads the tests' output is to know what did not run"
    )]
    fn can_mount() -> bool {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("disk")).unwrap();
        let tried = Command::new(WITHIN[0])
            .args(&WITHIN[1..])
            .arg("true")
            .current_dir(folder.path())
            .output();
        let can = tried.is_ok_and(|output| output.status.success());
        if !can {
            println!("skipped: this system lets nobody but root mount a disk");
        }
        can
    }

    /// The program with its state on a disk of 16 MiB.
    struct OnSmallDisk {
        servers: Servers,
        running: Running,
    }

    impl OnSmallDisk {
        async fn start() -> Self {
            let mut servers = Servers::start().await;
            servers.program.set("DATABASE_URL", "disk/letta-matrix.db");
            std::fs::create_dir(servers.program.folder().join("disk")).unwrap();
            let running = after_the_first_sync(&mut servers, |program| program.command_within(WITHIN)).await;
            Self { servers, running }
        }

        /// The disk as it is seen from outside.
        fn disk(&self) -> PathBuf {
            let folder = self.servers.program.folder().join("disk");
            let root = format!("/proc/{}/root", self.running.pid());
            PathBuf::from(root).join(folder.strip_prefix("/").unwrap())
        }

        fn filler(&self) -> PathBuf {
            self.disk().join("filler")
        }

        fn fill(&self) {
            let mut file = File::create(self.filler()).unwrap();
            let error = loop {
                if let Err(error) = file.write_all(&[1; 4096]) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull);
        }
    }

    #[tokio::test]
    async fn a_full_disk_loses_nothing_and_says_nothing_twice() {
        if !can_mount() {
            return;
        }
        let small = OnSmallDisk::start().await;
        let path = small.disk().join("letta-matrix.db");
        let words = Words {
            ready: "the state cannot be written: its disk is full",
            log: "the state file disk/letta-matrix.db cannot be written: its disk is full: ",
            cause: "database or disk is full",
            advice: "Make room on that disk. Until then messages wait, and none is lost",
        };
        nothing_is_lost_while(
            &small.servers,
            &small.running,
            &path,
            &words,
            async || small.fill(),
            async |()| std::fs::remove_file(small.filler()).unwrap(),
        )
        .await;
        small.running.terminated().await;
    }

    #[tokio::test]
    async fn whoever_is_killed_while_the_file_may_not_grow_goes_on_and_says_nothing_twice() {
        let (mut servers, running) = start().await;
        let path = servers.program.folder().join("letta-matrix.db");
        let talk = Talk::begin(&servers, &path).await;
        set_file_size(&running, "0");
        let talk = talk.go_on(&servers).await;
        until("the homeserver keeps what it could not hand over", async || {
            running.log().contains("events stay in the homeserver's queue")
        })
        .await;
        running.killed().await;
        let running = after_the_first_sync(&mut servers, Program::command).await;
        talk.ends_well(&servers, &path).await;
        running.terminated().await;
    }
}
