//! What happens to rooms, people and the configuration after the first sync.

use std::time::Duration;

use agent_sync::{ListingKind, RemovalMode, Rule, RunOptions, SPACE_MARKER, Step, SyncError};
use letta_client::{
    AgentId, AgentUpdate, ConversationRef, LettaApi, LettaApiExt, LettaErrorKind, TurnInput, TurnOptions,
};
use matrix_client::{MatrixApi, MatrixApiExt, NewRoom, StateEventType, fake::Fault};
use ruma::RoomVersionId;
use serde_json::json;
use store::{ArchiveReason, BindingStore, Invitation, Lifecycle};

use crate::{support::user, world::World};

const HOUR: Duration = Duration::from_secs(60 * 60);

async fn rename(world: &World, agent: &str, name: &str) {
    let update = AgentUpdate::rename(name);
    world
        .letta
        .update_agent(&AgentId::new(agent), &update)
        .await
        .unwrap();
}

async fn delete(world: &World, agent: &str) {
    world.letta.delete_agent(&AgentId::new(agent)).await.unwrap();
}

// ---- rooms ----

#[tokio::test]
async fn what_people_changed_is_mended_by_the_next_check_and_not_before() {
    let world = World::new();
    world.sync_well().await;
    let (ghost, room) = (
        world.ghost_of("agent-001").await,
        world.room_of("agent-001").await,
    );
    world
        .matrix
        .set_room_name(&ghost, &room, "By hand")
        .await
        .unwrap();
    assert_eq!(world.sync_well().await.requests.matrix, 0);
    world.clock.advance(5 * HOUR);
    assert_eq!(world.sync_well().await.requests.matrix, 0);
    world.clock.advance(HOUR);
    let report = world.sync_well().await;
    assert_eq!(report.repaired, 1);
    world.assert_home().await;
}

#[tokio::test]
async fn a_deleted_room_is_replaced_and_no_longer_listed() {
    let world = World::new();
    world.sync_well().await;
    let lost = world.room_of("agent-001").await;
    world.delete_room(&lost).await;
    let report = world.check_well().await;
    assert_eq!((report.rooms_created, report.users_created), (1, 0));
    assert!(!world.matrix.spaces()[0].children.contains(&lost));
    world.assert_home().await;
}

#[tokio::test]
async fn a_failure_that_shows_that_the_room_is_lost_is_looked_into_by_the_next_run() {
    let world = World::new();
    world.sync_well().await;
    world.delete_room(&world.room_of("agent-001").await).await;
    rename(&world, "agent-001", "Agent Omega").await;
    let report = world.sync().await;
    assert_eq!((report.failed.len(), report.failed[0].step), (1, Step::RoomName));
    let report = world.sync_well().await;
    assert_eq!(report.rooms_created, 1);
    world.assert_home().await;
}

#[tokio::test]
async fn an_alias_that_somebody_took_is_told_and_stops_nothing_else() {
    let world = World::new();
    world.sync_well().await;
    let alias = world.binding("agent-001").await.room_alias;
    let (ghost, room) = (
        world.ghost_of("agent-001").await,
        world.room_of("agent-001").await,
    );
    world.matrix.delete_alias(&ghost, &alias).await.unwrap();
    let thief = world.ghost_of("agent-002").await;
    let stolen = NewRoom::room().alias_localpart(alias.alias());
    world.matrix.create_room(&thief, &stolen).await.unwrap();
    world
        .matrix
        .set_room_name(&ghost, &room, "By hand")
        .await
        .unwrap();
    let options = RunOptions {
        check: true,
        ..RunOptions::default()
    };
    let report = world.reconciler().run(options).await.unwrap();
    assert_eq!((report.failed.len(), report.failed[0].step), (1, Step::Alias));
    assert!(
        report.failed[0].error.contains(alias.as_str()),
        "{}",
        report.failed[0].error
    );
    let view = world.matrix.room(&room).unwrap();
    assert_eq!(view.name.as_deref(), Some("Agent Alpha"), "the rest was mended");
    world.matrix.delete_alias(&thief, &alias).await.unwrap();
    world.sync_well().await;
    assert_eq!(world.matrix.alias(&alias), Some(room));
}

#[tokio::test]
async fn an_upgraded_room_is_followed_with_its_alias_and_place() {
    for version in [RoomVersionId::V11, RoomVersionId::V12] {
        let mut world = World::new();
        world.config.room_version = Some(version);
        world.sync_well().await;
        let (ghost, old) = (
            world.ghost_of("agent-001").await,
            world.room_of("agent-001").await,
        );
        let new = world.upgrade_room(&ghost, &old).await;
        // As a homeserver that leaves the alias where it was.
        let alias = world.binding("agent-001").await.room_alias;
        world.matrix.delete_alias(&ghost, &alias).await.unwrap();
        world.matrix.create_alias(&ghost, &alias, &old).await.unwrap();
        let report = world.check_well().await;
        assert_eq!(report.rooms_created, 0);
        assert_eq!(world.room_of("agent-001").await, new);
        assert_eq!(world.matrix.alias(&alias), Some(new.clone()));
        let space = &world.matrix.spaces()[0];
        assert!(space.children.contains(&new) && !space.children.contains(&old));
        let view = world.matrix.room(&new).unwrap();
        assert!(
            view.has_invited(&user("admin")),
            "an upgrade leaves people behind"
        );
        assert_eq!(world.sync_well().await.requests.matrix, 0);
    }
}

#[tokio::test]
async fn an_upgrade_to_where_the_agent_is_not_let_in_is_told() {
    let world = World::new();
    world.sync_well().await;
    let (ghost, old) = (
        world.ghost_of("agent-001").await,
        world.room_of("agent-001").await,
    );
    let new = world.upgrade_room(&ghost, &old).await;
    world
        .matrix
        .invite_user(&ghost, &new, &user("admin"), None)
        .await
        .unwrap();
    world
        .matrix
        .join_room(&world.admin, (&*new).into(), &[])
        .await
        .unwrap();
    world.matrix.leave_room(&ghost, &new, None).await.unwrap();
    let options = RunOptions {
        check: true,
        ..RunOptions::default()
    };
    let report = world.reconciler().run(options).await.unwrap();
    assert_eq!((report.failed.len(), report.failed[0].step), (1, Step::Inspect));
    let error = &report.failed[0].error;
    assert!(
        error.contains(new.as_str()) && error.contains("invite it there"),
        "{error}"
    );
    world
        .matrix
        .invite_user(&world.admin, &new, &ghost.user_id, None)
        .await
        .ok();
}

#[tokio::test]
async fn of_two_rooms_of_one_agent_the_one_with_the_alias_stays() {
    let world = World::new();
    world.sync_well().await;
    let (ghost, old) = (
        world.ghost_of("agent-001").await,
        world.room_of("agent-001").await,
    );
    let alias = world.binding("agent-001").await.room_alias;
    // As an instance with a state of its own leaves it.
    world.matrix.delete_alias(&ghost, &alias).await.unwrap();
    let marker = serde_json::json!({ "agent_id": "agent-001" });
    let twin = NewRoom::room().alias_localpart(alias.alias()).initial_state(
        agent_sync::AGENT_MARKER.into(),
        "",
        marker,
    );
    let twin = world.matrix.create_room(&ghost, &twin).await.unwrap();
    world.check_well().await;
    assert_eq!(world.room_of("agent-001").await, twin);
    assert!(!world.matrix.room(&old).unwrap().has_joined(&ghost.user_id));
    assert!(!world.matrix.spaces()[0].children.contains(&old));
    assert_eq!(world.check_well().await.repaired, 0);
    assert_eq!(world.sync_well().await.requests.matrix, 0);
}

// ---- people ----

#[tokio::test]
async fn of_several_spaces_of_ours_the_one_with_the_alias_is_found_again() {
    let mut world = World::new();
    world.sync_well().await;
    let space = world.store.get_space().await.unwrap().unwrap().room_id;
    for name in ["Before", "Between", "Behind", "Beyond"] {
        let marked =
            NewRoom::space()
                .name(name)
                .initial_state(StateEventType::from(SPACE_MARKER), "", json!({}));
        world.matrix.create_room(&world.bot(), &marked).await.unwrap();
    }
    world.store = std::sync::Arc::default();
    let report = world.sync_well().await;
    assert!(!report.space_created);
    assert_eq!(world.store.get_space().await.unwrap().unwrap().room_id, space);

    // Without an alias to go by, whoever looks finds the same one.
    world
        .matrix
        .delete_alias(&world.bot(), &world.config.space_alias().unwrap())
        .await
        .unwrap();
    let mut found = std::collections::BTreeSet::new();
    for _ in 0..2 {
        world.store = std::sync::Arc::default();
        world.sync_well().await;
        found.insert(world.store.get_space().await.unwrap().unwrap().room_id);
        world
            .matrix
            .delete_alias(&world.bot(), &world.config.space_alias().unwrap())
            .await
            .unwrap();
    }
    assert_eq!(found.len(), 1, "{found:?}");
}

#[tokio::test]
async fn whoever_left_or_was_kicked_is_not_asked_back() {
    let world = World::new();
    world.sync_well().await;
    for (agent, is_kicked) in [("agent-001", false), ("agent-002", true)] {
        let (ghost, room) = (world.ghost_of(agent).await, world.room_of(agent).await);
        world
            .matrix
            .join_room(&world.admin, (&*room).into(), &[])
            .await
            .unwrap();
        if is_kicked {
            world
                .matrix
                .kick_user(&ghost, &room, &user("admin"), None)
                .await
                .unwrap();
        } else {
            world.matrix.leave_room(&world.admin, &room, None).await.unwrap();
        }
    }
    for _ in 0..2 {
        world.check_well().await;
        for agent in ["agent-001", "agent-002"] {
            let binding = world.binding(agent).await;
            assert_eq!(binding.invitations[&user("admin")], Invitation::Left);
        }
    }
    assert_eq!(world.matrix.count("invite_user"), 0);
}

#[tokio::test]
async fn whoever_is_added_to_the_configuration_is_invited_everywhere() {
    let mut world = World::new();
    world.sync_well().await;
    world.config.invite.push(user("friend"));
    let report = world.sync_well().await;
    assert_eq!(
        report.requests.matrix,
        3 + 1,
        "one invitation for each room and the space"
    );
    world.assert_home().await;
    assert_eq!(world.sync_well().await.requests.matrix, 0);
}

// ---- who has a home ----

#[tokio::test]
async fn whoever_is_left_out_is_put_away_and_comes_back_to_the_same_room() {
    for mode in [RemovalMode::Archive, RemovalMode::Leave] {
        let mut world = World::of(4);
        world.config.removal.mode = mode;
        world.sync_well().await;
        let room = world.room_of("agent-2").await;
        world.config.select.exclude = vec![Rule::Name(wildmatch("agent 2"))];
        let report = world.sync_well().await;
        assert_eq!(report.archived, 1);
        let binding = world.binding("agent-2").await;
        let reason = ArchiveReason::Excluded;
        assert!(matches!(binding.lifecycle, Lifecycle::Archived { reason: found, .. } if found == reason));
        let view = world.matrix.room(&room).unwrap();
        assert_eq!(view.name.as_deref(), Some("Agent 2 (archived)"));
        assert!(!world.matrix.spaces()[0].children.contains(&room));
        assert_eq!(view.has_joined(&binding.user_id), mode == RemovalMode::Archive);
        assert_eq!(world.sync_well().await.requests.matrix, 0);
        world.config.select.exclude.clear();
        let report = world.sync_well().await;
        assert_eq!((report.restored, report.rooms_created), (1, 0));
        assert_eq!(world.room_of("agent-2").await, room);
        world.assert_home().await;
    }
}

fn wildmatch(pattern: &str) -> wildmatch::WildMatch {
    wildmatch::WildMatch::new(pattern)
}

#[tokio::test]
async fn nothing_is_put_away_before_the_four_proofs() {
    let world = World::of(8);
    world.sync_well().await;
    delete(&world, "agent-1").await;
    // Not listed, but not for long enough.
    world.sync_well().await;
    world.clock.advance(HOUR);
    assert_eq!(world.sync_well().await.archived, 0);
    world.clock.advance(HOUR);
    // A listing that fails proves nothing.
    world.letta.fail_next("list_agents", LettaErrorKind::Server);
    assert!(world.try_sync().await.is_err());
    // Nor does an answer about the agent that is not "there is none".
    world.letta.fail_next("get_agent", LettaErrorKind::Server);
    let report = world.sync().await;
    assert_eq!((report.archived, report.failed[0].step), (0, Step::Removal));
    let name = |world: &World, room| world.matrix.room(room).unwrap().name;
    let room = world.room_of("agent-1").await;
    assert_eq!(name(&world, &room).as_deref(), Some("Agent 1"));
    // All four.
    assert_eq!(world.sync_well().await.archived, 1);
    assert_eq!(name(&world, &room).as_deref(), Some("Agent 1 (archived)"));
    // It returns to the same room.
    world.letta.add_agent("agent-1", "Agent 1");
    assert_eq!(world.sync_well().await.restored, 1);
    assert_eq!(world.room_of("agent-1").await, room);
    world.assert_home().await;
}

#[tokio::test]
async fn many_that_are_gone_at_once_wait_for_somebody_to_confirm_it() {
    let world = World::of(8);
    world.sync_well().await;
    for n in 1..=3 {
        delete(&world, &format!("agent-{n}")).await;
    }
    world.sync_well().await;
    world.clock.advance(3 * HOUR);
    for _ in 0..2 {
        let report = world.sync_well().await;
        let withheld = report.withheld.unwrap();
        assert_eq!((withheld.agents.len(), withheld.limit, withheld.of), (3, 2, 8));
        assert_eq!((report.archived, report.requests.matrix), (0, 0));
    }
    let options = RunOptions {
        confirm_removals: true,
        ..RunOptions::default()
    };
    let report = world.reconciler().run(options).await.unwrap();
    assert_eq!((report.archived, report.withheld), (3, None));
}

// ---- what it costs with many agents ----

#[tokio::test]
async fn many_agents_are_listed_by_their_changes() {
    let world = World::of(0);
    for n in 0..520 {
        world.letta.add_agent(format!("agent-{n:03}"), "One of many");
    }
    let report = world.sync_well().await;
    assert_eq!(
        (report.listing, report.requests.letta),
        (ListingKind::Full, 3),
        "two pages and the count"
    );
    // What changed only just is asked for again, so that nothing is missed; the agents are as old as the fakes' clock.
    world.clock.advance(HOUR / 4);
    world.sync_well().await;
    let report = world.sync_well().await;
    assert_eq!(report.listing, ListingKind::Changes);
    assert_eq!((report.requests.matrix, report.unchanged), (0, 520));
    rename(&world, "agent-007", "Bond").await;
    let report = world.sync_well().await;
    assert_eq!((report.listing, report.renamed), (ListingKind::Changes, 1));
    world.letta.add_agent("agent-new", "New");
    let report = world.sync_well().await;
    assert_eq!((report.listing, report.rooms_created), (ListingKind::Changes, 1));
    // The count tells that somebody is gone, and only all of them tell who.
    delete(&world, "agent-100").await;
    let report = world.sync_well().await;
    assert_eq!(report.listing, ListingKind::Full);
    assert_eq!(report.missing, [AgentId::new("agent-100")]);
}

// ---- instances ----

#[tokio::test(start_paused = true)]
async fn of_two_instances_one_waits_or_is_told_who_is_at_it() {
    let world = World::new();
    let (fault, hold) = Fault::on("create_room").hold();
    world.matrix.plan(fault);
    let first = world.reconciler().with_holder("first");
    let first = tokio::spawn(async move { first.run(RunOptions::default()).await });
    hold.reached().await;
    let second = world.reconciler().with_holder("second");
    let error = second.run(RunOptions::default()).await.unwrap_err();
    assert!(
        matches!(&error, SyncError::Busy { holder } if holder == "first"),
        "{error}"
    );
    let patient = RunOptions {
        wait: Duration::from_secs(5),
        ..RunOptions::default()
    };
    let second = tokio::spawn(async move { second.run(patient).await });
    tokio::time::sleep(Duration::from_secs(2)).await;
    hold.release();
    assert!(first.await.unwrap().unwrap().is_success());
    assert_eq!(second.await.unwrap().unwrap().unchanged, 3);
    world.assert_home().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_was_taken_for_dead_writes_nothing_and_makes_nothing_any_more() {
    let world = World::new();
    let (fault, hold) = Fault::on("register").hold();
    world.matrix.plan(fault);
    let first = world.reconciler().with_holder("first");
    let first = tokio::spawn(async move { first.run(RunOptions::default()).await });
    hold.reached().await;
    world.clock.advance(Duration::from_secs(40));
    let second = world.reconciler().with_holder("second");
    assert!(second.run(RunOptions::default()).await.unwrap().is_success());
    let (writes, rooms) = (world.store.writes(), world.matrix.count("create_room"));
    hold.release();
    let error = first.await.unwrap().unwrap_err();
    assert!(matches!(error, SyncError::Superseded), "{error}");
    assert_eq!(
        (world.store.writes(), world.matrix.count("create_room")),
        (writes, rooms)
    );
    world.assert_home().await;
}

// ---- history ----

#[tokio::test(start_paused = true)]
async fn a_new_room_begins_with_what_was_said_last_and_a_found_one_does_not() {
    let mut world = World::of(1);
    world.config.history = 4;
    for text in ["one", "two", "three"] {
        let input = TurnInput::text(format!("otid-{text}"), text);
        let (to, options) = (ConversationRef::agent("agent-1"), TurnOptions::default());
        world.letta.send_and_wait(&to, &input, &options).await.unwrap();
    }
    world.sync_well().await;
    let room = world.room_of("agent-1").await;
    let said = || -> Vec<String> {
        let messages = world.matrix.messages(&room);
        assert!(messages.iter().all(|message| {
            message.content["msgtype"] == "m.notice"
                && message.content[agent_sync::HISTORY_MARKER]["message_id"].is_string()
        }));
        messages
            .iter()
            .map(|message| message.content["body"].as_str().unwrap().to_owned())
            .collect()
    };
    let expected = ["» two", "echo: two", "» three", "echo: three"];
    assert_eq!(said(), expected);
    let found = World {
        store: std::sync::Arc::default(),
        ..world
    };
    found.sync_well().await;
    assert_eq!(
        found.matrix.messages(&room).len(),
        4,
        "a found room has its past already"
    );
}
