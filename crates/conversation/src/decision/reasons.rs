//! Why something is not done.

use std::fmt;

use crate::rights::Right;

/// Why nothing is done about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IgnoreReason {
    /// One of our own users sent it.
    Own,
    /// The room is none of ours.
    UnknownRoom,
    /// No agent is in the room.
    NoAgentHere,
    /// Its sender may not talk with agents.
    NotAdmitted,
    /// Its sender may talk with agents, but lacks this right.
    Lacks(Right),
    /// It is no message.
    NotAMessage,
    /// It changes the room in a way that matters to no agent.
    StateEvent,
    /// It was taken back already.
    TakenBack,
    /// It was put into the room from an agent's earlier history.
    Historical,
    /// Machines send notices, and machines do not answer machines.
    Notice,
    /// It says nothing.
    Empty,
    /// Agents hear nothing here.
    Off,
    /// No agent is mentioned, as this room asks for.
    NotMentioned,
    /// A reaction that means nothing to agents.
    Reaction,
    /// An answer to a poll, or its end: agents know the answers by their text only, and these do not have it.
    PollAnswer,
    /// Agents talked among themselves long enough.
    TooManyHops,
    /// No agent can hear it, and nobody waits for an answer to it.
    Unheard(DeclineReason),
}

/// Why a message cannot be heard. Its text is said to whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeclineReason {
    /// It is encrypted. To be said once in a room, not to every message.
    Encrypted,
    /// It was sent too long ago.
    TooOld,
    /// It is longer than this many bytes.
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// Whoever wrote the command lacks this right.
    NotAllowed(Right),
    /// The file that it speaks of did not come with it.
    NoAttachment,
    /// It is a message of a kind that nobody here knows.
    UnknownKind,
}

impl fmt::Display for IgnoreReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "sent by one of our own users",
            Self::UnknownRoom => "the room is none of ours",
            Self::NoAgentHere => "no agent is in the room",
            Self::NotAdmitted => "the sender may not talk with agents",
            Self::Lacks(right) => return write!(f, "the sender lacks the right to {}", deed(*right)),
            Self::NotAMessage => "not a message",
            Self::StateEvent => "a change of the room that matters to no agent",
            Self::TakenBack => "taken back already",
            Self::Historical => "from an agent's earlier history",
            Self::Notice => "a notice",
            Self::Empty => "an empty message",
            Self::Off => "agents are switched off in this room",
            Self::NotMentioned => "no agent is mentioned",
            Self::Reaction => "a reaction that means nothing to agents",
            Self::PollAnswer => "an answer to a poll, or its end",
            Self::TooManyHops => "agents talked among themselves long enough",
            Self::Unheard(reason) => {
                return f.write_str(match reason {
                    DeclineReason::Encrypted => "encrypted, and nobody waits for an answer",
                    DeclineReason::TooOld => "too old, and nobody waits for an answer",
                    DeclineReason::TooLong { .. } => "too long, and nobody waits for an answer",
                    DeclineReason::NotAllowed(_) => "not allowed, and nobody waits for an answer",
                    DeclineReason::NoAttachment => "without its file, and nobody waits for an answer",
                    DeclineReason::UnknownKind => "of an unknown kind, and nobody waits for an answer",
                });
            }
        })
    }
}

impl fmt::Display for DeclineReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encrypted => f.write_str(
                "I cannot read encrypted messages. Please write to me in a room without encryption.",
            ),
            Self::TooOld => f.write_str(
                "This message reached me so late that I left it alone. Please send it again if it still matters.",
            ),
            Self::TooLong { limit } => write!(
                f,
                "This message is too long for me: I read up to {limit} bytes. Please split it, or send it as a file.",
            ),
            Self::NotAllowed(right) => write!(
                f,
                "You may not {} here. Please ask an admin of this bridge for it.",
                deed(*right)
            ),
            Self::NoAttachment => f.write_str("The file did not come with the message. Please send it again."),
            Self::UnknownKind => {
                f.write_str("I do not know this kind of message. Please write it as a text, or send a file.")
            }
        }
    }
}

fn deed(right: Right) -> &'static str {
    match right {
        Right::Talk => "talk with agents",
        Right::Approve => "decide about what agents may do",
        Right::Command => "change how agents behave",
        Right::Admin => "manage the bridge",
    }
}
