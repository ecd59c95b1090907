//! The bus on a Redis server.

use std::{collections::HashMap, sync::Arc, time::Duration};

use agent_events::{
    AgentEvent, AgentState, Audience, BusErrorKind, BusSettings, CloseReason, Delivery, EventBus, EventId,
    EventKind, EventType, Filter, RedisBus,
    testing::{Ears, every_kind, settings, turn, until},
};
use serde_json::Value;

use crate::{
    crowd,
    redis_server::{Place, Server, open},
};

agent_events::bus_conformance!(around on_redis);

async fn on_redis(settings: BusSettings, case: impl AsyncFnOnce(Arc<dyn EventBus>)) {
    if let Some(place) = Place::find().await {
        case(Arc::new(place.bus(settings))).await;
        place.clear().await;
    }
}

pub(crate) async fn publish(bus: &RedisBus, count: usize) -> Vec<EventId> {
    let turn = turn("ada", "room");
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(
            bus.publish(turn.event(EventKind::AgentStarted { resumed: false }))
                .await
                .unwrap(),
        );
    }
    ids
}

pub(crate) async fn listen(bus: &RedisBus, after: Option<EventId>) -> Ears {
    Ears::new(bus.subscribe(after, Filter::new(Audience::All)).await.unwrap())
}

fn retaining(events: usize) -> BusSettings {
    BusSettings {
        retained: events.try_into().unwrap(),
        ..settings()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_hear_everything_on_redis() {
    let settings = retaining(500);
    on_redis(settings, async |bus| {
        crowd::a_thousand_hear_everything(bus, settings).await;
    })
    .await;
}

#[tokio::test]
async fn instances_share_events_and_states() {
    let Some(place) = Place::find().await else { return };
    let (one, two) = (place.bus(settings()), place.bus(settings()));
    let (mut at_one, mut at_two) = (listen(&one, None).await, listen(&two, None).await);
    let mut ids = publish(&one, 3).await;
    ids.extend(publish(&two, 3).await);
    assert_eq!(at_one.ids(6).await, ids);
    assert_eq!(at_two.ids(6).await, ids);
    assert_eq!(two.list_states().await.unwrap(), one.list_states().await.unwrap());
    assert_eq!(two.list_states().await.unwrap()[0].state, AgentState::Thinking);
    // Whoever loses one instance goes on with the other.
    drop(one);
    assert_eq!(listen(&two, Some(ids[1])).await.ids(4).await, ids[2..]);
    place.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_process_reads_what_was_before_it() {
    let Some(place) = Place::find().await else { return };
    let old = Arc::new(place.bus(retaining(3_000)));
    let mut ids = publish(&old, 1_300).await;
    let new = place.bus(retaining(3_000));
    let going_on = tokio::spawn({
        let old = Arc::clone(&old);
        async move { publish(&old, 300).await }
    });
    let mut early = listen(&new, Some(ids[0])).await;
    let mut late = listen(&new, Some(ids[1_298])).await;
    let mut all = listen(&new, Some(EventId::ZERO)).await;
    ids.extend(going_on.await.unwrap());
    assert_eq!(early.ids(1_599).await, ids[1..]);
    assert_eq!(late.ids(301).await, ids[1_299..]);
    assert_eq!(all.ids(1_600).await, ids);
    let last = publish(&old, 1).await;
    for ears in [&mut early, &mut late, &mut all] {
        assert_eq!(ears.ids(1).await, last);
    }
    place.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_come_while_others_publish_leave_nothing_out() {
    let Some(place) = Place::find().await else { return };
    let old = Arc::new(place.bus(retaining(20_000)));
    let mut published = publish(&old, 1).await;
    for seed in 0..12 {
        let publishers: Vec<_> = (0..4)
            .map(|_| {
                let old = Arc::clone(&old);
                tokio::spawn(async move { publish(&old, 100).await })
            })
            .collect();
        // Some begin close to the end, some many pages before it.
        let begin = (published.len() * seed) / 12;
        let new = place.bus(retaining(20_000));
        let mut ears = listen(&new, Some(published[begin])).await;
        for publisher in publishers {
            published.extend(publisher.await.unwrap());
        }
        published.sort_unstable();
        let expected = &published[begin + 1..];
        assert_eq!(ears.ids(expected.len()).await, expected, "seed {seed}");
        published.extend(publish(&old, 1).await);
        assert_eq!(ears.ids(1).await, published[published.len() - 1..]);
    }
    place.clear().await;
}

/// Many entries in one moment, and what is left of them at its end.
async fn burst(place: &Place, count: usize, left: usize) -> Vec<EventId> {
    let mut connection = place.connection().await;
    let entries: Vec<(String, HashMap<String, String>)> = redis::cmd("XREVRANGE")
        .arg(place.key("events"))
        .arg(&["+", "-", "COUNT", "1"])
        .query_async(&mut connection)
        .await
        .unwrap();
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    for _ in 0..count {
        pipeline
            .cmd("XADD")
            .arg(place.key("events"))
            .arg(&["*", "event", &entries[0].1["event"]]);
    }
    pipeline
        .cmd("XTRIM")
        .arg(place.key("events"))
        .arg("MAXLEN")
        .arg(left)
        .ignore();
    let ids: Vec<String> = pipeline.query_async(&mut connection).await.unwrap();
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_burst_is_heard_whole() {
    let Some(place) = Place::find().await else { return };
    let bus = place.bus(retaining(3_000));
    let mut ears = listen(&bus, None).await;
    let mut ids = publish(&bus, 1).await;
    ids.extend(burst(&place, 1_000, 3_000).await);
    ids.extend(publish(&bus, 1).await);
    assert_eq!(ears.ids(1_002).await, ids);
    place.clear().await;
}

#[tokio::test]
async fn a_burst_of_which_the_log_lost_the_beginning_is_a_gap_to_those_who_listen() {
    let Some(place) = Place::find().await else { return };
    let bus = place.bus(retaining(500));
    let mut ears = listen(&bus, None).await;
    let before = publish(&bus, 1).await;
    assert_eq!(ears.ids(1).await, before);
    let ids = burst(&place, 1_000, 500).await;
    let oldest = Some(ids[500]);
    assert_eq!(ears.next().await, Some(Delivery::Gap { oldest }));
    assert_eq!(ears.ids(500).await, ids[500..]);
    let mut late = listen(&bus, Some(before[0])).await;
    assert_eq!(late.next().await, Some(Delivery::Gap { oldest }));
    assert_eq!(late.ids(500).await, ids[500..]);
    place.clear().await;
}

#[tokio::test]
async fn an_entry_that_somebody_removed_holds_nobody_up() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let old = open(&server.url(), "", settings());
    let ids = publish(&old, 2).await;
    let new = open(&server.url(), "", settings());
    // By now the new one has read that the last entry is the second one.
    listen(&new, None).await;
    let mut connection = crate::redis_server::connection(&server.url()).await;
    let _: i64 = redis::cmd("XDEL")
        .arg(&["events", &ids[1].to_string()])
        .query_async(&mut connection)
        .await
        .unwrap();
    let mut ears = listen(&new, Some(ids[0])).await;
    // It waits, and does not ask again and again.
    let _ = tokio::time::timeout(Duration::from_millis(300), ears.next()).await;
    let statistics: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut connection)
        .await
        .unwrap();
    let calls = statistics
        .lines()
        .find(|line| line.starts_with("cmdstat_xrange:"));
    let calls = calls.unwrap().split(['=', ',']).nth(1).unwrap();
    assert!(calls.parse::<u32>().unwrap() < 20, "{calls} calls");
    let next = publish(&old, 1).await;
    // It may be told of a gap: to the stream, the event that it read last was never there.
    let is_next = |delivery| matches!(delivery, Some(Delivery::Event(event)) if event.id == next[0]);
    until("the next one is heard", async || is_next(ears.next().await)).await;
}

#[tokio::test]
async fn a_log_that_was_thrown_away_ends_those_who_still_read_what_was_before() {
    let Some(place) = Place::find().await else { return };
    let old = place.bus(retaining(3_000));
    let ids = publish(&old, 1_000).await;
    let new = place.bus(retaining(3_000));
    let mut ears = listen(&new, Some(ids[0])).await;
    assert_eq!(ears.ids(1).await, ids[1..2]);
    let mut witness = listen(&new, None).await;
    let mut connection = place.connection().await;
    let _: () = redis::cmd("DEL")
        .arg(place.key("events"))
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(witness.next().await, Some(Delivery::Gap { oldest: None }));
    publish(&old, 1).await;
    let (heard, reason) = ears.rest().await;
    assert_eq!(reason, CloseReason::Unavailable);
    assert!(heard.len() < 998, "more was heard than there was");
    place.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_is_read_too_slowly_is_cut_loose() {
    let Some(place) = Place::find().await else { return };
    let old = place.bus(retaining(1_000));
    let ids = publish(&old, 1_000).await;
    let new = place.bus(retaining(1_000));
    let mut ears = listen(&new, Some(ids[0])).await;
    assert_eq!(ears.ids(1).await, ids[1..2]);
    publish(&old, 2_000).await;
    let (heard, reason) = ears.rest().await;
    assert_eq!(reason, CloseReason::Lagged);
    let heard: Vec<EventId> = heard
        .iter()
        .map(|delivery| match delivery {
            Delivery::Event(event) => event.id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(heard, ids[2..2 + heard.len()], "something was left out");
    place.clear().await;
}

#[tokio::test]
async fn what_lies_in_redis_is_an_event_without_its_id() {
    let Some(place) = Place::find().await else { return };
    let bus = place.bus(settings());
    let mut ears = listen(&bus, None).await;
    for kind in every_kind() {
        bus.publish(turn("ada", "room").event(kind)).await.unwrap();
    }
    let mut connection = place.connection().await;
    let entries: Vec<(String, HashMap<String, String>)> = redis::cmd("XRANGE")
        .arg(place.key("events"))
        .arg(&["-", "+"])
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(entries.len(), every_kind().len());
    for (id, fields) in entries {
        let mut event: Value = serde_json::from_str(&fields["event"]).unwrap();
        assert_eq!((fields.len(), event.get("id")), (1, None));
        event["id"] = id.into();
        let event: AgentEvent = serde_json::from_value(event).unwrap();
        assert_eq!(event, *ears.event().await);
    }
    place.clear().await;
}

#[tokio::test]
async fn an_entry_that_makes_no_sense_is_left_out() {
    let Some(place) = Place::find().await else { return };
    let bus = place.bus(settings());
    let mut ears = listen(&bus, None).await;
    let before = publish(&bus, 1).await;
    let mut connection = place.connection().await;
    for (field, value) in [
        ("event", "{"),
        ("event", "{}"),
        ("event", r#"{"version":2}"#),
        ("other", "1"),
    ] {
        let _: String = redis::cmd("XADD")
            .arg(place.key("events"))
            .arg(&["*", field, value])
            .query_async(&mut connection)
            .await
            .unwrap();
    }
    let mut after_strangers = listen(&bus, None).await;
    let after = publish(&bus, 1).await;
    assert_eq!(ears.ids(2).await, [&*before, &*after].concat());
    assert_eq!(after_strangers.ids(1).await, after);
    let new = place.bus(settings());
    assert_eq!(listen(&new, Some(before[0])).await.ids(1).await, after);
    place.clear().await;
}

#[tokio::test]
async fn everything_but_the_events_expires_or_is_bounded() {
    let Some(place) = Place::find().await else { return };
    let bus = place.bus(settings());
    publish(&bus, 1_000).await;
    let mut connection = place.connection().await;
    let (length, expiry, agents): (usize, i64, Vec<String>) = redis::pipe()
        .cmd("XLEN")
        .arg(place.key("events"))
        .cmd("PTTL")
        .arg(place.key("state:agent-ada"))
        .cmd("SMEMBERS")
        .arg(place.key("agents-at-work"))
        .query_async(&mut connection)
        .await
        .unwrap();
    assert!((200..=400).contains(&length), "{length} entries are kept");
    let working = i64::try_from(settings().expiry.working.as_millis()).unwrap();
    assert!(expiry > 0 && expiry <= working, "{expiry} ms");
    assert_eq!(agents, ["agent-ada"]);
    let mut kinds = every_kind().into_iter();
    let end = kinds.find(|kind| kind.event_type() == EventType::AgentCompleted);
    bus.publish(turn("ada", "room").event(end.unwrap()))
        .await
        .unwrap();
    let left: Vec<String> = redis::cmd("KEYS")
        .arg(place.key("*"))
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(left, [place.key("events")]);
    place.clear().await;
}

#[tokio::test]
async fn a_log_that_was_thrown_away_is_a_gap_to_those_who_listen() {
    let Some(place) = Place::find().await else { return };
    let bus = place.bus(settings());
    let mut ears = listen(&bus, None).await;
    let ids = publish(&bus, 2).await;
    assert_eq!(ears.ids(2).await, ids);
    let mut connection = place.connection().await;
    let _: () = redis::cmd("DEL")
        .arg(place.key("events"))
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(ears.next().await, Some(Delivery::Gap { oldest: None }));
    let new = publish(&bus, 1).await;
    assert_eq!(ears.ids(1).await, new);
    place.clear().await;
}

#[tokio::test]
async fn a_key_that_holds_something_else_is_refused() {
    let Some(place) = Place::find().await else { return };
    let mut connection = place.connection().await;
    let _: () = redis::cmd("SET")
        .arg(place.key("events"))
        .arg("mine")
        .query_async(&mut connection)
        .await
        .unwrap();
    let bus = place.bus(settings());
    let turn = turn("ada", "room");
    let error = bus
        .publish(turn.event(EventKind::AgentStarted { resumed: false }))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), BusErrorKind::Refused, "{error:?}");
    place.clear().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_never_shown() {
    let Some(server) = Server::start(&["--requirepass", "right-fake-password"]).await else {
        return;
    };
    let turn = turn("ada", "room");
    let with = |password: &str| server.url().replace("//", &format!("//:{password}@"));
    let wrong = open(&with("wrong-fake-password"), "", settings());
    let error = wrong
        .publish(turn.event(EventKind::AgentStarted { resumed: false }))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), BusErrorKind::Refused, "{error:?}");
    let right = open(&with("right-fake-password"), "", settings());
    right
        .publish(turn.event(EventKind::AgentStarted { resumed: false }))
        .await
        .unwrap();
    for shown in [format!("{error} {error:?}"), format!("{wrong:?} {right:?}")] {
        assert!(!shown.contains("fake-password"), "{shown}");
    }
}

#[tokio::test]
async fn an_address_that_makes_no_sense_is_refused_and_never_shown() {
    for url in [
        "",
        "redis.example.org",
        "http://:fake-secret@127.0.0.1",
        "rediss://:fake-secret@127.0.0.1",
    ] {
        let error =
            RedisBus::open(&url.into(), Default::default(), Arc::new(store::SystemClock)).unwrap_err();
        assert_eq!(error.kind(), BusErrorKind::Invalid);
        assert!(!format!("{error:?}").contains("fake-secret"), "{error:?}");
    }
}

#[tokio::test]
async fn a_bus_that_is_dropped_ends_its_subscriptions_and_connections() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let bus = open(&server.url(), "", settings());
    let mut ears = listen(&bus, None).await;
    publish(&bus, 1).await;
    ears.ids(1).await;
    drop(bus);
    assert_eq!(ears.rest().await.1, CloseReason::Shutdown);
    let mut connection = crate::redis_server::connection(&server.url()).await;
    until("only this connection is left", async || {
        let clients: String = redis::cmd("CLIENT")
            .arg("LIST")
            .query_async(&mut connection)
            .await
            .unwrap();
        clients.lines().count() == 1
    })
    .await;
}
