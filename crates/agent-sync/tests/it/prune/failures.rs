//! Failing everywhere: every call fails in every way, or is the last one the process makes. The next prune does the rest.

use agent_sync::{Administrator, PruneOptions, RemovalMode, RoomOutcome};
use letta_client::{AgentId, LettaApi};
use matrix_client::{MatrixErrorKind, Session, fake::Fault};
use ruma::OwnedRoomId;

use super::{GONE, archive, assert_gone_for_good, gone, is_known, outcomes, prune, put_away, settle_in};
use crate::world::World;

/// The ways to delete a room.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// Everybody is asked out.
    Asking,
    /// Everybody is asked out of a room that the agent had left.
    AskingAfterLeaving,
    /// The administrator has it deleted.
    Administrator,
}

const WAYS: [Way; 3] = [Way::Asking, Way::AskingAfterLeaving, Way::Administrator];

struct Scene {
    world: World,
    room: OwnedRoomId,
    session: Session,
    way: Way,
}

impl Scene {
    async fn set(way: Way) -> Self {
        let mut world = World::new();
        if way == Way::AskingAfterLeaving {
            world.config.removal.mode = RemovalMode::Leave;
        }
        let room = settle_in(&world).await;
        archive(&world, GONE).await;
        let session = world.matrix.add_admin("operator");
        world.matrix.clear_journal();
        Self {
            world,
            room,
            session,
            way,
        }
    }

    fn options(&self) -> PruneOptions<'_> {
        let administrator = Administrator {
            api: &self.world.matrix,
            session: &self.session,
        };
        PruneOptions {
            administrator: (self.way == Way::Administrator).then_some(administrator),
            ..PruneOptions::default()
        }
    }

    /// The next prune does what is left.
    async fn recovers(&self, what: &str) {
        if is_known(&self.world, GONE).await {
            let report = prune(&self.world, &[GONE], &self.options()).await;
            assert_eq!(report.pruned.len(), 1, "{what}: {report:#?}");
            assert!(report.pruned[0].remaining.is_empty(), "{what}: {report:#?}");
        }
        assert_gone_for_good(&self.world, &self.room).await;
    }
}

/// The calls of an undisturbed prune, each with the number of earlier ones of its method.
async fn calls(way: Way) -> Vec<(&'static str, u32)> {
    let scene = Scene::set(way).await;
    let report = prune(&scene.world, &[GONE], &scene.options()).await;
    assert_eq!(report.pruned.len(), 1, "{report:#?}");
    assert_gone_for_good(&scene.world, &scene.room).await;
    let methods: Vec<&'static str> = {
        let scene = Scene::set(way).await;
        prune(&scene.world, &[GONE], &scene.options()).await;
        let calls = scene.world.matrix.calls();
        calls.into_iter().map(|call| call.method).collect()
    };
    let earlier = |position: usize| {
        let method = methods[position];
        methods[..position].iter().filter(|call| **call == method).count()
    };
    (0..methods.len())
        .map(|position| (methods[position], u32::try_from(earlier(position)).unwrap()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_failure_at_any_step_is_made_good_by_the_next_prune() {
    let before = [
        MatrixErrorKind::Server,
        MatrixErrorKind::Connect,
        MatrixErrorKind::Interrupted,
    ];
    let after = [
        MatrixErrorKind::Server,
        MatrixErrorKind::Timeout,
        MatrixErrorKind::Interrupted,
    ];
    let kinds: Vec<_> = (before.into_iter().map(|kind| (kind, false)))
        .chain(after.into_iter().map(|kind| (kind, true)))
        .collect();
    for way in WAYS {
        for (method, earlier) in calls(way).await {
            for (kind, is_after) in &kinds {
                let scene = Scene::set(way).await;
                let fault = Fault::on(method).skip(earlier);
                scene.world.matrix.plan(match is_after {
                    false => fault.fail(kind.clone()),
                    true => fault.fail_after(kind.clone()),
                });
                let outcome = scene.world.reconciler().prune(&[gone()], &scene.options()).await;
                scene.world.matrix.assert_faults_used();
                if let Ok(report) = &outcome {
                    let told = report.failed.iter().all(|failed| !failed.error.is_empty());
                    assert!(told, "a failure says why: {report:#?}");
                }
                let what = format!("{way:?}: {method} after {earlier}: {kind:?}, after: {is_after}");
                scene.recovers(&what).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_prune_that_is_cut_off_anywhere_is_finished_by_the_next() {
    let mut cases = 0;
    for way in WAYS {
        for (method, earlier) in calls(way).await {
            let scene = Scene::set(way).await;
            let (fault, hold) = Fault::on(method).skip(earlier).hold();
            scene.world.matrix.plan(fault);
            let reconciler = scene.world.reconciler();
            let (matrix, session) = (scene.world.matrix.clone(), scene.session.clone());
            let run = tokio::spawn(async move {
                let administrator = Administrator {
                    api: &matrix,
                    session: &session,
                };
                let options = PruneOptions {
                    administrator: (way == Way::Administrator).then_some(administrator),
                    ..PruneOptions::default()
                };
                reconciler.prune(&[gone()], &options).await
            });
            hold.reached().await;
            run.abort();
            assert!(run.await.unwrap_err().is_cancelled());
            drop(hold);
            scene
                .recovers(&format!("{way:?}: cut off at {method} {earlier}"))
                .await;
            cases += 1;
        }
    }
    assert!(cases > 25, "only {cases}");
}

#[tokio::test(start_paused = true)]
async fn dying_before_the_record_is_deleted_is_made_good_by_the_next_prune() {
    for way in WAYS {
        let scene = Scene::set(way).await;
        scene.world.store.die_after(0);
        let report = prune(&scene.world, &[GONE], &scene.options()).await;
        assert_eq!(report.failed.len(), 1, "{report:#?}");
        scene.world.store.restart();
        let report = prune(&scene.world, &[GONE], &scene.options()).await;
        assert_eq!(
            outcomes(&report),
            [(GONE, RoomOutcome::Gone)],
            "{way:?}: nothing else is left to do"
        );
        assert_gone_for_good(&scene.world, &scene.room).await;
    }
}

#[tokio::test]
async fn a_failure_of_one_does_not_stop_the_others() {
    let world = World::new();
    world.sync_well().await;
    for agent in ["agent-001", GONE] {
        world.letta.delete_agent(&agent.into()).await.unwrap();
    }
    put_away(&world).await;
    world
        .matrix
        .plan(Fault::on("delete_alias").fail(MatrixErrorKind::Server));
    let report = prune(&world, &["agent-001", GONE], &PruneOptions::default()).await;
    assert_eq!(report.failed[0].agent_id, AgentId::new("agent-001"));
    assert_eq!(outcomes(&report), [(GONE, RoomOutcome::Left)]);
}

#[tokio::test]
async fn what_fails_for_all_is_tried_once() {
    let world = World::new();
    world.sync_well().await;
    for agent in ["agent-001", GONE] {
        world.letta.delete_agent(&agent.into()).await.unwrap();
    }
    put_away(&world).await;
    world.matrix.down();
    let report = prune(&world, &["agent-001", GONE], &PruneOptions::default()).await;
    assert_eq!((report.failed.len(), report.pruned.len()), (2, 0));
    assert_eq!(world.matrix.call_count(), 1);
    world.matrix.up();
    let report = prune(&world, &["agent-001", GONE], &PruneOptions::default()).await;
    assert_eq!(report.pruned.len(), 2);
}
