//! A subscriber's end.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::Stream;

use super::{Log, Taken};
use crate::{AgentEvent, Delivery};

/// Reads from one place in the log; leaves it when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    log: Arc<Log>,
    place: u64,
    taken: VecDeque<Arc<AgentEvent>>,
    has_ended: bool,
}

impl Seat {
    pub(super) fn new(log: Arc<Log>, place: u64) -> Self {
        Self {
            log,
            place,
            taken: VecDeque::new(),
            has_ended: false,
        }
    }
}

impl Stream for Seat {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        if let Some(event) = self.taken.pop_front() {
            return Poll::Ready(Some(Delivery::Event(event)));
        }
        if self.has_ended {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.log.poll_take(self.place, context)) {
            Taken::Gap { oldest } => Some(Delivery::Gap { oldest }),
            Taken::Closed(reason) => {
                self.has_ended = true;
                Some(Delivery::Closed(reason))
            }
            Taken::Events(events) => {
                self.taken = events;
                self.taken.pop_front().map(Delivery::Event)
            }
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.log.leave(self.place);
    }
}
