use ruma::{RoomVersionId, ServerName, api::appservice};
use secrecy::SecretString;

use super::{
    FakeMatrix, Homeserver,
    settings::{ProfilePropagation, RateLimits, RegistrationPolicy, Settings},
    test_data,
};

/// Describes a [`FakeMatrix`].
#[derive(Debug)]
#[must_use = "a builder makes nothing until `build`"]
pub struct FakeMatrixBuilder {
    settings: Settings,
}

impl FakeMatrixBuilder {
    pub(super) fn new(server_name: &str) -> Self {
        if ServerName::parse(server_name).is_err() {
            panic!("`{server_name}` is not a server name");
        }
        Self {
            settings: Settings::new(server_name),
        }
    }

    /// Ids and tokens are derived from it.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// The time at which the server is made, in milliseconds since 1970. Default: the beginning of 2026.
    pub fn epoch_ms(mut self, epoch_ms: u64) -> Self {
        self.settings.epoch_ms = epoch_ms;
        self
    }

    /// The address that the server names in logins and in `.well-known`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.settings.base_url = Some(url.into());
        self
    }

    /// Registers an application service. Without a `url` nothing is pushed to it.
    pub fn appservice(mut self, registration: appservice::Registration) -> Self {
        self.settings.appservices.push(registration);
        self
    }

    /// Registers the application service of the tests, see [`test_registration`](super::test_registration).
    pub fn test_appservice(self) -> Self {
        let registration = test_data::test_registration(&self.settings.server_name);
        self.appservice(registration)
    }

    /// Who may register. Default: everyone.
    pub fn registration(mut self, policy: RegistrationPolicy) -> Self {
        self.settings.registration = policy;
        self
    }

    /// Allows registration with a shared secret.
    pub fn shared_secret(mut self, secret: SecretString) -> Self {
        self.settings.shared_secret = Some(secret);
        self
    }

    /// The version of rooms that ask for none. Default: 12.
    pub fn default_room_version(mut self, version: RoomVersionId) -> Self {
        self.settings.default_room_version = version;
        self
    }

    /// How many requests the server takes. Default: all.
    pub fn rate_limits(mut self, limits: RateLimits) -> Self {
        self.settings.rate_limits = limits;
        self
    }

    /// The largest upload in bytes. Default: 20 MiB.
    pub fn max_upload_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_upload_bytes = bytes;
        self
    }

    /// Whether users may list rooms in the server's directory. Default: no, as with Synapse.
    pub fn publishing(mut self, allowed: bool) -> Self {
        self.settings.may_publish = allowed;
        self
    }

    /// When membership events follow a change of the profile. Default: at once.
    pub fn profile_propagation(mut self, propagation: ProfilePropagation) -> Self {
        self.settings.profile_propagation = propagation;
        self
    }

    /// Makes the server.
    ///
    /// # Panics
    /// When a namespace of an application service is not a regular expression.
    pub fn build(self) -> FakeMatrix {
        FakeMatrix::with(Homeserver::new(self.settings))
    }
}
