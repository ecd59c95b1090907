//! The latest events, and who reads them.
//!
//! A subscriber is a place in one ring, not a queue of its own: it costs the same whether it reads or not, and what is
//! replayed and what is new is the same sequence, so that nothing can be left out or come twice between the two. The
//! publisher decides whom an event concerns and wakes only those; a subscriber whose next event fell out of the ring has
//! lagged.

mod seat;

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

pub(crate) use self::seat::Seat;
use crate::{AgentEvent, BusError, CloseReason, EventId, Filter};

/// How many events a subscriber takes out at once.
const BATCH: usize = 64;

#[derive(Debug)]
pub(crate) struct Log {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Without a break: everything after `floor` that there is.
    ring: VecDeque<Arc<AgentEvent>>,
    capacity: NonZeroUsize,
    floor: EventId,
    /// The last event, or the floor.
    last: EventId,
    places: HashMap<u64, Place>,
    next_place: u64,
    is_closed: bool,
    /// How often it began anew.
    #[cfg(feature = "redis")]
    epoch: u64,
}

/// How far a subscriber is.
#[derive(Debug)]
struct Place {
    filter: Filter,
    /// Where it began: it wants nothing up to here.
    from: EventId,
    /// The first event that it is to see and has not taken.
    next: Option<EventId>,
    /// Something was lost that it has not been told of; and what the oldest event is.
    gap: Option<Option<EventId>>,
    waker: Option<Waker>,
}

impl Place {
    fn wants(&self, event: &AgentEvent) -> bool {
        event.id > self.from && self.filter.sees(event)
    }
}

/// What a subscriber takes out.
pub(crate) enum Taken {
    Events(VecDeque<Arc<AgentEvent>>),
    Gap { oldest: Option<EventId> },
    Closed(CloseReason),
}

/// Where a subscriber wants to begin.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    /// With the next event.
    Now,
    /// With the oldest event of the ring.
    Oldest,
    /// After this one; if the ring does not know it, with the oldest event after a gap.
    After(EventId),
}

/// Where the ring is.
#[cfg(feature = "redis")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) floor: EventId,
    pub(crate) epoch: u64,
    first: Option<EventId>,
    last: EventId,
}

#[cfg(feature = "redis")]
impl Span {
    /// Whether the ring holds an event, or begins right after it. Of other ids before its first event it cannot say
    /// whether they were ever given out.
    pub(crate) fn knows(&self, id: EventId) -> bool {
        id == self.floor || self.first.is_some_and(|first| (first..=self.last).contains(&id))
    }
}

impl Log {
    /// An empty log: of what was published up to `floor` it knows nothing.
    pub(crate) fn new(capacity: NonZeroUsize, floor: EventId) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner {
                ring: VecDeque::new(),
                capacity,
                floor,
                last: floor,
                places: HashMap::new(),
                next_place: 0,
                is_closed: false,
                #[cfg(feature = "redis")]
                epoch: 0,
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends the event that is made from the id of the last one.
    pub(crate) fn append(
        &self,
        make: impl FnOnce(EventId) -> AgentEvent,
    ) -> Result<Arc<AgentEvent>, BusError> {
        let (event, wakers) = {
            let mut inner = self.lock();
            if inner.is_closed {
                return Err(BusError::closed());
            }
            let event = Arc::new(make(inner.last));
            let wakers = inner.append(Arc::clone(&event));
            (event, wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
        Ok(event)
    }

    /// Events up to `floor` are lost, and the ring begins anew after it. Everybody is told.
    #[cfg(feature = "redis")]
    pub(crate) fn begin_anew(&self, floor: EventId, oldest: Option<EventId>) {
        let wakers: Vec<Waker> = {
            let mut inner = self.lock();
            inner.ring.clear();
            inner.floor = floor;
            inner.last = floor;
            inner.epoch += 1;
            let lost = |place: &mut Place| {
                place.from = EventId::ZERO;
                place.next = None;
                place.gap = Some(oldest);
                place.waker.take()
            };
            inner.places.values_mut().filter_map(lost).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// No more events: subscribers end when they have read what there is.
    pub(crate) fn close(&self) {
        let wakers: Vec<Waker> = {
            let mut inner = self.lock();
            inner.is_closed = true;
            let places = inner.places.values_mut();
            places.filter_map(|place| place.waker.take()).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    #[cfg(feature = "redis")]
    pub(crate) fn span(&self) -> Span {
        let inner = self.lock();
        Span {
            floor: inner.floor,
            epoch: inner.epoch,
            first: inner.ring.front().map(|event| event.id),
            last: inner.last,
        }
    }

    /// Takes a place.
    pub(crate) fn sit(self: &Arc<Self>, start: Start, filter: Filter) -> Seat {
        let place = {
            let mut inner = self.lock();
            let (from, gap) = inner.begin(start);
            inner.sit(from, gap, filter)
        };
        Seat::new(Arc::clone(self), place)
    }

    /// Takes a place after an event that may be newer than all in the ring; none if the ring does not reach back to it, or
    /// has begun anew since.
    #[cfg(feature = "redis")]
    pub(crate) fn sit_after(self: &Arc<Self>, after: EventId, epoch: u64, filter: &Filter) -> Option<Seat> {
        let place = {
            let mut inner = self.lock();
            if after < inner.floor || epoch != inner.epoch {
                return None;
            }
            inner.sit(after, None, filter.clone())
        };
        Some(Seat::new(Arc::clone(self), place))
    }

    fn leave(&self, place: u64) {
        self.lock().places.remove(&place);
    }

    fn poll_take(&self, place: u64, context: &mut Context<'_>) -> Poll<Taken> {
        self.lock().poll_take(place, context)
    }
}

impl Inner {
    fn append(&mut self, event: Arc<AgentEvent>) -> Vec<Waker> {
        self.last = event.id;
        let mut wakers = Vec::new();
        for place in self.places.values_mut() {
            if place.wants(&event) {
                place.next.get_or_insert(event.id);
                wakers.extend(place.waker.take());
            }
        }
        if self.ring.len() == self.capacity.get()
            && let Some(oldest) = self.ring.pop_front()
        {
            self.floor = oldest.id;
        }
        self.ring.push_back(event);
        wakers
    }

    /// From where, and past what gap.
    fn begin(&self, start: Start) -> (EventId, Option<Option<EventId>>) {
        match start {
            Start::Now => (self.last, None),
            Start::Oldest => (self.floor, None),
            Start::After(after) if (self.floor..=self.last).contains(&after) => (after, None),
            Start::After(_) => (self.floor, Some(self.ring.front().map(|event| event.id))),
        }
    }

    fn sit(&mut self, from: EventId, gap: Option<Option<EventId>>, filter: Filter) -> u64 {
        let mut place = Place {
            filter,
            from,
            next: None,
            gap,
            waker: None,
        };
        let begin = self.ring.partition_point(|event| event.id <= from);
        let mut events = self.ring.range(begin..);
        place.next = events.find(|event| place.wants(event)).map(|event| event.id);
        let number = self.next_place;
        self.next_place += 1;
        self.places.insert(number, place);
        number
    }

    fn poll_take(&mut self, place: u64, context: &mut Context<'_>) -> Poll<Taken> {
        let Some(place) = self.places.get_mut(&place) else {
            return Poll::Ready(Taken::Closed(CloseReason::Shutdown));
        };
        if let Some(oldest) = place.gap.take() {
            return Poll::Ready(Taken::Gap { oldest });
        }
        let Some(next) = place.next else {
            if self.is_closed {
                return Poll::Ready(Taken::Closed(CloseReason::Shutdown));
            }
            place.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        if next <= self.floor {
            return Poll::Ready(Taken::Closed(CloseReason::Lagged));
        }
        let begin = self.ring.partition_point(|event| event.id < next);
        let mut wanted = self.ring.range(begin..).filter(|event| place.wants(event));
        let batch = wanted.by_ref().take(BATCH).cloned().collect();
        place.next = wanted.next().map(|event| event.id);
        Poll::Ready(Taken::Events(batch))
    }
}
