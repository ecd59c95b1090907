"""Runs the caller's command as a shell would: in a process group of its own, with the terminal."""
import os
import shutil
import signal
import subprocess
import time

from . import process, signals
from .report import Failure


def run(argv, env):
    """Runs the command to its end, passes signals on, ends what it left in its group; its exit code."""
    signals.check()
    try:
        child = subprocess.Popen(argv, env=env, process_group=0)
    except OSError as error:
        raise CannotRun(126, f"cannot run {argv[0]}: {error.strerror}") from None
    terminal = _terminal()
    if terminal is not None:
        _give(terminal, child.pid)
        _signal_group(child.pid, signal.SIGCONT)  # it may have touched the terminal a moment too early
    try:
        return _wait(child)
    finally:
        if terminal is not None:
            _give(terminal, os.getpgrp())
        _end_group(child.pid)


def check(argv):
    """A slip of the pen should not cost the start of all servers."""
    if not shutil.which(argv[0]):
        raise CannotRun(127, f"command not found: {argv[0]}")


class CannotRun(Failure):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def _wait(child):
    passed_on, kill_at = 0, None
    while True:
        pid, status = os.waitpid(child.pid, os.WNOHANG | os.WUNTRACED)
        if pid and os.WIFSTOPPED(status):
            _signal_group(child.pid, signal.SIGCONT)  # Ctrl-Z: the servers could not be suspended with it
        elif pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode if child.returncode >= 0 else 128 - child.returncode
        received = signals.received()
        for number in received[passed_on:]:
            _signal_group(child.pid, number)
            kill_at = kill_at or time.monotonic() + 30
        passed_on = len(received)
        if kill_at and time.monotonic() > kill_at:
            _signal_group(child.pid, signal.SIGKILL)
        time.sleep(process.POLL)


def _end_group(group):
    """What the command left running in its group: test programs whose cargo was interrupted, for one."""
    deadline = time.monotonic() + 5
    there = _signal_group(group, signal.SIGTERM)
    while there and time.monotonic() < deadline:
        time.sleep(process.POLL)
        there = _signal_group(group, 0)
    _signal_group(group, signal.SIGKILL)


def _signal_group(group, number):
    """Whether there was anyone to send it to."""
    try:
        os.killpg(group, number)
        return True
    except (ProcessLookupError, PermissionError):
        return False


def _terminal():
    """The terminal, if we are the ones whom a Ctrl-C there reaches."""
    try:
        return 0 if os.tcgetpgrp(0) == os.getpgrp() else None
    except OSError:
        return None


def _give(terminal, group):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})  # else the giving back would stop us
    try:
        os.tcsetpgrp(terminal, group)
    except OSError:
        pass
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
