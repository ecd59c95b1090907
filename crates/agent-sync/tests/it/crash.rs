//! Failing at every step: before it, after it, and without having written it down.

use matrix_client::{MatrixErrorKind, fake::Fault};

use crate::world::World;

/// The calls a first run makes, in order.
async fn calls_of_a_first_run() -> Vec<String> {
    let world = World::new();
    world.sync_well().await;
    world
        .matrix
        .calls()
        .into_iter()
        .map(|call| call.method.to_string())
        .collect()
}

/// A fault for the call at `position`.
fn fault_at(calls: &[String], position: usize) -> Fault {
    let method = &calls[position];
    let earlier = calls[..position].iter().filter(|call| *call == method).count();
    Fault::on(method.clone()).skip(u32::try_from(earlier).unwrap())
}

/// Runs with the fault, then without, and looks whether everybody is at home.
async fn survives(fault: Fault, what: &str) {
    let world = World::new();
    world.matrix.plan(fault);
    let first = world.reconciler().run().await;
    world.matrix.assert_faults_used();
    if let Ok(report) = &first {
        for failed in &report.failed {
            assert!(!failed.error.is_empty(), "{what}: a failure says why");
        }
    }
    world.sync_well().await;
    world.assert_home().await;
    assert_eq!(
        world.sync_well().await.requests.matrix,
        0,
        "{what}: then nothing is left to do"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_any_step_is_made_good_by_the_next_run() {
    let calls = calls_of_a_first_run().await;
    assert_eq!(calls.len(), 13);
    for (position, method) in calls.iter().enumerate() {
        for kind in [
            MatrixErrorKind::Server,
            MatrixErrorKind::Connect,
            MatrixErrorKind::Forbidden,
        ] {
            let what = format!("{method} at {position}: {kind:?}");
            survives(fault_at(&calls, position).fail(kind), &what).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_lost_after_any_step_makes_nothing_twice() {
    let calls = calls_of_a_first_run().await;
    for (position, method) in calls.iter().enumerate() {
        for kind in [MatrixErrorKind::Timeout, MatrixErrorKind::Interrupted] {
            let what = format!("{method} at {position}: {kind:?}");
            survives(fault_at(&calls, position).fail_after(kind), &what).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dying_before_any_step_is_written_down_makes_nothing_twice() {
    let writes = {
        let world = World::new();
        world.sync_well().await;
        world.store.writes()
    };
    assert_eq!(
        writes,
        1 + 3 * 5,
        "the space, and for each agent its names and four steps"
    );
    for survived in 0..writes {
        let world = World::new();
        world.store.die_after(survived);
        // The process is gone with whatever it was about to report.
        drop(world.reconciler().run().await);
        world.store.restart();
        world.sync_well().await;
        world.assert_home().await;
        assert_eq!(
            world.sync_well().await.requests.matrix,
            0,
            "killed after write {survived}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cut_off_at_any_step_is_finished_by_the_next() {
    let calls = calls_of_a_first_run().await;
    for position in 0..calls.len() {
        let world = World::new();
        let (fault, hold) = fault_at(&calls, position).hold();
        world.matrix.plan(fault);
        let reconciler = world.reconciler();
        let run = tokio::spawn(async move { reconciler.run().await });
        hold.reached().await;
        run.abort();
        assert!(run.await.unwrap_err().is_cancelled());
        drop(hold);
        world.sync_well().await;
        world.assert_home().await;
    }
}
