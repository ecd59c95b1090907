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
//! use agent_sync::{Reconciler, SyncConfig};
//! use letta_client::fake::FakeLetta;
//! use matrix_client::fake::FakeMatrix;
//! use store::{MemoryStore, SystemClock};
//!
//! let letta = FakeLetta::with_test_agents();
//! let matrix = FakeMatrix::builder("matrix.test").test_appservice().build();
//! let appservice = matrix.test_appservice();
//! let reconciler = Reconciler::new(
//!     Arc::new(letta),
//!     Arc::new(matrix),
//!     Arc::new(MemoryStore::new()),
//!     SyncConfig::new("matrix.test".try_into()?, appservice),
//!     Arc::new(SystemClock),
//! );
//! let report = reconciler.run().await?;
//! assert_eq!((report.agents, report.users_created, report.rooms_created), (3, 3, 3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod apply;
mod config;
mod names;
mod observer;
mod plan;
mod reconciler;
mod report;

pub use config::{SpaceConfig, SyncConfig};
pub use names::{agent_localpart, display_name};
pub use observer::{Silent, SyncObserver};
pub use plan::{Action, AgentPlan, Plan, SpaceAction, plan};
pub use reconciler::Reconciler;
pub use report::{FailedAgent, RequestCounts, RequestMeter, Step, SyncError, SyncReport};

/// The type of the state event that marks an agent's room: `{"agent_id": "…"}`.
pub const AGENT_MARKER: &str = "dev.letta-matrix.agent";

/// The type of the state event that marks the space of the agents.
pub const SPACE_MARKER: &str = "dev.letta-matrix.space";
