//! There are no login storms.

use std::{sync::Arc, time::Duration};

use accounts::AccountError;
use accounts::PasswordAccounts;
use futures_util::future::join_all;
use matrix_client::{
    MatrixErrorKind,
    fake::{FakeMatrix, Fault, RateLimits},
};

use crate::{
    flaky::When,
    world::{World, agent},
};

/// A user whose token is gone, and the accounts of a process that knows nothing yet.
async fn without_token() -> (World, Arc<PasswordAccounts>) {
    let world = World::new();
    let accounts = world.accounts();
    let session = world.settle(&accounts).await;
    world.matrix.log_out_everywhere(&agent());
    accounts.forget(&session).await.unwrap();
    let accounts = Arc::new(world.accounts());
    (world, accounts)
}

/// Fifty tasks ask at the same time, while the login takes its time.
async fn ask_fifty_times(accounts: &Arc<PasswordAccounts>) -> Vec<Result<(), AccountError>> {
    let tasks = (0..50).map(|_| {
        let accounts = Arc::clone(accounts);
        tokio::spawn(async move { accounts.session(&agent()).await.map(|_| ()) })
    });
    join_all(tasks).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(start_paused = true)]
async fn fifty_who_ask_at_once_share_one_login() {
    let (world, accounts) = without_token().await;
    world
        .matrix
        .plan(Fault::on("login").delay(Duration::from_secs(2)));
    assert!(ask_fifty_times(&accounts).await.iter().all(Result::is_ok));
    assert_eq!(world.requests(), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn fifty_who_ask_at_once_share_one_failure() {
    let (world, accounts) = without_token().await;
    world
        .matrix
        .plan(Fault::on("login").delay(Duration::from_secs(2)));
    world
        .matrix
        .plan(Fault::on("login").fail(MatrixErrorKind::Server));
    assert!(ask_fifty_times(&accounts).await.iter().all(Result::is_err));
    assert_eq!(world.requests(), (0, 1));
    assert!(
        accounts.session(&agent()).await.is_ok(),
        "and who asks later tries again"
    );
}

#[tokio::test(start_paused = true)]
async fn fifty_who_register_at_once_make_one_request() {
    let world = World::new();
    let accounts = Arc::new(world.accounts());
    world
        .matrix
        .plan(Fault::on("register").delay(Duration::from_secs(2)));
    let made: usize = join_all((0..50).map(|_| async { accounts.register(&agent()).await.unwrap() }))
        .await
        .into_iter()
        .map(usize::from)
        .sum();
    assert_eq!((made, world.requests()), (1, (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_login_that_fails_once_is_made_good_by_the_next_call() {
    for fault in [
        Fault::on("login").fail(MatrixErrorKind::Server),
        Fault::on("login").fail(MatrixErrorKind::Connect),
        Fault::on("login").fail_after(MatrixErrorKind::Timeout),
        Fault::on("login").fail_after(MatrixErrorKind::Interrupted),
    ] {
        let (world, accounts) = without_token().await;
        world.matrix.plan(fault);
        assert!(matches!(
            accounts.session(&agent()).await,
            Err(AccountError::Matrix(_))
        ));
        let session = accounts.session(&agent()).await.unwrap();
        assert!(world.is_accepted(&session).await);
        assert_eq!(world.requests(), (0, 2));
        assert_eq!(world.matrix.user(&agent()).unwrap().devices, ["LETTAMATRIX"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_that_always_fails_is_tried_ever_more_rarely() {
    let (world, accounts) = without_token().await;
    world
        .matrix
        .plan(Fault::on("login").fail(MatrixErrorKind::Server).always());
    // An hour, asked every second.
    for _ in 0..3600 {
        let error = accounts.session(&agent()).await.unwrap_err();
        assert!(
            matches!(&error, AccountError::Matrix(error) if *error.kind() == MatrixErrorKind::Server),
            "the reason is told also while nothing is sent: {error:?}"
        );
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let (_, logins) = world.requests();
    assert!((12..=22).contains(&logins), "{logins} logins");
    world.matrix.clear_faults();
    tokio::time::advance(Duration::from_secs(300)).await;
    accounts.session(&agent()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_foreign_user_is_tried_ever_more_rarely() {
    let world = World::new();
    world.matrix.add_user("agent_001");
    let accounts = world.accounts();
    for _ in 0..3600 {
        let error = accounts.session(&agent()).await.unwrap_err();
        assert!(matches!(error, AccountError::Foreign { .. }), "{error:?}");
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let (_, logins) = world.requests();
    assert!((12..=22).contains(&logins), "{logins} logins");
}

#[tokio::test(start_paused = true)]
async fn callers_that_give_up_again_and_again_cause_no_storm() {
    let (world, accounts) = without_token().await;
    world
        .matrix
        .plan(Fault::on("login").delay(Duration::from_secs(30)).always());
    for _ in 0..600 {
        let _ = tokio::time::timeout(Duration::from_secs(1), accounts.session(&agent())).await;
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let (_, logins) = world.requests();
    assert!(logins <= 10, "{logins} logins in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_is_honoured_by_everyone() {
    let (world, accounts) = without_token().await;
    world
        .matrix
        .plan(Fault::on("login").rate_limit(Duration::from_secs(333)));
    let limited_for = |error: AccountError| match error {
        AccountError::Matrix(error) => error.retry_after().unwrap().as_secs(),
        other => panic!("{other:?}"),
    };
    let error = accounts.session(&agent()).await.unwrap_err();
    assert_eq!(limited_for(error), 333);
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(limited_for(accounts.session(&agent()).await.unwrap_err()), 303);
    let bot = crate::world::bot();
    assert_eq!(limited_for(accounts.session(&bot).await.unwrap_err()), 30);
    assert_eq!(world.requests(), (0, 1));
    tokio::time::advance(Duration::from_secs(31)).await;
    accounts.session(&bot).await.unwrap();
    accounts.session(&agent()).await.unwrap_err();
    assert_eq!(world.requests(), (0, 2));
    tokio::time::advance(Duration::from_secs(300)).await;
    accounts.session(&agent()).await.unwrap();
    assert_eq!(world.requests(), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_lost_database_under_the_default_limits_is_worked_off_slowly() {
    let mut world = World::new();
    let accounts = world.accounts();
    let users: Vec<_> = (0..8)
        .map(|number| ruma::UserId::parse(format!("@agent_{number}:matrix.test")).unwrap())
        .collect();
    let limited = FakeMatrix::builder("matrix.test")
        .rate_limits(RateLimits::Synapse)
        .build();
    world.matrix = limited;
    drop(accounts);
    let accounts = world.accounts();
    for user in &users {
        while accounts.register(user).await.is_err() {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }
    world.lose_the_store();
    world.matrix.clear_journal();
    let accounts = world.accounts();
    let begun = tokio::time::Instant::now();
    for user in &users {
        while accounts.session(user).await.is_err() {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }
    let waited = begun.elapsed();
    let (_, logins) = world.requests();
    assert!(
        waited >= Duration::from_secs(3 * 300),
        "five at once, then one in 333 s: {waited:?}"
    );
    assert!(logins <= 8 + 4, "{logins} logins for 8 users");
}

#[tokio::test]
async fn a_store_that_cannot_be_written_prevents_the_login() {
    let (world, accounts) = without_token().await;
    for _ in 0..20 {
        world.store.fail(1, When::Before);
        let error = accounts.session(&agent()).await.unwrap_err();
        assert!(matches!(error, AccountError::Store(_)), "{error:?}");
        world.store.heal();
        world.store.fail(0, When::Before);
        assert!(matches!(
            world.accounts().session(&agent()).await,
            Err(AccountError::Store(_))
        ));
        world.store.heal();
    }
    assert_eq!(world.requests(), (0, 0));
    accounts.session(&agent()).await.unwrap();
    assert_eq!(world.requests(), (0, 1));
}

#[tokio::test]
async fn a_token_that_the_store_did_not_take_is_kept_and_written_later() {
    for when in [When::Before, When::After] {
        let (world, accounts) = without_token().await;
        // A read, the write before the login, and then the token.
        world.store.fail(2, when);
        assert!(matches!(
            accounts.session(&agent()).await,
            Err(AccountError::Store(_))
        ));
        let session = accounts.session(&agent()).await.unwrap();
        assert!(world.is_accepted(&session).await);
        assert_eq!(world.requests(), (0, 1), "{when:?}");
        world.accounts().session(&agent()).await.unwrap();
        assert_eq!(world.requests(), (0, 1), "{when:?}: the store has it now");
    }
}

#[tokio::test]
async fn a_token_that_could_not_be_forgotten_in_the_store_is_not_used_again() {
    let world = World::new();
    let accounts = world.accounts();
    let session = world.settle(&accounts).await;
    world.matrix.log_out_everywhere(&agent());
    // A read, and then the write.
    world.store.fail(1, When::Before);
    assert!(matches!(
        accounts.forget(&session).await,
        Err(AccountError::Store(_))
    ));
    let session = accounts.session(&agent()).await.unwrap();
    assert!(world.is_accepted(&session).await);
    assert_eq!(world.requests(), (0, 1));
}
