//! [`HttpLetta`]: the REST API `v1` of a Letta server.
//!
//! Measured against Letta 0.16.8, the last release of the self-hosted server; Letta Cloud serves the same API.

mod agents;
mod builder;
mod call;
mod conversations;
mod failure;
mod message;
mod retry;
mod runs;
mod server_clock;
mod sse;
mod transport;
mod turn;
mod turns;
mod wire;

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use url::Url;

use self::transport::Transport;
pub use self::{builder::HttpLettaBuilder, retry::RetryPolicy};
use crate::{
    LettaApi, Result,
    types::{
        agent::{Agent, AgentInclude, AgentPage, AgentQuery, AgentUpdate, NewAgent},
        approval::ApprovalDecision,
        conversation::{Conversation, ConversationPage, ConversationQuery, ConversationRef, NewConversation},
        history::{HistoryPage, HistoryQuery},
        id::{AgentId, ConversationId, RunId},
        run::{CancelOutcome, Run, RunQuery},
        server::Health,
        turn::{ResumeToken, TurnInput, TurnOptions, TurnStream},
    },
};

/// A Letta server, spoken to over HTTP. Cheap to clone; clones share connections and the count of requests.
///
/// ```no_run
/// use letta_client::{LettaApi, http::HttpLetta};
/// use secrecy::SecretString;
///
/// # async fn example() -> letta_client::Result<()> {
/// let letta = HttpLetta::builder("http://127.0.0.1:8283")
///     .token(SecretString::from("the server's password"))
///     .build()?;
/// println!("Letta {}", letta.health().await?.version);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HttpLetta {
    transport: Arc<Transport>,
}

impl HttpLetta {
    /// Starts to describe a client for the server at this address, e.g. `http://127.0.0.1:8283`.
    ///
    /// A path is kept (a server behind a proxy may have one); a trailing slash and a trailing `/v1` are ignored.
    pub fn builder(base_url: impl Into<String>) -> HttpLettaBuilder {
        HttpLettaBuilder::new(base_url.into())
    }

    /// A client with the default limits.
    ///
    /// # Errors
    /// `InvalidRequest` for an address that is not one; see [`HttpLettaBuilder::build`].
    pub fn new(base_url: impl Into<String>, token: Option<SecretString>) -> Result<Self> {
        Self::builder(base_url).maybe_token(token).build()
    }

    /// How many HTTP requests were made so far, repetitions included.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.transport.requests()
    }

    /// The time that the server has now: the `Date` of its last answer, moved on by what has passed since. `None` before
    /// the first answer. True to a second or two: the header has whole seconds, and the answer was on its way.
    #[must_use]
    pub fn server_time(&self) -> Option<Timestamp> {
        self.transport.server_clock().now()
    }

    /// How far the server's clock is ahead of ours, which shows `now`; negative when it is behind. `None` before the
    /// first answer. Means nothing below two seconds, see [`server_time`](Self::server_time).
    #[must_use]
    pub fn clock_skew(&self, now: Timestamp) -> Option<SignedDuration> {
        Some(self.server_time()?.duration_since(now))
    }

    /// The address of the server, without `/v1`.
    #[must_use]
    pub fn base_url(&self) -> &Url {
        self.transport.base()
    }
}

impl fmt::Debug for HttpLetta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpLetta")
            .field("base_url", &self.transport.base().as_str())
            .field("requests", &self.requests())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl LettaApi for HttpLetta {
    #[tracing::instrument(name = "letta.health", level = "debug", skip_all)]
    async fn health(&self) -> Result<Health> {
        agents::health(&self.transport).await
    }

    #[tracing::instrument(name = "letta.list_agents", level = "debug", skip_all)]
    async fn list_agents(&self, query: &AgentQuery) -> Result<AgentPage> {
        agents::list(&self.transport, query).await
    }

    #[tracing::instrument(name = "letta.count_agents", level = "debug", skip_all)]
    async fn count_agents(&self) -> Result<u64> {
        agents::count(&self.transport).await
    }

    #[tracing::instrument(name = "letta.get_agent", level = "debug", skip_all, fields(agent.id = %id))]
    async fn get_agent(&self, id: &AgentId, include: AgentInclude) -> Result<Agent> {
        agents::get(&self.transport, id, include).await
    }

    #[tracing::instrument(name = "letta.create_agent", level = "debug", skip_all)]
    async fn create_agent(&self, agent: &NewAgent) -> Result<Agent> {
        agents::create(&self.transport, agent).await
    }

    #[tracing::instrument(name = "letta.update_agent", level = "debug", skip_all, fields(agent.id = %id))]
    async fn update_agent(&self, id: &AgentId, update: &AgentUpdate) -> Result<Agent> {
        agents::update(&self.transport, id, update).await
    }

    #[tracing::instrument(name = "letta.delete_agent", level = "debug", skip_all, fields(agent.id = %id))]
    async fn delete_agent(&self, id: &AgentId) -> Result<()> {
        agents::delete(&self.transport, id).await
    }

    #[tracing::instrument(name = "letta.set_tool_approval", level = "debug", skip_all, fields(agent.id = %id))]
    async fn set_tool_approval(&self, id: &AgentId, tool: &str, required: bool) -> Result<()> {
        agents::set_tool_approval(&self.transport, id, tool, required).await
    }

    #[tracing::instrument(name = "letta.create_conversation", level = "debug", skip_all, fields(agent.id = %agent))]
    async fn create_conversation(
        &self,
        agent: &AgentId,
        conversation: &NewConversation,
    ) -> Result<Conversation> {
        conversations::create(&self.transport, agent, conversation).await
    }

    #[tracing::instrument(name = "letta.get_conversation", level = "debug", skip_all)]
    async fn get_conversation(&self, id: &ConversationId) -> Result<Conversation> {
        conversations::get(&self.transport, id).await
    }

    #[tracing::instrument(name = "letta.list_conversations", level = "debug", skip_all, fields(agent.id = %agent))]
    async fn list_conversations(
        &self,
        agent: &AgentId,
        query: &ConversationQuery,
    ) -> Result<ConversationPage> {
        conversations::list(&self.transport, agent, query).await
    }

    #[tracing::instrument(name = "letta.delete_conversation", level = "debug", skip_all)]
    async fn delete_conversation(&self, id: &ConversationId) -> Result<()> {
        conversations::delete(&self.transport, id).await
    }

    #[tracing::instrument(name = "letta.send_message", level = "debug", skip_all, fields(agent.id = %to.agent))]
    async fn send(
        &self,
        to: &ConversationRef,
        input: &TurnInput,
        options: &TurnOptions,
    ) -> Result<TurnStream> {
        turns::send(&self.transport, to, input, options).await
    }

    #[tracing::instrument(name = "letta.decide", level = "debug", skip_all, fields(agent.id = %to.agent))]
    async fn decide(
        &self,
        to: &ConversationRef,
        decisions: &[ApprovalDecision],
        options: &TurnOptions,
    ) -> Result<TurnStream> {
        turns::decide(&self.transport, to, decisions, options).await
    }

    #[tracing::instrument(name = "letta.resume", level = "debug", skip_all)]
    async fn resume(&self, token: &ResumeToken) -> Result<TurnStream> {
        turns::resume(&self.transport, token).await
    }

    #[tracing::instrument(name = "letta.cancel", level = "debug", skip_all, fields(agent.id = %at.agent))]
    #[allow(
        clippy::needless_lifetimes,
        reason = "the trait spells the lifetime out for mockall"
    )]
    async fn cancel<'a>(&self, at: &ConversationRef, run: Option<&'a RunId>) -> Result<CancelOutcome> {
        turns::cancel(&self.transport, at, run).await
    }

    #[tracing::instrument(name = "letta.get_run", level = "debug", skip_all, fields(run.id = %id))]
    async fn get_run(&self, id: &RunId) -> Result<Run> {
        runs::get(&self.transport, id).await
    }

    #[tracing::instrument(name = "letta.list_runs", level = "debug", skip_all, fields(agent.id = %agent))]
    async fn list_runs(&self, agent: &AgentId, query: &RunQuery) -> Result<Vec<Run>> {
        runs::list(&self.transport, agent, query).await
    }

    #[tracing::instrument(name = "letta.list_messages", level = "debug", skip_all, fields(agent.id = %of.agent))]
    async fn list_messages(&self, of: &ConversationRef, query: &HistoryQuery) -> Result<HistoryPage> {
        message::list(&self.transport, of, query).await
    }
}
