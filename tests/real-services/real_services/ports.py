"""Free loopback ports, and proof of who listens on one.

Ports are taken below the range the kernel hands out by itself: one from that
range could be given to any outgoing connection before our server binds it.
Runs at the same time keep apart by locking byte N of one file for port N;
the kernel drops the lock with the process.
"""
import contextlib
import errno
import fcntl
import os
import random
import socket
from pathlib import Path

from .process import with_descendants
from .report import Failure

LOWEST = 10240


class PortTaken(Exception):
    """Another program listens on a port that was free a moment ago."""


def _candidates():
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    if low - LOWEST >= 1000:
        return range(LOWEST, low)
    if 65535 - high >= 1000:
        return range(high + 1, 65536)
    return range(LOWEST, 65536)


def is_free(port):
    with socket.socket() as probe:
        # As the servers do: connections of an earlier server that still fade away do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return not _listening(port)


class Claims:
    """The ports this process has chosen; held until it ends."""

    def __init__(self, cache):
        cache.mkdir(parents=True, exist_ok=True)
        self._file = os.open(cache / "ports.lock", os.O_RDWR | os.O_CREAT, 0o600)
        self._mine = set()

    def try_claim(self, port):
        if port in self._mine:
            return False
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            return False
        if not is_free(port):
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, port)
            return False
        self._mine.add(port)
        return True

    def claim(self):
        candidates = _candidates()
        for _ in range(1000):
            port = random.choice(candidates)
            if self.try_claim(port):
                return port
        raise Failure("no free loopback port found in 1000 tries")


def _listening(port):
    """The sockets that listen on this port, on any address: socket inodes."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found


def listens(identity, port):
    """Whether this process (or a child) listens on the port; PortTaken if somebody else does."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    if not sockets:
        return False
    readable = True
    for pid in with_descendants(identity.pid):
        try:
            for file in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # closed in the meantime
                    if os.readlink(file) in sockets:
                        return True
        except PermissionError:
            readable = False
        except OSError:
            continue
    if not readable:
        # Root in a container may lack the right to look at a process of another
        # user. A server whose port is taken exits, so one that lives has it.
        return identity.alive()
    raise PortTaken(port)
