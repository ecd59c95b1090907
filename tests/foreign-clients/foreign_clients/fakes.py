"""A fake of the binary, running."""
import json
import os
import select
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
START = 20  # seconds for the first line, and for the end


class CannotRun(Exception):
    """The fake did not start, or did not end."""


def binary():
    return Path(os.environ.get("LETTA_MATRIX_BIN") or REPOSITORY / "target/debug/letta-matrix").resolve()


class NeedsFake(Exception):
    """The check steers a fake, and runs on a server that is none."""


class Standing:
    """A server that is there already."""

    def __init__(self, url):
        self.url = url.rstrip("/")
        self.token = os.environ.get("LETTA_TOKEN", "no-token")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def check_alive(self):
        pass

    def call(self, *_):
        raise NeedsFake


class Fake:
    """`letta-matrix fake KIND` on a free port, until the `with` ends."""

    token = "no-token"

    def __init__(self, kind):
        self.kind = kind

    def __enter__(self):
        command = [str(binary()), "fake", self.kind, "--listen", "127.0.0.1:0"]
        try:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        except OSError as error:
            raise CannotRun(f"{command[0]}: {error.strerror}; build it, or name it in LETTA_MATRIX_BIN") from error
        ready, _, _ = select.select([self.process.stdout], [], [], START)
        line = self.process.stdout.readline().strip() if ready else ""
        address = next((word for word in line.split() if word.startswith("http://")), None)
        if not address:
            self.__exit__()
            raise CannotRun(f"{' '.join(command)}: no address in its first line: {line!r}")
        self.url = address.rstrip("/")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(START)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise CannotRun(f"the {self.kind} fake did not end on SIGINT") from None
        finally:
            self.process.stdout.close()

    def check_alive(self):
        if self.process.poll() is not None:
            raise CannotRun(f"the {self.kind} fake ended by itself, with code {self.process.returncode}")

    def call(self, method, path, body=None):
        """A request beside the client: the status, and the JSON of the answer."""
        request = urllib.request.Request(self.url + path, method=method, headers={"Content-Type": "application/json"},
                                         data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=START) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        return status, json.loads(text) if text else None


def wait_until(condition, what):
    """Until `condition()` is true, which is given."""
    deadline = time.monotonic() + START
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain until {what}")
        time.sleep(0.02)
    return found
