//! One process at a time for each state file.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

use crate::{
    config::{Database, Sourced},
    failure::{Failure, plain},
};

/// Held while a process changes the state. Given back when dropped, and by the system when the process ends, however
/// it ends. The empty file beside the state stays: removing it would race with the next one who takes it.
#[derive(Debug)]
pub(crate) struct StateLock {
    _file: File,
}

impl StateLock {
    /// Takes the lock of this state file, or says who has it. On a server there is none to take: those who share a
    /// database there keep out of each other's way with a lease in it.
    pub(crate) fn take(database: &Sourced<Database>) -> Result<Option<Self>, Failure> {
        let Some(file) = database.value.file() else {
            return Ok(None);
        };
        let path = lock_path(file);
        let unusable = |error: &std::io::Error| {
            Failure::new(format!("cannot write beside the state file {}", database.value))
                .because(format!("{}: {}", path.display(), plain(error)))
                .advice(format!(
                    "Check {}: its directory must exist, and this user must be able to write to it.",
                    database.name()
                ))
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| unusable(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Err(Failure::new(format!(
                "another letta-matrix is at work on {}",
                database.value
            ))
            .advice(format!(
                "Wait until it is done, or stop it if it is `letta-matrix run`, which syncs at once on SIGHUP. Two bridges need two state files: see {}.",
                database.name()
            ))),
            Err(TryLockError::Error(error)) => Err(unusable(&error)),
        }
    }
}

/// Beside the real file: two names of one file are one lock.
fn lock_path(database: &Path) -> PathBuf {
    let real = database.canonicalize().unwrap_or_else(|_| database.to_owned());
    let mut name = real.into_os_string();
    name.push(".lock");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DATABASE, Origin};

    #[test]
    fn a_state_file_has_one_writer() {
        let folder = tempfile::tempdir().unwrap();
        let database = |name: &str| Sourced {
            value: Database::Sqlite(folder.path().join(name)),
            setting: &DATABASE,
            origin: Origin::Default,
        };
        let held = StateLock::take(&database("a.db")).unwrap();
        let failure = StateLock::take(&database("a.db")).unwrap_err();
        assert!(
            failure.to_string().contains("another letta-matrix is at work"),
            "{failure}"
        );
        let _other = StateLock::take(&database("b.db")).unwrap();
        drop(held);
        StateLock::take(&database("a.db")).unwrap();
    }

    #[test]
    fn a_missing_directory_names_the_setting() {
        let database = Sourced {
            value: Database::Sqlite("/nowhere/at/all.db".into()),
            setting: &DATABASE,
            origin: Origin::Env,
        };
        let failure = StateLock::take(&database).unwrap_err().to_string();
        assert!(
            failure.contains("Check DATABASE_URL (from the environment)"),
            "{failure}"
        );
    }
}
