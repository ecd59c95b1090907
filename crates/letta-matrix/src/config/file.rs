//! The configuration file.

use std::{fs::File, io::Read, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{ConfigError, Origin, PERMISSIONS, SETTINGS, Setting, Sourced};

/// Far more than any configuration has; whoever names a larger file names the wrong one.
const MAX_BYTES: u64 = 1024 * 1024;

/// Reads the file. `named_by` is what named it, for the message when it cannot be read.
pub(super) fn read(path: &Path, named_by: Option<&str>) -> Result<Vec<Sourced<String>>, ConfigError> {
    let shown = path.display();
    let by = named_by.map(|by| format!(" (named by {by})")).unwrap_or_default();
    let fail = |why: String| ConfigError::one(format!("cannot read the configuration {shown}{by}: {why}"));
    if path.is_dir() {
        return Err(fail("it is a directory".to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| fail(crate::failure::plain(&error)))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(fail("it is larger than 1 MiB".to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..valid]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        fail(format!("line {line} is not UTF-8"))
    })?;
    parse(text.trim_start_matches('\u{feff}'), path)
}

/// Reads the text of a file.
fn parse(text: &str, path: &Path) -> Result<Vec<Sourced<String>>, ConfigError> {
    let mut reader = Reader {
        text,
        path,
        values: Vec::new(),
        problems: Vec::new(),
    };
    match DeTable::parse(text) {
        Ok(table) => reader.table("", table.get_ref()),
        // Its Display shows the line, and the line may hold a secret.
        Err(error) => {
            let at = error
                .span()
                .map_or_else(String::new, |span| format!(", line {}", reader.line(span.start)));
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            reader
                .problems
                .push(format!("{}{at} is not valid TOML: {message}", path.display()));
        }
    }
    ConfigError::check(reader.problems)?;
    Ok(reader.values)
}

struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
    values: Vec<Sourced<String>>,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = if section.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{section}.{}", name.get_ref())
            };
            let line = self.line(name.span().start);
            if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
                self.setting(setting, line, value);
            } else if is_section(&key) {
                match value.get_ref() {
                    DeValue::Table(table) => self.table(&key, table),
                    _ => self.problem(
                        line,
                        &format!("`{key}` is a section: write `[{key}]`, and its settings below"),
                    ),
                }
            } else {
                self.problem(line, &unknown(&key));
            }
        }
    }

    fn setting(&mut self, setting: &'static Setting, line: usize, value: &Spanned<DeValue<'_>>) {
        match text_of(setting, value.get_ref()) {
            Ok(value) => {
                let origin = Origin::File {
                    path: self.path.to_owned(),
                    line,
                };
                self.values.push(Sourced {
                    value,
                    setting,
                    origin,
                });
            }
            Err(expected) => self.problem(line, &format!("`{}` must be {expected}", setting.key)),
        }
    }

    fn problem(&mut self, line: usize, what: &str) {
        self.problems
            .push(format!("{}, line {line}: {what}", self.path.display()));
    }

    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }
}

fn is_section(key: &str) -> bool {
    SETTINGS.iter().any(|setting| {
        setting
            .key
            .split_once('.')
            .is_some_and(|(section, _)| section == key)
    })
}

/// A value in the form in which the environment would hold it; `Err` says what is expected.
fn text_of(setting: &Setting, value: &DeValue<'_>) -> Result<String, &'static str> {
    let scalar = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        _ => None,
    };
    let is_list = matches!(setting.value, "IDS" | "LIST");
    match value {
        DeValue::Array(items) if is_list => {
            let items: Option<Vec<_>> = items.iter().map(|item| scalar(item.get_ref())).collect();
            items.map(|items| items.join(",")).ok_or("a list of texts")
        }
        DeValue::Table(entries) if setting == &PERMISSIONS => {
            let entry = |(name, role): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
                Some(format!("{}={}", name.get_ref(), scalar(role.get_ref())?))
            };
            let entries: Option<Vec<_>> = entries.iter().map(entry).collect();
            entries
                .map(|entries| entries.join(","))
                .ok_or("a table of ids and roles")
        }
        other => scalar(other).ok_or(if is_list {
            "a text or a list of texts"
        } else {
            "a text"
        }),
    }
}

fn unknown(key: &str) -> String {
    let own_name = key.rsplit('.').next().unwrap_or(key);
    let likeness = |setting: &Setting| {
        let name = setting.key.rsplit('.').next().unwrap_or(setting.key);
        [(key, setting.key), (own_name, name), (own_name, setting.env)]
            .map(|(a, b)| strsim::jaro_winkler(&a.to_lowercase(), &b.to_lowercase()))
            .into_iter()
            .fold(0.0, f64::max)
    };
    let nearest = SETTINGS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest {
        Some(setting) => format!(
            "there is no setting `{key}`. The nearest known one is `{}`",
            setting.key
        ),
        None => format!("there is no setting `{key}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(&'static str, String)>, String> {
        match parse(text, Path::new("test.toml")) {
            Ok(values) => Ok(values
                .into_iter()
                .map(|value| (value.setting.key, value.value))
                .collect()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn sections_lists_and_tables_are_read() {
        let text = r#"
            database = "a.db"
            letta.url = "http://letta.test"
            [sync]
            concurrency = 8
            [people]
            invite = ["@a:matrix.test", "@b:matrix.test"]
            permissions = { "@a:matrix.test" = "admin", "matrix.test" = "talk" }
        "#;
        let mut values = parsed(text).unwrap();
        values.sort_unstable();
        assert_eq!(
            values,
            [
                ("database", "a.db".to_owned()),
                ("letta.url", "http://letta.test".to_owned()),
                ("people.invite", "@a:matrix.test,@b:matrix.test".to_owned()),
                (
                    "people.permissions",
                    "@a:matrix.test=admin,matrix.test=talk".to_owned()
                ),
                ("sync.concurrency", "8".to_owned()),
            ]
        );
    }

    #[test]
    fn an_unknown_key_is_told_with_its_line_and_the_nearest_known_one() {
        for (text, line, key, nearest) in [
            ("[letta]\n\ntokn = 'x'", 3, "letta.tokn", "letta.token"),
            ("[matrx]\nserver_name = 'x'", 1, "matrx", "matrix.as_token"),
            ("server_name = 'x'", 1, "server_name", "matrix.server_name"),
            ("\nLETTA_API_URL = 'x'", 2, "LETTA_API_URL", "letta.url"),
            (
                "[matrix]\nhomeserver = 'x'",
                2,
                "matrix.homeserver",
                "matrix.homeserver_url",
            ),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(
                error.starts_with(&format!("test.toml, line {line}: there is no setting `{key}`.")),
                "{error}"
            );
            if key != "matrx" {
                assert!(error.ends_with(&format!("`{nearest}`")), "{error}");
            }
        }
    }

    #[test]
    fn every_problem_of_a_file_is_told_at_once() {
        let error =
            parsed("letta = 'x'\nspaces = 1\n[sync]\nconcurrency = true\n[matrix]\nserver_name = ['a']")
                .unwrap_err();
        for part in [
            "line 1: `letta` is a section",
            "line 2: there is no setting `spaces`",
            "line 4: `sync.concurrency` must be a text",
            "line 6: `matrix.server_name` must be a text",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn garbage_is_told_without_showing_it() {
        let error = parsed("[letta]\ntoken = \"obviously-fake-secret").unwrap_err();
        assert!(
            error.starts_with("test.toml, line 2 is not valid TOML"),
            "{error}"
        );
        assert!(!error.contains("obviously"), "{error}");
    }
}
