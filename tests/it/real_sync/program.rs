//! The program under test, as a process.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tokio::process::Command;

use crate::support::env;

/// The program under test, in a folder of its own.
pub(super) struct Program {
    folder: tempfile::TempDir,
}

impl Program {
    pub(super) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command.env(
            "LETTA_MATRIX_INVITE",
            format!("@admin:{}", env("MATRIX_SERVER_NAME")),
        );
        command
    }

    pub(super) async fn sync(&self) -> Value {
        self.sync_with(&[]).await
    }

    pub(super) async fn sync_with(&self, flags: &[&str]) -> Value {
        let output = self
            .command(&[&["sync", "--json"], flags].concat())
            .output()
            .await
            .unwrap();
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
    }

    pub(super) fn forget(&self) {
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
}

fn binary() -> PathBuf {
    std::env::var_os("LETTA_MATRIX_BIN").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/letta-matrix"),
        PathBuf::from,
    )
}
