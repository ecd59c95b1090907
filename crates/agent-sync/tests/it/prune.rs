//! Deleting for good what belonged to agents that are gone.

mod failures;

use std::time::Duration;

use agent_sync::{
    AGENT_MARKER, Administrator, KeepReason, Mapping, PruneOptions, PrunePlan, PruneReport, PruneStep,
    RemovalMode, RoomOutcome, Rule, RunOptions, SyncError,
};
use letta_client::{AgentId, AgentUpdate, LettaApi, LettaErrorKind};
use matrix_client::{
    LoginRequest, MatrixApi, NewRoom, RoomPreset, Session, StateEventType, fake::TEST_PASSWORD,
};
use ruma::{OwnedRoomId, RoomVersionId};
use serde_json::json;
use store::{ArchiveReason, BindingStore, LeaseStore};

use crate::{
    import::old_bridge::{OldBridge, parse},
    support::{NOON, user},
    world::World,
};

/// Longer than the grace period; twice as long is not yet the time for a look at every room.
const GRACE: Duration = Duration::from_secs(150 * 60);

/// The agent that is gone in most tests.
const GONE: &str = "agent-002";

fn gone() -> AgentId {
    AgentId::new(GONE)
}

/// Deletes the agent in Letta, and has its room put away.
async fn archive(world: &World, agent: &str) {
    world.letta.delete_agent(&agent.into()).await.unwrap();
    put_away(world).await;
}

async fn put_away(world: &World) {
    let confirmed = RunOptions {
        confirm_removals: true,
        ..RunOptions::default()
    };
    for _ in 0..2 {
        let report = world.reconciler().run(confirmed).await.unwrap();
        assert!(report.is_success(), "{report:#?}");
        world.clock.advance(GRACE);
    }
    world.matrix.clear_journal();
}

/// A world in which everybody is at home, @admin has joined, and one agent is gone.
async fn world_without_one() -> (World, OwnedRoomId) {
    let world = World::new();
    let room = settle_in(&world).await;
    archive(&world, GONE).await;
    (world, room)
}

/// Brings everybody home, and has @admin join the room of the agent that will be gone.
async fn settle_in(world: &World) -> OwnedRoomId {
    world.sync_well().await;
    let room = world.binding(GONE).await.room_id.unwrap();
    let admin = log_in(world, "admin").await;
    let joined = world.matrix.join_room(&admin, (&*room).into(), &[]).await;
    joined.unwrap();
    room
}

async fn log_in(world: &World, localpart: &str) -> Session {
    let login = LoginRequest::with_password(localpart, TEST_PASSWORD.into());
    world.matrix.login(&login).await.unwrap()
}

async fn plan(world: &World, options: &PruneOptions<'_>) -> PrunePlan {
    world.reconciler().plan_prune(options).await.unwrap()
}

async fn prune(world: &World, agents: &[&str], options: &PruneOptions<'_>) -> PruneReport {
    let agents: Vec<AgentId> = agents.iter().map(|agent| AgentId::new(*agent)).collect();
    world.reconciler().prune(&agents, options).await.unwrap()
}

async fn try_prune(world: &World) -> Result<PruneReport, SyncError> {
    let reconciler = world.reconciler();
    reconciler.prune(&[gone()], &PruneOptions::default()).await
}

async fn is_known(world: &World, agent: &str) -> bool {
    world.store.get_binding(&agent.into()).await.unwrap().is_some()
}

fn outcomes(report: &PruneReport) -> Vec<(&str, RoomOutcome)> {
    let pruned = report.pruned.iter();
    pruned
        .map(|pruned| (pruned.agent_id.as_str(), pruned.outcome))
        .collect()
}

/// Nothing of the agent is left but its user, and the others are at home.
async fn assert_gone_for_good(world: &World, room: &OwnedRoomId) {
    assert!(!is_known(world, GONE).await);
    assert!(world.matrix.user(&user("agent_002")).is_some(), "the user stays");
    let alias = world.config.room_alias(&gone()).unwrap();
    assert_eq!(world.matrix.alias(&alias), None);
    if let Some(view) = world.matrix.room(room) {
        assert_eq!(view.joined(), [""; 0], "nobody is in the room");
        assert_eq!(view.invited(), [""; 0]);
    }
    for space in world.matrix.spaces() {
        assert!(!space.children.contains(room), "{space:?}");
    }
    world.matrix.assert_invariants();
    let report = world.sync_well().await;
    assert_eq!(
        (report.agents, report.unchanged, report.requests.matrix),
        (2, 2, 0),
        "the others are at home"
    );
}

#[tokio::test]
async fn a_plan_tells_whose_room_would_go_and_touches_nothing() {
    let (world, room) = world_without_one().await;
    let writes = world.store.writes();
    let plan = plan(&world, &PruneOptions::default()).await;
    let [prunable] = plan.prunable.as_slice() else {
        panic!("{plan:?}");
    };
    assert_eq!(
        (prunable.agent_id.as_str(), prunable.agent_name.as_str()),
        (GONE, "Agent Beta")
    );
    assert_eq!(prunable.user_id, user("agent_002"));
    assert_eq!(prunable.room_id.as_ref(), Some(&room));
    assert_eq!(
        (prunable.reason, prunable.people),
        (ArchiveReason::Deleted, Some(1))
    );
    assert_eq!(prunable.since, NOON + GRACE);
    assert_eq!(world.store.writes(), writes);
    let calls = world.matrix.calls();
    assert!(
        calls.iter().all(|call| call.method.starts_with("get_")),
        "{calls:?}"
    );
}

#[tokio::test]
async fn without_an_administrator_everybody_is_asked_out() {
    let (world, room) = world_without_one().await;
    let report = prune(&world, &[GONE], &PruneOptions::default()).await;
    assert_eq!(outcomes(&report), [(GONE, RoomOutcome::Left)]);
    assert!(report.pruned[0].remaining.is_empty() && report.failed.is_empty());
    assert!(report.requests.matrix > 0 && report.requests.letta == 2);
    assert_gone_for_good(&world, &room).await;
    let again = prune(&world, &[GONE], &PruneOptions::default()).await;
    assert!(again.pruned.is_empty() && again.failed.is_empty(), "{again:?}");
}

#[tokio::test]
async fn an_administrator_has_the_room_deleted() {
    let (world, room) = world_without_one().await;
    let session = world.matrix.add_admin("operator");
    let administrator = Some(Administrator {
        api: &world.matrix,
        session: &session,
    });
    let options = PruneOptions {
        administrator,
        ..PruneOptions::default()
    };
    let report = prune(&world, &[GONE], &options).await;
    assert_eq!(outcomes(&report), [(GONE, RoomOutcome::Deleted)]);
    assert_eq!(world.matrix.room(&room), None);
    assert_eq!(world.matrix.count("kick_user"), 0);
    assert_gone_for_good(&world, &room).await;
}

#[tokio::test]
async fn who_is_no_administrator_begins_nothing() {
    let (world, room) = world_without_one().await;
    let session = world.matrix.add_user("somebody");
    let administrator = Some(Administrator {
        api: &world.matrix,
        session: &session,
    });
    let options = PruneOptions {
        administrator,
        ..PruneOptions::default()
    };
    let before = world.matrix.room(&room);
    let outcome = world.reconciler().prune(&[gone()], &options).await;
    assert!(matches!(outcome, Err(SyncError::Homeserver(_))), "{outcome:?}");
    assert_eq!(world.matrix.room(&room), before);
    assert!(is_known(&world, GONE).await);
}

#[tokio::test]
async fn a_pruned_agent_that_comes_back_gets_a_new_home() {
    let (world, room) = world_without_one().await;
    prune(&world, &[GONE], &PruneOptions::default()).await;
    world.letta.add_agent(GONE, "Agent Beta");
    let report = world.sync_well().await;
    assert_eq!((report.users_created, report.rooms_created), (0, 1));
    let binding = world.binding(GONE).await;
    assert_eq!(binding.user_id, user("agent_002"));
    assert_ne!(binding.room_id.unwrap(), room);
}

#[tokio::test]
async fn an_agent_that_came_back_is_left_alone() {
    let (world, room) = world_without_one().await;
    world.letta.add_agent(GONE, "Agent Beta");
    let before = world.matrix.room(&room);
    let told = plan(&world, &PruneOptions::default()).await;
    assert!(told.prunable.is_empty());
    assert_eq!(told.kept[0].reason, KeepReason::CameBack);
    let report = prune(&world, &[GONE], &PruneOptions::default()).await;
    assert_eq!(report.kept, told.kept);
    assert!(report.pruned.is_empty());
    assert_eq!(world.matrix.room(&room), before);
    world.sync_well().await;
    let report = prune(&world, &[GONE, "agent-001"], &PruneOptions::default()).await;
    let kept: Vec<_> = report.kept.iter().map(|kept| kept.reason).collect();
    assert_eq!(kept, [KeepReason::CameBack; 2], "who is at home is never pruned");
    world.assert_home().await;
}

#[tokio::test]
async fn nothing_is_deleted_when_letta_cannot_be_asked() {
    let (world, room) = world_without_one().await;
    let before = world.matrix.room(&room);
    world.letta.down();
    let outcome = world.reconciler().plan_prune(&PruneOptions::default()).await;
    assert!(matches!(outcome, Err(SyncError::ListAgents(_))), "{outcome:?}");
    let outcome = try_prune(&world).await;
    assert!(matches!(outcome, Err(SyncError::ListAgents(_))), "{outcome:?}");
    world.letta.up();
    for kind in [
        LettaErrorKind::Server,
        LettaErrorKind::Timeout,
        LettaErrorKind::Unauthorized,
        LettaErrorKind::Decode,
    ] {
        world.letta.fail_next("get_agent", kind);
        let report = prune(&world, &[GONE], &PruneOptions::default()).await;
        assert_eq!(report.failed[0].step, PruneStep::Letta);
        assert!(report.pruned.is_empty());
    }
    assert_eq!(world.matrix.room(&room), before);
    assert!(is_known(&world, GONE).await);
}

#[tokio::test]
async fn a_letta_without_agents_is_not_believed() {
    let (world, room) = world_without_one().await;
    let before = world.matrix.room(&room);
    for agent in world.letta.agent_ids() {
        world.letta.delete_agent(&agent).await.unwrap();
    }
    let outcome = try_prune(&world).await;
    assert!(matches!(outcome, Err(SyncError::Unsafe { .. })), "{outcome:?}");
    assert_eq!(world.matrix.room(&room), before);
}

#[tokio::test]
async fn agents_that_the_configuration_leaves_out_are_pruned_only_on_request() {
    let mut world = World::new();
    let room = settle_in(&world).await;
    world.config.select.exclude = vec![Rule::Id(GONE.to_owned())];
    put_away(&world).await;
    let told = plan(&world, &PruneOptions::default()).await;
    assert!(told.prunable.is_empty());
    assert_eq!(told.kept[0].reason, KeepReason::StillInLetta);
    let report = prune(&world, &[GONE], &PruneOptions::default()).await;
    assert!(report.pruned.is_empty() && is_known(&world, GONE).await);
    let options = PruneOptions {
        include_excluded: true,
        ..PruneOptions::default()
    };
    let told = plan(&world, &options).await;
    assert_eq!(told.prunable[0].reason, ArchiveReason::Excluded);
    let report = prune(&world, &[GONE], &options).await;
    assert_eq!(outcomes(&report), [(GONE, RoomOutcome::Left)]);
    assert!(world.matrix.room(&room).unwrap().joined().is_empty());
    assert!(!is_known(&world, GONE).await);
}

#[tokio::test]
async fn only_what_was_put_away_long_ago_is_pruned() {
    let (world, _) = world_without_one().await;
    let day = Duration::from_secs(24 * 60 * 60);
    let options = PruneOptions {
        older_than: 30 * day,
        ..PruneOptions::default()
    };
    assert_eq!(plan(&world, &options).await.kept[0].reason, KeepReason::TooRecent);
    let report = prune(&world, &[GONE], &options).await;
    assert_eq!(report.kept[0].reason, KeepReason::TooRecent);
    world.clock.advance(30 * day);
    assert_eq!(plan(&world, &options).await.prunable.len(), 1);
    let report = prune(&world, &[GONE], &options).await;
    assert_eq!(report.pruned.len(), 1);
}

#[tokio::test]
async fn a_room_that_is_not_marked_as_the_agents_is_never_touched() {
    for marker in [
        json!({}),
        json!({ "agent_id": "agent-001" }),
        json!({ "agent_id": 7 }),
    ] {
        let (world, room) = world_without_one().await;
        let ghost = world.ghost(&user("agent_002"));
        let event_type = StateEventType::from(AGENT_MARKER);
        let marked = world
            .matrix
            .set_state_event(&ghost, &room, &event_type, "", &marker)
            .await;
        marked.unwrap();
        let before = world.matrix.room(&room);
        let session = world.matrix.add_admin("operator");
        let administrator = Some(Administrator {
            api: &world.matrix,
            session: &session,
        });
        for administrator in [None, administrator] {
            let options = PruneOptions {
                administrator,
                ..PruneOptions::default()
            };
            assert_eq!(plan(&world, &options).await.failed[0].step, PruneStep::Room);
            let report = prune(&world, &[GONE], &options).await;
            assert_eq!(report.failed[0].step, PruneStep::Room);
            assert!(!report.failed[0].error.is_empty());
            assert_eq!(world.matrix.room(&room), before);
            assert!(is_known(&world, GONE).await);
        }
    }
}

#[tokio::test]
async fn a_room_that_nobody_of_ours_can_read_is_not_deleted_by_the_administrator() {
    let (world, room) = world_without_one().await;
    let ghost = world.ghost(&user("agent_002"));
    world.matrix.leave_room(&ghost, &room, None).await.unwrap();
    world.matrix.forget_room(&ghost, &room).await.unwrap();
    let session = world.matrix.add_admin("operator");
    let options = PruneOptions {
        administrator: Some(Administrator {
            api: &world.matrix,
            session: &session,
        }),
        ..PruneOptions::default()
    };
    let report = prune(&world, &[GONE], &options).await;
    assert_eq!(report.failed[0].step, PruneStep::Room);
    assert!(world.matrix.room(&room).is_some() && is_known(&world, GONE).await);
}

#[tokio::test]
async fn people_with_as_much_power_as_the_agent_stay_and_are_named() {
    for version in [RoomVersionId::V11, RoomVersionId::V12] {
        let world = World::new();
        let old = OldBridge::ran_with(&world, Some(version)).await;
        let mapping: Mapping = parse(&old.mapping());
        let imported = world.reconciler().import(&mapping, &Default::default()).await;
        assert_eq!(imported.unwrap().imported.len(), 3);
        world.sync_well().await;
        archive(&world, GONE).await;
        let report = prune(&world, &[GONE], &PruneOptions::default()).await;
        assert_eq!(outcomes(&report), [(GONE, RoomOutcome::Left)]);
        assert_eq!(report.pruned[0].remaining, [user("admin"), user("letta")]);
        let room = world.matrix.room(&old.home(GONE).room).unwrap();
        assert!(!room.has_joined(&user("agent_002")));
        assert!(!is_known(&world, GONE).await);
        assert_eq!(
            world.matrix.alias(&world.config.room_alias(&gone()).unwrap()),
            None
        );
    }
}

#[tokio::test]
async fn a_room_that_was_left_to_the_bridge_is_emptied_as_well() {
    let mut world = World::new();
    world.config.removal.mode = RemovalMode::Leave;
    let room = settle_in(&world).await;
    archive(&world, GONE).await;
    let view = world.matrix.room(&room).unwrap();
    let ghost = user("agent_002");
    assert!(!view.has_joined(&ghost) && view.has_joined(&world.appservice.sender));
    let told = plan(&world, &PruneOptions::default()).await;
    assert_eq!(told.prunable[0].people, Some(1));
    let report = prune(&world, &[GONE], &PruneOptions::default()).await;
    assert_eq!(outcomes(&report), [(GONE, RoomOutcome::Left)]);
    assert!(report.pruned[0].remaining.is_empty());
    assert_gone_for_good(&world, &room).await;
}

#[tokio::test]
async fn a_room_that_is_gone_already_is_fine() {
    let (world, room) = world_without_one().await;
    let session = world.matrix.add_admin("operator");
    let deletion = matrix_client::admin::RoomDeletion::purge();
    let deleted = matrix_client::SynapseAdminApi::delete_room(&world.matrix, &session, &room, &deletion);
    deleted.await.unwrap();
    assert_eq!(
        plan(&world, &PruneOptions::default()).await.prunable[0].people,
        None
    );
    let report = prune(&world, &[GONE], &PruneOptions::default()).await;
    assert_eq!(outcomes(&report), [(GONE, RoomOutcome::Gone)]);
    assert_gone_for_good(&world, &room).await;
}

#[tokio::test]
async fn an_alias_that_leads_elsewhere_by_now_is_left_alone() {
    let (world, _) = world_without_one().await;
    let ghost = world.ghost(&user("agent_002"));
    let alias = world.config.room_alias(&gone()).unwrap();
    world.matrix.delete_alias(&ghost, &alias).await.unwrap();
    let other = NewRoom::room().preset(RoomPreset::PrivateChat);
    let other = world.matrix.create_room(&ghost, &other).await.unwrap();
    world.matrix.create_alias(&ghost, &alias, &other).await.unwrap();
    let report = prune(&world, &[GONE], &PruneOptions::default()).await;
    assert_eq!(report.pruned.len(), 1);
    assert_eq!(world.matrix.alias(&alias), Some(other));
}

#[tokio::test]
async fn nothing_is_pruned_while_another_instance_syncs() {
    let (world, room) = world_without_one().await;
    let minute = Duration::from_secs(60);
    let now = store::Clock::now(&*world.clock);
    let held = world.store.acquire_lease("sync", "another", now, minute).await;
    held.unwrap().unwrap();
    let before = world.matrix.room(&room);
    let outcome = try_prune(&world).await;
    assert!(matches!(outcome, Err(SyncError::Busy { .. })), "{outcome:?}");
    assert_eq!(world.matrix.room(&room), before);
}

#[tokio::test]
async fn nothing_to_prune_asks_nobody() {
    let world = World::new();
    world.sync_well().await;
    let update = AgentUpdate::rename("Beatrice");
    world.letta.update_agent(&gone(), &update).await.unwrap();
    world.matrix.clear_journal();
    world.letta.clear_journal();
    let plan = plan(&world, &PruneOptions::default()).await;
    assert!(plan.prunable.is_empty() && plan.kept.is_empty());
    assert_eq!((world.matrix.call_count(), world.letta.calls().len()), (0, 0));
}
