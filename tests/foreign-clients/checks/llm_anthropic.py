"""The LLM fake, as Anthropic's own client sees it."""
import anthropic

FAKE = "llm"
MODEL = "fake-model"
ROLL = {"name": "roll", "input_schema": {
    "type": "object", "properties": {"sides": {"type": "integer"}}, "required": ["sides"]}}
THINKING = {"type": "enabled", "budget_tokens": 1024}


def client_of(fake, **options):
    return anthropic.Anthropic(base_url=fake.url, api_key="fake-key", **{"max_retries": 0, "timeout": 10} | options)


def say(text):
    return [{"role": "user", "content": text}]


def ask(client, text, **options):
    return client.messages.create(model=MODEL, max_tokens=2000, messages=say(text), **options)


def refused(error, call):
    try:
        call()
    except error as raised:
        return raised
    raise AssertionError(f"expected {error.__name__}")


def the_models_are_listed(fake):
    client = client_of(fake)
    assert [model.id for model in client.models.list()] == ["fake-model", "fake-model-b", "gpt-4o-mini"]
    assert client.models.retrieve("fake-model").display_name == "fake-model"


def a_message_is_answered(fake):
    message = ask(client_of(fake), "hello", system="Be brief.")
    assert [block.text for block in message.content] == ["echo: hello"]
    assert message.stop_reason == "end_turn" and message.usage.output_tokens == 3


def a_message_is_streamed(fake):
    with client_of(fake).messages.stream(model=MODEL, max_tokens=2000, messages=say("one two")) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()
    assert pieces == ["echo:", " one", " two"]
    assert message.content[0].text == "echo: one two" and message.usage.input_tokens > 0


def thinking_is_sent_when_it_is_asked_for(fake):
    client = client_of(fake)
    thoughts = [("thinking", "let me see"), ("text", "done")]
    plain = ask(client, "[think let me see] [say done]", thinking=THINKING)
    assert [(block.type, getattr(block, block.type)) for block in plain.content] == thoughts
    with client.messages.stream(model=MODEL, max_tokens=2000, messages=say("[think let me see] [say done]"),
                                thinking=THINKING) as stream:
        streamed = stream.get_final_message()
    assert [(block.type, getattr(block, block.type)) for block in streamed.content] == thoughts
    assert streamed.content[0].signature == plain.content[0].signature
    assert [block.type for block in ask(client, "[think let me see] [say done]").content] == ["text"]


def a_tool_is_used_and_its_result_told(fake):
    client, messages = client_of(fake), say('[tool:roll {"sides": 6}] [tool:roll {"sides": 20}]')
    with client.messages.stream(model=MODEL, max_tokens=2000, messages=messages, tools=[ROLL]) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "tool_use"
    assert [block.input for block in message.content] == [{"sides": 6}, {"sides": 20}]
    results = [{"type": "tool_result", "tool_use_id": block.id, "content": "4"} for block in message.content]
    messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
    answer = client.messages.create(model=MODEL, max_tokens=2000, messages=messages, tools=[ROLL])
    assert answer.content[0].text == "tool roll returned: 4; tool roll returned: 4"


def parallel_use_can_be_forbidden_and_a_tool_demanded(fake):
    client = client_of(fake)
    once = ask(client, "[tool:roll] [tool:roll]", tools=[ROLL],
               tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert len(once.content) == 1
    demanded = ask(client, "hello", tools=[ROLL], tool_choice={"type": "tool", "name": "roll"})
    assert demanded.content[0].input == {"sides": 0}


def every_status_becomes_the_clients_error(fake):
    client = client_of(fake)
    for status, error, kind in [
            (400, anthropic.BadRequestError, "invalid_request_error"),
            (401, anthropic.AuthenticationError, "authentication_error"),
            (403, anthropic.PermissionDeniedError, "permission_error"),
            (404, anthropic.NotFoundError, "not_found_error"),
            (429, anthropic.RateLimitError, "rate_limit_error"),
            (500, anthropic.InternalServerError, "api_error"),
            (529, anthropic.InternalServerError, "overloaded_error")]:
        raised = refused(error, lambda: ask(client, f"[fail {status}]"))
        assert (raised.status_code, raised.body["error"]["type"]) == (status, kind), raised
    assert "prompt is too long" in str(refused(anthropic.BadRequestError, lambda: ask(client, "[ctx]")))
    unknown = lambda: client.messages.create(model="other", max_tokens=1, messages=say("x"))
    assert "model: other" in str(refused(anthropic.NotFoundError, unknown))


def a_scripted_overload_is_retried_by_the_client(fake):
    fake.call("PUT", "/_fake/script", [{"fail": 529, "retry_after": 0}, {"say": "at last"}])
    assert ask(client_of(fake, max_retries=2), "hello").content[0].text == "at last"


def a_cut_stream_is_noticed(fake):
    pieces = []

    def read():
        with client_of(fake).messages.stream(model=MODEL, max_tokens=2000,
                                             messages=say("[cutstream] one two three")) as stream:
            pieces.extend(stream.text_stream)

    # The client passes its HTTP library's own error on when a stream breaks.
    broken = refused(Exception, read)
    assert "closed" in str(broken) or isinstance(broken, anthropic.APIConnectionError), repr(broken)


def tokens_are_counted(fake):
    counted = client_of(fake).messages.count_tokens(model=MODEL, messages=say("12345678"))
    assert counted.input_tokens == 2
