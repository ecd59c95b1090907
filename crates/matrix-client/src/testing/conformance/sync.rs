use std::time::Duration;

use tokio::time::Instant;

use super::{
    CaseResult, MatrixErrorKind as Kind, NewRoom, RoomId, Session, Subject, ensure, failed, refused, same,
    some,
};
use crate::{
    Event, FilterDefinition, LoginRequest, MatrixApiExt, MessagesRequest, RoomEventFilter, StateEventType,
    SyncRequest, SyncResponse, content::Message,
};

fn bodies(response: &SyncResponse, room: &RoomId) -> Vec<String> {
    let events = response
        .joined
        .get(room)
        .map(|room| room.timeline.events.as_slice())
        .unwrap_or_default();
    events
        .iter()
        .filter_map(|event| event.content["body"].as_str().map(ToOwned::to_owned))
        .collect()
}

async fn initial(t: &Subject, session: &Session) -> CaseResult<SyncResponse> {
    Ok(t.api().sync(session, &SyncRequest::initial()).await?)
}

pub(super) async fn an_initial_sync_shows_the_rooms_and_their_state(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t
        .api()
        .create_room(&user, &NewRoom::room().name("Agent Alpha"))
        .await?;
    t.say(&user, &room, "x").await?;
    let response = initial(t, &user).await?;
    ensure(!response.next_batch.is_empty(), || "no token".to_owned())?;
    ensure(response.invited.is_empty() && response.left.is_empty(), || {
        format!("{response:?}")
    })?;
    same(response.joined.keys().collect::<Vec<_>>(), vec![&room])?;
    let news = &response.joined[&room];
    let mut all = news.state.iter().chain(&news.timeline.events);
    ensure(
        all.any(|event| event.is_state(&StateEventType::RoomName, "")),
        || format!("{news:?}"),
    )?;
    same(bodies(&response, &room), vec!["x".to_owned()])
}

pub(super) async fn nothing_new_is_an_empty_answer_after_the_timeout(t: &Subject) -> CaseResult {
    const WAIT: Duration = Duration::from_millis(300);
    let user = t.user().await?;
    t.room(&user).await?;
    let mut since = initial(t, &user).await?.next_batch;
    // News of one's own making (presence, devices) may still come once.
    for _ in 0..5 {
        let started = Instant::now();
        let response = t
            .api()
            .sync(&user, &SyncRequest::since(&since).timeout(WAIT))
            .await?;
        ensure(response.is_empty(), || format!("{response:?}"))?;
        if started.elapsed() >= WAIT {
            return Ok(());
        }
        since = response.next_batch;
    }
    super::fail("a sync without news does not wait")
}

pub(super) async fn a_message_wakes_a_waiting_sync(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &guest).await?;
    let since = initial(t, &guest).await?.next_batch;
    let started = Instant::now();
    let request = SyncRequest::since(since).timeout(Duration::from_secs(60));
    let waiting = t.api().sync(&guest, &request);
    let speaking = t.say(&owner, &room, "wake up");
    let (response, spoken) = futures_util::future::join(waiting, speaking).await;
    spoken?;
    same(bodies(&response?, &room), vec!["wake up".to_owned()])?;
    ensure(started.elapsed() < Duration::from_secs(30), || {
        format!("it took {:?}", started.elapsed())
    })
}

pub(super) async fn each_event_shows_up_once_in_a_chain(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &guest).await?;
    let mut since = initial(t, &guest).await?.next_batch;
    let mut seen = Vec::new();
    for text in ["1", "2", "3"] {
        t.say(&owner, &room, text).await?;
        t.say(&owner, &room, &format!("{text}b")).await?;
        let response = t.api().sync(&guest, &SyncRequest::since(&since)).await?;
        seen.extend(bodies(&response, &room));
        since = response.next_batch;
    }
    same(
        seen,
        ["1", "1b", "2", "2b", "3", "3b"].map(ToOwned::to_owned).to_vec(),
    )
}

fn event_of<'a>(response: &'a SyncResponse, room: &RoomId, body: &str) -> Option<&'a Event> {
    response
        .joined
        .get(room)?
        .timeline
        .events
        .iter()
        .find(|event| event.content["body"] == body)
}

pub(super) async fn ones_own_events_carry_their_transaction_on_the_same_device_only(
    t: &Subject,
) -> CaseResult {
    let (user, guest) = (t.user().await?, t.user().await?);
    let phone = t
        .api()
        .login(&LoginRequest::with_password(&*user.user_id, t.password()))
        .await?;
    let room = t.room(&user).await?;
    t.bring(&user, &room, &guest).await?;
    let txn = t.txn();
    t.api()
        .send_message(&user, &room, &txn, &Message::text("mine"))
        .await?;
    for (session, expected) in [(&user, Some(txn)), (&phone, None), (&guest, None)] {
        let response = initial(t, session).await?;
        let event = some(event_of(&response, &room, "mine"), "event")?;
        same(event.transaction_id(), expected)?;
    }
    Ok(())
}

pub(super) async fn an_invitation_shows_up_with_its_state(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t
        .api()
        .create_room(&owner, &NewRoom::room().name("Agent Alpha"))
        .await?;
    let since = initial(t, &guest).await?.next_batch;
    t.invite(&owner, &room, &guest).await?;
    let response = t
        .api()
        .sync(
            &guest,
            &SyncRequest::since(&since).timeout(Duration::from_secs(5)),
        )
        .await?;
    let invitation = some(response.invited.get(&room), "invitation")?;
    same(invitation.inviter_of(&guest.user_id), Some(&owner.user_id))?;
    let name = invitation
        .state
        .iter()
        .find(|event| event.event_type == StateEventType::RoomName);
    same(some(name, "name")?.content["name"].as_str(), Some("Agent Alpha"))?;
    t.join(&guest, &room).await?;
    let response = t
        .api()
        .sync(&guest, &SyncRequest::since(response.next_batch))
        .await?;
    some(response.joined.get(&room), "joined room")?;
    ensure(response.invited.is_empty(), || format!("{:?}", response.invited))
}

pub(super) async fn a_room_that_was_left_shows_up_as_left(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let (first, second) = (t.room(&owner).await?, t.room(&owner).await?);
    t.bring(&owner, &first, &guest).await?;
    t.bring(&owner, &second, &guest).await?;
    let since = initial(t, &guest).await?.next_batch;
    t.api().leave_room(&guest, &first, None).await?;
    t.api().kick_user(&owner, &second, &guest.user_id, None).await?;
    let response = t.api().sync(&guest, &SyncRequest::since(since)).await?;
    let mut left: Vec<_> = response.left.keys().collect();
    let mut expected = vec![&first, &second];
    left.sort();
    expected.sort();
    same(left, expected)?;
    ensure(response.joined.is_empty(), || format!("{:?}", response.joined))
}

pub(super) async fn a_limited_timeline_can_be_completed_from_history(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &guest).await?;
    let since = initial(t, &guest).await?.next_batch;
    for number in 1..=25 {
        t.say(&owner, &room, &number.to_string()).await?;
    }
    let response = t.api().sync(&guest, &SyncRequest::since(&since)).await?;
    let timeline = &some(response.joined.get(&room), "room")?.timeline;
    same((timeline.limited, timeline.events.len()), (true, 10))?;
    let mut found = bodies(&response, &room);
    let mut request = MessagesRequest::backward().to(&since).limit(7);
    request.from.clone_from(&timeline.prev_batch);
    for _ in 0..10 {
        let page = t.api().list_messages(&guest, &room, &request).await?;
        for event in &page.events {
            found.insert(0, event.content["body"].as_str().unwrap_or_default().to_owned());
        }
        match page.end {
            Some(end) if !page.events.is_empty() => request = request.from(end),
            _ => break,
        }
    }
    same(
        found,
        (1..=25).map(|number| number.to_string()).collect::<Vec<_>>(),
    )
}

fn timeline_filter(change: impl FnOnce(&mut RoomEventFilter)) -> FilterDefinition {
    let mut filter = FilterDefinition::default();
    change(&mut filter.room.timeline);
    filter
}

pub(super) async fn a_filter_leaves_things_out(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let (room, other) = (t.room(&user).await?, t.room(&user).await?);
    for text in ["1", "2", "3"] {
        t.say(&user, &room, text).await?;
    }
    let limited = SyncRequest::initial().filter(timeline_filter(|filter| filter.limit = Some(1_u32.into())));
    let response = t.api().sync(&user, &limited).await?;
    same(bodies(&response, &room), vec!["3".to_owned()])?;
    same(response.joined.len(), 2)?;
    let types = timeline_filter(|filter| filter.types = Some(vec!["m.room.create".to_owned()]));
    let response = t.api().sync(&user, &SyncRequest::initial().filter(types)).await?;
    same(bodies(&response, &room), Vec::<String>::new())?;
    let mut one_room = FilterDefinition::default();
    one_room.room.rooms = Some(vec![other.clone()]);
    let response = t
        .api()
        .sync(&user, &SyncRequest::initial().filter(one_room))
        .await?;
    same(response.joined.keys().collect::<Vec<_>>(), vec![&other])
}

pub(super) async fn an_unknown_filter_is_an_invalid_parameter(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let result = t
        .api()
        .sync(&user, &SyncRequest::initial().filter_id("4711"))
        .await;
    refused(result, &Kind::InvalidParam, 400, "M_INVALID_PARAM").map(|_| ())
}

pub(super) async fn an_unknown_token_is_refused(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let error = failed(t.api().sync(&user, &SyncRequest::since("not a token")).await)?;
    same(error.status(), Some(400))?;
    ensure(!error.is_retryable(), || format!("{error:?}"))
}

pub(super) async fn full_state_repeats_what_is_known(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t
        .api()
        .create_room(&user, &NewRoom::room().name("Agent Alpha"))
        .await?;
    let since = initial(t, &user).await?.next_batch;
    let response = t
        .api()
        .sync(&user, &SyncRequest::since(&since).full_state())
        .await?;
    let state = &some(response.joined.get(&room), "room")?.state;
    ensure(
        state
            .iter()
            .any(|event| event.is_state(&StateEventType::RoomName, "")),
        || format!("{state:?}"),
    )
}

pub(super) async fn a_logout_ends_a_waiting_sync(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    t.room(&user).await?;
    let mut since = initial(t, &user).await?.next_batch;
    // Until there is nothing left to tell, so that the next one waits.
    while let response = t.api().sync(&user, &SyncRequest::since(&since)).await?
        && response.next_batch != since
    {
        since = response.next_batch;
    }
    let started = Instant::now();
    let request = SyncRequest::since(&since).timeout(Duration::from_secs(60));
    let waiting = t.api().sync(&user, &request);
    let leaving = async {
        // The sync is polled first, so it is under way when this comes through.
        tokio::task::yield_now().await;
        t.api().logout(&user).await
    };
    let (response, logout) = futures_util::future::join(waiting, leaving).await;
    logout?;
    ensure(started.elapsed() < Duration::from_secs(30), || {
        format!("it took {:?}", started.elapsed())
    })?;
    let gone = Kind::Unauthorized { soft_logout: false };
    if let Err(error) = response {
        // The logout overtook it.
        same(error.kind(), &gone)?;
    }
    refused(t.api().sync(&user, &request).await, &gone, 401, "M_UNKNOWN_TOKEN").map(|_| ())
}
