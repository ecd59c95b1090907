//! The model of the server: all it knows, and what does not fit elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    accounts::Accounts,
    appservice::Appservice,
    clock::Clock,
    ephemeral::ToDevice,
    ids::Ids,
    limits::Limits,
    media::StoredMedia,
    push::Queues,
    refusal::{Answer, Object, Refusal},
    rooms::{Room, StoredAlias},
    settings::Settings,
    transactions::Transactions,
};

/// A homeserver's state and rules, in the terms of the client-server API.
///
/// Operations are synchronous and atomic; each takes who asks as a [`Requester`](super::Requester) and answers
/// the JSON that Synapse would, or a [`Refusal`]. [`FakeMatrix::run`](super::FakeMatrix::run) lends it out.
pub struct Homeserver {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) ids: Ids,
    /// Grows with every change that anyone could notice; sync tokens are made of it.
    pub(super) position: u64,
    pub(super) accounts: Accounts,
    pub(super) appservices: Vec<Appservice>,
    pub(super) rooms: BTreeMap<String, Room>,
    pub(super) aliases: BTreeMap<String, StoredAlias>,
    /// Rooms that nobody of this server may join, be they there or not.
    pub(super) blocked_rooms: BTreeSet<String>,
    pub(super) media: BTreeMap<String, StoredMedia>,
    pub(super) limits: Limits,
    pub(super) transactions: Transactions,
    pub(super) queues: Queues,
    pub(super) to_device: Vec<ToDevice>,
    /// Profiles whose membership events are still to follow, with the time at which they do.
    pub(super) profile_changes: Vec<(u64, String)>,
}

impl std::fmt::Debug for Homeserver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Homeserver")
            .field("server_name", &self.settings.server_name)
            .field("position", &self.position)
            .field("users", &self.accounts.users.len())
            .field("rooms", &self.rooms.len())
            .finish_non_exhaustive()
    }
}

impl Homeserver {
    pub(super) fn new(settings: Settings) -> Self {
        let appservices = settings
            .appservices
            .iter()
            .map(|registration| Appservice::new(registration, &settings.server_name))
            .collect();
        Self {
            clock: Clock::new(settings.epoch_ms),
            ids: Ids::new(settings.seed),
            position: 1,
            accounts: Accounts::default(),
            appservices,
            rooms: BTreeMap::new(),
            aliases: BTreeMap::new(),
            blocked_rooms: BTreeSet::new(),
            media: BTreeMap::new(),
            limits: Limits::default(),
            transactions: Transactions::default(),
            queues: Queues::default(),
            to_device: Vec::new(),
            profile_changes: Vec::new(),
            settings,
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Takes the next position of the stream.
    pub(super) fn touch(&mut self) -> u64 {
        self.position += 1;
        self.position
    }

    /// Forgets what Synapse holds in memory alone.
    pub(super) fn restart(&mut self) {
        self.accounts.nonces.clear();
        self.accounts.sessions.clear();
        self.limits = Limits::default();
        self.transactions.forget_memory();
        for room in self.rooms.values_mut() {
            room.typing.clear();
        }
        self.touch();
    }

    /// The name of the server.
    pub fn server_name(&self) -> &str {
        &self.settings.server_name
    }

    /// What `.well-known/matrix/client` says.
    pub fn well_known(&self) -> Answer<Value> {
        let base_url = self.settings.base_url.as_ref();
        base_url
            .map(|url| json!({ "m.homeserver": { "base_url": url } }))
            .ok_or_else(|| Refusal::not_found("No .well-known is configured"))
    }

    /// `GET /versions`
    pub fn versions(&self) -> Value {
        let old = (1..=6)
            .map(|minor| format!("r0.{minor}.0"))
            .chain(["r0.6.1".to_owned()]);
        let new = (1..=15).map(|minor| format!("v1.{minor}"));
        let versions: Vec<String> = ["r0.0.1".to_owned()].into_iter().chain(old).chain(new).collect();
        json!({
            "versions": versions,
            "unstable_features": {
                "fi.mau.msc2659.stable": true,
                "org.matrix.e2e_cross_signing": true,
                "org.matrix.msc2285.stable": true,
                "org.matrix.msc2432": true,
                "org.matrix.msc3440.stable": true,
                "org.matrix.msc3771": true,
                "org.matrix.msc3881": false,
                "org.matrix.msc3916.stable": true,
                "org.matrix.simplified_msc3575": false,
            },
        })
    }

    /// `GET /capabilities`
    pub fn capabilities(&self) -> Value {
        let available: Object = (1..=12)
            .map(|version| (version.to_string(), json!("stable")))
            .collect();
        json!({ "capabilities": {
            "m.room_versions": {
                "default": self.settings.default_room_version.as_str(),
                "available": available,
            },
            "m.change_password": { "enabled": true },
            "m.set_displayname": { "enabled": true },
            "m.set_avatar_url": { "enabled": true },
            "m.3pid_changes": { "enabled": true },
            "m.get_login_token": { "enabled": false },
            "m.profile_fields": { "enabled": true },
        } })
    }
}
