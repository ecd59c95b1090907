//! The program in a folder of its own, with settings in its environment.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

/// The secrets that every run is given. They must never show.
pub const LETTA_TOKEN: &str = "not-a-real-secret-letta";
pub const AS_TOKEN: &str = "not-a-real-secret-as";
pub const HS_TOKEN: &str = "not-a-real-secret-hs";

/// The program.
const TESTED: &str = env!("CARGO_BIN_EXE_letta-matrix-tested");

/// What the names of all secrets have in common.
const SECRET: &str = "not-a-real-secret";

/// The program, its folder and its environment.
#[derive(Debug)]
pub struct Program {
    folder: TempDir,
    env: BTreeMap<&'static str, String>,
}

/// What a run of the program left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Program {
    /// With these servers, everything else that is required, and the secrets.
    pub fn new(letta: &str, homeserver: &str) -> Self {
        let env = [
            ("LETTA_API_URL", letta),
            ("LETTA_TOKEN", LETTA_TOKEN),
            ("MATRIX_HOMESERVER_URL", homeserver),
            ("MATRIX_SERVER_NAME", "matrix.test"),
            ("MATRIX_AS_TOKEN", AS_TOKEN),
            ("MATRIX_HS_TOKEN", HS_TOKEN),
        ];
        let env = env
            .into_iter()
            .map(|(name, value)| (name, value.to_owned()))
            .collect();
        Self {
            folder: tempfile::tempdir().unwrap(),
            env,
        }
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.env.insert(name, value.into());
    }

    /// Sets a variable, unless it is set.
    pub fn set_unless_set(&mut self, name: &'static str, value: &str) {
        self.env.entry(name).or_insert_with(|| value.to_owned());
    }

    /// What a variable is set to.
    #[track_caller]
    pub fn get(&self, name: &str) -> &str {
        &self.env[name]
    }

    /// Removes a variable.
    pub fn unset(&mut self, name: &str) {
        self.env.remove(name);
    }

    /// The folder that the program runs in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The names of the files in its folder.
    pub fn files(&self) -> Vec<String> {
        let mut files: Vec<_> = std::fs::read_dir(self.folder())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        files
    }

    /// The command, to be started by hand.
    pub fn command(&self) -> std::process::Command {
        self.settle(std::process::Command::new(TESTED))
    }

    /// The command as the last arguments of another one.
    pub fn command_within(&self, outer: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(outer[0]);
        command.args(&outer[1..]).arg(TESTED);
        self.settle(command)
    }

    fn settle(&self, mut command: std::process::Command) -> std::process::Command {
        command
            .env_clear()
            .envs(&self.env)
            .env("NO_PROXY", "*")
            .current_dir(self.folder());
        command
    }

    /// Runs it to its end. No run may show a secret.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with_input(arguments, "").await
    }

    /// Runs it to its end with this on its standard input.
    pub async fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = assert_cmd::Command::from_std(self.command());
        command
            .args(arguments)
            .write_stdin(input)
            .timeout(Duration::from_secs(120));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let ran = Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(
            !ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET),
            "a secret was shown: {ran:?}"
        );
        ran
    }
}

impl Ran {
    /// The standard output as JSON. Only that: nothing may stand before or behind it.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// That it could not run, said nothing on the standard output, and named all of this in a short message.
    #[track_caller]
    pub fn assert_could_not_run(&self, expected: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (2, ""), "{self:?}");
        assert!(self.stderr.starts_with("error: "), "{self:?}");
        assert!(
            self.stderr.len() < 2_000,
            "{} bytes: {}",
            self.stderr.len(),
            self.stderr
        );
        for part in expected {
            assert!(
                self.stderr.contains(part),
                "{part:?} is missing in: {}",
                self.stderr
            );
        }
        for dump in ["Err(", "Error {", "Some(", "panicked"] {
            assert!(!self.stderr.contains(dump), "{}", self.stderr);
        }
    }
}
