//! Handing something to Letta, and hearing what it does.

use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use letta_client::{
    Conflict, LettaError, LettaErrorKind, RunId, StopReason, TurnError, TurnErrorKind, TurnEventKind,
    TurnOptions, TurnStream,
};
use tokio::time::Instant;

use super::{Interrupted, Next, Work, live::Live, record::Step};
use crate::{
    stage::TYPING_FOR,
    turn::{Heard, TurnEnd},
};

/// How often a broken stream is joined again before the history is read instead.
const MAX_REJOINS: u32 = 3;

/// The pause before the second try, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// After how long the sender is told that it takes longer.
const TELL_AFTER: Duration = Duration::from_secs(20);

/// How often Letta may say that two changes met.
const MAX_MEETINGS: u32 = 5;

/// What a failed try leads to.
enum Then {
    /// Letta did not take it, and will later. The word is for the sender.
    Wait(Word),
    /// Nobody knows whether Letta took it.
    FindOut,
    /// A tool call waits for a decision first.
    Pending,
    /// The agent or the conversation does not exist.
    Gone,
    /// It will not be taken.
    Refused,
}

/// What the sender is told about having to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Letta cannot be reached.
    Away,
    /// The same, while it may be at work on the message.
    Gone,
    /// The agent does something else.
    Busy,
}

impl Work<'_> {
    /// Hands it to Letta and hears what comes of it.
    pub(super) async fn start_turn(&mut self, since: Timestamp, again: u32) -> Result<Next, Interrupted> {
        let mut to = self.conversation().await?;
        let began = self.deliverer.clock.now();
        let (mut since, mut again) = (since, again);
        let (mut pause, mut meetings, mut is_anew) = (FIRST_PAUSE, 0, false);
        loop {
            if *self.stop.borrow() {
                let end = TurnEnd::Ended {
                    reason: StopReason::Cancelled,
                    error: None,
                };
                return Ok(Next::Over(Box::new((Heard::default(), end))));
            }
            let options = TurnOptions::default();
            let (error, then) = match self.hand_over(&to, &options).await? {
                Ok(stream) => match self.listen(stream, since, false).await? {
                    Next::Over(turn) => match then_of_end(&turn.1) {
                        None => return Ok(Next::Over(turn)),
                        Some(then) => (None, then),
                    },
                    Next::Later => return Ok(Next::Later),
                    Next::Go => (None, Then::FindOut),
                },
                Err(error) => {
                    let then = then_of(&error);
                    (Some(error), then)
                }
            };
            match then {
                Then::Wait(word) => {
                    meetings += u32::from(is_meeting(error.as_ref()));
                    let waited = self.deliverer.clock.now().duration_since(began).unsigned_abs();
                    if waited > self.patience_of(word) || meetings > MAX_MEETINGS {
                        return Ok(self.refused(error));
                    }
                    self.tell_to_wait_after(waited, word).await;
                    let wait = error.as_ref().and_then(LettaError::retry_after);
                    self.pause(wait.unwrap_or_else(|| until_told(waited, pause)))
                        .await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    // It was not taken: whoever finds this later need look from now on only.
                    since = self.deliverer.clock.now();
                    self.step(Step::Sending { since, again }).await?;
                }
                Then::FindOut => {
                    if let Some(error) = &error {
                        tracing::info!(%error, "nobody knows whether Letta took it: looking");
                    }
                    let over = self.find_out(since, None).await?;
                    if !matches!(over, Next::Go) {
                        return Ok(over);
                    }
                    again += 1;
                    if again >= super::MAX_SENDS {
                        return Ok(Next::Over(Box::new((Heard::default(), TurnEnd::Lost))));
                    }
                    since = self.deliverer.clock.now();
                    self.step(Step::Sending { since, again }).await?;
                }
                Then::Pending => return self.wait_for_decision(error).await,
                Then::Gone if !is_anew => match self.conversation_anew(&to).await? {
                    Some(anew) => (to, is_anew) = (anew, true),
                    None => return Ok(self.refused(error)),
                },
                Then::Gone | Then::Refused => return Ok(self.refused(error)),
            }
        }
    }

    /// Waits, unless somebody stops it.
    async fn pause(&mut self, wait: Duration) {
        // Whoever could stop it lives longer; if not, only the time counts.
        let stopped = async {
            if self.stop.wait_for(|is_stopped| *is_stopped).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        _ = tokio::time::timeout(wait, stopped).await;
    }

    fn refused(&self, error: Option<LettaError>) -> Next {
        let end = error.map_or(TurnEnd::Unknown, TurnEnd::Refused);
        Next::Over(Box::new((Heard::default(), end)))
    }

    fn patience_of(&self, word: Word) -> Duration {
        match word {
            Word::Away | Word::Gone => self.deliverer.limits.give_up_after,
            Word::Busy => self.deliverer.limits.busy_patience,
        }
    }

    /// Says once that it takes longer, and that nothing is lost.
    pub(super) async fn tell_to_wait_after(&mut self, waited: Duration, word: Word) {
        if waited < TELL_AFTER {
            return;
        }
        let agent = &self.composer.agent_name;
        let text = match word {
            Word::Away => {
                format!("Letta cannot be reached. {agent} gets your message as soon as it is back.")
            }
            Word::Gone => {
                "Letta cannot be reached. What became of your message shows when it is back.".to_owned()
            }
            Word::Busy => format!("{agent} is busy with something else and gets your message after that."),
        };
        self.say_once("wait", &text).await;
    }

    /// Says something that need not be said when it fails.
    pub(super) async fn say_once(&mut self, key: &str, text: &str) {
        if self.record.post(key).is_some() {
            return;
        }
        let mut post = self.composer.notice(key, text);
        let said = self
            .setting
            .stage
            .say(&self.transactions.id(key), &post.content)
            .await;
        match said {
            Ok(event_id) => {
                post.event_id = Some(event_id);
                self.record.put_post(post);
            }
            Err(error) => tracing::debug!(cause = error.cause(), key, "cannot tell"),
        }
    }

    /// Hears a turn to its end. What was heard is shown in the room meanwhile.
    pub(super) async fn listen(
        &mut self,
        mut stream: TurnStream,
        since: Timestamp,
        mut is_joined_again: bool,
    ) -> Result<Next, Interrupted> {
        let mut heard = Heard::default();
        let mut rejoins = 0;
        let patience = self.deliverer.recovery.patience;
        let mut last_news = Instant::now();
        let (stage, composer, transactions) = (
            self.setting.stage.clone(),
            self.composer.clone(),
            self.transactions,
        );
        let mut live = Live::new(
            &stage,
            &composer,
            transactions,
            &self.setting.effective,
            self.record.posts.clone(),
        );
        // Said again before it is over, and at once.
        let mut typing = tokio::time::interval(TYPING_FOR * 2 / 3);
        let shows_typing = self.shows_typing();
        let end = loop {
            let event = tokio::select! {
                _ = typing.tick(), if shows_typing => {
                    stage.show_typing(true).await;
                    self.telling.keep().await;
                    continue;
                }
                begun = live.next() => {
                    self.record.put_post(begun);
                    self.save().await?;
                    continue;
                }
                // A run that Letta lost in a crash shows as alive for ever to whoever joins it again.
                () = tokio::time::sleep_until(last_news + patience), if is_joined_again => {
                    break Some(self.give_up_run(heard.run.as_ref()).await?);
                }
                event = stream.next() => event,
            };
            match event {
                Some(Ok(event)) => {
                    let kind = event.kind.clone();
                    if kind != TurnEventKind::Alive {
                        last_news = Instant::now();
                    }
                    let end = heard.take(event);
                    live.heard(&kind, &heard);
                    self.telling.hear(&kind, &heard, &composer).await;
                    self.note_run(&heard, since).await?;
                    if let Some(end) = end {
                        break Some(end);
                    }
                }
                broken => {
                    let error = broken.and_then(Result::err);
                    rejoins += 1;
                    let token = heard.resume.clone().filter(|_| rejoins <= MAX_REJOINS);
                    tracing::info!(run = ?heard.run, ?error, "the stream of a turn broke");
                    let Some(token) = token else { break None };
                    match self.deliverer.letta.resume(&token).await {
                        Ok(joined) => {
                            stream = joined;
                            is_joined_again = true;
                        }
                        Err(error) => {
                            tracing::info!(%error, "the stream of a turn cannot be joined again");
                            break None;
                        }
                    }
                }
            }
        };
        for post in live.settle().await {
            self.record.put_post(post);
        }
        if let Some(end) = end {
            return Ok(Next::Over(Box::new((heard, end))));
        }
        Ok(match self.find_out(since, heard.run.as_ref()).await? {
            // What was heard is shown, and is more than nothing.
            Next::Over(turn) if turn.0.is_empty() => Next::Over(Box::new((heard, turn.1))),
            found => found,
        })
    }

    /// Ends a run that Letta may have lost, so that it holds nobody up.
    pub(super) async fn give_up_run(&self, run: Option<&RunId>) -> Result<TurnEnd, Interrupted> {
        tracing::warn!(?run, "a run of Letta neither ends nor goes on");
        let to = self.conversation().await?;
        if let Err(error) = self.deliverer.letta.cancel(&to, run).await {
            tracing::info!(%error, "it cannot be ended either");
        }
        Ok(TurnEnd::Unknown)
    }

    /// Writes down which run it is, once it is known.
    async fn note_run(&mut self, heard: &Heard, since: Timestamp) -> Result<(), Interrupted> {
        let again = match &self.record.step {
            Step::Sending { again, .. } => *again,
            _ => return Ok(()),
        };
        if heard.run.is_none() && heard.resume.is_none() {
            return Ok(());
        }
        // From the first event on everything can be heard again: the last token would lose what came before.
        let resume = heard.resume.as_ref().map(|token| token.as_str().to_owned());
        self.step(Step::Running {
            since,
            again,
            run: heard.run.clone(),
            resume,
        })
        .await
    }
}

fn is_meeting(error: Option<&LettaError>) -> bool {
    error.is_some_and(|error| matches!(error.kind(), LettaErrorKind::Conflict(Conflict::ConcurrentUpdate)))
}

/// The pause, or as long as it takes until the sender is to be told.
pub(super) fn until_told(waited: Duration, pause: Duration) -> Duration {
    match TELL_AFTER.checked_sub(waited) {
        Some(left) if !left.is_zero() => pause.min(left),
        _ => pause,
    }
}

/// What an error of handing over leads to.
fn then_of(error: &LettaError) -> Then {
    match error.kind() {
        LettaErrorKind::Conflict(Conflict::PendingApproval { .. }) => Then::Pending,
        LettaErrorKind::Conflict(Conflict::Busy { .. } | Conflict::ConcurrentUpdate) => {
            Then::Wait(Word::Busy)
        }
        _ if error.may_have_applied() => Then::FindOut,
        LettaErrorKind::NotFound => Then::Gone,
        LettaErrorKind::Provider(_) => Then::Refused,
        _ if error.is_retryable() => Then::Wait(Word::Away),
        _ => Then::Refused,
    }
}

/// What the end of a turn leads to, if it never really began.
fn then_of_end(end: &TurnEnd) -> Option<Then> {
    let TurnEnd::Ended {
        error: Some(TurnError { kind, .. }),
        ..
    } = end
    else {
        return None;
    };
    match kind {
        TurnErrorKind::PendingApproval => Some(Then::Pending),
        TurnErrorKind::Busy => Some(Then::Wait(Word::Busy)),
        _ => None,
    }
}
