use super::*;

fn limited(rate_limited: bool) -> House {
    let mut registration = test_registration("matrix.test");
    registration.rate_limited = Some(rate_limited);
    House::with(
        FakeMatrix::builder("matrix.test")
            .appservice(registration)
            .rate_limits(RateLimits::Synapse),
    )
}

/// How many calls succeed before one is limited, and how long that one asks to wait.
async fn succeed_until_limited<T, F: Future<Output = crate::Result<T>>>(
    call: impl Fn(usize) -> F,
) -> (usize, Duration) {
    for done in 0..200 {
        if let Err(error) = call(done).await {
            assert!(
                matches!(error.kind(), MatrixErrorKind::LimitExceeded { .. }),
                "{error}"
            );
            assert_eq!(
                (error.status(), error.errcode()),
                (Some(429), Some("M_LIMIT_EXCEEDED"))
            );
            return (done, error.retry_after().unwrap());
        }
    }
    (200, Duration::ZERO)
}

#[tokio::test(start_paused = true)]
async fn rooms_are_limited_to_ten_at_once() {
    let house = limited(true);
    let started = tokio::time::Instant::now();
    let room = NewRoom::room();
    let (done, wait) = succeed_until_limited(|_| house.matrix.create_room(&house.alice, &room)).await;
    assert_eq!((done, wait.as_millis()), (10, 62_500));
    assert_eq!(
        started.elapsed(),
        Duration::from_millis(500),
        "a refusal takes half a second"
    );
}

#[tokio::test(start_paused = true)]
async fn messages_are_limited_together_with_rooms_and_joins() {
    let house = limited(true);
    let room_id = house.room().await;
    let say = |number: usize| {
        let (matrix, alice, room_id) = (house.matrix.clone(), house.alice.clone(), room_id.clone());
        async move {
            let message = Message::text("hi");
            matrix
                .send_message(&alice, &room_id, &transaction(&number.to_string()), &message)
                .await
        }
    };
    let (done, wait) = succeed_until_limited(say).await;
    assert_eq!((done, wait.as_millis()), (9, 5_000));
    tokio::time::sleep(wait).await;
    say(100).await.unwrap();
    say(101).await.unwrap_err();
    // What was sent before costs nothing.
    say(0).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_appservice_that_is_not_limited_is_not() {
    let house = limited(false);
    let room_id = house.room().await;
    let say = |number: usize| {
        let (matrix, agent, room_id) = (house.matrix.clone(), house.agent.clone(), room_id.clone());
        async move {
            let message = Message::text("hi");
            matrix
                .send_message(&agent, &room_id, &transaction(&number.to_string()), &message)
                .await
        }
    };
    assert_eq!(succeed_until_limited(say).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn registrations_of_people_use_up_what_appservices_are_checked_against() {
    let house = limited(false);
    let register = |number: usize| {
        let matrix = house.matrix.clone();
        async move {
            matrix
                .register(&Registration::dummy(format!("user{number}"), password()))
                .await
        }
    };
    assert_eq!(succeed_until_limited(register).await.0, 3);
    let token = house.matrix.test_appservice().token;
    let agent = Registration::appservice("agent_2", token);
    let error = house.matrix.register(&agent).await.unwrap_err();
    tokio::time::sleep(error.retry_after().unwrap()).await;
    house.matrix.register(&agent).await.unwrap();
    house
        .matrix
        .register(&Registration::appservice(
            "agent_3",
            house.matrix.test_appservice().token,
        ))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn logins_are_limited_to_five() {
    let house = limited(false);
    let login = |_| {
        let matrix = house.matrix.clone();
        async move {
            matrix
                .login(&crate::LoginRequest::with_password("alice", password()))
                .await
        }
    };
    let (done, wait) = succeed_until_limited(login).await;
    assert_eq!((done, wait.as_secs()), (5, 333));
}

#[tokio::test(start_paused = true)]
async fn an_administrator_can_lift_the_limits_of_a_user() {
    use crate::{SynapseAdminApi, admin::RateLimit};
    let house = limited(true);
    let boss = house.matrix.add_admin("boss");
    let room = NewRoom::room();
    house
        .matrix
        .set_rate_limit_override(&boss, &house.alice.user_id, &RateLimit::UNLIMITED)
        .await
        .unwrap();
    let (done, _) = succeed_until_limited(|_| house.matrix.create_room(&house.alice, &room)).await;
    assert_eq!(done, 200);
}
