//! How many agents are worked on at once.
//!
//! Most homeservers make rooms one after the other: working on more agents then only makes each wait longer. So the
//! number follows what can be seen: while requests take as long as they do alone, it grows; when they queue up behind
//! each other, it shrinks; when the homeserver fails or limits us, it is halved.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::Step;

/// What it starts from.
const START: f64 = 2.0;

/// Fewer waiting requests than this: one more agent does no harm. More than the other: one fewer does as well.
const QUEUE_LOW: f64 = 0.75;
const QUEUE_HIGH: f64 = 1.5;

/// The number of agents worked on at once, and what it is derived from.
#[derive(Debug)]
pub(crate) struct Pace {
    max: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: f64,
    /// The shortest time each kind of step took.
    alone: HashMap<Step, Duration>,
}

impl Pace {
    pub(crate) fn up_to(max: usize) -> Self {
        let max = u16::try_from(max.max(1)).map_or(f64::from(u16::MAX), f64::from);
        Self {
            max,
            state: Mutex::new(State {
                limit: START.min(max),
                alone: HashMap::new(),
            }),
        }
    }

    /// How many agents may be worked on now.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and 65,535"
    )]
    pub(crate) fn limit(&self) -> usize {
        self.state().limit as usize
    }

    /// A step took this long.
    pub(crate) fn took(&self, step: Step, time: Duration) {
        let mut state = self.state();
        let alone = *state
            .alone
            .entry(step)
            .and_modify(|shortest| *shortest = time.min(*shortest))
            .or_insert(time);
        // Of the requests under way, this share did nothing but wait for the others.
        let waiting = if time.is_zero() {
            0.0
        } else {
            state.limit * (1.0 - alone.as_secs_f64() / time.as_secs_f64())
        };
        // Each step moves it a little, so that it takes a round of all agents under way to move it by one.
        let nudge = 1.0 / state.limit;
        if waiting < QUEUE_LOW {
            state.limit = (state.limit + nudge).min(self.max);
        } else if waiting > QUEUE_HIGH {
            state.limit = (state.limit - nudge).max(1.0);
        }
    }

    /// The homeserver failed, or asked us to slow down.
    pub(crate) fn overloaded(&self) {
        let mut state = self.state();
        state.limit = (state.limit / 2.0).max(1.0);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Duration = Duration::from_millis(100);

    /// Works through many steps on a server that does `parallel` things at once, the others waiting.
    fn settles_at(max: usize, parallel: usize) -> usize {
        let pace = Pace::up_to(max);
        for _ in 0..500 {
            let busy = pace.limit().div_ceil(parallel).max(1);
            pace.took(Step::Room, ALONE * u32::try_from(busy).unwrap());
        }
        pace.limit()
    }

    #[test]
    fn a_server_that_makes_one_room_after_the_other_gets_few_at_once() {
        let settled = settles_at(64, 1);
        assert!((1..=3).contains(&settled), "{settled}");
    }

    #[test]
    fn a_server_that_does_much_at_once_gets_as_much_as_is_allowed() {
        assert_eq!(settles_at(16, 1_000), 16);
        assert_eq!(settles_at(1, 1_000), 1);
    }

    #[test]
    fn a_failure_halves_it_and_one_always_remains() {
        let pace = Pace::up_to(16);
        for _ in 0..500 {
            pace.took(Step::Room, ALONE);
        }
        assert_eq!(pace.limit(), 16);
        pace.overloaded();
        assert_eq!(pace.limit(), 8);
        for _ in 0..10 {
            pace.overloaded();
        }
        assert_eq!(pace.limit(), 1);
    }

    #[test]
    fn a_server_that_takes_no_time_gets_as_much_as_is_allowed() {
        let pace = Pace::up_to(8);
        for _ in 0..100 {
            pace.took(Step::Room, Duration::ZERO);
        }
        assert_eq!(pace.limit(), 8);
    }
}
