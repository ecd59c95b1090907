//! Names that tests of this workspace share, so that one reads like another.

use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, owned_room_id, owned_server_name, owned_user_id};

use crate::{Appservice, Session};

/// `matrix.test`
pub fn server_name() -> OwnedServerName {
    owned_server_name!("matrix.test")
}

/// `@admin:matrix.test`
pub fn admin() -> OwnedUserId {
    owned_user_id!("@admin:matrix.test")
}

/// `@agent_001:matrix.test`, the user of agent `agent-001`, "Agent Alpha".
pub fn agent_001() -> OwnedUserId {
    owned_user_id!("@agent_001:matrix.test")
}

/// `@agent_002:matrix.test`, the user of agent `agent-002`, "Agent Beta".
pub fn agent_002() -> OwnedUserId {
    owned_user_id!("@agent_002:matrix.test")
}

/// `@letta_bot:matrix.test`, the sender of the [`appservice`].
pub fn bot() -> OwnedUserId {
    owned_user_id!("@letta_bot:matrix.test")
}

/// `!testroom:matrix.test`
pub fn test_room() -> OwnedRoomId {
    owned_room_id!("!testroom:matrix.test")
}

/// An application service `letta-bridge` with the token [`AS_TOKEN`].
pub fn appservice() -> Appservice {
    Appservice::new("letta-bridge", AS_TOKEN.into(), bot())
}

/// A session of [`admin`] with an access token.
pub fn admin_session() -> Session {
    Session::with_access_token(admin(), "admin-token-for-tests".into())
}

/// What the application service shows to the homeserver. Not a secret.
pub const AS_TOKEN: &str = "as-token-for-tests";

/// What the homeserver shows to the application service. Not a secret.
pub const HS_TOKEN: &str = "hs-token-for-tests";

/// The shared secret of Synapse's registration. Not a secret.
pub const REGISTRATION_SHARED_SECRET: &str = "reg-secret-for-tests";
