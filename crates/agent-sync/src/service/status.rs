//! How a service stands.

use std::sync::Arc;

use jiff::Timestamp;

use super::NotSynced;
use crate::SyncReport;

/// How a service stands.
#[derive(Debug, Clone, Default)]
pub struct ServiceStatus {
    /// What it does at the moment.
    pub phase: Phase,
    /// When the last run that came about ended.
    pub completed_at: Option<Timestamp>,
    /// What that run did.
    pub report: Option<Arc<SyncReport>>,
    /// Since when, if so, runs do not come about.
    pub outage: Option<Outage>,
}

/// What a service does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// It waits for the clock or a request.
    #[default]
    Waiting,
    /// A run is going.
    Running {
        /// When it began.
        since: Timestamp,
    },
    /// It has ended.
    Stopped,
}

/// A time in which runs do not come about.
#[derive(Debug, Clone)]
pub struct Outage {
    /// When the first one failed.
    pub since: Timestamp,
    /// How many failed.
    pub failures: u32,
    /// Why the last one did.
    pub error: NotSynced,
}
