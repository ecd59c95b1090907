//! Who may work, when several processes share one store.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::Result;

/// The right to do some work, for a time.
///
/// A lease is no lock: whoever holds it may stall beyond its end without noticing. What keeps two holders apart is
/// [`token`](Self::token): each grant of the same name has a higher one, and the store refuses writes under an older.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What the right is for.
    pub name: String,
    /// Who has it: an instance of the program.
    pub holder: String,
    /// The fencing token: each grant has a higher one than all before it.
    pub token: i64,
    /// Until when, unless renewed.
    pub expires_at: Timestamp,
}

/// Grants leases.
///
/// Times are the caller's. Clocks that disagree can make a lease change hands early or late, never twice at once:
/// that is what the token is for.
///
/// # Errors
/// Any call can fail with `Unavailable`, `Busy`, `Full` and `Corrupt`.
#[async_trait]
pub trait LeaseStore: Send + Sync + std::fmt::Debug {
    /// Grants the lease for `ttl` from `now`, unless somebody else holds it then: `None`. Whoever holds it already gets
    /// it anew, with a higher token: a restarted process shuts out its former self.
    async fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Option<Lease>>;

    /// Prolongs a lease to `ttl` from `now` and answers it so; `None` when it was granted anew meanwhile.
    async fn renew_lease(&self, lease: &Lease, now: Timestamp, ttl: Duration) -> Result<Option<Lease>>;

    /// Gives a lease back. Giving back what one no longer holds does nothing.
    async fn release_lease(&self, lease: &Lease) -> Result<()>;

    /// The lease as it was last granted, be it over or not; `None` if it never was, or was given back.
    async fn get_lease(&self, name: &str) -> Result<Option<Lease>>;
}
