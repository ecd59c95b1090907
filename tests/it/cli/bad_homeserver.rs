//! Homeservers that are none, are down, or do not want us.

use super::{
    program::Program,
    raw_server::{HTML, RawServer, answer, closed_port, cut, json, redirect},
};

const URL: &str = "MATRIX_HOMESERVER_URL (from the environment)";

async fn letta() -> RawServer {
    RawServer::answering(json("200 OK", r#"[{"id":"agent-001","name":"Agent Alpha"}]"#)).await
}

async fn assert_refused(homeserver: &str, expected: &[&str]) {
    let letta = letta().await;
    let program = Program::new(&letta.url, homeserver);
    program.run(&["sync"]).await.assert_could_not_run(expected);
    program
        .run(&["sync", "--json"])
        .await
        .assert_could_not_run(expected);
}

async fn assert_answer_refused(answer: impl Into<Vec<u8>>, expected: &[&str]) {
    let homeserver = RawServer::answering(answer).await;
    assert_refused(&homeserver.url, &[expected, &[&homeserver.url]].concat()).await;
}

#[tokio::test]
async fn a_refused_token_is_named() {
    let refusal = json(
        "401 Unauthorized",
        r#"{"errcode":"M_UNKNOWN_TOKEN","error":"Invalid access token passed.","soft_logout":false}"#,
    );
    assert_answer_refused(
        refusal,
        &[
            "MATRIX_AS_TOKEN (from the environment) was refused by",
            "HTTP 401",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_server_that_is_down_names_its_address() {
    let url = closed_port().await;
    assert_refused(&url, &["cannot be reached", &url, URL]).await;
}

#[tokio::test]
async fn a_web_page_is_no_homeserver() {
    for status in ["200 OK", "404 Not Found"] {
        let page = answer(status, "text/html", HTML);
        assert_answer_refused(
            page,
            &["does not answer as a homeserver does", "Welcome to nginx!", URL],
        )
        .await;
    }
}

#[tokio::test]
async fn an_error_page_of_10_megabytes_makes_a_short_message() {
    let page = "<p>Sorry, sorry, sorry.</p>".repeat(400_000);
    let page = answer("404 Not Found", "text/html", page);
    assert_answer_refused(page, &["does not answer as a homeserver does", URL]).await;
}

#[tokio::test]
async fn half_a_json_is_no_answer() {
    let half = json("200 OK", r#"{"room_id":"!testroom"#);
    assert_answer_refused(half, &["does not answer as a homeserver does", URL]).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    assert_answer_refused(
        cut("application/json", r#"{"room_id":"!test"#),
        &["did not answer", URL],
    )
    .await;
}

#[tokio::test]
async fn a_redirect_to_elsewhere_is_not_followed() {
    let elsewhere = RawServer::answering(json("200 OK", r#"{"room_id":"!testroom:matrix.test"}"#)).await;
    let host = elsewhere.url.trim_start_matches("http://");
    let target = format!("{}/_matrix/", elsewhere.url);
    assert_answer_refused(
        redirect(&target),
        &["sends us to", host, "put its address into", URL],
    )
    .await;
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn a_dry_run_asks_no_homeserver_and_writes_nothing() {
    let letta = letta().await;
    let homeserver = RawServer::answering(json("500 Internal Server Error", "{}")).await;
    let program = Program::new(&letta.url, &homeserver.url);
    let ran = program.run(&["sync", "--dry-run"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        ran.stdout,
        "make the space \"Letta Agents\" (#letta-agents:matrix.test)\n\
         Agent Alpha (agent-001) as @agent_001:matrix.test\n\
         \x20 register the user\n\
         \x20 set the display name \"Agent Alpha\"\n\
         \x20 make the room \"Agent Alpha\"\n\
         \x20 add the room to the space\n\
         1 agent to bring home, 0 at home already. Nothing was done.\n"
    );
    let plan = program.run(&["sync", "--dry-run", "--json"]).await.json();
    assert_eq!(plan["space"][0]["alias"], "#letta-agents:matrix.test");
    assert_eq!(plan["agents"][0]["user_id"], "@agent_001:matrix.test");
    assert_eq!(plan["agents"][0]["actions"][0]["action"], "register");
    assert_eq!(homeserver.requests(), 0);
    assert_eq!(program.files(), Vec::<String>::new());
}
