//! Keeps one Matrix user and one room in the space for every Letta agent.
//!
//! A [`Reconciler`] takes no input: it reads all agents of Letta, reads what the store knows, computes with the pure
//! function [`plan`] what is missing, does that, and records each step after it succeeded. A second run right after
//! has nothing to do and asks the homeserver nothing. Killed at any point, the next run goes on where it stopped,
//! because every effect can be found again by a name that is chosen before it: the user by its id, the room by its
//! alias.
//!
//! The crate knows Letta and Matrix by their traits only. It runs on fakes without a socket:
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use std::sync::Arc;
//!
//! use accounts::AppserviceAccounts;
//! use agent_sync::{Reconciler, RunOptions, SyncConfig};
//! use letta_client::fake::FakeLetta;
//! use matrix_client::fake::FakeMatrix;
//! use store::{MemoryStore, SystemClock};
//!
//! let letta = FakeLetta::with_test_agents();
//! let matrix = FakeMatrix::builder("matrix.test").test_appservice().build();
//! let appservice = matrix.test_appservice();
//! let matrix = Arc::new(matrix);
//! let reconciler = Reconciler::new(
//!     Arc::new(letta),
//!     matrix.clone(),
//!     Arc::new(AppserviceAccounts::new(matrix, appservice)),
//!     Arc::new(MemoryStore::new()),
//!     SyncConfig::new("matrix.test".try_into()?),
//!     Arc::new(SystemClock),
//! );
//! let report = reconciler.run(RunOptions::default()).await?;
//! assert_eq!((report.agents, report.users_created, report.rooms_created), (3, 3, 3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod apply;
mod config;
mod goal;
mod import;
mod listing;
mod names;
mod observer;
mod pace;
mod plan;
mod prune;
mod reconciler;
mod removal;
mod report;
mod select;
mod service;

pub use config::{RemovalConfig, RemovalMode, SpaceConfig, SyncConfig};
pub use import::{
    ImportOptions, ImportReport, ImportedAgent, Mapping, MappingEntry, MappingError, PasswordKeeper,
    SkipReason, SkippedEntry, SpaceImport, SpaceProblem, parse_space_config,
};
pub use listing::ListingKind;
pub use names::{agent_localpart, display_name};
pub use observer::{Silent, SyncObserver};
pub use plan::{Action, AgentPlan, Plan, SpaceAction};
pub use prune::{
    Administrator, FailedPrune, KeepReason, KeptAgent, Prunable, PruneOptions, PrunePlan, PruneReport,
    PruneStep, PrunedAgent, RoomOutcome,
};
pub use reconciler::{Reconciler, RunOptions};
pub use removal::Withheld;
pub use report::{FailedAgent, RequestCounts, RequestMeter, Step, SyncError, SyncReport};
pub use select::{Rule, Selection, UnknownRule};
pub use service::{
    News, NotSynced, Outage, Phase, Reason, ServiceConfig, ServiceEvent, ServiceObserver, ServiceStatus,
    SyncService, Ticket, Trigger,
};

/// The type of the state event that marks an agent's room: `{"agent_id": "…"}`.
pub const AGENT_MARKER: &str = "dev.letta-matrix.agent";

/// The type of the state event that marks the space of the agents.
pub const SPACE_MARKER: &str = "dev.letta-matrix.space";

/// The field by which a message is known to be an agent's earlier message that was put into its new room:
/// `{"message_id": "…", "date": "…"}`. It is never taken for a new one.
pub const HISTORY_MARKER: &str = "dev.letta-matrix.history";
