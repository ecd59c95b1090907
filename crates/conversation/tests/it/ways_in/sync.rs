//! The news of accounts, while all goes well.

use std::time::Duration;

use matrix_client::{MatrixApi, content::Message};
use tokio::time::sleep;

use super::sync_world::{World, alpha, beta};

#[tokio::test(start_paused = true)]
async fn nothing_old_is_taken_at_first_and_everything_after() {
    let world = World::new().await;
    let room = world.room(&[alpha()]);
    world.counts(&room, 0..30).await;
    let running = world.start();
    world.until(|| world.cursor().is_some()).await;
    assert_eq!(world.store.arrivals(), []);
    world.says(&room, "hello").await;
    world.hears(&["hello"]).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_said_while_we_were_away_comes_once_and_in_order() {
    for (timeline, page) in [(50, 100), (10, 7), (10, 20), (1, 1)] {
        let mut world = World::new().await;
        world.settings.timeline = timeline;
        world.settings.page = page;
        let room = world.room(&[alpha()]);
        world.says(&room, "old").await;
        world.first_sync().await;
        let texts = world.counts(&room, 0..30).await;
        let running = world.start();
        world.hears(&texts).await;
        running.stop().await;
        let again = world.start();
        world.hears(&texts).await;
        again.stop().await;
        assert_eq!(world.matrix.count("list_messages") > 0, timeline < 30);
    }
}

#[tokio::test(start_paused = true)]
async fn of_too_much_the_newest_is_kept() {
    let mut world = World::new().await;
    world.settings.timeline = 5;
    world.settings.page = 5;
    world.settings.pages = 2;
    let room = world.room(&[alpha()]);
    world.first_sync().await;
    let texts = world.counts(&room, 0..30).await;
    let running = world.start();
    world.hears(&texts[15..]).await;
    world.says(&room, "more").await;
    world.until(|| world.store.bodies().len() == 16).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_invitation_comes_in_until_it_is_answered() {
    let world = World::new().await;
    let room = world.room(&[]);
    let invite = || world.matrix.invite_user(&world.admin, &room, alpha(), None);
    invite().await.unwrap();
    let running = world.start();
    world.until(|| !world.store.arrivals().is_empty()).await;
    let admin = world.admin.user_id.clone();
    let invitation = (alpha().to_string(), "invite".to_owned(), admin);
    assert_eq!(world.memberships(), std::slice::from_ref(&invitation));
    let arrivals = world.store.arrivals();
    assert_eq!(arrivals[0].room_id, room);
    assert!(arrivals[0].event.contains("invite_room_state"), "{arrivals:?}");
    sleep(Duration::from_secs(300)).await;
    assert_eq!(world.store.arrivals().len(), 1, "once");

    let session = world.session(alpha()).await;
    world.matrix.leave_room(&session, &room, None).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    invite().await.unwrap();
    let invitations = || {
        let memberships = world.memberships();
        memberships.iter().filter(|member| **member == invitation).count()
    };
    world.until(|| invitations() == 2).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_said_before_an_agent_joined_is_not_for_it() {
    let world = World::new().await;
    let room = world.room(&[]);
    let running = world.start();
    world.until(|| world.cursor().is_some()).await;
    world.counts(&room, 0..5).await;
    world
        .matrix
        .invite_user(&world.admin, &room, alpha(), None)
        .await
        .unwrap();
    let session = world.session(alpha()).await;
    world
        .matrix
        .join_room(&session, (&*room).into(), &[])
        .await
        .unwrap();
    world.says(&room, "welcome").await;
    world.hears(&["welcome"]).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_room_of_two_agents_is_heard_once() {
    let world = World::new().await;
    let room = world.room(&[alpha(), beta()]);
    world.users.send_modify(|users| {
        users.insert(beta().to_owned());
    });
    let running = world.start();
    let beta_cursor = || world.store.cursor("sync:@agent_002:matrix.test");
    world
        .until(|| world.cursor().is_some() && beta_cursor().is_some())
        .await;
    world.says(&room, "hello").await;
    let session = world.session(alpha()).await;
    world.say(&session, &room, &Message::text("hello you")).await;
    let calling = Message::text("and you, Beta?").mention([beta().to_owned()]);
    world.say(&session, &room, &calling).await;
    world.hears(&["hello", "and you, Beta?"]).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_read_can_change() {
    let world = World::new().await;
    let room = world.room(&[alpha(), beta()]);
    world.users.send_replace([].into());
    let running = world.start();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.matrix.count("sync"), 0);
    world.users.send_replace([alpha().to_owned()].into());
    world.until(|| world.cursor().is_some()).await;
    world.says(&room, "one").await;
    world.until(|| world.store.bodies() == ["one"]).await;

    world.users.send_replace([beta().to_owned()].into());
    world
        .until(|| world.store.cursor("sync:@agent_002:matrix.test").is_some())
        .await;
    world.matrix.clear_journal();
    world.says(&room, "two").await;
    world.hears(&["one", "two"]).await;
    let calls = world.matrix.calls_of("sync");
    assert!(calls.iter().all(|call| call.is_by(beta())), "{calls:#?}");

    world.users.send_replace([].into());
    world.says(&room, "three").await;
    world.users.send_replace([alpha().to_owned()].into());
    world.hears(&["one", "two", "three"]).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_account_costs_no_writes_and_loses_nothing() {
    let world = World::new().await;
    let room = world.room(&[alpha()]);
    let running = world.start();
    world.until(|| world.cursor().is_some()).await;
    sleep(Duration::from_secs(300)).await;
    assert_eq!(world.store.writes(), 1);
    let polls = world.matrix.count("sync");
    assert!(
        (10..=13).contains(&polls),
        "{polls} polls of 30 s in five minutes"
    );
    sleep(Duration::from_secs(3600)).await;
    assert!(
        (5..=8).contains(&world.store.writes()),
        "{}",
        world.store.writes()
    );
    running.stop().await;
    world.says(&room, "hello").await;
    let running = world.start();
    world.hears(&["hello"]).await;
    running.stop().await;
}
