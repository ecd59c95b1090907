//! `sync` and `doctor` where there is no application service: each user has an account.

use fake_servers::{Served, letta::LettaServer};
use letta_client::fake::FakeLetta;
use matrix_client::{
    MatrixApi, Registration, SharedSecretRegistration, SynapseAdminApi,
    fake::{FakeMatrix, RegistrationPolicy, RoomView},
};
use ruma::OwnedRoomId;
use serde_json::{Value, json};

use super::{
    program::{LETTA_TOKEN, Program},
    servers::now_ms,
};

const BOT_PASSWORD: &str = "not-a-real-secret-bot-password";
const ACCOUNT_KEY: &str = "not-a-real-secret-account-key-0123456789";
const REGISTRATION_TOKEN: &str = "not-a-real-secret-registration-token";
const SHARED_SECRET: &str = "not-a-real-secret-shared-secret";

const WAYS: [&str; 3] = ["open", "token", "shared-secret"];

pub struct Setup {
    pub matrix: FakeMatrix,
    pub program: Program,
    _served: [Served; 2],
}

impl Setup {
    /// A Letta with three agents, a homeserver without any application service on which users can be made in one way
    /// alone, and the bot's account.
    pub async fn new(way: &str) -> Self {
        let letta = FakeLetta::with_test_agents().with_token(LETTA_TOKEN);
        let builder = FakeMatrix::builder("matrix.test")
            .epoch_ms(now_ms())
            .shared_secret(SHARED_SECRET.into());
        let matrix = match way {
            "open" => builder,
            "token" => builder.registration(RegistrationPolicy::Token(REGISTRATION_TOKEN.into())),
            _ => builder.registration(RegistrationPolicy::Closed),
        }
        .build();
        let bot = SharedSecretRegistration::new("letta", BOT_PASSWORD.into()).inhibit_login();
        matrix
            .register_with_shared_secret(&SHARED_SECRET.into(), &bot)
            .await
            .unwrap();
        matrix.clear_journal();
        let served = [
            fake_servers::letta::spawn(LettaServer::new(letta)).await.unwrap(),
            fake_servers::matrix::spawn(matrix.clone()).await.unwrap(),
        ];
        let mut program = Program::new(served[0].base_url().as_str(), served[1].base_url().as_str());
        program.unset("MATRIX_AS_TOKEN");
        program.unset("MATRIX_HS_TOKEN");
        program.set("MATRIX_USERNAME", "letta");
        program.set("MATRIX_PASSWORD", BOT_PASSWORD);
        program.set("MATRIX_ACCOUNT_KEY", ACCOUNT_KEY);
        match way {
            "token" => program.set("MATRIX_REGISTRATION_TOKEN", REGISTRATION_TOKEN),
            "shared-secret" => program.set("MATRIX_REGISTRATION_SHARED_SECRET", SHARED_SECRET),
            _ => {}
        }
        Self {
            matrix,
            program,
            _served: served,
        }
    }

    async fn sync(&self) -> Value {
        let ran = self.program.run(&["sync", "--json"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.json()
    }

    /// The agents' rooms, each made by a user of its own and in the one space.
    fn rooms(&self) -> Vec<OwnedRoomId> {
        let (spaces, rooms): (Vec<_>, Vec<_>) = self.matrix.rooms().into_iter().partition(RoomView::is_space);
        assert_eq!((spaces.len(), rooms.len()), (1, 3));
        assert_eq!(spaces[0].creator, "@letta:matrix.test");
        let mut creators: Vec<_> = rooms.iter().map(|room| room.creator.as_str()).collect();
        creators.sort_unstable();
        creators.dedup();
        assert_eq!(creators.len(), 3, "{creators:?}");
        self.matrix.assert_invariants();
        rooms.into_iter().map(|room| room.room_id).collect()
    }

    fn lose_the_database(&self) {
        for name in self.program.files() {
            if name.contains(".db") {
                std::fs::remove_file(self.program.folder().join(name)).unwrap();
            }
        }
    }

    async fn doctor(&self) -> Value {
        self.program.run(&["doctor", "--json"]).await.json()
    }
}

/// How a check of doctor ended.
fn result<'a>(report: &'a Value, check: &str) -> &'a Value {
    let findings = report["checks"].as_array().unwrap_or_else(|| panic!("{report}"));
    findings
        .iter()
        .find(|finding| finding["check"] == check)
        .unwrap_or_else(|| panic!("no {check} in {report}"))
}

#[tokio::test]
async fn agents_come_home_without_an_application_service() {
    for way in WAYS {
        let setup = Setup::new(way).await;
        let report = setup.sync().await;
        assert_eq!(
            (&report["users_created"], &report["rooms_created"]),
            (&json!(3), &json!(3)),
            "{way}: {report}"
        );
        assert_eq!(setup.matrix.count("login"), 1, "{way}: the bot's");
        let rooms = setup.rooms();

        setup.matrix.clear_journal();
        let report = setup.sync().await;
        assert_eq!(report["requests"]["matrix"], 0, "{way}: {report}");
        assert_eq!(setup.matrix.call_count(), 0, "{way}: {:?}", setup.matrix.calls());

        setup.lose_the_database();
        let report = setup.sync().await;
        assert_eq!(
            (
                &report["users_created"],
                &report["rooms_created"],
                &report["adopted"]
            ),
            (&json!(0), &json!(0), &json!(4)),
            "{way}: {report}"
        );
        assert_eq!(setup.matrix.count("login"), 4, "{way}: one for each user");
        assert_eq!(setup.rooms(), rooms, "{way}");
        setup.matrix.clear_journal();
        setup.sync().await;
        assert_eq!(setup.matrix.call_count(), 0, "{way}");
    }
}

#[tokio::test]
async fn the_bot_may_be_named_in_full_and_the_mode_set_beside_a_token() {
    let mut setup = Setup::new("open").await;
    setup.program.set("MATRIX_USERNAME", "@letta:matrix.test");
    setup.program.set("MATRIX_AS_TOKEN", super::program::AS_TOKEN);
    setup.program.set("MATRIX_MODE", "accounts");
    setup.sync().await;
    setup.rooms();
}

#[tokio::test]
async fn a_wrong_password_of_the_bot_is_tried_once_and_names_the_settings() {
    let mut setup = Setup::new("open").await;
    setup
        .program
        .set("MATRIX_PASSWORD", "not-a-real-secret-and-wrong");
    let ran = setup.program.run(&["sync"]).await;
    ran.assert_could_not_run(&[
        "does not let @letta:matrix.test log in",
        "MATRIX_USERNAME (from the environment)",
        "MATRIX_PASSWORD (from the environment)",
    ]);
    assert_eq!((setup.matrix.count("login"), setup.matrix.call_count()), (1, 1));
    // The run itself checks for secrets.
    let ran = setup.program.run(&["sync", "-vvv"]).await;
    assert!(ran.stderr.contains("matrix.login"), "nothing was logged");
}

#[tokio::test]
async fn another_key_is_named_and_nothing_is_sent() {
    let mut setup = Setup::new("open").await;
    setup.sync().await;
    setup.matrix.clear_journal();
    setup
        .program
        .set("MATRIX_ACCOUNT_KEY", "not-a-real-secret-account-key-9876543210");
    let ran = setup.program.run(&["sync", "--check"]).await;
    ran.assert_could_not_run(&[
        "encrypted under another key",
        "MATRIX_ACCOUNT_KEY (from the environment)",
    ]);
    assert_eq!(setup.matrix.call_count(), 0);
}

#[tokio::test]
async fn what_is_missing_for_accounts_is_told_at_once() {
    let mut setup = Setup::new("open").await;
    setup.program.unset("MATRIX_PASSWORD");
    setup
        .program
        .set("MATRIX_ACCOUNT_KEY", "not-a-real-secret-and-short");
    setup.program.set("MATRIX_ACCOUNT_REGISTRATION", "shared-secret");
    let ran = setup.program.run(&["sync"]).await;
    ran.assert_could_not_run(&[
        "matrix.password is not set: set MATRIX_PASSWORD",
        "MATRIX_ACCOUNT_KEY (from the environment) is shorter than 32 characters",
        "openssl rand -hex 32",
        "matrix.registration_shared_secret is not set",
    ]);
    for (name, value, told) in [
        ("MATRIX_MODE", "both", "there are appservice and accounts"),
        (
            "MATRIX_ACCOUNT_REGISTRATION",
            "any",
            "there are open, token and shared-secret",
        ),
        (
            "MATRIX_USERNAME",
            "@letta:elsewhere.test",
            "and not a user of matrix.test",
        ),
        ("MATRIX_USERNAME", "Letta Bot", "cannot be part of a user's name"),
    ] {
        let mut setup = Setup::new("open").await;
        setup.program.set(name, value);
        setup
            .program
            .run(&["sync"])
            .await
            .assert_could_not_run(&[name, told]);
    }
    assert_eq!(setup.matrix.call_count(), 0);
}

#[tokio::test]
async fn an_account_that_is_somebody_elses_fails_alone() {
    let setup = Setup::new("open").await;
    let other = Registration::dummy("agent_002", "not-a-real-secret-of-another".into());
    setup.matrix.register(&other).await.unwrap();
    let ran = setup.program.run(&["sync", "--json"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let failed = ran.json()["failed"].clone();
    assert_eq!(failed.as_array().unwrap().len(), 1, "{failed}");
    assert_eq!(failed[0]["agent_id"], "agent-002");
    assert!(
        failed[0]["error"]
            .as_str()
            .unwrap()
            .contains("@agent_002:matrix.test exists and is not ours"),
        "{failed}"
    );
}

#[tokio::test]
async fn doctor_looks_without_logging_in() {
    for way in WAYS {
        let setup = Setup::new(way).await;
        let report = setup.doctor().await;
        assert_eq!(result(&report, "bot_account")["result"], "skipped", "{report}");
        setup.sync().await;
        setup.matrix.clear_journal();
        let report = setup.doctor().await;
        assert_eq!(result(&report, "bot_account")["result"], "ok", "{report}");
        assert_eq!(result(&report, "rooms")["result"], "ok", "{report}");
        let expected = if way == "shared-secret" { "skipped" } else { "ok" };
        assert_eq!(
            result(&report, "account_registration")["result"],
            expected,
            "{report}"
        );
        assert_eq!(
            setup.matrix.count("login") + setup.matrix.count("register"),
            0,
            "{way}"
        );
    }
}

#[tokio::test]
async fn doctor_names_the_setting_where_registration_is_closed() {
    let mut setup = Setup::new("shared-secret").await;
    setup.program.unset("MATRIX_REGISTRATION_SHARED_SECRET");
    let report = setup.doctor().await;
    let finding = result(&report, "account_registration");
    assert_eq!(finding["result"], "problem", "{report}");
    assert_eq!(
        finding["settings"],
        json!(["matrix.account_registration", "matrix.registration_shared_secret"])
    );
    // And says what sync would say.
    let ran = setup.program.run(&["sync", "--json"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let error = ran.json()["failed"][0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("Registration has been disabled"), "{error}");
}
