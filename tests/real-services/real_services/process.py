"""Starting and stopping processes that are certainly ours.

A pid alone says little: the kernel uses it again. A record holds the pid with
the start time and the boot, and every server carries a marker in its
environment that names its folder and the process that answers for it.
"""
import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from . import signals
from .report import Failure

MARKER = "REAL_SERVICES_SERVER"
POLL = 0.05


def _stat(pid):
    """State, parent and start time of a process, or None."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1]), int(fields[19])


def _boot():
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True)
class Identity:
    pid: int
    start: int
    boot: str

    @staticmethod
    def of(pid):
        stat = _stat(pid)
        return stat and Identity(pid, stat[2], _boot())

    @staticmethod
    def load(path):
        try:
            return Identity(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)))

    def alive(self):
        """A zombie counts as gone: it only waits for its parent to look."""
        stat = _stat(self.pid)
        return bool(stat) and stat[0] not in "ZX" and stat[2] == self.start and _boot() == self.boot

    def send(self, number):
        try:
            handle = os.pidfd_open(self.pid)
        except OSError:
            return
        try:
            if self.alive():  # looked at after the handle was taken: the handle cannot move on
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def with_descendants(pid):
    children = {}
    for each in pids():
        stat = _stat(each)
        if stat:
            children.setdefault(stat[1], []).append(each)
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def plain_environment(**more):
    """For servers: without the caller's proxies, API keys and settings, which they would read and use."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", **kept, **{name: str(value) for name, value in more.items()}}


def _as(user):
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


def spawn(argv, *, cwd, env, log, user=None):
    """Starts a server in a session of its own, so that a Ctrl-C at the terminal does not reach it."""
    with open(log, "ab") as output:
        child = subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, **_as(user))
    return Identity.of(child.pid)


def stop(targets, grace):
    """Sends each (identity, signal), waits, and kills what is still there. A second Ctrl-C ends the patience."""
    for identity, number in targets:
        identity.send(number)
    impatient = len(signals.received()) + 1
    deadline = time.monotonic() + grace
    while left := [identity for identity, _ in targets if identity.alive()]:
        if time.monotonic() > deadline or len(signals.received()) >= impatient:
            for identity in left:
                identity.send(signal.SIGKILL)
        time.sleep(POLL)


@dataclass(frozen=True)
class Marker:
    """Whose a server is: the folder it works in, and for `run` the process that will stop it."""
    kind: str  # run or up
    namespace: str  # pids mean nothing in another pid namespace
    owner: int
    owner_start: int
    folder: str

    @staticmethod
    def mine(kind, folder):
        me = Identity.of(os.getpid())
        return Marker(kind, os.readlink("/proc/self/ns/pid"), me.pid, me.start, str(folder))

    @staticmethod
    def parse(text):
        kind, namespace, owner, start, folder = text.split(" ", 4)
        return Marker(kind, namespace, int(owner), int(start), folder)

    def __str__(self):
        return f"{self.kind} {self.namespace} {self.owner} {self.owner_start} {self.folder}"

    def orphaned(self):
        if self.kind != "run" or self.namespace != os.readlink("/proc/self/ns/pid"):
            return False
        return not Identity(self.owner, self.owner_start, _boot()).alive()


def marked():
    """Every process that carries a marker we may read, with that marker."""
    prefix = f"{MARKER}=".encode()
    for pid in pids():
        identity = Identity.of(pid)
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        for variable in variables:
            if identity and variable.startswith(prefix):
                try:
                    yield identity, Marker.parse(os.fsdecode(variable[len(prefix):]))
                except ValueError:
                    pass


def run_step(argv, *, log, what, env=None, cwd=None, stdin=None, pass_fds=(), user=None):
    """Runs one step of an installation to its end; a signal ends the step and is raised here."""
    with open(log, "ab") as output:
        child = subprocess.Popen(
            [str(word) for word in argv], cwd=cwd, env=env, pass_fds=pass_fds, start_new_session=True,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, stdout=output, stderr=output, **_as(user))
    if stdin:
        child.stdin.write(stdin.encode())
        child.stdin.close()
    while child.poll() is None:
        if signals.received():
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            signals.check()
        time.sleep(POLL)
    if child.returncode != 0:
        tail = "\n".join("    " + line for line in Path(log).read_text(errors="replace").splitlines()[-15:])
        raise Failure(f"{what} failed (exit code {child.returncode}); the end of {log}:\n{tail}")
