//! Failing at every step: before it, after it, and by being killed. The cases are made of what an undisturbed run does.

use std::{sync::Arc, time::Duration};

use accounts::AccountError;
use accounts::PasswordAccounts;
use matrix_client::{MatrixErrorKind, fake::Fault};

use crate::{
    flaky::When,
    world::{WAYS, Way, World, agent},
};

/// What is under way when something fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// A new user.
    New,
    /// A user whose record is gone with the database.
    DatabaseLost,
    /// A user whose token the homeserver refuses.
    TokenRefused,
    /// A user of a homeserver that was reset.
    HomeserverReset,
}

const SCENES: [Scene; 4] = [
    Scene::New,
    Scene::DatabaseLost,
    Scene::TokenRefused,
    Scene::HomeserverReset,
];

/// The world in which the scene begins.
async fn prepare(scene: Scene, way: Way) -> World {
    let mut world = World::with(way);
    if scene != Scene::New {
        world.settle(&world.accounts()).await;
    }
    match scene {
        Scene::New => {}
        Scene::DatabaseLost => world.lose_the_store(),
        Scene::TokenRefused => world.matrix.log_out_everywhere(&agent()),
        Scene::HomeserverReset => world.matrix.wipe(),
    }
    world.matrix.clear_journal();
    world
}

/// What the bridge does for the user: it is registered, and acts.
async fn play(world: &World, accounts: &PasswordAccounts) -> Result<(), AccountError> {
    accounts.register(&agent()).await?;
    world.working_session(accounts).await.map(|_| ())
}

/// The calls of an undisturbed run that change something or may fail: to the homeserver by name, and how many to the store.
async fn undisturbed(scene: Scene, way: Way) -> (Vec<&'static str>, usize) {
    let world = prepare(scene, way).await;
    let before = world.store.calls();
    play(&world, &world.accounts()).await.unwrap();
    let calls = world.matrix.calls().into_iter().map(|call| call.method);
    let calls = calls.filter(|call| *call != "whoami").collect();
    (calls, world.store.calls() - before)
}

/// Whether all is well with the user, and remains so without any request.
async fn assert_well(world: &World, accounts: &PasswordAccounts, what: &str) {
    play(world, accounts)
        .await
        .unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let user = world.matrix.user(&agent()).unwrap();
    assert_eq!(user.devices, ["LETTAMATRIX"], "{what}");
    let logins = world.matrix.count("login");
    assert!(logins <= 3, "{what}: {logins} logins");
    let requests = world.requests();
    for accounts in [accounts, &world.accounts()] {
        play(world, accounts).await.unwrap();
    }
    assert_eq!(world.requests(), requests, "{what}: then nothing is left to do");
}

fn fault_at(calls: &[&'static str], position: usize) -> Fault {
    let call = calls[position];
    let earlier = calls[..position].iter().filter(|other| **other == call).count();
    Fault::on(call).skip(u32::try_from(earlier).unwrap())
}

/// Plays the scene with something wrong, then again in the same process or in a new one.
async fn survives(scene: Scene, way: Way, what: &str, break_it: impl Fn(&World)) -> usize {
    for restarted in [false, true] {
        let world = prepare(scene, way).await;
        break_it(&world);
        let mut accounts = world.accounts();
        // What was lost after the effect may go unnoticed.
        let _ = play(&world, &accounts).await;
        world.matrix.assert_faults_used();
        assert!(!world.store.is_waiting_to_fail(), "{what}");
        world.store.heal();
        if restarted {
            accounts = world.accounts();
        }
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_well(
            &world,
            &accounts,
            &format!("{scene:?}, {way:?}, {what}, restarted: {restarted}"),
        )
        .await;
    }
    2
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_is_made_good_by_the_next_run() {
    let before = [
        MatrixErrorKind::Server,
        MatrixErrorKind::Connect,
        MatrixErrorKind::Timeout,
        MatrixErrorKind::Forbidden,
        MatrixErrorKind::LimitExceeded {
            retry_after: Some(Duration::from_secs(60)),
        },
        MatrixErrorKind::NotMatrix {
            content_type: Some("text/html".to_owned()),
            excerpt: "502 Bad Gateway".to_owned(),
        },
    ];
    let after = [
        MatrixErrorKind::Timeout,
        MatrixErrorKind::Interrupted,
        MatrixErrorKind::Server,
        MatrixErrorKind::Decode { path: String::new() },
    ];
    let mut cases = 0;
    for scene in SCENES {
        for way in WAYS {
            let (calls, _) = undisturbed(scene, way).await;
            assert!(!calls.is_empty());
            for position in 0..calls.len() {
                for kind in &before {
                    let what = format!("{kind:?} before {} ({position})", calls[position]);
                    let fault = fault_at(&calls, position).fail(kind.clone());
                    cases += survives(scene, way, &what, |world| world.matrix.plan(fault.clone())).await;
                }
                for kind in &after {
                    let what = format!("{kind:?} after {} ({position})", calls[position]);
                    let fault = fault_at(&calls, position).fail_after(kind.clone());
                    cases += survives(scene, way, &what, |world| world.matrix.plan(fault.clone())).await;
                }
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 300, "{cases} cases");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_made_good_by_the_next_run() {
    let mut cases = 0;
    for scene in SCENES {
        for way in WAYS {
            let (_, calls) = undisturbed(scene, way).await;
            for call in 0..calls {
                for when in [When::Before, When::After] {
                    let what = format!("the store fails, call {call}, {when:?}");
                    cases += survives(scene, way, &what, |world| world.store.fail(call, when)).await;
                }
                let what = format!("killed at call {call} of the store");
                cases += survives(scene, way, &what, |world| world.store.die_after(call)).await;
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 150, "{cases} cases");
}

#[tokio::test(start_paused = true)]
async fn being_cut_off_during_a_request_is_made_good_by_the_next_run() {
    let mut cases = 0;
    for scene in SCENES {
        for way in WAYS {
            let (calls, _) = undisturbed(scene, way).await;
            for position in 0..calls.len() {
                for restarted in [false, true] {
                    let world = prepare(scene, way).await;
                    let (fault, hold) = fault_at(&calls, position).hold();
                    world.matrix.plan(fault);
                    let accounts = Arc::new(world.accounts());
                    let run = tokio::spawn({
                        let (world, accounts) = (world.clone(), Arc::clone(&accounts));
                        async move { play(&world, &accounts).await }
                    });
                    hold.reached().await;
                    run.abort();
                    assert!(run.await.unwrap_err().is_cancelled());
                    drop(hold);
                    let accounts = if restarted {
                        Arc::new(world.accounts())
                    } else {
                        accounts
                    };
                    let what = format!("{scene:?}, {way:?}, cut off in {} ({position})", calls[position]);
                    assert_well(&world, &accounts, &what).await;
                    cases += 1;
                }
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 30, "{cases} cases");
}
