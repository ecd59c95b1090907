//! Doing what was decided.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use letta_client::{AgentId, ConversationRef, LettaApi, RunId, TurnInput};
use matrix_client::{Appservice, Event, MatrixApi, MatrixApiExt, MatrixError, content::Message};
use ruma::{OwnedEventId, TransactionId};

use crate::{
    BoundRoom, Decision, Directory, Forward, IgnoreReason, Permissions, decide, ids, notice,
    split::{MAX_PART_BYTES, split},
    turn::{TurnEnd, take_turn},
};

/// How often sending is tried.
const MAX_TRIES: u32 = 5;
/// The longest that one waits before trying again.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Carries messages to agents and answers back.
pub struct Relay {
    letta: Arc<dyn LettaApi>,
    matrix: Arc<dyn MatrixApi>,
    appservice: Appservice,
    permissions: Permissions,
    /// One turn at a time for each agent: of two at once Letta would forget one.
    lanes: Mutex<HashMap<AgentId, Arc<tokio::sync::Mutex<()>>>>,
}

/// What was done about an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    Ignored(IgnoreReason),
    /// The agent heard it.
    Answered {
        /// The run, if the server named it.
        run: Option<RunId>,
        /// The parts of the answer, in order.
        answer: Vec<OwnedEventId>,
        /// The notice, when something was wrong.
        notice: Option<OwnedEventId>,
    },
    /// The agent could not hear it, and its sender was told so by this notice.
    Declined(OwnedEventId),
}

/// Something that could not be said in a room. The agent may have heard the message.
#[derive(Debug, thiserror::Error)]
#[error("cannot send to room {room_id} as {user_id}")]
pub struct RelayError {
    room_id: ruma::OwnedRoomId,
    user_id: ruma::OwnedUserId,
    #[source]
    source: MatrixError,
}

impl Relay {
    /// A relay between these two, acting for the application service's users.
    pub fn new(
        letta: Arc<dyn LettaApi>,
        matrix: Arc<dyn MatrixApi>,
        appservice: Appservice,
        permissions: Permissions,
    ) -> Self {
        Self {
            letta,
            matrix,
            appservice,
            permissions,
            lanes: Mutex::default(),
        }
    }

    /// Does what is to be done about an event, and returns when it is done: after a message, when the whole answer is
    /// in the room. Messages to one agent wait for each other in the order of the calls; those to different
    /// agents do not.
    ///
    /// What goes wrong at Letta is told to the people in the room.
    ///
    /// # Errors
    /// When the homeserver does not take the answer or the notice, after several tries where that may help.
    pub async fn handle(&self, event: &Event, directory: &Directory) -> Result<Outcome, RelayError> {
        match decide(event, directory, &self.permissions) {
            Decision::Ignore(reason) => {
                tracing::debug!(event.id = %event.event_id, %reason, "ignored");
                Ok(Outcome::Ignored(reason))
            }
            Decision::Decline {
                room,
                event_id,
                reason,
            } => {
                let message = Message::notice(reason.to_string()).reply_to(event_id);
                self.say(room, &ids::notice(event_id), &message)
                    .await
                    .map(Outcome::Declined)
            }
            Decision::Forward(forward) => self.deliver(&forward).await,
        }
    }

    #[tracing::instrument(
        name = "conversation.deliver",
        skip_all,
        fields(agent.id = %forward.room.agent_id, room.id = %forward.room.room_id, event.id = %forward.event_id)
    )]
    async fn deliver(&self, forward: &Forward<'_>) -> Result<Outcome, RelayError> {
        let Forward {
            room,
            event_id,
            sender,
            text,
        } = *forward;
        let lane = self.lane(&room.agent_id);
        let _turn = lane.lock().await;

        let input = TurnInput {
            name: Some(sender.localpart().to_owned()),
            ..TurnInput::text(ids::otid(event_id), text)
        };
        let turn = take_turn(
            &*self.letta,
            &ConversationRef::agent(room.agent_id.clone()),
            &input,
        )
        .await;
        let mut answer = Vec::new();
        for (index, part) in split(&turn.text, MAX_PART_BYTES).into_iter().enumerate() {
            let transaction_id = match &turn.run {
                Some(run) => ids::part(run, index),
                None => ids::part_of_unnamed_run(event_id, index),
            };
            answer.push(self.say(room, &transaction_id, &Message::text(part)).await?);
        }
        let notice = match notice::about(&turn, &room.agent_name) {
            Some(text) => {
                log_failure(&turn.end, &text);
                let message = Message::notice(text).reply_to(event_id);
                Some(self.say(room, &ids::notice(event_id), &message).await?)
            }
            None => None,
        };
        Ok(Outcome::Answered {
            run: turn.run,
            answer,
            notice,
        })
    }

    /// Says something in a room as its agent. The transaction id makes a repetition harmless.
    async fn say(
        &self,
        room: &BoundRoom,
        transaction_id: &TransactionId,
        message: &Message,
    ) -> Result<OwnedEventId, RelayError> {
        let session = self.appservice.act_as(&room.agent_user);
        let mut tries = 1;
        loop {
            let error = match self
                .matrix
                .send_message(&session, &room.room_id, transaction_id, message)
                .await
            {
                Ok(event_id) => return Ok(event_id),
                Err(error) => error,
            };
            let wait = error
                .retry_after()
                .unwrap_or_else(|| Duration::from_millis(250) * 2u32.pow(tries));
            if !error.is_retryable() || tries == MAX_TRIES || wait > MAX_WAIT {
                return Err(RelayError {
                    room_id: room.room_id.clone(),
                    user_id: room.agent_user.clone(),
                    source: error,
                });
            }
            tracing::info!(%error, tries, ?wait, "trying again to send");
            tokio::time::sleep(wait).await;
            tries += 1;
        }
    }

    fn lane(&self, agent: &AgentId) -> Arc<tokio::sync::Mutex<()>> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lanes.entry(agent.clone()).or_default())
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("letta", &self.letta)
            .field("matrix", &self.matrix)
            .finish_non_exhaustive()
    }
}

fn log_failure(end: &TurnEnd, told: &str) {
    match end {
        TurnEnd::Refused(error) | TurnEnd::Lost(error) => {
            tracing::warn!(%error, cause = ?std::error::Error::source(error).map(ToString::to_string), told);
        }
        TurnEnd::Ended {
            error: Some(error),
            reason,
            ..
        } => tracing::warn!(
            reason = reason.as_wire(),
            error = error.message,
            detail = error.detail,
            told
        ),
        TurnEnd::Ended { .. } | TurnEnd::Silent => tracing::info!(told),
    }
}
