//! The registration of the application service: the file that the homeserver reads.

use std::path::Path;

use matrix_client::ruma::{
    ServerName,
    api::appservice::{Namespace, Namespaces, Registration, RegistrationInit},
};
use regex_lite::Regex;
use secrecy::{ExposeSecret, SecretString};

use crate::failure::{Failure, plain};

/// What a registration is made of.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) id: &'a str,
    /// How the homeserver reaches us; `None`: it does not, and nothing is pushed.
    pub(crate) url: Option<&'a str>,
    pub(crate) as_token: &'a SecretString,
    pub(crate) hs_token: &'a SecretString,
    pub(crate) sender_localpart: &'a str,
    pub(crate) user_prefix: &'a str,
    pub(crate) space_alias: &'a str,
    pub(crate) server_name: &'a ServerName,
}

impl Wanted<'_> {
    /// The registration: names of agents and of the space are ours alone, and nothing else is ours.
    pub(crate) fn registration(&self) -> Registration {
        let mut namespaces = Namespaces::new();
        namespaces.users = vec![
            Namespace::new(true, users_of(self.user_prefix, self.server_name)),
            Namespace::new(true, exactly('@', self.sender_localpart, self.server_name)),
        ];
        namespaces.aliases = vec![
            Namespace::new(true, aliases_of(self.user_prefix, self.server_name)),
            Namespace::new(true, exactly('#', self.space_alias, self.server_name)),
        ];
        Registration::from(RegistrationInit {
            id: self.id.to_owned(),
            url: self.url.map(ToOwned::to_owned),
            as_token: self.as_token.expose_secret().to_owned(),
            hs_token: self.hs_token.expose_secret().to_owned(),
            sender_localpart: self.sender_localpart.to_owned(),
            namespaces,
            rate_limited: Some(false),
            protocols: None,
        })
    }
}

/// The regular expression of all agents' users.
pub(crate) fn users_of(prefix: &str, server_name: &ServerName) -> String {
    beginning('@', prefix, server_name)
}

/// The regular expression of the aliases of all agents' rooms.
pub(crate) fn aliases_of(prefix: &str, server_name: &ServerName) -> String {
    beginning('#', prefix, server_name)
}

/// The regular expression of one name.
pub(crate) fn exactly(sigil: char, localpart: &str, server_name: &ServerName) -> String {
    format!(
        "^{sigil}{}:{}$",
        escaped(localpart),
        escaped(server_name.as_str())
    )
}

/// Anchored at both ends: homeservers anchor at the beginning or not at all.
fn beginning(sigil: char, prefix: &str, server_name: &ServerName) -> String {
    format!("^{sigil}{}.*:{}$", escaped(prefix), escaped(server_name.as_str()))
}

/// Only what every dialect of regular expressions lets be escaped: homeservers are written in several languages.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// The file's text. Every text is quoted: what needs no quotes differs from one version of YAML to the next, and a line
/// that is not quoted may be folded.
///
/// # Errors
/// When the values cannot be written as YAML.
pub(crate) fn to_yaml(registration: &Registration) -> Result<String, Failure> {
    let options = serde_saphyr::ser_options! { quote_all: true };
    serde_saphyr::to_string_with_options(registration, options)
        .map_err(|error| Failure::new(format!("cannot write the registration as YAML: {error}")))
}

/// Reads a registration. What it holds is secret: messages show nothing of it.
pub(crate) fn read(path: &Path) -> Result<Registration, Failure> {
    let cannot = |why: &str| Failure::new(format!("cannot use the registration {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| cannot(&plain(&error)))?;
    let registration: Registration = serde_saphyr::from_str(&text).map_err(|error| {
        let line = error.location().map_or_else(String::new, |location| format!(" (line {})", location.line()));
        cannot(&format!(
            "it is not the registration of an application service{line}, which has id, url, as_token, hs_token, \
             sender_localpart and namespaces"
        ))
    })?;
    let namespaces = &registration.namespaces;
    for namespace in namespaces
        .users
        .iter()
        .chain(&namespaces.aliases)
        .chain(&namespaces.rooms)
    {
        if Regex::new(&namespace.regex).is_err() {
            return Err(cannot(&format!(
                "{:?} is not a regular expression",
                namespace.regex
            )));
        }
    }
    Ok(registration)
}

/// How a list of namespaces covers a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coverage {
    /// Not at all.
    None,
    /// Others may have it too.
    Shared,
    /// It is ours alone.
    Exclusive,
}

/// Whether the namespaces cover a name. Anchored at the beginning, as Synapse does.
pub(crate) fn coverage(namespaces: &[Namespace], name: &str) -> Coverage {
    let covers = |namespace: &&Namespace| {
        Regex::new(&format!("^(?:{})", namespace.regex)).is_ok_and(|regex| regex.is_match(name))
    };
    let mut coverage = Coverage::None;
    for namespace in namespaces.iter().filter(covers) {
        if namespace.exclusive {
            return Coverage::Exclusive;
        }
        coverage = Coverage::Shared;
    }
    coverage
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted<'a>(server_name: &'a ServerName, token: &'a SecretString) -> Wanted<'a> {
        Wanted {
            id: "letta-matrix",
            url: Some("http://127.0.0.1:8470"),
            as_token: token,
            hs_token: token,
            sender_localpart: "letta_bot",
            user_prefix: "agent_",
            space_alias: "letta-agents",
            server_name,
        }
    }

    #[test]
    fn namespaces_cover_what_is_ours_and_nothing_else() {
        let server_name = ServerName::parse("example.org").unwrap();
        let token = "obviously-fake".into();
        let namespaces = wanted(&server_name, &token).registration().namespaces;
        for (name, expected) in [
            ("@agent_001:example.org", Coverage::Exclusive),
            ("@letta_bot:example.org", Coverage::Exclusive),
            ("@letta_bot2:example.org", Coverage::None),
            ("@my_agent_001:example.org", Coverage::None),
            ("@agent_001:exampleXorg", Coverage::None),
            ("@agent_001:example.org.evil.test", Coverage::None),
            ("@ann:example.org", Coverage::None),
        ] {
            assert_eq!(coverage(&namespaces.users, name), expected, "{name}");
        }
        for (name, expected) in [
            ("#agent_001:example.org", Coverage::Exclusive),
            ("#letta-agents:example.org", Coverage::Exclusive),
            ("#letta-agents-2:example.org", Coverage::None),
            ("#general:example.org", Coverage::None),
        ] {
            assert_eq!(coverage(&namespaces.aliases, name), expected, "{name}");
        }
    }

    #[test]
    fn what_means_something_in_a_regular_expression_is_escaped() {
        for (server_name, prefix, name) in [
            ("[2001:db8::1]:8448", "a.b+", "@a.b+1:[2001:db8::1]:8448"),
            ("127.0.0.1:8008", "bot=/-", "@bot=/-1:127.0.0.1:8008"),
        ] {
            let server_name = ServerName::parse(server_name).unwrap();
            let regex = Regex::new(&users_of(prefix, &server_name)).unwrap();
            assert!(regex.is_match(name), "{regex}");
            assert!(
                !regex.is_match(&name.replace('.', "x")) || !name.contains('.'),
                "{regex}"
            );
        }
    }

    #[test]
    fn a_long_name_stays_on_its_line() {
        let name = format!("{}.example.org", "a".repeat(200));
        let server_name = ServerName::parse(name.as_str()).unwrap();
        let token = "0123456789".into();
        let text = to_yaml(&wanted(&server_name, &token).registration()).unwrap();
        for line in [
            format!(r#"regex: "^@agent_.*:{}$""#, name.replace('.', r"\\.")),
            "as_token: '0123456789'".to_owned(),
        ] {
            assert!(text.contains(&line), "{line} is missing in {text}");
        }
    }

    #[test]
    fn a_shared_namespace_is_told_apart() {
        let shared = [Namespace::new(false, "@agent_.*:example\\.org".to_owned())];
        assert_eq!(coverage(&shared, "@agent_1:example.org"), Coverage::Shared);
        let both = [
            shared[0].clone(),
            Namespace::new(true, "@agent_1:example\\.org".to_owned()),
        ];
        assert_eq!(coverage(&both, "@agent_1:example.org"), Coverage::Exclusive);
    }

    #[test]
    fn what_is_written_is_read_again_as_it_was() {
        let server_name = ServerName::parse("example.org").unwrap();
        // Tokens that YAML would take for a number, a truth value or nothing.
        for token in ["0123456789", "1e10", "true", "null", "0x1f", "~", "'\"#: "] {
            let token = SecretString::from(token);
            for url in [None, Some("http://127.0.0.1:8470")] {
                let written = Wanted {
                    url,
                    ..wanted(&server_name, &token)
                }
                .registration();
                let text = to_yaml(&written).unwrap();
                let file = tempfile::NamedTempFile::new().unwrap();
                std::fs::write(file.path(), &text).unwrap();
                let again = read(file.path()).unwrap();
                assert_eq!(again.as_token, token.expose_secret(), "{text}");
                assert_eq!(again.hs_token, token.expose_secret());
                assert_eq!(again.url.as_deref(), url);
                assert_eq!(
                    (again.id.as_str(), again.rate_limited),
                    ("letta-matrix", Some(false))
                );
                assert_eq!(again.namespaces.users[0].regex, r"^@agent_.*:example\.org$");
                assert!(!again.receive_ephemeral);
            }
        }
    }
}
