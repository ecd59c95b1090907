//! What sessions cost when all is well.

use matrix_client::fake::TEST_PASSWORD;
use secrecy::ExposeSecret;

use crate::world::{WAYS, World, agent, bot};

#[tokio::test]
async fn a_new_user_costs_one_registration_and_no_login() {
    for way in WAYS {
        let world = World::with(way);
        let accounts = world.accounts();
        assert!(accounts.register(&agent()).await.unwrap());
        let session = accounts.session(&agent()).await.unwrap();
        assert_eq!(
            (world.matrix.call_count(), world.matrix.count(way.call())),
            (1, 1),
            "{way:?}"
        );
        assert!(world.is_accepted(&session).await);
        assert!(!accounts.register(&agent()).await.unwrap(), "not made again");
        assert_eq!(world.requests(), (1, 0), "{way:?}");
        assert_eq!(world.matrix.user(&agent()).unwrap().devices, ["LETTAMATRIX"]);
    }
}

#[tokio::test]
async fn a_restart_costs_one_read_of_the_store_and_no_request() {
    let world = World::new();
    let former = world.settle(&world.accounts()).await;
    let accounts = world.accounts();
    let (reads, writes) = (world.store.reads(), world.store.writes());
    for _ in 0..10 {
        let session = accounts.session(&agent()).await.unwrap();
        assert_eq!(session.token().expose_secret(), former.token().expose_secret());
        assert_eq!(session.device_id, former.device_id);
        assert!(!accounts.register(&agent()).await.unwrap());
    }
    assert_eq!(
        (world.store.reads() - reads, world.store.writes() - writes),
        (1, 0)
    );
    assert_eq!(world.matrix.call_count(), 0);
}

#[tokio::test]
async fn a_lost_database_costs_one_registration_that_is_refused_and_one_login() {
    for way in WAYS {
        let mut world = World::with(way);
        world.settle(&world.accounts()).await;
        world.lose_the_store();
        let accounts = world.accounts();
        assert!(
            !accounts.register(&agent()).await.unwrap(),
            "it was there already"
        );
        let session = accounts.session(&agent()).await.unwrap();
        assert_eq!(world.requests(), (1, 1), "{way:?}");
        assert!(world.is_accepted(&session).await);
        assert_eq!(world.matrix.user(&agent()).unwrap().devices, ["LETTAMATRIX"]);
        world.accounts().session(&agent()).await.unwrap();
        assert_eq!(world.requests(), (1, 1), "{way:?}: kept again");
    }
}

#[tokio::test]
async fn the_bot_logs_in_once_in_its_life() {
    let world = World::new();
    let session = world.accounts().session(&bot()).await.unwrap();
    assert!(world.is_accepted(&session).await);
    for _ in 0..3 {
        let accounts = world.accounts();
        accounts.session(&bot()).await.unwrap();
        accounts.session(&bot()).await.unwrap();
    }
    assert_eq!(world.requests(), (0, 1));
}

#[tokio::test]
async fn a_bot_that_is_to_be_registered_gets_the_password_of_the_settings() {
    let mut world = World::new();
    let mut settings = world.settings();
    settings.bot = ruma::UserId::parse("@new_bot:matrix.test").unwrap();
    let bot = settings.bot.clone();
    assert!(
        world
            .accounts_with(settings.clone())
            .register(&bot)
            .await
            .unwrap()
    );
    world.lose_the_store();
    world.matrix.clear_journal();
    let session = world.accounts_with(settings).session(&bot).await.unwrap();
    assert!(world.is_accepted(&session).await);
    assert_eq!(world.requests(), (0, 1));
}

#[tokio::test]
async fn an_adopted_account_is_logged_in_to_with_the_password_that_came_with_it() {
    let world = World::new();
    world.matrix.add_user("agent_001");
    let accounts = world.accounts();
    accounts.adopt(&agent(), &TEST_PASSWORD.into()).await.unwrap();
    assert_eq!(world.matrix.call_count(), 0);
    assert!(!accounts.register(&agent()).await.unwrap());
    let session = accounts.session(&agent()).await.unwrap();
    assert!(world.is_accepted(&session).await);
    assert_eq!(world.requests(), (0, 1));

    // Also the next time that a password is needed.
    world.advance(301);
    world.matrix.log_out_everywhere(&agent());
    world.working_session(&world.accounts()).await.unwrap();
    assert_eq!(world.requests(), (0, 2));
    let stored = world.stored(&agent()).await.unwrap();
    assert!(stored.sealed_password.is_some());
}

#[tokio::test]
async fn a_password_that_comes_later_ends_the_waiting() {
    let world = World::new();
    world.matrix.add_user("agent_001");
    let accounts = world.accounts();
    for _ in 0..5 {
        accounts.session(&agent()).await.unwrap_err();
    }
    accounts.adopt(&agent(), &TEST_PASSWORD.into()).await.unwrap();
    let session = accounts.session(&agent()).await.unwrap();
    assert!(world.is_accepted(&session).await);
}

#[tokio::test]
async fn more_users_than_are_kept_in_memory_cost_reads_and_no_requests() {
    let world = World::new();
    let mut settings = world.settings();
    settings.cached_sessions = 10;
    let accounts = world.accounts_with(settings);
    let users: Vec<_> = (0..50)
        .map(|number| ruma::UserId::parse(format!("@agent_{number}:matrix.test")).unwrap())
        .collect();
    for user in &users {
        accounts.register(user).await.unwrap();
    }
    for user in users.iter().chain(&users) {
        accounts.session(user).await.unwrap();
    }
    assert_eq!(world.requests(), (50, 0));
}

#[tokio::test]
async fn two_instances_on_one_store_make_one_login() {
    let world = World::new();
    let (one, other) = (world.accounts(), world.accounts());
    world.settle(&one).await;
    other.session(&agent()).await.unwrap();
    world.matrix.log_out_everywhere(&agent());
    for accounts in [&one, &other, &one] {
        world.working_session(accounts).await.unwrap();
    }
    assert_eq!(world.requests(), (0, 1));
}
