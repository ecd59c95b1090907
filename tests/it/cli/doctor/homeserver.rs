//! What can be wrong with the homeserver and what it knows of us.

use matrix_client::fake::{RateLimits, RegistrationPolicy};
use ruma::api::appservice::Namespace;
use secrecy::ExposeSecret;
use serde_json::json;

use super::Setup;
use crate::cli::raw_server::{HTML, RawServer, answer, json as json_answer};

#[tokio::test]
async fn something_else_at_its_address_is_told() {
    for answer in [
        answer("200 OK", "text/html", HTML),
        json_answer(
            "404 Not Found",
            r#"{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}"#,
        ),
    ] {
        let server = RawServer::answering(answer).await;
        let mut running = Setup::new().await.start().await;
        running.program.set("MATRIX_HOMESERVER_URL", server.url.as_str());
        let diagnosis = running.doctor().await;
        assert_eq!(
            (diagnosis.code, &diagnosis.json["problems"]),
            (1, &json!(1)),
            "{diagnosis:#?}"
        );
        let check = diagnosis.check("homeserver_connection");
        let message = check["message"].as_str().unwrap();
        assert!(
            message.starts_with(&format!("{} does not answer as a homeserver does", server.url)),
            "{message}"
        );
        assert_eq!(check["settings"], json!(["matrix.homeserver_url"]));
    }
}

#[tokio::test]
async fn a_homeserver_of_the_time_before_matrix_1_is_told() {
    let server = RawServer::answering(json_answer("200 OK", r#"{"versions":["r0.5.0","r0.6.1"]}"#)).await;
    let mut running = Setup::new().await.start().await;
    running.program.set("MATRIX_HOMESERVER_URL", server.url.as_str());
    let diagnosis = running.doctor().await;
    assert_eq!(
        diagnosis.check("homeserver_connection")["message"],
        format!(
            "the homeserver {} is too old: it does not speak Matrix 1.1",
            server.url
        )
    );
    assert_eq!(diagnosis.code, 1);
}

#[tokio::test]
async fn a_wrong_token_is_told() {
    let mut setup = Setup::new().await;
    setup.program.set("MATRIX_AS_TOKEN", "not-a-real-secret-wrong");
    let running = setup.start().await;
    let diagnosis = running.doctor().await;
    diagnosis.assert_only_problem(
        "as_token",
        &format!(
            "MATRIX_AS_TOKEN (from the environment) was refused by {}: HTTP 401",
            running.homeserver_url
        ),
        &["matrix.as_token"],
    );
    assert_eq!(
        diagnosis.advice("as_token"),
        "It must be the as_token of the registration file, and the homeserver must have been restarted since that \
         file was installed."
    );
}

#[tokio::test]
async fn a_persons_token_is_told_apart() {
    let mut running = Setup::new().await.start().await;
    let ann = running.matrix.add_user("ann");
    running
        .program
        .set("MATRIX_AS_TOKEN", ann.token().expose_secret());
    running.doctor().await.assert_only_problem(
        "as_token",
        "MATRIX_AS_TOKEN (from the environment) is the access token of @ann:matrix.test, and not that of an \
         application service",
        &["matrix.as_token"],
    );
}

#[tokio::test]
async fn another_sender_is_told() {
    let mut setup = Setup::new().await;
    setup.program.set("MATRIX_SENDER_LOCALPART", "bridge");
    let diagnosis = setup.start().await.doctor().await;
    diagnosis.assert_only_problem(
        "sender",
        "the sender_localpart of the registration is letta_bot, and MATRIX_SENDER_LOCALPART (from the environment) \
         says bridge",
        &["matrix.sender_localpart"],
    );
    assert_eq!(
        diagnosis.advice("sender"),
        "Set MATRIX_SENDER_LOCALPART (from the environment) to letta_bot."
    );
}

#[tokio::test]
async fn another_server_name_is_told() {
    let mut setup = Setup::new().await;
    setup.program.set("MATRIX_SERVER_NAME", "example.org");
    setup.start().await.doctor().await.assert_only_problem(
        "server_name",
        "the homeserver calls itself matrix.test, and MATRIX_SERVER_NAME (from the environment) says example.org",
        &["matrix.server_name"],
    );
}

#[tokio::test]
async fn names_that_the_registration_does_not_cover_are_told() {
    let mut setup = Setup::new().await;
    setup.program.set("MATRIX_USER_PREFIX", "bot.");
    setup.program.set("LETTA_MATRIX_SPACE_ALIAS", "bots");
    let diagnosis = setup.start().await.doctor().await;
    assert_eq!(
        (diagnosis.code, &diagnosis.json["problems"]),
        (1, &json!(3)),
        "{diagnosis:#?}"
    );
    for (check, message, advice) in [
        (
            "user_namespace",
            "the homeserver does not let us register users named bot.…, as MATRIX_USER_PREFIX (from the environment) \
             says",
            r"Put { exclusive: true, regex: '^@bot\..*:matrix\.test$' } under namespaces, users in the registration",
        ),
        (
            "alias_namespace",
            "the homeserver does not let us make aliases named bot.…, as MATRIX_USER_PREFIX (from the environment) \
             says",
            r"Put { exclusive: true, regex: '^#bot\..*:matrix\.test$' } under namespaces, aliases in the registration",
        ),
        (
            "space_alias",
            "the homeserver does not let us make the space's alias #bots:matrix.test, as LETTA_MATRIX_SPACE_ALIAS \
             (from the environment) says",
            r"Put { exclusive: true, regex: '^#bots:matrix\.test$' } under namespaces, aliases in the registration",
        ),
    ] {
        assert_eq!(diagnosis.check(check)["message"], message);
        assert!(
            diagnosis.advice(check).starts_with(advice),
            "{}",
            diagnosis.advice(check)
        );
    }
}

#[tokio::test]
async fn a_namespace_that_is_not_exclusive_is_told() {
    let mut setup = Setup::new().await;
    setup.registration.namespaces.users[0].exclusive = false;
    let diagnosis = setup.start().await.doctor().await;
    diagnosis.assert_only_problem(
        "user_namespace_exclusive",
        "anybody can register a user named agent_… and so take the place of an agent",
        &["matrix.user_prefix"],
    );
}

#[tokio::test]
async fn where_nobody_registers_by_themselves_nobody_takes_an_agents_place() {
    let mut setup = Setup::new().await;
    setup.registration.namespaces.users[0].exclusive = false;
    setup.homeserver = setup.homeserver.registration(RegistrationPolicy::Closed);
    setup.start().await.doctor().await.assert_all_well();
}

#[tokio::test]
async fn namespaces_that_are_too_wide_are_told() {
    let mut setup = Setup::new().await;
    setup.registration.namespaces.users = vec![Namespace::new(true, "@.*".to_owned())];
    setup.start().await.doctor().await.assert_only_warning(
        "user_namespace_width",
        "the registration lets us act for users that are no agents: the namespace of users is wider than needed, and \
         so is the harm that a stolen token does",
        &["matrix.user_prefix"],
    );
    let mut setup = Setup::new().await;
    setup.registration.namespaces.aliases = vec![Namespace::new(true, "#.*".to_owned())];
    setup.start().await.doctor().await.assert_only_warning(
        "alias_namespace_width",
        "the registration lets us make aliases that are no agents': the namespace of aliases is wider than needed",
        &["matrix.user_prefix"],
    );
}

#[tokio::test]
async fn the_alias_of_a_space_that_is_there_is_left_alone() {
    let running = Setup::new().await.start().await;
    running.program.run(&["sync"]).await;
    std::fs::remove_file(running.program.folder().join("letta-matrix.db")).unwrap();
    let aliases = running.matrix.aliases();
    let diagnosis = running.doctor().await;
    diagnosis.assert_all_well();
    let space = running.matrix.spaces()[0].room_id.clone();
    assert_eq!(
        diagnosis.check("space_alias")["message"],
        format!(
            "#letta-agents:matrix.test leads to {space}; the first sync takes that room over if it is our space"
        )
    );
    assert_eq!(running.matrix.aliases(), aliases);
}

#[tokio::test]
async fn limits_that_were_not_lifted_are_told() {
    for rate_limited in [Some(true), None] {
        let mut setup = Setup::new().await;
        setup.homeserver = setup.homeserver.rate_limits(RateLimits::Synapse);
        setup.registration.rate_limited = rate_limited;
        let diagnosis = setup.start().await.doctor().await;
        diagnosis.assert_only_problem(
            "rate_limit",
            "the homeserver limits our requests: making the rooms of many agents takes hours",
            &[],
        );
        assert_eq!(
            diagnosis.advice("rate_limit"),
            "Write rate_limited: false into the registration file and restart the homeserver."
        );
    }
    let mut setup = Setup::new().await;
    setup.homeserver = setup.homeserver.rate_limits(RateLimits::Synapse);
    setup.start().await.doctor().await.assert_all_well();
}

#[tokio::test]
async fn a_clock_that_is_off_is_told() {
    let mut setup = Setup::new().await;
    setup.homeserver_date = Some("Fri, 31 Dec 2100 23:59:59 GMT");
    let diagnosis = setup.start().await.doctor().await;
    assert_eq!(
        (diagnosis.code, &diagnosis.json["problems"]),
        (1, &json!(1)),
        "{diagnosis:#?}"
    );
    let message = diagnosis.check("homeserver_clock")["message"].as_str().unwrap();
    assert!(
        message.starts_with("the clock of the homeserver is ") && message.contains(" days ahead of that"),
        "{message}"
    );
}

/// 0.0.0.0 leads to this machine and does not say so.
#[tokio::test]
async fn an_address_elsewhere_without_encryption_is_told() {
    let mut running = Setup::new().await.start().await;
    let url = running.homeserver_url.replace("127.0.0.1", "0.0.0.0");
    running.program.set("MATRIX_HOMESERVER_URL", url.as_str());
    running.doctor().await.assert_only_warning(
        "homeserver_encryption",
        &format!("{url} is not encrypted: whoever is on the way can read the token and every message"),
        &["matrix.homeserver_url"],
    );
}
