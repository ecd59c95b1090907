use futures_util::StreamExt;
use serde_json::{Value, json};

use super::talk::{plain, say};
use crate::{
    LettaErrorKind,
    fake::{
        FakeLetta, Fault, Include, ListAgents, WireFault,
        rest::{InConversation, Sent, Stretch, Target, TurnRequest},
    },
};

fn keys(json: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

async fn send(letta: &FakeLetta, body: Value) -> Result<Sent, crate::fake::Refusal> {
    let request = TurnRequest::from_body(&body, false)?;
    letta
        .rest()
        .send(&Target::Agent("agent-001".into()), request)
        .await
}

async fn frames(sent: Sent) -> Vec<String> {
    match sent {
        Sent::Events(events) => events.map(|event| event.unwrap().sse()).collect().await,
        Sent::Json(json) => panic!("not a stream: {json}"),
    }
}

async fn whole(letta: &FakeLetta, body: Value) -> Value {
    match send(letta, body).await.unwrap() {
        Sent::Json(json) => json,
        Sent::Events(_) => panic!("a stream"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_has_the_fields_of_a_real_one() {
    let letta = FakeLetta::new();
    let body = json!({
        "name": "alpha",
        "model": "openai-proxy/fake-model",
        "embedding": "openai/text-embedding-3-small",
        "memory_blocks": [{ "label": "human", "value": "The human is Bob" }],
        "tags": ["matrix"],
        "metadata": { "k": "v" },
        "no such field": 1,
    });
    let agent = letta.rest().create_agent(&body).await.unwrap();
    // As recorded from version 0.16.8.
    assert_eq!(
        keys(&agent).join(" "),
        "agent_type base_template_id blocks compaction_settings created_at created_by_id deployment_id description \
         embedding embedding_config enable_sleeptime entity_id hidden id identities identity_ids last_run_completion \
         last_run_duration_ms last_stop_reason last_updated_by_id llm_config managed_group max_files_open memory \
         message_buffer_autoclear message_ids metadata model model_settings multi_agent_group name pending_approval \
         per_file_view_window_char_limit project_id response_format secrets sources system tags template_id timezone \
         tool_exec_environment_variables tool_rules tools updated_at"
    );
    assert_eq!(agent["blocks"][0]["value"], "The human is Bob");
    assert_eq!(agent["tools"][0]["name"], "conversation_search");
    assert_eq!(agent["created_at"], "2026-01-05T09:00:00.000001Z");
    let id = agent["id"].as_str().unwrap().into();
    let bare = letta.rest().get_agent(&id, Include::default()).await.unwrap();
    assert_eq!(
        (&bare["tags"], &bare["tools"], &bare["blocks"]),
        (&json!([]), &json!([]), &json!([]))
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_stream_has_the_shape_of_a_real_one() {
    let letta = FakeLetta::with_test_agents();
    let answer = whole(
        &letta,
        json!({ "messages": [{ "role": "user", "content": "hello there" }] }),
    )
    .await;
    let message = &answer["messages"][0];
    let id = message["id"].as_str().unwrap();
    assert_eq!(
        message,
        &json!({
            "id": id,
            "date": "2026-01-05T09:00:00+00:00",
            "name": null,
            "message_type": "assistant_message",
            "otid": crate::fake::ids::otid_of(id, 0),
            "sender_id": null,
            "step_id": message["step_id"],
            "is_err": null,
            "seq_id": null,
            "run_id": message["run_id"],
            "content": "echo: hello there",
        })
    );
    assert_eq!(
        answer["stop_reason"],
        json!({ "message_type": "stop_reason", "stop_reason": "end_turn" })
    );
    assert_eq!(
        keys(&answer["usage"]).join(" "),
        "cache_write_tokens cached_input_tokens completion_tokens context_tokens message_type prompt_tokens \
         reasoning_tokens run_ids step_count total_tokens"
    );
    assert_eq!(
        (&answer["logprobs"], &answer["turns"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_framed_as_a_real_one() {
    let letta = FakeLetta::with_test_agents();
    let body = json!({ "input": "hi", "streaming": true, "background": true });
    let frames = frames(send(&letta, body).await.unwrap()).await;
    assert_eq!(frames.len(), 5, "{frames:#?}");
    assert!(frames[0].starts_with("data: {") && frames[0].contains("\"message_type\":\"ping\""));
    assert!(frames[1].contains("\"content\":\"echo: hi\"") && frames[1].contains("\"seq_id\":2"));
    assert_eq!(
        frames[2],
        "data: {\"message_type\":\"stop_reason\",\"stop_reason\":\"end_turn\"}\n\n"
    );
    assert!(frames[3].contains("usage_statistics"));
    assert_eq!(frames[4], "data: [DONE]\n\n");
    // Joined again behind the second.
    let run: Value = serde_json::from_str(frames[0].trim_start_matches("data: ")).unwrap();
    let run = run["run_id"].as_str().unwrap().into();
    let rest = letta
        .rest()
        .stream_run(&run, &json!({ "starting_after": 2 }))
        .await
        .unwrap();
    let rest: Vec<String> = rest.map(|event| event.unwrap().sse()).collect().await;
    assert_eq!(rest, frames[2..]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_a_stream_is_an_error_event() {
    let letta = FakeLetta::with_test_agents();
    let body = json!({ "input": "[fail 401] x", "streaming": true });
    let frames = frames(send(&letta, body).await.unwrap()).await;
    assert!(
        frames[1].contains("\"stop_reason\":\"llm_api_error\""),
        "{frames:#?}"
    );
    assert!(frames[2].starts_with("event: error\ndata: {") && frames[2].contains("llm_authentication"));
    assert_eq!(frames[3], "data: [DONE]\n\n");
    let refusal = send(&letta, json!({ "input": "[fail 401] x" }))
        .await
        .unwrap_err();
    assert_eq!(refusal.status(), Some(401));
    assert_eq!(refusal.body()["error"]["type"], "llm_authentication");
}

#[tokio::test(start_paused = true)]
async fn the_old_form_of_a_decision_says_yes_but_not_no() {
    let letta = FakeLetta::with_test_agents();
    letta
        .rest()
        .set_tool_approval(
            &"agent-001".into(),
            "conversation_search",
            &json!({ "requires_approval": true }),
        )
        .await
        .unwrap();
    let asked = whole(
        &letta,
        json!({ "input": "[tool:conversation_search {\"query\": \"x\"}]" }),
    )
    .await;
    let request = &asked["messages"][0];
    assert_eq!(request["message_type"], "approval_request_message");
    assert_eq!(request["otid"], request["id"]);
    assert_eq!(asked["stop_reason"]["stop_reason"], "requires_approval");

    let refusal = send(&letta, json!({ "input": "hello?" })).await.unwrap_err();
    assert_eq!(refusal.status(), Some(409));
    assert_eq!(refusal.body()["detail"]["code"], "PENDING_APPROVAL");
    assert_eq!(refusal.body()["detail"]["pending_request_id"], request["id"]);

    let decide = async |approve: bool| {
        let decision =
            json!({ "type": "approval", "approve": approve, "approval_request_id": request["id"] });
        whole(&letta, json!({ "messages": [decision] })).await
    };
    let denied = decide(false).await;
    assert_eq!(denied["stop_reason"]["stop_reason"], "invalid_tool_call");
    let approved = decide(true).await;
    assert_eq!(approved["messages"][0]["message_type"], "tool_return_message");
    assert_eq!(approved["stop_reason"]["stop_reason"], "end_turn");
}

#[tokio::test(start_paused = true)]
async fn a_client_runs_its_own_tools() {
    let letta = FakeLetta::with_test_agents();
    let tools =
        json!([{ "name": "ask_room", "parameters": { "type": "object", "properties": { "q": {} } } }]);
    let asked = whole(
        &letta,
        json!({ "input": "[tool:ask_room {\"q\": 1}]", "client_tools": tools }),
    )
    .await;
    let call = &asked["messages"][0]["tool_call"]["tool_call_id"];
    let answer =
        json!({ "type": "tool", "tool_call_id": call, "tool_return": "room says 42", "status": "success" });
    let body = json!({ "client_tools": tools, "messages": [{ "type": "approval", "approvals": [answer] }] });
    let told = whole(&letta, body).await;
    assert_eq!(
        told["messages"][1]["content"],
        "tool ask_room returned: room says 42"
    );
}

#[tokio::test(start_paused = true)]
async fn requests_that_do_not_stream_forget_their_conversation() {
    let letta = FakeLetta::with_test_agents();
    let rest = letta.rest();
    let made = rest
        .create_conversation(&"agent-001".into(), &json!({ "summary": "s" }))
        .await
        .unwrap();
    assert_eq!(made["in_context_message_ids"], json!([]));
    let target = Target::Conversation(made["id"].as_str().unwrap().into());
    let request = TurnRequest::from_body(&json!({ "input": "hi", "streaming": false }), true).unwrap();
    rest.send(&target, request).await.unwrap();
    let runs = rest
        .list_runs(Some(&"agent-001".into()), true, None)
        .await
        .unwrap();
    assert_eq!(
        (&runs[0]["status"], &runs[0]["conversation_id"]),
        (&json!("created"), &Value::Null)
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_can_be_asked_after_later() {
    let letta = FakeLetta::with_test_agents();
    let request = TurnRequest::from_body(&json!({ "input": "[slow 3] hi" }), false).unwrap();
    let run = letta
        .rest()
        .send_async(&"agent-001".into(), request)
        .await
        .unwrap();
    assert_eq!(
        (&run["status"], &run["background"]),
        (&json!("created"), &json!(true))
    );
    let id = run["id"].as_str().unwrap().into();
    assert_eq!(letta.rest().get_run(&id).await.unwrap()["status"], "running");
    letta.join().await;
    let run = letta.rest().get_run(&id).await.unwrap();
    assert_eq!(
        (&run["status"], &run["stop_reason"]),
        (&json!("completed"), &json!("end_turn"))
    );
    let said = letta.rest().list_run_messages(&id).await.unwrap();
    assert_eq!(said[1]["content"], "echo: [slow 3] hi");
}

#[tokio::test(start_paused = true)]
async fn histories_come_in_the_servers_orders() {
    let letta = FakeLetta::with_test_agents();
    say(&letta, "[think hm] one", &plain()).await;
    say(&letta, "two", &plain()).await;
    let stretch = Stretch {
        limit: Some(2),
        ..Stretch::default()
    };
    let listed = letta
        .rest()
        .list_agent_messages(&"agent-001".into(), &InConversation::Default, &stretch)
        .await
        .unwrap();
    let types: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["message_type"])
        .collect();
    assert_eq!(types, ["user_message", "assistant_message"]);
    let oldest = Stretch {
        oldest: true,
        limit: Some(3),
        ..Stretch::default()
    };
    let listed = letta
        .rest()
        .list_agent_messages(&"agent-001".into(), &InConversation::Any, &oldest)
        .await
        .unwrap();
    let types: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["message_type"])
        .collect();
    assert_eq!(
        types,
        [
            "system_message",
            "user_message",
            "reasoning_message",
            "assistant_message"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn bodies_that_do_not_fit_are_refused() {
    for (body, status) in [
        (json!({}), 422),
        (json!([]), 422),
        (json!({ "messages": "hello" }), 422),
        (json!({ "messages": [{ "role": "nobody", "content": "x" }] }), 422),
        (json!({ "input": "x", "background": true }), 422),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image", "source": { "type": "url", "url": "http://127.0.0.1:1/x.png" } }] }] }),
            400,
        ),
    ] {
        let refusal = TurnRequest::from_body(&body, false).unwrap_err();
        assert_eq!(refusal.status(), Some(status), "{body}");
    }
    let letta = FakeLetta::with_test_agents();
    let refusal = send(&letta, json!({ "messages": [] })).await.unwrap_err();
    assert_eq!(refusal.body(), &json!({ "detail": "Messages must not be empty" }));
    let refusal = letta
        .rest()
        .create_agent(&json!({ "name": 7 }))
        .await
        .unwrap_err();
    assert_eq!(refusal.status(), Some(422));
}

#[tokio::test(start_paused = true)]
async fn the_rest_view_passes_faults_the_journal_and_the_token() {
    let letta = FakeLetta::with_test_agents().with_token("not-a-secret");
    letta.fail_next("list_agents", LettaErrorKind::Server);
    let refusal = letta
        .rest()
        .list_agents(&ListAgents::default())
        .await
        .unwrap_err();
    assert_eq!(refusal.status(), Some(500));
    assert_eq!(letta.count("list_agents"), 1);
    let refusal = letta.presenting(None).rest().count_agents().await.unwrap_err();
    assert_eq!(
        (refusal.status(), refusal.body()),
        (Some(401), &json!({ "detail": "Unauthorized" }))
    );
    letta.assert_faults_used();
}

#[tokio::test(start_paused = true)]
async fn a_sleeping_helper_is_an_agent_of_its_own() {
    let letta = FakeLetta::new();
    let body = json!({ "name": "Librarian", "model": "openai-proxy/fake-model", "enable_sleeptime": true });
    letta.rest().create_agent(&body).await.unwrap();
    let listed = letta.rest().list_agents(&ListAgents::default()).await.unwrap();
    assert_eq!(listed[0]["name"], "Librarian-sleeptime");
    assert_eq!(listed[0]["agent_type"], "sleeptime_agent");
    assert_eq!(listed[1]["name"], "Librarian");
}

#[test]
fn faults_are_read_from_json() {
    let good = [
        json!({ "method": "send", "fail": "busy", "agent": "agent-001", "skip": 1, "times": "always" }),
        json!({ "method": "list_agents", "rate_limit": 2.5, "times": 3 }),
        json!({ "method": "send", "break_stream_after": 2 }),
    ];
    for json in good {
        let _fault = Fault::from_json(&json).unwrap();
    }
    let bad = [
        json!({ "method": "nothing", "fail": "timeout" }),
        json!({ "method": "send" }),
        json!({ "method": "send", "fail": "timeout", "delay": 1 }),
        json!({ "method": "send", "fail": "boredom" }),
        json!({ "method": "send", "fail_after": "connect" }),
        json!({ "method": "list_agents", "break_stream_after": 2 }),
        json!({ "method": "send", "fail": "timeout", "typo": 1 }),
    ];
    for json in bad {
        assert!(Fault::from_json(&json).is_err(), "{json}");
    }
    let wire: WireFault = serde_json::from_value(json!({ "stall": 1.5 })).unwrap();
    assert_eq!(wire, WireFault::Stall(std::time::Duration::from_millis(1500)));
}
