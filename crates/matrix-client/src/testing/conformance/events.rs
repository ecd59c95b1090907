use std::time::Duration;

use ruma::{event_id, room_id};
use serde_json::{Value, json};

use super::{
    CaseResult, MatrixErrorKind as Kind, RoomId, Session, Subject, ensure, failed, refused, same, some,
};
use crate::{
    Event, LoginRequest, MatrixApiExt, MessageLikeEventType, MessagesRequest, ReceiptThread, ReceiptType,
    RoomEventFilter, SyncRequest, TimelineEventType, content::Message,
};

fn bodies(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event.content["body"].as_str())
        .collect()
}

pub(super) async fn an_event_can_be_sent_and_read(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &guest).await?;
    let content =
        json!({ "msgtype": "m.text", "body": "hallo\n🤖", "test.letta": { "run": [1, null, true] } });
    let kind = MessageLikeEventType::RoomMessage;
    let id = t
        .api()
        .send_message_event(&owner, &room, &kind, &t.txn(), &content)
        .await?;
    let event = t.api().get_event(&guest, &room, &id).await?;
    same((&event.event_id, &event.sender), (&id, &owner.user_id))?;
    same(
        (&event.event_type, &event.state_key),
        (&TimelineEventType::RoomMessage, &None),
    )?;
    same(&event.content, &content)?;
    same(event.room_id.as_deref(), Some(&*room))?;
    ensure(
        u64::from(event.origin_server_ts.get()) > 1_500_000_000_000,
        || format!("{event:?}"),
    )?;
    let own = MessageLikeEventType::from("test.letta.event");
    let id = t
        .api()
        .send_message_event(&owner, &room, &own, &t.txn(), &json!({}))
        .await?;
    let event = t.api().get_event(&guest, &room, &id).await?;
    same(
        (event.event_type.to_string().as_str(), &event.content),
        ("test.letta.event", &json!({})),
    )
}

pub(super) async fn the_same_transaction_answers_the_first_event(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let (room, other) = (t.room(&user).await?, t.room(&user).await?);
    let txn = t.txn();
    let first = t
        .api()
        .send_message(&user, &room, &txn, &Message::text("first"))
        .await?;
    let second = t
        .api()
        .send_message(&user, &room, &txn, &Message::text("second"))
        .await?;
    same(&second, &first)?;
    let page = t
        .api()
        .list_messages(&user, &room, &MessagesRequest::backward().limit(50))
        .await?;
    same(bodies(&page.events), vec!["first"])?;
    // Another room is another transaction.
    let elsewhere = t
        .api()
        .send_message(&user, &other, &txn, &Message::text("first"))
        .await?;
    ensure(elsewhere != first, || "one event in two rooms".to_owned())
}

pub(super) async fn another_device_has_transactions_of_its_own(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let phone = t
        .api()
        .login(&LoginRequest::with_password(&*user.user_id, t.password()))
        .await?;
    let room = t.room(&user).await?;
    let txn = t.txn();
    let first = t
        .api()
        .send_message(&user, &room, &txn, &Message::text("x"))
        .await?;
    let second = t
        .api()
        .send_message(&phone, &room, &txn, &Message::text("x"))
        .await?;
    ensure(first != second, || "one transaction on two devices".to_owned())
}

pub(super) async fn six_sends_of_one_transaction_at_the_same_time_are_one_event(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let txn = t.txn();
    let message = Message::text("once");
    let sends = (0..6).map(|_| t.api().send_message(&user, &room, &txn, &message));
    let ids = futures_util::future::try_join_all(sends).await?;
    ensure(ids.iter().all(|id| *id == ids[0]), || format!("{ids:?}"))?;
    let page = t
        .api()
        .list_messages(&user, &room, &MessagesRequest::backward().limit(50))
        .await?;
    same(bodies(&page.events), vec!["once"])
}

pub(super) async fn a_transaction_id_may_hold_any_character(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    for odd in ["a/b", "%2F", "a b?c#d", "🤖"] {
        let txn = format!("{}{odd}", t.unique("txn"));
        let first = t
            .api()
            .send_message(&user, &room, (*txn).into(), &Message::text(odd))
            .await?;
        same(
            t.api()
                .send_message(&user, &room, (*txn).into(), &Message::text(odd))
                .await?,
            first,
        )?;
    }
    Ok(())
}

pub(super) async fn an_event_may_be_large_but_not_too_large(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let id = t.say(&user, &room, &"x".repeat(60_000)).await?;
    let event = t.api().get_event(&user, &room, &id).await?;
    same(event.content["body"].as_str().map(str::len), Some(60_000))?;
    let large = t
        .api()
        .send_message(&user, &room, &t.txn(), &Message::text("x".repeat(70_000)))
        .await;
    refused(large, &Kind::TooLarge, 413, "M_TOO_LARGE").map(|_| ())
}

pub(super) async fn numbers_with_a_fraction_are_bad_json(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let kind = MessageLikeEventType::from("test.letta.event");
    let result = t
        .api()
        .send_message_event(&user, &room, &kind, &t.txn(), &json!({ "x": 0.5 }))
        .await;
    refused(result, &Kind::BadJson, 400, "M_BAD_JSON").map(|_| ())
}

pub(super) async fn a_message_needs_a_type_and_a_body(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let kind = MessageLikeEventType::RoomMessage;
    for content in [json!({ "msgtype": "m.text" }), json!({ "body": "x" }), json!({})] {
        let error = failed(
            t.api()
                .send_message_event(&user, &room, &kind, &t.txn(), &content)
                .await,
        )?;
        same(error.status(), Some(400))?;
    }
    Ok(())
}

pub(super) async fn sending_without_being_in_the_room_is_forbidden(t: &Subject) -> CaseResult {
    let (owner, stranger, invited, left) =
        (t.user().await?, t.user().await?, t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.invite(&owner, &room, &invited).await?;
    t.bring(&owner, &room, &left).await?;
    t.api().leave_room(&left, &room, None).await?;
    for session in [&stranger, &invited, &left] {
        let result = t
            .api()
            .send_message(session, &room, &t.txn(), &Message::text("x"))
            .await;
        refused(result, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
    }
    let unknown = room_id!("!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let result = t
        .api()
        .send_message(&owner, unknown, &t.txn(), &Message::text("x"))
        .await;
    refused(result, &Kind::Forbidden, 403, "M_FORBIDDEN").map(|_| ())
}

pub(super) async fn an_unknown_event_is_not_found(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let (room, other) = (t.room(&user).await?, t.room(&user).await?);
    let unknown = event_id!("$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    refused(
        t.api().get_event(&user, &room, unknown).await,
        &Kind::NotFound,
        404,
        "M_NOT_FOUND",
    )?;
    let elsewhere = t.say(&user, &other, "x").await?;
    refused(
        t.api().get_event(&user, &room, &elsewhere).await,
        &Kind::NotFound,
        404,
        "M_NOT_FOUND",
    )
    .map(|_| ())
}

pub(super) async fn a_redacted_event_has_lost_its_content(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let id = t.say(&user, &room, "secret").await?;
    let txn = t.txn();
    let redaction = t
        .api()
        .redact_event(&user, &room, &id, &txn, Some("oops"))
        .await?;
    same(
        t.api()
            .redact_event(&user, &room, &id, &txn, Some("oops"))
            .await?,
        redaction.clone(),
    )?;
    let event = t.api().get_event(&user, &room, &id).await?;
    same(&event.content, &json!({}))?;
    ensure(event.unsigned.contains_key("redacted_because"), || {
        format!("{event:?}")
    })?;
    let event = t.api().get_event(&user, &room, &redaction).await?;
    same(event.redacts(), Some(&*id))?;
    same(
        (event.event_type.clone(), event.content["reason"].as_str()),
        (TimelineEventType::RoomRedaction, Some("oops")),
    )
}

pub(super) async fn redacting_what_others_sent_takes_power(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &guest).await?;
    let by_owner = t.say(&owner, &room, "x").await?;
    let result = t
        .api()
        .redact_event(&guest, &room, &by_owner, &t.txn(), None)
        .await;
    refused(result, &Kind::Forbidden, 403, "M_FORBIDDEN")?;
    let by_guest = t.say(&guest, &room, "x").await?;
    t.api()
        .redact_event(&owner, &room, &by_guest, &t.txn(), None)
        .await?;
    Ok(())
}

pub(super) async fn redacting_an_unknown_event_is_no_error(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let unknown = event_id!("$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    t.api()
        .redact_event(&user, &room, unknown, &t.txn(), None)
        .await?;
    Ok(())
}

async fn room_with_five_messages(t: &Subject) -> CaseResult<(Session, ruma::OwnedRoomId)> {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    for text in ["1", "2", "3", "4", "5"] {
        t.say(&user, &room, text).await?;
    }
    Ok((user, room))
}

async fn whole_history(
    t: &Subject,
    user: &Session,
    room: &RoomId,
    mut request: MessagesRequest,
) -> CaseResult<Vec<Event>> {
    let mut events = Vec::new();
    for _ in 0..50 {
        let page = t.api().list_messages(user, room, &request).await?;
        ensure(
            request
                .limit
                .is_none_or(|limit| page.events.len() <= limit as usize),
            || "too much on a page".to_owned(),
        )?;
        events.extend(page.events);
        match page.end {
            Some(end) => request = request.from(end),
            None => return Ok(events),
        }
    }
    super::fail("the history does not end")
}

pub(super) async fn history_runs_backward_in_pages_until_it_ends(t: &Subject) -> CaseResult {
    let (user, room) = room_with_five_messages(t).await?;
    let events = whole_history(t, &user, &room, MessagesRequest::backward().limit(2)).await?;
    same(bodies(&events), vec!["5", "4", "3", "2", "1"])?;
    let oldest = some(events.last(), "event")?;
    same(&oldest.event_type, &TimelineEventType::RoomCreate)
}

pub(super) async fn history_runs_forward_from_the_beginning(t: &Subject) -> CaseResult {
    let (user, room) = room_with_five_messages(t).await?;
    let events = whole_history(t, &user, &room, MessagesRequest::forward().limit(3)).await?;
    same(bodies(&events), vec!["1", "2", "3", "4", "5"])?;
    same(
        &some(events.first(), "event")?.event_type,
        &TimelineEventType::RoomCreate,
    )
}

pub(super) async fn history_can_be_filtered(t: &Subject) -> CaseResult {
    let (user, room) = room_with_five_messages(t).await?;
    let mut filter = RoomEventFilter::default();
    filter.types = Some(vec!["m.room.create".to_owned()]);
    let events = whole_history(t, &user, &room, MessagesRequest::backward().filter(filter)).await?;
    same(
        events
            .iter()
            .map(|event| event.event_type.clone())
            .collect::<Vec<_>>(),
        vec![TimelineEventType::RoomCreate],
    )
}

/// Syncs `session` until the room shows an ephemeral event that `wanted` accepts.
async fn ephemeral(
    t: &Subject,
    session: &Session,
    room: &RoomId,
    mut since: String,
    wanted: impl Fn(&Value) -> bool,
) -> CaseResult<String> {
    for _ in 0..10 {
        let request = SyncRequest::since(since).timeout(Duration::from_secs(5));
        let response = t.api().sync(session, &request).await?;
        let news = response
            .joined
            .get(room)
            .map(|room| room.ephemeral.as_slice())
            .unwrap_or_default();
        if news.iter().any(&wanted) {
            return Ok(response.next_batch);
        }
        since = response.next_batch;
    }
    super::fail("the news never came")
}

pub(super) async fn typing_is_seen_by_others_and_ends(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &guest).await?;
    let since = t.api().sync(&guest, &SyncRequest::initial()).await?.next_batch;
    t.api()
        .set_typing(&owner, &room, Some(Duration::from_secs(30)))
        .await?;
    let typing = |users: Value| {
        move |event: &Value| event["type"] == "m.typing" && event["content"]["user_ids"] == users
    };
    let since = ephemeral(t, &guest, &room, since, typing(json!([owner.user_id]))).await?;
    t.api().set_typing(&owner, &room, None).await?;
    ephemeral(t, &guest, &room, since, typing(json!([]))).await?;
    let stranger = t.user().await?;
    let result = t
        .api()
        .set_typing(&stranger, &room, Some(Duration::from_secs(1)))
        .await;
    refused(result, &Kind::Forbidden, 403, "M_FORBIDDEN").map(|_| ())
}

pub(super) async fn a_receipt_is_seen_by_others(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let room = t.room(&owner).await?;
    t.bring(&owner, &room, &guest).await?;
    let event = t.say(&guest, &room, "x").await?;
    let since = t.api().sync(&guest, &SyncRequest::initial()).await?.next_batch;
    t.api()
        .send_receipt(
            &owner,
            &room,
            &event,
            &ReceiptType::Read,
            &ReceiptThread::Unthreaded,
        )
        .await?;
    let seen = |news: &Value| {
        let receipt = &news["content"][event.as_str()]["m.read"][owner.user_id.as_str()];
        news["type"] == "m.receipt" && receipt["ts"].is_number()
    };
    ephemeral(t, &guest, &room, since, seen).await?;
    Ok(())
}

pub(super) async fn a_receipt_for_an_unknown_event_is_no_error(t: &Subject) -> CaseResult {
    let user = t.user().await?;
    let room = t.room(&user).await?;
    let unknown = event_id!("$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    t.api()
        .send_receipt(
            &user,
            &room,
            unknown,
            &ReceiptType::Read,
            &ReceiptThread::Unthreaded,
        )
        .await?;
    let page = t
        .api()
        .list_messages(&user, &room, &MessagesRequest::backward())
        .await?;
    ensure(page.skipped.is_empty(), || format!("{:?}", page.skipped))
}
