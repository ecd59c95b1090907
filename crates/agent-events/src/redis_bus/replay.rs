//! What was before the process began, and then the log.

use std::{collections::VecDeque, sync::Arc};

use futures_util::{StreamExt, stream};

use super::{
    link::Link,
    window::{Fit, Page, Window},
};
use crate::{
    BusError, CloseReason, Delivery, EventId, Filter, Subscription,
    log::{Log, Seat},
};

/// A subscriber that reads pages of the stream until the log reaches back to where it is.
pub(super) struct Replay {
    window: Window,
    link: Arc<Link>,
    log: Arc<Log>,
    /// That of the log when this began: when the log begins anew, where this is means nothing any more.
    epoch: u64,
    filter: Filter,
    /// Everything up to here was read.
    cursor: EventId,
    to_deliver: VecDeque<Delivery>,
    seat: Option<Seat>,
    has_ended: bool,
}

impl Replay {
    pub(super) fn new(window: Window, link: Arc<Link>, log: Arc<Log>, epoch: u64, filter: Filter) -> Self {
        Self {
            window,
            link,
            log,
            epoch,
            filter,
            cursor: EventId::ZERO,
            to_deliver: VecDeque::new(),
            seat: None,
            has_ended: false,
        }
    }

    /// With what comes after the last entry of this moment. The log may not have got so far yet.
    pub(super) async fn begin_now(&mut self) -> Result<(), BusError> {
        self.cursor = Window::last(&self.link.run(&self.window.ask_last()).await?)?;
        self.seat = self.log.sit_after(self.cursor, self.epoch, &self.filter);
        Ok(())
    }

    /// With what comes after an event; whether that is all there was is told.
    pub(super) async fn begin_after(&mut self, after: EventId) -> Result<(), BusError> {
        self.cursor = after;
        let mut page = self.read_page().await?;
        if page.fit != Fit::Follows && after != EventId::ZERO {
            self.to_deliver.push_back(Delivery::Gap { oldest: page.first });
        }
        if page.fit == Fit::Unknown {
            self.cursor = page.floor();
            page = self.read_page().await?;
        }
        self.take(page);
        Ok(())
    }

    pub(super) fn into_subscription(self) -> Subscription {
        Subscription::new(stream::unfold(self, |mut replay| async {
            let delivery = replay.next().await?;
            Some((delivery, replay))
        }))
    }

    async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Some(delivery) = self.to_deliver.pop_front() {
                return Some(delivery);
            }
            if let Some(seat) = &mut self.seat {
                return seat.next().await;
            }
            if self.has_ended {
                return None;
            }
            if self.log.is_closed() {
                return self.end(CloseReason::Shutdown);
            }
            self.seat = self.log.sit_after(self.cursor, self.epoch, &self.filter);
            if self.seat.is_some() {
                continue;
            }
            if self.log.span().epoch != self.epoch {
                return self.end(CloseReason::Unavailable);
            }
            match self.read_page().await {
                Ok(page) if page.fit == Fit::Follows => self.take(page),
                Ok(_) => return self.end(CloseReason::Lagged),
                Err(_) => return self.end(CloseReason::Unavailable),
            }
        }
    }

    fn end(&mut self, reason: CloseReason) -> Option<Delivery> {
        self.has_ended = true;
        Some(Delivery::Closed(reason))
    }

    async fn read_page(&self) -> Result<Page, BusError> {
        let floor = self.log.span().floor;
        let answer = self.link.run(&self.window.ask(self.cursor)).await?;
        let mut page = self.window.page(self.cursor, &answer)?;
        if page.is_last {
            // What the log does not have was before, so it has been read.
            page.end = page.end.max(floor);
        }
        Ok(page)
    }

    fn take(&mut self, page: Page) {
        let seen = page.events.into_iter().filter(|event| self.filter.sees(event));
        self.to_deliver
            .extend(seen.map(|event| Delivery::Event(Arc::new(event))));
        self.cursor = page.end;
    }
}
