//! One turn of an agent, heard to its end.

use futures_util::StreamExt;
use letta_client::{
    ApprovalRequest, ConversationRef, ItemId, LettaApi, LettaError, ResumeToken, RunId, StopReason,
    TurnError, TurnEvent, TurnEventKind, TurnInput, TurnOptions, TurnStream,
};

/// How often a broken stream is joined again before the answer is given up.
const MAX_REJOINS: u32 = 3;

/// What came of a turn.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) run: Option<RunId>,
    /// What the agent said; its separate answers are joined by an empty line.
    pub(crate) text: String,
    pub(crate) end: TurnEnd,
}

/// How a turn ended.
#[derive(Debug)]
pub(crate) enum TurnEnd {
    /// The server said how.
    Ended {
        reason: StopReason,
        error: Option<TurnError>,
        approval: Option<ApprovalRequest>,
    },
    /// The server did not take the message.
    Refused(LettaError),
    /// The stream broke and could not be joined again. The agent may still be at work.
    Lost(LettaError),
    /// The stream ended without saying how.
    Silent,
}

/// Sends a message and listens to the end.
pub(crate) async fn take_turn(letta: &dyn LettaApi, to: &ConversationRef, input: &TurnInput) -> Turn {
    // Only whole answers are shown so far.
    let options = TurnOptions {
        tokens: false,
        ..TurnOptions::default()
    };
    let mut heard = Heard::default();
    let mut stream = match letta.send(to, input, &options).await {
        Ok(stream) => stream,
        Err(error) => return heard.end(TurnEnd::Refused(error)),
    };
    let mut rejoins = 0;
    loop {
        match stream.next().await {
            Some(Ok(event)) => {
                if let Some(end) = heard.take(event) {
                    return heard.end(end);
                }
            }
            None => return heard.end(TurnEnd::Silent),
            Some(Err(error)) if rejoins == MAX_REJOINS => return heard.end(TurnEnd::Lost(error)),
            Some(Err(error)) => {
                rejoins += 1;
                tracing::info!(run = ?heard.run, %error, "the stream of a turn broke, joining it again");
                stream = match rejoin(letta, heard.resume.as_ref()).await {
                    Some(stream) => stream,
                    None => return heard.end(TurnEnd::Lost(error)),
                };
            }
        }
    }
}

async fn rejoin(letta: &dyn LettaApi, token: Option<&ResumeToken>) -> Option<TurnStream> {
    let stream = letta.resume(token?).await;
    stream
        .inspect_err(|error| tracing::warn!(%error, "cannot join the stream of a turn again"))
        .ok()
}

#[derive(Default)]
struct Heard {
    run: Option<RunId>,
    resume: Option<ResumeToken>,
    text: String,
    last_item: Option<ItemId>,
    approval: Option<ApprovalRequest>,
}

impl Heard {
    fn take(&mut self, event: TurnEvent) -> Option<TurnEnd> {
        if self.run.is_none() {
            self.run = event.run;
        }
        if event.resume.is_some() {
            self.resume = event.resume;
        }
        match event.kind {
            TurnEventKind::Text { item, append } => {
                if self.last_item.as_ref().is_some_and(|last| *last != item) && !self.text.is_empty() {
                    self.text.push_str("\n\n");
                }
                self.last_item = Some(item);
                self.text.push_str(&append);
            }
            TurnEventKind::ApprovalRequested(request) => self.approval = Some(request),
            TurnEventKind::Ended { reason, error } => {
                return Some(TurnEnd::Ended {
                    reason,
                    error,
                    approval: self.approval.take(),
                });
            }
            _ => {}
        }
        None
    }

    fn end(self, end: TurnEnd) -> Turn {
        Turn {
            run: self.run,
            text: self.text,
            end,
        }
    }
}
