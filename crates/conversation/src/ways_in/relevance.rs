//! Which events are anybody's business. Pure.

use matrix_client::{Event, ruma::UserId};
use ruma::OwnedUserId;
use serde_json::Value;

use crate::{decision::is_historical, settings::SETTINGS_MARKER};

/// The state that decides something.
const STATE_TYPES: &[&str] = &[
    "m.room.member",
    "m.room.encryption",
    "m.room.name",
    SETTINGS_MARKER,
];

/// What people say and do. Of what an agent cannot read its sender is told.
const MESSAGE_TYPES: &[&str] = &[
    "m.room.message",
    "m.room.encrypted",
    "m.room.redaction",
    "m.reaction",
    "m.sticker",
    "m.poll.start",
    "org.matrix.msc3381.poll.start",
];

/// The users that the bridge speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnUsers {
    bot: OwnedUserId,
    prefix: String,
}

impl OwnUsers {
    /// The bot itself, and all users of its server whose localpart begins with `prefix`.
    pub fn new(bot: OwnedUserId, prefix: impl Into<String>) -> Self {
        Self {
            bot,
            prefix: prefix.into(),
        }
    }

    /// Whether the bridge speaks for this user.
    #[must_use]
    pub fn is_own(&self, user: &UserId) -> bool {
        user == self.bot
            || user.server_name() == self.bot.server_name() && user.localpart().starts_with(&self.prefix)
    }
}

/// Whether an event is to be looked at more closely. What is not does not even get into the inbox.
///
/// Of state that is what decides something, whoever set it; of the rest what people say and do. What our own users
/// say comes back to us and is left out, unless an agent mentions somebody: agents may talk with agents. An edit is
/// no new mention, and neither is a message of earlier times.
#[must_use]
pub fn is_relevant(event: &Event, own: &OwnUsers) -> bool {
    let event_type = event.event_type.to_string();
    if event.state_key.is_some() {
        return STATE_TYPES.contains(&event_type.as_str());
    }
    if !MESSAGE_TYPES.contains(&event_type.as_str()) {
        return false;
    }
    if !own.is_own(&event.sender) {
        return true;
    }
    event_type == "m.room.message"
        && event.sender != own.bot
        && !is_edit(&event.content)
        && !is_historical(&event.content)
        && mentions_another(event)
}

/// The types of the events that can be relevant.
pub(super) fn types() -> Vec<String> {
    let types = STATE_TYPES.iter().chain(MESSAGE_TYPES);
    types.map(|name| (*name).to_owned()).collect()
}

fn is_edit(content: &Value) -> bool {
    content["m.relates_to"]["rel_type"] == "m.replace"
}

fn mentions_another(event: &Event) -> bool {
    let users = event.content["m.mentions"]["user_ids"].as_array();
    users
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter_map(|user| <&UserId>::try_from(user).ok())
        .any(|user| user != event.sender)
}

#[cfg(test)]
mod tests {
    use matrix_client::content::{self, Message};
    use ruma::{MilliSecondsSinceUnixEpoch, event_id, owned_event_id, owned_user_id};
    use serde_json::json;

    use super::*;
    use crate::decision::{FORMER_HISTORY_MARKER, HISTORY_MARKER};

    const ADMIN: &str = "@admin:matrix.test";
    const BOT: &str = "@letta_bot:matrix.test";
    const ALPHA: &str = "@agent_001:matrix.test";

    fn event(sender: &str, event_type: &str, content: Value) -> Event {
        Event::new(
            owned_event_id!("$one"),
            sender.try_into().unwrap(),
            event_type.into(),
            MilliSecondsSinceUnixEpoch(1u8.into()),
            content,
        )
    }

    fn message(sender: &str, message: &Message) -> Event {
        event(sender, "m.room.message", message.to_content())
    }

    fn is_kept(event: &Event) -> bool {
        is_relevant(event, &OwnUsers::new(BOT.try_into().unwrap(), "agent_"))
    }

    #[test]
    fn what_people_say_and_do_is_kept() {
        assert!(is_kept(&message(ADMIN, &Message::text("hello"))));
        assert!(is_kept(&message(
            "@agent_001:example.org",
            &Message::text("hello")
        )));
        let edit = Message::text("new").edit_of(event_id!("$old"));
        assert!(is_kept(&message(ADMIN, &edit)));
        for event_type in ["m.reaction", "m.room.redaction", "m.room.encrypted", "m.sticker"] {
            assert!(is_kept(&event(ADMIN, event_type, json!({}))), "{event_type}");
        }
        let mut marked = message(ADMIN, &Message::text("hello"));
        marked.content[HISTORY_MARKER] = json!({});
        assert!(is_kept(&marked), "people cannot hide what they say");
    }

    #[test]
    fn noise_is_left_out() {
        for event_type in ["m.typing", "m.receipt", "m.call.invite", "com.example.beacon", ""] {
            assert!(!is_kept(&event(ADMIN, event_type, json!({}))), "{event_type}");
        }
    }

    #[test]
    fn only_state_that_decides_something_is_kept() {
        for (event_type, expected) in [
            ("m.room.member", true),
            ("m.room.encryption", true),
            ("m.room.tombstone", false),
            ("m.room.name", true),
            ("m.room.power_levels", false),
            (SETTINGS_MARKER, true),
            ("m.room.topic", false),
            ("m.room.avatar", false),
            ("m.space.child", false),
            ("m.room.message", false),
        ] {
            for sender in [ADMIN, ALPHA] {
                let event = event(sender, event_type, json!({})).with_state_key("");
                assert_eq!(is_kept(&event), expected, "{event_type} of {sender}");
            }
        }
        assert!(
            !is_kept(&event(ADMIN, "m.room.member", json!({}))),
            "state without a state key is none"
        );
    }

    #[test]
    fn an_agent_is_heard_when_it_mentions_somebody() {
        let beta = owned_user_id!("@agent_002:matrix.test");
        let alpha = owned_user_id!("@agent_001:matrix.test");
        let calling = Message::text("hello").mention([beta.clone()]);
        assert!(is_kept(&message(ALPHA, &calling)));
        assert!(!is_kept(&message(ALPHA, &Message::text("hello"))));
        assert!(!is_kept(&message(ALPHA, &Message::text("me").mention([alpha]))));
        assert!(!is_kept(&message(
            ALPHA,
            &calling.clone().edit_of(event_id!("$old"))
        )));
        assert!(!is_kept(&message(BOT, &calling)), "the bot is no agent");
        let mut reaction = event(ALPHA, "m.reaction", content::reaction(event_id!("$old"), "yes"));
        reaction.content["m.mentions"] = json!({ "user_ids": [beta] });
        assert!(!is_kept(&reaction));
    }

    #[test]
    fn mentions_that_make_no_sense_are_none() {
        for mentions in [
            json!(null),
            json!("x"),
            json!({ "user_ids": "@admin:matrix.test" }),
            json!({ "user_ids": [1, null, "admin"] }),
            json!({ "room": true }),
        ] {
            let mut event = message(ALPHA, &Message::text("hello"));
            event.content["m.mentions"] = mentions;
            assert!(!is_kept(&event), "{event:?}");
        }
    }

    #[test]
    fn earlier_messages_of_agents_are_left_out() {
        for marker in [HISTORY_MARKER, FORMER_HISTORY_MARKER] {
            let calling = Message::text("hello").mention([owned_user_id!("@admin:matrix.test")]);
            let mut event = message(ALPHA, &calling);
            event.content[marker] = json!(true);
            assert!(!is_kept(&event), "{marker}");
        }
    }
}
