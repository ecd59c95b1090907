//! What the answers look like on the wire.

use letta_client::fake::FakeLetta;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::server::{Server, json};
use crate::letta::LettaServer;

#[tokio::test]
async fn health_needs_no_token_and_everything_else_does() {
    let server = Server::of(LettaServer::new(
        FakeLetta::with_test_agents().with_token("fake-token"),
    ))
    .await;
    for path in ["v1/health/", "v1/ready/"] {
        assert_eq!(
            server.get(path).await,
            (StatusCode::OK, json!({"version": "0.16.8", "status": "ok"}))
        );
    }
    let unauthorized = (StatusCode::UNAUTHORIZED, json!({"detail": "Unauthorized"}));
    assert_eq!(server.get("v1/agents/count").await, unauthorized);
    let with = |name: &'static str, value: &'static str| {
        server
            .request(Method::GET, "v1/agents/count")
            .header(name, value)
            .send()
    };
    for (name, value, admitted) in [
        ("authorization", "Bearer fake-token", true),
        ("authorization", "Bearer other", false),
        ("x-bare-password", "password fake-token", true),
    ] {
        let (status, _) = json(with(name, value).await.unwrap()).await;
        assert_eq!(status.is_success(), admitted, "{name}: {value}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_path_without_its_slash_redirects_to_the_one_with_it() {
    let server = Server::start().await;
    for (path, to) in [
        ("v1/agents?limit=1", "v1/agents/?limit=1"),
        ("v1/health", "v1/health/"),
        ("v1/agents/count/", "v1/agents/count"),
    ] {
        let response = server.request(Method::GET, path).send().await.unwrap();
        let to = server.served.base_url().join(to).unwrap();
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT, "{path}");
        assert_eq!(response.headers()["location"], to.as_str(), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_told_from_what_is_not_modelled() {
    let server = Server::start().await;
    assert_eq!(
        server.get("v1/nothing").await,
        (StatusCode::NOT_FOUND, json!({"detail": "Not Found"}))
    );
    let (status, body) = server.send(Method::PUT, "v1/agents/count", &json!({})).await;
    assert_eq!(
        (status, body),
        (
            StatusCode::METHOD_NOT_ALLOWED,
            json!({"detail": "Method Not Allowed"})
        )
    );
    for (method, path) in [(Method::GET, "v1/blocks/"), (Method::POST, "v1/tools/")] {
        let (status, body) = server.send(method, path, &json!({})).await;
        assert_eq!(status, StatusCode::NOT_IMPLEMENTED);
        assert!(
            body["detail"].as_str().unwrap().contains("does not model"),
            "{body}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn agents_are_listed_page_by_page() {
    let server = Server::start().await;
    let (_, all) = server.get("v1/agents/?order=asc").await;
    let ids: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| agent["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["agent-001", "agent-002", "agent-sync-test"]);
    let (_, rest) = server.get("v1/agents/?order=asc&limit=1&after=agent-001").await;
    assert_eq!(rest[0]["id"], "agent-002");
    let (_, again) = server.get("v1/agents/?order=asc&limit=1&after=agent-gone").await;
    assert_eq!(
        again[0]["id"], "agent-001",
        "an unknown cursor starts from the beginning"
    );
    assert_eq!(server.get("v1/agents/count").await, (StatusCode::OK, json!(3)));
    let (status, body) = server.get("v1/agents/?limit=many").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        body,
        json!({"trace_id": "", "detail": "[{'type': 'int_parsing', 'loc': ('query', 'limit'), 'msg': 'Input should be a \
            valid integer, unable to parse string as an integer', 'input': 'many'}]"})
    );
    server.stop().await;
}

#[tokio::test]
async fn listings_can_come_wrapped() {
    let server = Server::of(LettaServer::new(FakeLetta::with_test_agents()).with_wrapped_lists()).await;
    let (_, body) = server.get("v1/agents/").await;
    assert_eq!(body["data"].as_array().map(Vec::len), Some(3));
    server
        .control(Method::PUT, "_fake/options", &json!({"wrapped_lists": false}))
        .await;
    assert!(server.get("v1/agents/").await.1.is_array());
    server.stop().await;
}

#[tokio::test]
async fn errors_have_the_servers_shapes() {
    let server = Server::of(LettaServer::new(FakeLetta::new())).await;
    let id = "agent-597b5756-2915-4560-ba6b-91005f085166";
    let (status, body) = server.get(&format!("v1/agents/{id}")).await;
    assert_eq!(
        (status, body),
        (
            StatusCode::NOT_FOUND,
            json!({"detail": format!("Agent with ID {id} not found")})
        )
    );
    let (status, body) = server.get("v1/agents/nope").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        body["examples"],
        json!(["agent-123e4567-e89b-42d3-8456-426614174000"])
    );
    let (status, body) = json(
        server
            .request(Method::POST, "v1/agents/")
            .body("{oops")
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        body["detail"]
            .as_str()
            .unwrap()
            .starts_with("[{'type': 'json_invalid', 'loc': ('body', 1)"),
        "{body}"
    );
    let (status, body) = json(server.request(Method::POST, "v1/agents/").send().await.unwrap()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(body["detail"].as_str().unwrap().contains("Field required"));
    server.stop().await;
}

#[tokio::test]
async fn a_message_is_answered_whole() {
    let server = Server::start().await;
    let (status, body) = server
        .send(
            Method::POST,
            "v1/agents/agent-001/messages",
            &json!({"input": "hello"}),
        )
        .await;
    assert_eq!(
        (status, &body["messages"][0]["content"]),
        (StatusCode::OK, &json!("echo: hello"))
    );
    assert_eq!(body["stop_reason"]["stop_reason"], "end_turn");
    let (status, body) = server
        .send(
            Method::POST,
            "v1/agents/agent-001/messages",
            &json!({"input": "[fail 429]"}),
        )
        .await;
    assert_eq!(
        (status, &body["error"]["type"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("llm_rate_limit"))
    );
    server.stop().await;
}

/// The payloads of a stream, and its last line.
async fn frames(server: &Server, path: &str, body: &Value) -> (Vec<Value>, String) {
    let response = server.post(Method::POST, path, body).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let text = response.text().await.unwrap();
    let payloads = text
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok());
    (
        payloads.collect(),
        text.trim_end().lines().last().unwrap_or_default().to_owned(),
    )
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["message_type"].as_str())
        .collect()
}

#[tokio::test]
async fn a_message_is_answered_in_a_stream() {
    let server = Server::start().await;
    let body = json!({"input": "hello there", "streaming": true, "stream_tokens": true});
    let (events, last) = frames(&server, "v1/agents/agent-001/messages", &body).await;
    assert_eq!(
        kinds(&events),
        [
            "ping",
            "assistant_message",
            "assistant_message",
            "assistant_message",
            "stop_reason",
            "usage_statistics",
        ]
    );
    assert_eq!(last, "data: [DONE]");
    let (events, _) = frames(
        &server,
        "v1/agents/agent-001/messages/stream",
        &json!({"input": "hi"}),
    )
    .await;
    assert_eq!(
        kinds(&events),
        ["ping", "assistant_message", "stop_reason", "usage_statistics"]
    );
    let (events, last) = frames(
        &server,
        "v1/agents/agent-001/messages/stream",
        &json!({"input": "[fail 401]"}),
    )
    .await;
    assert_eq!(kinds(&events), ["ping", "stop_reason", "error_message"]);
    assert_eq!(last, "data: [DONE]");
    server.stop().await;
}

#[tokio::test]
async fn clients_of_before_version_1_are_treated_as_such() {
    let server = Server::start().await;
    let old = |request: reqwest::RequestBuilder| request.header("user-agent", "curl/8.5.0").send();
    let body = json!({"input": "x", "streaming": true}).to_string();
    let response = old(server
        .request(Method::POST, "v1/agents/agent-001/messages")
        .body(body))
    .await
    .unwrap();
    let (status, body) = json(response).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        body,
        json!({"detail": "streaming=true is only supported for SDK v1.0+ clients."})
    );
    let (_, agent) = json(
        old(server.request(Method::GET, "v1/agents/agent-001"))
            .await
            .unwrap(),
    )
    .await;
    assert!(
        !agent["tools"].as_array().unwrap().is_empty(),
        "everything is included"
    );
    let (_, agent) = server.get("v1/agents/agent-001").await;
    assert_eq!(agent["tools"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn a_background_run_is_joined_again_by_its_number() {
    let server = Server::start().await;
    let body = json!({"input": "hi", "streaming": true, "background": true});
    let (events, _) = frames(&server, "v1/agents/agent-001/messages", &body).await;
    assert_eq!(
        (&events[0]["seq_id"], &events[1]["seq_id"]),
        (&json!(1), &json!(2))
    );
    let run = events[0]["run_id"].as_str().unwrap();
    let (rest, last) = frames(
        &server,
        &format!("v1/runs/{run}/stream"),
        &json!({"starting_after": 1}),
    )
    .await;
    assert_eq!(rest, events[1..]);
    assert_eq!(last, "data: [DONE]");
    let bare = server
        .request(Method::POST, &format!("v1/runs/{run}/stream"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        json(bare).await,
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            json!({"detail": "An unknown error occurred"})
        )
    );
    let (_, run) = server.get(&format!("v1/runs/{run}")).await;
    assert_eq!(
        (&run["status"], &run["background"]),
        (&json!("completed"), &json!(true))
    );
    let (_, runs) = server.get("v1/runs/?agent_id=agent-001&statuses=completed").await;
    assert_eq!(runs, json!([run]));
    assert_eq!(server.get("v1/runs/?active=true").await.1, json!([]));
    for limit in ["0", "1001"] {
        let (status, _) = server.get(&format!("v1/runs/?limit={limit}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{limit}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_conversation_has_its_own_history() {
    let server = Server::start().await;
    let (_, made) = server
        .send(
            Method::POST,
            "v1/conversations/?agent_id=agent-001",
            &json!({"summary": "s"}),
        )
        .await;
    let id = made["id"].as_str().unwrap();
    let (events, _) = frames(
        &server,
        &format!("v1/conversations/{id}/messages"),
        &json!({"input": "one"}),
    )
    .await;
    assert_eq!(events[1]["content"], "echo: one");
    frames(
        &server,
        "v1/conversations/default/messages",
        &json!({"input": "two", "agent_id": "agent-001"}),
    )
    .await;
    let texts = |listed: Value| -> Vec<String> {
        let with_text = listed
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["message_type"] != "system_message");
        with_text
            .map(|one| one["content"].as_str().unwrap().to_owned())
            .collect()
    };
    let (_, own) = server.get(&format!("v1/conversations/{id}/messages")).await;
    assert_eq!(texts(own), ["echo: one", "one"]);
    let (_, default) = server
        .get("v1/conversations/default/messages?agent_id=agent-001")
        .await;
    assert_eq!(texts(default), ["echo: two", "two"]);
    let (_, default) = server
        .get("v1/agents/agent-001/messages?conversation_id=default")
        .await;
    assert_eq!(texts(default), ["two", "echo: two"]);
    assert_eq!(
        server
            .get("v1/conversations/?agent_id=agent-001")
            .await
            .1
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    assert_eq!(
        server.send(Method::POST, "v1/conversations/", &json!({})).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let nobodys = "v1/conversations/default/messages";
    assert_eq!(server.get(nobodys).await, (StatusCode::OK, json!([])));
    let (status, _) = server.send(Method::POST, nobodys, &json!({"input": "x"})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let deleted = server
        .request(Method::DELETE, &format!("v1/conversations/{id}"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (deleted.status(), deleted.text().await.unwrap()),
        (StatusCode::OK, "null".to_owned())
    );
    assert_eq!(
        server.get(&format!("v1/conversations/{id}")).await.0,
        StatusCode::NOT_FOUND
    );
    server.stop().await;
}

#[tokio::test]
async fn an_approval_is_asked_for_and_given() {
    let server = Server::start().await;
    let path = "v1/agents/agent-001/tools/approval/conversation_search";
    let (status, _) = server.send(Method::PATCH, path, &json!({})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let set = server
        .send(Method::PATCH, path, &json!({"requires_approval": true}))
        .await;
    assert_eq!(set, (StatusCode::OK, Value::Null));
    let ask = json!({"input": "[tool:conversation_search {\"query\": \"x\"}]"});
    let (_, asked) = server
        .send(Method::POST, "v1/agents/agent-001/messages", &ask)
        .await;
    assert_eq!(asked["stop_reason"]["stop_reason"], "requires_approval");
    let (_, agent) = server
        .get("v1/agents/agent-001?include=agent.pending_approval")
        .await;
    assert_eq!(agent["pending_approval"]["id"], asked["messages"][0]["id"]);
    let (status, body) = server
        .send(
            Method::POST,
            "v1/agents/agent-001/messages",
            &json!({"input": "x"}),
        )
        .await;
    assert_eq!(
        (status, &body["detail"]["code"]),
        (StatusCode::CONFLICT, &json!("PENDING_APPROVAL"))
    );
    let call = &asked["messages"][0]["tool_call"]["tool_call_id"];
    let decision = json!({"type": "approval", "tool_call_id": call, "approve": true});
    let body = json!({"messages": [{"type": "approval", "approvals": [decision]}]});
    let (_, told) = server
        .send(Method::POST, "v1/agents/agent-001/messages", &body)
        .await;
    assert_eq!(told["stop_reason"]["stop_reason"], "end_turn");
    server.stop().await;
}
