//! Finding out what became of a message of which nobody knows whether Letta took it.
//!
//! Letta's `otid` is a key to look things up by, not a lock. So nothing is sent again before it is certain that neither
//! the history nor any run knows of it.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use letta_client::{
    ConversationRef, HistoryItem, HistoryMessage, HistoryQuery, LettaApi, LettaError, LettaErrorKind,
    MessageId, Otid, Run, RunId, RunQuery,
};
use store::Clock;

/// How much a server's clock may be behind ours.
const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// How many messages are read at once, and how often at most.
const PAGE: u32 = 50;
const MAX_PAGES: usize = 20;

/// How often it is looked, and how often after a while.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What became of a message.
#[derive(Debug)]
pub(crate) enum Found {
    /// It led to this run, which is over, and this is what the history has of it.
    Answered(Run, Vec<HistoryMessage>),
    /// Neither the history nor a run knows of it: it can be sent (again).
    Nothing,
    /// A run neither ends nor goes on. It may be the one of the message.
    Stuck(Run),
}

/// Looks for what became of messages.
#[derive(Debug)]
pub(crate) struct Recovery {
    pub(crate) letta: Arc<dyn LettaApi>,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long a message may be on its way to Letta before nothing of it means that it never arrived.
    pub(crate) grace: Duration,
    /// After how long a run that does not end counts as lost.
    pub(crate) patience: Duration,
}

impl Recovery {
    /// Waits until it is certain what became of a message that may have been sent at `since` or later.
    ///
    /// # Errors
    /// When Letta cannot tell, because it refuses or is away.
    pub(crate) async fn find(
        &self,
        to: &ConversationRef,
        otid: &Otid,
        since: Timestamp,
        known: Option<&RunId>,
    ) -> Result<Found, LettaError> {
        let began = self.clock.now();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.look(to, otid, since, known).await {
                Ok(Look::Over(run, messages)) => return Ok(Found::Answered(run, messages)),
                Ok(Look::Runs(run)) if self.is_past(began, self.patience) => return Ok(Found::Stuck(run)),
                Ok(Look::Runs(_)) => {}
                Ok(Look::Nothing) if self.is_past(began, self.grace) => return Ok(Found::Nothing),
                Ok(Look::Nothing) => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn look(
        &self,
        to: &ConversationRef,
        otid: &Otid,
        since: Timestamp,
        known: Option<&RunId>,
    ) -> Result<Look, LettaError> {
        let earliest = since.checked_sub(SKEW).unwrap_or(since);
        // Runs first: one that ends in between has its messages in the history by then.
        let active = RunQuery {
            active_only: true,
            ..RunQuery::default()
        };
        let active = self.letta.list_runs(&to.agent, &active).await?;
        let messages = self.history_since(to, earliest).await?;
        let run = messages
            .iter()
            .find(|message| {
                message.otid.as_ref() == Some(otid) && matches!(message.item, HistoryItem::User { .. })
            })
            .and_then(|message| message.run.clone())
            .or_else(|| known.cloned());
        if let Some(id) = run {
            return self.look_at(&id, to, earliest).await;
        }
        let ours = active.into_iter().find(|run| {
            (run.conversation.is_none() || run.conversation == to.conversation)
                && run.created_at.is_none_or(|created| created >= earliest)
        });
        Ok(ours.map_or(Look::Nothing, Look::Runs))
    }

    async fn look_at(&self, id: &RunId, of: &ConversationRef, since: Timestamp) -> Result<Look, LettaError> {
        let run = self.letta.get_run(id).await;
        if run.as_ref().is_ok_and(|run| run.status.is_active()) {
            return run.map(Look::Runs);
        }
        // Only now: what was read before it was over may be without its last words.
        let messages = self.history_since(of, since).await?;
        match run {
            Ok(run) => Ok(Look::Over(run, of_run(messages, id))),
            // A server may forget runs before messages.
            Err(error) if *error.kind() == LettaErrorKind::NotFound => {
                let said: Vec<_> = of_run(messages, id);
                Ok(if said.is_empty() {
                    Look::Nothing
                } else {
                    Look::Over(forgotten(id), said)
                })
            }
            Err(error) => Err(error),
        }
    }

    /// What was said since then, oldest first.
    async fn history_since(
        &self,
        of: &ConversationRef,
        since: Timestamp,
    ) -> Result<Vec<HistoryMessage>, LettaError> {
        let mut messages: Vec<HistoryMessage> = Vec::new();
        let mut before: Option<MessageId> = None;
        for _ in 0..MAX_PAGES {
            let query = HistoryQuery {
                limit: PAGE,
                before: before.take(),
                after: None,
            };
            let page = self.letta.list_messages(of, &query).await?;
            let is_older = |message: &HistoryMessage| message.date.is_some_and(|date| date < since);
            let oldest = page.messages.first().cloned();
            let mut earlier = page.messages;
            earlier.append(&mut messages);
            messages = earlier;
            match oldest {
                Some(oldest) if page.may_continue && !is_older(&oldest) => before = Some(oldest.id),
                _ => break,
            }
        }
        Ok(messages)
    }

    fn is_past(&self, began: Timestamp, limit: Duration) -> bool {
        self.clock.now().duration_since(began).unsigned_abs() >= limit
    }
}

enum Look {
    Over(Run, Vec<HistoryMessage>),
    Runs(Run),
    Nothing,
}

fn of_run(messages: Vec<HistoryMessage>, id: &RunId) -> Vec<HistoryMessage> {
    messages
        .into_iter()
        .filter(|message| message.run.as_ref() == Some(id))
        .collect()
}

fn forgotten(id: &RunId) -> Run {
    Run {
        id: id.clone(),
        status: letta_client::RunStatus::Completed,
        agent: None,
        conversation: None,
        background: false,
        stop_reason: None,
        error: None,
        created_at: None,
        completed_at: None,
    }
}
