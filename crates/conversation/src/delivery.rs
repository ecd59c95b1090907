//! Doing what is owed for an event, step by step.
//!
//! Each step is written down before what follows it is done, so that it can be killed anywhere and goes on from there:
//!
//! ```text
//! queued ─▶ sending ─▶ running ─▶ replying ─▶ done
//!              │  ▲        │
//!              │  └────────┼── neither history nor runs know of it
//!              └───────────┴── the history has the answer: replying
//! ```

mod approval;
mod attachments;
pub(crate) mod compose;
mod conversation;
mod ending;
mod input;
mod listen;
pub(crate) mod live;
mod membership;
mod orders;
pub(crate) mod record;
mod telling;

use std::{sync::Arc, time::Duration};

use agent_events::EventBus;
use jiff::Timestamp;
use letta_client::{ConversationRef, LettaApi, LettaError, LettaErrorKind, ResumeToken, RunId};
use store::{Clock, ConversationStore, Delivery, Lease, StoreError, StoreErrorKind};
use tokio::sync::watch;

pub(crate) use self::approval::{APPROVAL, Approval};
pub use self::record::Outcome;
use self::{
    compose::Composer,
    listen::{Word, until_told},
    record::{Edits, Post, Record, Step, Task, Transactions},
    telling::Telling,
};
use crate::{
    control::Operator,
    settings::Effective,
    stage::{Stage, edit_of},
    turn::{Found, Heard, Recovery, TurnEnd},
};

/// How often a message is sent that Letta turns out not to have. It may be the message that makes Letta fall.
const MAX_SENDS: u32 = 8;

/// The longest pause between two tries to write to the store.
const STORE_PAUSE: Duration = Duration::from_secs(10);

/// The pause between two tries to begin a conversation.
const LETTA_PAUSE: Duration = Duration::from_secs(2);

/// What every delivery needs.
#[derive(Debug)]
pub(crate) struct Deliverer {
    pub(crate) letta: Arc<dyn LettaApi>,
    pub(crate) store: Arc<dyn ConversationStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lease: Lease,
    pub(crate) recovery: Recovery,
    pub(crate) limits: crate::service::DeliveryLimits,
    pub(crate) operator: Arc<dyn Operator>,
    pub(crate) events: Arc<dyn EventBus>,
}

/// Where and how a delivery is done.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) stage: Stage,
    pub(crate) agent_name: String,
    pub(crate) room_name: Option<String>,
    /// Whether answers name their question.
    pub(crate) is_reply: bool,
    pub(crate) effective: Effective,
    /// The other agents in the room.
    pub(crate) others: Vec<(ruma::OwnedUserId, String)>,
    /// What the room says about how agents behave.
    pub(crate) settings: crate::settings::RoomSettings,
}

/// Why a delivery is not done any further by us.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Interrupted {
    /// Somebody else does the work now.
    #[error("another instance carries messages now")]
    LeaseLost,
    /// Its record cannot be read.
    #[error("the record of a delivery cannot be read")]
    Corrupt(#[source] StoreError),
}

/// A delivery that came to an end.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// How it ended; `None` if it comes after a decision that somebody has to make.
    pub(crate) outcome: Option<Outcome>,
    /// What waits for a decision now.
    pub(crate) asks: Option<Approval>,
    /// What no longer does: the keys of approvals.
    pub(crate) closed: Vec<String>,
}

/// A delivery at work.
struct Work<'a> {
    deliverer: &'a Deliverer,
    setting: &'a Setting,
    delivery: Delivery,
    record: Record,
    transactions: Transactions,
    composer: Composer,
    telling: Telling,
    /// Whether somebody stopped it.
    stop: watch::Receiver<bool>,
    /// How often Letta spoke of a request that waits for a decision, and none was to be seen.
    unseen: u32,
    asks: Option<Approval>,
    closed: Vec<String>,
}

impl Deliverer {
    /// Does a delivery to its end. Once `stop` says so, it is not handed to Letta any more.
    #[tracing::instrument(
        name = "conversation.deliver",
        skip_all,
        fields(agent.id = %delivery.of.agent_id, room.id = %delivery.of.room_id, event.id = %delivery.of.event_id)
    )]
    pub(crate) async fn deliver(
        &self,
        delivery: Delivery,
        setting: &Setting,
        stop: watch::Receiver<bool>,
    ) -> Result<Finished, Interrupted> {
        let record = Record::read(&delivery).map_err(Interrupted::Corrupt)?;
        let composer = Composer::new(&delivery, &record, setting);
        let decided = match &record.task {
            Task::Decision { approval, .. } => self.find_approval(approval).await?,
            _ => None,
        };
        let telling = Telling::new(self, &delivery, &record, decided, setting, composer.is_quiet);
        let work = Work {
            deliverer: self,
            setting,
            transactions: Transactions::of(&delivery),
            delivery,
            record,
            composer,
            telling,
            stop,
            unseen: 0,
            asks: None,
            closed: Vec::new(),
        };
        work.run().await
    }

    /// Closes a delivery that cannot be done.
    pub(crate) async fn give_up(&self, mut delivery: Delivery, why: &str) -> Result<Finished, Interrupted> {
        let mut record = Record::read(&delivery).map_err(Interrupted::Corrupt)?;
        let outcome = Outcome::Undeliverable { why: why.to_owned() };
        tracing::warn!(event.id = %delivery.of.event_id, why, "a message is given up");
        record.step = Step::Done {
            outcome: outcome.clone(),
        };
        self.close(&mut delivery, &record).await?;
        Ok(Finished {
            outcome: Some(outcome),
            ..Finished::default()
        })
    }

    /// Writes the last record of a delivery.
    pub(crate) async fn close(&self, delivery: &mut Delivery, record: &Record) -> Result<(), Interrupted> {
        delivery.is_open = false;
        delivery.of.record = record.write();
        delivery.updated_at = self.clock.now();
        let delivery = &*delivery;
        self.persist("a delivery", || self.store.put_delivery(delivery, &self.lease))
            .await
    }

    /// Tells the sender of a message that it waits. Nobody minds if that fails.
    pub(crate) async fn tell_waiting(&self, id: i64, setting: &Setting, words: &str) {
        let Ok(Some(delivery)) = self.store.get_delivery(id).await else {
            return;
        };
        let Ok(record) = Record::read(&delivery) else {
            return;
        };
        let composer = Composer::new(&delivery, &record, setting);
        let said = setting
            .stage
            .say(
                &Transactions::of(&delivery).id("queue"),
                &composer.notice("queue", words).content,
            )
            .await;
        if let Err(error) = said {
            tracing::debug!(cause = error.cause(), "cannot tell that a message waits");
        }
    }

    /// Does something with the store, however long it fails.
    pub(crate) async fn persist<T, F>(&self, what: &str, write: impl Fn() -> F) -> Result<T, Interrupted>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut pause = Duration::from_millis(50);
        let mut is_told = false;
        loop {
            match write().await {
                Ok(value) => {
                    if is_told {
                        tracing::info!("the state can be written again");
                    }
                    return Ok(value);
                }
                Err(error) if error.kind() == StoreErrorKind::LeaseLost => {
                    return Err(Interrupted::LeaseLost);
                }
                Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                    return Err(Interrupted::Corrupt(error));
                }
                Err(error) if !is_told => {
                    is_told = true;
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, what, "the state cannot be written: waiting");
                }
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(STORE_PAUSE);
        }
    }
}

/// What a turn came to.
type Turn = (Heard, TurnEnd);

/// What a step leads to.
enum Next {
    /// The next step is written down: go on.
    Go,
    /// The turn is over.
    Over(Box<Turn>),
    /// It comes after a decision that somebody has to make.
    Later,
}

impl Work<'_> {
    async fn run(mut self) -> Result<Finished, Interrupted> {
        // What is found in this step was begun by somebody who did not come to the end of it.
        let mut is_found = true;
        loop {
            let next = match &self.record.step {
                Step::Queued => {
                    self.begin().await?;
                    is_found = false;
                    Next::Go
                }
                Step::Sending { since, again } => {
                    let (since, again) = (*since, *again);
                    self.send(since, again, std::mem::replace(&mut is_found, false))
                        .await?
                }
                Step::Running {
                    since, run, resume, ..
                } => {
                    let (since, run, resume) = (*since, run.clone(), resume.clone());
                    self.hear_again(since, run, resume).await?
                }
                Step::Replying { .. } => {
                    self.reply().await?;
                    Next::Go
                }
                Step::Done { outcome } => {
                    let outcome = outcome.clone();
                    return Ok(self.finished(Some(outcome)));
                }
            };
            match next {
                Next::Go => {}
                Next::Later => return Ok(self.finished(None)),
                Next::Over(turn) => {
                    let (heard, end) = *turn;
                    self.conclude(heard, end).await?;
                }
            }
        }
    }

    fn finished(self, outcome: Option<Outcome>) -> Finished {
        let mut closed = self.closed;
        if let Task::Decision { approval, .. } = &self.record.task {
            closed.push(approval.clone());
        }
        Finished {
            outcome,
            asks: self.asks,
            closed,
        }
    }

    // ---- steps ----

    /// From queued: what asks nothing of Letta is answered at once, everything else is sent.
    async fn begin(&mut self) -> Result<(), Interrupted> {
        match self.record.task.clone() {
            Task::Message(_) => {
                self.setting.stage.mark_read(&self.delivery.of.event_id).await;
                self.step(self.sending(0)).await
            }
            Task::Decision { approval, .. } => self.begin_decision(&approval).await,
            Task::Order { order, agents } => {
                let text = self.carry_out(&order, &agents).await?;
                self.end_with(Outcome::Told, vec![self.composer.notice("reply", &text)])
                    .await
            }
            Task::Join => self.join().await,
            Task::Leave => self.leave().await,
            Task::Tell { text } => {
                self.end_with(Outcome::Told, vec![self.composer.notice("reply", &text)])
                    .await
            }
        }
    }

    fn sending(&self, again: u32) -> Step {
        Step::Sending {
            since: self.deliverer.clock.now(),
            again,
        }
    }

    /// Sends it, unless it was sent already by somebody who did not live to hear of it.
    async fn send(&mut self, since: Timestamp, again: u32, may_be_sent: bool) -> Result<Next, Interrupted> {
        if may_be_sent || again > 0 && self.is_decision() {
            match self.find_out(since, None).await? {
                Next::Go => {}
                over => return Ok(over),
            }
            let (since, again) = (self.deliverer.clock.now(), again + 1);
            if again >= MAX_SENDS {
                return Ok(Next::Over(Box::new((Heard::default(), TurnEnd::Lost))));
            }
            self.step(Step::Sending { since, again }).await?;
            return self.start_turn(since, again).await;
        }
        self.start_turn(since, again).await
    }

    fn is_decision(&self) -> bool {
        matches!(self.record.task, Task::Decision { .. })
    }

    /// Hears the events of a run that somebody else began to hear.
    async fn hear_again(
        &mut self,
        since: Timestamp,
        run: Option<RunId>,
        resume: Option<String>,
    ) -> Result<Next, Interrupted> {
        if let Some(token) = resume {
            match self.deliverer.letta.resume(&ResumeToken::new(token)).await {
                Ok(stream) => return self.listen(stream, since, true).await,
                Err(error) => {
                    tracing::info!(%error, "the events of a run cannot be heard again: reading the history");
                }
            }
        }
        self.find_out(since, run.as_ref()).await
    }

    /// Finds out what became of it. `Go`: Letta does not know of it.
    async fn find_out(&mut self, since: Timestamp, run: Option<&RunId>) -> Result<Next, Interrupted> {
        let to = self.conversation().await?;
        Ok(match self.find_at_last(&to, since, run).await? {
            Ok(Found::Nothing) => match &self.record.step {
                Step::Sending { .. } => Next::Go,
                // It ran, and left nothing: a run that fails keeps nothing of what was said to it.
                _ => Next::Over(Box::new((Heard::default(), TurnEnd::Unknown))),
            },
            Ok(Found::Answered(run, messages)) => Next::Over(Box::new(Heard::of_history(messages, &run))),
            Ok(Found::Stuck(run)) => {
                let end = self.give_up_run(Some(&run.id)).await?;
                Next::Over(Box::new((Heard::default(), end)))
            }
            // Nor is there a conversation that could know of it.
            Err(error)
                if *error.kind() == LettaErrorKind::NotFound
                    && to.conversation.is_some()
                    && matches!(self.record.step, Step::Sending { .. }) =>
            {
                Next::Go
            }
            Err(error) => Next::Over(Box::new((Heard::default(), TurnEnd::Refused(error)))),
        })
    }

    /// While Letta is only away it is waited for, as long as for anything, and the sender told.
    async fn find_at_last(
        &mut self,
        to: &ConversationRef,
        since: Timestamp,
        run: Option<&RunId>,
    ) -> Result<Result<Found, LettaError>, Interrupted> {
        let (began, mut pause) = (self.deliverer.clock.now(), LETTA_PAUSE);
        loop {
            let found = match &self.record.task {
                Task::Decision { approval, .. } => {
                    self.find_decision(to, approval.clone(), since, run).await?
                }
                _ => {
                    let otid = crate::ids::otid(&self.delivery.of.event_id, self.delivery.of.attempt);
                    self.deliverer.recovery.find(to, &otid, since, run).await
                }
            };
            let waited = self.deliverer.clock.now().duration_since(began).unsigned_abs();
            match found {
                Err(error) if error.is_retryable() && waited < self.deliverer.limits.give_up_after => {
                    tracing::debug!(%error, "cannot look what became of it: looking again");
                    self.tell_to_wait_after(waited, Word::Gone).await;
                    let wait = error.retry_after();
                    tokio::time::sleep(wait.unwrap_or_else(|| until_told(waited, pause))).await;
                    pause = (pause * 2).min(STORE_PAUSE);
                }
                found => return Ok(found),
            }
        }
    }

    /// Freezes what is to be said about a turn that is over.
    async fn conclude(&mut self, heard: Heard, end: TurnEnd) -> Result<(), Interrupted> {
        let ending = ending::of(
            &self.composer,
            &heard,
            &end,
            &self.record.posts,
            &self.setting.effective,
            self.can_be_retried(),
        );
        if let (Outcome::Asked, Some(request)) = (&ending.outcome, &heard.approval) {
            self.record.asks = Some(Approval {
                turn: self.telling.turn().cloned(),
                ..self.approval_of(request)
            });
        }
        self.telling.conclude(&heard, &end, &ending.outcome).await;
        let (outcome, mut posts) = (ending.outcome, ending.posts);
        if !self.composer.is_quiet {
            posts = self.with_files(posts, &heard.text).await;
        }
        self.end_with(outcome, posts).await
    }

    async fn end_with(&mut self, outcome: Outcome, posts: Vec<Post>) -> Result<(), Interrupted> {
        for post in posts {
            self.record.put_post(post);
        }
        self.step(Step::Replying { outcome }).await
    }

    /// Says what is not said yet.
    async fn reply(&mut self) -> Result<(), Interrupted> {
        let Step::Replying { outcome } = self.record.step.clone() else {
            return Ok(());
        };
        let mut undeliverable = None;
        for place in 0..self.record.posts.len() {
            let post = self.record.posts[place].clone();
            if post.event_id.is_some() {
                continue;
            }
            let Some(content) = self.content_of(&post) else {
                continue;
            };
            let stage = &self.setting.stage;
            match stage
                .say_at_last(&self.transactions.id(&post.key), &content)
                .await
            {
                Ok(event_id) => self.record.posts[place].event_id = Some(event_id),
                Err(error) => {
                    tracing::warn!(
                        cause = error.cause(),
                        key = post.key,
                        "the homeserver refuses what is to be said"
                    );
                    undeliverable = Some(error.cause());
                }
            }
        }
        self.remember_asked().await?;
        self.close_approval().await?;
        if matches!(outcome, Outcome::Failed { .. }) && self.can_be_retried() {
            self.offer_retry().await;
        }
        if self.shows_typing() {
            self.setting.stage.show_typing(false).await;
        }
        let outcome = match undeliverable {
            Some(why) => Outcome::Undeliverable { why },
            None => outcome,
        };
        self.telling
            .end(&outcome, self.asks.as_ref(), self.record.answers())
            .await;
        tracing::info!(outcome = ?outcome, "delivered");
        self.delivery.is_open = false;
        self.step(Step::Done { outcome }).await
    }

    /// The content to send; `None` when what it edits was never said.
    fn content_of(&self, post: &Post) -> Option<serde_json::Value> {
        let edited = match &post.edits {
            None => return Some(post.content.clone()),
            Some(Edits::Event(event_id)) => event_id,
            Some(Edits::Post(key)) => self.record.post(key)?.event_id.as_ref()?,
        };
        Some(edit_of(edited, &post.content))
    }

    /// Whether people see that the agent is at work: not for what asks nothing of it, or only lets it hear.
    fn shows_typing(&self) -> bool {
        matches!(self.record.task, Task::Message(_) | Task::Decision { .. }) && !self.composer.is_quiet
    }

    fn can_be_retried(&self) -> bool {
        matches!(self.record.task, Task::Message(_))
    }

    /// Puts 🔁 under the notice, for whoever wants to try again with one tap.
    async fn offer_retry(&self) {
        let notice = self.record.post("notice").and_then(|post| post.event_id.as_ref());
        if let Some(event_id) = notice {
            let transaction = self.transactions.id("retry");
            if let Err(error) = self.setting.stage.react(&transaction, event_id, "🔁").await {
                tracing::debug!(cause = error.cause(), "cannot offer to try again");
            }
        }
    }

    // ---- writing down ----

    /// Writes the next step down.
    async fn step(&mut self, step: Step) -> Result<(), Interrupted> {
        self.record.step = step;
        self.save().await
    }

    async fn save(&mut self) -> Result<(), Interrupted> {
        self.delivery.of.record = self.record.write();
        self.delivery.updated_at = self.deliverer.clock.now();
        let (deliverer, delivery) = (self.deliverer, &self.delivery);
        deliverer
            .persist("a delivery", || {
                deliverer.store.put_delivery(delivery, &deliverer.lease)
            })
            .await
    }
}
