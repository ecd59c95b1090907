"""Homes that were just made."""
import asyncio

from .waiting import until

FIRST_WORDS = 40  # seconds for agents that have never answered before


async def the_first_words_in_a_home_are_answered(scene):
    questions = [await scene.ask(agent, "who are you?") for agent in scene.agents]
    await asyncio.gather(*(scene.answer(question, FIRST_WORDS) for question in questions))


async def the_first_words_to_an_agent_that_comes_later_are_answered(scene):
    agent = scene.another_agent("Golden Newcomer")
    scene.bridge.sync()
    home = await until(lambda: next((home for home in scene.homes().values() if home["agent_id"] == agent.agent_id
                                     and home["state"] == "ready"), None), "the agent has a home")
    agent.user_id, agent.room = home["user_id"], await scene.ann.come_in(home["room_alias"])
    await scene.answer(await scene.ask(agent, "who are you?"), FIRST_WORDS)
