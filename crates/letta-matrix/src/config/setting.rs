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
    MODE = "matrix.mode", "MATRIX_MODE", Some("matrix-mode"), "MODE", None,
        "How the bridge acts for its users: appservice (an application service speaks for all), or accounts (each has an account). Unless set, accounts where there is a matrix.username and no matrix.as_token";
    AS_TOKEN = "matrix.as_token", "MATRIX_AS_TOKEN", None, "TOKEN", None,
        "as_token of the application service's registration. Required";
    HS_TOKEN = "matrix.hs_token", "MATRIX_HS_TOKEN", None, "TOKEN", None,
        "hs_token of the registration. Not needed to sync";
    APPSERVICE_ID = "matrix.appservice_id", "MATRIX_APPSERVICE_ID", Some("matrix-appservice-id"), "ID", Some("letta-matrix"),
        "id of the registration";
    REGISTRATION = "matrix.registration", "MATRIX_REGISTRATION", Some("matrix-registration"), "FILE", None,
        "Registration file of the application service, where init wrote one. Only doctor reads it";
    SENDER_LOCALPART = "matrix.sender_localpart", "MATRIX_SENDER_LOCALPART", Some("matrix-sender-localpart"), "NAME", Some("letta_bot"),
        "sender_localpart of the registration: the bridge's own user, which owns the space";
    USERNAME = "matrix.username", "MATRIX_USERNAME", Some("matrix-username"), "NAME", None,
        "Mode accounts: the bridge's own user, which owns the space. Its account must exist";
    PASSWORD = "matrix.password", "MATRIX_PASSWORD", None, "PASSWORD", None,
        "Mode accounts: the password of that user";
    ACCOUNT_KEY = "matrix.account_key", "MATRIX_ACCOUNT_KEY", None, "KEY", None,
        "Mode accounts: the secret that agents' passwords are made of and their tokens are encrypted with, at least 32 characters that nobody can guess (`openssl rand -hex 32`). Keep a copy: whoever loses it loses the agents' accounts";
    ACCOUNT_REGISTRATION = "matrix.account_registration", "MATRIX_ACCOUNT_REGISTRATION", Some("matrix-account-registration"), "WAY", None,
        "Mode accounts: how agents' accounts are made: open, token or shared-secret. Unless set, by the secret or the token that is set, else open";
    REGISTRATION_TOKEN = "matrix.registration_token", "MATRIX_REGISTRATION_TOKEN", None, "TOKEN", None,
        "Mode accounts: the registration token of the homeserver";
    REGISTRATION_SHARED_SECRET = "matrix.registration_shared_secret", "MATRIX_REGISTRATION_SHARED_SECRET", None, "SECRET", None,
        "Mode accounts: the registration_shared_secret of Synapse";
    ADMIN_USERNAME = "matrix.admin_username", "MATRIX_ADMIN_USERNAME", Some("matrix-admin-username"), "NAME", None,
        "An administrator of Synapse, by whom prune has rooms deleted. Only prune uses it";
    ADMIN_PASSWORD = "matrix.admin_password", "MATRIX_ADMIN_PASSWORD", None, "PASSWORD", None,
        "The password of that administrator";
    ADMIN_TOKEN = "matrix.admin_token", "MATRIX_ADMIN_TOKEN", None, "TOKEN", None,
        "An access token of an administrator, in place of name and password";
    USER_PREFIX = "matrix.user_prefix", "MATRIX_USER_PREFIX", Some("matrix-user-prefix"), "TEXT", Some("agent_"),
        "What the names of agents' users and rooms begin with. The registration's namespaces must cover it";
    ROOM_VERSION = "matrix.room_version", "MATRIX_ROOM_VERSION", Some("matrix-room-version"), "VERSION", None,
        "Version of new rooms. The homeserver's own choice unless set";
    BOT_NAME = "matrix.bot_name", "MATRIX_BOT_NAME", Some("matrix-bot-name"), "TEXT", Some("Letta Agents"),
        "Display name of the bridge's own user; `-` leaves it alone";
    HISTORY = "rooms.history", "LETTA_MATRIX_HISTORY", Some("rooms-history"), "N", Some("0"),
        "How many of an agent's latest messages are put into its new room, 0 to 200";
    SPACE_NAME = "space.name", "LETTA_MATRIX_SPACE_NAME", Some("space-name"), "TEXT", Some("Letta Agents"),
        "Name of the space that holds the agents' rooms";
    SPACE_TOPIC = "space.topic", "LETTA_MATRIX_SPACE_TOPIC", Some("space-topic"), "TEXT", Some("All agents of our Letta server"),
        "Topic of the space";
    SPACE_ALIAS = "space.alias", "LETTA_MATRIX_SPACE_ALIAS", Some("space-alias"), "NAME", Some("letta-agents"),
        "Alias of the space: the part between # and the colon";
    INVITE = "people.invite", "LETTA_MATRIX_INVITE", Some("people-invite"), "IDS", None,
        "Matrix ids of the people invited to the space and every room. Everyone named as admin unless set";
    PERMISSIONS = "people.permissions", "LETTA_MATRIX_PERMISSIONS", Some("people-permissions"), "LIST", None,
        "Who may do what, by id, server or *: @boss:example.org=admin,example.org=talk. The rights are talk, approve, command, admin, and none. Nobody may do anything unless set";
    INCLUDE = "agents.include", "LETTA_MATRIX_INCLUDE", Some("agents-include"), "LIST", None,
        "Which agents have a home: ids, name:PATTERN, tag:TAG, type:TYPE. All agents unless set";
    EXCLUDE = "agents.exclude", "LETTA_MATRIX_EXCLUDE", Some("agents-exclude"), "LIST", None,
        "Which agents have none all the same, such as type:sleeptime_agent";
    DISABLED = "agents.disabled", "DISABLED_AGENT_IDS", Some("agents-disabled"), "LIST", None,
        "Ids of further agents that have none";
    REMOVAL_MODE = "removal.mode", "LETTA_MATRIX_REMOVAL_MODE", Some("removal-mode"), "MODE", Some("archive"),
        "What becomes of the room of an agent that is gone: archive (renamed, out of the space), leave (and the agent leaves), keep";
    REMOVAL_GRACE = "removal.grace", "LETTA_MATRIX_REMOVAL_GRACE", Some("removal-grace"), "TIME", Some("2h"),
        "For how long an agent must be missing in Letta before its room is put away";
    REMOVAL_MAX_SHARE = "removal.max_share", "LETTA_MATRIX_REMOVAL_MAX_SHARE", Some("removal-max-share"), "PERCENT", Some("25%"),
        "Which share of the agents may be gone at once. If more are, nothing is put away until `sync --confirm-removals`";
    SYNC_INTERVAL = "sync.interval", "MATRIX_AGENT_SYNC_INTERVAL", Some("sync-interval"), "TIME", Some("60s"),
        "How long after a sync `run` begins the next one: a time such as 90s or 5m, or a number of seconds";
    CHECK_INTERVAL = "sync.check_interval", "LETTA_MATRIX_CHECK_INTERVAL", Some("sync-check-interval"), "TIME", Some("6h"),
        "How often every room is read from the homeserver and mended";
    LISTING_INTERVAL = "sync.full_listing_interval", "LETTA_MATRIX_FULL_LISTING_INTERVAL", Some("sync-full-listing-interval"), "TIME", Some("1h"),
        "How often all agents are listed. In between, where there are more than 500, only what changed is asked for";
    CONCURRENCY = "sync.concurrency", "LETTA_MATRIX_SYNC_CONCURRENCY", Some("sync-concurrency"), "N", Some("4"),
        "How many agents are worked on at once at most, 1 to 64. Fewer are where the homeserver only gets slower";
    STREAMING = "talk.streaming", "LETTA_MATRIX_STREAMING", Some("talk-streaming"), "on|off", Some("on"),
        "Whether an answer is shown while it grows. A room may choose otherwise: `!settings`";
    TOOLS = "talk.tools", "LETTA_MATRIX_TOOLS", Some("talk-tools"), "on|off", Some("on"),
        "Whether people see which tools an agent uses";
    REASONING = "talk.reasoning", "LETTA_MATRIX_REASONING", Some("talk-reasoning"), "on|off", Some("off"),
        "Whether people see what an agent thinks";
    GROUP_MODE = "talk.group_mode", "LETTA_MATRIX_GROUP_MODE", Some("talk-group-mode"), "MODE", Some("mention"),
        "What agents hear in rooms with several people or agents: open (everything), mention, listen (everything, and answer when mentioned), off";
    CONVERSATIONS = "talk.conversations", "LETTA_MATRIX_CONVERSATIONS", Some("talk-conversations"), "BY", Some("room"),
        "What shares one conversation with an agent: room, thread or person";
    ADMIN_ROOM = "talk.admin_room", "LETTA_MATRIX_ADMIN_ROOM", Some("talk-admin-room"), "ROOM", None,
        "The id of a room in which admins give the bridge itself commands: sync, agents, rooms. Invite its user there";
    KEEP = "talk.keep", "LETTA_MATRIX_KEEP", Some("talk-keep"), "TIME", Some("30d"),
        "How long it is remembered what became of a message";
    LISTEN = "listen", "LETTA_MATRIX_LISTEN", Some("listen"), "ADDR", Some("127.0.0.1:8470"),
        "Address and port at which the homeserver finds us. The url of the registration must lead there";
    WEBHOOK_SECRET = "webhook.secret", "LETTA_WEBHOOK_SECRET", None, "SECRET", None,
        "What calls of `POST /webhook/new-agent` are signed with, at least 16 characters. The webhook is off unless set";
    REDIS = "events.redis", "REDIS_URL", None, "URL", None,
        "Where other programs hear what agents are doing: redis://user:password@host:port/database of a Redis server, 7 or later";
    DATABASE = "database", "DATABASE_URL", Some("database"), "PLACE", Some("letta-matrix.db"),
        "Where the state is kept: the path of a SQLite file, or postgres://user:password@host/database";
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
