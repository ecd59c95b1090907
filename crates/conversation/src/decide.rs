//! What is to be done about an event. Pure.

use std::fmt;

use matrix_client::{Event, TimelineEventType, content};
use ruma::{EventId, UserId};

use crate::{BoundRoom, Directory, Permissions};

/// What is to be done about an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<'a> {
    /// The agent is to hear it.
    Forward(Forward<'a>),
    /// The agent cannot hear it, and its sender is to know.
    Decline {
        /// Where.
        room: &'a BoundRoom,
        /// What.
        event_id: &'a EventId,
        /// Why.
        reason: DeclineReason,
    },
    /// Nothing.
    Ignore(IgnoreReason),
}

/// A message for an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward<'a> {
    /// The agent's room.
    pub room: &'a BoundRoom,
    /// The message.
    pub event_id: &'a EventId,
    /// Who wrote it.
    pub sender: &'a UserId,
    /// What it says.
    pub text: &'a str,
}

/// Why nothing is done about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IgnoreReason {
    /// One of our own users sent it.
    Own,
    /// The room belongs to no agent.
    UnknownRoom,
    /// Its sender may not talk with agents.
    NotAdmitted,
    /// It is no message, or was taken back.
    NotAMessage,
    /// Machines send notices, and machines do not answer machines.
    Notice,
    /// It changes an earlier message, which was answered already.
    Edit,
    /// It says nothing.
    Empty,
}

/// Why an agent cannot hear a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeclineReason {
    /// It is encrypted.
    Encrypted,
    /// It is a picture, a file, a place …
    NotText,
}

impl fmt::Display for IgnoreReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "sent by one of our own users",
            Self::UnknownRoom => "the room belongs to no agent",
            Self::NotAdmitted => "the sender may not talk with agents",
            Self::NotAMessage => "not a message",
            Self::Notice => "a notice",
            Self::Edit => "an edit",
            Self::Empty => "an empty message",
        })
    }
}

impl fmt::Display for DeclineReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encrypted => "I cannot read encrypted messages.",
            Self::NotText => "I can only read text so far.",
        })
    }
}

/// Decides what is to be done about an event.
#[must_use]
pub fn decide<'a>(event: &'a Event, directory: &'a Directory, permissions: &Permissions) -> Decision<'a> {
    use Decision::Ignore;

    if directory.is_own(&event.sender) {
        return Ignore(IgnoreReason::Own);
    }
    let Some(room) = event
        .room_id
        .as_deref()
        .and_then(|room_id| directory.room(room_id))
    else {
        return Ignore(IgnoreReason::UnknownRoom);
    };
    let encrypted = event.event_type == TimelineEventType::RoomEncrypted;
    if event.state_key.is_some() || !(encrypted || event.event_type == TimelineEventType::RoomMessage) {
        return Ignore(IgnoreReason::NotAMessage);
    }
    if permissions.role_of(&event.sender).is_none() {
        return Ignore(IgnoreReason::NotAdmitted);
    }
    let decline = |reason| Decision::Decline {
        room,
        event_id: &event.event_id,
        reason,
    };
    if encrypted {
        return decline(DeclineReason::Encrypted);
    }
    if content::edited_event(&event.content).is_some() {
        return Ignore(IgnoreReason::Edit);
    }
    let field = |name| event.content.get(name).and_then(serde_json::Value::as_str);
    let (Some(msgtype), Some(body)) = (field("msgtype"), field("body")) else {
        return Ignore(IgnoreReason::NotAMessage);
    };
    match msgtype {
        "m.notice" => Ignore(IgnoreReason::Notice),
        "m.text" | "m.emote" if body.trim().is_empty() => Ignore(IgnoreReason::Empty),
        "m.text" | "m.emote" => Decision::Forward(Forward {
            room,
            event_id: &event.event_id,
            sender: &event.sender,
            text: body,
        }),
        _ => decline(DeclineReason::NotText),
    }
}

#[cfg(test)]
mod tests {
    use matrix_client::content::Message;
    use ruma::{
        MilliSecondsSinceUnixEpoch, event_id, owned_event_id, owned_room_id, owned_server_name,
        owned_user_id, user_id,
    };
    use serde_json::{Value, json};

    use super::*;
    use crate::Role;

    fn directory() -> Directory {
        Directory::new(owned_user_id!("@letta_bot:matrix.test"), "agent_").with_rooms([BoundRoom {
            room_id: owned_room_id!("!testroom:matrix.test"),
            agent_id: "agent-001".into(),
            agent_name: "Agent Alpha".to_owned(),
            agent_user: owned_user_id!("@agent_001:matrix.test"),
        }])
    }

    fn permissions() -> Permissions {
        let mut permissions = Permissions::default();
        permissions.allow_server(owned_server_name!("matrix.test"), Role::Talk);
        permissions
    }

    fn message(content: Value) -> Event {
        Event::new(
            owned_event_id!("$one"),
            owned_user_id!("@admin:matrix.test"),
            TimelineEventType::RoomMessage,
            MilliSecondsSinceUnixEpoch(1u8.into()),
            content,
        )
        .with_room(owned_room_id!("!testroom:matrix.test"))
    }

    fn ignored(event: &Event) -> IgnoreReason {
        match decide(event, &directory(), &permissions()) {
            Decision::Ignore(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_persons_text_goes_to_the_agent_of_the_room() {
        let directory = directory();
        let event = message(Message::text("hello").to_content());
        let Decision::Forward(forward) = decide(&event, &directory, &permissions()) else {
            panic!()
        };
        assert_eq!(forward.room.agent_id.as_str(), "agent-001");
        assert_eq!(forward.event_id, event_id!("$one"));
        assert_eq!(forward.sender, user_id!("@admin:matrix.test"));
        assert_eq!(forward.text, "hello");
    }

    #[test]
    fn our_own_users_are_never_answered() {
        for user in [
            "@letta_bot:matrix.test",
            "@agent_001:matrix.test",
            "@agent_gone:matrix.test",
        ] {
            let mut event = message(Message::text("hello").to_content());
            event.sender = user.try_into().unwrap();
            assert_eq!(ignored(&event), IgnoreReason::Own, "{user}");
        }
    }

    #[test]
    fn a_user_elsewhere_with_our_prefix_is_not_ours() {
        assert!(!directory().is_own(user_id!("@agent_001:example.org")));
    }

    #[test]
    fn strangers_are_not_heard() {
        let mut event = message(Message::text("hello").to_content());
        event.sender = owned_user_id!("@admin:example.org");
        assert_eq!(ignored(&event), IgnoreReason::NotAdmitted);
    }

    #[test]
    fn rooms_of_nobody_are_not_listened_to() {
        let mut event = message(Message::text("hello").to_content());
        event.room_id = Some(owned_room_id!("!other:matrix.test"));
        assert_eq!(ignored(&event), IgnoreReason::UnknownRoom);
        event.room_id = None;
        assert_eq!(ignored(&event), IgnoreReason::UnknownRoom);
    }

    #[test]
    fn what_is_no_new_message_of_a_person_is_ignored() {
        for (content, reason) in [
            (Message::notice("beep").to_content(), IgnoreReason::Notice),
            (
                Message::text("new").edit_of(event_id!("$old")).to_content(),
                IgnoreReason::Edit,
            ),
            (Message::text(" \n").to_content(), IgnoreReason::Empty),
            (json!({}), IgnoreReason::NotAMessage),
            (json!({ "msgtype": "m.text" }), IgnoreReason::NotAMessage),
            (json!({ "msgtype": 1, "body": ["x"] }), IgnoreReason::NotAMessage),
        ] {
            assert_eq!(ignored(&message(content)), reason);
        }
        let mut reaction = message(content::reaction(event_id!("$old"), "yes"));
        reaction.event_type = TimelineEventType::Reaction;
        assert_eq!(ignored(&reaction), IgnoreReason::NotAMessage);
        let state = message(Message::text("hello").to_content()).with_state_key("");
        assert_eq!(ignored(&state), IgnoreReason::NotAMessage);
    }

    #[test]
    fn what_the_agent_cannot_read_is_declined() {
        let picture =
            message(json!({ "msgtype": "m.image", "body": "cat.png", "url": "mxc://matrix.test/cat" }));
        let mut secret = message(json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x" }));
        secret.event_type = TimelineEventType::RoomEncrypted;
        for (event, expected) in [
            (picture, DeclineReason::NotText),
            (secret, DeclineReason::Encrypted),
        ] {
            let directory = directory();
            let decision = decide(&event, &directory, &permissions());
            assert!(
                matches!(decision, Decision::Decline { reason, .. } if reason == expected),
                "{decision:?}"
            );
        }
    }
}
