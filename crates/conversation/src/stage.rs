//! Where a delivery plays: a room, and the agent's user in it.

mod speakers;

use std::{sync::Arc, time::Duration};

use matrix_client::{
    MatrixApi, MatrixError, MatrixErrorKind, Media, MessageLikeEventType, ReceiptThread, ReceiptType,
    Session, Upload,
};
use ruma::{EventId, OwnedEventId, OwnedMxcUri, OwnedRoomId, OwnedTransactionId, OwnedUserId, TransactionId};
use serde_json::{Value, json};

pub(crate) use self::speakers::Speakers;

/// How long somebody shows as typing unless that is said again.
pub(crate) const TYPING_FOR: Duration = Duration::from_secs(30);

/// The pause before the second try, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often something is read before it is done without, and the longest pause between: others wait for it.
const MAX_READS: u32 = 3;
const LONGEST_READ_PAUSE: Duration = Duration::from_secs(5);

/// Why something could not be done in a room.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    /// The homeserver refused.
    #[error("the homeserver refused")]
    Matrix(#[source] MatrixError),
    /// There is no session for the user.
    #[error("there is no session for the user")]
    Account(#[source] accounts::AccountError),
}

impl StageError {
    /// Whether the same can succeed later.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Matrix(error) | Self::Account(accounts::AccountError::Matrix(error)) => {
                error.is_retryable() || matches!(error.kind(), MatrixErrorKind::Unauthorized { .. })
            }
            Self::Account(accounts::AccountError::Store(_) | accounts::AccountError::LoginLoop { .. }) => {
                true
            }
            Self::Account(_) => false,
        }
    }

    /// Whether a file is larger than it may be.
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self, Self::Matrix(error) if matches!(error.kind(), MatrixErrorKind::BodyTooLarge { .. }))
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Matrix(error) | Self::Account(accounts::AccountError::Matrix(error)) => error.retry_after(),
            Self::Account(_) => None,
        }
    }

    /// Why, in words for the log.
    pub(crate) fn cause(&self) -> String {
        match self {
            Self::Matrix(error) => error.to_string(),
            Self::Account(error) => error.to_string(),
        }
    }
}

/// A room and one of our users in it.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) matrix: Arc<dyn MatrixApi>,
    pub(crate) speakers: Arc<Speakers>,
    pub(crate) room_id: OwnedRoomId,
    pub(crate) user_id: OwnedUserId,
}

impl Stage {
    /// Says something, once.
    pub(crate) async fn say(
        &self,
        transaction_id: &TransactionId,
        content: &Value,
    ) -> Result<OwnedEventId, StageError> {
        self.send(&MessageLikeEventType::RoomMessage, transaction_id, content)
            .await
    }

    async fn send(
        &self,
        event_type: &MessageLikeEventType,
        transaction_id: &TransactionId,
        content: &Value,
    ) -> Result<OwnedEventId, StageError> {
        self.as_user(|session| async move {
            self.matrix
                .send_message_event(&session, &self.room_id, event_type, transaction_id, content)
                .await
        })
        .await
    }

    /// Says something, however long the homeserver is away. What it refuses for good is an error.
    pub(crate) async fn say_at_last(
        &self,
        transaction_id: &OwnedTransactionId,
        content: &Value,
    ) -> Result<OwnedEventId, StageError> {
        at_last(|| self.say(transaction_id, content)).await
    }

    /// Reacts to an event. That it has this reaction already is fine.
    pub(crate) async fn react(
        &self,
        transaction_id: &TransactionId,
        event_id: &EventId,
        key: &str,
    ) -> Result<(), StageError> {
        let content = matrix_client::content::reaction(event_id, key);
        match self
            .send(&MessageLikeEventType::Reaction, transaction_id, &content)
            .await
        {
            Err(StageError::Matrix(error)) if *error.kind() == MatrixErrorKind::DuplicateAnnotation => Ok(()),
            other => other.map(drop),
        }
    }

    /// Shows that the agent is at work, or (`false`) no longer. Nobody minds if that fails.
    pub(crate) async fn show_typing(&self, is_typing: bool) {
        let typing = is_typing.then_some(TYPING_FOR);
        let shown = self
            .as_user(|session| async move { self.matrix.set_typing(&session, &self.room_id, typing).await })
            .await;
        if let Err(error) = shown {
            tracing::debug!(cause = error.cause(), "cannot show that the agent is typing");
        }
    }

    /// Shows that the agent has a message. Nobody minds if that fails.
    pub(crate) async fn mark_read(&self, event_id: &EventId) {
        let marked = self
            .as_user(|session| async move {
                let (kind, thread) = (ReceiptType::Read, ReceiptThread::Unthreaded);
                self.matrix
                    .send_receipt(&session, &self.room_id, event_id, &kind, &thread)
                    .await
            })
            .await;
        if let Err(error) = marked {
            tracing::debug!(cause = error.cause(), "cannot show that a message was read");
        }
    }

    /// One event of the room.
    pub(crate) async fn get_event(&self, event_id: &EventId) -> Result<matrix_client::Event, StageError> {
        self.as_user(|session| async move { self.matrix.get_event(&session, &self.room_id, event_id).await })
            .await
    }

    /// The same, with a few more tries when the homeserver is away for a moment.
    pub(crate) async fn get_event_patiently(
        &self,
        event_id: &EventId,
    ) -> Result<matrix_client::Event, StageError> {
        let mut tries = 1;
        loop {
            match self.get_event(event_id).await {
                Err(error) if error.is_retryable() && tries < MAX_READS => {
                    tries += 1;
                    let wait = error.retry_after().unwrap_or(FIRST_PAUSE);
                    tokio::time::sleep(wait.min(LONGEST_READ_PAUSE)).await;
                }
                known => return known,
            }
        }
    }

    /// A file that somebody sent. A homeserver that is away is waited for, but not for long.
    pub(crate) async fn download(&self, file: &matrix_client::Download) -> Result<Media, StageError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let downloaded = self
                .as_user(|session| async move { self.matrix.download_media(&session, file).await })
                .await;
            match downloaded {
                Err(error) if error.is_retryable() && pause < LONGEST_PAUSE => {
                    tokio::time::sleep(error.retry_after().unwrap_or(pause)).await;
                    pause *= 2;
                }
                known => return known,
            }
        }
    }

    /// Puts a file where everybody in the room can get it, however long the homeserver is away.
    pub(crate) async fn upload_at_last(&self, upload: &Upload) -> Result<OwnedMxcUri, StageError> {
        at_last(|| self.as_user(|session| async move { self.matrix.upload_media(&session, upload).await }))
            .await
    }

    /// Does something as the user. A session that is refused is replaced once.
    pub(crate) async fn as_user<T, F>(&self, call: impl Fn(Session) -> F) -> Result<T, StageError>
    where
        F: Future<Output = Result<T, MatrixError>>,
    {
        let session = self.speakers.session(&self.user_id).await?;
        match call(session.clone()).await {
            Err(error) if self.speakers.replaces(&session, &error).await? => {
                let session = self.speakers.session(&self.user_id).await?;
                call(session).await.map_err(StageError::Matrix)
            }
            result => result.map_err(StageError::Matrix),
        }
    }
}

/// Does something, however long the homeserver is away. What it refuses for good is an error.
async fn at_last<T, F>(call: impl Fn() -> F) -> Result<T, StageError>
where
    F: Future<Output = Result<T, StageError>>,
{
    let mut pause = FIRST_PAUSE;
    let mut is_told = false;
    loop {
        let error = match call().await {
            Ok(done) => {
                if is_told {
                    tracing::info!("what was to be said is in the room now");
                }
                return Ok(done);
            }
            Err(error) if !error.is_retryable() => return Err(error),
            Err(error) => error,
        };
        let wait = error.retry_after().unwrap_or(pause).max(FIRST_PAUSE);
        if pause >= LONGEST_PAUSE && !is_told {
            is_told = true;
            tracing::warn!(
                cause = error.cause(),
                "the homeserver does not take what is to be said: waiting"
            );
        }
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The content of an edit: the new content of an event, and what clients without edits show.
pub(crate) fn edit_of(event_id: &EventId, content: &Value) -> Value {
    let mut new_content = content.clone();
    if let Some(fields) = new_content.as_object_mut() {
        // An edit keeps the relation of what it edits.
        fields.remove("m.relates_to");
    }
    let mut edit = new_content.clone();
    for field in ["body", "formatted_body"] {
        if let Some(text) = edit.get(field).and_then(Value::as_str) {
            edit[field] = format!("* {text}").into();
        }
    }
    // Whom the new content mentions was notified before.
    edit["m.mentions"] = json!({});
    edit["m.new_content"] = new_content;
    edit["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": event_id });
    edit
}

#[cfg(test)]
mod tests {
    use matrix_client::content::{Message, edited_event};
    use ruma::event_id;

    use super::*;

    #[test]
    fn an_edit_is_what_ruma_makes_of_it() {
        let message = Message::html("new", "<b>new</b>");
        let edit = edit_of(event_id!("$old"), &message.to_content());
        assert_eq!(edit, message.edit_of(event_id!("$old")).to_content());
    }

    #[test]
    fn an_edit_keeps_fields_of_ours_and_drops_the_relation() {
        let mut content = Message::text("new").reply_to(event_id!("$that")).to_content();
        content["dev.letta-matrix.hops"] = 1.into();
        let edit = edit_of(event_id!("$old"), &content);
        assert_eq!(edited_event(&edit), Some(event_id!("$old")));
        assert_eq!(edit["m.new_content"]["dev.letta-matrix.hops"], 1);
        assert_eq!(edit["m.new_content"].get("m.relates_to"), None);
    }
}
