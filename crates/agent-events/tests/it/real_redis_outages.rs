//! A Redis server that comes and goes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use agent_events::{
    Audience, BusErrorKind, Delivery, EventBus, EventId, EventKind, Filter, RedisBus, RedisSettings,
    testing::{Ears, settings, turn, until},
};
use store::SystemClock;

use crate::{
    real_redis::{listen, publish},
    redis_server::Server,
};

const LIMIT: Duration = Duration::from_secs(1);

fn open(server: &Server) -> RedisBus {
    open_with(server, LIMIT)
}

fn open_with(server: &Server, time_limit: Duration) -> RedisBus {
    let settings = RedisSettings {
        bus: settings(),
        time_limit,
        ..RedisSettings::default()
    };
    RedisBus::open(&server.url().into(), settings, Arc::new(SystemClock)).unwrap()
}

async fn try_publish(bus: &RedisBus) -> Result<EventId, BusErrorKind> {
    let turn = turn("ada", "room");
    let outcome = bus
        .publish(turn.event(EventKind::AgentStarted { resumed: false }))
        .await;
    outcome.map_err(|error| error.kind())
}

async fn publish_again(bus: &RedisBus) -> EventId {
    let mut published = None;
    until("events can be published again", async || {
        published = try_publish(bus).await.ok();
        published.is_some()
    })
    .await;
    published.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_in_mid_stream_loses_no_event_that_it_took() {
    let Some(mut server) = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]).await else {
        return;
    };
    let bus = Arc::new(open(&server));
    let mut ears = listen(&bus, None).await;
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = tokio::spawn({
        let (bus, stop) = (Arc::clone(&bus), Arc::clone(&stop));
        async move {
            let (mut published, mut failed) = (Vec::new(), 0);
            while !stop.load(Ordering::Relaxed) {
                match try_publish(&bus).await {
                    Ok(id) => published.push(id),
                    Err(_) => failed += 1,
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            (published, failed)
        }
    });
    let mut heard = ears.ids(20).await;
    for _ in 0..2 {
        server.kill();
        until("it is missed", async || try_publish(&bus).await.is_err()).await;
        server.restart().await;
        heard.extend(ears.ids(20).await);
    }
    stop.store(true, Ordering::Relaxed);
    let (published, failed) = publisher.await.unwrap();
    let last = publish_again(&bus).await;
    while heard.last() != Some(&last) {
        heard.push(ears.event().await.id);
    }
    assert!(failed > 0);
    assert!(heard.is_sorted_by(|a, b| a < b), "an event came twice");
    let lost: Vec<_> = published
        .iter()
        .filter(|id| heard.binary_search(id).is_err())
        .collect();
    assert!(lost.is_empty(), "{lost:?} of {}", published.len());
    // Whoever was away for all of it misses nothing either.
    assert_eq!(
        listen(&bus, Some(heard[0])).await.ids(heard.len() - 1).await,
        heard[1..]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgot_everything_is_a_gap() {
    let Some(mut server) = Server::start(&[]).await else {
        return;
    };
    let bus = open(&server);
    let mut ears = listen(&bus, None).await;
    let ids = publish(&bus, 3).await;
    assert_eq!(ears.ids(3).await, ids);
    server.restart().await;
    let Some(Delivery::Gap { oldest }) = ears.next().await else {
        panic!("no word of a gap");
    };
    assert_eq!(oldest, None);
    let new = publish_again(&bus).await;
    assert_eq!(ears.ids(1).await, [new]);
    let mut late = listen(&bus, Some(ids[2])).await;
    assert_eq!(late.next().await, Some(Delivery::Gap { oldest: Some(new) }));
    assert_eq!(late.ids(1).await, [new]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_holds_nobody_up_for_long() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let bus = open(&server);
    let mut ears = listen(&bus, None).await;
    let ids = publish(&bus, 1).await;
    assert_eq!(ears.ids(1).await, ids);
    server.signal("-STOP");
    let start = Instant::now();
    assert_eq!(try_publish(&bus).await, Err(BusErrorKind::TimedOut));
    assert!(start.elapsed() < LIMIT * 3, "{:?}", start.elapsed());
    // The next ones do not wait at all.
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(try_publish(&bus).await, Err(BusErrorKind::Unavailable));
    }
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    let filter = Filter::new(Audience::All);
    assert_eq!(
        bus.subscribe(None, filter).await.unwrap_err().kind(),
        BusErrorKind::Unavailable
    );
    assert_eq!(
        bus.list_states().await.unwrap_err().kind(),
        BusErrorKind::Unavailable
    );
    // What is known here is heard nevertheless.
    let mut late = listen(&bus, Some(ids[0])).await;
    server.signal("-CONT");
    let new = publish_again(&bus).await;
    // What timed out may have been published after all.
    for ears in [&mut ears, &mut late] {
        while ears.event().await.id != new {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_begins_before_its_server() {
    let Some(mut server) = Server::start(&[]).await else {
        return;
    };
    server.kill();
    let bus = open(&server);
    assert_eq!(try_publish(&bus).await, Err(BusErrorKind::Unavailable));
    let error = bus.subscribe(None, Filter::new(Audience::All)).await.unwrap_err();
    assert_eq!(error.kind(), BusErrorKind::Unavailable);
    server.restart().await;
    let mut ears: Option<Ears> = None;
    until("it can be listened to", async || {
        let subscription = bus.subscribe(None, Filter::new(Audience::All)).await;
        ears = subscription.ok().map(Ears::new);
        ears.is_some()
    })
    .await;
    let id = publish_again(&bus).await;
    assert_eq!(ears.unwrap().ids(1).await, [id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_back_is_used_without_a_rest() {
    let Some(mut server) = Server::start(&[]).await else {
        return;
    };
    // It would be left alone for longer than anything here waits.
    let bus = open_with(&server, Duration::from_mins(10));
    publish(&bus, 1).await;
    server.kill();
    until("it is missed", async || try_publish(&bus).await.is_err()).await;
    server.restart().await;
    publish_again(&bus).await;
}
