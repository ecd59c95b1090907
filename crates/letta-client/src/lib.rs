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
