use ruma::api::{Direction, client::filter::RoomEventFilter};

use super::{Event, SkippedEvent};

/// Which part of a room's history is wanted. See [`MatrixApi::list_messages`](crate::MatrixApi::list_messages).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MessagesRequest {
    /// Backward: newest first. Forward: oldest first.
    pub direction: Direction,
    /// A token of `sync` or of an earlier page. `None`: from the end (backward) or the beginning (forward).
    pub from: Option<String>,
    /// A token at which to stop.
    pub to: Option<String>,
    /// The most events on the page. `None`: the server's default, usually 10.
    pub limit: Option<u32>,
    /// Which events are wanted.
    pub filter: RoomEventFilter,
}

impl MessagesRequest {
    /// From the newest event towards older ones.
    pub fn backward() -> Self {
        Self::new(Direction::Backward)
    }

    /// From the oldest event towards newer ones.
    pub fn forward() -> Self {
        Self::new(Direction::Forward)
    }

    fn new(direction: Direction) -> Self {
        Self {
            direction,
            from: None,
            to: None,
            limit: None,
            filter: RoomEventFilter::default(),
        }
    }

    /// Starts at this token.
    #[must_use]
    pub fn from(mut self, token: impl Into<String>) -> Self {
        self.from = Some(token.into());
        self
    }

    /// Stops at this token.
    #[must_use]
    pub fn to(mut self, token: impl Into<String>) -> Self {
        self.to = Some(token.into());
        self
    }

    /// At most this many events.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Only these events.
    #[must_use]
    pub fn filter(mut self, filter: RoomEventFilter) -> Self {
        self.filter = filter;
        self
    }
}

/// A page of a room's history.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MessagesPage {
    /// The token of the page's beginning.
    pub start: String,
    /// The token to go on with. `None`: there is nothing further in this direction.
    pub end: Option<String>,
    /// The events, in the order asked for.
    pub events: Vec<Event>,
    /// State that belongs to the events, where the filter asks for it (lazily loaded members).
    pub state: Vec<Event>,
    /// Events that are not well-formed and were set aside.
    pub skipped: Vec<SkippedEvent>,
}

impl MessagesPage {
    /// A page of events.
    pub fn new(start: impl Into<String>, end: Option<String>, events: Vec<Event>) -> Self {
        Self {
            start: start.into(),
            end,
            events,
            ..Self::default()
        }
    }
}
