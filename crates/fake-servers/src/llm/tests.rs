use std::time::Duration;

use letta_client::llm::{FakeLlm, LlmModel, ScriptedReply};
use reqwest::{Client, Response, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;

struct Provider {
    served: Served,
    server: LlmServer,
    client: Client,
}

impl Provider {
    async fn start(server: LlmServer) -> Self {
        let served = spawn(server.clone()).await.expect("a free port");
        Self {
            served,
            server,
            client: Client::new(),
        }
    }

    fn url(&self, path: &str) -> url::Url {
        self.served.base_url().join(path).expect("a path")
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Response, reqwest::Error> {
        let request = self
            .client
            .post(self.url(path))
            .header("anthropic-version", "2023-06-01");
        request
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
    }

    async fn json(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let response = self.post(path, body).await.expect("an answer");
        let status = response.status();
        let text = response.text().await.expect("a body");
        (
            status,
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}")),
        )
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let response = self.client.get(self.url(path)).send().await.expect("an answer");
        let status = response.status();
        (
            status,
            serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON"),
        )
    }

    async fn stop(self) {
        drop(self.client);
        self.served.stop().await.expect("a clean end");
    }
}

async fn provider() -> Provider {
    Provider::start(LlmServer::default()).await
}

fn chat(text: &str) -> Value {
    json!({"model": "fake-model", "messages": [{"role": "user", "content": text}]})
}

fn streamed(text: &str) -> Value {
    let mut body = chat(text);
    body["stream"] = true.into();
    body["stream_options"] = json!({"include_usage": true});
    body
}

fn message(text: &str) -> Value {
    json!({"model": "fake-model", "max_tokens": 1000, "messages": [{"role": "user", "content": text}]})
}

/// The payloads of a stream, and whether it ended as it should instead of being cut.
async fn events(mut response: Response) -> (Vec<Value>, bool) {
    assert_eq!(
        response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let mut received = Vec::new();
    let complete = loop {
        match response.chunk().await {
            Ok(Some(bytes)) => received.extend_from_slice(&bytes),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    let text = String::from_utf8(received).expect("UTF-8");
    let payloads = text.split("\n\n").filter(|event| !event.is_empty()).map(|event| {
        let data = event
            .lines()
            .find_map(|line| line.strip_prefix("data: "))
            .expect("data");
        serde_json::from_str(data).unwrap_or_else(|_| data.into())
    });
    (payloads.collect(), complete)
}

#[tokio::test]
async fn the_models_are_listed_and_found() {
    let provider = provider().await;
    for path in ["v1/models", "models"] {
        let (status, body) = provider.get(path).await;
        let ids: Vec<_> = body["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|model| model["id"].clone())
            .collect();
        assert_eq!(
            (status, ids),
            (
                StatusCode::OK,
                vec!["fake-model".into(), "fake-model-b".into(), "gpt-4o-mini".into()]
            )
        );
    }
    assert_eq!(
        provider.get("v1/models/text-embedding-3-small").await.0,
        StatusCode::OK
    );
    assert_eq!(provider.get("v1/models/other").await.0, StatusCode::NOT_FOUND);
    provider.stop().await;
}

#[tokio::test]
async fn a_chat_is_answered() {
    let provider = provider().await;
    let (status, body) = provider
        .json("v1/chat/completions", &chat("[think hm] hello"))
        .await;
    assert_eq!(status, StatusCode::OK);
    let choice = &body["choices"][0];
    assert_eq!(choice["message"]["content"], "echo: [think hm] hello");
    assert_eq!(choice["message"]["reasoning_content"], "hm");
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(
        body["usage"]["total_tokens"].as_u64(),
        Some(
            body["usage"]["prompt_tokens"].as_u64().unwrap()
                + body["usage"]["completion_tokens"].as_u64().unwrap()
        )
    );
    provider.stop().await;
}

#[tokio::test]
async fn a_chat_is_streamed_word_by_word() {
    let provider = provider().await;
    let response = provider
        .post("chat/completions", &streamed("one two"))
        .await
        .unwrap();
    let (events, complete) = events(response).await;
    assert!(complete);
    let deltas: Vec<_> = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(deltas, ["", "echo:", " one", " two"]);
    assert_eq!(events[events.len() - 3]["choices"][0]["finish_reason"], "stop");
    assert_eq!(events[events.len() - 2]["choices"], json!([]));
    assert_eq!(events[events.len() - 2]["usage"]["completion_tokens"], 4);
    assert_eq!(events[events.len() - 1], "[DONE]");
    provider.stop().await;
}

#[tokio::test]
async fn tool_calls_are_streamed_in_pieces_and_their_result_is_told() {
    let provider = provider().await;
    let call = r#"[tool:look_up {"query": "the weather in Rome"}]"#;
    let response = provider
        .post("v1/chat/completions", &streamed(call))
        .await
        .unwrap();
    let (events, _) = events(response).await;
    let deltas: Vec<_> = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["tool_calls"].get(0))
        .collect();
    let arguments: String = deltas
        .iter()
        .filter_map(|delta| delta["function"]["arguments"].as_str())
        .collect();
    assert_eq!(arguments, r#"{"query": "the weather in Rome"}"#);
    assert!(deltas.len() > 2);
    let id = deltas[0]["id"].as_str().unwrap();

    let mut next = chat(call);
    let messages = next["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": id, "type": "function", "function": {"name": "look_up", "arguments": arguments}},
    ]}));
    messages.push(json!({"role": "tool", "tool_call_id": id, "content": "sunny"}));
    let (_, body) = provider.json("v1/chat/completions", &next).await;
    assert_eq!(
        body["choices"][0]["message"]["content"],
        "tool look_up returned: sunny"
    );
    provider.stop().await;
}

#[tokio::test]
async fn a_cut_stream_has_no_end_mark_and_breaks_if_it_is_meant_to() {
    let provider = provider().await;
    for (marker, broken) in [("[cutstream]", true), ("[dropstream]", false)] {
        let text = format!("{marker} one two three");
        let response = provider
            .post("v1/chat/completions", &streamed(&text))
            .await
            .unwrap();
        let (openai, complete) = events(response).await;
        assert_eq!((openai.len(), complete), (2, !broken), "{marker}");
        let mut body = message(&text);
        body["stream"] = true.into();
        let (anthropic, complete) = events(provider.post("v1/messages", &body).await.unwrap()).await;
        assert_eq!(complete, !broken, "{marker}");
        assert_eq!(anthropic.last().unwrap()["delta"]["text"], "echo:");
    }
    provider.stop().await;
}

#[tokio::test]
async fn a_planned_hang_up_gives_no_response_at_all() {
    let provider = provider().await;
    provider
        .server
        .llm()
        .push_script(serde_json::from_value(json!({"disconnect": true})).unwrap());
    assert!(provider.post("v1/chat/completions", &chat("x")).await.is_err());
    assert_eq!(
        provider.json("v1/chat/completions", &chat("x")).await.0,
        StatusCode::OK
    );
    provider.stop().await;
}

#[tokio::test]
async fn failures_have_their_status_and_shape() {
    let provider = provider().await;
    for (text, status, kind, code, anthropic) in [
        ("[fail]", 500, "server_error", Value::Null, "api_error"),
        (
            "[fail 401]",
            401,
            "invalid_request_error",
            "invalid_api_key".into(),
            "authentication_error",
        ),
        (
            "[fail 402]",
            402,
            "insufficient_quota",
            "insufficient_quota".into(),
            "billing_error",
        ),
        (
            "[fail 429]",
            429,
            "rate_limit_error",
            "rate_limit_exceeded".into(),
            "rate_limit_error",
        ),
        ("[fail 529]", 529, "server_error", Value::Null, "overloaded_error"),
        (
            "[ctx]",
            400,
            "invalid_request_error",
            "context_length_exceeded".into(),
            "invalid_request_error",
        ),
    ] {
        let (got, body) = provider.json("v1/chat/completions", &chat(text)).await;
        assert_eq!(
            (
                got.as_u16(),
                body["error"]["type"].as_str(),
                &body["error"]["code"]
            ),
            (status, Some(kind), &code)
        );
        let (got, body) = provider.json("v1/messages", &message(text)).await;
        assert_eq!((got.as_u16(), body["type"].as_str()), (status, Some("error")));
        assert_eq!(body["error"]["type"], anthropic);
    }
    provider.stop().await;
}

#[tokio::test]
async fn retry_after_is_rounded_up_to_whole_seconds() {
    let provider = provider().await;
    provider
        .server
        .llm()
        .push_script(serde_json::from_value(json!({"fail": 429, "retry_after": 1.5})).unwrap());
    let response = provider.post("v1/chat/completions", &chat("x")).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (429, &"2".parse().unwrap())
    );
    provider.stop().await;
}

#[tokio::test]
async fn a_body_that_is_not_json_says_that_it_is() {
    let provider = provider().await;
    let response = provider
        .post("v1/chat/completions", &chat("[badjson]"))
        .await
        .unwrap();
    assert_eq!(
        (response.status(), &response.headers()["content-type"]),
        (StatusCode::OK, &"application/json".parse().unwrap())
    );
    assert_eq!(response.text().await.unwrap(), "<html>not json</html>");
    provider.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let provider = provider().await;
    let (status, body) = provider
        .json("v1/chat/completions", &json!({"model": "fake-model"}))
        .await;
    assert_eq!(
        (status, &body["error"]["param"]),
        (StatusCode::BAD_REQUEST, &json!("messages"))
    );
    let unknown = json!({"model": "other", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]});
    let (status, body) = provider.json("v1/chat/completions", &unknown).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::NOT_FOUND, &json!("model_not_found"))
    );
    let (status, body) = provider.json("v1/messages", &unknown).await;
    assert_eq!(
        (status, &body["error"]["message"]),
        (StatusCode::NOT_FOUND, &json!("model: other"))
    );
    assert_eq!(
        provider.json("v1/nothing", &json!({})).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        provider.get("v1/chat/completions").await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(provider.get("v1/messages").await.1["type"], "error");
    let response = provider
        .client
        .post(provider.url("v1/chat/completions"))
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let response = provider
        .client
        .post(provider.url("v1/messages"))
        .body(message("x").to_string())
        .send()
        .await
        .unwrap();
    assert!(response.text().await.unwrap().contains("anthropic-version"));
    provider.stop().await;
}

#[tokio::test]
async fn a_key_is_wanted_where_one_is_set() {
    let key = SecretString::from("fake-key-for-tests");
    let provider = Provider::start(LlmServer::with_api_key(FakeLlm::new(), key)).await;
    let (status, body) = provider.json("v1/chat/completions", &chat("x")).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::UNAUTHORIZED, &json!("invalid_api_key"))
    );
    assert_eq!(
        provider.json("v1/messages", &message("x")).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(provider.get("v1/models").await.0, StatusCode::UNAUTHORIZED);
    let admitted = provider
        .client
        .get(provider.url("v1/models"))
        .bearer_auth("fake-key-for-tests")
        .send()
        .await
        .unwrap();
    assert_eq!(admitted.status(), StatusCode::OK);
    let admitted = provider
        .client
        .get(provider.url("v1/models"))
        .header("x-api-key", "fake-key-for-tests")
        .send()
        .await;
    assert_eq!(admitted.unwrap().status(), StatusCode::OK);
    assert!(!format!("{:?}", provider.server).contains("fake-key-for-tests"));
    provider.stop().await;
}

#[tokio::test]
async fn a_message_is_answered_in_blocks() {
    let provider = provider().await;
    let mut body = message(r#"[think hm] [tool:roll {"n": 6}]"#);
    let (_, silent) = provider.json("v1/messages", &body).await;
    assert_eq!(
        silent["content"][0]["type"], "tool_use",
        "no thinking unless it is asked for"
    );
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
    let (status, body) = provider.json("v1/messages", &body).await;
    assert_eq!(
        (status, &body["stop_reason"]),
        (StatusCode::OK, &json!("tool_use"))
    );
    assert_eq!(body["content"][0]["thinking"], "hm");
    assert_eq!(body["content"][1]["input"], json!({"n": 6}));
    assert!(body["content"][1]["id"].as_str().unwrap().starts_with("toolu_"));
    let (_, empty) = provider.json("v1/messages", &message("[empty]")).await;
    assert_eq!(empty["content"], json!([]));
    provider.stop().await;
}

#[tokio::test]
async fn a_message_is_streamed_block_by_block() {
    let provider = provider().await;
    let mut body = message("[think a b] [say one two]");
    body["stream"] = true.into();
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
    let (events, complete) = events(provider.post("v1/messages", &body).await.unwrap()).await;
    assert!(complete);
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
    assert_eq!(events[5]["delta"]["type"], "signature_delta");
    assert_eq!(
        (&events[7]["index"], &events[8]["delta"]["text"]),
        (&json!(1), &json!("one"))
    );
    assert_eq!(events[11]["delta"]["stop_reason"], "end_turn");
    provider.stop().await;
}

#[tokio::test]
async fn tokens_are_counted_without_an_answer() {
    let provider = provider().await;
    let body = json!({"model": "fake-model", "messages": [{"role": "user", "content": "12345678"}]});
    assert_eq!(
        provider.json("v1/messages/count_tokens", &body).await,
        (StatusCode::OK, json!({"input_tokens": 2}))
    );
    provider.stop().await;
}

#[tokio::test]
async fn the_script_and_the_journal_are_reached_over_http() {
    let provider = provider().await;
    let script = provider.url("_fake/script");
    let put = |body: &'static str| {
        provider
            .client
            .put(script.clone())
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    assert_eq!(
        put(r#"[{"say": "one"}, {"fail": 503}]"#).await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
    let bad = put(r#"[{"say": "one", "fail": 503}]"#).await.unwrap();
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
    assert!(bad.text().await.unwrap().contains("either answers or fails"));
    assert_eq!(
        provider.get("_fake/script").await.1.as_array().map(Vec::len),
        Some(2)
    );
    let (_, body) = provider.json("v1/chat/completions", &chat("x")).await;
    assert_eq!(body["choices"][0]["message"]["content"], "one");
    assert_eq!(
        provider.json("v1/chat/completions", &chat("y")).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let (_, journal) = provider.get("_fake/requests").await;
    assert_eq!(journal["forgotten"], 0);
    assert_eq!(
        journal["requests"],
        json!([
            {"number": 1, "path": "/v1/chat/completions", "body": chat("x"), "status": 200},
            {"number": 2, "path": "/v1/chat/completions", "body": chat("y"), "status": 503},
        ])
    );
    assert_eq!(
        provider
            .client
            .delete(provider.url("_fake/requests"))
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(provider.server.requests(), []);
    assert_eq!(provider.get("_fake/health").await.1, json!({"status": "ok"}));
    provider.stop().await;
}

#[tokio::test]
async fn a_slow_answer_does_not_hold_up_the_others() {
    let provider = provider().await;
    let held = Duration::from_secs(3600);
    provider
        .server
        .llm()
        .push_script(ScriptedReply::as_usual().when("slow one").slow(held));
    let (slow_one, another) = (chat("slow one"), chat("another"));
    tokio::select! {
        biased;
        answer = provider.post("v1/chat/completions", &slow_one) => panic!("was not slow: {answer:?}"),
        (status, _) = async {
            // The slow one is in the journal before the other is sent.
            while provider.server.requests().is_empty() {
                tokio::task::yield_now().await;
            }
            provider.json("v1/chat/completions", &another).await
        } => assert_eq!(status, StatusCode::OK),
    }
    assert_eq!(
        provider
            .server
            .requests()
            .iter()
            .map(|r| r.status)
            .collect::<Vec<_>>(),
        [None, Some(200)]
    );
    provider.stop().await;
}

#[tokio::test]
async fn a_fake_that_stopped_can_come_back_at_its_address() {
    let provider = provider().await;
    let address = provider.served.address();
    let server = provider.server.clone();
    provider.stop().await;
    let client = Client::new();
    assert!(
        client
            .get(format!("http://{address}/_fake/health"))
            .send()
            .await
            .is_err()
    );
    let served = spawn_at(address, server).await.expect("the same port");
    let response = client
        .get(format!("http://{address}/_fake/health"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    served.stop().await.expect("a clean end");
}

#[tokio::test]
async fn dropping_a_fake_cuts_its_connections() {
    let provider = provider().await;
    let mut response = provider
        .post("v1/chat/completions", &streamed("[trickle 3600] one two three"))
        .await
        .unwrap();
    assert!(response.chunk().await.is_ok_and(|chunk| chunk.is_some()));
    drop(provider.served);
    while let Ok(chunk) = response.chunk().await {
        assert!(chunk.is_some(), "the stream was cut, not ended");
    }
}

#[tokio::test]
async fn the_context_window_is_the_models_own() {
    let llm = FakeLlm::new().with_models([LlmModel::new("small").with_context_window(2)]);
    let provider = Provider::start(LlmServer::new(llm)).await;
    let mut body = chat("more than eight bytes");
    body["model"] = "small".into();
    let (status, body) = provider.json("v1/chat/completions", &body).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::BAD_REQUEST, &json!("context_length_exceeded"))
    );
    assert_eq!(provider.get("v1/models").await.1["data"][0]["context_length"], 2);
    provider.stop().await;
}
