//! The two servers: fakes, with a few agents that have a character each.

use std::{error::Error as StdError, io, net::SocketAddr, time::Duration};

use agent_sync::{RequestCounts, RequestMeter, SyncConfig};
use fake_servers::{Served, letta::LettaServer};
use letta_client::{
    LettaApi, NewAgent,
    fake::FakeLetta,
    llm::{Behaviour, Delays, LlmConfig},
};
use matrix_client::{
    Appservice, MatrixApi, Registration, Session,
    fake::{FakeMatrix, TEST_APPSERVICE_ID, test_registration},
    ruma::ServerName,
};
use store::{Clock, SystemClock};

/// The homeserver's name.
const SERVER_NAME: &str = "demo.local";
/// The person at the terminal.
const PERSON: &str = "you";
/// The person's password. Nobody else's: the homeserver dies with the program.
const PASSWORD: &str = "demo";

/// Names and characters of the agents.
const AGENTS: &[(&str, &str, &str)] = &[
    (
        "Ada",
        "Keeps the books",
        "I am Ada, a librarian who loves a good question and knows where the answer stands.",
    ),
    (
        "Basil",
        "Keeps the garden",
        "I am Basil, a gardener with dry humour and very patient hands.",
    ),
    (
        "Cleo",
        "Keeps watch at night",
        "I am Cleo, an astronomer who explains the sky to anybody who looks up.",
    ),
];

/// Both servers, and the person's account.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) letta: FakeLetta,
    pub(super) matrix: FakeMatrix,
    /// The person's session.
    pub(super) person: Session,
}

impl Servers {
    pub(super) async fn start() -> Result<Self, Box<dyn StdError>> {
        let now = SystemClock.now();
        let mut llm = LlmConfig::default();
        llm.behaviour = Behaviour::Assistant;
        llm.delays = Delays::new(Duration::from_millis(250), Duration::from_millis(350));
        let model = llm
            .models
            .first()
            .map(|model| format!("openai-proxy/{}", model.id));
        let letta = FakeLetta::new().with_epoch(now).with_llm(llm);
        for (name, description, persona) in AGENTS {
            letta
                .create_agent(&NewAgent {
                    description: Some((*description).to_owned()),
                    model: model.clone(),
                    memory_blocks: vec![("persona".to_owned(), (*persona).to_owned())],
                    ..NewAgent::named(*name)
                })
                .await?;
        }
        let matrix = FakeMatrix::builder(SERVER_NAME)
            .epoch_ms(u64::try_from(now.as_millisecond())?)
            .appservice(test_registration(SERVER_NAME))
            .build();
        let registered = matrix
            .register(&Registration::dummy(PERSON, PASSWORD.into()))
            .await?;
        let person = registered.session.ok_or("the homeserver made no session")?;
        Ok(Self {
            letta,
            matrix,
            person,
        })
    }

    pub(super) fn appservice(&self) -> Appservice {
        self.matrix.appservice(TEST_APPSERVICE_ID)
    }

    /// How the agents are to appear.
    pub(super) fn sync_config(&self) -> SyncConfig {
        let server_name = self.person.user_id.server_name();
        SyncConfig::new(ServerName::to_owned(server_name)).invite([self.person.user_id.clone()])
    }

    /// Serves the homeserver at this address, and Letta at the next port.
    pub(super) async fn serve(&self, address: SocketAddr) -> io::Result<ServedDemo> {
        let matrix = fake_servers::matrix::spawn_at(address, self.matrix.clone()).await?;
        let next_port = if address.port() == 0 {
            0
        } else {
            address.port().saturating_add(1)
        };
        let server = LettaServer::new(self.letta.clone());
        let letta = fake_servers::letta::spawn_at(SocketAddr::new(address.ip(), next_port), server).await?;
        Ok(ServedDemo { matrix, letta })
    }
}

/// The servers over HTTP, as long as this lives.
#[derive(Debug)]
pub(super) struct ServedDemo {
    matrix: Served,
    letta: Served,
}

impl ServedDemo {
    /// How to get in.
    pub(super) fn invitation(&self) -> String {
        format!(
            "For a Matrix client: homeserver {}, user {PERSON}, password {PASSWORD}. The Letta server is at {}.",
            self.matrix.base_url(),
            self.letta.base_url()
        )
    }
}

/// Counts the calls of the bridge. The person's calls are none of them.
#[derive(Debug)]
pub(super) struct CallMeter {
    letta: FakeLetta,
    matrix: FakeMatrix,
}

impl CallMeter {
    pub(super) fn new(servers: &Servers) -> Self {
        Self {
            letta: servers.letta.clone(),
            matrix: servers.matrix.clone(),
        }
    }
}

impl RequestMeter for CallMeter {
    fn requests(&self) -> RequestCounts {
        RequestCounts {
            matrix: self.matrix.call_count() as u64,
            letta: self.letta.calls().len() as u64,
        }
    }
}
