//! Text that cannot grow.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The beginning of a text, at most 4096 bytes long, and how much is missing.
///
/// What models and tools write has no bounds; events do, because many are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Wire")]
pub struct Excerpt {
    /// The text, or its beginning.
    #[schemars(length(max = 4096))]
    text: String,
    /// Bytes that are missing at its end.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 1))]
    omitted_bytes: u64,
}

impl Excerpt {
    /// The longest text in bytes of UTF-8.
    pub const MAX_BYTES: usize = 4096;

    /// Takes a text, or as much of it as fits.
    pub fn new(text: impl Into<String>) -> Self {
        let mut text: String = text.into();
        let end = text.floor_char_boundary(Self::MAX_BYTES);
        let omitted_bytes = (text.len() - end) as u64;
        if omitted_bytes > 0 {
            text.truncate(end);
            text.shrink_to_fit();
        }
        Self { text, omitted_bytes }
    }

    /// Cuts a text into pieces of which nothing is missing: put together they are the text.
    pub fn pieces(mut text: &str) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || {
            let (piece, rest) = text.split_at(text.floor_char_boundary(Self::MAX_BYTES));
            text = rest;
            (!piece.is_empty()).then(|| Self::new(piece))
        })
    }

    /// The text, or its beginning.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Bytes that are missing at its end.
    #[must_use]
    pub fn omitted_bytes(&self) -> u64 {
        self.omitted_bytes
    }
}

impl From<&str> for Excerpt {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Excerpt")]
struct Wire {
    text: String,
    #[serde(default)]
    omitted_bytes: u64,
}

impl From<Wire> for Excerpt {
    fn from(wire: Wire) -> Self {
        let mut excerpt = Self::new(wire.text);
        excerpt.omitted_bytes = excerpt.omitted_bytes.saturating_add(wire.omitted_bytes);
        excerpt
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
