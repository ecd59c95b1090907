use std::fmt;

use ruma::{OwnedDeviceId, OwnedMxcUri, OwnedUserId, UserId};
use secrecy::SecretString;

use super::Session;

/// A user named by the full id or by the localpart alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UserHandle {
    /// `@name:server`
    Id(OwnedUserId),
    /// `name`; the server adds its own name.
    Localpart(String),
}

impl UserHandle {
    /// The localpart alone.
    pub fn localpart(&self) -> &str {
        match self {
            Self::Id(id) => id.localpart(),
            Self::Localpart(localpart) => localpart,
        }
    }

    /// What stands in `identifier.user` of a login.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Id(id) => id.as_str(),
            Self::Localpart(localpart) => localpart,
        }
    }
}

impl fmt::Display for UserHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<OwnedUserId> for UserHandle {
    fn from(id: OwnedUserId) -> Self {
        Self::Id(id)
    }
}

impl From<&UserId> for UserHandle {
    fn from(id: &UserId) -> Self {
        Self::Id(id.to_owned())
    }
}

impl From<&str> for UserHandle {
    /// A valid user id is taken as one, anything else as a localpart.
    fn from(text: &str) -> Self {
        UserId::parse(text).map_or_else(|_| Self::Localpart(text.to_owned()), Self::Id)
    }
}

/// A login. See [`MatrixApi::login`](crate::MatrixApi::login).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoginRequest {
    /// Who logs in.
    pub user: UserHandle,
    /// What proves it.
    pub credentials: LoginCredentials,
    /// The device to log in on. `None`: the server makes a new one with each login.
    pub device_id: Option<OwnedDeviceId>,
    /// What a new device is called in the user's list of sessions.
    pub initial_device_display_name: Option<String>,
}

/// What proves who logs in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LoginCredentials {
    /// `m.login.password`
    Password(SecretString),
    /// `m.login.application_service`, with the application service's token. Gives one of its users a real access
    /// token and device.
    Appservice(SecretString),
}

impl LoginRequest {
    /// A login with a password.
    pub fn with_password(user: impl Into<UserHandle>, password: SecretString) -> Self {
        Self::new(user.into(), LoginCredentials::Password(password))
    }

    /// A login of an application service's user.
    pub fn as_appservice(user: impl Into<UserHandle>, appservice_token: SecretString) -> Self {
        Self::new(user.into(), LoginCredentials::Appservice(appservice_token))
    }

    fn new(user: UserHandle, credentials: LoginCredentials) -> Self {
        Self {
            user,
            credentials,
            device_id: None,
            initial_device_display_name: None,
        }
    }

    /// Logs in on this device.
    #[must_use]
    pub fn device_id(mut self, device_id: impl Into<OwnedDeviceId>) -> Self {
        self.device_id = Some(device_id.into());
        self
    }

    /// Names the device if it is new.
    #[must_use]
    pub fn initial_device_display_name(mut self, name: impl Into<String>) -> Self {
        self.initial_device_display_name = Some(name.into());
        self
    }
}

/// A registration. See [`MatrixApi::register`](crate::MatrixApi::register).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Registration {
    /// What entitles to register.
    pub kind: RegistrationKind,
    /// The wanted localpart. `None`: the server chooses one.
    pub localpart: Option<String>,
    /// The password of the new user. Application services need none.
    pub password: Option<SecretString>,
    /// The device that the new session is to have.
    pub device_id: Option<OwnedDeviceId>,
    /// What that device is called.
    pub initial_device_display_name: Option<String>,
    /// Makes only the user: no device and no access token.
    pub inhibit_login: bool,
}

/// What entitles to register.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RegistrationKind {
    /// `m.login.dummy`: open registration.
    Dummy,
    /// `m.login.registration_token`: a token that the server's administrator gave out.
    Token(SecretString),
    /// `m.login.application_service`: an application service makes a user of its namespace, with its token.
    Appservice(SecretString),
}

impl Registration {
    /// Open registration with a password.
    pub fn dummy(localpart: impl Into<String>, password: SecretString) -> Self {
        Self::new(RegistrationKind::Dummy, Some(localpart.into()), Some(password))
    }

    /// Registration with a registration token.
    pub fn with_token(localpart: impl Into<String>, password: SecretString, token: SecretString) -> Self {
        Self::new(
            RegistrationKind::Token(token),
            Some(localpart.into()),
            Some(password),
        )
    }

    /// A user of an application service. No session is made (`inhibit_login`): the application service speaks for
    /// its users with its own token.
    pub fn appservice(localpart: impl Into<String>, appservice_token: SecretString) -> Self {
        let kind = RegistrationKind::Appservice(appservice_token);
        Self {
            inhibit_login: true,
            ..Self::new(kind, Some(localpart.into()), None)
        }
    }

    fn new(kind: RegistrationKind, localpart: Option<String>, password: Option<SecretString>) -> Self {
        Self {
            kind,
            localpart,
            password,
            device_id: None,
            initial_device_display_name: None,
            inhibit_login: false,
        }
    }

    /// Lets the server choose the localpart.
    #[must_use]
    pub fn any_localpart(mut self) -> Self {
        self.localpart = None;
        self
    }

    /// Whether only the user is made, without device and access token.
    #[must_use]
    pub fn inhibit_login(mut self, inhibit: bool) -> Self {
        self.inhibit_login = inhibit;
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
}

/// A user that was just made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Registered {
    /// The full id, as the server wrote it (it may have lower-cased the localpart).
    pub user_id: OwnedUserId,
    /// A session of the new user, unless [`Registration::inhibit_login`] was set.
    pub session: Option<Session>,
}

impl Registered {
    /// A new user, with or without a session.
    pub fn new(user_id: OwnedUserId, session: Option<Session>) -> Self {
        Self { user_id, session }
    }
}

/// Whom the server takes a session for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WhoAmI {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device; application services that assert none have none.
    pub device_id: Option<OwnedDeviceId>,
    /// Whether it is a guest account.
    pub is_guest: bool,
}

impl WhoAmI {
    /// A full (not guest) user.
    pub fn new(user_id: OwnedUserId, device_id: Option<OwnedDeviceId>) -> Self {
        Self {
            user_id,
            device_id,
            is_guest: false,
        }
    }
}

/// What a user, or a member of a room, is called and looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// The display name, if one is set.
    pub display_name: Option<String>,
    /// The avatar, if one is set. Servers do not check that it is an `mxc://` URI.
    pub avatar_url: Option<OwnedMxcUri>,
}

impl Profile {
    /// A profile with the given name and avatar.
    pub fn new(display_name: Option<String>, avatar_url: Option<OwnedMxcUri>) -> Self {
        Self {
            display_name,
            avatar_url,
        }
    }
}
