//! Where values come from, and which one counts.

use std::{
    collections::HashMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use super::{ConfigError, Setting, file};

/// The name of the file that is read when none is named.
pub const DEFAULT_FILE: &str = "letta-matrix.toml";

/// The variable that names the file.
pub const FILE_VARIABLE: &str = "LETTA_MATRIX_CONFIG";

/// What a run of the program is given. Nothing else is read.
pub struct Sources<'a> {
    /// The file named on the command line.
    pub file: Option<PathBuf>,
    /// Settings from the command line.
    pub flags: HashMap<&'static str, String>,
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
}

impl fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("flags", &self.flags.keys())
            .finish_non_exhaustive()
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment.
    Env,
    /// A line of the file, counted from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// Nobody set it.
    Default,
}

/// A value, and the setting to change where it is wrong.
#[derive(Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// What it is the value of.
    pub setting: &'static Setting,
    /// Where it comes from.
    pub origin: Origin,
}

impl<T> Sourced<T> {
    /// The setting's name where it was set, and where that is: `LETTA_TOKEN (from the environment)`.
    #[must_use]
    pub fn name(&self) -> String {
        let setting = self.setting;
        match &self.origin {
            Origin::Flag => format!("--{} (on the command line)", setting.flag.unwrap_or_default()),
            Origin::Env => format!("{} (from the environment)", setting.env),
            Origin::File { path, line } => format!("{} (line {line} of {})", setting.key, path.display()),
            Origin::Default => format!("{} (its default)", setting.key),
        }
    }

    pub(super) fn map<U>(self, map: impl FnOnce(T) -> U) -> Sourced<U> {
        Sourced {
            value: map(self.value),
            setting: self.setting,
            origin: self.origin,
        }
    }
}

/// Values may be secrets.
impl<T> fmt::Debug for Sourced<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sourced({})", self.name())
    }
}

/// The values as they were written, before anybody asked what they mean.
#[derive(Debug)]
pub struct Values {
    given: HashMap<&'static str, Sourced<String>>,
    /// Empty values count as not set; whoever misses one is told where it is empty.
    empty: HashMap<&'static str, Sourced<String>>,
    file: Option<PathBuf>,
}

impl Values {
    /// Reads the file and the environment and lays them over each other: the command line counts before the
    /// environment, the environment before the file. White space around a value is dropped.
    ///
    /// # Errors
    /// When a file was named and cannot be read, when it is not TOML or holds an unknown key, when a variable is not UTF-8.
    pub fn read(sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let path = find_file(sources)?;
        let mut layers = Vec::new();
        if let Some((path, named_by)) = &path {
            match file::read(path, named_by.as_deref()) {
                Ok(values) => layers.extend(values),
                Err(error) => problems.extend(error.problems),
            }
        }
        for setting in super::SETTINGS {
            let Some(text) = (sources.env)(setting.env) else {
                continue;
            };
            match text.into_string() {
                Ok(value) => layers.push(Sourced {
                    value,
                    setting,
                    origin: Origin::Env,
                }),
                Err(_) => problems.push(format!("{} (from the environment) is not UTF-8", setting.env)),
            }
        }
        for setting in super::SETTINGS {
            if let Some(value) = sources.flags.get(setting.key) {
                layers.push(Sourced {
                    value: value.clone(),
                    setting,
                    origin: Origin::Flag,
                });
            }
        }
        ConfigError::check(problems)?;
        let (mut given, mut empty) = (HashMap::new(), HashMap::new());
        for value in layers {
            let value = value.map(|text| text.trim().to_owned());
            let values = if value.value.is_empty() {
                &mut empty
            } else {
                &mut given
            };
            values.insert(value.setting.key, value);
        }
        Ok(Self {
            given,
            empty,
            file: path.map(|(path, _)| path),
        })
    }

    /// The value of a setting: what was given, or its default.
    #[must_use]
    pub fn get(&self, setting: &'static Setting) -> Option<Sourced<String>> {
        self.given.get(setting.key).cloned().or_else(|| {
            let value = setting.default?.to_owned();
            Some(Sourced {
                value,
                setting,
                origin: Origin::Default,
            })
        })
    }

    /// The sentence for a setting that must be set and is not.
    pub(super) fn missing(&self, setting: &'static Setting) -> String {
        let how = match (self.empty.get(setting.key), setting.flag) {
            (Some(empty), _) => format!("is empty: give {} a value", empty.name()),
            (None, Some(flag)) => format!("is not set: set {} or --{flag}", setting.env),
            (None, None) => format!("is not set: set {}", setting.env),
        };
        let file = self.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE)).display();
        let about = setting.about.trim_end_matches(". Required");
        format!("{} {how}, or write it to {file} ({about})", setting.key)
    }
}

/// The file to read, and what named it.
fn find_file(sources: &Sources<'_>) -> Result<Option<(PathBuf, Option<String>)>, ConfigError> {
    if let Some(path) = &sources.file {
        return Ok(Some((path.clone(), Some("--config".to_owned()))));
    }
    if let Some(path) = (sources.env)(FILE_VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(Some((path.into(), Some(FILE_VARIABLE.to_owned()))));
    }
    let default = Path::new(DEFAULT_FILE);
    match default.try_exists() {
        Ok(exists) => Ok(exists.then(|| (default.to_owned(), None))),
        Err(error) => Err(ConfigError::one(format!(
            "cannot look for {DEFAULT_FILE}: {error}"
        ))),
    }
}
