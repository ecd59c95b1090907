//! Application services: their registrations, namespaces, and who they may speak for.

use regex_lite::Regex;
use ruma::api::appservice;

/// A registered application service.
#[derive(Clone)]
pub(super) struct Appservice {
    pub(super) id: String,
    pub(super) url: Option<String>,
    /// Whether it is told of events: it has an address, or an endpoint in this process.
    pub(super) is_pushed_to: bool,
    pub(super) as_token: String,
    pub(super) hs_token: String,
    pub(super) sender: String,
    pub(super) rate_limited: bool,
    pub(super) receive_ephemeral: bool,
    users: Vec<Namespace>,
    aliases: Vec<Namespace>,
    rooms: Vec<Namespace>,
}

#[derive(Clone)]
struct Namespace {
    exclusive: bool,
    regex: Regex,
}

impl Appservice {
    /// # Panics
    /// When a namespace is not a regular expression: a homeserver would not start with it either.
    pub(super) fn new(registration: &appservice::Registration, server_name: &str) -> Self {
        let namespaces = |of: &[appservice::Namespace]| of.iter().map(Namespace::new).collect();
        Self {
            id: registration.id.clone(),
            url: registration.url.clone(),
            is_pushed_to: registration.url.is_some(),
            as_token: registration.as_token.clone(),
            hs_token: registration.hs_token.clone(),
            sender: format!("@{}:{server_name}", registration.sender_localpart),
            rate_limited: registration.rate_limited.unwrap_or(true),
            receive_ephemeral: registration.receive_ephemeral,
            users: namespaces(&registration.namespaces.users),
            aliases: namespaces(&registration.namespaces.aliases),
            rooms: namespaces(&registration.namespaces.rooms),
        }
    }

    /// Whether the user is its sender or in its namespace.
    pub(super) fn has_user(&self, user_id: &str) -> bool {
        self.sender == user_id || matches(&self.users, user_id)
    }

    pub(super) fn has_alias(&self, alias: &str) -> bool {
        matches(&self.aliases, alias)
    }

    pub(super) fn has_room(&self, room_id: &str) -> bool {
        matches(&self.rooms, room_id)
    }

    /// Whether nobody else may have this user.
    pub(super) fn owns_user(&self, user_id: &str) -> bool {
        self.sender == user_id || owns(&self.users, user_id)
    }

    /// Whether nobody else may have this alias.
    pub(super) fn owns_alias(&self, alias: &str) -> bool {
        owns(&self.aliases, alias)
    }
}

impl Namespace {
    fn new(namespace: &appservice::Namespace) -> Self {
        // Like Synapse: anchored at the beginning alone.
        let regex = Regex::new(&format!("^(?:{})", namespace.regex))
            .unwrap_or_else(|error| panic!("namespace `{}`: {error}", namespace.regex));
        Self {
            exclusive: namespace.exclusive,
            regex,
        }
    }
}

fn matches(namespaces: &[Namespace], id: &str) -> bool {
    namespaces.iter().any(|namespace| namespace.regex.is_match(id))
}

fn owns(namespaces: &[Namespace], id: &str) -> bool {
    namespaces
        .iter()
        .any(|namespace| namespace.exclusive && namespace.regex.is_match(id))
}
