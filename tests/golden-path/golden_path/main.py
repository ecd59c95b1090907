"""Runs the checks, one after another, on one bridge."""
import argparse
import asyncio
import contextlib
import inspect
import logging
import os
import random
import secrets
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter

from . import homes, outages, steering, talking, tools
from .bridge import Bridge, CannotRun
from .person import Person
from .scene import Agent, Scene
from .services import Letta, Model

LONGEST = 120  # seconds for one check
ALL = 600  # seconds for all of them
STOPPED = 128 + signal.SIGTERM
ROUNDS, ROUND = 3, 60  # how often the bridge is killed, and seconds for each further time
OUTAGE = 4  # seconds for which a server is away, beside what it needs to stop and to start
OUTAGES_OF_ONE, OUTAGES_OF_ALL = 2, 4  # how often a check waits for so long, and all of them
FIRST = talking.a_person_signs_in_and_comes_into_the_space_and_the_rooms
# One after another; what stands beside each other runs at once, with different agents.
STAGES = (((FIRST,),), ((homes,),), ((talking, steering), (tools,)), ((outages,),))


def main(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--outage", type=float, default=OUTAGE)
    parser.add_argument("words", nargs="*")
    options = parser.parse_args(arguments)
    # What the client thinks of a homeserver that is being restarted is no news.
    logging.getLogger("nio").setLevel(logging.CRITICAL)
    print(f"seed {options.seed}", flush=True)
    outcomes, limit = Counter(), ALL + ROUND * max(0, options.rounds - ROUNDS) + OUTAGES_OF_ALL * options.outage
    try:
        asyncio.run(asyncio.wait_for(run(options, outcomes), limit))
    except CannotRun as error:
        print(error, file=sys.stderr)
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        return STOPPED
    except asyncio.TimeoutError:
        print(f"FAILED  not done after {limit:.0f} s", flush=True)
        outcomes["failed"] += 1
    print(f"{outcomes['passed']} passed, {outcomes['failed']} failed")
    return 0 if outcomes["passed"] and not outcomes["failed"] else 1


async def run(options, outcomes):
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    name = secrets.token_hex(3)
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="golden-path-"))
        letta = stack.enter_context(Letta())
        if letta.has_redis() != (wanted := os.environ.get("REAL_LETTA_REDIS") != "0"):
            # It is stopped and started, and would become another one in the middle.
            raise CannotRun(f"Letta was started with{'out' if wanted else ''} Redis, and REAL_LETTA_REDIS says otherwise")
        print(f"Letta with{'' if wanted else 'out'} Redis", flush=True)
        tag = f"golden-{name}"
        names = {"free": f"look_{name}", "asking": f"look_and_ask_{name}"}
        tool_ids = [letta.tool(names["free"]), letta.tool(names["asking"], asks=True)]
        agents = [Agent(each, letta.agent(each, tag, tool_ids)) for each in
                  (f"Golden {kind} {name}" for kind in ("Talker", "Craftsman", "Third"))]
        ann = await stack.enter_async_context(Person(f"ann_{name}"))
        stranger = await stack.enter_async_context(Person(f"stranger_{name}"))
        bridge = await stack.enter_async_context(Bridge(folder, {
            "LETTA_MATRIX_PERMISSIONS": f"{ann.user_id}=approve",
            "LETTA_MATRIX_INVITE": f"{ann.user_id},{stranger.user_id}",
            "LETTA_MATRIX_INCLUDE": f"tag:{tag}",
        }))
        scene = Scene(letta, Model(), bridge, ann, stranger, agents, tag, names, random.Random(options.seed), options.rounds,
                      options.outage)
        scene.find_homes()
        for stage in STAGES:
            await asyncio.gather(*(in_turn(scene, checks(parts, options.words), outcomes) for parts in stage))
            if FIRST in stage[0] and outcomes["failed"]:
                return


async def in_turn(scene, each, outcomes):
    for check in each:
        outcomes["passed" if await one(scene, check) else "failed"] += 1


def checks(parts, words):
    """The checks of these modules with one of these words in their names, in the order in which they are written."""
    if FIRST in parts:
        return [FIRST]
    functions = [function for part in parts for _, function in sorted(inspect.getmembers(part, inspect.iscoroutinefunction), key=line_of)
                 if function.__module__ == part.__name__ and function is not FIRST]
    return [function for function in functions if not words or any(word in sentence(function) for word in words)]


def line_of(member):
    return member[1].__code__.co_firstlineno


def sentence(check):
    return check.__name__.replace("_", " ")


async def one(scene, check):
    began, length_of_log = time.monotonic(), scene.bridge.log.stat().st_size
    try:
        await asyncio.wait_for(check(scene), max(LONGEST, scene.rounds * ROUND) + OUTAGES_OF_ONE * scene.outage)
    except Exception:
        print(f"FAILED  {sentence(check)} ({time.monotonic() - began:.1f} s)\n{traceback.format_exc()}\n"
              f"what was said last:\n{scene.tail()}\nthe bridge's log:\n{scene.bridge.tail(length_of_log)}", flush=True)
        return False
    print(f"ok      {sentence(check)} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


sys.exit(main(sys.argv[1:]))
