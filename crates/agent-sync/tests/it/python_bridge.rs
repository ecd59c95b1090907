//! The six ways in which the earlier bridge, written in Python, failed on a current Synapse.

use std::sync::Arc;

use agent_sync::Step;
use letta_client::{AgentId, AgentUpdate, LettaApi};
use matrix_client::{MatrixErrorKind, fake::Fault};
use store::{BindingStore, Invitation};

use crate::{support::user, world::World};

/// It asked by a login whether a user exists. Synapse refuses an unknown user as it refuses a wrong password, so nobody
/// was ever made.
#[tokio::test]
async fn unknown_users_are_not_taken_for_existing_ones() {
    let world = World::new();
    world.sync_well().await;
    for probe in ["login", "is_username_available", "get_user", "get_profile"] {
        assert_eq!(world.matrix.count(probe), 0, "{probe}");
    }
    for agent in world.agents().await {
        let made = world
            .matrix
            .user(&world.config.user_id(&agent.id).unwrap())
            .unwrap();
        assert_eq!(made.appservice_id.as_deref(), Some("letta-bridge"));
        assert_eq!(made.devices, [""; 0], "nobody ever logs in");
    }
    world.assert_home().await;
}

/// The one who makes a room was among those it invites, and Synapse refuses to make such a room.
#[tokio::test]
async fn whoever_makes_a_room_is_not_invited_to_it() {
    let mut world = World::new();
    let bot = world.appservice.sender.clone();
    world.config.invite = vec![user("admin"), bot.clone(), user("agent_001"), user("admin")];
    world.sync_well().await;
    let space = &world.matrix.spaces()[0];
    assert_eq!(space.invited(), [&*user("admin"), &*user("agent_001")]);
    assert_eq!(space.joined(), [&*bot]);
    let own = world.matrix.room(&world.room_of("agent-001").await).unwrap();
    assert_eq!(
        (own.invited(), own.joined()),
        (vec![&*user("admin")], vec![&*user("agent_001")])
    );
    let other = world.matrix.room(&world.room_of("agent-002").await).unwrap();
    assert_eq!(other.invited(), [&*user("admin"), &*user("agent_001")]);
}

/// Names were written down before the homeserver took them, so that a refused one was never tried again.
#[tokio::test]
async fn a_name_that_was_refused_is_tried_again() {
    let mut world = World::new();
    world.sync_well().await;
    world.config.invite = vec![user("new_admin")];
    let (id, update) = (AgentId::new("agent-001"), AgentUpdate::rename("Agent Omega"));
    world.letta.update_agent(&id, &update).await.unwrap();
    world
        .matrix
        .plan(Fault::on("set_state_event").fail(MatrixErrorKind::Forbidden));
    let report = world.sync().await;
    assert_eq!((report.failed.len(), report.failed[0].step), (1, Step::RoomName));
    let binding = world.binding("agent-001").await;
    assert_eq!(binding.display_name.as_deref(), Some("Agent Omega"));
    assert_eq!(
        binding.room.name.as_deref(),
        Some("Agent Alpha"),
        "only what was confirmed"
    );
    world.sync_well().await;
    world.assert_home().await;
}

/// An invitation that failed stayed so for ever, because only joins were tried again.
#[tokio::test]
async fn an_invitation_that_failed_is_sent_again() {
    let mut world = World::new();
    world.sync_well().await;
    world.config.invite.push(user("new_admin"));
    world
        .matrix
        .plan(Fault::on("invite_user").always().fail(MatrixErrorKind::Forbidden));
    let report = world.sync().await;
    assert_eq!(report.failed.len(), 3);
    for agent in world.agents().await {
        let binding = world.binding(agent.id.as_str()).await;
        assert_eq!(binding.invitations[&user("new_admin")], Invitation::Failed);
        assert_eq!(binding.invitations[&user("admin")], Invitation::Invited);
    }
    world.matrix.clear_faults();
    world.sync_well().await;
    for agent in world.agents().await {
        let binding = world.binding(agent.id.as_str()).await;
        assert_eq!(binding.invitations[&user("new_admin")], Invitation::Invited);
    }
    world.assert_home().await;
}

/// Without its file it had users whose passwords it did not know, no rooms, and a second space.
#[tokio::test]
async fn a_lost_database_makes_nothing_twice() {
    let mut world = World::new();
    world.sync_well().await;
    let (users, rooms, aliases) = (world.matrix.users(), world.matrix.rooms(), world.matrix.aliases());
    world.store = Arc::default();
    let report = world.sync_well().await;
    assert_eq!(
        (report.users_created, report.rooms_created, report.space_created),
        (0, 0, false)
    );
    assert_eq!(world.matrix.users(), users);
    assert_eq!(world.matrix.rooms(), rooms);
    assert_eq!(world.matrix.aliases(), aliases);
    assert_eq!(world.matrix.count("login"), 0);
    world.assert_home().await;
}

/// It read "not allowed" as "exists". A homeserver says that of every room in which one is not.
#[tokio::test]
async fn a_space_that_does_not_exist_is_not_taken_for_existing() {
    let world = World::new();
    world.sync_well().await;
    let space = world.matrix.spaces()[0].room_id.clone();
    world.delete_room(&space).await;
    let report = world.check_well().await;
    assert!(report.space_created);
    assert_eq!((report.rooms_created, report.users_created), (0, 0));
    assert_ne!(world.store.get_space().await.unwrap().unwrap().room_id, space);
    world.assert_home().await;
}
