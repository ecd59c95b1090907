//! Identifiers. Opaque: only the server knows their grammar.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the identifier as the server wrote it.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The identifier as the server wrote it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }
    };
}

identifier!(
    /// An agent, e.g. `agent-597b5756-2915-4560-ba6b-91005f085166`.
    AgentId
);
identifier!(
    /// A conversation of an agent, e.g. `conv-…`.
    ConversationId
);
identifier!(
    /// One run of an agent: everything between an input and the end of its turn.
    RunId
);
identifier!(
    /// A message in an agent's history.
    MessageId
);
identifier!(
    /// One streamed item (an answer, a thought). Events with the same item belong together.
    ItemId
);
identifier!(
    /// A call of a tool, as the model named it.
    ToolCallId
);
identifier!(
    /// A pending request for approval.
    ApprovalId
);
identifier!(
    /// The sender's own id of a message ("offline threading id"): a key to find it again by, not a lock.
    Otid
);
