"""Waiting, never for ever."""
import asyncio
import time

USUALLY = 20  # seconds


async def until(condition, what, within=USUALLY):
    """Until `condition()` is true, which is given."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within} s in vain until {what}")
        await asyncio.sleep(0.05)
    return found


async def never(condition, what, during):
    """Whether it stays untrue for so many seconds."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        assert not condition(), f"it happened that {what}"
        await asyncio.sleep(0.05)
