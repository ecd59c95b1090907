//! `fake`: the served fakes as programs.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
};

use letta_client::{AgentQuery, LettaApi, LettaErrorKind, http::HttpLetta};
use matrix_client::{HttpMatrix, MatrixApi, Registration};
use ruma::{OwnedUserId, owned_user_id};

use super::program::Program;

/// A fake that serves. Dropping it ends it.
pub struct Fake {
    child: Child,
    url: String,
    _program: Program,
}

impl Fake {
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_in(
            Program::new("http://127.0.0.1:1", "http://127.0.0.1:1"),
            arguments,
        )
    }

    fn start_in(program: Program, arguments: &[&str]) -> Self {
        let mut child = program
            .command()
            .arg("fake")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut url)
            .unwrap();
        let url = url.trim_end().to_owned();
        assert!(
            url.starts_with("http://127.0.0.1:"),
            "the first line is not the address: {url:?}"
        );
        Self {
            child,
            url,
            _program: program,
        }
    }

    /// Asks it to end, as a service manager would.
    #[cfg(unix)]
    fn stop(mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(
            std::process::Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap().code()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn get(url: String) -> serde_json::Value {
    serde_json::from_str(&reqwest::get(url).await.unwrap().text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_fake_letta_has_as_many_agents_as_wanted_behind_its_token() {
    let fake = Fake::start(&["letta", "--agents", "7", "--token", "not-a-real-token"]);
    let letta = HttpLetta::new(fake.url.as_str(), Some("not-a-real-token".into())).unwrap();
    let page = letta.list_agents(&AgentQuery::default()).await.unwrap();
    let names: Vec<String> = page.agents.into_iter().map(|agent| agent.name).collect();
    assert_eq!(names, (1..=7).map(|n| format!("Agent {n}")).collect::<Vec<_>>());
    let stranger = HttpLetta::new(fake.url.as_str(), None).unwrap();
    let error = stranger.list_agents(&AgentQuery::default()).await.unwrap_err();
    assert_eq!(error.kind(), &LettaErrorKind::Unauthorized);
}

#[tokio::test]
async fn a_fake_letta_can_start_with_what_all_tests_share() {
    let fake = Fake::start(&["letta", "--test-data", "--wrapped-lists"]);
    let listed = get(format!("{}/v1/agents/", fake.url)).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 3, "{listed}");
}

#[tokio::test]
async fn a_fake_homeserver_knows_the_registration_it_is_given() {
    let program = Program::new("http://127.0.0.1:1", "http://127.0.0.1:1");
    let registration = "id: mine\nurl: null\nas_token: 'not-a-real-as'\nhs_token: not-a-real-hs\n\
                        sender_localpart: bot\nnamespaces:\n  users:\n    - { exclusive: true, regex: '@my_.*:home\\.test' }\n";
    std::fs::write(program.folder().join("mine.yaml"), registration).unwrap();
    let fake = Fake::start_in(
        program,
        &[
            "matrix",
            "--server-name",
            "home.test",
            "--as-registration",
            "mine.yaml",
        ],
    );
    let matrix = HttpMatrix::new(fake.url.parse().unwrap()).unwrap();
    let made = matrix
        .register(&Registration::appservice("my_agent", "not-a-real-as".into()))
        .await
        .unwrap();
    assert_eq!(made.user_id, owned_user_id!("@my_agent:home.test"));
    let bot: OwnedUserId = owned_user_id!("@bot:home.test");
    let session =
        matrix_client::Appservice::new("mine", "not-a-real-as".into(), bot.clone()).sender_session();
    assert_eq!(matrix.whoami(&session).await.unwrap().user_id, bot);
}

#[tokio::test]
async fn a_registration_that_is_none_is_told_without_its_secrets() {
    let program = Program::new("http://127.0.0.1:1", "http://127.0.0.1:1");
    let namespaces = "namespaces:\n  users:\n    - { exclusive: true, regex: '@my_(.*' }\n";
    let all = format!(
        "id: a\nurl: null\nas_token: not-a-real-secret\nhs_token: b\nsender_localpart: c\n{namespaces}"
    );
    for (text, expected) in [
        (
            "id: a\nas_token: not-a-real-secret\n",
            "it is not the registration of an application service",
        ),
        (
            "as_token: [not-a-real-secret\n",
            "it is not the registration of an application service",
        ),
        (all.as_str(), "\"@my_(.*\" is not a regular expression"),
    ] {
        std::fs::write(program.folder().join("mine.yaml"), text).unwrap();
        let ran = program
            .run(&["fake", "matrix", "--as-registration", "mine.yaml"])
            .await;
        ran.assert_could_not_run(&["cannot use the registration mine.yaml", expected]);
    }
    let ran = program
        .run(&["fake", "matrix", "--as-registration", "missing.yaml"])
        .await;
    ran.assert_could_not_run(&["cannot use the registration missing.yaml: no such file"]);
}

#[tokio::test]
async fn a_fake_provider_offers_its_models() {
    let fake = Fake::start(&["llm", "--seed", "7"]);
    let models = get(format!("{}/v1/models", fake.url)).await;
    assert!(
        models["data"]
            .as_array()
            .unwrap()
            .iter()
            .any(|model| model["id"] == "fake-model"),
        "{models}"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn fakes_end_well_when_they_are_told_to() {
    for server in ["letta", "matrix", "llm"] {
        for signal in ["-INT", "-TERM"] {
            assert_eq!(Fake::start(&[server]).stop(signal), Some(0), "{server} {signal}");
        }
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let program = Program::new("http://127.0.0.1:1", "http://127.0.0.1:1");
    for arguments in [
        ["fake", "llm", "--listen", &address],
        ["fake", "matrix", "--listen", &address],
    ] {
        let ran = program.run(&arguments).await;
        ran.assert_could_not_run(&["cannot listen at", &address, "address already in use", "--listen"]);
    }
    let ran = program.run(&["demo", "--listen", &address]).await;
    ran.assert_could_not_run(&["cannot serve at", &address, "address already in use"]);
}
