//! The service on a real Synapse and a real Letta.

use std::collections::BTreeMap;

use letta_client::{LettaApi, NewAgent, http::HttpLetta};
use matrix_client::{Appservice, HttpMatrix, MatrixApi};
use ruma::{RoomAliasId, UserId};

use crate::{
    cli::{
        Program,
        run::running::{Running, WEBHOOK_SECRET, until},
    },
    support::{self, env, real_services},
};

#[tokio::test]
async fn a_webhook_brings_a_real_agent_home_and_the_service_stops_well() {
    if !real_services() {
        return;
    }
    let letta = HttpLetta::new(env("LETTA_API_URL"), Some(env("LETTA_TOKEN").into())).unwrap();
    let matrix = HttpMatrix::new(env("MATRIX_HOMESERVER_URL").parse().unwrap()).unwrap();
    let server_name = env("MATRIX_SERVER_NAME");
    let mut program = Program::new(&env("LETTA_API_URL"), &env("MATRIX_HOMESERVER_URL"));
    for name in [
        "LETTA_TOKEN",
        "MATRIX_SERVER_NAME",
        "MATRIX_AS_TOKEN",
        "MATRIX_HS_TOKEN",
        "LETTA_MATRIX_LISTEN",
    ] {
        program.set(name, env(name));
    }
    program.set("MATRIX_AGENT_SYNC_INTERVAL", "24h");
    let admin = format!("@{}:{server_name}=admin", env("MATRIX_ADMIN_USERNAME"));
    program.set("LETTA_MATRIX_PERMISSIONS", admin);
    // Other tests have agents of their own.
    let tag = format!("called-for-{}", std::process::id());
    program.set("LETTA_MATRIX_INCLUDE", format!("tag:{tag}"));
    let running = Running::start(&mut program).await;
    until("the first sync is done", async || {
        running.get("/ready").await.0 == 200
    })
    .await;

    let agent = NewAgent {
        tags: vec![tag],
        model: Some(support::model()),
        embedding: Some(support::embedding()),
        ..NewAgent::named("Called for")
    };
    let agent = letta.create_agent(&agent).await.unwrap();
    let (status, report) = running.webhook(WEBHOOK_SECRET, agent.id.as_str()).await;
    assert_eq!(status, 200, "{report}");
    assert!(report["rooms_created"].as_u64().unwrap() >= 1, "{report}");

    let localpart = agent_sync::agent_localpart("agent_", &agent.id, server_name.len());
    let user = UserId::parse(format!("@{localpart}:{server_name}")).unwrap();
    let alias = RoomAliasId::parse(format!("#{localpart}:{server_name}")).unwrap();
    let appservice = Appservice::new("letta-matrix", env("MATRIX_AS_TOKEN").into(), user.clone());
    let session = appservice.act_as(&user);
    let room = matrix.resolve_alias(&session, &alias).await.unwrap();
    let name = matrix
        .get_state_event(&session, &room, &"m.room.name".into(), "")
        .await
        .unwrap();
    assert_eq!(name["name"], "Called for");

    // Every room is read, and none needs mending.
    running.signal("HUP");
    until("the check is done", async || {
        running.log().contains("asked for by a signal")
    })
    .await;
    let (status, health) = running.get("/health/agent-provisioning").await;
    assert_eq!((status, &health["status"]), (200, &"healthy".into()), "{health}");
    let log = running.terminated().await;
    let counts: BTreeMap<_, _> = [" WARN ", " ERROR "]
        .map(|level| (level, log.matches(level).count()))
        .into();
    assert!(counts.values().all(|count| *count == 0), "{log}");
}
