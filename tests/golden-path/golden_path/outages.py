"""Everything goes away and comes back, and every message is answered once all the same."""
import asyncio

from .absence import LONG, RECOVERY, all_are_answered, away, wait_out_an_outage_of_letta
from .person import UNFINISHED
from .services import heard_by
from .tools import TOOL, call_of, request
from .waiting import until

MARKERS = ("[slow 5]", "[slow 2] [trickle 3]", "[trickle 5]", "[slow 1]")
LONGEST_ANSWER = 6.5  # seconds
TOOL_RUNS = 6  # seconds


async def a_bridge_that_is_killed_answers_once_all_the_same(scene):
    for number in range(scene.rounds):
        texts = [scene.random.choice((*MARKERS, call_of(scene.tools["free"]))) for _ in scene.agents]
        questions = await asyncio.gather(*map(scene.ask, scene.agents, texts))
        moments = [scene.random.uniform(0, LONGEST_ANSWER), *scene.random.choice(((), (scene.random.uniform(0, 1),)))]
        for moment in moments:
            await asyncio.sleep(moment)
            scene.bridge.kill()
            await scene.bridge.start()
        try:
            await asyncio.gather(*(scene.answer(question, RECOVERY) for question in questions))
        except AssertionError as error:
            raise AssertionError(f"round {number}, killed after {moments} s: {error}") from error


async def a_decision_outlives_a_bridge_that_is_killed(scene):
    question = await scene.ask(scene.user_of_tools, call_of(scene.tools["asking"]))
    asked = await until(lambda: request(scene, question), "the agent asks", TOOL)
    scene.bridge.kill()
    await scene.bridge.start()
    await scene.ann.react(scene.user_of_tools.room, asked.event_id, "✅")
    moment = scene.random.uniform(0, TOOL_RUNS)
    await asyncio.sleep(moment)
    scene.bridge.kill()
    await scene.bridge.start()
    try:
        await scene.answer(question, RECOVERY)
    except AssertionError as error:
        raise AssertionError(f"killed {moment:.2f} s after the decision: {error}") from error
    await until(lambda: f"allowed by {scene.ann.user_id}" in asked.body, "the request shows who allowed it")


async def a_homeserver_that_goes_away_gets_the_answer_when_it_is_back(scene):
    length_of_log = scene.bridge.log.stat().st_size
    questions = await asyncio.gather(*(scene.ask(agent, marker) for agent, marker in
                                       zip(scene.agents, ("[slow 3]", "[trickle 4]", "[slow 1]"))))
    questions.append(await scene.ask(scene.talker, "and now?"))
    await asyncio.sleep(1.5)
    async with away("synapse"):
        # People cannot be told anything now. Those who run the bridge can.
        await asyncio.sleep(scene.outage)
        assert scene.outage < LONG or scene.bridge.logged("the homeserver does not take what is to be said", length_of_log)
    await all_are_answered(scene, questions)


async def what_comes_in_while_letta_is_away_is_answered_when_it_is_back(scene):
    async with away("letta"):
        questions = [await scene.ask(agent, "are you there?") for agent in scene.agents]
        questions += [await scene.ask(agent, "and now?") for agent in (scene.talker, scene.third)]
        questions.append(await scene.ask(scene.talker, "still not?"))
        await wait_out_an_outage_of_letta(scene, questions)
    await all_are_answered(scene, questions)


async def what_comes_in_while_both_go_away_and_come_back_is_answered_at_the_end(scene):
    async with away("letta"):
        questions = [await scene.ask(agent, "are you there?") for agent in scene.agents]
        async with away("synapse"):
            await asyncio.sleep(scene.outage)
        questions += [await scene.ask(agent, "and now?") for agent in scene.agents]
        await wait_out_an_outage_of_letta(scene, questions)
    await all_are_answered(scene, questions)


async def every_message_was_answered_as_often_as_it_should_and_nothing_is_unfinished(scene):
    await asyncio.sleep(2)
    assert not (wrong := wrong_answers(scene)), "\n".join(wrong)
    assert not scene.ann.gaps, "the client missed events"
    for agent in scene.agents:
        unfinished = [said.body for said in scene.said(agent) if said.body.endswith(UNFINISHED)]
        assert not unfinished, unfinished


async def every_agent_heard_every_message_once(scene):
    wrong = []
    for agent in scene.agents:
        texts = heard_by(scene.letta.history(agent.agent_id))
        alerts = [text for text in texts if "keep-alive" in text]
        assert not alerts, f"a decision was handed over twice: {alerts}"
        # The first line quotes what is replied to.
        words = [text.partition("\n")[2] for text in texts]
        for question in (question for question in scene.asked if question.agent is agent):
            times = sum(question.mark in text for text in words)
            if not question.heard[0] <= times <= question.heard[1]:
                wrong.append(f"{agent.name} heard {question.text!r} {times} times")
    assert not wrong, "\n".join(wrong)


async def the_bridge_stops_when_it_is_told_to(scene):
    assert await scene.bridge.stop() == 0


def wrong_answers(scene):
    counts = ((question, len(scene.answers(question))) for question in scene.asked)
    return [f"{question.text!r} was answered {count} times" for question, count in counts
            if not question.answers[0] <= count <= question.answers[1]]
