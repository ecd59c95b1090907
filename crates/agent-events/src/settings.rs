//! What every bus can be told.

use std::num::NonZeroUsize;

use crate::Expiry;

/// How much a bus keeps, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusSettings {
    /// Events that are retained, at least. An event is a few hundred bytes, and at most about ten kilobytes.
    pub retained: NonZeroUsize,
    /// How long an agent's state is believed without news.
    pub expiry: Expiry,
}

impl Default for BusSettings {
    fn default() -> Self {
        Self {
            retained: const { NonZeroUsize::new(10_000).unwrap() },
            expiry: Expiry::default(),
        }
    }
}
