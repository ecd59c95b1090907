use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use secrecy::SecretString;

/// Who acts, and by what right. Every call that needs a user takes one.
///
/// A session is a value: it holds no connection and can be cloned, stored and made by hand. Its `Debug` shows the
/// user and the device, never the token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Session {
    /// The user who acts.
    pub user_id: OwnedUserId,
    /// The device, where there is one. With an access token the server knows it anyway; with an application service
    /// it is asserted with each call and decides how long transaction ids are remembered.
    pub device_id: Option<OwnedDeviceId>,
    /// The right to act.
    pub authority: Authority,
}

/// What lets a [`Session`] act.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Authority {
    /// An access token of the user's own, from login or registration.
    AccessToken(SecretString),
    /// An application service's token; the user is asserted with each call ("masquerading").
    Appservice(SecretString),
}

impl Session {
    /// A session with an access token of the user's own.
    pub fn with_access_token(user_id: OwnedUserId, access_token: SecretString) -> Self {
        Self {
            user_id,
            device_id: None,
            authority: Authority::AccessToken(access_token),
        }
    }

    /// A session in which an application service speaks for `user_id`.
    pub fn as_appservice_user(user_id: OwnedUserId, appservice_token: SecretString) -> Self {
        Self {
            user_id,
            device_id: None,
            authority: Authority::Appservice(appservice_token),
        }
    }

    /// The same session on the given device.
    #[must_use]
    pub fn with_device(mut self, device_id: OwnedDeviceId) -> Self {
        self.device_id = Some(device_id);
        self
    }

    /// The device, if the session has one.
    pub fn device_id(&self) -> Option<&DeviceId> {
        self.device_id.as_deref()
    }

    /// Whether an application service speaks for the user.
    pub fn is_appservice(&self) -> bool {
        matches!(self.authority, Authority::Appservice(_))
    }

    /// The token that is sent with the call.
    pub fn token(&self) -> &SecretString {
        match &self.authority {
            Authority::AccessToken(token) | Authority::Appservice(token) => token,
        }
    }
}

/// An application service as its registration file names it. Makes the sessions of its users.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Appservice {
    /// `id` of the registration. Needed for [`ping_appservice`](crate::MatrixApi::ping_appservice).
    pub id: String,
    /// `as_token`: what the application service shows to the homeserver.
    pub token: SecretString,
    /// The user made of `sender_localpart` and the server name. It exists without being registered.
    pub sender: OwnedUserId,
}

impl Appservice {
    /// An application service with the given registration id, `as_token` and sender.
    pub fn new(id: impl Into<String>, token: SecretString, sender: OwnedUserId) -> Self {
        Self {
            id: id.into(),
            token,
            sender,
        }
    }

    /// A session of the application service's own user.
    pub fn sender_session(&self) -> Session {
        self.act_as(&self.sender)
    }

    /// A session of one of its users. The user must be in its namespace and registered, or calls answer `Forbidden`.
    pub fn act_as(&self, user_id: &UserId) -> Session {
        Session::as_appservice_user(user_id.to_owned(), self.token.clone())
    }
}
