//! Coming back.

use std::sync::Arc;

use super::{
    hearing::{delta, listen, publish},
    samples::{EARLIER, turn},
    suite::{Ears, settings},
};
use crate::{Audience, Delivery, EventBus, EventId, Filter};

/// A small generator: the same seed, the same course.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

/// From the beginning, without a word of what may have been before.
pub async fn zero_resumes_with_all_that_is_retained(bus: Arc<dyn EventBus>) {
    let mut early = listen(&bus, Some(EventId::ZERO)).await;
    let ids = publish(&bus, 30).await;
    let mut late = listen(&bus, Some(EventId::ZERO)).await;
    assert_eq!(early.ids(30).await, ids);
    assert_eq!(late.ids(30).await, ids);
    publish(&bus, settings().retained.get() * 3).await;
    let event = listen(&bus, Some(EventId::ZERO)).await.event().await;
    assert!(event.id > ids[29]);
}

/// From every place.
pub async fn resuming_hears_what_was_missed_and_then_what_is_new(bus: Arc<dyn EventBus>) {
    let mut ids = publish(&bus, 20).await;
    let mut all = Vec::new();
    for id in &ids {
        all.push(listen(&bus, Some(*id)).await);
    }
    ids.extend(publish(&bus, 5).await);
    for (number, ears) in all.iter_mut().enumerate() {
        assert_eq!(
            ears.ids(24 - number).await,
            ids[number + 1..],
            "after number {number}"
        );
    }
}

/// Even at the very moment when it was given out.
pub async fn resuming_with_the_last_id_hears_only_what_is_new(bus: Arc<dyn EventBus>) {
    for _ in 0..20 {
        let last = publish(&bus, 1).await[0];
        let mut ears = listen(&bus, Some(last)).await;
        let next = publish(&bus, 1).await;
        assert_eq!(ears.ids(1).await, next);
    }
}

/// Everything after `start`, heard in many visits; and the event by which it knew the end.
async fn hear_in_visits(bus: Arc<dyn EventBus>, start: EventId, mut dice: Dice) -> (Vec<EventId>, EventId) {
    let mut heard = vec![start];
    loop {
        let mut ears = listen(&bus, heard.last().copied()).await;
        for _ in 0..=dice.roll(20) {
            let event = ears.event().await;
            if event.turn.agent.name == "end" {
                return (heard, event.id);
            }
            heard.push(event.id);
        }
        if dice.roll(3) == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Subscribers come and go while events are published: put together, each heard everything once.
pub async fn resuming_while_others_publish_leaves_nothing_out(bus: Arc<dyn EventBus>) {
    for seed in 1..=40 {
        let publishers: Vec<_> = (0..2)
            .map(|_| {
                let bus = Arc::clone(&bus);
                tokio::spawn(async move { publish(&bus, 60).await })
            })
            .collect();
        let start = publish(&bus, 1).await[0];
        let resuming: Vec<_> = (0..2)
            .map(|number| tokio::spawn(hear_in_visits(Arc::clone(&bus), start, Dice(seed * 2 + number))))
            .collect();
        let mut published = vec![start];
        for publisher in publishers {
            published.extend(publisher.await.unwrap());
        }
        published.retain(|id| *id >= start);
        published.sort_unstable();
        let end = bus.publish(turn("end", "room").event(delta(0))).await.unwrap();
        for resuming in resuming {
            assert_eq!(resuming.await.unwrap(), (published.clone(), end), "seed {seed}");
        }
    }
}

/// The filter holds for what is replayed as for what is new.
pub async fn a_filtered_subscriber_resumes_too(bus: Arc<dyn EventBus>) {
    let (ours, theirs) = (turn("ada", "ours"), turn("bob", "theirs"));
    let mut mine = Vec::new();
    let first = bus.publish(theirs.event(delta(0))).await.unwrap();
    let mut ears = None;
    for number in 0..100 {
        bus.publish(theirs.event(delta(number))).await.unwrap();
        mine.push(bus.publish(ours.event(delta(number))).await.unwrap());
        if number == 60 {
            let filter = Filter::new(Audience::Rooms([ours.room_id.clone()].into()));
            ears = Some(Ears::new(bus.subscribe(Some(first), filter).await.unwrap()));
        }
    }
    assert_eq!(ears.unwrap().ids(100).await, mine);
}

/// Then follows what is retained, without a hole.
pub async fn a_log_that_no_longer_reaches_back_says_so(bus: Arc<dyn EventBus>) {
    let retained = settings().retained.get();
    let first = publish(&bus, 1).await[0];
    let ids = publish(&bus, retained * 3).await;
    let mut ears = listen(&bus, Some(first)).await;
    let Some(Delivery::Gap { oldest: Some(oldest) }) = ears.next().await else {
        panic!("no word of a gap");
    };
    let begin = ids
        .iter()
        .position(|id| *id == oldest)
        .expect("an id that was given out");
    assert!(
        begin > 0 && ids.len() - begin >= retained,
        "{begin} of {}",
        ids.len()
    );
    assert_eq!(ears.ids(ids.len() - begin).await, ids[begin..]);
    let new = publish(&bus, 1).await;
    assert_eq!(ears.ids(1).await, new);
}

/// Of an earlier process, or of a log that was lost.
pub async fn an_id_from_before_the_log_is_a_gap(bus: Arc<dyn EventBus>) {
    let mut early = listen(&bus, Some(EARLIER)).await;
    assert_eq!(early.next().await, Some(Delivery::Gap { oldest: None }));
    let ids = publish(&bus, 3).await;
    assert_eq!(early.ids(3).await, ids);
    let mut late = listen(&bus, Some(EARLIER)).await;
    assert_eq!(late.next().await, Some(Delivery::Gap { oldest: Some(ids[0]) }));
    assert_eq!(late.ids(3).await, ids);
}

/// Of another log, whose clock was ahead.
pub async fn an_id_that_the_log_never_gave_out_is_a_gap(bus: Arc<dyn EventBus>) {
    let ids = publish(&bus, 3).await;
    let mut ears = listen(&bus, Some(EventId::new(u64::MAX, 1))).await;
    assert_eq!(ears.next().await, Some(Delivery::Gap { oldest: Some(ids[0]) }));
    assert_eq!(ears.ids(3).await, ids);
    let new = publish(&bus, 1).await;
    assert_eq!(ears.ids(1).await, new);
}
