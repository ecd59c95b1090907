//! A Letta server and a homeserver over HTTP, and the program set up for them.

use fake_servers::{Served, letta::LettaServer};
use letta_client::fake::FakeLetta;
use matrix_client::fake::{FakeMatrix, test_registration};
use ruma::OwnedRoomId;

use super::program::{AS_TOKEN, HS_TOKEN, LETTA_TOKEN, Program};

pub struct Servers {
    pub letta: FakeLetta,
    pub matrix: FakeMatrix,
    pub program: Program,
    _served: [Served; 2],
}

impl Servers {
    /// With the three agents that all tests share; @admin is a person to be invited.
    pub async fn start() -> Self {
        Self::with(FakeLetta::with_test_agents()).await
    }

    pub async fn with(letta: FakeLetta) -> Self {
        let letta = letta.with_token(LETTA_TOKEN);
        let mut registration = test_registration("matrix.test");
        registration.as_token = AS_TOKEN.to_owned();
        registration.hs_token = HS_TOKEN.to_owned();
        let matrix = FakeMatrix::builder("matrix.test")
            .appservice(registration)
            .build();
        matrix.add_user("admin");
        let served = [
            fake_servers::letta::spawn(LettaServer::new(letta.clone()))
                .await
                .unwrap(),
            fake_servers::matrix::spawn(matrix.clone()).await.unwrap(),
        ];
        let mut program = Program::new(served[0].base_url().as_str(), served[1].base_url().as_str());
        program.set("LETTA_MATRIX_INVITE", "@admin:matrix.test");
        Self {
            letta,
            matrix,
            program,
            _served: served,
        }
    }

    /// The agents' rooms, without the space.
    pub fn rooms(&self) -> Vec<OwnedRoomId> {
        self.matrix
            .rooms()
            .into_iter()
            .filter(|room| !room.is_space())
            .map(|room| room.room_id)
            .collect()
    }

    /// That there is one room for every agent and one space with all of them, and nothing else.
    #[track_caller]
    pub fn assert_everyone_is_at_home(&self) {
        let agents = self.letta.agent_ids().len();
        let spaces = self.matrix.spaces();
        assert_eq!(
            (self.rooms().len(), spaces.len()),
            (agents, 1),
            "rooms and spaces"
        );
        assert_eq!(spaces[0].children.len(), agents);
        self.matrix.assert_invariants();
    }
}
