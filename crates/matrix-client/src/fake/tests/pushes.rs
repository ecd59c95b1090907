use super::*;
use crate::Event;

fn body_of(event: &Event) -> &str {
    event
        .content
        .get("body")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
}

/// The messages of each try.
fn messages(transactions: &[PushedTransaction]) -> Vec<(String, Vec<String>)> {
    let texts = |transaction: &PushedTransaction| -> Vec<String> {
        let events = transaction.events();
        events
            .iter()
            .map(|event| body_of(event).to_owned())
            .filter(|body| !body.is_empty())
            .collect()
    };
    let all = transactions
        .iter()
        .map(|transaction| (transaction.id.clone(), texts(transaction)));
    all.filter(|(_, texts)| !texts.is_empty()).collect()
}

async fn attached(house: &House) -> (Arc<RecordingEndpoint>, OwnedRoomId) {
    let endpoint = RecordingEndpoint::new();
    house
        .matrix
        .attach_appservice(TEST_APPSERVICE_ID, endpoint.clone());
    let room_id = house.room().await;
    let alice = house.alice.user_id.clone();
    endpoint
        .wait_for_event(|event| {
            event.state_key.as_deref() == Some(alice.as_str()) && event.content["membership"] == "join"
        })
        .await;
    (endpoint, room_id)
}

#[tokio::test(start_paused = true)]
async fn an_appservice_is_told_of_its_rooms_and_gets_its_own_events_back() {
    let house = House::new();
    let (endpoint, room_id) = attached(&house).await;
    house.say(&house.alice, &room_id, "from alice").await;
    house.say(&house.agent, &room_id, "from the agent").await;
    endpoint
        .wait_for_event(|event| body_of(event) == "from the agent")
        .await;
    let other = house
        .matrix
        .create_room(&house.alice, &NewRoom::room())
        .await
        .unwrap();
    house.say(&house.alice, &other, "elsewhere").await;
    house.say(&house.alice, &room_id, "last").await;
    endpoint.wait_for_event(|event| body_of(event) == "last").await;
    let events = endpoint.events();
    let texts: Vec<&str> = events
        .iter()
        .map(body_of)
        .filter(|body| !body.is_empty())
        .collect();
    assert_eq!(texts, ["from alice", "from the agent", "last"]);
    assert!(
        events
            .iter()
            .all(|event| event.room_id.as_ref() == Some(&room_id))
    );
    assert!(events.iter().all(|event| event.transaction_id().is_none()));
}

#[tokio::test(start_paused = true)]
async fn an_invitation_comes_with_what_the_invited_may_know() {
    let house = House::new();
    let endpoint = RecordingEndpoint::new();
    house
        .matrix
        .attach_appservice(TEST_APPSERVICE_ID, endpoint.clone());
    let room = NewRoom::room().name("Tea").invite([house.agent.user_id.clone()]);
    house.matrix.create_room(&house.alice, &room).await.unwrap();
    endpoint.wait_for_transactions(1).await;
    let events = endpoint.events();
    assert_eq!(
        events.len(),
        1,
        "the rest of the room is none of its business: {events:?}"
    );
    let state = events[0].unsigned["invite_room_state"].as_array().unwrap();
    assert!(
        state
            .iter()
            .any(|event| event["type"] == "m.room.name" && event["content"]["name"] == "Tea")
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_transaction_comes_again_the_same_with_growing_pauses_and_in_order() {
    let house = House::new();
    let (endpoint, room_id) = attached(&house).await;
    let before = endpoint.transactions().len();
    endpoint.answer_with(EndpointAnswer::status(500));
    let started = tokio::time::Instant::now();
    house.say(&house.alice, &room_id, "one").await;
    endpoint.wait_for_transactions(before + 1).await;
    house.say(&house.alice, &room_id, "two").await;
    house.say(&house.alice, &room_id, "three").await;
    house
        .matrix
        .set_typing(&house.alice, &room_id, Some(Duration::from_secs(60)))
        .await
        .unwrap();
    for (tries, seconds) in [(2, 2), (3, 6), (4, 14), (5, 30)] {
        endpoint.wait_for_transactions(before + tries).await;
        assert_eq!(started.elapsed().as_secs(), seconds);
    }
    assert_eq!(house.matrix.backlog(TEST_APPSERVICE_ID), 3);
    endpoint.answer_with(EndpointAnswer::ok());
    let all = endpoint.wait_for_transactions(before + 8).await;
    assert_eq!(started.elapsed().as_secs(), 62);
    let tries = messages(&all[before..]);
    let (id, first) = &tries[0];
    assert!(
        tries[..6]
            .iter()
            .all(|(other, texts)| other == id && texts == first)
    );
    let texts: Vec<&str> = tries[5..]
        .iter()
        .flat_map(|(_, texts)| texts)
        .map(String::as_str)
        .collect();
    assert_eq!(texts, ["one", "two", "three"]);
    assert_eq!(
        tries[5..]
            .iter()
            .map(|(id, _)| id)
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        3
    );
    assert!(
        all[before + 1..]
            .iter()
            .all(|transaction| transaction.body["ephemeral"] == serde_json::json!([]))
    );
    assert_eq!(house.matrix.backlog(TEST_APPSERVICE_ID), 0);
}

#[tokio::test(start_paused = true)]
async fn of_a_room_that_is_refused_late_nothing_waits_but_its_beginning() {
    for answer in [EndpointAnswer::ok(), EndpointAnswer::status(500)] {
        let house = House::new();
        let (endpoint, room_id) = attached(&house).await;
        endpoint.answer_with(answer);
        let before = endpoint.transactions().len();
        house.say(&house.alice, &room_id, "before").await;
        endpoint.wait_for_transactions(before + 1).await;
        let nowhere = serde_json::json!({ "alias": "#nowhere:matrix.test" });
        let room = NewRoom::room().initial_state("m.room.canonical_alias".into(), "", nowhere);
        house.matrix.create_room(&house.agent, &room).await.unwrap_err();
        house.say(&house.alice, &room_id, "after").await;
        endpoint.answer_with(EndpointAnswer::ok());
        endpoint.wait_for_event(|event| body_of(event) == "after").await;
        let about_it: Vec<String> = endpoint
            .events()
            .into_iter()
            .filter(|event| event.room_id.as_ref().is_some_and(|of| *of != room_id))
            .map(|event| event.event_type.to_string())
            .collect();
        assert_eq!(about_it, ["m.room.create", "m.room.member"]);
        assert_eq!(house.matrix.backlog(TEST_APPSERVICE_ID), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_end_at_512_seconds() {
    let house = House::new();
    let (endpoint, room_id) = attached(&house).await;
    let before = endpoint.transactions().len();
    endpoint.answer_with(EndpointAnswer::Unreachable("connection refused".to_owned()));
    house.say(&house.alice, &room_id, "one").await;
    endpoint.wait_for_transactions(before + 11).await;
    let started = tokio::time::Instant::now();
    endpoint.wait_for_transactions(before + 12).await;
    assert_eq!(started.elapsed(), Duration::from_secs(512));
}

#[tokio::test(start_paused = true)]
async fn a_ping_delivers_at_once_what_waits() {
    let house = House::new();
    let (endpoint, room_id) = attached(&house).await;
    endpoint.answer_with(EndpointAnswer::status(500));
    let before = endpoint.transactions().len();
    house.say(&house.alice, &room_id, "one").await;
    endpoint.wait_for_transactions(before + 3).await;
    let error = house
        .matrix
        .ping_appservice(&house.agent, TEST_APPSERVICE_ID, None)
        .await
        .unwrap_err();
    let expected = MatrixErrorKind::AppservicePing {
        status: Some(500),
        body: Some("{}".to_owned()),
    };
    assert_eq!((error.kind(), error.status()), (&expected, Some(502)));
    endpoint.answer_with(EndpointAnswer::ok());
    let started = tokio::time::Instant::now();
    house
        .matrix
        .ping_appservice(&house.agent, TEST_APPSERVICE_ID, None)
        .await
        .unwrap();
    endpoint.wait_for_transactions(before + 4).await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(endpoint.pings(), 2);
}

#[tokio::test(start_paused = true)]
async fn only_a_json_body_with_2xx_counts_as_delivered() {
    let house = House::new();
    let (endpoint, room_id) = attached(&house).await;
    for (number, (status, body, delivered)) in [
        (200, "{}", true),
        (201, "[]", true),
        (200, "", false),
        (200, "ok", false),
        (204, "", false),
        (302, "{}", false),
        (403, "{}", false),
    ]
    .into_iter()
    .enumerate()
    {
        let before = endpoint.transactions().len();
        endpoint.answer_with(EndpointAnswer::Answered {
            status,
            body: body.to_owned(),
        });
        house
            .say(&house.alice, &room_id, &format!("message {number}"))
            .await;
        endpoint.wait_for_transactions(before + 1).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let tries = endpoint.transactions().len() - before;
        assert_eq!(tries == 1, delivered, "{status} {body:?}: {tries} tries");
        endpoint.answer_with(EndpointAnswer::ok());
        while house.matrix.backlog(TEST_APPSERVICE_ID) > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_comes_in_transactions_of_at_most_a_hundred_events() {
    let house = House::new();
    let room_id = house.room().await;
    let endpoint = RecordingEndpoint::new();
    endpoint.answer_with(EndpointAnswer::status(500));
    house
        .matrix
        .attach_appservice(TEST_APPSERVICE_ID, endpoint.clone());
    for number in 0..150 {
        house.say(&house.alice, &room_id, &number.to_string()).await;
    }
    endpoint.answer_with(EndpointAnswer::ok());
    endpoint.wait_for_event(|event| body_of(event) == "149").await;
    let sizes: Vec<usize> = messages(&endpoint.transactions())
        .into_iter()
        .map(|(_, texts)| texts.len())
        .collect();
    assert!(sizes.iter().all(|size| *size <= 100), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn typing_and_receipts_are_told_while_the_appservice_is_there() {
    let house = House::new();
    let (endpoint, room_id) = attached(&house).await;
    let event_id = house.say(&house.agent, &room_id, "hello").await;
    house
        .matrix
        .set_typing(&house.alice, &room_id, Some(Duration::from_secs(4)))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (kind, thread) = (crate::ReceiptType::Read, crate::ReceiptThread::Unthreaded);
    house
        .matrix
        .send_receipt(&house.alice, &room_id, &event_id, &kind, &thread)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let transactions = endpoint.transactions();
    let ephemeral: Vec<&serde_json::Value> = transactions
        .iter()
        .filter_map(|transaction| transaction.body["ephemeral"].as_array())
        .flatten()
        .collect();
    assert_eq!(
        ephemeral[0]["content"]["user_ids"],
        serde_json::json!([house.alice.user_id])
    );
    assert_eq!(
        ephemeral[1]["content"]["user_ids"],
        serde_json::json!([]),
        "typing ends by itself"
    );
    let receipt = &ephemeral[2]["content"][event_id.as_str()]["m.read"][house.alice.user_id.as_str()];
    assert!(receipt["ts"].is_u64());
}

#[tokio::test(start_paused = true)]
async fn unknown_users_and_aliases_of_the_namespace_are_asked_for() {
    let house = House::new();
    let (endpoint, room_id) = attached(&house).await;
    let nobody = ruma::user_id!("@agent_nobody:matrix.test");
    house
        .matrix
        .invite_user(&house.alice, &room_id, nobody, None)
        .await
        .unwrap();
    endpoint
        .wait_for_event(|event| event.state_key.as_deref() == Some(nobody.as_str()))
        .await;
    let alias = ruma::room_alias_id!("#agent_nowhere:matrix.test");
    assert!(
        house
            .matrix
            .find_alias(&house.alice, alias)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(endpoint.queries(), [nobody.as_str(), alias.as_str()]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_homeserver_delays_deliveries() {
    let house = House::new();
    let (endpoint, room_id) = attached(&house).await;
    let before = endpoint.transactions().len();
    house.say(&house.alice, &room_id, "one").await;
    house.matrix.down();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(endpoint.transactions().len(), before);
    house.matrix.up();
    endpoint.wait_for_event(|event| body_of(event) == "one").await;
}
