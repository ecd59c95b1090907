//! What tests on Letta share: data under well-known names, a server's error bodies, and the conformance suite.
//!
//! # The conformance suite
//!
//! [`LettaApi`](crate::LettaApi) is a contract; the suite is that contract as cases, one per sentence. Whoever
//! implements or decorates the trait runs it by naming a factory:
//!
//! ```no_run
//! use letta_client::testing::{Skip, Subject};
//! # use std::sync::Arc;
//! # fn my_letta() -> Arc<dyn letta_client::LettaApi> { unimplemented!() }
//!
//! async fn subject() -> Result<Subject, Skip> {
//!     Ok(Subject::new("mine", my_letta()).with_model("openai/gpt-4o-mini"))
//! }
//!
//! letta_client::letta_conformance!(subject);
//! # fn main() {}
//! ```
//!
//! Every case becomes a `#[tokio::test]` of its own (the calling crate needs tokio with `macros` and `rt`). The model
//! behind the subject must be the fake one that the module `llm` describes: the cases talk to it in its markers.
//! What a subject can not do it says with [`Subject::without`]; such cases print why they were skipped.

pub mod bodies;
pub mod conformance;
mod data;
mod result;
mod subject;

pub use self::{
    data::{AGENT_ALPHA, AGENT_BETA, AGENT_SYNC_TEST, TestAgent, agents},
    result::{CaseError, CaseResult},
    subject::{Ability, Skip, Subject},
};
