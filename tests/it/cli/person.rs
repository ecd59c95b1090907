//! Somebody who talks with an agent, and what the agent heard.

use letta_client::{AgentId, ConversationRef, HistoryItem, HistoryQuery, LettaApi};
use matrix_client::{
    Event, LoginRequest, MatrixApi, MatrixApiExt, Session,
    content::{self, Message},
    fake::{FakeMatrix, TEST_PASSWORD},
};
use ruma::{OwnedEventId, OwnedRoomId, OwnedTransactionId, OwnedUserId};

use super::{run::running::until, servers::Servers};

/// @admin in the room of an agent.
pub struct Person {
    room: OwnedRoomId,
    /// The agent's user.
    pub agent: OwnedUserId,
    matrix: FakeMatrix,
    session: Session,
}

impl Person {
    pub async fn in_the_room_of(agent: &str, matrix: &FakeMatrix) -> Self {
        let login = LoginRequest::with_password("admin", TEST_PASSWORD.into());
        let session = matrix.login(&login).await.unwrap();
        let mut rooms = matrix.rooms();
        rooms.retain(|room| room.name.as_deref() == Some(agent));
        let (room, agent) = (rooms[0].room_id.clone(), rooms[0].creator.clone());
        matrix.join_room(&session, (&*room).into(), &[]).await.unwrap();
        Self {
            matrix: matrix.clone(),
            session,
            room,
            agent,
        }
    }

    pub async fn says(&self, text: &str) -> OwnedEventId {
        let transaction: OwnedTransactionId = format!("person {text}").into();
        self.matrix
            .send_message(&self.session, &self.room, &transaction, &Message::text(text))
            .await
            .unwrap()
    }

    /// What the agent said, as a person sees it: without edits, each message as it is now.
    pub fn hears(&self) -> Vec<String> {
        let events = self.matrix.messages(&self.room);
        let by_agent: Vec<&Event> = events
            .iter()
            .filter(|event| event.sender != self.session.user_id)
            .collect();
        by_agent
            .iter()
            .filter(|event| content::edited_event(&event.content).is_none())
            .map(|event| {
                let edit = by_agent
                    .iter()
                    .rfind(|edit| content::edited_event(&edit.content) == Some(&event.event_id));
                let latest = edit.map_or(&event.content, |edit| &edit.content["m.new_content"]);
                latest["body"].as_str().unwrap_or_default().to_owned()
            })
            .collect()
    }

    pub async fn hears_at_last(&self, text: &str) {
        until(text, async || self.hears().iter().any(|heard| heard == text)).await;
    }
}

/// How often an agent heard this.
pub async fn times_heard(servers: &Servers, agent: &str, words: &str) -> usize {
    let of = ConversationRef::agent(AgentId::new(agent));
    let history = servers
        .letta
        .list_messages(&of, &HistoryQuery::default())
        .await
        .unwrap();
    history
        .messages
        .iter()
        .filter(|message| matches!(&message.item, HistoryItem::User { text, .. } if text.contains(words)))
        .count()
}
