//! Decorators: a [`LettaApi`] around another one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;

use crate::{
    LettaApi, LettaError, LettaErrorKind, Result,
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

/// Passes every call on to what the closure reaches from `self`.
macro_rules! delegate {
    (impl [$($generics:tt)*] for $type:ty, |$layer:ident| $inner:expr) => {
        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<$($generics)*> LettaApi for $type {
            async fn health(&self) -> Result<Health> {
                let $layer = self;
                let inner = $inner;
                inner.health().await
            }
            async fn list_agents(&self, query: &AgentQuery) -> Result<AgentPage> {
                let $layer = self;
                let inner = $inner;
                inner.list_agents(query).await
            }
            async fn count_agents(&self) -> Result<u64> {
                let $layer = self;
                let inner = $inner;
                inner.count_agents().await
            }
            async fn get_agent(&self, id: &AgentId, include: AgentInclude) -> Result<Agent> {
                let $layer = self;
                let inner = $inner;
                inner.get_agent(id, include).await
            }
            async fn create_agent(&self, agent: &NewAgent) -> Result<Agent> {
                let $layer = self;
                let inner = $inner;
                inner.create_agent(agent).await
            }
            async fn update_agent(&self, id: &AgentId, update: &AgentUpdate) -> Result<Agent> {
                let $layer = self;
                let inner = $inner;
                inner.update_agent(id, update).await
            }
            async fn delete_agent(&self, id: &AgentId) -> Result<()> {
                let $layer = self;
                let inner = $inner;
                inner.delete_agent(id).await
            }
            async fn set_tool_approval(&self, id: &AgentId, tool: &str, required: bool) -> Result<()> {
                let $layer = self;
                let inner = $inner;
                inner.set_tool_approval(id, tool, required).await
            }
            async fn create_conversation(
                &self,
                agent: &AgentId,
                conversation: &NewConversation,
            ) -> Result<Conversation> {
                let $layer = self;
                let inner = $inner;
                inner.create_conversation(agent, conversation).await
            }
            async fn get_conversation(&self, id: &ConversationId) -> Result<Conversation> {
                let $layer = self;
                let inner = $inner;
                inner.get_conversation(id).await
            }
            async fn list_conversations(
                &self,
                agent: &AgentId,
                query: &ConversationQuery,
            ) -> Result<ConversationPage> {
                let $layer = self;
                let inner = $inner;
                inner.list_conversations(agent, query).await
            }
            async fn delete_conversation(&self, id: &ConversationId) -> Result<()> {
                let $layer = self;
                let inner = $inner;
                inner.delete_conversation(id).await
            }
            async fn send(
                &self,
                to: &ConversationRef,
                input: &TurnInput,
                options: &TurnOptions,
            ) -> Result<TurnStream> {
                let $layer = self;
                let inner = $inner;
                inner.send(to, input, options).await
            }
            async fn decide(
                &self,
                to: &ConversationRef,
                decisions: &[ApprovalDecision],
                options: &TurnOptions,
            ) -> Result<TurnStream> {
                let $layer = self;
                let inner = $inner;
                inner.decide(to, decisions, options).await
            }
            async fn resume(&self, token: &ResumeToken) -> Result<TurnStream> {
                let $layer = self;
                let inner = $inner;
                inner.resume(token).await
            }
            #[allow(
                clippy::needless_lifetimes,
                reason = "the trait spells the lifetime out for mockall"
            )]
            async fn cancel<'a>(&self, at: &ConversationRef, run: Option<&'a RunId>) -> Result<CancelOutcome> {
                let $layer = self;
                let inner = $inner;
                inner.cancel(at, run).await
            }
            async fn get_run(&self, id: &RunId) -> Result<Run> {
                let $layer = self;
                let inner = $inner;
                inner.get_run(id).await
            }
            async fn list_runs(&self, agent: &AgentId, query: &RunQuery) -> Result<Vec<Run>> {
                let $layer = self;
                let inner = $inner;
                inner.list_runs(agent, query).await
            }
            async fn list_messages(&self, of: &ConversationRef, query: &HistoryQuery) -> Result<HistoryPage> {
                let $layer = self;
                let inner = $inner;
                inner.list_messages(of, query).await
            }
        }
    };
}

delegate!(impl [T: LettaApi + ?Sized] for Arc<T>, |layer| &**layer);
delegate!(impl [T: LettaApi + ?Sized] for Box<T>, |layer| &**layer);
delegate!(impl ['r, T: LettaApi + ?Sized] for &'r T, |layer| &**layer);

/// Reads and refuses to change anything: what a dry run holds in its hands.
///
/// Every write fails with [`LettaErrorKind::ReadOnly`] before it reaches the inner implementation. Joining a turn
/// again is reading.
#[derive(Debug, Clone)]
pub struct ReadOnly<T> {
    inner: T,
}

impl<T> ReadOnly<T> {
    /// Wraps an implementation.
    pub fn new(inner: T) -> Self {
        Self { inner }
    }

    /// The implementation inside.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

fn refuse<R>(action: &str) -> Result<R> {
    Err(LettaError::new(
        LettaErrorKind::ReadOnly,
        format!("could not {action}: this is a dry run, nothing is changed"),
    ))
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<T: LettaApi> LettaApi for ReadOnly<T> {
    async fn health(&self) -> Result<Health> {
        self.inner.health().await
    }

    async fn list_agents(&self, query: &AgentQuery) -> Result<AgentPage> {
        self.inner.list_agents(query).await
    }

    async fn count_agents(&self) -> Result<u64> {
        self.inner.count_agents().await
    }

    async fn get_agent(&self, id: &AgentId, include: AgentInclude) -> Result<Agent> {
        self.inner.get_agent(id, include).await
    }

    async fn create_agent(&self, _agent: &NewAgent) -> Result<Agent> {
        refuse("create an agent")
    }

    async fn update_agent(&self, _id: &AgentId, _update: &AgentUpdate) -> Result<Agent> {
        refuse("change an agent")
    }

    async fn delete_agent(&self, _id: &AgentId) -> Result<()> {
        refuse("delete an agent")
    }

    async fn set_tool_approval(&self, _id: &AgentId, _tool: &str, _required: bool) -> Result<()> {
        refuse("set whether a tool needs approval")
    }

    async fn create_conversation(
        &self,
        _agent: &AgentId,
        _conversation: &NewConversation,
    ) -> Result<Conversation> {
        refuse("start a conversation")
    }

    async fn get_conversation(&self, id: &ConversationId) -> Result<Conversation> {
        self.inner.get_conversation(id).await
    }

    async fn list_conversations(
        &self,
        agent: &AgentId,
        query: &ConversationQuery,
    ) -> Result<ConversationPage> {
        self.inner.list_conversations(agent, query).await
    }

    async fn delete_conversation(&self, _id: &ConversationId) -> Result<()> {
        refuse("delete a conversation")
    }

    async fn send(
        &self,
        _to: &ConversationRef,
        _input: &TurnInput,
        _options: &TurnOptions,
    ) -> Result<TurnStream> {
        refuse("send a message")
    }

    async fn decide(
        &self,
        _to: &ConversationRef,
        _decisions: &[ApprovalDecision],
        _options: &TurnOptions,
    ) -> Result<TurnStream> {
        refuse("decide on a tool call")
    }

    async fn resume(&self, token: &ResumeToken) -> Result<TurnStream> {
        self.inner.resume(token).await
    }

    #[allow(
        clippy::needless_lifetimes,
        reason = "the trait spells the lifetime out for mockall"
    )]
    async fn cancel<'a>(&self, _at: &ConversationRef, _run: Option<&'a RunId>) -> Result<CancelOutcome> {
        refuse("cancel a turn")
    }

    async fn get_run(&self, id: &RunId) -> Result<Run> {
        self.inner.get_run(id).await
    }

    async fn list_runs(&self, agent: &AgentId, query: &RunQuery) -> Result<Vec<Run>> {
        self.inner.list_runs(agent, query).await
    }

    async fn list_messages(&self, of: &ConversationRef, query: &HistoryQuery) -> Result<HistoryPage> {
        self.inner.list_messages(of, query).await
    }
}

/// Counts the calls that pass, for reports and for tests of what something costs. Clones share the count.
///
/// A call is not a request: [`HttpLetta`](crate::http::HttpLetta) may need several for one, and counts those itself.
#[derive(Debug, Clone)]
pub struct Counted<T> {
    inner: T,
    calls: Arc<AtomicU64>,
}

impl<T> Counted<T> {
    /// Wraps an implementation; the count starts at zero.
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            calls: Arc::default(),
        }
    }

    /// Calls so far, failed ones included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// The implementation inside.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

delegate!(impl [T: LettaApi] for Counted<T>, |layer| {
    layer.calls.fetch_add(1, Ordering::Relaxed);
    &layer.inner
});

#[cfg(all(test, feature = "fake"))]
mod tests;
