//! Which delivery is next. Pure.
//!
//! Deliveries of one lane follow one another in the order in which they came up. An agent does one delivery at a time, of
//! whichever of its lanes: of two turns at once Letta would forget one. Agents do not wait for each other. A lane that
//! waits for a person's decision does nothing but that.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A delivery that is waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) lane: String,
    /// Whether it is the decision that its lane waits for, or was begun already: those do not wait for a decision.
    pub(crate) goes_first: bool,
}

/// All lanes, by who works on them.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    workers: HashMap<String, Worker>,
}

#[derive(Debug, Default)]
struct Worker {
    waiting: BTreeMap<i64, Waiting>,
    at_work: Option<(i64, String)>,
    blocked: BTreeSet<String>,
}

impl Worker {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.at_work.is_none() && self.blocked.is_empty()
    }
}

impl Lanes {
    /// Adds a delivery. One that is there already is left as it is.
    pub(crate) fn push(&mut self, worker: &str, id: i64, waiting: Waiting) {
        let worker = self.workers.entry(worker.to_owned()).or_default();
        if worker.at_work.as_ref().is_some_and(|(at_work, _)| *at_work == id) {
            return;
        }
        worker.waiting.entry(id).or_insert(waiting);
    }

    /// Everybody who has something to do.
    pub(crate) fn workers(&self) -> Vec<String> {
        self.workers.keys().cloned().collect()
    }

    /// The delivery that this worker is to do now, if there is one and it does none.
    pub(crate) fn start(&mut self, name: &str) -> Option<i64> {
        let worker = self.workers.get_mut(name)?;
        if worker.at_work.is_some() {
            return None;
        }
        let next = worker
            .waiting
            .iter()
            .find(|(_, waiting)| waiting.goes_first || !worker.blocked.contains(&waiting.lane))
            .map(|(id, _)| *id)?;
        let waiting = worker.waiting.remove(&next)?;
        worker.at_work = Some((next, waiting.lane));
        Some(next)
    }

    /// The worker did it.
    pub(crate) fn done(&mut self, name: &str) {
        if let Some(worker) = self.workers.get_mut(name) {
            worker.at_work = None;
            if worker.is_idle() {
                self.workers.remove(name);
            }
        }
    }

    /// Takes a waiting delivery out; whether it was waiting.
    pub(crate) fn remove(&mut self, name: &str, id: i64) -> bool {
        self.workers
            .get_mut(name)
            .is_some_and(|worker| worker.waiting.remove(&id).is_some())
    }

    /// A lane waits for a decision, or no longer.
    pub(crate) fn set_blocked(&mut self, name: &str, lane: &str, is_blocked: bool) {
        let worker = self.workers.entry(name.to_owned()).or_default();
        if is_blocked {
            worker.blocked.insert(lane.to_owned());
        } else {
            worker.blocked.remove(lane);
        }
        if worker.is_idle() {
            self.workers.remove(name);
        }
    }

    /// Whether a lane waits for a decision.
    pub(crate) fn is_blocked(&self, name: &str, lane: &str) -> bool {
        self.workers
            .get(name)
            .is_some_and(|worker| worker.blocked.contains(lane))
    }

    /// How many wait in a lane.
    pub(crate) fn waiting_in(&self, name: &str, lane: &str) -> usize {
        self.workers.get(name).map_or(0, |worker| {
            worker
                .waiting
                .values()
                .filter(|waiting| waiting.lane == lane)
                .count()
        })
    }

    /// How many wait for this worker.
    pub(crate) fn waiting_for(&self, name: &str) -> usize {
        self.workers.get(name).map_or(0, |worker| worker.waiting.len())
    }

    /// What the worker does now: the delivery and its lane.
    pub(crate) fn at_work(&self, name: &str) -> Option<(i64, &str)> {
        let (id, lane) = self.workers.get(name)?.at_work.as_ref()?;
        Some((*id, lane))
    }

    /// Whether this delivery is being done.
    pub(crate) fn is_at_work(&self, name: &str, id: i64) -> bool {
        self.at_work(name).is_some_and(|(at_work, _)| at_work == id)
    }

    /// How many deliveries come before this one, the one at work included.
    pub(crate) fn before(&self, name: &str, id: i64) -> usize {
        self.workers.get(name).map_or(0, |worker| {
            worker.waiting.range(..id).count() + usize::from(worker.at_work.is_some())
        })
    }

    /// Whether this delivery waits, or is being done.
    pub(crate) fn has(&self, name: &str, id: i64) -> bool {
        let waits = |worker: &Worker| worker.waiting.contains_key(&id);
        self.workers.get(name).is_some_and(waits) || self.is_at_work(name, id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn waiting(lane: &str) -> Waiting {
        Waiting {
            lane: lane.to_owned(),
            goes_first: false,
        }
    }

    fn decision(lane: &str) -> Waiting {
        Waiting {
            goes_first: true,
            ..waiting(lane)
        }
    }

    #[test]
    fn an_agent_does_one_thing_at_a_time_in_order() {
        let mut lanes = Lanes::default();
        lanes.push("a", 2, waiting("x"));
        lanes.push("a", 1, waiting("y"));
        assert_eq!(lanes.start("a"), Some(1));
        assert_eq!(lanes.start("a"), None);
        assert_eq!((lanes.before("a", 2), lanes.waiting_in("a", "x")), (1, 1));
        lanes.done("a");
        assert_eq!(lanes.start("a"), Some(2));
        lanes.done("a");
        assert_eq!(lanes.start("a"), None);
        assert!(lanes.workers.is_empty());
    }

    #[test]
    fn agents_do_not_wait_for_each_other() {
        let mut lanes = Lanes::default();
        lanes.push("a", 1, waiting("x"));
        lanes.push("b", 2, waiting("x"));
        assert_eq!((lanes.start("a"), lanes.start("b")), (Some(1), Some(2)));
    }

    #[test]
    fn a_lane_that_waits_for_a_decision_does_nothing_else_and_others_go_on() {
        let mut lanes = Lanes::default();
        lanes.set_blocked("a", "x", true);
        lanes.push("a", 1, waiting("x"));
        lanes.push("a", 2, waiting("y"));
        assert_eq!(lanes.start("a"), Some(2));
        lanes.done("a");
        assert_eq!(lanes.start("a"), None);
        lanes.push("a", 3, decision("x"));
        assert_eq!(lanes.start("a"), Some(3));
        lanes.done("a");
        assert_eq!(lanes.start("a"), None);
        lanes.set_blocked("a", "x", false);
        assert_eq!(lanes.start("a"), Some(1));
    }

    #[test]
    fn what_is_there_is_not_added_again() {
        let mut lanes = Lanes::default();
        lanes.push("a", 1, waiting("x"));
        lanes.push("a", 1, waiting("x"));
        assert_eq!(lanes.start("a"), Some(1));
        lanes.push("a", 1, waiting("x"));
        lanes.done("a");
        assert_eq!(lanes.start("a"), None);
    }

    #[test]
    fn what_waits_can_be_taken_out() {
        let mut lanes = Lanes::default();
        lanes.push("a", 1, waiting("x"));
        assert!(lanes.remove("a", 1));
        assert!(!lanes.remove("a", 1));
        assert_eq!(lanes.start("a"), None);
    }

    proptest! {
        /// Whatever is pushed comes out once, in each lane in order.
        #[test]
        fn everything_comes_out_once_and_each_lane_in_order(
            pushes in proptest::collection::vec((0u8..3, 0u8..3), 0..60),
            seed in proptest::collection::vec(any::<bool>(), 120),
        ) {
            let mut lanes = Lanes::default();
            let mut out: Vec<(u8, u8, i64)> = Vec::new();
            let mut seed = seed.into_iter();
            let lane_of: Vec<_> = pushes.clone();
            let take = |lanes: &mut Lanes, out: &mut Vec<(u8, u8, i64)>| {
                for worker in 0u8..3 {
                    if let Some(id) = lanes.start(&worker.to_string()) {
                        let (_, lane) = lane_of[usize::try_from(id).unwrap()];
                        out.push((worker, lane, id));
                        lanes.done(&worker.to_string());
                    }
                }
            };
            for (id, (worker, lane)) in pushes.iter().enumerate() {
                lanes.push(&worker.to_string(), i64::try_from(id).unwrap(), waiting(&lane.to_string()));
                if seed.next() == Some(true) {
                    take(&mut lanes, &mut out);
                }
            }
            for _ in 0..pushes.len() {
                take(&mut lanes, &mut out);
            }
            prop_assert_eq!(out.len(), pushes.len());
            for worker in 0..3 {
                let ids: Vec<_> = out.iter().filter(|(of, ..)| *of == worker).map(|(.., id)| *id).collect();
                prop_assert!(ids.is_sorted(), "{:?}", ids);
            }
            prop_assert!(lanes.workers.is_empty());
        }
    }
}
