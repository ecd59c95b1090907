"""Who is there, and what was said to whom."""
import dataclasses
import json
import os
import subprocess

from .person import UNFINISHED
from .waiting import USUALLY, until

ANSWERED, UNHEARD = (1, 1), (0, 0)
PERHAPS_HEARD = PERHAPS_ANSWERED = (0, 1)


@dataclasses.dataclass
class Agent:
    """An agent and its home."""

    name: str
    agent_id: str
    user_id: str = ""
    alias: str = ""
    room: str = ""


@dataclasses.dataclass
class Question:
    """A message of ours, with the mark by which it and its answer are known."""

    agent: Agent
    mark: str
    text: str
    heard: tuple
    answers: tuple
    event_id: str = ""
    before: int = 0


class Scene:
    """Everything that a check needs."""

    def __init__(self, letta, model, bridge, ann, stranger, agents, tag, tools, random, rounds, outage):
        self.letta, self.model, self.bridge, self.random = letta, model, bridge, random
        self.ann, self.stranger, self.tag, self.tools = ann, stranger, tag, tools
        self.agents, self.rounds, self.outage = agents, rounds, outage
        self.talker, self.user_of_tools, self.third = agents
        self.asked = []
        self.space = ""

    def another_agent(self, name):
        """A further agent, which none of the other checks speaks with."""
        return Agent(name, self.letta.agent(name, self.tag))

    def find_homes(self):
        """What the bridge made for the agents."""
        homes = self.homes()
        for agent in self.agents:
            agent.user_id, agent.alias = homes[agent.agent_id]["user_id"], homes[agent.agent_id]["room_alias"]

    def homes(self):
        """What the bridge made for which agent's id."""
        status = subprocess.run([*self.bridge.command[:1], "status", "--json"], cwd=self.bridge.folder, env=self.bridge.env,
                                capture_output=True, text=True, timeout=USUALLY, check=True)
        return {home["agent_id"]: home for home in json.loads(status.stdout)}

    @property
    def space_alias(self):
        return f"#letta-agents:{os.environ['MATRIX_SERVER_NAME']}"

    # ---- speaking ----

    def question(self, agent, text, heard=ANSWERED, answers=ANSWERED):
        """A text with a mark of its own where it says MARK, or at its end."""
        mark = f"q{len(self.asked):03}q"
        text = text.replace("MARK", mark) if "MARK" in text else f"{text} {mark}"
        question = Question(agent, mark, text, heard, answers, before=len(self.said(agent)))
        self.asked.append(question)
        return question

    async def ask(self, agent, text, person=None, heard=ANSWERED, answers=ANSWERED, **content):
        """Says something to an agent. `heard` and `answers`: how often at least and at most, when all is over."""
        question = self.question(agent, text, heard, answers)
        question.event_id = await (person or self.ann).say(agent.room, question.text, **content)
        return question

    # ---- hearing ----

    def said(self, agent):
        """What the agent said in its home, oldest first."""
        return self.ann.said_by(agent.room, agent.user_id)

    def since(self, question):
        """What the agent said since the question."""
        return self.said(question.agent)[question.before:]

    def answers(self, question):
        """The agent's messages that answer this question, finished or not."""
        return [said for said in self.said(question.agent)
                if question.mark in said.words and not said.is_notice and not said.body.startswith("🔧")]

    def notice(self, question, words):
        """The agent's notice with these words since the question, if there is one."""
        return next((said for said in self.since(question) if said.is_notice and words in said.body), None)

    def notices(self, question, words):
        """All of them."""
        return [said for said in self.since(question) if said.is_notice and words in said.body]

    def finished(self, question):
        return [said for said in self.answers(question) if not said.body.endswith(UNFINISHED)]

    async def answer(self, question, within=USUALLY):
        """The whole answer to a question, which is the only one."""
        await until(lambda: self.finished(question), f"{question.agent.name} answers {question.text!r}", within)
        answers = self.answers(question)
        assert len(answers) == 1, answers
        return answers[0]

    def tail(self, messages=8):
        """The end of every room."""
        lines = []
        for agent in self.agents:
            lines.append(f"    in the room of {agent.name}:")
            lines += [f"    {said.sender} ({said.edits} edits): {said.body[-200:]!r}"
                      for said in list(self.ann.messages.get(agent.room, {}).values())[-messages:]]
        return "\n".join(lines)
