//! Whether the homeserver reaches us.

use matrix_client::{MatrixApi, NewRoom};
use ruma::user_id;
use serde_json::json;
use tokio::net::TcpListener;

use super::{ID, Running, Setup};
use crate::cli::raw_server::{HTML, RawServer, answer, closed_port, json as json_answer};

/// A homeserver that calls us at this address; `None`: where we listen.
async fn called_at(url: Option<&str>) -> Running {
    let mut setup = Setup::new().await;
    setup.registration.url = Some(url.map_or_else(|| setup.listen_url(), ToOwned::to_owned));
    setup.start().await
}

fn listen(running: &Running) -> String {
    running.program.get("LETTA_MATRIX_LISTEN").to_owned()
}

#[tokio::test]
async fn a_homeserver_that_reaches_us_is_well() {
    let running = called_at(None).await;
    let diagnosis = running.doctor().await;
    diagnosis.assert_all_well();
    assert_eq!(
        diagnosis.check("ping")["message"],
        format!("the homeserver reaches us at {}", listen(&running))
    );
}

#[tokio::test]
async fn a_url_that_leads_nowhere_is_told() {
    let running = called_at(Some(&closed_port().await)).await;
    let diagnosis = running.doctor().await;
    assert_eq!(
        (diagnosis.code, &diagnosis.json["problems"]),
        (1, &json!(1)),
        "{diagnosis:#?}"
    );
    let message = diagnosis.check("ping")["message"].as_str().unwrap();
    assert!(
        message.starts_with("the homeserver cannot reach us under the url of the registration: "),
        "{message}"
    );
    assert_eq!(
        diagnosis.advice("ping"),
        format!(
            "The url of the registration file must lead to {}, where LETTA_MATRIX_LISTEN (from the environment) lets \
             the bridge listen. After a change restart the homeserver.",
            listen(&running)
        )
    );
}

#[tokio::test]
async fn a_url_that_leads_to_something_else_is_told() {
    let web_server = RawServer::answering(answer("404 Not Found", "text/html", HTML)).await;
    called_at(Some(&web_server.url))
        .await
        .doctor()
        .await
        .assert_only_problem(
            "ping",
            "the url of the registration leads to something that answers the homeserver with HTTP 404",
            &["listen"],
        );
    let another_bridge = RawServer::answering(json_answer("200 OK", "{}")).await;
    let running = called_at(Some(&another_bridge.url)).await;
    running.doctor().await.assert_only_problem(
        "ping",
        &format!(
            "the homeserver's call was answered, but not by us: the url of the registration leads elsewhere than to {}",
            listen(&running)
        ),
        &["listen"],
    );
}

#[tokio::test]
async fn a_bridge_at_work_answers_for_itself() {
    let bridge = RawServer::answering(json_answer("200 OK", "{}")).await;
    let mut running = called_at(Some(&bridge.url)).await;
    let address = bridge.url.trim_start_matches("http://").to_owned();
    running.program.set("LETTA_MATRIX_LISTEN", address.as_str());
    let diagnosis = running.doctor().await;
    diagnosis.assert_all_well();
    assert_eq!(
        diagnosis.check("ping")["message"],
        format!("the homeserver reaches what listens at {address}")
    );
}

#[tokio::test]
async fn another_hs_token_is_told() {
    let mut running = called_at(None).await;
    running.program.set("MATRIX_HS_TOKEN", "not-a-real-secret-wrong");
    running.doctor().await.assert_only_problem(
        "ping",
        "the homeserver reaches us and shows another hs_token than MATRIX_HS_TOKEN (from the environment) holds",
        &["matrix.hs_token"],
    );
}

#[tokio::test]
async fn an_hs_token_that_is_missing_is_told_where_it_will_be_needed() {
    let mut running = called_at(None).await;
    running.program.unset("MATRIX_HS_TOKEN");
    let diagnosis = running.doctor().await;
    diagnosis.assert_only_warning(
        "hs_token",
        "the homeserver pushes events to us, and without the hs_token nobody can tell that they are its own",
        &["matrix.hs_token"],
    );
    let mut running = Setup::new().await.start().await;
    running.program.unset("MATRIX_HS_TOKEN");
    running.doctor().await.assert_all_well();
}

#[tokio::test]
async fn another_id_is_told() {
    let mut running = called_at(None).await;
    running.program.set("MATRIX_APPSERVICE_ID", "another");
    running.doctor().await.assert_only_problem(
        "ping",
        "the id of the registration is not another, as MATRIX_APPSERVICE_ID (from the environment) says",
        &["matrix.appservice_id"],
    );
}

#[tokio::test]
async fn an_address_that_is_not_ours_is_told() {
    let mut running = called_at(None).await;
    // Of a network that is kept for documentation.
    running.program.set("LETTA_MATRIX_LISTEN", "192.0.2.1:8470");
    let diagnosis = running.doctor().await;
    assert_eq!(
        (diagnosis.code, &diagnosis.json["problems"]),
        (1, &json!(1)),
        "{diagnosis:#?}"
    );
    let message = diagnosis.check("ping")["message"].as_str().unwrap();
    assert!(
        message.starts_with("nothing can listen at 192.0.2.1:8470: "),
        "{message}"
    );
}

/// What the homeserver kept for the bridge while it was down stays there: the doctor does not take it.
#[tokio::test]
async fn events_that_wait_for_the_bridge_go_on_waiting() {
    let running = called_at(None).await;
    let admin = running.matrix.add_user("ann");
    running.matrix.add_appservice_user(ID, "agent_007");
    let invited = NewRoom::default().invite([user_id!("@agent_007:matrix.test").to_owned()]);
    running.matrix.create_room(&admin, &invited).await.unwrap();
    let waiting = running.matrix.backlog(ID);
    assert!(waiting > 0);
    running.doctor().await.assert_all_well();
    assert_eq!(running.matrix.backlog(ID), waiting);
    // The port is free again.
    TcpListener::bind(listen(&running)).await.unwrap();
}
