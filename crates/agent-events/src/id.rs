//! What orders events.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The id of an event, and the token with which a stream is resumed.
///
/// Ids of one log are different and increase in the order of publication. The text, e.g. `1767268800000-0`, is that of
/// an entry of a Redis stream: milliseconds of the log's clock, and a number within the millisecond. It is compared as
/// two numbers, never as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    millis: u64,
    number: u64,
}

impl EventId {
    /// Before every event: whoever resumes from here gets all that is retained.
    pub const ZERO: Self = Self { millis: 0, number: 0 };

    /// The id with these numbers.
    #[must_use]
    pub const fn new(millis: u64, number: u64) -> Self {
        Self { millis, number }
    }

    /// The id of an event that is published at `millis` after this one. A clock that went back does not take it back.
    #[must_use]
    pub(crate) fn next(self, millis: u64) -> Self {
        if millis > self.millis {
            return Self::new(millis, 0);
        }
        match self.number.checked_add(1) {
            Some(number) => Self::new(self.millis, number),
            None => Self::new(self.millis.saturating_add(1), 0),
        }
    }

    /// The greatest id that is less than this one.
    #[cfg(feature = "redis")]
    #[must_use]
    pub(crate) fn before(self) -> Self {
        match (self.number.checked_sub(1), self.millis.checked_sub(1)) {
            (Some(number), _) => Self::new(self.millis, number),
            (None, Some(millis)) => Self::new(millis, u64::MAX),
            (None, None) => Self::ZERO,
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

/// A text that is not the id of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event id is two numbers with a hyphen between them, e.g. 1767268800000-0")]
pub struct InvalidEventId;

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number
                .then(|| text.parse().ok())
                .flatten()
                .ok_or(InvalidEventId)
        };
        let (millis, within) = text.split_once('-').ok_or(InvalidEventId)?;
        Ok(Self::new(number(millis)?, number(within)?))
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for EventId {
    fn schema_name() -> Cow<'static, str> {
        "EventId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Increases in the order of publication; compare as two numbers. Resume from the last one seen.",
            "type": "string",
            "pattern": "^[0-9]{1,20}-[0-9]{1,20}$",
        })
    }
}
