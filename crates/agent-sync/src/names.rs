//! What agents are called on Matrix. All of it is pure and none of it may change: rooms and users are found again by
//! these names.

use letta_client::{Agent, AgentId};
use uuid::Uuid;

/// A Matrix id has at most 255 bytes, sigil, colon and server name included.
const MAX_ID_BYTES: usize = 255;

/// The longest name the Matrix specification allows for a room, and less than what Synapse allows for a user.
const MAX_NAME_BYTES: usize = 255;

/// The longest topic that is taken from an agent's description.
const MAX_TOPIC_BYTES: usize = 1_000;

/// What the hash of an id starts from. Never change it.
const LOCALPART_NAMESPACE: Uuid = Uuid::from_u128(0x7d1c_6b0e_63c5_4b8e_9c0f_4a64_1f2b_9f3a);

/// The localpart of an agent's user and of its room's alias, for a server name of that many bytes.
///
/// `prefix`, then the id without its own `agent-`, with `_` for `-`. It depends on the id alone, so a renamed agent
/// keeps it. No two ids meet: an id that is not `agent-` and then only `a-z`, `0-9` and `-`, or that is too long,
/// gets a hash of the whole id behind a dot, and no plain id contains a dot.
#[must_use]
pub fn agent_localpart(prefix: &str, agent: &AgentId, server_name_bytes: usize) -> String {
    let id = agent.as_str();
    let room = MAX_ID_BYTES.saturating_sub(prefix.len() + server_name_bytes + 2);
    let rest = id.strip_prefix("agent-").unwrap_or(id);
    let is_plain = rest.len() != id.len()
        && !rest.is_empty()
        && rest.len() <= room
        && rest.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'));
    if is_plain {
        return format!("{prefix}{}", rest.replace('-', "_"));
    }
    let hash = Uuid::new_v5(&LOCALPART_NAMESPACE, id.as_bytes())
        .simple()
        .to_string();
    let readable: String = rest
        .chars()
        .map(|c| match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => c,
            _ => '_',
        })
        .take(room.saturating_sub(hash.len() + 1))
        .collect();
    format!("{prefix}{readable}.{hash}")
}

/// What an agent and its room are called: its name, as far as people can be shown it.
///
/// Characters that break lines or turn the writing direction of what follows are left out, runs of blanks become one.
/// What is too long ends in `…`. An agent without a name that can be shown is called by its id.
#[must_use]
pub fn display_name(agent: &Agent) -> String {
    let name = one_line(&agent.name, MAX_NAME_BYTES);
    if name.is_empty() {
        one_line(agent.id.as_str(), MAX_NAME_BYTES)
    } else {
        name
    }
}

/// The topic of an agent's room: its description, or a sentence that says what the room is for.
pub(crate) fn room_topic(agent: &Agent) -> String {
    let description = one_line(agent.description.as_deref().unwrap_or_default(), MAX_TOPIC_BYTES);
    if description.is_empty() {
        "A Letta agent. Write something to talk with it.".to_owned()
    } else {
        description
    }
}

/// What the room of an agent that is gone is called.
pub(crate) fn archived_name(name: &str) -> String {
    const SUFFIX: &str = " (archived)";
    one_line(name, MAX_NAME_BYTES - SUFFIX.len()) + SUFFIX
}

/// Where the room stands in the space: by name, as far as the specification lets a name be an order (at most 50
/// characters of printable ASCII). `None` leaves the place to the client.
pub(crate) fn child_order(name: &str) -> Option<String> {
    let order: String = name.chars().filter(|c| matches!(c, ' '..='~')).take(50).collect();
    let order = order.trim().to_lowercase();
    (!order.is_empty()).then_some(order)
}

/// The text on one line, without invisible characters that do harm, at most `max_bytes` long.
fn one_line(text: &str, max_bytes: usize) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        let word: String = word.chars().filter(|c| !is_direction_control(*c)).collect();
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    if line.len() <= max_bytes {
        return line;
    }
    const ELLIPSIS: char = '…';
    let mut end = max_bytes - ELLIPSIS.len_utf8();
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    line.push(ELLIPSIS);
    line
}

/// Marks that change the direction of the text around a name, beyond the name itself.
fn is_direction_control(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use ruma::UserId;

    use super::*;

    fn localpart(id: &str) -> String {
        agent_localpart("agent_", &AgentId::new(id), "matrix.test".len())
    }

    fn named(name: &str) -> String {
        display_name(&Agent::new("agent-001", name))
    }

    #[test]
    fn plain_ids_keep_their_own_words() {
        assert_eq!(localpart("agent-001"), "agent_001");
        assert_eq!(localpart("agent-sync-test"), "agent_sync_test");
        assert_eq!(
            localpart("agent-597b5756-2915-4560-ba6b-91005f085166"),
            "agent_597b5756_2915_4560_ba6b_91005f085166"
        );
    }

    #[test]
    fn ids_that_would_meet_are_kept_apart() {
        let ids = [
            "agent-a-b",
            "agent-a_b",
            "agent-A-b",
            "a-b",
            "agent-agent-a-b",
            "agent-a.b",
            "agent-a b",
            "agent-",
            "",
        ];
        let mut seen = HashMap::new();
        for id in ids {
            if let Some(other) = seen.insert(localpart(id), id) {
                panic!("{id:?} and {other:?} are both {}", localpart(id));
            }
        }
    }

    proptest! {
        #[test]
        fn every_id_makes_a_valid_user_of_its_own(a in ".{0,300}", b in ".{0,300}") {
            for id in [&a, &b] {
                let user = format!("@{}:matrix.test", localpart(id));
                prop_assert!(UserId::parse(&user).is_ok_and(|user| user.validate_strict().is_ok()), "{user}");
                prop_assert!(user.len() <= 255);
            }
            prop_assert_eq!(a == b, localpart(&a) == localpart(&b));
        }

        #[test]
        fn every_name_becomes_one_short_line(name in "\\PC{0,400}|.{0,400}") {
            let shown = named(&name);
            prop_assert!(!shown.is_empty() && shown.len() <= MAX_NAME_BYTES);
            prop_assert!(!shown.chars().any(char::is_control));
        }

        #[test]
        fn every_order_is_one_the_specification_allows(name in ".{0,100}") {
            if let Some(order) = child_order(&name) {
                prop_assert!(order.len() <= 50 && order.chars().all(|c| matches!(c, ' '..='~')));
            }
        }
    }

    #[test]
    fn names_are_shown_as_they_are_where_that_is_possible() {
        assert_eq!(named("Agent Alpha"), "Agent Alpha");
        assert_eq!(named("👩‍🔬 Ada"), "👩‍🔬 Ada");
        assert_eq!(named("سارة"), "سارة");
        assert_eq!(named("  two \t words\n"), "two words");
    }

    #[test]
    fn an_agent_without_a_visible_name_is_called_by_its_id() {
        for name in ["", "  ", "\0\u{7}", "\u{202E}\u{2066}"] {
            assert_eq!(named(name), "agent-001", "{name:?}");
        }
    }

    #[test]
    fn a_name_cannot_turn_the_text_around_it() {
        assert_eq!(named("Ada\u{202E}nimda"), "Adanimda");
    }

    #[test]
    fn a_very_long_name_ends_in_an_ellipsis() {
        let shown = named(&"ä".repeat(5_000));
        assert!(shown.ends_with('…') && shown.len() <= MAX_NAME_BYTES && shown.len() > MAX_NAME_BYTES - 4);
    }

    #[test]
    fn a_name_without_ascii_has_no_order() {
        assert_eq!(child_order("Agent Alpha"), Some("agent alpha".to_owned()));
        assert_eq!(child_order("🦀"), None);
    }
}
