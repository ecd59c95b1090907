//! Carries a person's message to the agent and the agent's answer back into the room.
//!
//! [`decide`] says what is to be done about an event, and is pure. [`Relay::handle`] does it: a message goes to
//! Letta, the answer comes back as the agent's own user. The same event has the same id in Letta and a part of an
//! answer the same transaction id at the homeserver, so that what is done twice shows once.
//!
//! The crate knows Letta and Matrix by their traits only.

mod decide;
mod directory;
mod ids;
mod notice;
mod permissions;
mod relay;
mod split;
mod turn;

pub use decide::{Decision, DeclineReason, Forward, IgnoreReason, decide};
pub use directory::{BoundRoom, Directory};
pub use permissions::{Permissions, Role};
pub use relay::{Outcome, Relay, RelayError};
