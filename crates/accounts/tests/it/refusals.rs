//! What happens when the homeserver refuses, or the store cannot be read.

use std::error::Error as _;

use accounts::AccountError;
use accounts::AccountKey;
use matrix_client::{MatrixErrorKind, fake::RegistrationPolicy};
use store::AccountStore;

use crate::world::{WAYS, Way, World, agent, bot};

fn kind(error: &AccountError) -> &MatrixErrorKind {
    match error {
        AccountError::Matrix(error) => error.kind(),
        other => panic!("not a refusal of the homeserver: {other:?}"),
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_by_one_login() {
    for way in WAYS {
        for expired in [false, true] {
            let world = World::with(way);
            let accounts = world.accounts();
            let session = world.settle(&accounts).await;
            if expired {
                world.matrix.expire_tokens(&agent());
            } else {
                world.matrix.log_out_everywhere(&agent());
            }
            assert!(!world.is_accepted(&session).await);
            assert!(
                accounts.forget(&session).await.unwrap(),
                "there may be another one"
            );
            let session = accounts.session(&agent()).await.unwrap();
            assert!(world.is_accepted(&session).await);
            assert_eq!(world.requests(), (0, 1), "{way:?} {expired}");
            assert_eq!(world.matrix.user(&agent()).unwrap().devices, ["LETTAMATRIX"]);
        }
    }
}

#[tokio::test]
async fn a_token_that_is_refused_again_and_again_is_replaced_once_in_five_minutes() {
    let world = World::new();
    let mut accounts = world.accounts();
    let mut session = world.settle(&accounts).await;
    let mut logins = 0;
    // An hour, asked every ten seconds; every other time after a restart.
    for turn in 0..360 {
        if turn % 2 == 1 {
            accounts = world.accounts();
        }
        world.matrix.log_out_everywhere(&agent());
        let may_be_replaced = accounts.forget(&session).await.unwrap();
        match accounts.session(&agent()).await {
            Ok(other) => {
                assert!(may_be_replaced, "turn {turn}");
                session = other;
                logins += 1;
            }
            Err(error) => {
                assert!(
                    matches!(error, AccountError::LoginLoop { .. }),
                    "turn {turn}: {error:?}"
                );
                assert!(!may_be_replaced, "turn {turn}");
            }
        }
        world.advance(10);
    }
    assert_eq!((logins, world.requests()), (12, (0, 12)));
}

#[tokio::test]
async fn a_clock_that_was_years_ahead_locks_nobody_out() {
    let world = World::new();
    let accounts = world.accounts();
    let session = world.settle(&accounts).await;
    let mut stored = world.stored(&agent()).await.unwrap();
    stored.logged_in_at = Some("2040-01-01T00:00:00Z".parse().unwrap());
    world.store.put_account(&stored).await.unwrap();
    world.matrix.log_out_everywhere(&agent());
    assert!(accounts.forget(&session).await.unwrap());
    accounts.session(&agent()).await.unwrap();
}

#[tokio::test]
async fn a_session_that_was_replaced_already_is_not_replaced_again() {
    let world = World::new();
    let accounts = world.accounts();
    let session = world.settle(&accounts).await;
    world.matrix.log_out_everywhere(&agent());
    for _ in 0..10 {
        assert!(accounts.forget(&session).await.unwrap());
        accounts.session(&agent()).await.unwrap();
    }
    assert_eq!(world.requests(), (0, 1));
    let unknown = matrix_client::Session::with_access_token(bot(), "not-a-real-token".into());
    assert!(accounts.forget(&unknown).await.unwrap());
}

#[tokio::test]
async fn a_user_with_another_password_is_foreign() {
    for way in WAYS {
        let world = World::with(way);
        world.matrix.add_user("agent_001");
        for error in [
            world.accounts().register(&agent()).await.unwrap_err(),
            world.accounts().session(&agent()).await.unwrap_err(),
        ] {
            assert!(matches!(error, AccountError::Foreign { .. }), "{way:?} {error:?}");
            let words = "the user @agent_001:matrix.test exists and is not ours: its password is another one";
            assert_eq!(error.to_string(), words);
        }
        assert_eq!(
            world.matrix.user(&agent()).unwrap().devices.len(),
            1,
            "the owner's own"
        );
    }
}

#[tokio::test]
async fn with_another_key_nothing_is_sent_while_the_store_is_there() {
    let mut world = World::new();
    world.settle(&world.accounts()).await;
    let kept = world.stored(&agent()).await;
    world.key = AccountKey::new("not-a-real-account-key-9876543210".into()).unwrap();
    let accounts = world.accounts();
    let error = accounts.session(&agent()).await.unwrap_err();
    assert!(matches!(error, AccountError::Sealed { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the stored token of @agent_001:matrix.test cannot be read: it was encrypted under another key"
    );
    assert!(matches!(
        accounts.register(&agent()).await,
        Err(AccountError::Sealed { .. })
    ));
    assert_eq!(world.matrix.call_count(), 0);
    assert_eq!(world.stored(&agent()).await, kept, "the right key still opens it");

    // And without it the user is somebody else's.
    world.lose_the_store();
    let error = world.accounts().register(&agent()).await.unwrap_err();
    assert!(matches!(error, AccountError::Foreign { .. }), "{error:?}");
    assert_eq!(world.requests(), (1, 1));
}

#[tokio::test]
async fn a_token_that_was_moved_to_another_user_is_not_used() {
    let world = World::new();
    world.settle(&world.accounts()).await;
    let mut moved = world.stored(&agent()).await.unwrap();
    moved.user_id = bot();
    world.store.put_account(&moved).await.unwrap();
    let error = world.accounts().session(&bot()).await.unwrap_err();
    assert!(matches!(error, AccountError::Sealed { .. }), "{error:?}");
    assert_eq!(world.matrix.call_count(), 0);
}

#[tokio::test]
async fn a_homeserver_that_was_reset_gets_its_users_back() {
    for way in WAYS {
        let world = World::with(way);
        let accounts = world.accounts();
        world.settle(&accounts).await;
        world.matrix.wipe();
        let session = world.working_session(&accounts).await.unwrap();
        assert_eq!(
            world.requests(),
            (1, 1),
            "{way:?}: a refused login, then a registration"
        );
        assert!(world.is_accepted(&session).await);
    }
}

#[tokio::test]
async fn a_deactivated_user_is_not_ours_any_more() {
    let world = World::new();
    let accounts = world.accounts();
    let session = world.settle(&accounts).await;
    world.matrix.deactivate_user(&agent());
    accounts.forget(&session).await.unwrap();
    let error = accounts.session(&agent()).await.unwrap_err();
    assert!(matches!(error, AccountError::Foreign { .. }), "{error:?}");
    assert_eq!(world.requests(), (1, 1));
}

#[tokio::test]
async fn a_bot_with_a_wrong_password_is_refused_and_not_registered() {
    let world = World::new();
    let mut settings = world.settings();
    settings.bot_password = "not-a-real-password".into();
    let accounts = world.accounts_with(settings.clone());
    assert_eq!(
        kind(&accounts.session(&bot()).await.unwrap_err()),
        &MatrixErrorKind::Forbidden
    );
    settings.bot = ruma::UserId::parse("@nobody:matrix.test").unwrap();
    let nobody = settings.bot.clone();
    let accounts = world.accounts_with(settings);
    assert_eq!(
        kind(&accounts.session(&nobody).await.unwrap_err()),
        &MatrixErrorKind::Forbidden
    );
    assert_eq!(world.requests(), (0, 2));
}

#[tokio::test]
async fn closed_registration_and_wrong_registration_secrets_are_told() {
    let mut world = World::with(Way::SharedSecret);
    world.way = Way::Open;
    let error = world.accounts().register(&agent()).await.unwrap_err();
    assert_eq!(kind(&error), &MatrixErrorKind::Forbidden);
    assert!(
        error
            .source()
            .unwrap()
            .to_string()
            .contains("Registration has been disabled")
    );

    let world = World {
        matrix: matrix_client::fake::FakeMatrix::builder("matrix.test")
            .registration(RegistrationPolicy::Token("not-a-real-other-token".into()))
            .shared_secret("not-a-real-other-secret".into())
            .build(),
        ..World::with(Way::Token)
    };
    let error = world.accounts().register(&agent()).await.unwrap_err();
    assert!(
        matches!(
            kind(&error),
            MatrixErrorKind::Forbidden | MatrixErrorKind::InteractiveAuthRequired { .. }
        ),
        "{error:?}"
    );
    let world = World {
        way: Way::SharedSecret,
        ..world
    };
    let error = world.accounts().register(&agent()).await.unwrap_err();
    assert_eq!(kind(&error), &MatrixErrorKind::Forbidden);
    assert_eq!(world.matrix.count("login"), 0);
}

#[tokio::test]
async fn a_name_that_the_homeserver_spells_otherwise_is_refused() {
    let world = World::new();
    let user = ruma::UserId::parse("@Agent:matrix.test").unwrap();
    let error = world.accounts().register(&user).await.unwrap_err();
    assert_eq!(kind(&error), &MatrixErrorKind::InvalidUsername);
}
