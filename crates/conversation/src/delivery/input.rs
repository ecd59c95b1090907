//! What the agent reads.

use letta_client::{
    ApprovalDecision, ContentPart, ConversationRef, LettaError, Result as LettaResult, TurnInput,
    TurnOptions, TurnStream,
};
use matrix_client::content;

use super::{Interrupted, Work, record::Task};
use crate::{
    decision::Forward,
    text::{self, Envelope, Quote, SenderKind},
};

impl Work<'_> {
    /// Hands what is to be done to Letta.
    pub(super) async fn hand_over(
        &mut self,
        to: &ConversationRef,
        options: &TurnOptions,
    ) -> Result<LettaResult<TurnStream>, Interrupted> {
        let letta = self.deliverer.letta.clone();
        match self.record.task.clone() {
            Task::Message(message) => {
                let input = self.input_of(&message).await;
                Ok(letta.send(to, &input, options).await)
            }
            Task::Decision {
                approval,
                approve,
                reason,
            } => {
                let Some(approval) = self.deliverer.find_approval(&approval).await? else {
                    return Ok(Err(LettaError::new(
                        letta_client::LettaErrorKind::InvalidRequest,
                        "there is no such request to decide on",
                    )));
                };
                let decisions: Vec<_> = approval
                    .calls
                    .iter()
                    .map(|call| ApprovalDecision {
                        call: call.id.clone().into(),
                        approve,
                        reason: reason.clone(),
                    })
                    .collect();
                Ok(letta.decide(to, &decisions, options).await)
            }
            Task::Order { .. } | Task::Join | Task::Leave | Task::Tell { .. } => Ok(Err(LettaError::new(
                letta_client::LettaErrorKind::InvalidRequest,
                "there is nothing to hand over",
            ))),
        }
    }

    async fn input_of(&self, message: &Forward) -> TurnInput {
        let otid = crate::ids::otid(&self.delivery.of.event_id, self.delivery.of.attempt);
        let attached = self.attached(message).await;
        let quote = self.quoted(message).await;
        let sender = &self.record.sender;
        let envelope = Envelope {
            sender,
            sender_name: None,
            room: &self.delivery.of.room_id,
            room_name: self.setting.room_name.as_deref(),
            kind: if message.from_agent {
                SenderKind::Agent { hops: message.hops }
            } else {
                SenderKind::Person
            },
            sent_at: self.record.sent_at,
            thread: message.thread.is_some(),
            in_reply_to: quote.as_ref().map(|(sender, text)| Quote { sender, text }),
            attachments: &attached.described,
        };
        let mut words = message.words.clone();
        if let Some(text) = &attached.text {
            words.push_str("\n\n");
            words.push_str(text);
        }
        let mut parts = vec![ContentPart::Text(text::wrap(&envelope, &words))];
        parts.extend(attached.images);
        TurnInput {
            otid,
            content: parts,
            name: Some(sender.localpart().to_owned()),
        }
    }

    /// What the message replies to, if that can be found out.
    async fn quoted(&self, message: &Forward) -> Option<(ruma::OwnedUserId, String)> {
        let event = self
            .setting
            .stage
            .get_event_patiently(message.reply_to.as_ref()?)
            .await
            .ok()?;
        let latest = event.content.get("m.new_content").unwrap_or(&event.content);
        let text = latest.get("body")?.as_str()?;
        (content::edited_event(&event.content).is_none()).then(|| (event.sender.clone(), text.to_owned()))
    }
}
