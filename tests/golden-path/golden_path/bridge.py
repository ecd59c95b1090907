"""`letta-matrix run`, started, killed and stopped."""
import asyncio
import os
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from .waiting import until

REPOSITORY = Path(__file__).resolve().parents[3]
START = 60  # seconds until it is ready
STOP = 25  # seconds until it ended
GIVEN = ("LETTA_API_URL", "LETTA_TOKEN", "MATRIX_HOMESERVER_URL", "MATRIX_SERVER_NAME", "MATRIX_AS_TOKEN", "MATRIX_HS_TOKEN",
         "LETTA_MATRIX_LISTEN", "PATH", "HOME", "TMPDIR")


class CannotRun(Exception):
    """There is nothing to check."""


def binary():
    """The program: the one that is named, else the newest that was built."""
    if named := os.environ.get("LETTA_MATRIX_BIN"):
        return Path(named).resolve()
    built = [path for kind in ("release", "debug") if (path := REPOSITORY / "target" / kind / "letta-matrix").exists()]
    if not built:
        raise CannotRun("there is no target/release/letta-matrix; build it, or name it in LETTA_MATRIX_BIN")
    return max(built, key=lambda path: path.stat().st_mtime)


class Bridge:
    """The program in a folder of its own, until the `async with` ends."""

    def __init__(self, folder, settings):
        self.folder, self.log = Path(folder), Path(folder) / "run.log"
        self.command = [binary(), "run"]
        self.env = {name: os.environ[name] for name in GIVEN if name in os.environ} | settings | {
            "DATABASE_URL": str(self.folder / "state.db"), "RUST_LOG": "info,conversation=debug"}
        self.ready_at = f"http://{os.environ['LETTA_MATRIX_LISTEN']}/ready"
        self.process = None

    async def __aenter__(self):
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_):
        await self.stop()

    async def start(self):
        """Starts it and waits until it carries messages."""
        with open(self.log, "ab") as log:
            try:
                self.process = subprocess.Popen(self.command, cwd=self.folder, env=self.env, stdout=log, stderr=log)
            except OSError as error:
                raise CannotRun(f"{self.command[0]}: {error.strerror}") from error
        await until(self.is_ready, "the bridge is ready", START)

    def is_ready(self):
        if self.process.poll() is not None:
            raise CannotRun(f"the bridge ended by itself, with code {self.process.returncode}\n{self.tail()}")
        try:
            with urllib.request.urlopen(self.ready_at, timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def sync(self):
        """Tells it to look now who is there."""
        self.process.send_signal(signal.SIGHUP)

    def kill(self):
        """Ends it as a power cut would."""
        self.process.kill()
        self.process.wait()

    async def stop(self):
        """Tells it to end; gives its exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(self.process.wait, STOP)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def logged(self, words, begin):
        """Whether its log has these words, from this place on."""
        return words.encode() in self.log.read_bytes()[begin:]

    def tail(self, begin=0, lines=60):
        """The end of its log, from this place on."""
        text = self.log.read_bytes()[begin:].decode(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"    | {line}" for line in text[-lines:])
