//! Planned faults, as a client meets them.

use std::time::Duration;

use letta_client::fake::{Fault, WireFault};
use letta_client::http::{HttpLetta, RetryPolicy};
use letta_client::{AgentInclude, AgentQuery, LettaApi, LettaErrorKind, NewAgent};
use reqwest::Method;
use serde_json::json;

use super::server::Server;

async fn listing_fails_with(fault: WireFault) -> (LettaErrorKind, Option<u16>) {
    let server = Server::start().await;
    server.letta.plan_wire("GET", "/v1/agents/", Some(1), fault);
    let client = server.client();
    let error = client
        .list_agents(&AgentQuery::default())
        .await
        .expect_err("a fault");
    client
        .list_agents(&AgentQuery::default())
        .await
        .expect("the fault strikes once");
    drop(client);
    server.stop().await;
    (error.kind().clone(), error.status())
}

#[tokio::test]
async fn a_proxys_page_is_told_by_its_status() {
    let page = |status| listing_fails_with(WireFault::Html { status });
    assert_eq!(page(502).await, (LettaErrorKind::Server, Some(502)));
    assert_eq!(page(200).await.0, LettaErrorKind::NotLetta);
    assert_eq!(page(404).await.0, LettaErrorKind::NotLetta);
}

#[tokio::test]
async fn half_a_body_is_an_interruption() {
    assert_eq!(
        listing_fails_with(WireFault::HalfBody).await.0,
        LettaErrorKind::Interrupted
    );
    assert_eq!(
        listing_fails_with(WireFault::CutAfter { bytes: 10 }).await.0,
        LettaErrorKind::Interrupted
    );
}

#[tokio::test]
async fn a_redirection_elsewhere_is_not_followed() {
    let to = "http://127.0.0.1:1/elsewhere";
    let (kind, _) = listing_fails_with(WireFault::Redirect {
        status: 302,
        to: to.to_owned(),
    })
    .await;
    // Only where to: a path may hold secrets.
    let to = "http://127.0.0.1:1".to_owned();
    assert_eq!(kind, LettaErrorKind::Redirected { to });
}

#[tokio::test]
async fn a_huge_page_is_not_read_to_its_end() {
    let (kind, status) = listing_fails_with(WireFault::HugeBody {
        status: 500,
        bytes: 10_000_000,
    })
    .await;
    assert_eq!((kind, status), (LettaErrorKind::Server, Some(500)));
}

#[tokio::test]
async fn a_json_body_of_the_tests_own_is_sent_as_it_is() {
    let fault = WireFault::Json {
        status: 200,
        body: json!({"agents": "none"}),
    };
    assert_eq!(listing_fails_with(fault).await.0, LettaErrorKind::Decode);
}

#[tokio::test]
async fn a_closed_connection_gives_no_status() {
    let (kind, status) = listing_fails_with(WireFault::Close).await;
    assert!(
        matches!(kind, LettaErrorKind::Connect | LettaErrorKind::Interrupted),
        "{kind:?}"
    );
    assert_eq!(status, None);
}

#[tokio::test]
async fn a_stalled_answer_times_out_and_a_shorter_stall_does_not() {
    let server = Server::start().await;
    let client = HttpLetta::builder(server.served.base_url().as_str())
        .retry(RetryPolicy::none())
        .answer_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    for (stall, ends_well) in [
        (Duration::from_secs(3600), false),
        (Duration::from_millis(20), true),
    ] {
        server
            .letta
            .plan_wire("GET", "/v1/agents/agent-001", Some(1), WireFault::Stall(stall));
        let got = client
            .get_agent(&"agent-001".into(), AgentInclude::default())
            .await;
        match got {
            Ok(_) => assert!(ends_well),
            Err(error) => assert!(
                !ends_well && *error.kind() == LettaErrorKind::Timeout,
                "{error:?}"
            ),
        }
    }
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_stream_is_cut_where_it_is_planned() {
    let server = Server::start().await;
    server.letta.plan_wire(
        "POST",
        "/v1/agents/*",
        Some(1),
        WireFault::CutAfter { bytes: 100 },
    );
    let body = json!({"input": "hi", "streaming": true});
    let mut response = server
        .post(Method::POST, "v1/agents/agent-001/messages", &body)
        .await;
    let mut length = 0;
    let broken = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => length += chunk.len(),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert_eq!((length, broken), (100, true));
    server.letta.plan(Fault::on("send").break_stream_after(1));
    let mut response = server
        .post(Method::POST, "v1/agents/agent-001/messages", &body)
        .await;
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        text.extend_from_slice(&chunk);
    }
    assert_eq!(
        String::from_utf8(text).unwrap().matches("\n\n").count(),
        1,
        "one event came"
    );
    server.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_its_effect() {
    let server = Server::start().await;
    let client = HttpLetta::builder(server.served.base_url().as_str())
        .retry(RetryPolicy::none())
        .answer_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    for kind in [LettaErrorKind::Timeout, LettaErrorKind::Interrupted] {
        server
            .letta
            .plan(Fault::on("create_agent").fail_after(kind.clone()));
        let before = server.letta.agent_ids().len();
        let error = client
            .create_agent(&NewAgent::named("New"))
            .await
            .expect_err("a fault");
        assert_eq!(*error.kind(), kind);
        assert!(error.may_have_applied());
        assert_eq!(server.letta.agent_ids().len(), before + 1);
    }
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn refusals_keep_their_kind_over_the_wire() {
    let server = Server::start().await;
    let client = server.client();
    for kind in [
        LettaErrorKind::Unauthorized,
        LettaErrorKind::Forbidden,
        LettaErrorKind::RateLimited,
        LettaErrorKind::Server,
        LettaErrorKind::TooLarge,
        LettaErrorKind::Redirected {
            to: "http://127.0.0.1:1".to_owned(),
        },
    ] {
        server.letta.fail_next("list_agents", kind.clone());
        let error = client
            .list_agents(&AgentQuery::default())
            .await
            .expect_err("a fault");
        assert_eq!(*error.kind(), kind);
    }
    server
        .letta
        .plan(Fault::on("list_agents").rate_limit(Duration::from_millis(2500)));
    let error = client
        .list_agents(&AgentQuery::default())
        .await
        .expect_err("a fault");
    assert_eq!(
        error.retry_after(),
        Some(Duration::from_secs(3)),
        "whole seconds, rounded up"
    );
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_is_down_closes_its_connections() {
    let server = Server::start().await;
    let client = server.client();
    server.letta.down();
    assert!(client.health().await.expect_err("down").status().is_none());
    server.letta.up();
    client.health().await.expect("up again");
    drop(client);
    server.stop().await;
}
