//! What is taken, set aside and left out.

use std::sync::Arc;

use conversation::ways_in::{Accepted, Inbox, OwnUsers};
use matrix_client::Event;
use ruma::{MilliSecondsSinceUnixEpoch, owned_event_id, owned_room_id, owned_user_id, room_id, user_id};
use serde_json::{Value, json, value::RawValue};
use store::{Clock, Cursor, testing::ManualClock};

use super::double::TestInbox;

fn inbox() -> (Inbox, Arc<TestInbox>) {
    let store = Arc::new(TestInbox::default());
    let own = OwnUsers::new(owned_user_id!("@bot:matrix.test"), "agent_");
    let inbox = Inbox::new(store.clone(), ManualClock::new(), own);
    (inbox, store)
}

fn message(id: &str, body: &str) -> Value {
    json!({
        "event_id": id,
        "room_id": "!tea:matrix.test",
        "sender": "@admin:matrix.test",
        "type": "m.room.message",
        "origin_server_ts": 1_767_268_800_000_u64,
        "content": { "msgtype": "m.text", "body": body },
    })
}

fn raw(text: impl Into<String>) -> Box<RawValue> {
    RawValue::from_string(text.into()).unwrap()
}

fn is_woken(inbox: &Inbox) -> bool {
    let mut news = Box::pin(inbox.news());
    futures_util::FutureExt::now_or_never(&mut news).is_some()
}

#[tokio::test]
async fn an_event_is_kept_as_it_came() {
    let (inbox, store) = inbox();
    let text = message("$one", "hello")
        .to_string()
        .replacen('{', "{ \"extra\" : 1.50,", 1);
    inbox.accept_raw(&[raw(&text)]).await.unwrap();
    let arrivals = store.arrivals();
    assert_eq!(arrivals.len(), 1);
    assert_eq!(arrivals[0].event, text);
    assert_eq!(arrivals[0].event_id, "$one");
    assert_eq!(arrivals[0].room_id, room_id!("!tea:matrix.test"));
    assert_eq!(arrivals[0].sender, user_id!("@admin:matrix.test"));
    assert_eq!(arrivals[0].received_at, ManualClock::new().now());
}

#[tokio::test]
async fn what_is_no_event_is_set_aside_and_the_rest_goes_on() {
    let without = |field: &str| {
        let mut event = message("$poison", "hello");
        event.as_object_mut().unwrap().remove(field);
        event.to_string()
    };
    let with = |field: &str, value: Value| {
        let mut event = message("$poison", "hello");
        event[field] = value;
        event.to_string()
    };
    let deep = message("$poison", "hello")
        .to_string()
        .replace(r#""hello""#, &format!("{}{}", "[".repeat(200), "]".repeat(200)));
    let fields = r#"["$poison","!tea:matrix.test","@admin:matrix.test","m.room.message",null,1,{},{},null]"#;
    for poison in [
        "null".to_owned(),
        "1".to_owned(),
        "[]".to_owned(),
        fields.to_owned(),
        "{}".to_owned(),
        without("event_id"),
        without("room_id"),
        without("sender"),
        without("type"),
        without("origin_server_ts"),
        with("event_id", json!("poison")),
        with("event_id", json!("$a\0b")),
        with("event_id", json!(format!("${}", "x".repeat(300)))),
        with("event_id", json!(17)),
        with("room_id", json!("#tea:matrix.test")),
        with("sender", json!("admin")),
        with("type", json!({})),
        with("content", json!("hello")),
        with(
            "content",
            json!({ "msgtype": "m.text", "body": "x".repeat(300_000) }),
        ),
        deep,
    ] {
        let (inbox, store) = inbox();
        let batch = [
            raw(message("$one", "before").to_string()),
            raw(&poison),
            raw(message("$two", "after").to_string()),
        ];
        let accepted = inbox.accept_raw(&batch).await.unwrap();
        assert_eq!((accepted.new, accepted.set_aside), (2, 1), "{poison:.200}");
        assert_eq!(store.bodies(), ["before", "after"]);
        let aside = &store.aside()[0];
        assert!(poison.starts_with(&aside.raw), "{aside:?}");
        assert!(
            aside.raw.len() <= 8 * 1024 && !aside.reason.is_empty(),
            "{aside:?}"
        );
        assert_eq!(store.writes(), 1);
    }
}

#[tokio::test]
async fn what_is_set_aside_can_be_kept_by_any_database() {
    let (inbox, store) = inbox();
    let raw = format!("\0{}", "ü".repeat(10_000));
    inbox.set_aside(&raw, "no\0JSON").await.unwrap();
    let aside = &store.aside()[0];
    assert!(aside.raw.starts_with("\u{fffd}üü") && aside.raw.len() <= 8 * 1024 + 2);
    assert_eq!(aside.reason, "no\u{fffd}JSON");
}

#[tokio::test]
async fn what_is_nobodys_business_is_not_even_written() {
    let (inbox, store) = inbox();
    let mut own = message("$own", "hello");
    own["sender"] = json!("@agent_001:matrix.test");
    let mut topic = message("$topic", "hello");
    topic["type"] = json!("m.room.topic");
    topic["state_key"] = json!("");
    let batch = [raw(own.to_string()), raw(topic.to_string())];
    let accepted = inbox.accept_raw(&batch).await.unwrap();
    assert_eq!(accepted.left_out, 2);
    assert_eq!(inbox.accept_raw(&[]).await.unwrap(), Accepted::default());
    assert_eq!(store.writes(), 0);
    assert!(!is_woken(&inbox));
}

#[tokio::test]
async fn an_event_that_comes_again_is_known() {
    let (inbox, store) = inbox();
    let batch = [raw(message("$one", "hello").to_string())];
    inbox.accept_raw(&batch).await.unwrap();
    let again = inbox.accept_raw(&batch).await.unwrap();
    assert_eq!((again.new, again.known), (0, 1));
    assert_eq!(store.bodies(), ["hello"]);
}

#[tokio::test]
async fn a_write_that_failed_can_be_made_again() {
    for is_after in [false, true] {
        let (inbox, store) = inbox();
        if is_after {
            store.fail_after(1);
        } else {
            store.fail_before(1);
        }
        let batch = [raw(message("$one", "hello").to_string())];
        inbox.accept_raw(&batch).await.unwrap_err();
        let kept = if is_after { 1 } else { 0 };
        assert_eq!(store.bodies().len(), kept);
        let again = inbox.accept_raw(&batch).await.unwrap();
        assert_eq!(again.known, kept as u64);
        assert_eq!(store.bodies(), ["hello"]);
        assert!(is_woken(&inbox));
    }
}

#[tokio::test]
async fn a_write_whose_caller_is_gone_wakes_all_the_same() {
    let (inbox, _store) = inbox();
    let batch = [raw(message("$one", "hello").to_string())];
    let mut accepting = Box::pin(inbox.accept_raw(&batch));
    assert!(futures_util::poll!(&mut accepting).is_pending());
    drop(accepting);
    assert!(is_woken(&inbox));
}

#[tokio::test]
async fn nobody_misses_news() {
    let (inbox, _store) = inbox();
    assert!(!is_woken(&inbox));
    let batch = |id: &str| [raw(message(id, "hello").to_string())];
    inbox.accept_raw(&batch("$one")).await.unwrap();
    inbox.accept_raw(&batch("$two")).await.unwrap();
    assert!(is_woken(&inbox), "it came in before anybody waited");
    assert!(!is_woken(&inbox), "two at once wake once");
    let mut news = Box::pin(inbox.news());
    assert!(futures_util::poll!(&mut news).is_pending());
    inbox.accept_raw(&batch("$three")).await.unwrap();
    assert!(futures_util::poll!(&mut news).is_ready());
}

#[tokio::test]
async fn the_place_is_written_with_the_events() {
    let (inbox, store) = inbox();
    let event = Event::new(
        owned_event_id!("$one"),
        owned_user_id!("@admin:matrix.test"),
        "m.room.message".into(),
        MilliSecondsSinceUnixEpoch(1u8.into()),
        json!({ "msgtype": "m.text", "body": "hello" }),
    )
    .with_room(owned_room_id!("!tea:matrix.test"));
    let cursor = Cursor {
        source: "sync:@agent_001:matrix.test".to_owned(),
        position: "s1".to_owned(),
    };
    store.fail_before(1);
    let accept = || inbox.accept_events(vec![event.clone()], Some(cursor.clone()));
    accept().await.unwrap_err();
    assert_eq!(inbox.get_cursor(&cursor.source).await.unwrap(), None);
    accept().await.unwrap();
    assert_eq!(
        inbox.get_cursor(&cursor.source).await.unwrap().as_deref(),
        Some("s1")
    );
    let kept = &store.arrivals()[0].event;
    assert_eq!(serde_json::from_str::<Event>(kept).unwrap(), event);
    assert_eq!(store.writes(), 2);
}

#[test]
fn history_is_known_by_what_marks_it() {
    assert_eq!(conversation::decision::HISTORY_MARKER, agent_sync::HISTORY_MARKER);
}
