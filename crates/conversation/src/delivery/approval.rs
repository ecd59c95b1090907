//! Tool calls that wait for a person's decision.

use jiff::Timestamp;
use letta_client::{
    AgentInclude, ApprovalRequest, ConversationRef, HistoryItem, HistoryQuery, LettaError, Run, RunId,
    RunQuery, StopReason, TurnError, TurnErrorKind,
};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Deliverer, Interrupted, Next, Work,
    record::{Edits, Outcome, Post, Step, Task},
    telling::tell_withdrawn,
};
use crate::{
    stage::{Stage, edit_of},
    text,
    turn::{Found, Heard, TurnEnd},
};

/// The kind of the records that approvals are kept as.
pub(crate) const APPROVAL: &str = "approval";

/// How much of the history is looked at for a request: it is the last thing that was said.
const TAIL: u32 = 10;

/// How often it is looked, once in a second, for a request that Letta speaks of and does not show.
const MAX_UNSEEN: u32 = 60;

/// A tool call, or several, that wait for a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Approval {
    /// Names it among all approvals.
    pub(crate) key: String,
    pub(crate) agent: letta_client::AgentId,
    /// The lane that waits.
    pub(crate) lane: String,
    pub(crate) room: OwnedRoomId,
    /// The event because of which the agent wants to use the tools.
    pub(crate) question: OwnedEventId,
    /// The message that asks.
    pub(crate) asked: Option<OwnedEventId>,
    pub(crate) thread: Option<OwnedEventId>,
    pub(crate) calls: Vec<Call>,
    pub(crate) state: ApprovalState,
    pub(crate) since: Timestamp,
    /// The turn that waits, if those who watch were told that it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) turn: Option<agent_events::Turn>,
}

/// A tool call that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    /// With what it is called, for those who watch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) arguments: Option<String>,
}

/// How an approval stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum ApprovalState {
    /// It waits.
    Open,
    /// A person decided.
    Decided {
        /// Who.
        by: OwnedUserId,
        /// What.
        approve: bool,
    },
    /// It no longer waits, and not because of us.
    Gone,
}

impl Deliverer {
    /// Writes an approval down.
    pub(crate) async fn remember(&self, approval: &Approval) -> Result<(), Interrupted> {
        let record = serde_json::to_value(approval).unwrap_or_default();
        self.persist("an approval", || {
            self.store
                .put_record(APPROVAL, &approval.key, Some(&record), &self.lease)
        })
        .await
    }

    /// Notes that a request no longer waits, and shows that in the room.
    pub(crate) async fn withdraw(&self, approval: &mut Approval, stage: &Stage) -> Result<(), Interrupted> {
        approval.state = ApprovalState::Gone;
        self.remember(approval).await?;
        tell_withdrawn(&*self.events, approval).await;
        if let Some(asked) = &approval.asked {
            let delivery = crate::ids::delivery(asked, &approval.agent, 0);
            let transaction = crate::ids::transaction(&delivery, "withdrawn");
            let content = edit_of(asked, &approval.closed_content());
            if let Err(error) = stage.say(&transaction, &content).await {
                tracing::debug!(
                    cause = error.cause(),
                    "cannot show that a request no longer waits"
                );
            }
        }
        Ok(())
    }

    /// Withdraws a request that Letta no longer waits for; whether it was one. If that cannot be found out now, it is not.
    pub(crate) async fn withdraw_if_gone(
        &self,
        mut approval: Approval,
        stage: &Stage,
    ) -> Result<bool, Interrupted> {
        let to = self.conversation_of(&approval.agent, &approval.lane).await?;
        let is_gone = match self.pending(&to).await {
            Ok(pending) => !pending.is_some_and(|request| is_same(&request, &approval)),
            Err(error) => {
                tracing::debug!(%error, "cannot see what waits for a decision");
                false
            }
        };
        if is_gone {
            self.withdraw(&mut approval, stage).await?;
        }
        Ok(is_gone)
    }

    pub(crate) async fn find_approval(&self, key: &str) -> Result<Option<Approval>, Interrupted> {
        let record = self
            .persist("an approval", || self.store.get_record(APPROVAL, key))
            .await?;
        Ok(record.and_then(|record| serde_json::from_value(record).ok()))
    }

    /// What waits for a decision in a conversation, as Letta has it.
    pub(crate) async fn pending(&self, of: &ConversationRef) -> Result<Option<ApprovalRequest>, LettaError> {
        if of.conversation.is_none() {
            // An agent's history has all its conversations, and does not say which is which.
            let include = AgentInclude {
                pending_approval: true,
                ..AgentInclude::default()
            };
            return Ok(self.letta.get_agent(&of.agent, include).await?.pending_approval);
        }
        let query = HistoryQuery {
            limit: TAIL,
            ..HistoryQuery::default()
        };
        let mut messages = self.letta.list_messages(of, &query).await?.messages;
        Ok(match messages.pop().map(|message| message.item) {
            Some(HistoryItem::ApprovalRequest(request)) => Some(request),
            _ => None,
        })
    }
}

impl Work<'_> {
    /// The approval that a request becomes.
    pub(super) fn approval_of(&self, request: &ApprovalRequest) -> Approval {
        Approval {
            key: format!("{}|{}", self.delivery.of.agent_id, request.id),
            agent: self.delivery.of.agent_id.clone(),
            lane: self.delivery.of.lane.clone(),
            room: self.delivery.of.room_id.clone(),
            question: self.delivery.of.event_id.clone(),
            asked: None,
            thread: self.record.thread.clone(),
            calls: request
                .calls
                .iter()
                .map(|call| Call {
                    id: call.id.to_string(),
                    name: call.name.clone(),
                    arguments: Some(call.arguments.clone()),
                })
                .collect(),
            state: ApprovalState::Open,
            since: self.deliverer.clock.now(),
            turn: None,
        }
    }

    /// Writes down what this delivery asks for, with the message that asks.
    pub(super) async fn remember_asked(&mut self) -> Result<(), Interrupted> {
        let Some(mut approval) = self.record.asks.clone() else {
            return Ok(());
        };
        approval.asked = self
            .record
            .post("approval")
            .and_then(|post| post.event_id.clone());
        // Whoever finds this step again may find the decision made.
        match self.deliverer.find_approval(&approval.key).await? {
            Some(known) if !known.is_open() => self.closed.push(known.key),
            _ => {
                self.deliverer.remember(&approval).await?;
                self.asks = Some(approval);
            }
        }
        Ok(())
    }

    /// A tool call of before waits for a decision: it is shown, and this delivery comes after it.
    pub(super) async fn wait_for_decision(&mut self, error: Option<LettaError>) -> Result<Next, Interrupted> {
        let to = self.conversation().await?;
        let Ok(Some(request)) = self.deliverer.pending(&to).await else {
            // It was decided meanwhile, or cannot be seen: try again from the start.
            self.unseen += 1;
            if self.unseen > MAX_UNSEEN {
                let end = TurnEnd::Ended {
                    reason: StopReason::Error,
                    error: Some(TurnError {
                        kind: TurnErrorKind::PendingApproval,
                        message: String::new(),
                        detail: None,
                    }),
                };
                return Ok(Next::Over(Box::new((Heard::default(), end))));
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            let since = self.deliverer.clock.now();
            self.step(Step::Sending { since, again: 0 }).await?;
            return Ok(Next::Go);
        };
        tracing::info!(?error, "a tool call waits for a decision: asking for it");
        let mut approval = self.approval_of(&request);
        let known = self.deliverer.find_approval(&approval.key).await?;
        if let Some(known) = known.filter(|known| known.state == ApprovalState::Open && known.asked.is_some())
        {
            approval = known;
        } else {
            let key = format!("pending.{}", request.id);
            let post = self.composer.approval(&request);
            let said = self
                .setting
                .stage
                .say_at_last(&self.transactions.id(&key), &post.content)
                .await;
            match said {
                Ok(event_id) => approval.asked = Some(event_id),
                Err(error) => {
                    tracing::warn!(cause = error.cause(), "cannot ask for a decision");
                    return Ok(Next::Over(Box::new((Heard::default(), TurnEnd::Unknown))));
                }
            }
            self.deliverer.remember(&approval).await?;
        }
        self.asks = Some(approval);
        self.setting.stage.show_typing(false).await;
        self.telling.put_off().await;
        self.step(Step::Queued).await?;
        Ok(Next::Later)
    }

    /// From queued: a decision is handed over only as long as Letta waits for it.
    pub(super) async fn begin_decision(&mut self, key: &str) -> Result<(), Interrupted> {
        let Some(approval) = self.deliverer.find_approval(key).await? else {
            return self.no_longer().await;
        };
        let to = self.conversation().await?;
        match self.deliverer.pending(&to).await {
            Ok(Some(request)) if is_same(&request, &approval) => {}
            Ok(_) => return self.no_longer().await,
            Err(error) => tracing::info!(%error, "cannot see what waits for a decision: trying all the same"),
        }
        self.step(self.sending(0)).await
    }

    async fn no_longer(&mut self) -> Result<(), Interrupted> {
        let text = "This no longer waits for a decision: it was made elsewhere, or the agent was stopped.";
        let notice = self.composer.notice("reply", text);
        self.end_with(Outcome::Told, vec![notice]).await
    }

    /// Finds out whether Letta took a decision. A request that still waits was not decided.
    pub(super) async fn find_decision(
        &self,
        to: &ConversationRef,
        key: String,
        since: Timestamp,
        run: Option<&RunId>,
    ) -> Result<Result<Found, LettaError>, Interrupted> {
        let Some(approval) = self.deliverer.find_approval(&key).await? else {
            return Ok(Ok(Found::Nothing));
        };
        let letta = &self.deliverer.letta;
        let mut run = run.cloned();
        if run.is_none() {
            match self.deliverer.pending(to).await {
                Ok(Some(request)) if is_same(&request, &approval) => {
                    // A run that carries it out may have begun, and not saved anything yet.
                    let active = RunQuery {
                        active_only: true,
                        ..RunQuery::default()
                    };
                    match letta.list_runs(&to.agent, &active).await {
                        Ok(runs) => match latest(runs, to) {
                            None => return Ok(Ok(Found::Nothing)),
                            known => run = known,
                        },
                        Err(error) => return Ok(Err(error)),
                    }
                }
                Ok(_) => {
                    run = match letta.list_runs(&to.agent, &RunQuery::default()).await {
                        Ok(runs) => latest(runs, to),
                        Err(error) => return Ok(Err(error)),
                    };
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        let otid = crate::ids::otid(&self.delivery.of.event_id, self.delivery.of.attempt);
        Ok(self.deliverer.recovery.find(to, &otid, since, run.as_ref()).await)
    }

    /// Marks the approval that this delivery decided on, in the store and in the room.
    pub(super) async fn close_approval(&mut self) -> Result<(), Interrupted> {
        let Task::Decision {
            approval, approve, ..
        } = self.record.task.clone()
        else {
            return Ok(());
        };
        let Some(mut approval) = self.deliverer.find_approval(&approval).await? else {
            return Ok(());
        };
        if approval.state == ApprovalState::Open {
            approval.state = match self.record.step {
                Step::Replying {
                    outcome: Outcome::Told,
                } => ApprovalState::Gone,
                _ => ApprovalState::Decided {
                    by: self.record.sender.clone(),
                    approve,
                },
            };
            self.deliverer.remember(&approval).await?;
            if approval.state == ApprovalState::Gone {
                tell_withdrawn(&*self.deliverer.events, &approval).await;
            }
        }
        let Some(asked) = &approval.asked else {
            return Ok(());
        };
        let post = Post {
            key: "approval.closed".to_owned(),
            content: approval.closed_content(),
            edits: Some(Edits::Event(asked.clone())),
            event_id: None,
        };
        if let Some(content) = self.content_of(&post) {
            let said = self
                .setting
                .stage
                .say_at_last(&self.transactions.id(&post.key), &content)
                .await;
            if let Err(error) = said {
                tracing::debug!(cause = error.cause(), "cannot show that a request was decided");
            }
        }
        Ok(())
    }
}

impl Approval {
    /// Whether it waits.
    pub(crate) fn is_open(&self) -> bool {
        self.state == ApprovalState::Open
    }

    /// The same with a person's decision.
    pub(crate) fn decided_by(&self, by: &ruma::UserId, approve: bool) -> Self {
        Self {
            state: ApprovalState::Decided {
                by: by.to_owned(),
                approve,
            },
            ..self.clone()
        }
    }

    /// What becomes of the message that asks.
    fn closed_content(&self) -> Value {
        let names = self.calls.iter().map(|call| call.name.as_str());
        text::content(&text::approval_decided(&self.state_words(), names)).to_content()
    }

    /// How it stands, in words.
    pub(crate) fn state_words(&self) -> String {
        match &self.state {
            ApprovalState::Open => "waiting".to_owned(),
            ApprovalState::Decided { by, approve: true } => format!("✅ allowed by {by}"),
            ApprovalState::Decided { by, approve: false } => format!("❌ denied by {by}"),
            ApprovalState::Gone => "no longer waiting".to_owned(),
        }
    }
}

/// The newest run that may belong to a conversation.
fn latest(runs: Vec<Run>, to: &ConversationRef) -> Option<RunId> {
    let mut runs = runs.into_iter();
    let run = runs.find(|run| run.conversation.is_none() || run.conversation == to.conversation)?;
    Some(run.id)
}

fn is_same(request: &ApprovalRequest, approval: &Approval) -> bool {
    request
        .calls
        .iter()
        .any(|call| approval.calls.iter().any(|known| known.id == call.id.as_str()))
}
