//! What kind of server the fake is.

use std::time::Duration;

use ruma::{RoomVersionId, api::appservice};
use secrecy::SecretString;

/// Who may register without an application service.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum RegistrationPolicy {
    /// Anyone, with `m.login.dummy`.
    #[default]
    Open,
    /// Whoever has this registration token.
    Token(SecretString),
    /// Nobody: Synapse's default.
    Closed,
}

/// How many requests the server takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RateLimits {
    /// As many as there are.
    #[default]
    None,
    /// Synapse's defaults, on tokio's clock.
    Synapse,
}

/// When membership events follow a change of the profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProfilePropagation {
    /// With the change itself.
    #[default]
    AtOnce,
    /// In the background, so much later. Synapse takes up to a second for 25 rooms.
    After(Duration),
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) server_name: String,
    pub(super) seed: u64,
    pub(super) epoch_ms: u64,
    pub(super) base_url: Option<String>,
    pub(super) registration: RegistrationPolicy,
    pub(super) shared_secret: Option<SecretString>,
    pub(super) default_room_version: RoomVersionId,
    pub(super) rate_limits: RateLimits,
    pub(super) max_upload_bytes: u64,
    pub(super) token_lifetime: Duration,
    pub(super) profile_propagation: ProfilePropagation,
    pub(super) may_publish: bool,
    pub(super) appservices: Vec<appservice::Registration>,
}

impl Settings {
    pub(super) fn new(server_name: &str) -> Self {
        Self {
            server_name: server_name.to_owned(),
            seed: 0,
            epoch_ms: super::clock::DEFAULT_EPOCH_MS,
            base_url: None,
            registration: RegistrationPolicy::default(),
            shared_secret: None,
            default_room_version: RoomVersionId::V12,
            rate_limits: RateLimits::default(),
            max_upload_bytes: 20 * 1024 * 1024,
            token_lifetime: Duration::from_secs(300),
            profile_propagation: ProfilePropagation::default(),
            may_publish: false,
            appservices: Vec::new(),
        }
    }
}
