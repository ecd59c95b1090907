//! A Letta server, a homeserver, and a relay between them.

use std::sync::Arc;

use conversation::{BoundRoom, Directory, Outcome, Permissions, Relay, RelayError, Role};
use letta_client::fake::FakeLetta;
use matrix_client::{
    Event, LoginRequest, MatrixApi, Session,
    content::Message,
    fake::{FakeMatrix, TEST_PASSWORD},
};
use ruma::{OwnedRoomId, OwnedTransactionId, owned_room_id, owned_server_name, owned_user_id};
use serde_json::Value;

/// Agent Alpha's room `!testroom:matrix.test`, with Agent Alpha and @admin in it; and Agent Beta's.
pub struct World {
    pub letta: FakeLetta,
    pub matrix: FakeMatrix,
    pub admin: Session,
    pub relay: Relay,
    pub directory: Directory,
}

impl World {
    pub async fn new() -> Self {
        Self::with(FakeLetta::with_test_agents()).await
    }

    pub async fn with(letta: FakeLetta) -> Self {
        let matrix = FakeMatrix::with_test_data();
        let appservice = matrix.test_appservice();
        let beta = matrix.add_appservice_user(&appservice.id, "agent_002");
        matrix.add_room(beta_room().as_str(), "@admin:matrix.test", &[beta.as_str()]);
        let admin = matrix
            .login(&LoginRequest::with_password("admin", TEST_PASSWORD.into()))
            .await
            .unwrap();
        let mut permissions = Permissions::default();
        permissions.allow_server(owned_server_name!("matrix.test"), Role::Talk);
        let directory = Directory::new(appservice.sender.clone(), "agent_").with_rooms([
            BoundRoom {
                room_id: alpha_room(),
                agent_id: "agent-001".into(),
                agent_name: "Agent Alpha".to_owned(),
                agent_user: owned_user_id!("@agent_001:matrix.test"),
            },
            BoundRoom {
                room_id: beta_room(),
                agent_id: "agent-002".into(),
                agent_name: "Agent Beta".to_owned(),
                agent_user: beta,
            },
        ]);
        let relay = Relay::new(
            Arc::new(letta.clone()),
            Arc::new(matrix.clone()),
            appservice,
            permissions,
        );
        Self {
            letta,
            matrix,
            admin,
            relay,
            directory,
        }
    }

    /// @admin says something, and the homeserver has the event.
    pub async fn says(&self, room: &OwnedRoomId, message: &Message) -> Event {
        self.sends(room, "m.room.message", &message.to_content()).await
    }

    /// @admin sends something, and the homeserver has the event.
    pub async fn sends(&self, room: &OwnedRoomId, event_type: &str, content: &Value) -> Event {
        let transaction_id: OwnedTransactionId = self.matrix.timeline(room).len().to_string().into();
        let sent = self
            .matrix
            .send_message_event(&self.admin, room, &event_type.into(), &transaction_id, content)
            .await;
        let event = self
            .matrix
            .get_event(&self.admin, room, &sent.unwrap())
            .await
            .unwrap();
        event.with_room(room.clone())
    }

    pub async fn handle(&self, event: &Event) -> Result<Outcome, RelayError> {
        self.relay.handle(event, &self.directory).await
    }

    /// @admin says this in Agent Alpha's room, and the relay carries it.
    pub async fn talk(&self, text: &str) -> Outcome {
        let event = self.says(&alpha_room(), &Message::text(text)).await;
        self.handle(&event).await.unwrap()
    }

    /// What Agent Alpha said: message type and text.
    pub fn heard(&self) -> Vec<(String, String)> {
        self.heard_events()
            .iter()
            .map(|event| (text_of(event, "msgtype"), text_of(event, "body")))
            .collect()
    }

    /// What Agent Alpha said.
    pub fn heard_events(&self) -> Vec<Event> {
        let mut events = self.matrix.messages(&alpha_room());
        events.retain(|event| event.sender == "@agent_001:matrix.test");
        events
    }

    /// The one thing that Agent Alpha said, a notice.
    #[track_caller]
    pub fn one_notice(&self) -> String {
        match self.heard().as_slice() {
            [(kind, text)] if kind == "m.notice" => text.clone(),
            heard => panic!("not one notice: {heard:?}"),
        }
    }
}

fn text_of(event: &Event, field: &str) -> String {
    event.content[field].as_str().unwrap().to_owned()
}

pub fn alpha_room() -> OwnedRoomId {
    owned_room_id!("!testroom:matrix.test")
}

pub fn beta_room() -> OwnedRoomId {
    owned_room_id!("!beta:matrix.test")
}
