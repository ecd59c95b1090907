//! What the homeserver pushes.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    body::{Body, Bytes},
    http::Request,
};
use futures_util::{StreamExt, stream};
use gateway::{EventSink, SinkError};
use secrecy::SecretString;
use serde_json::{json, value::RawValue};
use tokio::{sync::Semaphore, time::Instant};

use crate::world::{Answer, HS_TOKEN, World};

const PATH: &str = "/_matrix/app/v1/transactions/17";
const NOT_KEPT: (u16, &str) = (503, "M_UNKNOWN");

/// Keeps each event once, as a store does.
#[derive(Debug)]
struct Sink {
    kept: Mutex<Vec<String>>,
    aside: Mutex<Vec<(String, String)>>,
    calls: AtomicU32,
    /// How many calls fail before one succeeds.
    failures: AtomicU32,
    /// A call takes one before it keeps anything, and gives it back.
    permits: Semaphore,
}

impl Sink {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            kept: Mutex::default(),
            aside: Mutex::default(),
            calls: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            permits: Semaphore::new(1),
        })
    }

    async fn begin(&self) -> Result<(), SinkError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        drop(self.permits.acquire().await);
        let count_down = |failures: u32| failures.checked_sub(1);
        let failed = self
            .failures
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count_down);
        match failed {
            Ok(_) => Err(SinkError::new("the disk with not-a-real-secret is full")),
            Err(_) => Ok(()),
        }
    }

    fn kept(&self) -> Vec<String> {
        self.kept.lock().unwrap().clone()
    }

    fn aside(&self) -> Vec<(String, String)> {
        self.aside.lock().unwrap().clone()
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    fn fail(&self, times: u32) {
        self.failures.store(times, Ordering::Relaxed);
    }
}

#[async_trait]
impl EventSink for Sink {
    async fn accept(&self, events: &[Box<RawValue>]) -> Result<(), SinkError> {
        self.begin().await?;
        let mut kept = self.kept.lock().unwrap();
        for event in events {
            if !kept.iter().any(|known| known == event.get()) {
                kept.push(event.get().to_owned());
            }
        }
        Ok(())
    }

    async fn set_aside(&self, raw: &str, reason: &str) -> Result<(), SinkError> {
        self.begin().await?;
        self.aside
            .lock()
            .unwrap()
            .push((raw.to_owned(), reason.to_owned()));
        Ok(())
    }
}

fn world() -> (World, Arc<Sink>) {
    let sink = Sink::new();
    let world = World::with(|gateway| {
        gateway
            .with_hs_token(SecretString::from(HS_TOKEN))
            .with_events(sink.clone())
    });
    (world, sink)
}

async fn push(world: &World, body: impl Into<Body>) -> Answer {
    push_to(world, PATH, body).await
}

async fn push_to(world: &World, path: &str, body: impl Into<Body>) -> Answer {
    let request = Request::put(path).header("Authorization", format!("Bearer {HS_TOKEN}"));
    world.ask(request, body).await
}

#[track_caller]
fn is_taken(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), &answer.body), (200, &json!({})));
}

#[tokio::test]
async fn events_are_kept_as_they_are_and_in_order() {
    let (world, sink) = world();
    let body = r#"{"events":[{"b" : 1.50},"x",{"a":"\ud800"}],"ephemeral":[{"type":"m.typing"}]}"#;
    is_taken(&push(&world, body).await);
    assert_eq!(sink.kept(), [r#"{"b" : 1.50}"#, r#""x""#, r#"{"a":"\ud800"}"#]);
    assert_eq!(sink.aside(), []);
}

#[tokio::test]
async fn only_what_is_kept_is_acknowledged() {
    let (world, sink) = world();
    sink.fail(2);
    let (status, errcode) = NOT_KEPT;
    for _ in 0..2 {
        push(&world, r#"{"events":[{"n":1}]}"#)
            .await
            .is_matrix_error(status, errcode);
        assert_eq!(sink.kept(), [""; 0]);
    }
    for _ in 0..2 {
        is_taken(&push(&world, r#"{"events":[{"n":1}]}"#).await);
        assert_eq!(sink.kept(), [r#"{"n":1}"#]);
    }
}

#[tokio::test]
async fn the_answer_waits_until_the_events_are_kept() {
    let (world, sink) = world();
    let permit = sink.permits.acquire().await.unwrap();
    let mut pushing = Box::pin(push(&world, r#"{"events":[{"n":1}]}"#));
    while sink.calls() == 0 {
        assert!(futures_util::poll!(&mut pushing).is_pending());
        tokio::task::yield_now().await;
    }
    assert!(futures_util::poll!(&mut pushing).is_pending());
    assert_eq!(sink.kept(), [""; 0]);
    drop(permit);
    is_taken(&pushing.await);
    assert_eq!(sink.kept().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_to_keep_is_to_be_pushed_again() {
    let (world, sink) = world();
    let permit = sink.permits.acquire().await.unwrap();
    let (status, errcode) = NOT_KEPT;
    let began = Instant::now();
    push(&world, r#"{"events":[{"n":1}]}"#)
        .await
        .is_matrix_error(status, errcode);
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "homeservers wait a minute"
    );
    drop(permit);
    is_taken(&push(&world, r#"{"events":[{"n":1}]}"#).await);
    assert_eq!(sink.kept().len(), 1);
}

#[tokio::test]
async fn a_homeserver_that_hangs_up_does_not_undo_anything() {
    let (world, sink) = world();
    let permit = sink.permits.acquire().await.unwrap();
    let mut pushing = Box::pin(push(&world, r#"{"events":[{"n":1}]}"#));
    while sink.calls() == 0 {
        assert!(futures_util::poll!(&mut pushing).is_pending());
        tokio::task::yield_now().await;
    }
    drop(pushing);
    drop(permit);
    while sink.kept().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_same_twice_at_the_same_time_is_kept_once() {
    let (world, sink) = world();
    let body = r#"{"events":[{"n":1},{"n":2}]}"#;
    let permit = sink.permits.acquire().await.unwrap();
    let both = async { tokio::join!(push(&world, body), push(&world, body)) };
    let release = async {
        while sink.calls() < 2 {
            tokio::task::yield_now().await;
        }
        drop(permit);
    };
    let ((one, other), ()) = tokio::join!(both, release);
    is_taken(&one);
    is_taken(&other);
    assert_eq!(sink.kept(), [r#"{"n":1}"#, r#"{"n":2}"#]);
}

#[tokio::test]
async fn a_hundred_large_events_are_accepted() {
    let (world, sink) = world();
    let text = "x".repeat(336 * 1024);
    let events: Vec<String> = (0..100)
        .map(|number| format!(r#"{{"n":{number},"body":"{text}"}}"#))
        .collect();
    let body = format!(r#"{{"events":[{}]}}"#, events.join(","));
    assert!(body.len() >= 32 * 1024 * 1024);
    is_taken(&push(&world, body).await);
    assert_eq!(sink.kept().len(), 100);
}

#[tokio::test]
async fn an_event_that_makes_no_sense_takes_no_other_with_it() {
    let (world, sink) = world();
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let mut body = format!(r#"{{"events":[{{"n":1}},{deep},null,{{"n":""#).into_bytes();
    body.extend_from_slice(b"\xff\"},{\"n\":2}]}");
    is_taken(&push(&world, body).await);
    let kept = sink.kept();
    assert_eq!(kept.len(), 5);
    assert_eq!((kept[0].as_str(), kept[4].as_str()), (r#"{"n":1}"#, r#"{"n":2}"#));
    assert_eq!(kept[1], deep);
}

#[tokio::test]
async fn a_transaction_that_makes_no_sense_is_set_aside_and_blocks_nothing() {
    for body in [
        "{",
        "",
        "[]",
        "null",
        r#"{"events":{}}"#,
        r#"{"events":"x"}"#,
        r#"{"events":null}"#,
        r#"{"events":[{"n":1}]} x"#,
    ] {
        let (world, sink) = world();
        sink.fail(1);
        let (status, errcode) = NOT_KEPT;
        push(&world, body).await.is_matrix_error(status, errcode);
        is_taken(&push(&world, body).await);
        let aside = sink.aside();
        assert_eq!(aside.len(), 1, "{body}");
        assert_eq!(aside[0].0, body);
        assert!(aside[0].1.starts_with("the transaction"), "{aside:?}");
        assert_eq!(sink.kept(), [""; 0]);
    }
}

#[tokio::test]
async fn a_transaction_without_events_is_taken() {
    for body in ["{}", r#"{"ephemeral":[]}"#, r#"{"events":[]}"#] {
        let (world, sink) = world();
        is_taken(&push(&world, body).await);
        assert_eq!((sink.kept().len(), sink.aside().len(), sink.calls()), (0, 0, 0));
    }
}

#[tokio::test]
async fn a_transaction_that_is_far_too_long_is_set_aside_by_its_beginning() {
    let (world, sink) = world();
    let piece = Bytes::from(vec![b'['; 1024 * 1024]);
    let pieces = stream::iter(std::iter::repeat_n(piece, 65).map(Ok::<_, std::io::Error>));
    is_taken(&push(&world, Body::from_stream(pieces)).await);
    let aside = sink.aside();
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].0.len(), 8 * 1024);
    assert!(aside[0].1.contains("longer than"), "{}", aside[0].1);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_taken() {
    let (world, sink) = world();
    let pieces = [
        Ok(Bytes::from_static(br#"{"events":[{"n":1}"#)),
        Err(std::io::Error::other("reset")),
    ];
    push(&world, Body::from_stream(stream::iter(pieces)))
        .await
        .is_matrix_error(400, "M_NOT_JSON");
    assert_eq!(sink.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let (world, sink) = world();
    let beginning = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{\"events\":["))]);
    let body = Body::from_stream(beginning.chain(stream::pending()));
    push(&world, body).await.is_matrix_error(408, "M_UNKNOWN");
    assert_eq!(sink.calls(), 0);
}

#[tokio::test]
async fn older_homeservers_push_to_the_root() {
    let (world, sink) = world();
    let body = r#"{"events":[{"n":1}]}"#;
    is_taken(&push_to(&world, "/transactions/17", body).await);
    is_taken(&push_to(&world, &format!("/transactions/18?access_token={HS_TOKEN}"), body).await);
    assert_eq!(sink.kept(), [r#"{"n":1}"#]);
}

#[tokio::test]
async fn without_the_token_nothing_is_kept() {
    let (world, sink) = world();
    for path in [PATH, "/transactions/17"] {
        let request = Request::put(path).header("Authorization", "Bearer x");
        let answer = world.ask(request, r#"{"events":[{"n":1}]}"#).await;
        answer.is_matrix_error(403, "M_FORBIDDEN");
        let request = Request::put(format!("{path}?access_token={HS_TOKEN}"));
        let answer = world.ask(request, r#"{"events":[{"n":1}]}"#).await;
        answer.is_matrix_error(401, "M_MISSING_TOKEN");
    }
    assert_eq!(sink.calls(), 0);
}

#[tokio::test]
async fn without_a_sink_events_are_not_acknowledged() {
    let world = World::new();
    for body in [r#"{"events": [{"type": "m.room.message"}]}"#, "{", ""] {
        push(&world, body)
            .await
            .is_matrix_error(503, "DEV.LETTA_MATRIX.NOT_CARRIED_YET");
    }
}
