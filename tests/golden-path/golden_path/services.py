"""The servers around us: Letta's REST API, the script of the language model, and the switch of the servers."""
import asyncio
import json
import os
import urllib.error
import urllib.request
from pathlib import Path

CTL = Path(__file__).resolve().parents[2] / "real-services/ctl"
SLOWEST = 60  # seconds for one request
LONGEST_START = 120  # seconds for a server to stop or start
MODEL, EMBEDDING = "openai-proxy/fake-model", "openai/text-embedding-3-small"
NOBODY = "agent-00000000-0000-4000-8000-000000000000"

TOOL = '''def {name}(word: str) -> str:
    """Looks a word up.

    Args:
        word (str): The word.

    Returns:
        str: What was seen.
    """
    return "seen " + word
'''


def call(method, url, body=None, token=None):
    """The JSON of the answer; anything but success is an error."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, method=method, headers=headers, data=None if body is None else json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=SLOWEST) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {url}: {error.code} {error.read()[:500]!r}") from None
    return json.loads(text) if text else None


class Letta:
    """Agents and tools of our own, until the `with` ends."""

    def __init__(self):
        self.url, self.token = os.environ["LETTA_API_URL"], os.environ["LETTA_TOKEN"]
        self.made = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for path in reversed(self.made):
            try:
                self.call("DELETE", path)
            except (AssertionError, OSError) as error:
                print(f"left behind: {path}: {error}", flush=True)

    def call(self, method, path, body=None):
        return call(method, self.url + path, body, self.token)

    def agent(self, name, tag, tools=()):
        """Makes an agent; gives its id."""
        agent = self.call("POST", "/v1/agents/", {"name": name, "tags": [tag], "model": MODEL, "embedding": EMBEDDING,
                                                  "tool_ids": list(tools), "include_base_tools": False})
        self.made.append(f"/v1/agents/{agent['id']}")
        return agent["id"]

    def tool(self, name, asks=False):
        """Makes a tool, which may ask before it is used; gives its id."""
        tool = self.call("POST", "/v1/tools/", {"source_code": TOOL.format(name=name), "source_type": "python",
                                                "default_requires_approval": asks})
        self.made.append(f"/v1/tools/{tool['id']}")
        return tool["id"]

    def has_redis(self):
        """Whether it keeps the events of runs: without Redis it says so before it looks whose they are."""
        try:
            self.call("POST", "/v1/conversations/default/stream", {"agent_id": NOBODY})
        except AssertionError as error:
            return "requires Redis" not in str(error)
        return True

    def history(self, agent):
        """Everything that was said to the agent and by it, oldest first."""
        return self.call("GET", f"/v1/agents/{agent}/messages?limit=1000")


def heard_by(history):
    """The texts that people said, as the agent read them."""
    texts = []
    for message in history:
        if message["message_type"] == "user_message":
            content = message["content"]
            parts = [content] if isinstance(content, str) else [part.get("text", "") for part in content]
            texts.append("\n".join(parts))
    return texts


class Model:
    """What the language model is to say instead of what it would."""

    def __init__(self):
        self.url = os.environ["REAL_LLM_URL"].removesuffix("/v1") + "/_fake/script"

    def fail(self, when):
        """Fails whenever a message holds this."""
        call("POST", self.url, [{"when": when, "times": 1000, "fail": 500}])

    def recover(self, when):
        """No longer does."""
        call("PUT", self.url, [reply for reply in call("GET", self.url) if reply.get("when") != when])


async def switch(action, name):
    """Stops or starts a server."""
    process = await asyncio.create_subprocess_exec(CTL, action, name, stdout=asyncio.subprocess.PIPE,
                                                   stderr=asyncio.subprocess.STDOUT)
    try:
        output, _ = await asyncio.wait_for(process.communicate(), LONGEST_START)
    except asyncio.TimeoutError:
        process.kill()
        raise AssertionError(f"ctl {action} {name} does not end") from None
    assert process.returncode == 0, f"ctl {action} {name}: {output.decode()}"
