use super::*;

#[tokio::test]
async fn a_fault_strikes_the_next_call_and_has_no_effect() {
    let house = House::new();
    house
        .matrix
        .plan(Fault::on("create_room").fail(MatrixErrorKind::Server));
    let error = house
        .matrix
        .create_room(&house.alice, &NewRoom::room())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &MatrixErrorKind::Server);
    assert_eq!((error.status(), error.call()), (Some(500), Some("create_room")));
    assert!(error.is_retryable() && error.may_have_applied());
    assert!(house.matrix.rooms().is_empty());
    house
        .matrix
        .create_room(&house.alice, &NewRoom::room())
        .await
        .unwrap();
    house.matrix.assert_faults_used();
}

#[tokio::test]
async fn a_fault_after_the_effect_loses_the_answer_alone() {
    let house = House::new();
    house
        .matrix
        .plan(Fault::on("create_room").fail_after(MatrixErrorKind::Timeout));
    let error = house
        .matrix
        .create_room(&house.alice, &NewRoom::room())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &MatrixErrorKind::Timeout);
    assert!(error.may_have_applied());
    assert_eq!(house.matrix.rooms().len(), 1);
    assert_eq!(house.matrix.calls()[0].outcome, Outcome::FailedAfter);
}

#[tokio::test]
async fn a_lost_connection_says_that_nothing_was_sent() {
    let house = House::new();
    house
        .matrix
        .plan(Fault::on("create_room").fail(MatrixErrorKind::Connect));
    let error = house
        .matrix
        .create_room(&house.alice, &NewRoom::room())
        .await
        .unwrap_err();
    assert!(error.is_retryable() && !error.may_have_applied());
}

#[tokio::test]
async fn a_fault_waits_for_its_user_room_and_arguments() {
    let house = House::new();
    let room_id = house.room().await;
    let matrix = &house.matrix;
    matrix.plan(
        Fault::on("set_state_event")
            .user(house.alice.user_id.clone())
            .fail(MatrixErrorKind::Server),
    );
    matrix.plan(
        Fault::on("set_state_event")
            .room(room_id.clone())
            .argument("m.room.topic")
            .refuse(418, "M_X", "x"),
    );
    matrix.set_room_name(&house.agent, &room_id, "a").await.unwrap();
    assert_eq!(matrix.unused_faults().len(), 2);
    let error = matrix
        .set_room_topic(&house.agent, &room_id, "a")
        .await
        .unwrap_err();
    assert_eq!((error.status(), error.errcode()), (Some(418), Some("M_X")));
    let error = matrix
        .set_room_name(&house.alice, &room_id, "b")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &MatrixErrorKind::Server);
    matrix.assert_faults_used();
}

#[tokio::test]
async fn a_fault_can_skip_repeat_and_never_end() {
    let house = House::new();
    let whoami = || house.matrix.whoami(&house.alice);
    house.matrix.plan(
        Fault::on("whoami")
            .skip(1)
            .times(2)
            .rate_limit(Duration::from_secs(3)),
    );
    assert!(whoami().await.is_ok());
    for _ in 0..2 {
        assert_eq!(
            whoami().await.unwrap_err().retry_after(),
            Some(Duration::from_secs(3))
        );
    }
    assert!(whoami().await.is_ok());
    house
        .matrix
        .plan(Fault::on("whoami").always().fail(MatrixErrorKind::Timeout));
    for _ in 0..5 {
        assert!(whoami().await.is_err());
    }
    house.matrix.clear_faults();
    assert!(whoami().await.is_ok());
}

#[tokio::test]
#[should_panic(expected = "planned faults that no call met")]
async fn a_fault_that_no_call_meets_fails_the_test() {
    let house = House::new();
    house
        .matrix
        .plan(Fault::on("whoami").times(2).fail(MatrixErrorKind::Timeout));
    house.matrix.whoami(&house.alice).await.unwrap_err();
    house.matrix.assert_faults_used();
}

#[tokio::test]
#[should_panic(expected = "no method `whoamI`")]
async fn a_fault_for_a_method_that_is_none_is_a_mistake() {
    let _ = Fault::on("whoamI");
}

#[tokio::test]
async fn a_held_call_waits_for_its_release() {
    let house = House::new();
    let (fault, hold) = Fault::on("create_room").hold();
    house.matrix.plan(fault);
    let call = tokio::spawn({
        let (matrix, alice) = (house.matrix.clone(), house.alice.clone());
        async move { matrix.create_room(&alice, &NewRoom::room()).await }
    });
    hold.reached().await;
    assert!(house.matrix.rooms().is_empty());
    assert_eq!(house.matrix.calls()[0].outcome, Outcome::Pending);
    hold.release();
    call.await.unwrap().unwrap();
    assert_eq!(house.matrix.rooms().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_call_takes_its_time() {
    let house = House::new();
    house
        .matrix
        .plan(Fault::on("whoami").delay(Duration::from_secs(40)));
    let started = tokio::time::Instant::now();
    house.matrix.whoami(&house.alice).await.unwrap();
    assert_eq!(started.elapsed(), Duration::from_secs(40));
}

#[tokio::test]
async fn a_server_that_is_down_refuses_connections_until_it_is_up() {
    let house = House::new();
    house.matrix.down();
    let error = house.matrix.whoami(&house.alice).await.unwrap_err();
    assert_eq!(error.kind(), &MatrixErrorKind::Connect);
    house.matrix.up();
    house.matrix.whoami(&house.alice).await.unwrap();
    assert_eq!(house.matrix.count("whoami"), 2);
}

#[tokio::test]
async fn a_restart_cuts_waiting_calls_and_keeps_everything() {
    let house = House::new();
    let room_id = house.room().await;
    let since = house
        .matrix
        .sync(&house.alice, &crate::SyncRequest::initial())
        .await
        .unwrap()
        .next_batch;
    let (fault, hold) = Fault::on("create_room").hold();
    house.matrix.plan(fault);
    let spawn = |matrix: FakeMatrix, alice: Session, since: String| {
        tokio::spawn(async move {
            let request = crate::SyncRequest::since(since).timeout(Duration::from_secs(600));
            matrix.sync(&alice, &request).await
        })
    };
    let poll = spawn(house.matrix.clone(), house.alice.clone(), since.clone());
    let create = tokio::spawn({
        let (matrix, alice) = (house.matrix.clone(), house.alice.clone());
        async move { matrix.create_room(&alice, &NewRoom::room()).await }
    });
    hold.reached().await;
    while house.matrix.count("sync") < 2 {
        tokio::task::yield_now().await;
    }
    house.matrix.restart();
    assert_eq!(
        poll.await.unwrap().unwrap_err().kind(),
        &MatrixErrorKind::Interrupted
    );
    hold.release();
    let error = create.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), &MatrixErrorKind::Interrupted);
    assert!(error.may_have_applied());
    house.say(&house.agent, &room_id, "after").await;
    let news = house
        .matrix
        .sync(&house.alice, &crate::SyncRequest::since(since))
        .await
        .unwrap();
    assert_eq!(news.joined[&room_id].timeline.events.len(), 1);
    house.matrix.assert_invariants();
}

#[tokio::test]
async fn a_wiped_server_knows_nobody() {
    let house = House::new();
    let room_id = house.room().await;
    house.matrix.wipe();
    let error = house.matrix.whoami(&house.alice).await.unwrap_err();
    assert_eq!(
        error.kind(),
        &MatrixErrorKind::Unauthorized { soft_logout: false }
    );
    assert_eq!(
        house.matrix.whoami(&house.agent).await.unwrap_err().kind(),
        &MatrixErrorKind::Forbidden
    );
    assert!(house.matrix.users().is_empty() && house.matrix.rooms().is_empty());
    let bot = house.matrix.test_appservice().sender_session();
    let again = house.matrix.create_room(&bot, &NewRoom::room()).await.unwrap();
    assert_ne!(again, room_id);
}

#[tokio::test]
async fn the_journal_tells_who_asked_for_what_and_holds_no_secret() {
    let house = House::new();
    let room_id = house.room().await;
    house
        .matrix
        .set_room_name(&house.agent, &room_id, "Tea")
        .await
        .unwrap();
    house
        .matrix
        .set_room_name(&house.alice, &room_id, "Coffee")
        .await
        .unwrap_err();
    let calls = house.matrix.calls_of("set_state_event");
    assert!(calls[0].is_by(&house.agent.user_id) && calls[0].is_about(&room_id));
    assert_eq!(calls[0].arguments["content"]["name"], "Tea");
    assert_eq!(
        (calls[0].outcome, calls[1].outcome),
        (Outcome::Answered, Outcome::Refused(403))
    );

    house
        .matrix
        .register(&Registration::dummy("bob", password()))
        .await
        .unwrap();
    house
        .matrix
        .login(&crate::LoginRequest::with_password("bob", password()))
        .await
        .unwrap();
    let bob = house.matrix.test_appservice().token;
    house
        .matrix
        .register(&Registration::appservice("agent_2", bob))
        .await
        .unwrap();
    let journal = format!("{:?}{:?}", house.matrix.calls(), house.matrix);
    assert!(!journal.contains(TEST_PASSWORD) && !journal.contains(TEST_AS_TOKEN));
    house.matrix.clear_journal();
    assert_eq!(house.matrix.call_count(), 0);
}

#[tokio::test]
async fn the_same_seed_and_calls_give_the_same_ids() {
    async fn story(seed: u64) -> (OwnedRoomId, ruma::OwnedEventId, String) {
        let house = House::with(FakeMatrix::builder("matrix.test").test_appservice().seed(seed));
        let room_id = house.room().await;
        let event_id = house.say(&house.agent, &room_id, "hello").await;
        let session = house
            .matrix
            .register(&Registration::dummy("bob", password()))
            .await
            .unwrap()
            .session;
        (
            room_id,
            event_id,
            secrecy::ExposeSecret::expose_secret(session.unwrap().token()).to_owned(),
        )
    }
    assert_eq!(story(1).await, story(1).await);
    assert_ne!(story(1).await, story(2).await);
}

#[tokio::test]
async fn a_room_can_be_left_half_made() {
    let house = House::new();
    house.matrix.plan(Fault::on("create_room").leave_half_made());
    let room = NewRoom::room()
        .alias_localpart("agent_room")
        .name("Tea")
        .invite([house.alice.user_id.clone()]);
    let error = house.matrix.create_room(&house.agent, &room).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.may_have_applied()),
        (&MatrixErrorKind::Server, true)
    );
    let half = house
        .matrix
        .alias(ruma::room_alias_id!("#agent_room:matrix.test"))
        .unwrap();
    let half = house.matrix.room(&half).unwrap();
    assert_eq!((half.name, half.members.len()), (None, 1));
    assert!(half.members.contains_key(&house.agent.user_id));
    house.matrix.assert_faults_used();
    house.matrix.assert_invariants();
}
