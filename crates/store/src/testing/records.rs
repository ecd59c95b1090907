//! Cases about records: every variant, alone.

use std::sync::Arc;

use super::samples::{LATER, full_binding, full_space, lease, picture, planned_binding, room, user};
use crate::{
    ArchiveReason, Avatar, Binding, History, Invitation, Lease, Lifecycle, RoomFacts, SpaceRecord, SyncStore,
};

async fn comes_back(store: &impl SyncStore, lease: &Lease, binding: Binding) {
    store.put_binding(&binding, lease).await.unwrap();
    assert_eq!(store.get_binding(&binding.agent_id).await.unwrap(), Some(binding));
}

/// Every lifecycle comes back.
pub async fn every_lifecycle_comes_back(store: Arc<impl SyncStore>) {
    let lease = lease(&*store).await;
    let archived = |reason| Lifecycle::Archived { since: LATER, reason };
    for lifecycle in [
        Lifecycle::Active,
        Lifecycle::Missing { since: LATER },
        archived(ArchiveReason::Deleted),
        archived(ArchiveReason::Hidden),
        archived(ArchiveReason::Excluded),
    ] {
        let binding = Binding {
            lifecycle,
            ..full_binding("agent-001")
        };
        comes_back(&*store, &lease, binding).await;
    }
}

/// Every state of the history comes back.
pub async fn every_history_comes_back(store: Arc<impl SyncStore>) {
    let lease = lease(&*store).await;
    for history in [
        History::None,
        History::Pending { after: None, left: 0 },
        History::Pending {
            after: Some("message-17".to_owned()),
            left: 3,
        },
        History::Done,
    ] {
        let mut binding = full_binding("agent-001");
        binding.room.history = history;
        comes_back(&*store, &lease, binding).await;
    }
}

/// Every state of an invitation comes back, of a room and of the space.
pub async fn every_invitation_comes_back(store: Arc<impl SyncStore>) {
    let lease = lease(&*store).await;
    for invitation in [
        Invitation::Invited,
        Invitation::Joined,
        Invitation::Left,
        Invitation::Failed,
    ] {
        let mut binding = planned_binding("agent-001");
        binding.invitations.insert(user("ann"), invitation);
        comes_back(&*store, &lease, binding).await;
        let mut space = full_space();
        space.invitations = [(user("ann"), invitation)].into();
        store.put_space(&space, &lease).await.unwrap();
        assert_eq!(store.get_space().await.unwrap(), Some(space));
    }
}

/// Each fact of a binding comes back where it is the only one: no two share a place.
pub async fn each_fact_of_a_binding_comes_back_alone(store: Arc<impl SyncStore>) {
    let lease = lease(&*store).await;
    let bare = planned_binding("agent-001");
    let bindings = [
        Binding {
            agent_name: String::new(),
            ..bare.clone()
        },
        Binding {
            user_registered: true,
            ..bare.clone()
        },
        Binding {
            display_name: Some("name".to_owned()),
            ..bare.clone()
        },
        Binding {
            room_id: Some(room("mine")),
            ..bare.clone()
        },
        Binding {
            last_error: Some(String::new()),
            ..bare.clone()
        },
        Binding {
            created_at: LATER,
            ..bare.clone()
        },
        Binding {
            updated_at: LATER,
            ..bare.clone()
        },
    ];
    for binding in bindings {
        comes_back(&*store, &lease, binding).await;
    }
    let nothing = Avatar::default();
    let avatars = [
        Avatar {
            source: Some("source".to_owned()),
            ..nothing.clone()
        },
        Avatar {
            url: Some(picture("it")),
            ..nothing.clone()
        },
        Avatar {
            on_user: Some(picture("it")),
            ..nothing
        },
    ];
    for avatar in avatars {
        comes_back(
            &*store,
            &lease,
            Binding {
                avatar,
                ..bare.clone()
            },
        )
        .await;
    }
    let nothing = RoomFacts::default();
    let rooms = [
        RoomFacts {
            verified: true,
            ..nothing.clone()
        },
        RoomFacts {
            joined: true,
            ..nothing.clone()
        },
        RoomFacts {
            marked: true,
            ..nothing.clone()
        },
        RoomFacts {
            alias_set: true,
            ..nothing.clone()
        },
        RoomFacts {
            name: Some("text".to_owned()),
            ..nothing.clone()
        },
        RoomFacts {
            topic: Some("text".to_owned()),
            ..nothing.clone()
        },
        RoomFacts {
            avatar_url: Some(picture("it")),
            ..nothing.clone()
        },
        RoomFacts {
            parent_id: Some(room("it")),
            ..nothing.clone()
        },
        RoomFacts {
            space_id: Some(room("it")),
            ..nothing.clone()
        },
        RoomFacts {
            space_order: Some("text".to_owned()),
            ..nothing
        },
    ];
    for room in rooms {
        comes_back(&*store, &lease, Binding { room, ..bare.clone() }).await;
    }
}

/// Each fact of the space comes back where it is the only one.
pub async fn each_fact_of_the_space_comes_back_alone(store: Arc<impl SyncStore>) {
    let lease = lease(&*store).await;
    let bare = SpaceRecord::found(room("space"), LATER);
    let spaces = [
        bare.clone(),
        SpaceRecord {
            verified: true,
            ..bare.clone()
        },
        SpaceRecord {
            name: Some("text".to_owned()),
            ..bare.clone()
        },
        SpaceRecord {
            topic: Some("text".to_owned()),
            ..bare.clone()
        },
        SpaceRecord {
            alias_set: true,
            ..bare.clone()
        },
        SpaceRecord {
            marked: true,
            ..bare.clone()
        },
        SpaceRecord {
            bot_name: Some("text".to_owned()),
            ..bare
        },
    ];
    for space in spaces {
        store.put_space(&space, &lease).await.unwrap();
        assert_eq!(store.get_space().await.unwrap(), Some(space));
    }
}
