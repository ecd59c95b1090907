//! Records to write.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use letta_client::AgentId;
use ruma::{OwnedMxcUri, OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, UserId};

use crate::{
    ArchiveReason, Avatar, Binding, History, Invitation, Lease, LeaseStore, Lifecycle, ListingMark,
    RoomFacts, SpaceRecord, SyncProgress,
};

/// Noon of a day in 2026.
pub(super) const NOON: Timestamp = Timestamp::constant(1_767_268_800, 0);

/// A time that only nanoseconds can tell.
pub(super) const LATER: Timestamp = Timestamp::constant(1_767_272_400, 123_456_789);

pub(super) fn user(localpart: &str) -> OwnedUserId {
    UserId::parse(format!("@{localpart}:matrix.test")).expect("a valid user id")
}

fn alias(localpart: &str) -> OwnedRoomAliasId {
    RoomAliasId::parse(format!("#{localpart}:matrix.test")).expect("a valid alias")
}

pub(super) fn room(localpart: &str) -> OwnedRoomId {
    RoomId::parse(format!("!{localpart}")).expect("a valid room id")
}

pub(super) fn picture(id: &str) -> OwnedMxcUri {
    format!("mxc://matrix.test/{id}").into()
}

fn invitations() -> BTreeMap<OwnedUserId, Invitation> {
    BTreeMap::from([
        (user("a"), Invitation::Invited),
        (user("b"), Invitation::Joined),
        (user("c"), Invitation::Left),
        (user("d"), Invitation::Failed),
    ])
}

/// A binding in which every field holds something that must come back unchanged.
#[must_use]
pub fn full_binding(agent: &str) -> Binding {
    Binding {
        agent_name: "Ünïcode 🦀 \"quoted\"\nname".to_owned(),
        lifecycle: Lifecycle::Archived {
            since: LATER,
            reason: ArchiveReason::Hidden,
        },
        user_registered: true,
        display_name: Some("Ünïcode 🦀".to_owned()),
        avatar: Avatar {
            source: Some("sha256:abc".to_owned()),
            url: Some(picture("uploaded")),
            on_user: Some(picture("on-user")),
        },
        room_id: Some(room(&format!("room-of-{agent}"))),
        room: RoomFacts {
            verified: true,
            joined: true,
            marked: true,
            alias_set: true,
            name: Some(String::new()),
            topic: Some("it's a \"topic\"\n\\ with 'quotes'".to_owned()),
            avatar_url: Some(picture("in-room")),
            parent_id: Some(room("parent:matrix.test")),
            space_id: Some(room("space:matrix.test")),
            space_order: Some("00042".to_owned()),
            history: History::Pending {
                after: Some("message-17".to_owned()),
                left: u32::MAX,
            },
        },
        invitations: invitations(),
        last_error: Some("something failed".to_owned()),
        updated_at: LATER,
        ..planned_binding(agent)
    }
}

/// A binding as it is before its first effect.
#[must_use]
pub fn planned_binding(agent: &str) -> Binding {
    let name = agent.to_lowercase().replace('-', "_");
    Binding::planned(
        AgentId::new(agent),
        format!("The agent {agent}"),
        user(&name),
        alias(&name),
        NOON,
    )
}

/// A space in which every field holds something that must come back unchanged.
#[must_use]
pub fn full_space() -> SpaceRecord {
    SpaceRecord {
        room_id: room("space:matrix.test"),
        verified: true,
        name: Some("Ünïcode 🦀".to_owned()),
        topic: Some(String::new()),
        alias_set: true,
        marked: true,
        bot_name: Some("The bridge".to_owned()),
        invitations: invitations(),
        created_at: LATER,
    }
}

/// Progress in which every field holds something that must come back unchanged.
#[must_use]
pub fn full_progress() -> SyncProgress {
    SyncProgress {
        listing: Some(ListingMark {
            updated_at: LATER,
            settled: true,
            count: 10_000,
            listed_at: NOON,
            config: "fingerprint".to_owned(),
        }),
        checked_at: Some(LATER),
    }
}

/// A lease under which a test can write. It is for a name of its own, so that what is tested gets its own lease.
///
/// # Panics
/// When somebody else holds it, or the store fails.
pub async fn lease<S: LeaseStore + ?Sized>(store: &S) -> Lease {
    grant(store, "a test", "a test").await
}

/// Grants the lease of this name at noon for an hour.
pub(super) async fn grant<S: LeaseStore + ?Sized>(store: &S, name: &str, holder: &str) -> Lease {
    store
        .acquire_lease(name, holder, NOON, HOUR)
        .await
        .unwrap()
        .expect("nobody else holds the lease")
}

pub(super) const HOUR: Duration = Duration::from_secs(3600);
