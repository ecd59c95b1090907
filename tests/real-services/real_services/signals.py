"""Ctrl-C and friends only set a flag; the loops that wait look at it.

An exception thrown out of a handler could hit between the start of a process
and the note of its pid, and that process would be left behind.
"""
import signal

_received = []


class Interrupted(Exception):
    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.number = number


def listen():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue  # started under nohup
        signal.signal(number, lambda number, _frame: _received.append(number))


def received():
    """The signals so far, oldest first."""
    return tuple(_received)


def check():
    if _received:
        raise Interrupted(_received[0])
