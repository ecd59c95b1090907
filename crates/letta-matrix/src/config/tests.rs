use std::{collections::HashMap, ffi::OsString, path::Path, time::Duration};

use agent_sync::RemovalMode;
use secrecy::ExposeSecret;

use super::*;

const ENOUGH: &[(&str, &str)] = &[
    ("LETTA_API_URL", "http://letta.test:8283"),
    ("MATRIX_HOMESERVER_URL", "http://matrix.test:8008"),
    ("MATRIX_SERVER_NAME", "matrix.test"),
    ("MATRIX_AS_TOKEN", "obviously-fake-as-token"),
];

fn read(
    env: &[(&str, &str)],
    flags: &[(&'static str, &str)],
    file: Option<&Path>,
) -> Result<Values, ConfigError> {
    let env: HashMap<&str, OsString> = env
        .iter()
        .map(|(name, value)| (*name, OsString::from(value)))
        .collect();
    let env = |name: &str| env.get(name).cloned();
    let flags = flags
        .iter()
        .map(|(key, value)| (*key, (*value).to_owned()))
        .collect();
    Values::read(&Sources {
        file: file.map(Path::to_owned),
        flags,
        env: &env,
    })
}

fn appservice(config: &Config) -> &AppserviceMode {
    match &config.mode {
        Mode::Appservice(mode) => mode,
        Mode::Accounts(_) => panic!("the mode is accounts"),
    }
}

fn config(env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_values(&read(env, &[], None)?)
}

/// The one problem of a configuration that is right but for this.
fn problem(name: &str, value: &str) -> String {
    let env: Vec<_> = ENOUGH
        .iter()
        .copied()
        .filter(|(other, _)| *other != name)
        .chain([(name, value)])
        .collect();
    let error = config(&env).unwrap_err();
    assert_eq!(error.problems().len(), 1, "{error}");
    error.to_string()
}

fn written(text: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn four_settings_are_enough() {
    let config = config(ENOUGH).unwrap();
    let mode = appservice(&config);
    assert_eq!(mode.appservice.sender, "@letta_bot:matrix.test");
    assert_eq!(mode.appservice.token.expose_secret(), "obviously-fake-as-token");
    assert_eq!(
        (config.sync.prefix.as_str(), config.sync.concurrency),
        ("agent_", 4)
    );
    assert_eq!(config.sync.space_alias().unwrap(), "#letta-agents:matrix.test");
    assert_eq!(config.database.value.file(), Some(Path::new("letta-matrix.db")));
    assert!(config.sync.invite.is_empty() && config.letta_token.is_none());
}

#[test]
fn everything_that_is_missing_is_told_at_once_with_the_names_to_set() {
    let error = config(&[]).unwrap_err();
    assert_eq!(error.problems().len(), 4, "{error}");
    let text = error.to_string();
    for part in [
        "letta.url is not set: set LETTA_API_URL or --letta-url",
        "matrix.homeserver_url is not set: set MATRIX_HOMESERVER_URL or --matrix-homeserver-url",
        "matrix.server_name is not set: set MATRIX_SERVER_NAME or --matrix-server-name",
        "matrix.as_token is not set: set MATRIX_AS_TOKEN, or write it to letta-matrix.toml",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn the_command_line_counts_before_the_environment_and_that_before_the_file() {
    let file = written(
        "[matrix]\nserver_name = 'file.test'\n[space]\nname = 'From the file'\ntopic = 'From the file'\n",
    );
    let env: Vec<_> = ENOUGH
        .iter()
        .copied()
        .chain([("LETTA_MATRIX_SPACE_NAME", "From the environment")])
        .collect();
    let values = read(&env, &[("matrix.server_name", "flag.test")], Some(file.path())).unwrap();
    let config = Config::from_values(&values).unwrap();
    assert_eq!(
        config.server_name.name(),
        "--matrix-server-name (on the command line)"
    );
    assert_eq!(config.server_name.value, "flag.test");
    assert_eq!(config.sync.space.name, "From the environment");
    assert_eq!(config.sync.space.topic, "From the file");
    let topic = values.get(&SPACE_TOPIC).unwrap();
    assert_eq!(
        topic.name(),
        format!("space.topic (line 5 of {})", file.path().display())
    );
    assert_eq!(
        appservice(&config).as_token.name(),
        "MATRIX_AS_TOKEN (from the environment)"
    );
    assert_eq!(config.database.name(), "database (its default)");
}

#[test]
fn an_empty_value_counts_as_not_set() {
    let file = written("[letta]\nurl = ''\n[space]\nname = ''\n");
    let env: Vec<_> = ENOUGH
        .iter()
        .copied()
        .filter(|(name, _)| *name != "LETTA_API_URL")
        .collect();
    let values = read(&env, &[], Some(file.path())).unwrap();
    assert_eq!(values.get(&SPACE_NAME).unwrap().value, "Letta Agents");
    let error = Config::from_values(&values).unwrap_err().to_string();
    assert!(
        error.starts_with("letta.url is empty: give letta.url (line 2 of "),
        "{error}"
    );
    assert!(
        config(&[ENOUGH, &[("LETTA_TOKEN", " ")]].concat())
            .unwrap()
            .letta_token
            .is_none()
    );
}

#[test]
fn an_empty_variable_does_not_hide_the_file() {
    let file = written("[matrix]\nas_token = 'obviously-fake-file-token'\n");
    let env: Vec<_> = ENOUGH
        .iter()
        .map(|(name, value)| (*name, if *name == "MATRIX_AS_TOKEN" { "" } else { value }))
        .collect();
    let config = Config::from_values(&read(&env, &[], Some(file.path())).unwrap()).unwrap();
    assert_eq!(
        appservice(&config).as_token.value.expose_secret(),
        "obviously-fake-file-token"
    );
}

#[test]
fn white_space_around_a_value_is_dropped() {
    let config = config(&[ENOUGH, &[("LETTA_TOKEN", "obviously-fake\n")]].concat()).unwrap();
    assert_eq!(
        config.letta_token.unwrap().value.expose_secret(),
        "obviously-fake"
    );
}

#[test]
fn what_makes_no_sense_is_told_with_the_setting() {
    for (name, value, expected) in [
        (
            "LETTA_API_URL",
            "letta.test",
            "without http:// or https:// in front",
        ),
        (
            "LETTA_API_URL",
            "localhost:8283",
            "must begin with http:// or https://",
        ),
        (
            "LETTA_API_URL",
            "ftp://letta.test",
            "must begin with http:// or https://",
        ),
        ("LETTA_API_URL", "http://", "not an address"),
        ("LETTA_API_URL", "http://letta.test/?x=1", "behind `?` or `#`"),
        (
            "MATRIX_HOMESERVER_URL",
            "!!!",
            "without http:// or https:// in front",
        ),
        (
            "MATRIX_SERVER_NAME",
            "https://matrix.test",
            "the bare name, without https://",
        ),
        ("MATRIX_SERVER_NAME", "@ann:matrix.test", "behind the colon"),
        ("MATRIX_SERVER_NAME", "not a name", "not a server name"),
        ("MATRIX_AS_TOKEN", "two words", "a character that no token has"),
        (
            "LETTA_MATRIX_INVITE",
            "@ann:matrix.test, bob",
            "holds \"bob\", which is not a Matrix id",
        ),
        (
            "LETTA_MATRIX_PERMISSIONS",
            "@ann:matrix.test",
            "write @ann:example.org=admin",
        ),
        (
            "LETTA_MATRIX_PERMISSIONS",
            "@ann:matrix.test=boss",
            "holds the right \"boss\": there are none, talk, approve",
        ),
        (
            "LETTA_MATRIX_PERMISSIONS",
            "a b=talk",
            "neither a Matrix id nor a server name",
        ),
        ("MATRIX_USER_PREFIX", "Agent:", "cannot be part of a user's name"),
        (
            "MATRIX_SENDER_LOCALPART",
            "@bot:matrix.test",
            "cannot be part of a user's name",
        ),
        (
            "LETTA_MATRIX_SPACE_ALIAS",
            "#agents:matrix.test",
            "the part between # and the colon",
        ),
        ("LETTA_MATRIX_SYNC_CONCURRENCY", "0", "a number from 1 to 64"),
        ("LETTA_MATRIX_SYNC_CONCURRENCY", "many", "a number from 1 to 64"),
        ("LETTA_MATRIX_SPACE_NAME", "one\ntwo", "control character"),
        ("DATABASE_URL", "mysql://db.test/x", "of the kind \"mysql\""),
        ("DATABASE_URL", "sqlite::memory:", "names no file"),
    ] {
        let problem = problem(name, value);
        assert!(
            problem.starts_with(&format!("{name} (from the environment) ")),
            "{problem}"
        );
        assert!(problem.contains(expected), "{name}={value}: {problem}");
    }
}

#[test]
fn no_message_shows_what_may_be_a_secret() {
    for (name, value) in [
        ("LETTA_API_URL", "http://me:obviously-fake@letta.test"),
        ("LETTA_API_URL", "me://obviously-fake@letta.test"),
        ("DATABASE_URL", "postgres://me:obviously#fake@db.test/bridge"),
        ("DATABASE_URL", "mysql://me:obviously-fake@db.test/bridge"),
        ("LETTA_TOKEN", "obviously-fake token"),
        ("MATRIX_AS_TOKEN", "obviously-fäke"),
    ] {
        let problem = problem(name, value);
        assert!(!problem.contains("obviously"), "{problem}");
    }
    let config = config(&[ENOUGH, &[("LETTA_TOKEN", "obviously-fake")]].concat()).unwrap();
    assert!(!format!("{config:?}").contains("obviously"), "{config:?}");
}

#[test]
fn a_database_may_be_on_a_postgresql_server() {
    let url = "postgres://me:obviously-fake@db.test/bridge";
    let config = config(&[ENOUGH, &[("DATABASE_URL", url)]].concat()).unwrap();
    assert_eq!(config.database.value.to_string(), "postgres://db.test/bridge");
    assert_eq!(config.database.value.file(), None);
    assert!(!format!("{config:?}").contains("obviously"), "{config:?}");
}

#[test]
fn a_database_is_a_path_or_a_url_of_sqlite() {
    for (value, path) in [
        ("state.db", "state.db"),
        ("sqlite:state.db", "state.db"),
        ("sqlite:///var/lib/state.db?mode=rwc", "/var/lib/state.db"),
        ("/var/lib/state.db", "/var/lib/state.db"),
    ] {
        let config = config(&[ENOUGH, &[("DATABASE_URL", value)]].concat()).unwrap();
        assert_eq!(config.database.value.file(), Some(Path::new(path)), "{value}");
    }
}

#[test]
fn admins_are_invited_unless_somebody_else_is_named() {
    let permissions = (
        "LETTA_MATRIX_PERMISSIONS",
        "@boss:example.org=admin, example.org=talk,",
    );
    let config_ = config(&[ENOUGH, &[permissions]].concat()).unwrap();
    assert_eq!(config_.sync.invite, ["@boss:example.org"]);
    let config_ = config(
        &[
            ENOUGH,
            &[permissions, ("LETTA_MATRIX_INVITE", "@ann:example.org")],
        ]
        .concat(),
    )
    .unwrap();
    assert_eq!(config_.sync.invite, ["@ann:example.org"]);
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_what_named_it() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.toml");
    for (path, expected) in [
        (missing.as_path(), "no such file"),
        (folder.path(), "it is a directory"),
    ] {
        let error = read(ENOUGH, &[], Some(path)).unwrap_err().to_string();
        assert!(
            error.contains(&format!("{} (named by --config): {expected}", path.display())),
            "{error}"
        );
    }
    let path = missing.to_str().unwrap();
    let error = read(&[ENOUGH, &[(FILE_VARIABLE, path)]].concat(), &[], None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("(named by LETTA_MATRIX_CONFIG)"), "{error}");
    let binary = written(b"[letta]\nurl = '\xff\xfe'");
    let error = read(ENOUGH, &[], Some(binary.path())).unwrap_err().to_string();
    assert!(error.ends_with("line 2 is not UTF-8"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_named() {
    use std::os::unix::ffi::OsStringExt;

    let env = |name: &str| (name == "LETTA_TOKEN").then(|| OsString::from_vec(vec![0xff]));
    let sources = Sources {
        file: None,
        flags: HashMap::new(),
        env: &env,
    };
    let error = Values::read(&sources).unwrap_err().to_string();
    assert_eq!(error, "LETTA_TOKEN (from the environment) is not UTF-8");
}

#[test]
fn names_of_settings_are_unique_and_flags_follow_from_keys() {
    let mut seen = std::collections::HashSet::new();
    for setting in SETTINGS {
        assert!(
            seen.insert(setting.key) && seen.insert(setting.env),
            "{}",
            setting.key
        );
        if let Some(flag) = setting.flag {
            assert_eq!(flag, setting.key.replace(['.', '_'], "-"));
        }
    }
}

#[test]
fn agents_are_chosen_by_rules_and_removed_with_care() {
    let file = written(
        r#"
        [agents]
        include = ["tag:family", "name:Support *"]
        exclude = "type:sleeptime_agent"
        disabled = ["agent-001", "agent-002"]
        [removal]
        mode = "leave"
        grace = "1h 30m"
        max_share = "10%"
        [sync]
        check_interval = "1d"
        "#,
    );
    let values = read(ENOUGH, &[], Some(file.path())).unwrap();
    let sync = Config::from_values(&values).unwrap().sync;
    assert_eq!((sync.select.include.len(), sync.select.exclude.len()), (2, 3));
    assert_eq!(sync.removal.mode, RemovalMode::Leave);
    assert_eq!(sync.removal.grace, Duration::from_secs(5_400));
    assert!((sync.removal.max_share - 0.1).abs() < f64::EPSILON);
    assert_eq!(sync.check_interval, Duration::from_secs(86_400));
}

#[test]
fn senseless_settings_of_the_sync_are_told() {
    for (name, value, told) in [
        ("LETTA_MATRIX_INCLUDE", "support", "name:PATTERN"),
        ("LETTA_MATRIX_EXCLUDE", "colour:red", "name:PATTERN"),
        ("LETTA_MATRIX_REMOVAL_MODE", "delete", "archive, leave and keep"),
        ("LETTA_MATRIX_REMOVAL_GRACE", "soon", "90s, 30m, 2h"),
        ("LETTA_MATRIX_REMOVAL_GRACE", "-2h", "90s, 30m, 2h"),
        ("LETTA_MATRIX_REMOVAL_MAX_SHARE", "200%", "25%"),
        ("LETTA_MATRIX_CHECK_INTERVAL", "6", "90s, 30m, 2h"),
        ("LETTA_MATRIX_HISTORY", "1000", "0 to 200"),
    ] {
        let problem = problem(name, value);
        assert!(problem.contains(name) && problem.contains(told), "{problem}");
    }
}

#[test]
fn the_interval_is_a_time_or_a_number_of_seconds() {
    let interval = |value| {
        config(&[ENOUGH, &[("MATRIX_AGENT_SYNC_INTERVAL", value)]].concat())
            .unwrap()
            .interval
    };
    for (value, seconds) in [
        ("", 60),
        ("60", 60),
        ("90s", 90),
        ("5m", 300),
        ("1h 30m", 5_400),
        ("24h", 86_400),
    ] {
        assert_eq!(interval(value).as_secs(), seconds, "{value}");
    }
    for value in ["0", "0.5", "500ms", "25h", "often", "-60"] {
        let problem = problem("MATRIX_AGENT_SYNC_INTERVAL", value);
        assert!(
            problem.contains("write a time such as 90s") || problem.contains("from one second to one day"),
            "{problem}"
        );
    }
}

#[test]
fn a_webhook_secret_that_could_be_guessed_is_refused() {
    let problem = problem("LETTA_WEBHOOK_SECRET", "obviously-fake");
    assert!(problem.contains("is shorter than 16 characters"), "{problem}");
    assert!(!problem.contains("obviously"), "{problem}");
    let config = config(&[ENOUGH, &[("LETTA_WEBHOOK_SECRET", "obviously-fake-secret")]].concat()).unwrap();
    assert!(!format!("{config:?}").contains("obviously"), "{config:?}");
}

#[test]
fn the_documented_table_of_settings_is_the_real_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/CONFIGURATION.md");
    let documented = std::fs::read_to_string(&path).unwrap();
    let table = settings_table();
    assert!(
        documented.contains(&table),
        "{} must contain this table:\n{table}",
        path.display()
    );
}
