//! The contract.

use async_trait::async_trait;

use crate::{
    error::LettaError,
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

/// The result of a call to Letta.
pub type Result<T, E = LettaError> = std::result::Result<T, E>;

/// A Letta server.
///
/// Every method is required; conveniences built on them are in [`LettaApiExt`](crate::LettaApiExt). Reading has no
/// effect and may be repeated. Of a write that failed, [`LettaError::may_have_applied`] says whether it may have
/// happened all the same.
///
/// # Errors
/// Any call can fail with the kinds that speak of the way to the server (`Connect`, `Timeout`, `Interrupted`,
/// `Redirected`, `NotLetta`, `TooLarge`, `Decode`), of rights (`Unauthorized`, `Forbidden`), of load
/// (`RateLimited`) and of the server itself (`Server`). The methods name those that are theirs.
#[async_trait]
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait LettaApi: Send + Sync + std::fmt::Debug {
    /// Whether the server is up, and its version. Needs no token.
    ///
    /// `GET /v1/health/`.
    async fn health(&self) -> Result<Health>;

    /// One page of agents, in the order asked for. Hidden agents are left out unless [`AgentQuery::hidden`] is set.
    ///
    /// [`AgentPage::next`] is `None` on the last page. A cursor whose agent was deleted is **silently ignored by
    /// the server**: the listing starts over. A cursor stands where its agent stands now: ordered by update, it moves
    /// to the front when that agent is changed or spoken to. Use
    /// [`list_all_agents`](crate::LettaApiExt::list_all_agents) or
    /// [`list_agents_updated_since`](crate::LettaApiExt::list_agents_updated_since), which notice.
    ///
    /// Accepts a bare array, `{"data": […]}`, and entries that are nothing but an id, whose names are then looked
    /// up one by one. `GET /v1/agents/`.
    async fn list_agents(&self, query: &AgentQuery) -> Result<AgentPage>;

    /// How many agents there are, hidden ones left out as in a listing. `GET /v1/agents/count`.
    async fn count_agents(&self) -> Result<u64>;

    /// One agent. `GET /v1/agents/{id}`.
    ///
    /// # Errors
    /// `NotFound` for an agent that does not exist; `InvalidRequest` for an id that can not be one.
    async fn get_agent(&self, id: &AgentId, include: AgentInclude) -> Result<Agent>;

    /// Makes an agent. Not idempotent: names are not unique. One with the tag `role:subagent` is made hidden.
    /// `POST /v1/agents/`.
    ///
    /// # Errors
    /// `InvalidRequest`, also for a name with characters the server can not store in a file name
    /// (`/ . : @ & ! ( ) < >`, emoji, control characters); renaming accepts any.
    async fn create_agent(&self, agent: &NewAgent) -> Result<Agent>;

    /// Changes an agent and answers with what it then is. Idempotent. `PATCH /v1/agents/{id}`.
    ///
    /// # Errors
    /// `NotFound`.
    async fn update_agent(&self, id: &AgentId, update: &AgentUpdate) -> Result<Agent>;

    /// Deletes an agent and its history. `DELETE /v1/agents/{id}`.
    ///
    /// # Errors
    /// `NotFound`, also the second time.
    async fn delete_agent(&self, id: &AgentId) -> Result<()>;

    /// Lets or forbids an agent to use a tool without asking. Idempotent.
    /// `PATCH /v1/agents/{id}/tools/approval/{tool}`.
    ///
    /// A tool the agent does not have is accepted: the rule waits for it.
    ///
    /// # Errors
    /// `NotFound` when the agent does not exist.
    async fn set_tool_approval(&self, id: &AgentId, tool: &str, required: bool) -> Result<()>;

    /// Starts a conversation with a context of its own. Not idempotent. `POST /v1/conversations/`.
    ///
    /// # Errors
    /// `NotFound` when the agent does not exist.
    async fn create_conversation(
        &self,
        agent: &AgentId,
        conversation: &NewConversation,
    ) -> Result<Conversation>;

    /// One conversation. `GET /v1/conversations/{id}`.
    ///
    /// # Errors
    /// `NotFound`.
    async fn get_conversation(&self, id: &ConversationId) -> Result<Conversation>;

    /// The agent's conversations, newest first, without its default one. `GET /v1/conversations/`.
    async fn list_conversations(
        &self,
        agent: &AgentId,
        query: &ConversationQuery,
    ) -> Result<ConversationPage>;

    /// Deletes a conversation. `DELETE /v1/conversations/{id}`.
    ///
    /// # Errors
    /// `NotFound`, also the second time.
    async fn delete_conversation(&self, id: &ConversationId) -> Result<()>;

    /// Says something to an agent and streams what it does.
    ///
    /// Resolves when the server took the input; the agent works meanwhile, whether or not the stream is read or
    /// dropped. The first event is `Started` and names the run; the last is `Ended`. Failures of the model arrive as
    /// `Ended` with an error, or as an error of this call when the server knew before it began.
    ///
    /// **Not idempotent**: the same [`Otid`](crate::Otid) sent again runs again (a server may know better and answer
    /// [`Duplicate`](crate::Disposition::Duplicate)). **Not serialised**: two turns of one agent's default
    /// conversation at once lose one of them from its context. Send one at a time.
    ///
    /// `POST /v1/agents/{id}/messages`, `POST /v1/conversations/{id}/messages`.
    ///
    /// # Errors
    /// `NotFound`, `InvalidRequest` for empty content, `Conflict` (busy, pending approval, concurrent update),
    /// `Provider`. A pending approval and a provider's failure may also arrive as `Ended` with that error. After
    /// `Timeout` and `Interrupted` the outcome is unknown.
    async fn send(
        &self,
        to: &ConversationRef,
        input: &TurnInput,
        options: &TurnOptions,
    ) -> Result<TurnStream>;

    /// Decides on tool calls that wait and streams how the turn goes on.
    ///
    /// A denial reaches the agent as a failed call with the reason; streamed in pieces, a server may leave that call's
    /// output out of the events (the history has it). Deciding once more on what was just decided is
    /// **not** an error: the server makes up a message to the agent. Check first. Decisions go to all calls of one
    /// request at once.
    ///
    /// `POST /v1/agents/{id}/messages` with an `approval` message.
    ///
    /// # Errors
    /// `InvalidRequest` for a call that is not part of the pending request, or when nothing is pending; it may also
    /// arrive as `Ended` with that error.
    async fn decide(
        &self,
        to: &ConversationRef,
        decisions: &[ApprovalDecision],
        options: &TurnOptions,
    ) -> Result<TurnStream>;

    /// Joins a stream again behind the event that carried `token`, while the turn runs or after it ended.
    ///
    /// Yields exactly the events that followed, or [`Gap`](crate::TurnEventKind::Gap) first when some are lost. Of a
    /// run that a server lost in a crash it may yield nothing but [`Alive`](crate::TurnEventKind::Alive), for as long
    /// as the server believes that it runs.
    ///
    /// `POST /v1/runs/{id}/stream`.
    ///
    /// # Errors
    /// `NotFound` when the server kept nothing of it, `Unsupported` when it can not keep events.
    async fn resume(&self, token: &ResumeToken) -> Result<TurnStream>;

    /// Stops what runs. Idempotent. In the default conversation it also clears a pending approval; in a conversation
    /// of its own a pending approval stays: deny it.
    ///
    /// Streams end with [`Cancelled`](crate::StopReason::Cancelled) at the next step. `run` narrows it to one run.
    /// `POST /v1/agents/{id}/messages/cancel`, `POST /v1/conversations/{id}/cancel`.
    ///
    /// # Errors
    /// `NotFound` when the agent or conversation does not exist.
    #[allow(
        clippy::needless_lifetimes,
        reason = "mockall needs the lifetime of an optional reference spelled out"
    )]
    async fn cancel<'a>(&self, at: &ConversationRef, run: Option<&'a RunId>) -> Result<CancelOutcome>;

    /// One run. `GET /v1/runs/{id}`.
    ///
    /// # Errors
    /// `NotFound`.
    async fn get_run(&self, id: &RunId) -> Result<Run>;

    /// The agent's runs, newest first. `GET /v1/runs/`.
    async fn list_runs(&self, agent: &AgentId, query: &RunQuery) -> Result<Vec<Run>>;

    /// A stretch of what was said, **oldest first**: the newest messages, or those right before or right after one.
    ///
    /// Of an agent without a conversation named it is everything it ever took part in. A turn appears when its step
    /// is saved, not while it runs. `GET /v1/agents/{id}/messages`.
    ///
    /// # Errors
    /// `NotFound` for an agent, a conversation or a cursor that does not exist.
    async fn list_messages(&self, of: &ConversationRef, query: &HistoryQuery) -> Result<HistoryPage>;
}
