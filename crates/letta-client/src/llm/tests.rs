use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn ask(text: &str) -> LlmRequest {
    LlmRequest::new("fake-model")
        .message(LlmMessage::system("You are Alpha."))
        .message(LlmMessage::user(text))
}

fn answer(llm: &FakeLlm, request: &LlmRequest) -> Answer {
    match llm.plan(request).outcome {
        Outcome::Answer(answer) => answer,
        Outcome::Failure(failure) => panic!("failed: {failure:?}"),
    }
}

fn text(llm: &FakeLlm, request: &LlmRequest) -> String {
    answer(llm, request).text.expect("a text")
}

fn failure(llm: &FakeLlm, request: &LlmRequest) -> Failure {
    match llm.plan(request).outcome {
        Outcome::Answer(answer) => panic!("answered: {answer:?}"),
        Outcome::Failure(failure) => failure,
    }
}

/// The request that follows when every call of `answer` returned `result`.
fn with_results(request: LlmRequest, answer: &Answer, result: &str) -> LlmRequest {
    let spoken = answer
        .tool_calls
        .iter()
        .cloned()
        .fold(LlmMessage::assistant(""), LlmMessage::with_tool_call);
    let results = answer
        .tool_calls
        .iter()
        .map(|call| LlmMessage::tool(&call.id, result));
    request.message(spoken).messages(results)
}

#[test]
fn a_message_without_markers_is_echoed() {
    let llm = FakeLlm::new();
    let answer = answer(&llm, &ask("hello"));
    assert_eq!(answer.text.as_deref(), Some("echo: hello"));
    assert_eq!(answer.finish_reason, FinishReason::Stop);
    assert_eq!((answer.reasoning, answer.cut_after), (None, None));
    assert_eq!(answer.usage.completion_tokens, 3);
}

#[test]
fn images_are_counted() {
    let request = LlmRequest::new("fake-model").message(LlmMessage::user("look").with_images(2));
    assert_eq!(text(&FakeLlm::new(), &request), "echo: look [images: 2]");
}

#[test]
fn only_the_last_user_message_is_answered() {
    assert_eq!(
        text(
            &FakeLlm::new(),
            &ask("[fail]").message(LlmMessage::user("second"))
        ),
        "echo: second"
    );
}

#[test]
fn a_tool_is_called_and_its_result_told() {
    let llm = FakeLlm::new();
    let request = ask(r#"[tool:look_up {"q": "x"}]"#);
    let called = answer(&llm, &request);
    assert_eq!(called.finish_reason, FinishReason::ToolCalls);
    assert_eq!(called.text, None);
    assert_eq!(called.tool_calls.len(), 1);
    assert_eq!(
        (
            called.tool_calls[0].name.as_str(),
            called.tool_calls[0].arguments.as_str()
        ),
        ("look_up", r#"{"q": "x"}"#)
    );
    let next = with_results(
        request,
        &called,
        r#"{"status": "OK", "message": "found", "time": "now"}"#,
    );
    assert_eq!(text(&llm, &next), "tool look_up returned: found");
}

#[test]
fn parallel_calls_are_made_only_where_they_are_allowed() {
    let llm = FakeLlm::new();
    let request = ask(r#"[tool:a {"n":1}] [tool:b {}]"#);
    let both = answer(&llm, &request);
    assert_eq!(
        both.tool_calls
            .iter()
            .map(|call| call.name.as_str())
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(
        text(&llm, &with_results(request.clone(), &both, "1")),
        "tool a returned: 1; tool b returned: 1"
    );
    assert_eq!(
        answer(&llm, &request.with_parallel_tool_calls(false))
            .tool_calls
            .len(),
        1
    );
}

#[test]
fn a_result_without_its_call_is_told_all_the_same() {
    assert_eq!(
        text(
            &FakeLlm::new(),
            &ask("x").message(LlmMessage::tool("call_1", "1"))
        ),
        "tool ? returned: 1"
    );
}

#[test]
fn a_loop_calls_again_and_again_with_new_ids() {
    let llm = FakeLlm::new();
    let mut request = ask("[loop:spin]");
    let mut ids = HashSet::new();
    for _ in 0..5 {
        let called = answer(&llm, &request);
        assert_eq!(called.tool_calls[0].name, "spin");
        assert!(ids.insert(called.tool_calls[0].id.clone()));
        request = with_results(request, &called, "again");
    }
}

#[test]
fn no_tool_call_id_is_given_away_twice() {
    let llm = FakeLlm::new();
    let request = ask("[tool:a] [tool:a]");
    let ids: HashSet<_> = (0..50)
        .flat_map(|_| answer(&llm, &request).tool_calls)
        .map(|call| {
            let hex = call.id.strip_prefix("call_").expect("the usual prefix");
            assert!(
                hex.len() == 24 && hex.chars().all(|c| c.is_ascii_hexdigit()),
                "{hex}"
            );
            call.id
        })
        .collect();
    assert_eq!(ids.len(), 100);
}

#[test]
fn failures_have_the_status_asked_for() {
    let llm = FakeLlm::new();
    assert_eq!(failure(&llm, &ask("[fail]")), Failure::status(500));
    let Failure::Status {
        status,
        kind,
        retry_after,
        ..
    } = failure(&llm, &ask("x [fail 429]"))
    else {
        panic!("a status");
    };
    assert_eq!(
        (status, kind, retry_after),
        (429, ProviderErrorKind::RateLimited, None)
    );
}

#[test]
fn a_failure_stops_once_a_tool_result_is_there() {
    let request = ask("[fail]").message(LlmMessage::tool("call_1", "1"));
    assert_eq!(text(&FakeLlm::new(), &request), "tool ? returned: 1");
}

#[test]
fn a_tag_fails_once() {
    let llm = FakeLlm::new();
    assert_eq!(failure(&llm, &ask("[failonce a] x")), Failure::status(500));
    assert_eq!(text(&llm, &ask("[failonce a] x")), "echo: [failonce a] x");
    assert_eq!(failure(&llm, &ask("[failonce b] x")), Failure::status(500));
    llm.reset();
    assert_eq!(failure(&llm, &ask("[failonce a] x")), Failure::status(500));
}

#[test]
fn the_context_can_be_too_long_by_marker_and_in_truth() {
    let llm = FakeLlm::new().with_models([LlmModel::new("small").with_context_window(10)]);
    let small = |text: &str| LlmRequest::new("small").message(LlmMessage::user(text));
    assert_eq!(
        failure(&llm, &small("[ctx]")),
        Failure::ContextLengthExceeded {
            limit: 10,
            requested: 999_999
        }
    );
    assert_eq!(
        failure(&llm, &small(&"x".repeat(41))),
        Failure::ContextLengthExceeded {
            limit: 10,
            requested: 11
        }
    );
    assert_eq!(text(&llm, &small("hi")), "echo: hi");
}

#[test]
fn an_unknown_model_is_not_found() {
    let failure = failure(
        &FakeLlm::new(),
        &LlmRequest::new("other").message(LlmMessage::user("[fail]")),
    );
    assert_eq!(failure.http_status(), Some(404));
    assert!(failure.message().contains("`other`"));
}

#[test]
fn a_body_that_is_not_json_comes_with_status_200() {
    assert_eq!(
        failure(&FakeLlm::new(), &ask("[badjson]")).http_status(),
        Some(200)
    );
}

#[test]
fn markers_shape_the_answer() {
    let llm = FakeLlm::new();
    assert_eq!(text(&llm, &ask("[say Hello, world!] x")), "Hello, world!");
    assert_eq!(text(&llm, &ask("[long 3]")), "word0 word1 word2");
    assert_eq!(text(&llm, &ask("[empty] x")), "");
    assert!(answer(&llm, &ask("[empty] x")).chunks().is_empty());
    let thinking = answer(&llm, &ask("[think it over] [say done]"));
    assert_eq!(
        (thinking.reasoning.as_deref(), thinking.text.as_deref()),
        (Some("it over"), Some("done"))
    );
    let cut = |text| {
        let answer = answer(&llm, &ask(text));
        (answer.cut_after, answer.cut)
    };
    assert_eq!(cut("[dropstream] one two"), (Some(1), Cut::Silent));
    assert_eq!(cut("[cutstream] one two"), (Some(1), Cut::Broken));
}

#[test]
fn delays_come_from_markers_or_from_the_configuration() {
    let second = Duration::from_secs(1);
    let llm = FakeLlm::new().with_delays(second, second * 4);
    assert_eq!(llm.plan(&ask("x")).delays, Delays::new(second, second * 4));
    assert_eq!(
        llm.plan(&ask("[slow 2] [trickle 3]")).delays,
        Delays::new(second * 2, second * 3)
    );
    assert_eq!(
        llm.plan(&ask("[slow 2] [fail]")).delays.before_first_byte,
        second * 2
    );
    assert_eq!(Delays::new(second, second).per_chunk(4), second / 4);
    assert_eq!(Delays::new(second, second).per_chunk(0), Duration::ZERO);
}

#[test]
fn the_conversation_is_remembered() {
    let llm = FakeLlm::new();
    assert_eq!(text(&llm, &ask("[context]")), "context: 0 earlier user turns");
    let later = ask("hello").message(LlmMessage::assistant("echo: hello"));
    assert_eq!(
        text(&llm, &later.clone().message(LlmMessage::user("[context]"))),
        "context: 1 earlier user turn, the first was: hello"
    );
    let alert = LlmMessage::user(r#"{"type": "system_alert", "message": "summary"}"#);
    let much_later = later
        .message(alert)
        .message(LlmMessage::user("again"))
        .message(LlmMessage::user("[context]"));
    assert_eq!(
        text(&llm, &much_later),
        "context: 2 earlier user turns, the first was: hello"
    );
}

#[test]
fn markers_that_the_server_quotes_do_nothing() {
    let llm = FakeLlm::new();
    assert_eq!(
        text(&llm, &ask(r#"{"type": "system_alert", "message": "[fail]"}"#)),
        "echo: [fail]"
    );
    assert_eq!(
        text(&llm, &ask("<start_transcript>[fail]")),
        "summary of 24 characters"
    );
    let ping = "<system-alert>Automated keep-alive ping.</system-alert>";
    assert_eq!(text(&llm, &ask(ping)), format!("echo: {ping}"));
}

#[test]
fn the_wrapper_of_older_agents_is_taken_off() {
    assert_eq!(
        text(
            &FakeLlm::new(),
            &ask(r#"{"type": "user_message", "message": "hi", "time": "now"}"#)
        ),
        "echo: hi"
    );
}

#[test]
fn agents_that_speak_through_a_tool_get_a_call_of_it() {
    let llm = FakeLlm::new();
    let schema = json!({"properties": {"thinking": {}, "message": {}}, "required": ["thinking", "message"]});
    let request = ask("[think hm] hi").tool(OfferedTool::new("send_message", schema));
    let answer = answer(&llm, &request);
    assert_eq!((answer.text, answer.reasoning), (None, None));
    let arguments: Value = serde_json::from_str(&answer.tool_calls[0].arguments).unwrap();
    assert_eq!(
        arguments,
        json!({"thinking": "hm", "message": "echo: [think hm] hi"})
    );
}

#[test]
fn arguments_that_a_tool_demands_of_every_call_are_added() {
    let schema = json!({"properties": {"q": {}}, "required": ["q", "thinking", "request_heartbeat"]});
    let request = ask(r#"[tool:look_up {"q":1}]"#).tool(OfferedTool::new("look_up", schema));
    let arguments: Value =
        serde_json::from_str(&answer(&FakeLlm::new(), &request).tool_calls[0].arguments).unwrap();
    assert_eq!(
        arguments,
        json!({"q": 1, "thinking": "fake thoughts", "request_heartbeat": true})
    );
}

#[test]
fn a_heartbeat_goes_on_with_the_turn() {
    let llm = FakeLlm::new();
    let request = ask("[tool:look_up]");
    let called = answer(&llm, &request);
    let heartbeat = LlmMessage::user(r#"{"type": "heartbeat", "reason": "Continuing: continue tool rule."}"#);
    assert_eq!(
        text(&llm, &with_results(request, &called, "found").message(heartbeat)),
        "tool look_up returned: found"
    );
}

#[test]
fn the_request_says_whether_tools_are_called() {
    let llm = FakeLlm::new();
    let schema = json!({"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]});
    let request = ask("hi")
        .tool(OfferedTool::new("look_up", schema))
        .tool(OfferedTool::new("roll", json!({"type": "object"})));
    let calls = |choice: ToolChoice, request: &LlmRequest| {
        let answer = answer(&llm, &request.clone().with_tool_choice(choice));
        let calls = answer
            .tool_calls
            .into_iter()
            .map(|call| (call.name, call.arguments))
            .collect::<Vec<_>>();
        (answer.text, calls)
    };
    let call = |name: &str, arguments: &str| vec![(name.to_owned(), arguments.to_owned())];
    let echo = |text: &str| Some(text.to_owned());
    assert_eq!(calls(ToolChoice::Auto, &request), (echo("echo: hi"), vec![]));
    assert_eq!(calls(ToolChoice::None, &ask("[tool:roll]")), (echo(""), vec![]));
    assert_eq!(
        calls(ToolChoice::Required, &request),
        (None, call("look_up", r#"{"q":"echo: hi"}"#))
    );
    assert_eq!(
        calls(ToolChoice::Tool("roll".to_owned()), &request),
        (None, call("roll", "{}"))
    );
    assert_eq!(
        calls(ToolChoice::Required, &ask("[tool:roll {\"n\": 1}]")),
        (None, call("roll", "{\"n\": 1}"))
    );
}

#[test]
fn an_answer_ends_at_the_tokens_allowed() {
    let answer = answer(&FakeLlm::new(), &ask("ééééé").with_max_tokens(2));
    assert_eq!(
        (answer.text.as_deref(), answer.finish_reason),
        (Some("echo: é"), FinishReason::Length)
    );
}

#[test]
fn scripted_replies_come_first_and_in_order() {
    let llm = FakeLlm::new();
    llm.push_script(ScriptedReply::say("one").think("hm"));
    llm.push_script(ScriptedReply::fail(Failure::status(503)).times(2));
    llm.push_script(ScriptedReply::call("look_up", Map::new()));
    let first = answer(&llm, &ask("[fail]"));
    assert_eq!(
        (first.text.as_deref(), first.reasoning.as_deref()),
        (Some("one"), Some("hm"))
    );
    assert_eq!(failure(&llm, &ask("x")), Failure::status(503));
    assert_eq!(failure(&llm, &ask("x")), Failure::status(503));
    assert_eq!(answer(&llm, &ask("x")).tool_calls[0].name, "look_up");
    assert_eq!(text(&llm, &ask("x")), "echo: x");
    assert_eq!(llm.unused_script(), []);
}

#[test]
fn a_scripted_reply_waits_for_the_message_it_is_meant_for() {
    let llm = FakeLlm::new();
    let weather = ScriptedReply::say("Sunny.").when("weather");
    llm.set_script([weather.clone(), ScriptedReply::say("anything")]);
    assert_eq!(text(&llm, &ask("hello")), "anything");
    assert_eq!(llm.unused_script(), [weather]);
    assert_eq!(text(&llm, &ask("the weather?")), "Sunny.");
}

#[test]
fn a_script_can_change_only_the_delays_and_the_cut() {
    let llm = FakeLlm::new();
    llm.push_script(
        ScriptedReply::as_usual()
            .slow(Duration::from_secs(3))
            .cut_after(2, Cut::Broken),
    );
    let completion = llm.plan(&ask("[slow 1] hi"));
    assert_eq!(completion.delays.before_first_byte, Duration::from_secs(3));
    assert_eq!(
        completion.answer().map(|a| (a.text.as_deref(), a.cut_after)),
        Some((Some("echo: [slow 1] hi"), Some(2)))
    );
}

#[test]
fn the_assistant_answers_in_character_and_from_context() {
    let llm = FakeLlm::new().with_behaviour(Behaviour::Assistant);
    let request = ask("hello");
    let hello = text(&llm, &request);
    assert!(hello.contains("Alpha"), "{hello}");
    let next = request
        .message(LlmMessage::assistant(hello))
        .message(LlmMessage::user("what did I say?"));
    assert_eq!(text(&llm, &next), "You said: “hello”");
    assert_eq!(text(&llm, &ask("[say markers still work]")), "markers still work");
}

#[test]
fn embeddings_are_unit_vectors_that_know_shared_words() {
    let llm = FakeLlm::new();
    let of = |text: &str| llm.embed(text, 256);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let cat = of("the cat sat on the mat");
    assert_eq!(cat, of("the cat sat on the mat"));
    assert!((dot(&cat, &cat) - 1.0).abs() < 1e-4);
    assert!(dot(&cat, &of("a cat sat there")) > dot(&cat, &of("quarterly revenue forecast")) + 0.2);
    assert_ne!(
        cat,
        FakeLlm::new().with_seed(1).embed("the cat sat on the mat", 256)
    );
    assert_eq!(llm.embed("", 4).len(), 4);
    assert_eq!(llm.embed("x", 0), Vec::<f32>::new());
}

fn joined(chunks: &[Chunk]) -> (String, String, Vec<String>) {
    let (mut reasoning, mut text, mut calls) = (String::new(), String::new(), Vec::<String>::new());
    for chunk in chunks {
        match chunk {
            Chunk::Reasoning(piece) => reasoning.push_str(piece),
            Chunk::Text(piece) => text.push_str(piece),
            Chunk::ToolCall { index, .. } => {
                assert_eq!(*index, calls.len());
                calls.push(String::new());
            }
            Chunk::ToolArguments { index, fragment } => calls[*index].push_str(fragment),
        }
    }
    (reasoning, text, calls)
}

proptest! {
    #[test]
    fn the_chunks_joined_are_the_answer(said in any::<String>(), think in "[^\\]]*", value in any::<String>()) {
        let llm = FakeLlm::new();
        let arguments = Map::from_iter([("v".to_owned(), Value::from(value))]);
        llm.push_script(ScriptedReply::say(said.clone()).think(think.clone()));
        llm.push_script(ScriptedReply::call("t", arguments.clone()).think(think.clone()));
        let spoken = answer(&llm, &ask("x"));
        prop_assert!(spoken.chunks().iter().all(|chunk| !matches!(chunk, Chunk::Text(t) | Chunk::Reasoning(t) if t.is_empty())));
        prop_assert_eq!(joined(&spoken.chunks()), (think.clone(), said, vec![]));
        let called = answer(&llm, &ask("x"));
        prop_assert_eq!(joined(&called.chunks()), (think, String::new(), vec![Value::Object(arguments).to_string()]));
    }

    #[test]
    fn the_same_seed_and_input_give_the_same_answer(
        seed in any::<u64>(),
        texts in proptest::collection::vec("(\\[(tool:a|say |think |long 3|context|empty)\\]| |[a-z?]){0,8}", 1..4),
    ) {
        let request = LlmRequest::new("fake-model").messages(texts.into_iter().map(LlmMessage::user));
        for behaviour in [Behaviour::Echo, Behaviour::Assistant] {
            let llm = || FakeLlm::new().with_seed(seed).with_behaviour(behaviour);
            prop_assert_eq!(llm().plan(&request), llm().plan(&request));
        }
    }

    #[test]
    fn any_text_is_echoed_or_steers(text in any::<String>()) {
        prop_assume!(!text.contains('[') && !text.contains('{') && !text.contains('<'));
        prop_assert_eq!(answer(&FakeLlm::new(), &ask(&text)).text, Some(format!("echo: {text}")));
    }
}
