"""Servers that are away for a while, and what people see of that."""
import asyncio
import contextlib
import time

from .services import switch
from .waiting import until

RECOVERY = 60  # seconds until an answer that was interrupted
LONG = 60  # seconds from which on an outage is one of which people must hear
TOLD = 45  # seconds until they do: the bridge tells it after 20, with its next try, and these become rarer, down to one in 30
AWAY, WAITS = "Letta cannot be reached", "⏳"


@contextlib.asynccontextmanager
async def away(server):
    await switch("stop", server)
    try:
        yield
    finally:
        await switch("start", server)


async def wait_out_an_outage_of_letta(scene, questions):
    """In a long one everybody is told: in each room once that Letta is away, and behind each further message that it waits."""
    began = time.monotonic()
    if scene.outage >= LONG:
        for first, *others in by_room(scene, questions):
            await until(lambda: scene.notices(first, AWAY), "people are told that Letta is away", TOLD)
            print(f"        {first.agent.name}: people were told after {time.monotonic() - began:.0f} s", flush=True)
            await until(lambda: len(scene.notices(first, WAITS)) == len(others), "people are told that their messages wait", TOLD)
    await asyncio.sleep(max(0, began + scene.outage - time.monotonic()))


async def all_are_answered(scene, questions):
    """Each once, those of a room in the order in which they were asked, and whoever was told to wait was told once."""
    began = time.monotonic()
    answers = await asyncio.gather(*(scene.answer(question, RECOVERY) for question in questions))
    print(f"        all were answered {time.monotonic() - began:.0f} s after the end of the outage", flush=True)
    places = {id(said): place for agent in scene.agents for place, said in enumerate(scene.said(agent))}
    place_of = {question.mark: places[id(answer)] for question, answer in zip(questions, answers)}
    for asked in by_room(scene, questions):
        order = [place_of[question.mark] for question in asked]
        assert order == sorted(order), f"{asked[0].agent.name} answered in another order: {order}"
        told = scene.notices(asked[0], AWAY)
        assert len(told) <= 1, told


def by_room(scene, questions):
    return [[question for question in questions if question.agent is agent] for agent in scene.agents]
