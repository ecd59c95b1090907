"""People steer what agents do: second thoughts, commands, failures."""
import asyncio

from .scene import ANSWERED, PERHAPS_ANSWERED, PERHAPS_HEARD, UNHEARD
from .waiting import until


async def a_message_that_waits_takes_its_edit(scene):
    first = await scene.ask(scene.talker, "[slow 6]")
    second = await scene.ask(scene.talker, "the old words", heard=UNHEARD, answers=UNHEARD)
    edited = scene.question(scene.talker, "the new words")
    await scene.ann.edit(scene.talker.room, second.event_id, edited.text)
    await scene.answer(first)
    assert (await scene.answer(edited)).words == edited.text


async def a_message_that_waits_and_is_taken_back_is_never_answered(scene):
    first = await scene.ask(scene.talker, "[slow 4]")
    second = await scene.ask(scene.talker, "forget it", heard=UNHEARD, answers=UNHEARD)
    third = await scene.ask(scene.talker, "and this?")
    await scene.ann.take_back(scene.talker.room, second.event_id)
    await scene.answer(first)
    await scene.answer(third)
    assert not scene.answers(second)


async def agents_say_how_they_are_and_stop(scene):
    # Letta notices that it is to stop with the model's next word: at once, or when the model begins to speak.
    talks = await scene.ask(scene.third, f"[trickle 30] MARK {'word ' * 100}", heard=PERHAPS_HEARD, answers=PERHAPS_ANSWERED)
    is_silent = await scene.ask(scene.talker, "[slow 20]", heard=PERHAPS_HEARD, answers=UNHEARD)
    await until(lambda: (is_silent.event_id, scene.talker.user_id) in scene.ann.receipts, "the agent has it")
    await until(lambda: scene.since(talks), "the other one talks")
    for question, within in ((talks, 8), (is_silent, 30)):
        room = question.agent.room
        await scene.ann.say(room, "!status")
        await until(lambda: scene.notice(question, "at work"), "it says that it is at work", 5)
        await scene.ann.say(room, "!stop")
        await until(lambda: scene.notice(question, "is being stopped"), "it says that it is told", 5)
        await until(lambda: scene.notice(question, "was stopped"), "it says that it stopped", within)
        await scene.ann.say(room, "!status")
        await until(lambda: scene.notice(question, "free"), "it says that it is free", 5)
        await scene.answer(await scene.ask(question.agent, "and now?"))


async def a_failure_of_the_model_is_told_and_the_message_can_be_tried_again(scene):
    question = scene.question(scene.talker, "does it work?", heard=ANSWERED)
    scene.model.fail(question.mark)
    try:
        question.event_id = await scene.ann.say(scene.talker.room, question.text)
        notice = await until(lambda: scene.notice(question, "🔁"), "the failure is told")
        assert not scene.answers(question)
    finally:
        scene.model.recover(question.mark)
    await scene.ann.react(scene.talker.room, notice.event_id, "🔁")
    await scene.answer(question)


async def a_failure_that_stays_is_told_each_time(scene):
    question = await scene.ask(scene.talker, "[fail 500]", heard=UNHEARD, answers=UNHEARD)
    await until(lambda: scene.notice(question, "🔁"), "the failure is told")
    await scene.ann.react(scene.talker.room, question.event_id, "🔁")
    told = lambda: [said for said in scene.since(question) if said.is_notice and "🔁" in said.body]
    await until(lambda: len(told()) == 2, "the second failure is told")
