"""Agents use tools, some of which ask first."""
from .scene import UNHEARD
from .waiting import never, until

TOOL = 40  # seconds for a tool of a real Letta, which starts a Python for it


async def a_tool_shows_a_notice_that_ends_in_done(scene):
    tool = scene.tools["free"]
    question = await scene.ask(scene.user_of_tools, call_of(tool))
    notice = await until(lambda: scene.notice(question, tool), "the notice is there", TOOL)
    assert notice.first["body"] == f"🔧 {tool} …", notice
    answer = await scene.answer(question, TOOL)
    assert answer.words == f"tool {tool} returned: seen {question.mark}", answer
    await until(lambda: f"🔧 {tool} · done in" in notice.body, "the notice ends in done")


async def a_tool_that_asks_runs_once_it_is_allowed(scene):
    tool = scene.tools["asking"]
    question = await scene.ask(scene.user_of_tools, call_of(tool))
    asked = await until(lambda: request(scene, question), "the agent asks", TOOL)
    assert tool in asked.body and question.mark in asked.body, asked
    await scene.stranger.react(scene.user_of_tools.room, asked.event_id, "✅")
    await never(lambda: scene.answers(question), "a stranger allowed a tool", during=2)
    await scene.ann.react(scene.user_of_tools.room, asked.event_id, "✅")
    answer = await scene.answer(question, TOOL)
    assert answer.words == f"tool {tool} returned: seen {question.mark}", answer
    await until(lambda: f"allowed by {scene.ann.user_id}" in asked.body, "the request shows who allowed it")


async def a_tool_that_asks_does_not_run_when_it_is_denied(scene):
    tool = scene.tools["asking"]
    question = await scene.ask(scene.user_of_tools, call_of(tool), answers=UNHEARD)
    asked = await until(lambda: request(scene, question), "the agent asks", TOOL)
    await scene.ann.react(scene.user_of_tools.room, asked.event_id, "❌")
    is_over = lambda: [said for said in scene.since(question) if said.body.startswith(f"tool {tool} returned:")]
    answers = await until(is_over, "the agent hears of it", TOOL)
    assert "denied" in answers[0].body and "seen" not in answers[0].body, answers
    await until(lambda: f"denied by {scene.ann.user_id}" in asked.body, "the request shows who denied it")


def call_of(tool):
    return f'[tool:{tool} {{"word": "MARK"}}]'


def request(scene, question):
    return next((said for said in scene.since(question) if "asks to use a tool" in said.body), None)
