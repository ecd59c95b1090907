//! Putting an agent's earlier messages into its new room.

use letta_client::{ConversationRef, HistoryItem, HistoryMessage, HistoryQuery, LettaErrorKind, MessageId};
use matrix_client::{MessageLikeEventType, Session, content::Message};
use ruma::OwnedTransactionId;
use serde_json::{Value, json};
use store::{Binding, History};

use super::{Applier, StepError, room_of};
use crate::HISTORY_MARKER;

impl Applier<'_> {
    /// Sends what was said before, oldest first, each message under a transaction id made of Letta's id: what was sent
    /// and not written down is sent again under the same id.
    pub(super) async fn send_history(&self, ghost: &Session, binding: &mut Binding) -> Result<(), StepError> {
        let History::Pending { after, left } = binding.room.history.clone() else {
            return Ok(());
        };
        if left == 0 {
            binding.room.history = History::Done;
            return Ok(());
        }
        let query = HistoryQuery {
            limit: left,
            after: after.map(MessageId::new),
            ..HistoryQuery::default()
        };
        let of = ConversationRef::agent(binding.agent_id.clone());
        let page = match self.letta.list_messages(&of, &query).await {
            Ok(page) => page,
            // The message that we stopped at is gone: the rest is not worth guessing.
            Err(error) if *error.kind() == LettaErrorKind::NotFound => {
                binding.room.history = History::Done;
                return Ok(());
            }
            Err(error) => return Err(StepError::Letta(error)),
        };
        let room = room_of(binding)?.to_owned();
        let mut left = left;
        for message in &page.messages {
            let Some(content) = content(message) else { continue };
            self.matrix
                .send_message_event(
                    ghost,
                    &room,
                    &MessageLikeEventType::RoomMessage,
                    &transaction_id(binding, message),
                    &content,
                )
                .await
                .map_err(StepError::Matrix)?;
            left = left.saturating_sub(1);
            binding.room.history = History::Pending {
                after: Some(message.id.to_string()),
                left,
            };
            self.record(binding).await?;
        }
        binding.room.history = History::Done;
        Ok(())
    }
}

/// Application services share transaction ids among all their users, so it names the agent. A thought and the answer
/// of one step share an id, but only answers are sent.
fn transaction_id(binding: &Binding, message: &HistoryMessage) -> OwnedTransactionId {
    format!("history-{}-{}", binding.agent_id, message.id).into()
}

/// The message as the room shows it; `None` for what people do not need to see again.
fn content(message: &HistoryMessage) -> Option<Value> {
    let text = match &message.item {
        // Letta speaks to its agents in the user's name, in JSON or in tags.
        HistoryItem::User { text, .. } if text.starts_with(['{', '<']) => return None,
        HistoryItem::User { text, images } if text.is_empty() && *images > 0 => "» (a picture)".to_owned(),
        HistoryItem::User { text, .. } => format!("» {text}"),
        HistoryItem::Assistant { text } => text.clone(),
        _ => return None,
    };
    if text.trim().is_empty() {
        return None;
    }
    let mut content = Message::notice(text).to_content();
    content[HISTORY_MARKER] = json!({ "message_id": message.id, "date": message.date });
    Some(content)
}
