//! The server itself.

/// What a healthy server says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The server's version, e.g. `0.16.8`.
    pub version: String,
    /// `ok` when all is well.
    pub status: String,
}
