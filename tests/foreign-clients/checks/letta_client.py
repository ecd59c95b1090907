"""The Letta fake, as Letta's own client sees it.

The client builds its answers without looking at them twice; here they are also
validated against its models, field by field. Nothing here knows the fake
except where it steers it: everything else must hold on a real server too,
with the LLM fake as its model's provider.
"""
import base64
import json
import threading
import uuid
from contextlib import contextmanager

import letta_client as letta
from letta_client.types import AgentState, Conversation, Tool, ToolReturnMessage
from letta_client.types.agents import LettaResponse, LettaStreamingResponse, Message, Run
from pydantic import TypeAdapter

from foreign_clients.fakes import wait_until

FAKE = "letta"
MODEL, EMBEDDING = "openai-proxy/fake-model", "openai/text-embedding-3-small"
SEARCH = '[tool:conversation_search {"query": "nothing"}]'
PIXEL = base64.b64encode(bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cf50"
    "0f0003860180f55a2c3e0000000049454e44ae426082")).decode()


def client_of(fake, **options):
    return letta.Letta(base_url=fake.url, api_key=fake.token, **{"max_retries": 0, "timeout": 60} | options)


def fits(model, raw):
    """Fails unless the JSON is what the client's model promises."""
    return TypeAdapter(model).validate_python(raw)


@contextmanager
def agent_of(client, **options):
    """An agent that is gone afterwards."""
    agent = client.agents.create(**{"name": "Foreign", "model": MODEL, "embedding": EMBEDDING} | options)
    try:
        yield agent
    finally:
        client.agents.delete(agent.id)


@contextmanager
def talk(fake, **options):
    client = client_of(fake)
    with agent_of(client, **options) as agent:
        yield client, agent, lambda text, **more: client.agents.messages.create(agent.id, input=text, **more)


def refused(error, call):
    try:
        call()
    except error as raised:
        return raised
    raise AssertionError(f"expected {error.__name__}")


def parts(answer):
    """What happened, in short."""
    shown = {"assistant_message": "content", "reasoning_message": "reasoning"}
    return [(each.message_type, getattr(each, shown.get(each.message_type, ""), None)) for each in answer.messages]


def joined(events, kind, field):
    return "".join(getattr(event, field) or "" for event in events if event.message_type == kind)


def the_server_is_healthy(fake):
    assert client_of(fake).health().status == "ok"


def an_agent_is_made_read_renamed_and_deleted(fake):
    client = client_of(fake)
    made = client.agents.with_raw_response.create(
        name="Foreign One", model=MODEL, embedding=EMBEDDING, description="a test", tags=["b", "a"],
        metadata={"k": "v"}, memory_blocks=[{"label": "human", "value": "Name: Bob"}, {"label": "persona", "value": "I am X."}])
    agent = fits(AgentState, json.loads(made.text()))
    assert (agent.name, agent.description, sorted(agent.tags), agent.metadata) == ("Foreign One", "a test", ["a", "b"], {"k": "v"})
    assert {block.label: block.value for block in agent.memory.blocks} == {"human": "Name: Bob", "persona": "I am X."}
    assert agent.model == MODEL and agent.agent_type == "letta_v1_agent" and agent.created_at
    assert "conversation_search" in {tool.name for tool in agent.tools}
    bare = client.agents.retrieve(agent.id)
    assert (bare.name, bare.tags, bare.tools) == ("Foreign One", [], [])
    assert sorted(client.agents.retrieve(agent.id, include=["agent.tags"]).tags) == ["a", "b"]
    renamed = client.agents.with_raw_response.update(agent.id, name="Foreign / Two", description="renamed")
    fits(AgentState, json.loads(renamed.text()))
    read = client.agents.retrieve(agent.id)
    assert (read.name, read.description) == ("Foreign / Two", "renamed")
    client.agents.delete(agent.id)
    assert "not found" in str(refused(letta.NotFoundError, lambda: client.agents.retrieve(agent.id)))
    refused(letta.NotFoundError, lambda: client.agents.delete(agent.id))
    refused(letta.NotFoundError, lambda: client.agents.update(agent.id, name="x"))
    refused(letta.UnprocessableEntityError, lambda: client.agents.retrieve("nope"))


def names_and_models_that_do_not_fit_are_refused(fake):
    client = client_of(fake)
    make = lambda **options: client.agents.create(**{"name": "x", "model": MODEL, "embedding": EMBEDDING} | options)
    assert "invalid characters" in str(refused(letta.InternalServerError, lambda: make(name="a/b")))
    refused(letta.NotFoundError, lambda: make(model="openai-proxy/other"))


def agents_are_listed_over_all_pages(fake):
    client, tag = client_of(fake), f"t{uuid.uuid4().hex[:8]}"
    made = [client.agents.create(name=f"Foreign {n}", model=MODEL, embedding=EMBEDDING, tags=[tag]) for n in range(5)]
    try:
        ids = [agent.id for agent in made]
        assert [agent.id for agent in client.agents.list(tags=[tag], limit=2, order="asc")] == ids
        assert [agent.id for agent in client.agents.list(tags=[tag], limit=2)] == ids[::-1]
        assert [agent.name for agent in client.agents.list(tags=[tag], name="Foreign 3")] == ["Foreign 3"]
        assert len(client.agents.list(tags=[tag], query_text="foreign").items) == 5
        assert client.agents.list(tags=[tag], include=["agent.tags"]).items[0].tags == [tag]
        page = client.agents.with_raw_response.list(tags=[tag])
        assert len(fits(list[AgentState], json.loads(page.text()))) == 5
        assert tag in list(client.tags.list(limit=1000))
        again = client.agents.list(tags=[tag], limit=2, order="asc", after=f"agent-{uuid.uuid4()}").items
        assert [agent.id for agent in again] == ids[:2], "an unknown cursor starts from the beginning"
    finally:
        for agent in made:
            client.agents.delete(agent.id)


def a_message_is_answered(fake):
    with talk(fake) as (client, agent, say):
        raw = client.agents.messages.with_raw_response.create(agent.id, input="[think let me see] hello")
        answer = fits(LettaResponse, json.loads(raw.text()))
        assert parts(answer) == [("reasoning_message", "let me see"), ("assistant_message", "echo: [think let me see] hello")]
        assert answer.stop_reason.stop_reason == "end_turn" and answer.usage.total_tokens > 0
        assert answer.messages[0].id == answer.messages[1].id and answer.messages[0].otid != answer.messages[1].otid
        assert parts(say("[context]")) == [
            ("assistant_message", "context: 1 earlier user turn, the first was: [think let me see] hello")]
        assert parts(say("[empty]")) == []


def a_tool_is_called(fake):
    with talk(fake) as (client, agent, say):
        answer = say(SEARCH)
        assert [kind for kind, _ in parts(answer)] == ["tool_call_message", "tool_return_message", "assistant_message"]
        call, returned, told = answer.messages
        assert call.tool_call.name == "conversation_search" and json.loads(call.tool_call.arguments) == {"query": "nothing"}
        assert (returned.status, returned.tool_call_id) == ("success", call.tool_call.tool_call_id)
        assert told.content.startswith("tool conversation_search returned:")
        assert [kind for kind, _ in parts(say(f"[loop:conversation_search {{}}]", max_steps=2))].count("tool_call_message") == 2


def an_answer_is_streamed_in_pieces(fake):
    with talk(fake) as (client, agent, _):
        with client.agents.messages.with_streaming_response.stream(
                agent.id, input="[think a b] one two", stream_tokens=True) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            frames = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]
        assert frames[-1] == "[DONE]"
        for frame in frames[:-1]:
            fits(LettaStreamingResponse, json.loads(frame))
        events = list(client.agents.messages.stream(agent.id, input="[think a b] one two", stream_tokens=True))
        assert events[0].message_type == "ping" and events[0].run_id
        assert joined(events, "reasoning_message", "reasoning") == "a b"
        assert joined(events, "assistant_message", "content") == "echo: [think a b] one two"
        assert len({event.id for event in events if event.message_type == "assistant_message"}) == 1
        assert len([event for event in events if event.message_type == "assistant_message"]) > 2
        assert [event.message_type for event in events[-2:]] == ["stop_reason", "usage_statistics"]


def an_answer_is_streamed_step_by_step(fake):
    with talk(fake) as (client, agent, _):
        events = list(client.agents.messages.create(agent.id, input=SEARCH, streaming=True))
        assert [event.message_type for event in events] == [
            "ping", "tool_call_message", "tool_return_message", "assistant_message", "stop_reason", "usage_statistics"]
        quiet = list(client.agents.messages.stream(agent.id, input="x", include_pings=False))
        assert quiet[0].message_type == "assistant_message"


def failures_of_the_model_keep_their_class(fake):
    with talk(fake) as (client, agent, say):
        for text, error, kind in [
                ("[fail 400]", letta.BadRequestError, "llm_bad_request"),
                ("[fail 401]", letta.AuthenticationError, "llm_authentication"),
                ("[fail 429]", letta.RateLimitError, "llm_rate_limit"),
                ("[fail 403]", letta.InternalServerError, "llm_error"),
                ("[badjson]", letta.InternalServerError, "llm_error")]:
            assert refused(error, lambda: say(text)).body["error"]["type"] == kind
        say("something to make room with")
        assert "CONTEXT_WINDOW_EXCEEDED" in str(refused(letta.BadRequestError, lambda: say("[ctx] x")))
        read = []
        failed = refused(letta.APIStatusError, lambda: read.extend(
            client.agents.messages.stream(agent.id, input="[fail 401]", stream_tokens=True)))
        assert failed.body["error_type"] == "llm_authentication" and failed.status_code == 200
        assert parts(say("hello")) == [("assistant_message", "echo: hello")]


def a_message_that_is_none_is_refused(fake):
    with talk(fake) as (client, agent, say):
        send = lambda messages: client.agents.messages.create(agent.id, messages=messages)
        refused(letta.BadRequestError, lambda: say(""))
        refused(letta.UnprocessableEntityError, lambda: send([]))
        refused(letta.UnprocessableEntityError, lambda: send([{"role": "wizard", "content": "x"}]))
        refused(letta.NotFoundError, lambda: client.agents.messages.create(f"agent-{uuid.uuid4()}", input="x"))
        refused(letta.NotFoundError, lambda: client.agents.messages.stream(f"agent-{uuid.uuid4()}", input="x"))


def images_reach_the_model_and_the_history(fake):
    with talk(fake) as (client, agent, _):
        content = [{"type": "text", "text": "look"},
                   {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}]
        answer = client.agents.messages.create(agent.id, messages=[{"role": "user", "content": content}])
        assert parts(answer) == [("assistant_message", "echo: look [images: 1]")]
        said = [each for each in client.agents.messages.list(agent.id).items if each.message_type == "user_message"][-1]
        assert [part.type for part in said.content] == ["text", "image"]


def the_history_is_read_in_pages(fake):
    with talk(fake) as (client, agent, say):
        for text in ["one", "two", "three"]:
            say(text)
        raw = client.agents.messages.with_raw_response.list(agent.id, limit=100)
        every = fits(list[Message], json.loads(raw.text()))
        texts = [each.content for each in every if each.message_type in ("user_message", "assistant_message")]
        assert texts == ["one", "echo: one", "two", "echo: two", "three", "echo: three"]
        newest = client.agents.messages.list(agent.id, limit=2).items
        assert [each.content for each in newest] == ["three", "echo: three"]
        older = client.agents.messages.list(agent.id, limit=2, before=newest[0].id).items
        assert [each.content for each in older] == ["two", "echo: two"]
        refused(letta.NotFoundError, lambda: client.agents.messages.list(agent.id, before=f"message-{uuid.uuid4()}"))


def an_otid_and_a_sender_are_kept(fake):
    with talk(fake) as (client, agent, _):
        otid = str(uuid.uuid4())
        message = {"role": "user", "content": "hi", "otid": otid, "name": "bob", "sender_id": "@bob:example.org"}
        client.agents.messages.create(agent.id, messages=[message])
        said = [each for each in client.agents.messages.list(agent.id).items if each.message_type == "user_message"][-1]
        assert (said.otid, said.name, said.sender_id) == (otid, "bob", "@bob:example.org")


def a_reset_forgets_the_context_only(fake):
    with talk(fake) as (client, agent, say):
        say("one")
        client.agents.messages.reset(agent.id, add_default_initial_messages=True)
        assert parts(say("[context]")) == [("assistant_message", "context: 0 earlier user turns")]
        assert "one" in [getattr(each, "content", None) for each in client.agents.messages.list(agent.id).items]


def approvals_are_asked_for_and_answered(fake):
    with talk(fake) as (client, agent, say):
        client.agents.tools.update_approval("conversation_search", agent_id=agent.id, body_requires_approval=True)
        decide = lambda call, **decision: client.agents.messages.create(agent.id, messages=[
            {"type": "approval", "approvals": [{"type": "approval", "tool_call_id": call} | decision]}])

        raw = client.agents.messages.with_raw_response.create(agent.id, input=SEARCH)
        asked = fits(LettaResponse, json.loads(raw.text()))
        assert asked.stop_reason.stop_reason == "requires_approval"
        request = asked.messages[-1]
        assert request.message_type == "approval_request_message" and request.tool_call.name == "conversation_search"
        waiting = client.agents.retrieve(agent.id, include=["agent.pending_approval"]).pending_approval
        assert waiting.id == request.id
        conflict = refused(letta.ConflictError, lambda: say("hello?"))
        assert conflict.body["detail"]["code"] == "PENDING_APPROVAL"
        refused(letta.BadRequestError, lambda: decide("call_other", approve=True))
        approved = decide(request.tool_call.tool_call_id, approve=True)
        assert [kind for kind, _ in parts(approved)] == ["tool_return_message", "assistant_message"]

        asked = list(client.agents.messages.stream(agent.id, input=SEARCH, stream_tokens=True))
        calls = [event.tool_call for event in asked if event.message_type == "approval_request_message"]
        assert "".join(call.arguments or "" for call in calls) == '{"query": "nothing"}'
        denied = decide(next(call.tool_call_id for call in calls if call.tool_call_id), approve=False, reason="not now")
        returned = denied.messages[0]
        assert isinstance(returned, ToolReturnMessage) and returned.status == "error"
        assert "not now" in returned.tool_return
        assert client.agents.retrieve(agent.id, include=["agent.pending_approval"]).pending_approval is None


def a_client_runs_its_own_tools(fake):
    with talk(fake) as (client, agent, say):
        tools = [{"name": "ask_room", "description": "d", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}]
        asked = say('[tool:ask_room {"q": "who"}]', client_tools=tools)
        call = asked.messages[-1].tool_call
        told = client.agents.messages.create(agent.id, client_tools=tools, messages=[
            {"type": "approval", "approvals": [
                {"type": "tool", "tool_call_id": call.tool_call_id, "tool_return": "me", "status": "success"}]}])
        assert parts(told)[-1] == ("assistant_message", "tool ask_room returned: me")


def conversations_have_contexts_of_their_own(fake):
    with talk(fake) as (client, agent, say):
        say("in the default one")
        raw = client.conversations.with_raw_response.create(agent_id=agent.id, summary="first")
        one = fits(Conversation, json.loads(raw.text()))
        two = client.conversations.create(agent_id=agent.id)
        assert one.agent_id == agent.id and one.summary == "first"
        ask = lambda conversation, text, **more: list(client.conversations.messages.create(conversation.id, input=text, **more))
        assert joined(ask(one, "hello"), "assistant_message", "content") == "echo: hello"
        assert joined(ask(one, "[context]"), "assistant_message", "content").startswith("context: 1 earlier")
        assert joined(ask(two, "[context]", stream_tokens=True), "assistant_message", "content") == "context: 0 earlier user turns"
        listed = client.conversations.with_raw_response.list(agent_id=agent.id)
        assert [each.id for each in fits(list[Conversation], json.loads(listed.text()))] == [two.id, one.id]
        texts = [each.content for each in client.conversations.messages.list(one.id).items
                 if each.message_type in ("user_message", "assistant_message")]
        assert texts == ["context: 1 earlier user turn, the first was: hello", "[context]", "echo: hello", "hello"]
        client.conversations.update(one.id, summary="renamed")
        assert client.conversations.retrieve(one.id).summary == "renamed"
        client.conversations.delete(one.id)
        refused(letta.NotFoundError, lambda: client.conversations.retrieve(one.id))
        refused(letta.ConflictError, lambda: client.conversations.cancel(two.id))


def a_conversation_takes_one_stream_at_a_time(fake):
    with talk(fake) as (client, agent, _):
        conversation = client.conversations.create(agent_id=agent.id)
        message = {"role": "user", "content": "[slow 3] x", "otid": str(uuid.uuid4())}
        stream = client.conversations.messages.create(conversation.id, messages=[message])
        events = iter(stream)
        next(events)
        busy = refused(letta.ConflictError, lambda: client.conversations.messages.create(conversation.id, input="y"))
        assert busy.body["run_id"].startswith("run-")
        list(events)
        assert list(client.conversations.messages.create(conversation.id, input="z"))


def a_background_run_is_joined_again(fake):
    with talk(fake) as (client, agent, _):
        whole = list(client.agents.messages.stream(agent.id, input="one two three", stream_tokens=True, background=True))
        assert whole[1].seq_id == whole[0].seq_id + 1
        run = whole[0].run_id
        again = list(client.runs.messages.stream(run, starting_after=whole[1].seq_id))
        assert joined(again, "assistant_message", "content") == " one two three"
        raw = client.runs.with_raw_response.retrieve(run)
        assert fits(Run, json.loads(raw.text())).status == "completed"
        assert run in [each.id for each in client.runs.list(agent_id=agent.id).items]
        assert [each.message_type for each in client.runs.messages.list(run).items] == ["user_message", "assistant_message"]
        foreground = list(client.agents.messages.stream(agent.id, input="x"))[0].run_id
        refused(letta.BadRequestError, lambda: client.runs.messages.stream(foreground, starting_after=0))
        refused(letta.NotFoundError, lambda: client.runs.retrieve(f"run-{uuid.uuid4()}"))


def a_run_goes_on_behind_the_back(fake):
    with talk(fake) as (client, agent, _):
        raw = client.agents.messages.with_raw_response.create_async(agent.id, input="hello")
        run = fits(Run, json.loads(raw.text()))
        done = wait_until(lambda: (found := client.runs.retrieve(run.id)).status not in ("created", "running") and found,
                          "the run has ended")
        assert done.status == "completed"
        assert [each.message_type for each in client.runs.messages.list(run.id).items][-1] == "assistant_message"


def a_run_is_cancelled(fake):
    with talk(fake) as (client, agent, _):
        events = []
        stream = client.agents.messages.stream(agent.id, input="[trickle 20] " + "word " * 200, stream_tokens=True)
        reading = threading.Thread(target=lambda: events.extend(stream))
        reading.start()
        wait_until(lambda: client.runs.list(agent_id=agent.id, active=True).items, "the run is there")
        outcome = client.agents.messages.cancel(agent.id)
        reading.join(30)
        assert not reading.is_alive()
        assert list(outcome.values()) == ["cancelled"]
        assert [event.stop_reason for event in events if event.message_type == "stop_reason"] == ["cancelled"]


def models_and_tools_are_listed(fake):
    client = client_of(fake)
    assert {"openai-proxy/fake-model", "openai-proxy/fake-model-b"} <= {model.handle for model in client.models.list()}
    raw = client.tools.with_raw_response.list(name="conversation_search")
    assert [tool.name for tool in fits(list[Tool], json.loads(raw.text()))] == ["conversation_search"]
    with agent_of(client) as agent:
        assert "conversation_search" in {tool.name for tool in client.agents.tools.list(agent.id)}


def a_wrong_key_is_noticed(fake):
    fake.call("GET", "/_fake/health")
    fake.call("POST", "/_fake/faults", {"method": "list_agents", "fail": "unauthorized"})
    refused(letta.AuthenticationError, lambda: client_of(fake).agents.list())


def a_planned_failure_is_retried_by_the_client(fake):
    fake.call("DELETE", "/_fake/calls")
    fake.call("POST", "/_fake/faults", [{"method": "count_agents", "fail": "server"},
                                        {"method": "list_agents", "fail": "server", "times": 2}])
    client_of(fake, max_retries=2).agents.list()
    assert [call["method"] for call in fake.call("GET", "/_fake/calls")[1]] == ["list_agents"] * 3
    assert len(fake.call("GET", "/_fake/faults")[1]) == 1
    fake.call("DELETE", "/_fake/faults")


def what_a_network_does_is_an_error(fake):
    client = client_of(fake)
    plan = lambda fault: fake.call("POST", "/_fake/wire-faults", {"method": "GET", "path": "/v1/agents/*", "fault": fault})
    for fault, error in [
            ({"html": {"status": 502}}, letta.InternalServerError),
            ({"huge_body": {"status": 500, "bytes": 10_000_000}}, letta.InternalServerError),
            ("close", letta.APIConnectionError),
            ("half_body", letta.APIConnectionError),
            ({"cut_after": {"bytes": 1}}, letta.APIConnectionError)]:
        assert plan(fault)[0] == 204
        refused(error, client.agents.list)
    plan({"stall": 30})
    refused(letta.APITimeoutError, client_of(fake, timeout=0.3).agents.list)
    assert isinstance(client.agents.list().items, list)


def replies_are_scripted(fake):
    with talk(fake) as (client, agent, say):
        fake.call("POST", "/_fake/script", {"agent": agent.id, "replies": [{"say": "Sunny.", "think": "Look."}]})
        assert parts(say("the weather?")) == [("reasoning_message", "Look."), ("assistant_message", "Sunny.")]


def tools_are_made_up(fake):
    fake.call("POST", "/_fake/tools", {"name": "dice", "output": "rolled 4", "requires_approval": True})
    with talk(fake, tools=["dice"]) as (client, agent, say):
        assert say("[tool:dice]").stop_reason.stop_reason == "requires_approval"
