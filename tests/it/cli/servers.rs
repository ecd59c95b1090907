//! A Letta server and a homeserver over HTTP, and the program set up for them.

use std::{
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

use fake_servers::{Served, letta::LettaServer};
use letta_client::fake::FakeLetta;
use matrix_client::fake::{FakeMatrix, TEST_APPSERVICE_ID, test_registration};
use ruma::{OwnedRoomId, RoomId};
use store::{Clock, SystemClock};

use super::program::{AS_TOKEN, HS_TOKEN, LETTA_TOKEN, Program};

/// The time, for a homeserver of today.
pub fn now_ms() -> u64 {
    SystemClock.now().as_millisecond().try_into().unwrap()
}

/// An address that nobody listens at. Its port is none that the system gives out by itself.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let of_process = u16::try_from(std::process::id() % 12_000).unwrap();
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (of_process + next) % 12_000;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

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
        let listen = free_address();
        registration.url = Some(format!("http://{listen}"));
        let matrix = FakeMatrix::builder("matrix.test")
            .epoch_ms(now_ms())
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
        program.set("LETTA_MATRIX_PERMISSIONS", "@admin:matrix.test=admin");
        program.set("MATRIX_APPSERVICE_ID", TEST_APPSERVICE_ID);
        program.set("LETTA_MATRIX_LISTEN", listen.to_string());
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

    /// The same, where there is a space besides that is not ours.
    #[track_caller]
    pub fn assert_everyone_is_at_home_beside(&self, other: &RoomId) {
        let agents = self.letta.agent_ids().len();
        let mut spaces = self.matrix.spaces();
        spaces.retain(|space| space.room_id != other);
        assert_eq!(
            (self.rooms().len(), spaces.len()),
            (agents, 1),
            "rooms and spaces"
        );
        assert_eq!(spaces[0].children.len(), agents);
        self.matrix.assert_invariants();
    }
}
