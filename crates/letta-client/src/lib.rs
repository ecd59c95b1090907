//! Letta agents from Rust.
//!
//! [`LettaApi`] is the contract: agents, conversations, turns and their events, approvals, runs and history.
//! It has three implementations, each behind a feature:
//!
//! | type | feature | what it is |
//! |---|---|---|
//! | [`HttpLetta`](http::HttpLetta) | `http` (default) | the REST API `v1` of a Letta server, by reqwest |
//! | [`FakeLetta`](fake::FakeLetta) | `fake` | a stateful model of that server in memory, with faults and a journal |
//! | `MockLettaApi` | `mock` | mockall's mock, for single expectations |
//!
//! The feature `testing` adds shared test data and the conformance suite that the fake, every decorator and the
//! real server pass alike.
//!
//! The trait speaks of what a person would: *send this to that conversation, tell me what happens*. Cursors,
//! paths and server-sent events are the implementation's business, so that another kind of server fits too.
//!
//! # Examples
//!
//! Against the fake, which behaves as the server does:
#![cfg_attr(feature = "fake", doc = "```")]
#![cfg_attr(not(feature = "fake"), doc = "```ignore")]
//! use letta_client::{
//!     AgentQuery, ConversationRef, LettaApi, LettaApiExt, LettaErrorKind, TurnInput, TurnOptions, fake::FakeLetta,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> letta_client::Result<()> {
//! let letta = FakeLetta::with_test_agents();
//! let listing = letta.list_all_agents(&AgentQuery::default()).await?;
//! assert!(listing.is_complete());
//! assert_eq!(listing.agents[0].name, "Agent Alpha");
//!
//! let to = ConversationRef::agent(listing.agents[0].id.clone());
//! let options = TurnOptions::default();
//! let outcome = letta.send_and_wait(&to, &TurnInput::text("otid-1", "hello"), &options).await?;
//! assert_eq!(outcome.text, "echo: hello");
//!
//! // What goes wrong says so in terms one can act on.
//! let error = letta.send(&to, &TurnInput::text("otid-2", ""), &options).await.unwrap_err();
//! assert_eq!(error.kind(), &LettaErrorKind::InvalidRequest);
//! assert!(!error.may_have_applied());
//! # Ok(())
//! # }
//! ```
//!
//! Against a server: see [`HttpLetta`](http::HttpLetta) and `examples/talk.rs`.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod api;
mod error;
mod ext;
pub mod layers;
mod types;

#[cfg(feature = "fake")]
pub mod fake;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "fake")]
pub mod llm;
#[cfg(feature = "testing")]
pub mod testing;

/// The examples of the README are tests too.
#[cfg(all(doctest, feature = "http"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(feature = "mock")]
pub use api::MockLettaApi;
pub use api::{LettaApi, Result};
pub use error::{Conflict, LettaError, LettaErrorKind, ProviderFailure};
pub use ext::{AgentListing, Completeness, LettaApiExt, TurnOutcome};
pub use types::{
    agent::{
        Agent, AgentCursor, AgentInclude, AgentOrder, AgentPage, AgentQuery, AgentUpdate, Direction, NewAgent,
    },
    approval::{ApprovalDecision, ApprovalRequest, ToolCall},
    conversation::{Conversation, ConversationPage, ConversationQuery, ConversationRef, NewConversation},
    history::{HistoryItem, HistoryMessage, HistoryPage, HistoryQuery},
    id::{AgentId, ApprovalId, ConversationId, ItemId, MessageId, Otid, RunId, ToolCallId},
    run::{CancelOutcome, Run, RunQuery, RunStatus},
    server::Health,
    turn::{
        ContentPart, Disposition, ResumeToken, StopReason, ToolStatus, TurnError, TurnErrorKind, TurnEvent,
        TurnEventKind, TurnInput, TurnOptions, TurnStream, Usage,
    },
};
