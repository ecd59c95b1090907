//! The few calls of Synapse's own administration API that are worth it. Other homeservers do not have them.

use std::fmt::Debug;

use async_trait::async_trait;
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedMxcUri, OwnedRoomAliasId, OwnedRoomId, OwnedUserId,
    RoomId, UserId,
};
use secrecy::SecretString;

use crate::{Registered, Result, Session};

/// Synapse's administration API. Every call but the first needs the session of a server administrator, or is
/// `Forbidden`. Server administrators have no special rights outside of these calls.
#[async_trait]
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait SynapseAdminApi: Send + Sync + Debug {
    /// Makes a user with the server's `registration_shared_secret`, whether or not registration is open.
    ///
    /// Two requests: a nonce, then the registration with an HMAC-SHA1 over nonce, name, password and role. A taken
    /// name is `UserInUse`, a wrong secret `Forbidden`. Never rate-limited.
    ///
    /// `GET` and `POST /_synapse/admin/v1/register`
    async fn register_with_shared_secret(
        &self,
        secret: &SecretString,
        registration: &SharedSecretRegistration,
    ) -> Result<Registered>;

    /// What the server knows of a local user. `NotFound` if there is none: the only reliable test of existence.
    ///
    /// `GET /_synapse/admin/v2/users/{userId}`
    async fn get_user(&self, session: &Session, user_id: &UserId) -> Result<UserInfo>;

    /// Sets a user's own rate limit. [`RateLimit::UNLIMITED`] lifts it for messages, rooms and invitations.
    ///
    /// `POST /_synapse/admin/v1/users/{userId}/override_ratelimit`
    async fn set_rate_limit_override(
        &self,
        session: &Session,
        user_id: &UserId,
        limit: &RateLimit,
    ) -> Result<()>;

    /// One page of all rooms the server knows, by name.
    ///
    /// `GET /_synapse/admin/v1/rooms`
    async fn list_rooms(&self, session: &Session, request: &RoomsRequest) -> Result<RoomsPage>;

    /// Removes all local members from a room and, in the background, what the server knows of it. Answers the
    /// id of that background work.
    ///
    /// `DELETE /_synapse/admin/v2/rooms/{roomId}`
    async fn delete_room(
        &self,
        session: &Session,
        room_id: &RoomId,
        deletion: &RoomDeletion,
    ) -> Result<String>;

    /// Gives a local user the highest power in a room that any local member can give.
    ///
    /// `POST /_synapse/admin/v1/rooms/{roomId}/make_room_admin`
    async fn make_room_admin(&self, session: &Session, room_id: &RoomId, user_id: &UserId) -> Result<()>;
}

/// A registration with the shared secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SharedSecretRegistration {
    /// The localpart.
    pub localpart: String,
    /// The new user's password.
    pub password: SecretString,
    /// The display name. `None`: the localpart.
    pub display_name: Option<String>,
    /// Whether the user becomes a server administrator.
    pub admin: bool,
    /// The device that the new session is to have. `None`: the server makes one.
    pub device_id: Option<OwnedDeviceId>,
    /// What that device is called.
    pub initial_device_display_name: Option<String>,
    /// Makes only the user: no device and no access token.
    pub inhibit_login: bool,
}

impl SharedSecretRegistration {
    /// An ordinary user.
    pub fn new(localpart: impl Into<String>, password: SecretString) -> Self {
        Self {
            localpart: localpart.into(),
            password,
            display_name: None,
            admin: false,
            device_id: None,
            initial_device_display_name: None,
            inhibit_login: false,
        }
    }

    /// A server administrator.
    pub fn admin(localpart: impl Into<String>, password: SecretString) -> Self {
        Self {
            admin: true,
            ..Self::new(localpart, password)
        }
    }

    /// Sets the display name.
    #[must_use]
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into());
        self
    }

    /// The device of the new session.
    #[must_use]
    pub fn device_id(mut self, device_id: impl Into<OwnedDeviceId>) -> Self {
        self.device_id = Some(device_id.into());
        self
    }

    /// What that device is called.
    #[must_use]
    pub fn initial_device_display_name(mut self, name: impl Into<String>) -> Self {
        self.initial_device_display_name = Some(name.into());
        self
    }

    /// Makes only the user.
    #[must_use]
    pub fn inhibit_login(mut self) -> Self {
        self.inhibit_login = true;
        self
    }
}

/// What the server knows of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserInfo {
    /// The user.
    pub user_id: OwnedUserId,
    /// The display name, if set.
    pub display_name: Option<String>,
    /// The avatar, if set.
    pub avatar_url: Option<OwnedMxcUri>,
    /// Whether the user is a server administrator.
    pub admin: bool,
    /// Whether the user was deactivated.
    pub deactivated: bool,
    /// The id of the application service that made the user, if one did.
    pub appservice_id: Option<String>,
    /// When the user was made, to the second.
    pub created_at: Option<MilliSecondsSinceUnixEpoch>,
}

impl UserInfo {
    /// An ordinary, active user.
    pub fn new(user_id: OwnedUserId) -> Self {
        Self {
            user_id,
            display_name: None,
            avatar_url: None,
            admin: false,
            deactivated: false,
            appservice_id: None,
            created_at: None,
        }
    }
}

/// A rate limit of a user's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many actions per second in the long run.
    pub messages_per_second: u32,
    /// How many at once.
    pub burst_count: u32,
}

impl RateLimit {
    /// No limit at all, which the server spells as two zeros.
    pub const UNLIMITED: Self = Self {
        messages_per_second: 0,
        burst_count: 0,
    };
}

/// Which rooms are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomsRequest {
    /// How many to pass over; `next_batch` of the page before.
    pub from: u64,
    /// The most rooms on the page. `None`: the server's default, 100.
    pub limit: Option<u32>,
    /// Only rooms whose name, alias or id contains this.
    pub search_term: Option<String>,
}

impl RoomsRequest {
    /// The first page of all rooms.
    pub fn new() -> Self {
        Self::default()
    }

    /// The page that starts here.
    #[must_use]
    pub fn from(mut self, offset: u64) -> Self {
        self.from = offset;
        self
    }

    /// At most this many.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Only rooms whose name, alias or id contains this.
    #[must_use]
    pub fn search_term(mut self, term: impl Into<String>) -> Self {
        self.search_term = Some(term.into());
        self
    }
}

/// A page of rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomsPage {
    /// The rooms.
    pub rooms: Vec<RoomInfo>,
    /// How many there are on all pages.
    pub total: u64,
    /// Where the next page starts. `None`: this was the last.
    pub next_batch: Option<u64>,
}

impl RoomsPage {
    /// A page of rooms.
    pub fn new(rooms: Vec<RoomInfo>, total: u64, next_batch: Option<u64>) -> Self {
        Self {
            rooms,
            total,
            next_batch,
        }
    }
}

/// What the server knows of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomInfo {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Its name.
    pub name: Option<String>,
    /// Its canonical alias.
    pub canonical_alias: Option<OwnedRoomAliasId>,
    /// How many have joined.
    pub joined_members: u64,
    /// Who made it.
    pub creator: Option<OwnedUserId>,
    /// Its version.
    pub version: Option<String>,
    /// Its type, such as `m.space`.
    pub room_type: Option<String>,
}

impl RoomInfo {
    /// A room of which nothing but the number of members is known.
    pub fn new(room_id: OwnedRoomId, joined_members: u64) -> Self {
        Self {
            room_id,
            name: None,
            canonical_alias: None,
            joined_members,
            creator: None,
            version: None,
            room_type: None,
        }
    }
}

/// How a room is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomDeletion {
    /// Whether nobody of this server may join it again.
    pub block: bool,
    /// Whether it is also removed from the database. Otherwise the members are only removed.
    pub purge: bool,
}

impl RoomDeletion {
    /// Removes the members and everything the server knows of the room.
    pub fn purge() -> Self {
        Self {
            block: false,
            purge: true,
        }
    }

    /// Keeps everyone of this server out from now on.
    #[must_use]
    pub fn block(mut self) -> Self {
        self.block = true;
        self
    }
}
