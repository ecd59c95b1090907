mod anything;
#[cfg(feature = "testing")]
mod conformance;
mod faults;
mod limits;
mod pushes;
mod quirks;

use std::time::Duration;

use ruma::{OwnedRoomId, OwnedTransactionId};
use secrecy::SecretString;

use super::*;
use crate::{
    MatrixApi, MatrixApiExt, MatrixErrorKind, NewRoom, Registration, RoomPreset, Session, content::Message,
};

/// A server with the tests' application service, and sessions of a person and an agent.
struct House {
    matrix: FakeMatrix,
    alice: Session,
    agent: Session,
}

impl House {
    fn new() -> Self {
        Self::with(FakeMatrix::builder("matrix.test").test_appservice())
    }

    fn with(builder: FakeMatrixBuilder) -> Self {
        let matrix = builder.build();
        let alice = matrix.add_user("alice");
        let agent = matrix.add_appservice_user(TEST_APPSERVICE_ID, "agent_1");
        let agent = matrix.test_appservice().act_as(&agent);
        Self { matrix, alice, agent }
    }

    /// A room of the agent, with alice in it.
    async fn room(&self) -> OwnedRoomId {
        let room = NewRoom::room()
            .preset(RoomPreset::PrivateChat)
            .invite([self.alice.user_id.clone()]);
        let room_id = self.matrix.create_room(&self.agent, &room).await.unwrap();
        self.matrix
            .join_room(&self.alice, (&*room_id).into(), &[])
            .await
            .unwrap();
        room_id
    }

    async fn say(&self, session: &Session, room_id: &ruma::RoomId, txn: &str) -> ruma::OwnedEventId {
        self.matrix
            .send_message(session, room_id, &transaction(txn), &Message::text(txn))
            .await
            .unwrap()
    }
}

fn transaction(id: &str) -> OwnedTransactionId {
    id.into()
}

fn password() -> SecretString {
    TEST_PASSWORD.into()
}
