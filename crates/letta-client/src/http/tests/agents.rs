//! Listings in their shapes, and what requests look like on the wire.

use serde_json::{Value, json};

use super::server::{Scripted, json as reply, ok};
use crate::{
    AgentId, AgentInclude, AgentOrder, AgentQuery, AgentUpdate, Direction, LettaApi, LettaErrorKind, NewAgent,
};

fn names(page: &crate::AgentPage) -> Vec<&str> {
    page.agents.iter().map(|agent| agent.name.as_str()).collect()
}

#[tokio::test]
async fn a_real_listing_is_read() {
    let body: Value = serde_json::from_str(include_str!("../fixtures/agents.json")).unwrap();
    let count = body.as_array().unwrap().len();
    let server = Scripted::new([ok(&body)]).await;
    let page = server.client().list_agents(&AgentQuery::default()).await.unwrap();
    assert_eq!(page.agents.len(), count);
    assert_eq!(page.next, None);
    let agent = &page.agents[0];
    assert_eq!(body[0]["id"], agent.id.as_str());
    assert_eq!(body[0]["name"], agent.name);
    assert_eq!(agent.agent_type.as_deref(), Some("letta_v1_agent"));
    assert_eq!(agent.model.as_deref(), Some("openai-proxy/fake-model"));
    assert!(agent.created_at.is_some() && agent.updated_at.is_some());
}

#[tokio::test]
async fn both_shapes_of_a_listing_are_read() {
    let agents =
        json!([{"id": "agent-001", "name": "Agent Alpha"}, {"id": "agent-002", "name": "Agent Beta"}]);
    for body in [agents.clone(), json!({"data": agents, "total": 2})] {
        let server = Scripted::new([ok(&body)]).await;
        let query = AgentQuery {
            limit: 2,
            ..AgentQuery::default()
        };
        let page = server.client().list_agents(&query).await.unwrap();
        assert_eq!(names(&page), ["Agent Alpha", "Agent Beta"]);
        assert_eq!(page.next.unwrap().as_str(), "agent-002");
    }
}

#[tokio::test]
async fn entries_that_are_nothing_but_ids_are_looked_up() {
    let server = Scripted::new([
        ok(&json!({"data": ["agent-001", {"id": "agent-002", "name": "Agent Beta"}]})),
        ok(&json!({"id": "agent-001", "name": "Agent Alpha"})),
    ])
    .await;
    let page = server.client().list_agents(&AgentQuery::default()).await.unwrap();
    assert_eq!(names(&page), ["Agent Alpha", "Agent Beta"]);
    assert_eq!(server.lines()[1], "GET /v1/agents/agent-001");
}

#[tokio::test]
async fn an_agent_that_is_gone_when_looked_up_is_left_out() {
    let server = Scripted::new([
        ok(&json!([{"id": "agent-001"}])),
        reply(
            "404 Not Found",
            &json!({"detail": "Agent with ID agent-001 not found"}),
        ),
    ])
    .await;
    let query = AgentQuery {
        limit: 1,
        ..AgentQuery::default()
    };
    let page = server.client().list_agents(&query).await.unwrap();
    assert_eq!(names(&page), Vec::<&str>::new());
    assert_eq!(
        page.next.unwrap().as_str(),
        "agent-001",
        "the page was full all the same"
    );
}

#[tokio::test]
async fn an_empty_name_is_a_name() {
    let server = Scripted::new([ok(&json!([{"id": "agent-001", "name": ""}]))]).await;
    let letta = server.client();
    let page = letta.list_agents(&AgentQuery::default()).await.unwrap();
    assert_eq!(names(&page), [""]);
    assert_eq!(letta.requests(), 1);
}

#[tokio::test]
async fn a_listing_is_asked_for_as_the_server_understands_it() {
    let server = Scripted::new([ok(&json!([]))]).await;
    let letta = crate::http::HttpLetta::builder(format!("{}/letta/v1/", server.url))
        .token("not-a-real-token".into())
        .user_agent("test/1")
        .build()
        .unwrap();
    let query = AgentQuery {
        limit: 5000,
        after: Some(crate::AgentCursor::new("agent-9")),
        order_by: AgentOrder::UpdatedAt,
        direction: Direction::Descending,
        name: Some("a & b".to_owned()),
        query_text: Some("\u{e9}".to_owned()),
        tags: vec!["one".to_owned(), "two,three".to_owned()],
        match_all_tags: true,
        hidden: true,
        include: AgentInclude {
            tags: true,
            pending_approval: true,
        },
    };
    letta.list_agents(&query).await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!(
        seen.line,
        "GET /letta/v1/agents/?limit=1000&order_by=updated_at&order=desc&after=agent-9&name=a+%26+b&query_text=%C3%A9\
         &tags=one&tags=two%2Cthree&match_all_tags=true&show_hidden_agents=true&include=agent.tags\
         &include=agent.pending_approval"
    );
    assert_eq!(seen.header("authorization"), Some("Bearer not-a-real-token"));
    assert_eq!(seen.header("user-agent"), Some("test/1"));
    // Without it a server takes an unknown user agent for one of the time before version 1 and refuses to stream.
    assert_eq!(seen.header("x-stainless-package-version"), Some("1.0.0"));
}

#[tokio::test]
async fn an_agent_is_made_of_what_was_given_and_nothing_else() {
    let made = json!({"id": "agent-1", "name": "x"});
    let server = Scripted::new([ok(&made), ok(&made)]).await;
    let letta = server.client();
    letta.create_agent(&NewAgent::named("x")).await.unwrap();
    let full = NewAgent {
        name: "x".to_owned(),
        description: Some("d".to_owned()),
        model: Some("m".to_owned()),
        embedding: Some("e".to_owned()),
        system: Some("s".to_owned()),
        memory_blocks: vec![("human".to_owned(), "H".to_owned())],
        tags: vec!["t".to_owned()],
        tools: vec!["tool".to_owned()],
        metadata: serde_json::Map::from_iter([("k".to_owned(), json!(1))]),
        hidden: true,
    };
    letta.create_agent(&full).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].line, "POST /v1/agents/");
    assert_eq!(seen[0].body, json!({"name": "x"}));
    assert_eq!(
        seen[1].body,
        json!({"name": "x", "description": "d", "model": "m", "embedding": "e", "system": "s",
            "memory_blocks": [{"label": "human", "value": "H"}], "tags": ["t"], "tools": ["tool"], "metadata": {"k": 1},
            "hidden": true})
    );
}

#[tokio::test]
async fn an_update_names_only_what_changes() {
    let agent = json!({"id": "agent-1", "name": ""});
    let server = Scripted::new([ok(&agent), ok(&agent)]).await;
    let letta = server.client();
    let id = AgentId::new("agent-1");
    letta.update_agent(&id, &AgentUpdate::rename("")).await.unwrap();
    letta
        .update_agent(
            &id,
            &AgentUpdate {
                tags: Some(vec![]),
                ..AgentUpdate::default()
            },
        )
        .await
        .unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].body, json!({"name": ""}));
    assert_eq!(seen[1].body, json!({"tags": []}));
}

#[tokio::test]
async fn a_pending_approval_is_read_with_its_calls() {
    let call = json!({"name": "look", "arguments": "{}", "tool_call_id": "call_1"});
    let server = Scripted::new([ok(&json!({
        "id": "agent-1", "name": "A", "tags": ["t"],
        "pending_approval": {"id": "message-1", "message_type": "approval_request_message",
            "tool_call": call, "tool_calls": [call]},
    }))])
    .await;
    let agent = server
        .client()
        .get_agent(&AgentId::new("agent-1"), AgentInclude::default())
        .await
        .unwrap();
    let request = agent.pending_approval.unwrap();
    assert_eq!(request.id.as_str(), "message-1");
    assert_eq!(request.calls.len(), 1);
    assert_eq!(request.calls[0].id.as_str(), "call_1");
    assert_eq!(agent.tags, ["t"]);
}

#[tokio::test]
async fn a_count_that_is_not_a_number_is_an_error() {
    let server = Scripted::new([ok(&json!(7)), ok(&json!(-1)), ok(&json!({"count": 7}))]).await;
    let letta = server.client();
    assert_eq!(letta.count_agents().await.unwrap(), 7);
    for _ in 0..2 {
        let error = letta.count_agents().await.unwrap_err();
        assert_eq!(error.kind(), &LettaErrorKind::Decode);
    }
}
