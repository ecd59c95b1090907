//! Everything that was ever said.

use std::collections::{BTreeMap, HashMap};

use super::{
    message::{Message, Part},
    refusal::Refusal,
    state::State,
};
use crate::{AgentId, ConversationId, LettaErrorKind};

/// All messages of all agents, in the order in which they were saved.
#[derive(Debug, Default)]
pub(super) struct Messages {
    by_place: BTreeMap<u64, Message>,
    places: HashMap<String, u64>,
    next: u64,
}

impl Messages {
    pub(super) fn save(&mut self, message: Message) {
        self.next += 1;
        self.places.insert(message.id.clone(), self.next);
        self.by_place.insert(self.next, message);
    }

    pub(super) fn get(&self, id: &str) -> Option<&Message> {
        self.by_place.get(self.places.get(id)?)
    }

    /// Oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.by_place.values()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Message) -> bool) {
        self.by_place.retain(|_, message| keep(message));
        self.places.retain(|_, place| self.by_place.contains_key(place));
    }
}

/// Which of an agent's messages to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum InConversation {
    /// Those of all its conversations.
    #[default]
    Any,
    /// Those of its default conversation.
    Default,
    /// Those of this one.
    Of(ConversationId),
}

/// A stretch of messages: `limit`, `before` and `after` of the listing endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stretch {
    /// `limit`: absent is 100.
    pub limit: Option<usize>,
    /// `before`: only messages older than this one.
    pub before: Option<String>,
    /// `after`: only messages newer than this one.
    pub after: Option<String>,
    /// `order=asc`: the oldest of the stretch instead of the newest, when there are more than `limit`.
    pub oldest: bool,
}

impl State {
    /// An agent's messages, oldest first whatever the order asked for.
    pub(super) fn agent_messages(
        &self,
        agent: &AgentId,
        conversation: &InConversation,
        stretch: &Stretch,
    ) -> Result<Vec<&Message>, Refusal> {
        self.check_agent_id(agent)?;
        self.agent(agent)
            .map_err(|_| Refusal::detail(404, LettaErrorKind::NotFound, "Agent not found"))?;
        let cursor = |id: &Option<String>| match id {
            None => Ok(None),
            Some(id) => match self.messages.places.get(id) {
                Some(place) => Ok(Some(*place)),
                None => Err(Refusal::detail(
                    404,
                    LettaErrorKind::NotFound,
                    format!("No message found with id '{id}' for agent '{agent}'."),
                )),
            },
        };
        let (after, before) = (cursor(&stretch.after)?, cursor(&stretch.before)?);
        let found = self.messages.by_place.iter().filter(|(place, message)| {
            after.is_none_or(|after| **place > after)
                && before.is_none_or(|before| **place < before)
                && message.agent == *agent
                && match conversation {
                    InConversation::Any => true,
                    InConversation::Default => message.conversation.is_none(),
                    InConversation::Of(id) => message.conversation.as_ref() == Some(id),
                }
        });
        Ok(cut(found.map(|(_, message)| message).collect(), stretch))
    }

    /// A conversation's messages, oldest first. The server looks up neither the conversation nor the cursors: what
    /// does not exist has no messages, and bounds nothing.
    pub(super) fn conversation_messages(&self, id: &ConversationId, stretch: &Stretch) -> Vec<&Message> {
        let all: Vec<&Message> = self
            .messages
            .iter()
            .filter(|message| message.conversation.as_ref() == Some(id))
            .collect();
        let place = |cursor: &Option<String>| {
            let cursor = cursor.as_ref()?;
            all.iter().position(|message| message.id == *cursor)
        };
        let from = place(&stretch.after).map_or(0, |place| place + 1);
        let to = place(&stretch.before).unwrap_or(all.len());
        cut(all.get(from..to).unwrap_or_default().to_vec(), stretch)
    }
}

/// The newest (or oldest) `limit` of these.
fn cut<'a>(mut messages: Vec<&'a Message>, stretch: &Stretch) -> Vec<&'a Message> {
    let limit = stretch.limit.unwrap_or(100);
    if stretch.oldest {
        messages.truncate(limit);
    } else {
        messages.drain(..messages.len().saturating_sub(limit));
    }
    messages
}

/// The parts of these messages, in order.
pub(super) fn parts(messages: &[&Message]) -> Vec<Part> {
    messages.iter().flat_map(|message| message.parts()).collect()
}
