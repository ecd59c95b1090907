//! Taking over what the Python bridge left behind.

mod file;
pub mod old_bridge;

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use accounts::AccountError;
use agent_sync::{
    AGENT_MARKER, ImportOptions, ImportReport, Mapping, PasswordKeeper, RunOptions, SkipReason, SpaceImport,
    SpaceProblem, SyncError,
};
use async_trait::async_trait;
use letta_client::LettaApi;
use matrix_client::{
    MatrixApi, MatrixErrorKind, StateEventType,
    fake::{Fault, RoomView, TEST_PASSWORD},
};
use ruma::{OwnedRoomId, OwnedUserId, RoomVersionId, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use store::{BindingStore, Invitation, LeaseStore, ListingMark, StoreError, StoreErrorKind, SyncProgress};

use self::old_bridge::{OldBridge, parse};
use crate::{
    support::{NOON, user},
    world::World,
};

async fn import_with(world: &World, mapping: &Mapping, options: &ImportOptions<'_>) -> ImportReport {
    world.reconciler().import(mapping, options).await.unwrap()
}

async fn import(world: &World, old: &OldBridge) -> ImportReport {
    import_with(world, &parse(&old.mapping()), &ImportOptions::default()).await
}

async fn import_all(world: &World, old: &OldBridge) -> ImportReport {
    let options = ImportOptions {
        space: Some(&old.space),
        ..ImportOptions::default()
    };
    import_with(world, &parse(&old.mapping()), &options).await
}

fn skipped(report: &ImportReport) -> Vec<(&str, SkipReason)> {
    report
        .skipped
        .iter()
        .map(|skipped| (skipped.agent_id.as_str(), skipped.reason))
        .collect()
}

/// The calls that change something, by name.
fn changes(world: &World) -> Vec<&'static str> {
    let reads = [
        "whoami",
        "get_room_state",
        "get_state_event",
        "resolve_alias",
        "list_joined_rooms",
    ];
    let calls = world.matrix.calls().into_iter().map(|call| call.method);
    calls.filter(|method| !reads.contains(method)).collect()
}

fn rooms(world: &World) -> Vec<RoomView> {
    let rooms = world.matrix.rooms().into_iter();
    rooms.filter(|room| !room.is_space()).collect()
}

fn members(room: &RoomView) -> BTreeMap<OwnedUserId, String> {
    let members = room.members.iter();
    members
        .map(|(user, how)| (user.clone(), how.to_string()))
        .collect()
}

/// Every agent is in the room that the old bridge made, and in no other; the room is ours; nobody came or went.
async fn assert_at_home_in_the_old_rooms(world: &World, old: &OldBridge, before: &[RoomView]) {
    world.matrix.assert_invariants();
    assert_eq!(rooms(world).len(), old.homes.len(), "no new room");
    let space = world.store.get_space().await.unwrap().unwrap().room_id;
    for home in &old.homes {
        let binding = world.binding(home.agent.id.as_str()).await;
        assert_eq!(binding.room_id.as_ref(), Some(&home.room));
        assert_eq!(binding.user_id, home.session.user_id);
        assert_eq!(binding.last_error, None);
        let room = world.matrix.room(&home.room).unwrap();
        assert_eq!(
            room.state(AGENT_MARKER, ""),
            Some(&json!({ "agent_id": home.agent.id }))
        );
        assert_eq!(room.canonical_alias.as_ref(), Some(&binding.room_alias));
        assert_eq!(world.matrix.alias(&binding.room_alias).as_ref(), Some(&home.room));
        assert_eq!(room.name.as_deref(), Some(home.agent.name.as_str()));
        assert_eq!(room.parents, std::slice::from_ref(&space));
        let former = before.iter().find(|view| view.room_id == home.room).unwrap();
        assert_eq!(members(&room), members(former), "people notice nothing");
        let profile = world.matrix.user(&home.session.user_id).unwrap();
        assert_eq!(profile.display_name.as_deref(), Some(home.agent.name.as_str()));
    }
    let children = world.matrix.room(&space).unwrap().children;
    assert_eq!(children.len(), old.homes.len());
}

#[tokio::test]
async fn an_import_only_looks_and_writes_down_whose_is_what() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    let report = import(&world, &old).await;
    assert_eq!(
        (report.entries, report.imported.len(), report.unchanged),
        (3, 3, 0)
    );
    assert!(report.checked && report.skipped.is_empty());
    assert_eq!(changes(&world), [""; 0], "nothing is changed on the homeserver");
    assert_eq!(world.matrix.call_count(), 2 * 3, "two looks at each agent");
    for home in &old.homes {
        let binding = world.binding(home.agent.id.as_str()).await;
        assert_eq!(binding.room_id.as_ref(), Some(&home.room));
        assert_eq!(binding.user_id, home.session.user_id);
        assert!(!binding.room.verified && binding.user_registered);
        assert_eq!(
            binding.invitations,
            BTreeMap::from([
                (user("admin"), Invitation::Joined),
                (user("letta"), Invitation::Joined)
            ])
        );
    }
}

#[tokio::test]
async fn after_an_import_a_sync_completes_the_old_rooms_and_people_notice_nothing() {
    for version in [RoomVersionId::V11, RoomVersionId::V12] {
        let world = World::new();
        let old = OldBridge::ran_with(&world, Some(version)).await;
        old.let_into_space(&world, 50).await;
        let before = rooms(&world);
        import_all(&world, &old).await;
        world.matrix.clear_journal();
        let report = world.sync_well().await;
        assert_eq!(
            (report.users_created, report.rooms_created, report.space_created),
            (0, 0, false)
        );
        for method in [
            "register",
            "create_room",
            "invite_user",
            "kick_user",
            "leave_room",
        ] {
            assert_eq!(world.matrix.count(method), 0, "{method}");
        }
        assert_at_home_in_the_old_rooms(&world, &old, &before).await;
        assert_eq!(world.store.get_space().await.unwrap().unwrap().room_id, old.space);
        assert_eq!(
            world.sync_well().await.requests.matrix,
            0,
            "then nothing is left to do"
        );
        let report = world.check_well().await;
        assert_eq!(report.repaired, 0, "what was noted is true");
    }
}

#[tokio::test]
async fn without_the_old_space_the_rooms_move_into_a_new_one() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    let before = rooms(&world);
    let report = import_all(&world, &old).await;
    assert_eq!(
        report.space,
        Some(SpaceImport::NotAdopted {
            room_id: old.space.clone(),
            problem: SpaceProblem::NotIn
        })
    );
    world.matrix.clear_journal();
    let report = world.sync_well().await;
    assert_eq!((report.rooms_created, report.space_created), (0, true));
    assert_eq!(world.matrix.count("invite_user"), 0);
    assert_at_home_in_the_old_rooms(&world, &old, &before).await;
    let former = world.matrix.room(&old.space).unwrap();
    assert_eq!(former.children.len(), 3, "the old space is left as it is");
}

#[tokio::test]
async fn importing_twice_changes_nothing() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    old.let_into_space(&world, 50).await;
    import_all(&world, &old).await;
    for is_synced in [false, true] {
        if is_synced {
            world.sync_well().await;
        }
        world.matrix.clear_journal();
        let (writes, bindings) = (world.store.writes(), world.store.list_bindings().await.unwrap());
        let report = import_all(&world, &old).await;
        assert_eq!((report.imported.len(), report.unchanged), (0, 3));
        let room_id = old.space.clone();
        assert_eq!(report.space, Some(SpaceImport::Unchanged { room_id }));
        assert_eq!(world.store.writes(), writes);
        assert_eq!(world.store.list_bindings().await.unwrap(), bindings);
        assert_eq!(world.matrix.call_count(), 0);
    }
}

#[tokio::test]
async fn a_dry_run_tells_the_same_and_writes_nothing() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    old.let_into_space(&world, 50).await;
    let mapping = parse(&old.mapping());
    let dry = ImportOptions {
        dry_run: true,
        space: Some(&old.space),
        ..ImportOptions::default()
    };
    let told = import_with(&world, &mapping, &dry).await;
    assert_eq!(world.store.writes(), 0);
    assert_eq!(
        changes(&world),
        [""; 0],
        "an invitation is not accepted in a dry run"
    );
    let done = import_all(&world, &old).await;
    assert_eq!((told.imported, told.skipped), (done.imported, done.skipped));
    assert_eq!(
        world.store.get_lease("sync").await.unwrap(),
        None,
        "the lease is given back"
    );
}

#[tokio::test]
async fn what_we_have_is_never_overwritten() {
    let world = World::new();
    world.sync_well().await;
    let bindings = world.store.list_bindings().await.unwrap();
    let room = bindings[1].room_id.clone().unwrap();
    let mapping = json!({
        "agent-001": { "matrix_user_id": "@agent_001:matrix.test", "room_id": "!another:matrix.test" },
        "agent-002": { "matrix_user_id": "@agent_two:matrix.test", "room_id": null },
        "agent-003": { "matrix_user_id": "@agent_003:matrix.test", "room_id": room },
        "agent-004": { "matrix_user_id": "@agent_sync_test:matrix.test", "room_id": null },
        "agent-005": { "matrix_user_id": "@letta_bot:matrix.test", "room_id": null },
        "agent-006": { "matrix_user_id": "@agent_006:elsewhere.test", "room_id": "!six" },
    });
    world.matrix.clear_journal();
    let mapping = parse(mapping.as_object().unwrap());
    let report = import_with(&world, &mapping, &ImportOptions::default()).await;
    assert_eq!(
        skipped(&report),
        [
            ("agent-001", SkipReason::HasOtherRoom),
            ("agent-002", SkipReason::HasOtherUser),
            ("agent-003", SkipReason::Taken),
            ("agent-004", SkipReason::Taken),
            ("agent-005", SkipReason::Taken),
            ("agent-006", SkipReason::OtherServer),
        ]
    );
    assert!(
        report.skipped[5].detail.contains("matrix.test"),
        "{:?}",
        report.skipped[5]
    );
    assert_eq!(world.store.list_bindings().await.unwrap(), bindings);
    assert_eq!(
        world.matrix.call_count(),
        0,
        "the homeserver is not asked for what we know"
    );
}

#[tokio::test]
async fn users_that_we_may_not_act_as_are_left_alone() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    world.matrix.add_user("elsewhere");
    let mut mapping = old.mapping();
    mapping["agent-001"]["matrix_user_id"] = json!("@elsewhere:matrix.test");
    mapping["agent-002"]["matrix_user_id"] = json!("@agent_nobody:matrix.test");
    let report = import_with(&world, &parse(&mapping), &ImportOptions::default()).await;
    assert_eq!(
        skipped(&report),
        [
            ("agent-001", SkipReason::NotOurs),
            ("agent-002", SkipReason::NotOurs)
        ]
    );
    assert_eq!(report.imported.len(), 1, "the others are taken over");
    assert_eq!(world.store.list_bindings().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_user_whose_name_we_would_not_have_chosen_keeps_it() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    world.letta.add_agent("agent-A.b", "Odd");
    let ours = world.config.user_id(&"agent-A.b".into()).unwrap();
    assert_ne!(ours, user("agent_ab"));
    let theirs = world.matrix.add_user("agent_ab");
    let room = world
        .matrix
        .create_room(&theirs, &matrix_client::NewRoom::room())
        .await
        .unwrap();
    let mut mapping = old.mapping();
    let entry = json!({ "matrix_user_id": theirs.user_id, "room_id": room });
    mapping.insert("agent-A.b".to_owned(), entry);
    let report = import_with(&world, &parse(&mapping), &ImportOptions::default()).await;
    assert_eq!((report.imported.len(), report.skipped.len()), (4, 0));
    let report = world.sync_well().await;
    assert_eq!((report.users_created, report.rooms_created), (0, 0));
    let binding = world.binding("agent-A.b").await;
    assert_eq!((binding.user_id, binding.room_id), (theirs.user_id, Some(room)));
    assert_eq!(world.matrix.user(&ours), None);
}

#[tokio::test]
async fn a_room_that_is_something_else_is_not_taken_over() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    let marked = &old.home("agent-001");
    world
        .matrix
        .set_state_event(
            &marked.session,
            &marked.room,
            &StateEventType::from(AGENT_MARKER),
            "",
            &json!({ "agent_id": "agent-999" }),
        )
        .await
        .unwrap();
    let mut mapping = old.mapping();
    let space = matrix_client::NewRoom::space();
    let space = world.matrix.create_room(&old.home("agent-002").session, &space);
    mapping["agent-002"]["room_id"] = json!(space.await.unwrap());
    let report = import_with(&world, &parse(&mapping), &ImportOptions::default()).await;
    assert_eq!(
        skipped(&report),
        [
            ("agent-001", SkipReason::NotItsRoom),
            ("agent-002", SkipReason::NotItsRoom)
        ]
    );
}

#[tokio::test]
async fn a_room_that_is_lost_is_told_and_made_anew_by_the_sync() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    let home = old.home("agent-002");
    world
        .matrix
        .leave_room(&home.session, &home.room, None)
        .await
        .unwrap();
    let mut mapping = old.mapping();
    mapping["agent-sync-test"]["room_id"] = Value::Null;
    let report = import_with(&world, &parse(&mapping), &ImportOptions::default()).await;
    let told: Vec<_> = report
        .imported
        .iter()
        .map(|agent| {
            (
                agent.agent_id.as_str(),
                agent.room_id.is_some(),
                agent.room_out_of_reach,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("agent-001", true, false),
            ("agent-002", true, true),
            ("agent-sync-test", false, false)
        ]
    );
    let report = world.sync_well().await;
    assert_eq!((report.users_created, report.rooms_created), (0, 2));
}

#[tokio::test]
async fn a_picture_that_people_gave_an_agent_stays() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    let home = old.home("agent-001");
    let picture = "mxc://matrix.test/picture";
    world
        .matrix
        .set_avatar_url(&home.session, Some(picture.into()))
        .await
        .unwrap();
    world
        .matrix
        .set_state_event(
            &home.session,
            &home.room,
            &StateEventType::RoomAvatar,
            "",
            &json!({ "url": picture }),
        )
        .await
        .unwrap();
    import(&world, &old).await;
    world.sync_well().await;
    let room = world.matrix.room(&home.room).unwrap();
    assert_eq!(room.state("m.room.avatar", ""), Some(&json!({ "url": picture })));
    let profile = world.matrix.user(&home.session.user_id).unwrap();
    assert_eq!(profile.avatar_url.as_deref(), Some(picture));
}

#[tokio::test]
async fn an_agent_that_letta_lost_long_ago_is_archived_and_marked() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    world.letta.delete_agent(&"agent-002".into()).await.unwrap();
    import(&world, &old).await;
    world.sync_well().await;
    world.clock.advance(Duration::from_secs(3 * 60 * 60));
    let report = world.sync_well().await;
    assert_eq!(report.archived, 1);
    let room = world.matrix.room(&old.home("agent-002").room).unwrap();
    assert_eq!(
        room.state(AGENT_MARKER, ""),
        Some(&json!({ "agent_id": "agent-002" }))
    );
    assert_eq!(room.name.as_deref(), Some("Agent Beta (archived)"));
}

#[tokio::test]
async fn the_next_sync_lists_all_agents() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    let lease = store::testing::lease(&*world.store).await;
    let progress = SyncProgress {
        listing: Some(ListingMark {
            updated_at: NOON,
            settled: true,
            count: 10_000,
            listed_at: NOON,
            config: "any".to_owned(),
        }),
        checked_at: Some(NOON),
    };
    world.store.put_progress(&progress, &lease).await.unwrap();
    import(&world, &old).await;
    let now = world.store.get_progress().await.unwrap();
    assert_eq!((now.listing, now.checked_at), (None, Some(NOON)));
}

#[tokio::test]
async fn the_space_is_only_taken_over_with_power_in_it() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    old.let_into_space(&world, 49).await;
    let report = import_all(&world, &old).await;
    let not_adopted = |problem| SpaceImport::NotAdopted {
        room_id: old.space.clone(),
        problem,
    };
    let problem = SpaceProblem::NoPower { has: 49, needs: 50 };
    assert_eq!(report.space, Some(not_adopted(problem)));
    assert_eq!(world.store.get_space().await.unwrap(), None);
    old.set_power(&world, 50).await;
    let report = import_all(&world, &old).await;
    let room_id = old.space.clone();
    assert_eq!(report.space, Some(SpaceImport::Adopted { room_id }));
}

#[tokio::test]
async fn a_space_that_cannot_be_ours_is_told_apart() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    let mapping = parse(&old.mapping());
    let outcome = async |space: &OwnedRoomId| {
        let options = ImportOptions {
            space: Some(space),
            ..ImportOptions::default()
        };
        match import_with(&world, &mapping, &options).await.space {
            Some(SpaceImport::NotAdopted { problem, .. }) => problem,
            other => panic!("{other:?}"),
        }
    };
    let nowhere = "!nowhere:matrix.test".try_into().unwrap();
    assert_eq!(outcome(&nowhere).await, SpaceProblem::NotIn);

    let bot = world.bot();
    let room = matrix_client::NewRoom::room();
    let room = world.matrix.create_room(&bot, &room).await.unwrap();
    assert_eq!(outcome(&room).await, SpaceProblem::NotASpace);

    // Our alias already leads to another room, which would stop every sync.
    old.let_into_space(&world, 100).await;
    let alias = world.config.space_alias().unwrap();
    world.matrix.create_alias(&bot, &alias, &room).await.unwrap();
    let elsewhere = SpaceProblem::AliasElsewhere { to: room };
    assert_eq!(outcome(&old.space).await, elsewhere);
    world.matrix.delete_alias(&bot, &alias).await.unwrap();

    world.sync_well().await;
    let ours = world.store.get_space().await.unwrap().unwrap().room_id;
    assert_eq!(outcome(&old.space).await, SpaceProblem::OtherSpace { ours });
}

/// Remembers what it is given, or fails.
#[derive(Debug, Default)]
struct Keeper {
    kept: Mutex<Vec<(OwnedUserId, String)>>,
    fails: bool,
}

#[async_trait]
impl PasswordKeeper for Keeper {
    async fn keep(&self, user: &UserId, password: &SecretString) -> Result<(), AccountError> {
        if self.fails {
            let error = StoreError::new(StoreErrorKind::Unavailable, "the disk is full");
            return Err(AccountError::Store(error));
        }
        let mut kept = self.kept.lock().unwrap();
        kept.push((user.to_owned(), password.expose_secret().to_owned()));
        Ok(())
    }
}

#[tokio::test]
async fn passwords_are_kept_where_the_bridge_logs_in() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    let mapping = parse(&old.mapping());
    let keeper = Keeper::default();
    let mut options = ImportOptions {
        passwords: Some(&keeper),
        dry_run: true,
        ..ImportOptions::default()
    };
    let report = import_with(&world, &mapping, &options).await;
    assert!(!report.checked && keeper.kept.lock().unwrap().is_empty());
    assert_eq!(world.matrix.call_count(), 0, "a dry run logs in to nothing");
    options.dry_run = false;
    import_with(&world, &mapping, &options).await;
    let kept = keeper.kept.lock().unwrap().clone();
    let expected: Vec<_> = ["agent_001", "agent_002", "agent_sync_test"]
        .map(|name| (user(name), TEST_PASSWORD.to_owned()))
        .into();
    assert_eq!(kept, expected);
}

#[tokio::test]
async fn no_user_is_taken_over_whose_password_is_lost() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    let keeper = Keeper {
        fails: true,
        ..Keeper::default()
    };
    let options = ImportOptions {
        passwords: Some(&keeper),
        ..ImportOptions::default()
    };
    let outcome = world.reconciler().import(&parse(&old.mapping()), &options).await;
    assert!(
        matches!(outcome, Err(SyncError::Account(AccountError::Store(_)))),
        "{outcome:?}"
    );
    assert!(world.store.list_bindings().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_import_waits_for_a_sync_and_not_for_ever() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    let held = world
        .store
        .acquire_lease("sync", "another", NOON, Duration::from_secs(60))
        .await;
    held.unwrap().unwrap();
    let mapping = parse(&old.mapping());
    let options = ImportOptions {
        wait: Duration::from_secs(5),
        ..ImportOptions::default()
    };
    let outcome = world.reconciler().import(&mapping, &options).await;
    assert!(
        matches!(outcome, Err(SyncError::Busy { ref holder }) if holder == "another"),
        "{outcome:?}"
    );
    assert!(world.store.list_bindings().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_fails_for_all_stops_the_import_and_what_fails_for_one_does_not() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    let mapping = parse(&old.mapping());
    world
        .matrix
        .plan(Fault::on("get_room_state").fail(MatrixErrorKind::Server));
    let report = import(&world, &old).await;
    assert_eq!(skipped(&report), [("agent-001", SkipReason::Unanswered)]);
    assert!(report.skipped[0].reason.may_pass());
    assert_eq!(report.imported.len(), 2);

    world
        .matrix
        .plan(Fault::on("whoami").fail(MatrixErrorKind::Connect));
    let outcome = world
        .reconciler()
        .import(&mapping, &ImportOptions::default())
        .await;
    assert!(
        matches!(outcome, Err(SyncError::Homeserver(ref error)) if *error.kind() == MatrixErrorKind::Connect),
        "{outcome:?}"
    );
    let report = import(&world, &old).await;
    assert_eq!((report.imported.len(), report.unchanged), (1, 2));
}

/// The calls of an import, in order.
async fn calls_of_an_import() -> (Vec<&'static str>, u64) {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    old.let_into_space(&world, 50).await;
    import_all(&world, &old).await;
    let calls = world.matrix.calls().into_iter().map(|call| call.method);
    (calls.collect(), world.store.writes())
}

/// After an import that went wrong: another, and a sync, and all is as if nothing had happened.
async fn recovers(world: &World, old: &OldBridge, before: &[RoomView], what: &str) {
    let report = import_all(world, old).await;
    assert!(report.skipped.is_empty(), "{what}: {report:#?}");
    assert!(
        !matches!(report.space, Some(SpaceImport::NotAdopted { .. })),
        "{what}: {report:#?}"
    );
    world.sync_well().await;
    assert_at_home_in_the_old_rooms(world, old, before).await;
    assert_eq!(world.sync_well().await.requests.matrix, 0, "{what}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_at_any_step_is_made_good_by_importing_again() {
    let (calls, writes) = calls_of_an_import().await;
    assert_eq!((calls.len(), writes), (2 * 3 + 4, 3 + 1), "{calls:?}");
    let before = [
        MatrixErrorKind::Server,
        MatrixErrorKind::Connect,
        MatrixErrorKind::Forbidden,
        MatrixErrorKind::NotFound,
    ];
    let after = [
        MatrixErrorKind::Timeout,
        MatrixErrorKind::Interrupted,
        MatrixErrorKind::Server,
    ];
    let kinds: Vec<_> = (before.into_iter().map(|kind| (kind, false)))
        .chain(after.into_iter().map(|kind| (kind, true)))
        .collect();
    let mut cases = 0;
    for (position, method) in calls.iter().enumerate() {
        let earlier = calls[..position].iter().filter(|call| *call == method).count();
        for (kind, is_after) in &kinds {
            let world = World::new();
            let old = OldBridge::ran_in(&world).await;
            old.let_into_space(&world, 50).await;
            let before = rooms(&world);
            let fault = Fault::on(*method).skip(u32::try_from(earlier).unwrap());
            world.matrix.plan(match is_after {
                false => fault.fail(kind.clone()),
                true => fault.fail_after(kind.clone()),
            });
            let mapping = parse(&old.mapping());
            let options = ImportOptions {
                space: Some(&old.space),
                ..ImportOptions::default()
            };
            drop(world.reconciler().import(&mapping, &options).await);
            world.matrix.assert_faults_used();
            let what = format!("{method} at {position}: {kind:?}, after: {is_after}");
            recovers(&world, &old, &before, &what).await;
            cases += 1;
        }
    }
    for survived in 0..writes {
        let world = World::new();
        let old = OldBridge::ran_in(&world).await;
        old.let_into_space(&world, 50).await;
        let before = rooms(&world);
        world.store.die_after(survived);
        let mapping = parse(&old.mapping());
        let options = ImportOptions {
            space: Some(&old.space),
            ..ImportOptions::default()
        };
        let outcome = world.reconciler().import(&mapping, &options).await;
        outcome.unwrap_err();
        world.store.restart();
        recovers(&world, &old, &before, &format!("killed after write {survived}")).await;
        cases += 1;
    }
    assert_eq!(cases, calls.len() * kinds.len() + 4);
}

#[tokio::test(start_paused = true)]
async fn an_import_that_is_cut_off_anywhere_is_finished_by_the_next() {
    let (calls, _) = calls_of_an_import().await;
    for (position, method) in calls.iter().enumerate() {
        let earlier = calls[..position].iter().filter(|call| *call == method).count();
        let world = World::new();
        let old = OldBridge::ran_in(&world).await;
        old.let_into_space(&world, 50).await;
        let before = rooms(&world);
        let (fault, hold) = Fault::on(*method).skip(u32::try_from(earlier).unwrap()).hold();
        world.matrix.plan(fault);
        let reconciler = world.reconciler();
        let (mapping, space) = (parse(&old.mapping()), old.space.clone());
        let run = tokio::spawn(async move {
            let options = ImportOptions {
                space: Some(&space),
                ..ImportOptions::default()
            };
            reconciler.import(&mapping, &options).await
        });
        hold.reached().await;
        run.abort();
        assert!(run.await.unwrap_err().is_cancelled());
        drop(hold);
        recovers(&world, &old, &before, &format!("cut off at {method} {position}")).await;
    }
}

#[tokio::test]
async fn a_sync_before_the_import_is_told_as_a_conflict() {
    let world = World::new();
    let old = OldBridge::ran_in(&world).await;
    let report = world.reconciler().run(RunOptions::default()).await.unwrap();
    assert_eq!(
        (report.users_created, report.rooms_created),
        (0, 3),
        "the users are ours, the old rooms are not known"
    );
    let report = import(&world, &old).await;
    let expected = ["agent-001", "agent-002", "agent-sync-test"];
    assert_eq!(
        skipped(&report),
        expected.map(|agent| (agent, SkipReason::HasOtherRoom))
    );
}
