//! `doctor` between the served fakes: each test breaks one thing and reads what is said about it.

mod homeserver;
mod letta;
mod ping;
mod rooms;
mod settings;

use axum::{Router, http::HeaderValue, middleware::map_response, response::Response};
use fake_servers::{Served, letta::LettaServer};
use letta_client::fake::FakeLetta;
use matrix_client::fake::{FakeMatrix, FakeMatrixBuilder, test_registration};
use ruma::api::appservice::Registration;
use serde_json::{Value, json};

use super::program::{AS_TOKEN, HS_TOKEN, LETTA_TOKEN, Program, Ran};
use super::raw_server::closed_port;

/// The id that the settings expect unless told otherwise.
const ID: &str = "letta-matrix";

/// Servers at which nothing is wrong but what a test changes before they start.
struct Setup {
    letta: FakeLetta,
    homeserver: FakeMatrixBuilder,
    registration: Registration,
    /// What the servers say of the time, in place of the time.
    letta_date: Option<&'static str>,
    homeserver_date: Option<&'static str>,
    program: Program,
}

/// The same, running.
struct Running {
    matrix: FakeMatrix,
    program: Program,
    letta_url: String,
    homeserver_url: String,
    _served: [Served; 2],
}

impl Setup {
    async fn new() -> Self {
        let mut registration = test_registration("matrix.test");
        registration.id = ID.to_owned();
        registration.as_token = AS_TOKEN.to_owned();
        registration.hs_token = HS_TOKEN.to_owned();
        let mut program = Program::new("http://letta.test", "http://matrix.test");
        let listen = closed_port().await;
        program.set("LETTA_MATRIX_LISTEN", listen.trim_start_matches("http://"));
        program.set("LETTA_MATRIX_PERMISSIONS", "@admin:matrix.test=admin");
        Self {
            letta: FakeLetta::with_test_agents().with_token(LETTA_TOKEN),
            homeserver: FakeMatrix::builder("matrix.test"),
            registration,
            letta_date: None,
            homeserver_date: None,
            program,
        }
    }

    /// Where the program listens for the homeserver.
    fn listen_url(&self) -> String {
        format!("http://{}", self.program.get("LETTA_MATRIX_LISTEN"))
    }

    async fn start(mut self) -> Running {
        let matrix = self.homeserver.appservice(self.registration).build();
        matrix.add_user("admin");
        fake_servers::matrix::push_to_appservices(&matrix);
        let letta = fake_servers::letta::router(LettaServer::new(self.letta));
        let homeserver = fake_servers::matrix::router(matrix.clone());
        let served = [
            Served::spawn(dated(letta, self.letta_date)).await.unwrap(),
            Served::spawn(dated(homeserver, self.homeserver_date))
                .await
                .unwrap(),
        ];
        let [letta_url, homeserver_url] = [&served[0], &served[1]]
            .map(|served| served.base_url().as_str().trim_end_matches('/').to_owned());
        self.program.set("LETTA_API_URL", letta_url.as_str());
        self.program.set("MATRIX_HOMESERVER_URL", homeserver_url.as_str());
        Running {
            matrix,
            program: self.program,
            letta_url,
            homeserver_url,
            _served: served,
        }
    }
}

/// A server that has this time.
fn dated(router: Router, date: Option<&'static str>) -> Router {
    let Some(date) = date else { return router };
    router.layer(map_response(move |mut response: Response| async move {
        response
            .headers_mut()
            .insert("date", HeaderValue::from_static(date));
        response
    }))
}

impl Running {
    async fn doctor(&self) -> Diagnosis {
        Diagnosis::of(&self.program.run(&["doctor", "--json"]).await)
    }
}

/// What `doctor --json` printed.
#[derive(Debug)]
struct Diagnosis {
    code: i32,
    json: Value,
}

impl Diagnosis {
    #[track_caller]
    fn of(ran: &Ran) -> Self {
        assert_eq!(ran.stderr, "", "{ran:?}");
        Self {
            code: ran.code,
            json: ran.json(),
        }
    }

    /// The checks that ended like this.
    fn checks(&self, result: &str) -> Vec<&Value> {
        let checks = self.json["checks"].as_array().unwrap();
        checks.iter().filter(|check| check["result"] == result).collect()
    }

    #[track_caller]
    fn assert_all_well(&self) {
        assert_eq!(self.code, 0, "{self:#?}");
        assert_eq!(
            (self.checks("problem"), self.checks("warning")),
            (vec![], vec![]),
            "{self:#?}"
        );
    }

    /// That this, in these words, is the only problem, and that there are no warnings.
    #[track_caller]
    fn assert_only_problem(&self, check: &str, message: &str, settings: &[&str]) {
        assert_eq!((self.code, &self.json["problems"]), (1, &json!(1)), "{self:#?}");
        self.assert_only("problem", check, message, settings);
        assert_eq!(self.json["warnings"], 0, "{self:#?}");
    }

    /// That this, in these words, is the only warning, and that there are no problems.
    #[track_caller]
    fn assert_only_warning(&self, check: &str, message: &str, settings: &[&str]) {
        assert_eq!((self.code, &self.json["warnings"]), (0, &json!(1)), "{self:#?}");
        self.assert_only("warning", check, message, settings);
        assert_eq!(self.json["problems"], 0, "{self:#?}");
    }

    #[track_caller]
    fn assert_only(&self, result: &str, check: &str, message: &str, settings: &[&str]) {
        let found = self.checks(result);
        assert_eq!(found.len(), 1, "{self:#?}");
        assert_eq!(found[0]["check"], check);
        assert_eq!(found[0]["message"], message);
        assert_eq!(found[0]["settings"], json!(settings));
        assert!(found[0]["what_to_do"].is_string(), "{self:#?}");
    }

    #[track_caller]
    fn check(&self, name: &str) -> &Value {
        let checks = self.json["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|check| check["check"] == name)
            .unwrap_or_else(|| panic!("no {name} in {self:#?}"))
    }

    /// What is to be done about a check.
    #[track_caller]
    fn advice(&self, name: &str) -> &str {
        self.check(name)["what_to_do"].as_str().unwrap()
    }
}

#[tokio::test]
async fn all_is_well_and_nothing_is_changed() {
    let running = Setup::new().await.start().await;
    let users = running.matrix.users().len();
    let ran = running.program.run(&["doctor"]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let expected = format!(
        "ok       letta connection: Letta 0.16.8 answers at {letta}
ok       letta clock: Letta has the time that this machine has
ok       letta agents: Letta lets us in and lists 3 agents
ok       letta door: Letta refuses a token that it did not give out
ok       state: there is no state yet: the first sync makes letta-matrix.db
ok       homeserver connection: the homeserver answers at {homeserver} and speaks Matrix up to 1.15
ok       homeserver clock: the homeserver has the time that this machine has
ok       as token: {homeserver} takes us for @letta_bot:matrix.test
ok       sender: matrix.sender_localpart (its default) is that of the registration
ok       server name: the homeserver calls itself matrix.test
ok       user namespace: users named agent_… are ours to register
ok       user namespace exclusive: nobody else can register users named agent_…
ok       alias namespace: aliases named agent_… are ours to make
ok       space alias: #letta-agents:matrix.test is ours to make
ok       rate limit: 24 requests at once were not limited
ok       ping: the registration has no url, so nothing is pushed to us: enough for `letta-matrix sync`, and not for \
         conversations
ok       people invited: 1 person is to be invited to every room
ok       people permitted: LETTA_MATRIX_PERMISSIONS (from the environment) says who may talk with the agents
skipped  rooms: whether the homeserver encrypts new rooms shows in a room only: run doctor again after the first sync
All is well.
",
        letta = running.letta_url,
        homeserver = running.homeserver_url,
    );
    assert_eq!(ran.stdout, expected);
    assert_eq!(running.matrix.users().len(), users);
    assert!(running.matrix.rooms().is_empty() && running.matrix.aliases().is_empty());
    assert_eq!(running.program.files(), Vec::<String>::new());
}

#[tokio::test]
async fn findings_as_json_have_a_check_a_result_a_message_settings_and_advice() {
    let mut setup = Setup::new().await;
    setup.program.set("LETTA_TOKEN", "not-a-real-secret-wrong");
    let running = setup.start().await;
    let diagnosis = running.doctor().await;
    assert_eq!(
        diagnosis.check("letta_agents"),
        &json!({
            "check": "letta_agents",
            "result": "problem",
            "message": format!("LETTA_TOKEN (from the environment) was refused by {}: HTTP 401", running.letta_url),
            "settings": ["letta.token"],
            "what_to_do": "Set it to the password of the Letta server (its LETTA_SERVER_PASSWORD), or to an API key.",
        })
    );
    assert_eq!(
        diagnosis.check("server_name"),
        &json!({
            "check": "server_name", "result": "ok", "message": "the homeserver calls itself matrix.test",
            "settings": [], "what_to_do": null,
        })
    );
}

#[tokio::test]
async fn a_server_that_is_down_does_not_hide_what_is_wrong_with_the_other() {
    let mut setup = Setup::new().await;
    setup.program.set("MATRIX_AS_TOKEN", "not-a-real-secret-wrong");
    let mut running = setup.start().await;
    let closed = closed_port().await;
    running.program.set("LETTA_API_URL", closed.as_str());
    let diagnosis = running.doctor().await;
    assert_eq!((diagnosis.code, &diagnosis.json["problems"]), (1, &json!(2)));
    let letta = diagnosis.check("letta_connection")["message"].as_str().unwrap();
    assert!(
        letta.starts_with(&format!("the Letta server {closed} cannot be reached: ")),
        "{letta}"
    );
    assert_eq!(diagnosis.check("as_token")["result"], "problem");

    running.program.set("LETTA_API_URL", running.letta_url.as_str());
    running.program.set("MATRIX_HOMESERVER_URL", closed.as_str());
    running.program.set("LETTA_TOKEN", "not-a-real-secret-wrong");
    let diagnosis = running.doctor().await;
    assert_eq!((diagnosis.code, &diagnosis.json["problems"]), (1, &json!(2)));
    assert_eq!(diagnosis.check("letta_agents")["result"], "problem");
    let homeserver = diagnosis.check("homeserver_connection")["message"]
        .as_str()
        .unwrap();
    assert!(
        homeserver.starts_with(&format!("the homeserver {closed} cannot be reached: ")),
        "{homeserver}"
    );
}

#[tokio::test]
async fn settings_that_make_no_sense_keep_it_from_running() {
    let mut setup = Setup::new().await;
    setup.program.set("MATRIX_SERVER_NAME", "https://matrix.test");
    setup.program.set("LETTA_MATRIX_LISTEN", "8470");
    let ran = setup.program.run(&["doctor", "--json"]).await;
    ran.assert_could_not_run(&[
        "MATRIX_SERVER_NAME (from the environment) is \"https://matrix.test\", which is not a server name",
        "LETTA_MATRIX_LISTEN (from the environment) is \"8470\", which is not an address and a port such as",
    ]);
}
