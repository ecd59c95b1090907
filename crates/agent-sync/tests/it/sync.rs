//! Whole runs on the fakes.

use std::time::Duration;

use agent_sync::{RunOptions, Step};
use letta_client::{AgentId, AgentUpdate, LettaApi};
use matrix_client::{MatrixApi, MatrixErrorKind, NewRoom, StateEventType, fake::Fault};
use ruma::{OwnedRoomId, RoomVersionId};
use serde_json::json;
use store::Invitation;

use crate::{support::user, world::World};

/// What the space takes at first: looking for it, making it, and naming the bridge's own user.
pub const SPACE: usize = 3;

#[tokio::test]
async fn everybody_comes_home_at_four_requests_an_agent() {
    let world = World::new();
    let report = world.sync_well().await;
    assert_eq!(
        (report.agents, report.users_created, report.rooms_created),
        (3, 3, 3)
    );
    assert_eq!(
        (report.space_created, report.adopted, report.renamed),
        (true, 0, 0)
    );
    assert_eq!(
        report.requests.matrix,
        (4 * 3 + SPACE) as u64,
        "four for each agent and what the space takes"
    );
    assert_eq!(report.requests.letta, 1);
    world.assert_home().await;
}

#[tokio::test]
async fn a_second_run_asks_the_homeserver_nothing_and_writes_nothing() {
    let world = World::new();
    world.sync_well().await;
    let writes = world.store.writes();
    let report = world.sync_well().await;
    assert_eq!(
        (report.requests.matrix, report.requests.letta, report.unchanged),
        (0, 1, 3)
    );
    assert_eq!(world.store.writes(), writes);
}

#[tokio::test]
async fn several_agents_at_once_come_home_as_well() {
    let mut world = World::new();
    world.config.concurrency = 8;
    for n in 0..40 {
        world
            .letta
            .add_agent(format!("agent-more-{n}"), format!("Agent {n}"));
    }
    let report = world.sync_well().await;
    assert_eq!(
        (report.users_created, report.requests.matrix),
        (43, (4 * 43 + SPACE) as u64)
    );
    world.assert_home().await;
}

#[tokio::test]
async fn rooms_of_every_version_become_home() {
    for version in [RoomVersionId::V10, RoomVersionId::V11, RoomVersionId::V12] {
        let mut world = World::new();
        world.config.room_version = Some(version.clone());
        world.sync_well().await;
        world.assert_home().await;
        assert!(
            world
                .matrix
                .rooms()
                .iter()
                .all(|room| room.version == version.as_str())
        );
    }
}

#[tokio::test]
async fn a_renamed_agent_keeps_user_and_room_under_the_new_name() {
    let world = World::new();
    world.sync_well().await;
    let before = world.binding("agent-001").await;
    world
        .letta
        .update_agent(&AgentId::new("agent-001"), &AgentUpdate::rename("Agent Omega"))
        .await
        .unwrap();
    let report = world.sync_well().await;
    assert_eq!(
        (report.renamed, report.requests.matrix, report.users_created),
        (1, 3, 0),
        "display name, room name and the place in the space"
    );
    let after = world.binding("agent-001").await;
    assert_eq!((after.user_id, after.room_id), (before.user_id, before.room_id));
    world.assert_home().await;
}

#[tokio::test]
async fn a_rename_that_failed_halfway_is_finished_by_the_next_run() {
    let world = World::new();
    world.sync_well().await;
    world
        .letta
        .update_agent(&AgentId::new("agent-001"), &AgentUpdate::rename("Agent Omega"))
        .await
        .unwrap();
    world
        .matrix
        .plan(Fault::on("set_state_event").fail(MatrixErrorKind::Server));
    let report = world.sync().await;
    assert_eq!((report.failed.len(), report.failed[0].step), (1, Step::RoomName));
    assert!(world.binding("agent-001").await.last_error.is_some());
    let report = world.sync_well().await;
    assert_eq!(
        report.requests.matrix, 2,
        "only the room's name and place were left"
    );
    world.assert_home().await;
}

#[tokio::test]
async fn names_that_are_hard_to_show_still_come_home() {
    let world = World::new();
    for (n, name) in ["", "   ", "\u{7}\n", "🦀 / : @", "سارة", &"x".repeat(5_000)]
        .into_iter()
        .enumerate()
    {
        world.letta.add_agent(format!("agent-hard-{n}"), name);
    }
    world.sync_well().await;
    world.assert_home().await;
    assert_eq!(
        world.binding("agent-hard-0").await.display_name.as_deref(),
        Some("agent-hard-0")
    );
}

#[tokio::test]
async fn two_agents_of_one_name_are_two_users() {
    let world = World::new();
    world.letta.add_agent("agent-twin", "Agent Alpha");
    world.sync_well().await;
    world.assert_home().await;
}

#[tokio::test]
async fn without_its_database_it_finds_everything_again() {
    let mut world = World::new();
    world.sync_well().await;
    world.store = std::sync::Arc::default();
    let report = world.sync_well().await;
    assert_eq!(
        (report.users_created, report.rooms_created, report.space_created),
        (0, 0, false)
    );
    assert_eq!(report.adopted, 3 + 1);
    world.assert_home().await;
    assert_eq!(
        world.binding("agent-001").await.invitations[&user("admin")],
        Invitation::Invited
    );
    assert_eq!(world.sync_well().await.requests.matrix, 0);
}

#[tokio::test]
async fn what_a_found_room_lacks_is_added() {
    let mut world = World::new();
    world.sync_well().await;
    let room = world.binding("agent-001").await.room_id.unwrap();
    let ghost = world.appservice.act_as(&user("agent_001"));
    world
        .matrix
        .set_state_event(
            &ghost,
            &room,
            &StateEventType::RoomName,
            "",
            &json!({ "name": "Something else" }),
        )
        .await
        .unwrap();
    let space = world.matrix.spaces()[0].room_id.clone();
    world
        .matrix
        .set_state_event(
            &ghost,
            &room,
            &StateEventType::SpaceParent,
            space.as_str(),
            &json!({}),
        )
        .await
        .unwrap();
    world.store = std::sync::Arc::default();
    world.sync_well().await;
    world.assert_home().await;
}

#[tokio::test]
async fn a_half_made_room_without_marker_is_completed() {
    let world = World::new();
    let ghost = world.appservice.act_as(&user("agent_001"));
    let token = world.appservice.token.clone();
    world
        .matrix
        .register(&matrix_client::Registration::appservice("agent_001", token))
        .await
        .unwrap();
    world
        .matrix
        .create_room(&ghost, &NewRoom::room().alias_localpart("agent_001"))
        .await
        .unwrap();
    let report = world.sync_well().await;
    assert_eq!((report.adopted, report.rooms_created), (1, 2));
    world.assert_home().await;
}

#[tokio::test]
async fn an_alias_that_leads_to_a_room_we_left_is_taken_back() {
    let world = World::new();
    let ghost = world.appservice.act_as(&user("agent_001"));
    let token = world.appservice.token.clone();
    world
        .matrix
        .register(&matrix_client::Registration::appservice("agent_001", token))
        .await
        .unwrap();
    let dead = world
        .matrix
        .create_room(&ghost, &NewRoom::room().alias_localpart("agent_001"))
        .await
        .unwrap();
    world.matrix.leave_room(&ghost, &dead, None).await.unwrap();
    let report = world.sync_well().await;
    assert_eq!((report.adopted, report.rooms_created), (0, 3));
    assert_ne!(world.binding("agent-001").await.room_id, Some(dead));
}

/// A room under the first agent's alias in which its user is not, as it is while a homeserver makes it.
async fn shut_out(world: &World) -> OwnedRoomId {
    let other = world
        .matrix
        .add_appservice_user("letta-bridge", "agent_of_another_time");
    world
        .matrix
        .create_room(
            &world.ghost(&other),
            &NewRoom::room().alias_localpart("agent_001"),
        )
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_room_in_the_making_is_waited_for() {
    let world = World::new();
    let room = shut_out(&world).await;
    let reconciler = world.reconciler();
    let run = tokio::spawn(async move { reconciler.run(RunOptions::default()).await.unwrap() });
    tokio::time::sleep(Duration::from_secs(5)).await;
    // Now the homeserver comes to the rest of it.
    let (maker, ghost) = (world.ghost(&user("agent_of_another_time")), user("agent_001"));
    let marker = json!({ "agent_id": "agent-001" });
    let marker_type = StateEventType::from(agent_sync::AGENT_MARKER);
    world
        .matrix
        .set_state_event(&maker, &room, &marker_type, "", &marker)
        .await
        .unwrap();
    world
        .matrix
        .invite_user(&maker, &room, &ghost, None)
        .await
        .unwrap();
    let session = world.appservice.act_as(&ghost);
    world
        .matrix
        .join_room(&session, (&*room).into(), &[])
        .await
        .unwrap();
    let report = run.await.unwrap();
    assert_eq!((report.adopted, report.rooms_created), (1, 2), "{report:#?}");
    assert_eq!(world.binding("agent-001").await.room_id, Some(room));
}

#[tokio::test(start_paused = true)]
async fn an_alias_that_leads_nowhere_is_taken_back_after_a_while() {
    let world = World::new();
    let dead = shut_out(&world).await;
    let report = world.sync_well().await;
    assert_eq!((report.adopted, report.rooms_created), (0, 3));
    assert_ne!(world.binding("agent-001").await.room_id, Some(dead));
}

#[tokio::test]
async fn a_room_of_another_agent_is_never_taken_over() {
    let mut world = World::new();
    world.sync_well().await;
    let room = world.binding("agent-001").await.room_id.unwrap();
    let ghost = world.appservice.act_as(&user("agent_001"));
    let marker = json!({ "agent_id": "agent-of-somebody-else" });
    world
        .matrix
        .set_state_event(
            &ghost,
            &room,
            &StateEventType::from(agent_sync::AGENT_MARKER),
            "",
            &marker,
        )
        .await
        .unwrap();
    world.store = std::sync::Arc::default();
    let report = world.sync().await;
    assert_eq!((report.failed.len(), report.failed[0].step), (1, Step::Room));
    let error = &report.failed[0].error;
    assert!(
        error.contains("#agent_001:matrix.test") && error.contains("agent-of-somebody-else"),
        "{error}"
    );
    assert_eq!(world.binding("agent-001").await.room_id, None);
}

#[tokio::test]
async fn a_space_that_is_not_ours_stops_the_run_with_a_reason() {
    let world = World::new();
    let bot = world.appservice.sender_session();
    world
        .matrix
        .create_room(&bot, &NewRoom::room().alias_localpart("letta-agents"))
        .await
        .unwrap();
    let error = world.try_sync().await.unwrap_err();
    assert!(error.to_string().contains("#letta-agents:matrix.test"), "{error}");
    assert!(error.to_string().contains("not a space"), "{error}");
}

#[tokio::test]
async fn an_agent_that_disappears_keeps_its_room_and_is_reported() {
    let world = World::new();
    world.sync_well().await;
    world
        .letta
        .delete_agent(&AgentId::new("agent-002"))
        .await
        .unwrap();
    let report = world.sync_well().await;
    assert_eq!(report.missing, [AgentId::new("agent-002")]);
    assert_eq!((report.requests.matrix, report.archived), (0, 0));
    assert_eq!(world.matrix.rooms().len(), 3 + 1);
}

#[tokio::test]
async fn a_person_who_cannot_be_invited_fails_alone_and_is_invited_later() {
    let mut world = World::new();
    world.sync_well().await;
    world.config.invite.push(user("friend"));
    world.config.invite.push(user("banned"));
    for agent in world.agents().await {
        let ghost = world.appservice.act_as(&world.config.user_id(&agent.id).unwrap());
        let room = world.binding(agent.id.as_str()).await.room_id.unwrap();
        world
            .matrix
            .ban_user(&ghost, &room, &user("banned"), None)
            .await
            .unwrap();
    }
    let report = world.sync().await;
    assert_eq!(report.failed.len(), 3);
    assert!(report.failed.iter().all(|failed| failed.step == Step::Invite));
    let binding = world.binding("agent-001").await;
    assert_eq!(binding.invitations[&user("friend")], Invitation::Invited);
    assert_eq!(binding.invitations[&user("banned")], Invitation::Failed);
    for agent in world.agents().await {
        let ghost = world.appservice.act_as(&world.config.user_id(&agent.id).unwrap());
        let room = world.binding(agent.id.as_str()).await.room_id.unwrap();
        world
            .matrix
            .unban_user(&ghost, &room, &user("banned"), None)
            .await
            .unwrap();
    }
    world.sync_well().await;
    assert_eq!(
        world.binding("agent-001").await.invitations[&user("banned")],
        Invitation::Invited
    );
}

#[tokio::test]
async fn a_person_who_is_in_the_room_already_counts_as_joined() {
    let mut world = World::new();
    world.sync_well().await;
    let room = world.binding("agent-001").await.room_id.unwrap();
    let ghost = world.appservice.act_as(&user("agent_001"));
    let friend = world.matrix.add_user("friend");
    world
        .matrix
        .invite_user(&ghost, &room, &user("friend"), None)
        .await
        .unwrap();
    world
        .matrix
        .join_room(&friend, (&*room).into(), &[])
        .await
        .unwrap();
    world.config.invite.push(user("friend"));
    world.sync_well().await;
    assert_eq!(
        world.binding("agent-001").await.invitations[&user("friend")],
        Invitation::Joined
    );
    assert_eq!(
        world.binding("agent-002").await.invitations[&user("friend")],
        Invitation::Invited
    );
}

#[tokio::test]
async fn a_homeserver_that_is_down_is_asked_once() {
    let mut world = World::new();
    world.sync_well().await;
    for n in 0..20 {
        world.letta.add_agent(format!("agent-late-{n}"), "Late");
    }
    world.config.concurrency = 1;
    world.matrix.down();
    let report = world.sync().await;
    assert_eq!((report.failed.len(), report.requests.matrix), (20, 1));
    assert_eq!(
        report
            .failed
            .iter()
            .filter(|failed| failed.step == Step::NotTried)
            .count(),
        19
    );
    world.matrix.up();
    world.sync_well().await;
    world.assert_home().await;
}

#[tokio::test]
async fn hidden_agents_stay_hidden() {
    let world = World::new();
    world
        .letta
        .add(letta_client::fake::AgentSeed::new("agent-hidden", "Hidden").hidden());
    let report = world.sync_well().await;
    assert_eq!(report.agents, 3);
    world.assert_home().await;
}

#[tokio::test]
async fn a_dry_run_asks_the_homeserver_nothing_and_writes_nothing() {
    let world = World::new();
    let plan = world.reconciler().plan(RunOptions::default()).await.unwrap();
    assert_eq!((plan.agents.len(), plan.unchanged), (3, 0));
    assert_eq!((world.matrix.call_count(), world.store.writes()), (0, 0));
}
