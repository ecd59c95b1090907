//! `/_fake/…`.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::server::Server;

#[tokio::test]
async fn agents_and_tools_are_put_there() {
    let server = Server::start().await;
    let agent = json!({"id": "agent-x", "name": "A / B", "tools": ["dice"]});
    let dice = json!({"name": "dice", "output": "rolled 4", "requires_approval": false, "takes": 0.0});
    server.control(Method::POST, "_fake/tools", &dice).await;
    server.control(Method::POST, "_fake/agents", &agent).await;
    let (_, found) = server.get("v1/agents/agent-x?include=agent.tools").await;
    assert_eq!(found["name"], "A / B");
    let (_, answer) = server
        .send(
            Method::POST,
            "v1/agents/agent-x/messages",
            &json!({"input": "[tool:dice]"}),
        )
        .await;
    assert_eq!(answer["messages"][2]["content"], "tool dice returned: rolled 4");
    let both = json!({"name": "x", "output": "a", "error": "b"});
    assert_eq!(
        server.send(Method::POST, "_fake/tools", &both).await.0,
        StatusCode::BAD_REQUEST
    );
    server.stop().await;
}

#[tokio::test]
async fn replies_are_scripted() {
    let server = Server::start().await;
    let script = json!({"agent": "agent-001", "replies": [{"say": "Sunny."}]});
    server.control(Method::POST, "_fake/script", &script).await;
    let (_, answer) = server
        .send(
            Method::POST,
            "v1/agents/agent-001/messages",
            &json!({"input": "x"}),
        )
        .await;
    assert_eq!(answer["messages"][0]["content"], "Sunny.");
    server.stop().await;
}

#[tokio::test]
async fn faults_are_planned_listed_and_forgotten() {
    let server = Server::start().await;
    let faults =
        json!([{"method": "get_agent", "fail": "server"}, {"method": "count_agents", "fail": "forbidden"}]);
    server.control(Method::POST, "_fake/faults", &faults).await;
    assert_eq!(server.get("v1/agents/count").await.0, StatusCode::FORBIDDEN);
    assert_eq!(
        server.get("_fake/faults").await.1.as_array().map(Vec::len),
        Some(1)
    );
    server.control(Method::DELETE, "_fake/faults", &Value::Null).await;
    assert_eq!(server.get("v1/agents/agent-001").await.0, StatusCode::OK);
    let (status, body) = server
        .send(
            Method::POST,
            "_fake/faults",
            &json!({"method": "sned", "fail": "server"}),
        )
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["error"]["message"].as_str().unwrap().contains("sned"));

    let wire = json!({"method": "GET", "path": "/v1/agents/*", "fault": {"json": {"status": 418, "body": {"a": 1}}}});
    server.control(Method::POST, "_fake/wire-faults", &wire).await;
    assert_eq!(
        server.get("v1/agents/").await,
        (StatusCode::IM_A_TEAPOT, json!({"a": 1}))
    );
    assert_eq!(
        server.get("v1/agents/").await.0,
        StatusCode::OK,
        "once, unless it says otherwise"
    );
    let always =
        json!({"method": "GET", "path": "/v1/tags/", "times": null, "fault": {"html": {"status": 503}}});
    server.control(Method::POST, "_fake/wire-faults", &always).await;
    for _ in 0..3 {
        let response = server.request(Method::GET, "v1/tags/").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    server.stop().await;
}

#[tokio::test]
async fn the_journal_tells_the_calls() {
    let server = Server::start().await;
    server.get("v1/agents/?limit=7").await;
    let (_, calls) = server.get("_fake/calls").await;
    assert_eq!(
        (&calls[0]["method"], &calls[0]["arguments"]["limit"]),
        (&json!("list_agents"), &json!(7))
    );
    server.control(Method::DELETE, "_fake/calls", &Value::Null).await;
    assert_eq!(server.get("_fake/calls").await.1, json!([]));
    server.stop().await;
}

#[tokio::test]
async fn the_server_crashes_and_comes_back() {
    let server = Server::start().await;
    server.control(Method::POST, "_fake/crash", &Value::Null).await;
    assert!(server.request(Method::GET, "v1/health/").send().await.is_err());
    assert_eq!(
        server.get("_fake/health").await.0,
        StatusCode::OK,
        "the control is no part of it"
    );
    server.control(Method::POST, "_fake/restart", &Value::Null).await;
    assert_eq!(server.get("v1/agents/count").await, (StatusCode::OK, json!(3)));
    server.stop().await;
}
