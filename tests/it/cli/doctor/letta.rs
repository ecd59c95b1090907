//! What can be wrong with Letta.

use letta_client::fake::FakeLetta;

use super::{LETTA_TOKEN, Setup};
use crate::cli::raw_server::{HTML, RawServer, answer, json};

#[tokio::test]
async fn a_token_that_is_missing_is_told() {
    let mut setup = Setup::new().await;
    setup.program.unset("LETTA_TOKEN");
    let running = setup.start().await;
    let diagnosis = running.doctor().await;
    diagnosis.assert_only_problem(
        "letta_agents",
        &format!(
            "{} asks for a token, and none is set: HTTP 401",
            running.letta_url
        ),
        &["letta.token"],
    );
    assert_eq!(
        diagnosis.advice("letta_agents"),
        "Set LETTA_TOKEN (letta.token in the file) to the password of the Letta server."
    );
}

#[tokio::test]
async fn a_letta_that_lets_everybody_in_is_told() {
    let mut setup = Setup::new().await;
    setup.letta = FakeLetta::with_test_agents();
    let running = setup.start().await;
    let diagnosis = running.doctor().await;
    diagnosis.assert_only_warning(
        "letta_door",
        &format!(
            "{} lets everybody in: it took a token that we made up. Whoever can reach it can read and change every \
             agent and run their tools",
            running.letta_url
        ),
        &["letta.token"],
    );
    assert_eq!(
        diagnosis.advice("letta_door"),
        "Start Letta with --secure (SECURE=true in a container) and a LETTA_SERVER_PASSWORD, and set LETTA_TOKEN \
         (from the environment) to that password."
    );
}

#[tokio::test]
async fn a_letta_without_agents_is_well() {
    let mut setup = Setup::new().await;
    setup.letta = FakeLetta::new().with_token(LETTA_TOKEN);
    let diagnosis = setup.start().await.doctor().await;
    diagnosis.assert_all_well();
    assert_eq!(
        diagnosis.check("letta_agents")["message"],
        "Letta lets us in and lists no agents yet"
    );
}

#[tokio::test]
async fn something_else_at_its_address_is_told() {
    for (answer, expected) in [
        (
            answer("200 OK", "text/html", HTML),
            "does not answer as a Letta server does",
        ),
        (
            answer("404 Not Found", "text/html", HTML),
            "does not answer as a Letta server does",
        ),
        (
            json("404 Not Found", r#"{"detail":"Not Found"}"#),
            "does not answer as a Letta server does",
        ),
        (json("503 Service Unavailable", "{}"), "failed"),
    ] {
        let server = RawServer::answering(answer).await;
        let mut running = Setup::new().await.start().await;
        running.program.set("LETTA_API_URL", server.url.as_str());
        let diagnosis = running.doctor().await;
        assert_eq!(
            (diagnosis.code, &diagnosis.json["problems"]),
            (1, &1.into()),
            "{diagnosis:#?}"
        );
        let check = diagnosis.check("letta_connection");
        let message = check["message"].as_str().unwrap();
        assert!(
            message.contains(&server.url) && message.contains(expected),
            "{message}"
        );
        assert_eq!(check["settings"], serde_json::json!(["letta.url"]));
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_told() {
    let mut setup = Setup::new().await;
    setup.letta_date = Some("Sat, 01 Jan 2000 00:00:00 GMT");
    let diagnosis = setup.start().await.doctor().await;
    assert_eq!(
        (diagnosis.code, &diagnosis.json["problems"]),
        (1, &1.into()),
        "{diagnosis:#?}"
    );
    let message = diagnosis.check("letta_clock")["message"].as_str().unwrap();
    assert!(
        message.starts_with("the clock of Letta is ")
            && message.ends_with(" days behind that of this machine"),
        "{message}"
    );
}

/// 0.0.0.0 leads to this machine and does not say so.
#[tokio::test]
async fn an_address_elsewhere_without_encryption_is_told() {
    let mut running = Setup::new().await.start().await;
    let url = running.letta_url.replace("127.0.0.1", "0.0.0.0");
    running.program.set("LETTA_API_URL", url.as_str());
    let diagnosis = running.doctor().await;
    diagnosis.assert_only_warning(
        "letta_encryption",
        &format!("{url} is not encrypted: whoever is on the way can read the token and every conversation"),
        &["letta.url"],
    );
}
