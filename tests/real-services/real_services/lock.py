"""A lock file, held by one process at a time; the kernel lets go of it with the process."""
import contextlib
import fcntl
import time

from . import process, signals
from .report import say


@contextlib.contextmanager
def held(path, waiting=None):
    with open(path, "w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if waiting:
                    say(waiting)
                    waiting = None
                signals.check()
                time.sleep(process.POLL)
        yield file
