//! The one list of settings. The command line's help, the documentation and the reading of files follow from it.

use std::fmt::Write as _;

/// Something the operator can choose.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name in the file, with its section: `letta.url`.
    pub key: &'static str,
    /// Its name in the environment.
    pub env: &'static str,
    /// Its name on the command line, without the dashes in front. Secrets have none: others can read command lines.
    pub flag: Option<&'static str>,
    /// What is expected, as help shows it.
    pub value: &'static str,
    /// What holds when it is not set; `None`: see [`about`](Self::about).
    pub default: Option<&'static str>,
    /// What it is.
    pub about: &'static str,
}

macro_rules! settings {
    ($($name:ident = $key:literal, $env:literal, $flag:expr, $value:literal, $default:expr, $about:literal;)*) => {
        $(
            #[doc = $about]
            pub static $name: Setting = Setting {
                key: $key, env: $env, flag: $flag, value: $value, default: $default, about: $about,
            };
        )*
        /// All settings, in the order in which they are documented.
        pub static SETTINGS: &[&Setting] = &[$(&$name),*];
    };
}

settings! {
    LETTA_URL = "letta.url", "LETTA_API_URL", Some("letta-url"), "URL", None,
        "Address of the Letta server, such as http://127.0.0.1:8283. Required";
    LETTA_TOKEN = "letta.token", "LETTA_TOKEN", None, "TOKEN", None,
        "Token of the Letta server (its LETTA_SERVER_PASSWORD). Not needed where Letta asks for none";
    HOMESERVER_URL = "matrix.homeserver_url", "MATRIX_HOMESERVER_URL", Some("matrix-homeserver-url"), "URL", None,
        "Address of the homeserver's client API, such as http://127.0.0.1:8008. Required";
    SERVER_NAME = "matrix.server_name", "MATRIX_SERVER_NAME", Some("matrix-server-name"), "NAME", None,
        "The homeserver's name: what stands behind the colon of its users' ids. Required";
    AS_TOKEN = "matrix.as_token", "MATRIX_AS_TOKEN", None, "TOKEN", None,
        "as_token of the application service's registration. Required";
    HS_TOKEN = "matrix.hs_token", "MATRIX_HS_TOKEN", None, "TOKEN", None,
        "hs_token of the registration. Not needed to sync";
    APPSERVICE_ID = "matrix.appservice_id", "MATRIX_APPSERVICE_ID", Some("matrix-appservice-id"), "ID", Some("letta-matrix"),
        "id of the registration";
    SENDER_LOCALPART = "matrix.sender_localpart", "MATRIX_SENDER_LOCALPART", Some("matrix-sender-localpart"), "NAME", Some("letta_bot"),
        "sender_localpart of the registration: the bridge's own user, which owns the space";
    USER_PREFIX = "matrix.user_prefix", "MATRIX_USER_PREFIX", Some("matrix-user-prefix"), "TEXT", Some("agent_"),
        "What the names of agents' users and rooms begin with. The registration's namespaces must cover it";
    ROOM_VERSION = "matrix.room_version", "MATRIX_ROOM_VERSION", Some("matrix-room-version"), "VERSION", None,
        "Version of new rooms. The homeserver's own choice unless set";
    SPACE_NAME = "space.name", "LETTA_MATRIX_SPACE_NAME", Some("space-name"), "TEXT", Some("Letta Agents"),
        "Name of the space that holds the agents' rooms";
    SPACE_TOPIC = "space.topic", "LETTA_MATRIX_SPACE_TOPIC", Some("space-topic"), "TEXT", Some("All agents of our Letta server"),
        "Topic of the space";
    SPACE_ALIAS = "space.alias", "LETTA_MATRIX_SPACE_ALIAS", Some("space-alias"), "NAME", Some("letta-agents"),
        "Alias of the space: the part between # and the colon";
    INVITE = "people.invite", "LETTA_MATRIX_INVITE", Some("people-invite"), "IDS", None,
        "Matrix ids of the people invited to the space and every room. Everyone named as admin unless set";
    PERMISSIONS = "people.permissions", "LETTA_MATRIX_PERMISSIONS", Some("people-permissions"), "LIST", None,
        "Who may do what: @boss:example.org=admin,example.org=talk. Nobody may do anything unless set";
    CONCURRENCY = "sync.concurrency", "LETTA_MATRIX_SYNC_CONCURRENCY", Some("sync-concurrency"), "N", Some("4"),
        "How many agents are worked on at once, 1 to 64";
    DATABASE = "database", "DATABASE_URL", Some("database"), "PATH", Some("letta-matrix.db"),
        "SQLite file that holds the state: a path or a sqlite: URL";
}

/// The settings as a table in Markdown.
#[must_use]
pub fn settings_table() -> String {
    let mut table = String::from(
        "| in the file | environment | command line | default | what it is |\n|---|---|---|---|---|\n",
    );
    for setting in SETTINGS {
        let flag = setting
            .flag
            .map_or_else(String::new, |flag| format!("`--{flag} {}`", setting.value));
        let default = setting
            .default
            .map_or_else(String::new, |default| format!("`{default}`"));
        // Writing to a string does not fail.
        let _ = writeln!(
            table,
            "| `{}` | `{}` | {flag} | {default} | {}. |",
            setting.key,
            setting.env,
            setting.about.replace('|', "\\|"),
        );
    }
    table
}
