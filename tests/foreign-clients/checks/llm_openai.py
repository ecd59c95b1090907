"""The LLM fake, as OpenAI's own client sees it."""
import json
import math

import openai

FAKE = "llm"
MODEL = "fake-model"
ROLL = {"type": "function", "function": {
    "name": "roll", "parameters": {"type": "object", "properties": {"sides": {"type": "integer"}}, "required": ["sides"]}}}


def client_of(fake, **options):
    return openai.OpenAI(base_url=f"{fake.url}/v1", api_key="fake-key", **{"max_retries": 0, "timeout": 10} | options)


def say(text):
    return [{"role": "user", "content": text}]


def ask(client, text, **options):
    return client.chat.completions.create(model=MODEL, messages=say(text), **options)


def refused(error, call):
    try:
        call()
    except error as raised:
        return raised
    raise AssertionError(f"expected {error.__name__}")


def the_models_are_listed(fake):
    client = client_of(fake)
    assert [model.id for model in client.models.list()] == ["fake-model", "fake-model-b", "gpt-4o-mini"]
    assert client.models.retrieve("text-embedding-3-small").id == "text-embedding-3-small"
    refused(openai.NotFoundError, lambda: client.models.retrieve("other"))


def a_chat_is_answered(fake):
    answer = ask(client_of(fake), "hello")
    assert answer.choices[0].message.content == "echo: hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def a_chat_is_streamed(fake):
    chunks = list(ask(client_of(fake), "one two three", stream=True, stream_options={"include_usage": True}))
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == "echo: one two three" and len([piece for piece in pieces if piece]) == 4
    assert chunks[-1].usage.completion_tokens > 0 and not chunks[-1].choices
    assert {chunk.id for chunk in chunks} == {chunks[0].id}


def the_clients_own_accumulator_puts_a_stream_together(fake):
    text = '[think let me see] [tool:roll {"sides": 6}] [tool:roll {"sides": 20}]'
    with client_of(fake).chat.completions.stream(model=MODEL, messages=say(text), tools=[ROLL]) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message
    assert [json.loads(call.function.arguments) for call in message.tool_calls] == [{"sides": 6}, {"sides": 20}]
    assert len({call.id for call in message.tool_calls}) == 2


def a_tool_is_called_and_its_result_told(fake):
    client, messages = client_of(fake), say('[tool:roll {"sides": 6}]')
    message = client.chat.completions.create(model=MODEL, messages=messages, tools=[ROLL]).choices[0].message
    call = message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("roll", {"sides": 6})
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "4"}]
    answer = client.chat.completions.create(model=MODEL, messages=messages, tools=[ROLL])
    assert answer.choices[0].message.content == "tool roll returned: 4"


def a_demanded_tool_is_called_with_fitting_arguments(fake):
    message = ask(client_of(fake), "hello", tools=[ROLL], tool_choice="required").choices[0].message
    assert json.loads(message.tool_calls[0].function.arguments) == {"sides": 0}


def the_conversation_is_remembered(fake):
    messages = say("hello") + [{"role": "assistant", "content": "echo: hello"}] + say("[context]")
    answer = client_of(fake).chat.completions.create(model=MODEL, messages=messages)
    assert answer.choices[0].message.content == "context: 1 earlier user turn, the first was: hello"


def images_are_counted(fake):
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]
    answer = client_of(fake).chat.completions.create(model=MODEL, messages=[{"role": "user", "content": parts}])
    assert answer.choices[0].message.content == "echo: look [images: 1]"


def every_status_becomes_the_clients_error(fake):
    client = client_of(fake)
    for status, error in [(400, openai.BadRequestError), (401, openai.AuthenticationError),
                          (403, openai.PermissionDeniedError), (404, openai.NotFoundError),
                          (422, openai.UnprocessableEntityError), (429, openai.RateLimitError),
                          (500, openai.InternalServerError), (503, openai.InternalServerError)]:
        assert refused(error, lambda: ask(client, f"[fail {status}]")).status_code == status
        assert refused(error, lambda: ask(client, f"[fail {status}]", stream=True)).status_code == status
    assert refused(openai.BadRequestError, lambda: ask(client, "[ctx]")).code == "context_length_exceeded"
    unknown = lambda: client.chat.completions.create(model="other", messages=say("x"))
    assert refused(openai.NotFoundError, unknown).code == "model_not_found"
    assert refused(openai.BadRequestError, lambda: client.chat.completions.create(model=MODEL, messages=[])).param == "messages"


def a_scripted_rate_limit_is_retried_by_the_client(fake):
    fake.call("DELETE", "/_fake/requests")
    status, _ = fake.call("PUT", "/_fake/script", [{"fail": 429, "retry_after": 0}, {"say": "at last"}])
    assert status == 204
    assert ask(client_of(fake, max_retries=2), "hello").choices[0].message.content == "at last"
    _, journal = fake.call("GET", "/_fake/requests")
    assert [request["status"] for request in journal["requests"]] == [429, 200]


def a_failure_on_every_try_is_raised_in_the_end(fake):
    fake.call("PUT", "/_fake/script", [{"fail": 503, "times": 3, "retry_after": 0}])
    refused(openai.InternalServerError, lambda: ask(client_of(fake, max_retries=2), "hello"))
    assert fake.call("GET", "/_fake/script") == (200, [])


def a_cut_stream_is_noticed(fake):
    pieces = []

    def read():
        for chunk in ask(client_of(fake), "[cutstream] one two three", stream=True):
            pieces.append(chunk.choices[0].delta.content)

    # The client passes its HTTP library's own error on when a stream breaks.
    broken = refused(Exception, read)
    assert "closed" in str(broken) or isinstance(broken, openai.APIConnectionError), repr(broken)
    assert "".join(filter(None, pieces)) == "echo:"


def a_hang_up_is_a_connection_error(fake):
    fake.call("PUT", "/_fake/script", [{"disconnect": True}])
    refused(openai.APIConnectionError, lambda: ask(client_of(fake), "hello"))


def a_slow_answer_times_out(fake):
    refused(openai.APITimeoutError, lambda: ask(client_of(fake, timeout=0.3), "[slow 30]"))


def a_page_instead_of_json_is_no_answer(fake):
    refused(json.JSONDecodeError, lambda: ask(client_of(fake), "[badjson]"))


def embeddings_are_the_same_in_both_encodings(fake):
    client = client_of(fake)
    packed = client.embeddings.create(model="text-embedding-3-small", input=["the cat", "the cat sat"])
    plain = client.embeddings.create(model="text-embedding-3-small", input=["the cat"], encoding_format="float")
    vector = packed.data[0].embedding
    assert len(vector) == 1536 and len(packed.data) == 2
    assert math.isclose(sum(x * x for x in vector), 1, abs_tol=1e-4)
    assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(vector, plain.data[0].embedding))
    small = client.embeddings.create(model="text-embedding-3-small", input="x", dimensions=8)
    assert len(small.data[0].embedding) == 8
    refused(openai.NotFoundError, lambda: client.embeddings.create(model=MODEL, input="x"))
