//! Letta servers that are none, are down, or do not want us.

use super::{
    program::Program,
    raw_server::{HTML, RawServer, answer, closed_port, cut, json, redirect},
};

const URL: &str = "LETTA_API_URL (from the environment)";

/// Runs a sync against such a server. The homeserver must not be asked, and nothing be known afterwards.
async fn assert_refused(letta: &str, expected: &[&str]) {
    let homeserver = RawServer::answering(json("500 Internal Server Error", "{}")).await;
    let program = Program::new(letta, &homeserver.url);
    for arguments in [&["sync"][..], &["sync", "--json"], &["sync", "--dry-run"]] {
        program.run(arguments).await.assert_could_not_run(expected);
    }
    assert_eq!(homeserver.requests(), 0);
    assert_eq!(
        program.run(&["status", "--json"]).await.json(),
        serde_json::json!([])
    );
}

async fn assert_answer_refused(answer: impl Into<Vec<u8>>, expected: &[&str]) {
    let letta = RawServer::answering(answer).await;
    assert_refused(&letta.url, &[expected, &[&letta.url]].concat()).await;
}

#[tokio::test]
async fn a_refused_token_is_named() {
    let refusal = json("401 Unauthorized", r#"{"detail":"Unauthorized"}"#);
    assert_answer_refused(
        refusal,
        &["LETTA_TOKEN (from the environment) was refused by", "HTTP 401"],
    )
    .await;
}

#[tokio::test]
async fn a_missing_token_is_asked_for() {
    let letta = RawServer::answering(json("401 Unauthorized", r#"{"detail":"Unauthorized"}"#)).await;
    let mut program = Program::new(&letta.url, &closed_port().await);
    program.unset("LETTA_TOKEN");
    program
        .run(&["sync"])
        .await
        .assert_could_not_run(&["asks for a token, and none is set", "Set LETTA_TOKEN"]);
}

#[tokio::test]
async fn a_server_that_is_down_names_its_address() {
    let url = closed_port().await;
    assert_refused(&url, &["cannot be reached", "connection refused", &url, URL]).await;
}

#[tokio::test]
async fn a_web_page_is_no_letta_server() {
    let page = answer("200 OK", "text/html", HTML);
    assert_answer_refused(page, &["does not answer as a Letta server does", URL]).await;
}

#[tokio::test]
async fn an_error_page_of_10_megabytes_makes_a_short_message() {
    let page = "<p>Sorry, sorry, sorry.</p>".repeat(400_000);
    assert_answer_refused(
        answer("500 Internal Server Error", "text/html", page),
        &["failed"],
    )
    .await;
}

#[tokio::test]
async fn a_web_page_of_10_megabytes_makes_a_short_message() {
    let page = "<p>Welcome, welcome, welcome.</p>".repeat(400_000);
    assert_answer_refused(
        answer("200 OK", "text/html", page),
        &["does not answer as a Letta server does", URL],
    )
    .await;
}

#[tokio::test]
async fn half_a_json_is_no_answer() {
    assert_answer_refused(
        json("200 OK", r#"[{"id":"agent-"#),
        &["does not answer as a Letta server does", URL],
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    assert_answer_refused(
        cut("application/json", r#"[{"id":"agent-"#),
        &["did not answer", URL],
    )
    .await;
}

#[tokio::test]
async fn json_of_something_else_is_no_answer() {
    assert_answer_refused(
        json("200 OK", r#"{"hello":"world"}"#),
        &["does not answer as a Letta server does", URL],
    )
    .await;
}

#[tokio::test]
async fn a_redirect_to_elsewhere_is_not_followed() {
    let elsewhere = RawServer::answering(json("200 OK", "[]")).await;
    let target = format!("{}/login", elsewhere.url);
    assert_answer_refused(
        redirect(&target),
        &["sends us to", &elsewhere.url, "put its address into", URL],
    )
    .await;
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn a_letta_server_without_agents_is_said_to_have_none() {
    let letta = RawServer::answering(json("200 OK", "[]")).await;
    let homeserver = RawServer::answering(json("500 Internal Server Error", "{}")).await;
    let program = Program::new(&letta.url, &homeserver.url);
    let ran = program.run(&["sync"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout
            .starts_with("Letta lists no agents: there is nothing to do."),
        "{ran:?}"
    );
    assert!(ran.stdout.contains(&letta.url), "{ran:?}");
    let report = program.run(&["sync", "--json"]).await.json();
    assert_eq!(
        (&report["agents"], &report["requests"]["matrix"]),
        (&0.into(), &0.into())
    );
    assert_eq!(homeserver.requests(), 0);
}
