//! Conveniences on top of the trait.

use std::collections::HashSet;

use async_trait::async_trait;
use futures_util::StreamExt;

use crate::{
    LettaApi, LettaError, Result,
    types::{
        agent::{Agent, AgentQuery},
        approval::{ApprovalRequest, ToolCall},
        conversation::ConversationRef,
        id::RunId,
        turn::{StopReason, TurnError, TurnEventKind, TurnInput, TurnOptions, TurnStream, Usage},
    },
};

/// All agents that could be listed, and whether that is all there are.
#[derive(Debug)]
pub struct AgentListing {
    /// Every agent seen, each once, in the order of the listing.
    pub agents: Vec<Agent>,
    /// Pages read, each one request.
    pub pages: u32,
    /// Whether the listing came to its end.
    pub completeness: Completeness,
}

/// Whether a listing came to its end. Nobody may conclude from an incomplete one that an agent is gone.
#[derive(Debug)]
#[non_exhaustive]
pub enum Completeness {
    /// It did.
    Complete,
    /// The server began anew (an agent at a page's border was deleted meanwhile), twice.
    Restarted,
    /// There were more pages than allowed.
    TooManyPages,
    /// A page failed; what came before it is here.
    Failed(LettaError),
}

impl AgentListing {
    /// Whether an agent that is not in it does not exist (or is hidden).
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self.completeness, Completeness::Complete)
    }
}

/// A turn from beginning to end.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnOutcome {
    /// The run.
    pub run: Option<RunId>,
    /// What the agent said; its separate answers joined by an empty line.
    pub text: String,
    /// What it thought.
    pub reasoning: String,
    /// The tools it called.
    pub tool_calls: Vec<ToolCall>,
    /// What waits for a decision.
    pub approval: Option<ApprovalRequest>,
    /// What it cost.
    pub usage: Usage,
    /// Why it ended.
    pub reason: StopReason,
    /// What went wrong.
    pub error: Option<TurnError>,
}

/// More pages than any real server has at the smallest sensible page size.
const MAX_PAGES: u32 = 10_000;

/// What can be built from [`LettaApi`] alone.
#[async_trait]
pub trait LettaApiExt: LettaApi {
    /// All pages of a listing.
    ///
    /// Never loops: a page that brings an agent back means that the server ignored its cursor. The listing is then
    /// read once more from the start, and reported as incomplete if that happens again. An error on the first page
    /// is an error; on a later page it makes the listing incomplete.
    ///
    /// # Errors
    /// Those of the first page.
    async fn list_all_agents(&self, query: &AgentQuery) -> Result<AgentListing> {
        let mut pages = 0;
        let mut restarts = 0;
        let mut seen = HashSet::new();
        let mut agents: Vec<Agent> = Vec::new();
        let mut page_query = query.clone();
        let completeness = 'listing: loop {
            let page = match self.list_agents(&page_query).await {
                Ok(page) => page,
                Err(error) if pages == 0 => return Err(error),
                Err(error) => break Completeness::Failed(error),
            };
            pages += 1;
            let mut repeated = false;
            for agent in page.agents {
                if seen.insert(agent.id.clone()) {
                    agents.push(agent);
                } else {
                    repeated = true;
                }
            }
            if repeated {
                restarts += 1;
                if restarts > 1 {
                    break 'listing Completeness::Restarted;
                }
                seen.clear();
                agents.clear();
                page_query.after.clone_from(&query.after);
                continue;
            }
            match page.next {
                None => break Completeness::Complete,
                Some(_) if pages >= MAX_PAGES => break Completeness::TooManyPages,
                next => page_query.after = next,
            }
        };
        Ok(AgentListing {
            agents,
            pages,
            completeness,
        })
    }

    /// Says something and waits for the whole turn.
    ///
    /// # Errors
    /// Those of [`LettaApi::send`], and `Interrupted` when the stream broke.
    async fn send_and_wait(
        &self,
        to: &ConversationRef,
        input: &TurnInput,
        options: &TurnOptions,
    ) -> Result<TurnOutcome> {
        self.send(to, input, options).await?.outcome().await
    }
}

impl<T: LettaApi + ?Sized> LettaApiExt for T {}

impl TurnStream {
    /// Reads the turn to its end.
    ///
    /// # Errors
    /// The error of the stream, if it broke.
    pub async fn outcome(mut self) -> Result<TurnOutcome> {
        let mut outcome = TurnOutcome {
            run: None,
            text: String::new(),
            reasoning: String::new(),
            tool_calls: Vec::new(),
            approval: None,
            usage: Usage::default(),
            reason: StopReason::EndTurn,
            error: None,
        };
        let mut last_item = None;
        while let Some(event) = self.next().await {
            let event = event?;
            outcome.run = outcome.run.or(event.run);
            match event.kind {
                TurnEventKind::Text { item, append } => {
                    if last_item.as_ref().is_some_and(|last| *last != item) {
                        outcome.text.push_str("\n\n");
                    }
                    last_item = Some(item);
                    outcome.text.push_str(&append);
                }
                TurnEventKind::Reasoning { append, .. } => outcome.reasoning.push_str(&append),
                TurnEventKind::ToolCall(call) => outcome.tool_calls.push(call),
                TurnEventKind::ApprovalRequested(request) => outcome.approval = Some(request),
                TurnEventKind::Usage(usage) => outcome.usage = usage,
                TurnEventKind::Ended { reason, error } => {
                    outcome.reason = reason;
                    outcome.error = error;
                }
                _ => {}
            }
        }
        Ok(outcome)
    }
}

#[cfg(all(test, feature = "mock"))]
mod tests;
