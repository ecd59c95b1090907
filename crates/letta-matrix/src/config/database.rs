//! Where the state is kept.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Where the state is kept. Shown without the password.
#[derive(Debug, Clone)]
pub enum Database {
    /// In a file.
    Sqlite(PathBuf),
    /// On a PostgreSQL server.
    Postgres(PostgresUrl),
}

/// The address of a PostgreSQL database, with its password.
#[derive(Debug, Clone)]
pub struct PostgresUrl {
    url: SecretString,
    /// Without user, password and parameters.
    shown: String,
}

impl PostgresUrl {
    /// The whole address.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        &self.url
    }
}

impl Database {
    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// Understands a path, a `sqlite:` URL or a `postgres:` URL, or says what it is instead. What is no path may hold a
    /// password: it is not shown.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("sqlite", path)) => sqlite(path.strip_prefix("//").unwrap_or(path)),
            Some(("postgres" | "postgresql", _)) => postgres(text).map(Self::Postgres),
            Some((scheme, rest)) if rest.starts_with("//") => {
                let scheme: String = scheme.chars().take(20).collect();
                Err(format!(
                    "names a database of the kind {scheme:?}: give it the path of a SQLite file, or a postgres:// URL"
                ))
            }
            _ => sqlite(text),
        }
    }
}

fn sqlite(path: &str) -> Result<Database, String> {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if path.is_empty() || path == ":memory:" {
        return Err("names no file: the state must outlive the program".to_owned());
    }
    Ok(Database::Sqlite(path.into()))
}

fn postgres(text: &str) -> Result<PostgresUrl, String> {
    let example = "write postgres://user:password@host:5432/database, and signs such as # / ? @ in the password as \
                   %23 %2F %3F %40";
    let url = Url::parse(text)
        .map_err(|error| format!("is no address of a PostgreSQL database ({error}): {example}"))?;
    if !text[url.scheme().len()..].starts_with("://") || url.fragment().is_some() {
        return Err(format!("is no address of a PostgreSQL database: {example}"));
    }
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let shown = format!(
        "postgres://{}{port}{}",
        url.host_str().unwrap_or_default(),
        url.path()
    );
    Ok(PostgresUrl {
        url: text.into(),
        shown,
    })
}

/// The path, or the address without user, password and parameters.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(address) => f.write_str(&address.shown),
        }
    }
}

impl PartialEq for Database {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sqlite(a), Self::Sqlite(b)) => a == b,
            (Self::Postgres(a), Self::Postgres(b)) => a.url.expose_secret() == b.url.expose_secret(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_user_password_and_parameters() {
        for (text, shown) in [
            (
                "postgres://me:obviously-fake@db.test/bridge",
                "postgres://db.test/bridge",
            ),
            (
                "postgresql://me:obviously-fake@db.test:5433/bridge?sslmode=require",
                "postgres://db.test:5433/bridge",
            ),
            ("postgres://db.test?password=obviously-fake", "postgres://db.test"),
            (
                "postgres://me:obviously-fake@[::1]/bridge",
                "postgres://[::1]/bridge",
            ),
            ("postgres:///bridge?host=/run/postgresql", "postgres:///bridge"),
        ] {
            let database = Database::parse(text).unwrap();
            assert_eq!(database.to_string(), shown);
            assert!(!format!("{database:?}").contains("obviously"), "{database:?}");
            let Database::Postgres(url) = database else {
                panic!("{text} is an address")
            };
            assert_eq!(url.secret().expose_secret(), text);
        }
    }

    #[test]
    fn an_address_that_makes_no_sense_is_explained_and_not_shown() {
        for text in [
            "postgres://me:obviously#fake@db.test/bridge",
            "postgres://me:obviously/fake@db.test/bridge",
            "postgres://me:obviously-fake@db.test:port/bridge",
            "postgres:me:obviously-fake@db.test/bridge",
            "postgres://me:obviously@fake@db.test/bridge#x",
            "postgres:",
        ] {
            let problem = Database::parse(text).unwrap_err();
            assert!(
                problem.contains("no address of a PostgreSQL database"),
                "{problem}"
            );
            assert!(problem.contains("in the password as %23"), "{problem}");
            assert!(!problem.contains("obviously"), "{problem}");
        }
    }
}
