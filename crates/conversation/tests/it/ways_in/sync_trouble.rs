//! The news of accounts, while something is wrong.

use std::time::Duration;

use matrix_client::{MatrixErrorKind, fake::Fault};
use tokio::time::sleep;

use super::sync_world::{World, alpha};

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced() {
    let world = World::new().await;
    let room = world.room(&[alpha()]);
    let running = world.start();
    world.until(|| world.cursor().is_some()).await;
    let logins = world.matrix.count("login");
    world.matrix.log_out_everywhere(alpha());
    world.says(&room, "hello").await;
    world.hears(&["hello"]).await;
    assert_eq!(world.matrix.count("login"), logins + 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_refused_for_ever_make_no_storm() {
    let world = World::new().await;
    let fault = Fault::on("sync").fail(MatrixErrorKind::Unauthorized { soft_logout: false });
    world.matrix.plan(fault.always());
    world.matrix.clear_journal();
    let running = world.start();
    sleep(Duration::from_secs(600)).await;
    let (syncs, logins) = (world.matrix.count("sync"), world.matrix.count("login"));
    assert!(syncs < 25 && logins < 25, "{syncs} syncs and {logins} logins");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_homeserver_that_is_down_is_waited_for() {
    let world = World::new().await;
    let room = world.room(&[alpha()]);
    let running = world.start();
    world.until(|| world.cursor().is_some()).await;
    world.says(&room, "before").await;
    world.until(|| world.store.bodies().len() == 1).await;
    world.matrix.down();
    world.matrix.clear_journal();
    sleep(Duration::from_secs(3600)).await;
    let calls = world.matrix.count("sync");
    assert!((55..80).contains(&calls), "{calls} tries in an hour");
    world.matrix.up();
    world.says(&room, "after").await;
    world.hears(&["before", "after"]).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_homeserver_that_is_down_at_the_start_is_waited_for() {
    let world = World::new().await;
    let room = world.room(&[alpha()]);
    world.first_sync().await;
    world.says(&room, "hello").await;
    world.matrix.down();
    let running = world.start();
    sleep(Duration::from_secs(100)).await;
    world.matrix.up();
    world.hears(&["hello"]).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_anywhere_loses_and_repeats_nothing() {
    // Ended after so many milliseconds, and the write that was going on was kept or was not.
    for is_after in [false, true] {
        for lifetime in [0, 1, 30, 1_500] {
            let world = World::new().await;
            let room = world.room(&[alpha()]);
            world.first_sync().await;
            let cursor = world.cursor();
            let texts = world.counts(&room, 0..12).await;
            if is_after {
                world.store.fail_after(1);
            } else {
                world.store.fail_before(1);
            }
            let running = world.start();
            sleep(Duration::from_millis(lifetime)).await;
            running.stop().await;
            let is_kept = !world.store.bodies().is_empty();
            assert_eq!(
                is_kept,
                world.cursor() != cursor,
                "the place moves with the events"
            );
            let again = world.start();
            world.hears(&texts).await;
            again.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_not_taken_in_part() {
    let mut world = World::new().await;
    world.settings.timeline = 5;
    world.settings.page = 5;
    let room = world.room(&[alpha()]);
    world.first_sync().await;
    let cursor = world.cursor();
    let texts = world.counts(&room, 0..30).await;
    let fault = Fault::on("list_messages")
        .skip(2)
        .times(3)
        .fail(MatrixErrorKind::Server);
    world.matrix.plan(fault);
    let running = world.start();
    world.until(|| world.matrix.count("list_messages") == 3).await;
    assert_eq!((world.store.arrivals().len(), world.cursor()), (0, cursor));
    world.hears(&texts).await;
    world.matrix.assert_faults_used();
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_history_that_may_not_be_read_holds_nothing_up() {
    let mut world = World::new().await;
    world.settings.timeline = 5;
    let room = world.room(&[alpha()]);
    world.first_sync().await;
    let texts = world.counts(&room, 0..30).await;
    world
        .matrix
        .plan(Fault::on("list_messages").fail(MatrixErrorKind::Forbidden));
    let running = world.start();
    world.hears(&texts[25..]).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_place_that_the_homeserver_does_not_know_is_begun_anew() {
    let world = World::new().await;
    let room = world.room(&[alpha()]);
    world.says(&room, "old").await;
    world.store.set_cursor("sync:@agent_001:matrix.test", "nonsense");
    let running = world.start();
    world
        .until(|| world.cursor().is_some_and(|cursor| cursor != "nonsense"))
        .await;
    assert_eq!(world.store.arrivals(), []);
    world.says(&room, "new").await;
    world.hears(&["new"]).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_at_first_is_waited_for() {
    let world = World::new().await;
    let room = world.room(&[alpha()]);
    world.store.fail_before(3);
    let running = world.start();
    world.until(|| world.store.writes() == 4).await;
    world.says(&room, "hello").await;
    world.hears(&["hello"]).await;
    running.stop().await;
}
