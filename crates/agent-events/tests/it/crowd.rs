//! Many subscribers.

use std::{sync::Arc, time::Instant};

use agent_events::{
    Audience, BusSettings, CloseReason, EventBus, EventKind, Filter, InProcessBus,
    testing::{Ears, turn},
};
use futures_util::future::join_all;
use store::SystemClock;

const CROWD: usize = 1_000;
const EVENTS: usize = 1_000;

/// One that never reads is cut loose, and all others hear everything.
#[expect(
    clippy::print_stdout,
    reason = "the figures are for whoever reads the tests' output"
)]
pub(crate) async fn a_thousand_hear_everything(bus: Arc<dyn EventBus>, settings: BusSettings) {
    assert!(settings.retained.get() < EVENTS);
    let all = || Filter::new(Audience::All);
    let mut sleeper = Ears::new(bus.subscribe(None, all()).await.unwrap());
    let (heard, mut counts) = tokio::sync::mpsc::unbounded_channel();
    let mut listeners = Vec::new();
    for _ in 1..CROWD {
        let mut ears = Ears::new(bus.subscribe(None, all()).await.unwrap());
        let heard = heard.clone();
        listeners.push(tokio::spawn(async move {
            let mut ids = Vec::with_capacity(EVENTS);
            for _ in 0..EVENTS / 100 {
                ids.extend(ears.ids(100).await);
                heard.send(()).unwrap();
            }
            ids
        }));
    }
    let turn = turn("ada", "room");
    let mut published = Vec::with_capacity(EVENTS);
    let mut slowest = std::time::Duration::ZERO;
    let start = Instant::now();
    for number in 0..EVENTS {
        let text = number.to_string().as_str().into();
        let began = Instant::now();
        published.push(
            bus.publish(turn.event(EventKind::MessageDelta { text }))
                .await
                .unwrap(),
        );
        slowest = slowest.max(began.elapsed());
        if number % 100 == 99 {
            // All but the sleeper keep up.
            for _ in 1..CROWD {
                counts.recv().await.unwrap();
            }
        }
    }
    let took = start.elapsed();
    for ids in join_all(listeners).await {
        assert_eq!(ids.unwrap(), published);
    }
    let (left, reason) = sleeper.rest().await;
    assert_eq!((left.len(), reason), (0, CloseReason::Lagged));
    println!("{EVENTS} events to {CROWD} subscribers in {took:?}, the slowest publication {slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_hear_everything_in_process() {
    let settings = BusSettings {
        retained: 500.try_into().unwrap(),
        ..BusSettings::default()
    };
    let bus = Arc::new(InProcessBus::new(settings, Arc::new(SystemClock)));
    a_thousand_hear_everything(bus, settings).await;
}
