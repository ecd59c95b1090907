//! Conveniences on top of the trait.

use std::collections::HashSet;

use async_trait::async_trait;
use futures_util::StreamExt;
use jiff::Timestamp;

use crate::{
    LettaApi, LettaError, Result,
    types::{
        agent::{Agent, AgentOrder, AgentQuery, Direction},
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
    /// The newest change of an agent **of the first page**, whether or not that agent is among [`agents`](Self::agents).
    ///
    /// No agent changed unseen at or before this time, while a change that a later page shows may be newer than one
    /// that no page shows. So it is what to give to
    /// [`list_agents_updated_since`](LettaApiExt::list_agents_updated_since) the next time. `None` when no agent of the
    /// page says when it changed.
    pub newest_update: Option<Timestamp>,
    /// Whether the listing came to its end.
    pub completeness: Completeness,
}

/// Whether a listing came to its end. Nobody may conclude from an incomplete one that an agent is gone.
#[derive(Debug)]
#[non_exhaustive]
pub enum Completeness {
    /// It did.
    Complete,
    /// The server began anew (an agent at a page's border was deleted meanwhile, or changed in a listing by update),
    /// twice.
    Restarted,
    /// There were more pages than allowed.
    TooManyPages,
    /// A page failed; what came before it is here.
    Failed(LettaError),
}

impl AgentListing {
    /// Whether it has all that it was asked for. An agent that a complete [`list_all_agents`](LettaApiExt::list_all_agents)
    /// does not have does not exist (or is hidden).
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

/// Usually few agents changed, and a page costs the server the same whether they did or not.
const FIRST_PAGE_OF_CHANGES: u32 = 50;

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
        read_pages(self, query, query, None).await
    }

    /// The agents that changed at or after `since`, newest change first: one small request when there are few.
    ///
    /// Order and position of the query do not count, its filters do. An agent without a time of change counts as
    /// changed. The listing is complete when it came to an agent that last changed before `since`, or to its end; what
    /// is not in it did not change, or does not exist any more, which this can not tell. Pages that repeat or fail are
    /// treated as by [`list_all_agents`](Self::list_all_agents).
    ///
    /// For the next time, keep [`AgentListing::newest_update`]: an agent that changes while the pages are read moves
    /// to the front, where this listing may not see it any more, and the next one will. Equal times are listed again,
    /// so that none of several changes at one instant is lost. A server notes the time of a change a moment before the
    /// change can be seen; who must not miss any goes back by some seconds more.
    ///
    /// # Errors
    /// Those of the first page.
    async fn list_agents_updated_since(&self, since: Timestamp, query: &AgentQuery) -> Result<AgentListing> {
        let query = AgentQuery {
            order_by: AgentOrder::UpdatedAt,
            direction: Direction::Descending,
            after: None,
            ..query.clone()
        };
        let first = AgentQuery {
            limit: query.limit.min(FIRST_PAGE_OF_CHANGES),
            ..query.clone()
        };
        read_pages(self, &first, &query, Some(since)).await
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

/// Reads a listing: a page with the query `first`, the others with `rest`, up to the first agent that last changed
/// before `since`.
async fn read_pages<T: LettaApi + ?Sized>(
    letta: &T,
    first: &AgentQuery,
    rest: &AgentQuery,
    since: Option<Timestamp>,
) -> Result<AgentListing> {
    let is_older = |agent: &Agent| match (agent.updated_at, since) {
        (Some(updated), Some(since)) => updated < since,
        _ => false,
    };
    let mut pages = 0;
    let mut restarts = 0;
    let mut seen = HashSet::new();
    let mut agents: Vec<Agent> = Vec::new();
    let mut newest_update = None;
    let mut page_query = first.clone();
    let mut is_first = true;
    let completeness = loop {
        let page = match letta.list_agents(&page_query).await {
            Ok(page) => page,
            Err(error) if pages == 0 => return Err(error),
            Err(error) => break Completeness::Failed(error),
        };
        pages += 1;
        if is_first {
            newest_update = page.agents.iter().filter_map(|agent| agent.updated_at).max();
        }
        let came_to_older = page.agents.last().is_some_and(is_older) && is_newest_first(&page.agents);
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
                break Completeness::Restarted;
            }
            seen.clear();
            agents.clear();
            page_query = first.clone();
            is_first = true;
            continue;
        }
        match page.next {
            _ if came_to_older => break Completeness::Complete,
            None => break Completeness::Complete,
            Some(_) if pages >= MAX_PAGES => break Completeness::TooManyPages,
            next => {
                page_query = AgentQuery {
                    after: next,
                    ..rest.clone()
                };
                is_first = false;
            }
        }
    };
    agents.retain(|agent| !is_older(agent));
    Ok(AgentListing {
        agents,
        pages,
        newest_update,
        completeness,
    })
}

/// Whether a page is in the order of a listing by update. A server that knows no such order must be read to the end.
fn is_newest_first(agents: &[Agent]) -> bool {
    agents
        .iter()
        .filter_map(|agent| agent.updated_at)
        .is_sorted_by(|one, next| one >= next)
}

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
