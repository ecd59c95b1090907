//! The person at the terminal: an ordinary user of the homeserver, who knows nothing of the bridge.

use std::time::Duration;

use matrix_client::{
    Event, MatrixApi, MatrixApiExt, Result, Session, SyncRequest,
    content::Message,
    fake::FakeMatrix,
    ruma::{OwnedEventId, OwnedTransactionId, RoomId},
};

use super::servers::Servers;

/// How long the homeserver may wait for news before it answers without any.
const POLL: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Person {
    matrix: FakeMatrix,
    session: Session,
    since: String,
    sent: u64,
}

impl Person {
    /// Accepts all invitations: to the space and to the agents' rooms.
    pub(super) async fn join_everything(servers: &Servers) -> Result<Self> {
        let (matrix, session) = (servers.matrix.clone(), servers.person.clone());
        let first = matrix.sync(&session, &SyncRequest::initial()).await?;
        for room_id in first.invited.keys() {
            matrix.join_room(&session, (&**room_id).into(), &[]).await?;
        }
        let joined = matrix
            .sync(&session, &SyncRequest::since(first.next_batch))
            .await?;
        Ok(Self {
            matrix,
            session,
            since: joined.next_batch,
            sent: 0,
        })
    }

    /// Says something in a room.
    pub(super) async fn say(&mut self, room_id: &RoomId, text: &str) -> Result<OwnedEventId> {
        self.sent += 1;
        let transaction_id: OwnedTransactionId = format!("terminal-{}", self.sent).into();
        self.matrix
            .send_message(&self.session, room_id, &transaction_id, &Message::text(text))
            .await
    }

    /// What happened since the last time: waits for it, if `wait` is set and there is nothing. Events know their room.
    pub(super) async fn news(&mut self, wait: bool) -> Result<Vec<Event>> {
        let timeout = if wait { POLL } else { Duration::ZERO };
        let request = SyncRequest::since(self.since.clone()).timeout(timeout);
        let news = self.matrix.sync(&self.session, &request).await?;
        self.since = news.next_batch;
        let in_room = |(room_id, room): (_, matrix_client::JoinedRoom)| {
            let events = room.timeline.events.into_iter();
            events
                .map(|event| event.with_room(Clone::clone(&room_id)))
                .collect::<Vec<_>>()
        };
        Ok(news.joined.into_iter().flat_map(in_room).collect())
    }

    /// Whether this person did it.
    pub(super) fn did(&self, event: &Event) -> bool {
        event.sender == self.session.user_id
    }
}
