"""People and agents talk."""
import asyncio
import struct
import zlib

from .person import UNFINISHED, ok
from .scene import UNHEARD
from .services import heard_by
from .waiting import never, until


async def a_person_signs_in_and_comes_into_the_space_and_the_rooms(scene):
    for person in (scene.ann, scene.stranger):
        scene.space = await person.come_in(scene.space_alias)
        for agent in scene.agents:
            agent.room = await person.come_in(agent.alias)
    rooms = {room["room_id"]: room.get("name") for room in ok(await scene.ann.client.space_get_hierarchy(scene.space)).rooms}
    assert {agent.room: agent.name for agent in scene.agents}.items() <= rooms.items(), rooms


async def a_message_is_read_typed_at_and_answered_by_the_agents_user(scene):
    agent = scene.talker
    question = await scene.ask(agent, "[slow 2] hello")
    await until(lambda: (question.event_id, agent.user_id) in scene.ann.receipts, "the agent has read it")
    await until(lambda: (agent.room, agent.user_id) in scene.ann.typing, "the agent is typing")
    answer = await scene.answer(question)
    assert answer.words == question.text and answer.body.startswith("echo: "), answer
    # The agent learns who wrote it from the line before the words.
    heard = [text for text in heard_by(scene.letta.history(agent.agent_id)) if question.mark in text]
    assert [f'"sender":"{scene.ann.user_id}"' in text.partition("\n")[0] for text in heard] == [True], heard


async def an_answer_grows_by_edits_until_it_is_complete(scene):
    text = " ".join(f"word{number}" for number in range(80))
    question = await scene.ask(scene.talker, f"[trickle 5] MARK {text}")
    growing = await until(lambda: scene.since(question), "the answer begins")
    assert growing[0].first["body"].endswith(UNFINISHED), growing
    answer = await scene.answer(question)
    assert answer.edits >= 2 and answer.words == question.text, answer


async def a_very_long_answer_comes_in_parts_that_are_complete(scene):
    words = [f"word{number}" for number in range(4500)]
    question = await scene.ask(scene.talker, "[long 4500]", answers=UNHEARD)
    is_over = lambda: any(said.body.endswith(words[-1]) for said in scene.since(question))
    await until(is_over, "its last word is there")
    parts = [said.body for said in scene.since(question)]
    assert len(parts) > 1 and " ".join(parts).split() == words, [(part[:40], part[-40:]) for part in parts]


async def an_answer_stays_in_the_thread_of_its_question(scene):
    root = await scene.ask(scene.talker, "a root")
    assert not (await scene.answer(root)).relation.get("rel_type")
    thread = {"rel_type": "m.thread", "event_id": root.event_id, "is_falling_back": True,
              "m.in_reply_to": {"event_id": root.event_id}}
    question = await scene.ask(scene.talker, "in the thread", **{"m.relates_to": thread})
    answer = await scene.answer(question)
    assert (answer.relation.get("rel_type"), answer.relation.get("event_id")) == ("m.thread", root.event_id), answer


async def a_picture_reaches_the_agent(scene):
    question = scene.question(scene.talker, "what is on it?")
    question.event_id = await scene.ann.show(scene.talker.room, picture(), "red.png", question.text)
    answer = await scene.answer(question)
    assert answer.words == f"{question.text} [images: 1]", answer


async def somebody_without_right_gets_no_answer(scene):
    ignored = await scene.ask(scene.talker, "[say let me in] MARK", scene.stranger, heard=UNHEARD, answers=UNHEARD)
    await scene.ask(scene.talker, "!status", scene.stranger, heard=UNHEARD, answers=UNHEARD)
    await asyncio.sleep(1)
    await scene.answer(await scene.ask(scene.talker, "is she still there?"))
    assert len(scene.since(ignored)) == 1, scene.since(ignored)
    await never(lambda: len(scene.since(ignored)) > 1, "the stranger got an answer", during=1)


def picture():
    """A red point, as PNG."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b""))
