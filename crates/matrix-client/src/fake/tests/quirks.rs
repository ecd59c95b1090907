//! What was measured on Synapse and is easily got wrong.

use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::{StateEventType, SyncRequest};

#[tokio::test]
async fn of_four_rooms_with_one_alias_at_once_one_is_made_and_three_are_conflicts() {
    let house = House::new();
    let room = NewRoom::room().alias_localpart("agent_room");
    let results = join_all((0..4).map(|_| house.matrix.create_room(&house.agent, &room))).await;
    let (made, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (1, 3));
    for error in refused.into_iter().map(Result::unwrap_err) {
        assert_eq!((error.status(), error.errcode()), (Some(409), Some("M_UNKNOWN")));
    }
    let later = house.matrix.create_room(&house.agent, &room).await.unwrap_err();
    assert_eq!(
        (later.status(), later.kind()),
        (Some(400), &MatrixErrorKind::RoomInUse)
    );
    house.matrix.assert_invariants();
}

#[tokio::test]
async fn a_room_that_fails_late_is_left_half_made_with_its_alias() {
    let house = House::new();
    let levels = json!({ "users": { house.agent.user_id.as_str(): 100 } });
    let room = NewRoom::room()
        .alias_localpart("agent_room")
        .name("never")
        .power_level_overrides(levels.as_object().unwrap().clone());
    let error = house.matrix.create_room(&house.agent, &room).await.unwrap_err();
    assert_eq!((error.status(), error.errcode()), (Some(400), Some("M_UNKNOWN")));
    let alias = ruma::room_alias_id!("#agent_room:matrix.test");
    let half = house.matrix.alias(alias).unwrap();
    let half = house.matrix.room(&half).unwrap();
    assert_eq!(half.name, None);
    let state: Vec<&str> = half.state.keys().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(state, ["m.room.create", "m.room.member"]);
    house.matrix.assert_invariants();
}

#[tokio::test]
async fn an_appservices_transactions_without_a_device_are_forgotten_with_a_restart() {
    let house = House::new();
    let room_id = house.room().await;
    let token = house.matrix.test_appservice().token;
    let login = crate::LoginRequest::as_appservice("agent_1", token).device_id("BRIDGE");
    let own = house.matrix.login(&login).await.unwrap();
    let on_device = house.agent.clone().with_device("BRIDGE".into());
    let mut before = Vec::new();
    for (name, session) in [
        ("bare", &house.agent),
        ("device", &on_device),
        ("own", &own),
        ("alice", &house.alice),
    ] {
        before.push((name, session, house.say(session, &room_id, name).await));
    }
    house.matrix.restart();
    for (name, session, first) in before {
        let again = house.say(session, &room_id, name).await;
        assert_eq!(again == first, name != "bare", "{name}");
    }
}

#[tokio::test]
async fn a_transaction_of_one_agent_answers_for_another_even_outside_the_room() {
    let house = House::new();
    let room_id = house.room().await;
    let other = house.matrix.add_appservice_user(TEST_APPSERVICE_ID, "agent_2");
    let other = house.matrix.test_appservice().act_as(&other);
    let first = house.say(&house.agent, &room_id, "t1").await;
    assert_eq!(house.say(&other, &room_id, "t1").await, first);
    assert_eq!(house.matrix.messages(&room_id).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_profile_can_reach_the_rooms_later() {
    let delay = ProfilePropagation::After(Duration::from_secs(1));
    let builder = FakeMatrix::builder("matrix.test")
        .test_appservice()
        .profile_propagation(delay);
    let house = House::with(builder);
    let room_id = house.room().await;
    let name_there = || {
        let key = house.agent.user_id.as_str();
        house
            .matrix
            .state(&room_id, &StateEventType::RoomMember, key)
            .unwrap()["displayname"]
            .clone()
    };
    house
        .matrix
        .set_display_name(&house.agent, Some("First"))
        .await
        .unwrap();
    house
        .matrix
        .set_display_name(&house.agent, Some("Last"))
        .await
        .unwrap();
    assert_eq!(name_there(), "agent_1");
    assert_eq!(
        house
            .matrix
            .user(&house.agent.user_id)
            .unwrap()
            .display_name
            .as_deref(),
        Some("Last")
    );
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(name_there(), "Last");
}

#[tokio::test]
async fn a_room_that_everyone_has_left_cannot_be_joined_again() {
    let house = House::new();
    let room_id = house.room().await;
    house
        .matrix
        .leave_room(&house.alice, &room_id, None)
        .await
        .unwrap();
    house
        .matrix
        .leave_room(&house.agent, &room_id, None)
        .await
        .unwrap();
    let error = house
        .matrix
        .join_room(&house.agent, (&*room_id).into(), &[])
        .await
        .unwrap_err();
    assert_eq!((error.status(), error.errcode()), (Some(404), Some("M_UNKNOWN")));
    assert!(house.matrix.rooms().is_empty());
}

#[tokio::test]
async fn whoever_left_sees_the_room_as_it_was() {
    let house = House::new();
    let room_id = house.room().await;
    house
        .matrix
        .set_room_name(&house.agent, &room_id, "Before")
        .await
        .unwrap();
    house
        .matrix
        .leave_room(&house.alice, &room_id, None)
        .await
        .unwrap();
    house
        .matrix
        .set_room_name(&house.agent, &room_id, "After")
        .await
        .unwrap();
    let name = |session: Session| {
        let (matrix, room_id) = (house.matrix.clone(), room_id.clone());
        async move {
            matrix
                .find_state_event(&session, &room_id, &StateEventType::RoomName, "")
                .await
        }
    };
    assert_eq!(
        name(house.alice.clone()).await.unwrap(),
        Some(json!({ "name": "Before" }))
    );
    assert_eq!(
        name(house.agent.clone()).await.unwrap(),
        Some(json!({ "name": "After" }))
    );
    house.matrix.forget_room(&house.alice, &room_id).await.unwrap();
    assert_eq!(
        name(house.alice.clone()).await.unwrap_err().kind(),
        &MatrixErrorKind::Forbidden
    );
}

#[tokio::test]
async fn an_expired_token_asks_for_a_refresh_and_an_ended_one_for_a_login() {
    let house = House::new();
    house.matrix.expire_tokens(&house.alice.user_id);
    let error = house.matrix.whoami(&house.alice).await.unwrap_err();
    assert_eq!(error.kind(), &MatrixErrorKind::Unauthorized { soft_logout: true });
    house.matrix.log_out_everywhere(&house.alice.user_id);
    let error = house.matrix.whoami(&house.alice).await.unwrap_err();
    assert_eq!(
        error.kind(),
        &MatrixErrorKind::Unauthorized { soft_logout: false }
    );
}

#[tokio::test]
async fn a_registration_token_is_asked_for_and_checked() {
    let policy = RegistrationPolicy::Token("token-for-tests".into());
    let house = House::with(
        FakeMatrix::builder("matrix.test")
            .test_appservice()
            .registration(policy),
    );
    let error = house
        .matrix
        .register(&Registration::dummy("bob", password()))
        .await
        .unwrap_err();
    assert!(
        matches!(error.kind(), MatrixErrorKind::InteractiveAuthRequired { .. }),
        "{error}"
    );
    let wrong = Registration::with_token("bob", password(), "another".into());
    assert!(house.matrix.register(&wrong).await.is_err());
    let right = Registration::with_token("bob", password(), "token-for-tests".into());
    house.matrix.register(&right).await.unwrap();
}

#[tokio::test]
async fn closed_registration_is_open_to_appservices_alone() {
    let policy = RegistrationPolicy::Closed;
    let house = House::with(
        FakeMatrix::builder("matrix.test")
            .test_appservice()
            .registration(policy),
    );
    let error = house
        .matrix
        .register(&Registration::dummy("bob", password()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &MatrixErrorKind::Forbidden);
    let token = house.matrix.test_appservice().token;
    house
        .matrix
        .register(&Registration::appservice("agent_2", token))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_upgraded_room_points_to_its_replacement() {
    let house = House::new();
    let room = NewRoom::room()
        .name("Old")
        .alias_localpart("agent_room")
        .room_version(ruma::RoomVersionId::V11);
    let old = house.matrix.create_room(&house.agent, &room).await.unwrap();
    let credentials = convert::credentials(&house.agent);
    let body = json!({ "new_version": "12" }).as_object().unwrap().clone();
    let request = Request::new("upgrade_room", json!({})).by(credentials.clone());
    let new = house
        .matrix
        .run(request, |server| {
            let who = server.authenticate(&credentials)?;
            server.upgrade_room(&who, old.as_str(), &body)
        })
        .await
        .unwrap();
    let (old, new) = (
        house.matrix.room(&old).unwrap(),
        OwnedRoomId::try_from(new).unwrap(),
    );
    assert_eq!(old.replacement, Some(new.clone()));
    let new = house.matrix.room(&new).unwrap();
    assert_eq!((new.name.as_deref(), new.version.as_str()), (Some("Old"), "12"));
    assert_eq!(
        new.state("m.room.create", "").unwrap()["predecessor"]["room_id"],
        old.room_id.as_str()
    );
    assert_eq!(new.aliases.len(), 1);
    assert!(old.aliases.is_empty());
    house.matrix.assert_invariants();
}

#[tokio::test]
async fn a_restricted_room_lets_members_of_its_space_in() {
    let house = House::new();
    let space = house
        .matrix
        .create_room(&house.agent, &NewRoom::space())
        .await
        .unwrap();
    let rules = json!({
        "join_rule": "restricted",
        "allow": [{ "type": "m.room_membership", "room_id": space }],
    });
    let room = NewRoom::room().initial_state(StateEventType::RoomJoinRules, "", rules);
    let room_id = house.matrix.create_room(&house.agent, &room).await.unwrap();
    let join = || house.matrix.join_room(&house.alice, (&*room_id).into(), &[]);
    assert_eq!(join().await.unwrap_err().kind(), &MatrixErrorKind::Forbidden);
    house
        .matrix
        .invite_user(&house.agent, &space, &house.alice.user_id, None)
        .await
        .unwrap();
    house
        .matrix
        .join_room(&house.alice, (&*space).into(), &[])
        .await
        .unwrap();
    join().await.unwrap();
}

#[tokio::test]
async fn a_room_that_was_joined_just_now_comes_with_all_its_state() {
    let house = House::new();
    let since = house
        .matrix
        .sync(&house.alice, &SyncRequest::initial())
        .await
        .unwrap()
        .next_batch;
    let room_id = house.room().await;
    for number in 0..12 {
        house.say(&house.agent, &room_id, &number.to_string()).await;
    }
    let news = house
        .matrix
        .sync(&house.alice, &SyncRequest::since(since))
        .await
        .unwrap();
    let room = &news.joined[&room_id];
    assert!(room.timeline.limited);
    assert_eq!(room.timeline.events.len(), 10);
    assert!(
        room.state
            .iter()
            .any(|event| event.is_state(&StateEventType::RoomCreate, ""))
    );
    assert!(room.state.iter().all(|event| {
        room.timeline
            .events
            .iter()
            .all(|other| other.event_id != event.event_id)
    }));
}

#[tokio::test]
async fn the_shared_test_data_is_there() {
    let matrix = FakeMatrix::with_test_data();
    let room = matrix.room(ruma::room_id!("!testroom:matrix.test")).unwrap();
    assert!(room.has_joined(ruma::user_id!("@agent_001:matrix.test")));
    assert!(matrix.user(ruma::user_id!("@admin:matrix.test")).unwrap().admin);
    matrix.assert_invariants();
}

#[tokio::test]
async fn a_room_whose_alias_is_refused_late_leaves_nothing_behind() {
    let house = House::new();
    let room = NewRoom::room().alias_localpart("outside");
    let error = house.matrix.create_room(&house.agent, &room).await.unwrap_err();
    assert_eq!(error.kind(), &MatrixErrorKind::Exclusive);
    assert!(house.matrix.rooms().is_empty() && house.matrix.aliases().is_empty());
}
