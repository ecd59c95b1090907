//! The cases as tests, and how they listen.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use futures_util::StreamExt;

use crate::{AgentEvent, BusSettings, CloseReason, Delivery, EventId, Expiry, Subscription};

/// What a case may wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the cases expect of a bus.
#[must_use]
pub fn settings() -> BusSettings {
    BusSettings {
        retained: NonZeroUsize::new(200).expect("more than nothing"),
        expiry: Expiry::default(),
    }
}

/// What those cases expect that wait for a state to expire.
#[must_use]
pub fn short_lived() -> BusSettings {
    BusSettings {
        expiry: Expiry {
            working: Duration::from_secs(1),
            awaiting: Duration::from_hours(1),
        },
        ..settings()
    }
}

/// Waits until something holds.
///
/// # Panics
/// When it does not for long.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, wait).await.is_ok(),
        "waited in vain: {what}"
    );
}

/// A subscriber that does not wait for ever.
#[derive(Debug)]
pub struct Ears(Subscription);

impl Ears {
    /// Listens to a subscription.
    #[must_use]
    pub fn new(subscription: Subscription) -> Self {
        Self(subscription)
    }

    /// What comes next; `None` at the end.
    ///
    /// # Panics
    /// When nothing comes for long.
    pub async fn next(&mut self) -> Option<Delivery> {
        tokio::time::timeout(PATIENCE, self.0.next())
            .await
            .expect("something is heard in time")
    }

    /// The event that comes next.
    ///
    /// # Panics
    /// When something else comes, or nothing.
    pub async fn event(&mut self) -> Arc<AgentEvent> {
        match self.next().await {
            Some(Delivery::Event(event)) => event,
            other => panic!("not an event: {other:?}"),
        }
    }

    /// The ids of the next events.
    ///
    /// # Panics
    /// When something else comes, or nothing.
    pub async fn ids(&mut self, count: usize) -> Vec<EventId> {
        let mut ids = Vec::with_capacity(count);
        for _ in 0..count {
            ids.push(self.event().await.id);
        }
        ids
    }

    /// Everything up to the last item, and that.
    ///
    /// # Panics
    /// When the subscription does not end, or ends otherwise.
    pub async fn rest(&mut self) -> (Vec<Delivery>, CloseReason) {
        let mut rest = Vec::new();
        loop {
            match self.next().await {
                Some(Delivery::Closed(reason)) => {
                    assert_eq!(self.next().await, None, "something came after the end");
                    return (rest, reason);
                }
                Some(other) => rest.push(other),
                None => panic!("it ended without a reason"),
            }
        }
    }
}

/// Turns every case into a named test. Takes `around` and the path of a function that makes a bus with given settings
/// and calls its second argument, an `AsyncFnOnce` of an `Arc<dyn EventBus>`; or, where there can be no bus, does not.
#[macro_export]
macro_rules! bus_conformance {
    (around $around:path) => {
        $crate::bus_conformance!(@cases $around, settings;
            an_event_is_heard_as_it_was_published,
            ids_increase,
            everybody_hears_the_same_order,
            what_was_published_before_is_not_heard,
            each_sees_what_they_may,
            agents_rooms_and_types_are_filtered,
            a_subscriber_that_never_reads_is_cut_loose,
            a_subscriber_that_keeps_up_hears_more_than_is_retained,
            closing_ends_everything,
            zero_resumes_with_all_that_is_retained,
            resuming_hears_what_was_missed_and_then_what_is_new,
            resuming_with_the_last_id_hears_only_what_is_new,
            resuming_while_others_publish_leaves_nothing_out,
            a_filtered_subscriber_resumes_too,
            a_log_that_no_longer_reaches_back_says_so,
            an_id_from_before_the_log_is_a_gap,
            an_id_that_the_log_never_gave_out_is_a_gap,
            a_state_follows_the_events,
            states_are_listed_by_agent_id,
            states_of_a_failed_turn_are_idle,
            keeping_an_idle_state_does_nothing,
        );
        $crate::bus_conformance!(@cases $around, short_lived;
            a_state_without_news_expires,
            a_state_that_is_kept_stays,
            waiting_for_a_person_outlasts_work,
        );
    };
    (@cases $around:path, $settings:ident; $($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $around($crate::testing::$settings(), async |bus| $crate::testing::$case(bus).await).await;
            }
        )*
    };
}
