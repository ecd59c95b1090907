"""The clients' virtual environment: made once, in the cache folder.

Its folder is named after the pins and the Python that decide its content, and
counts only with its stamp, which is written last.
"""
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PINS = HERE / "pins.txt"
STAMP = ".complete"


def cache_folder():
    if chosen := os.environ.get("LETTA_MATRIX_CACHE"):
        return Path(chosen).resolve() / "foreign-clients"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).resolve() / "letta-matrix/foreign-clients"


def environment():
    """The environment's folder, installed when it is not there yet."""
    decided_by = f"{sys.version}\0{PINS.read_text()}"
    folder = cache_folder() / f"venv-{hashlib.sha256(decided_by.encode()).hexdigest()[:12]}"
    if (folder / STAMP).exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / "install.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / STAMP).exists():
            return folder
        print(f"installing the clients into {folder} (once)", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                        "--no-deps", "--requirement", PINS], check=True, stdout=sys.stderr)
        (folder / STAMP).touch()
    return folder


def run_with_clients(names):
    """Becomes the checks, inside the environment; gives an exit code when it cannot."""
    # The clients must find our fakes, and nothing that this machine is configured for.
    ours = {name: value for name, value in os.environ.items()
            if not name.startswith(("OPENAI_", "ANTHROPIC_", "LETTA_")) or name in ("LETTA_MATRIX_BIN", "LETTA_TOKEN")}
    return run_module("foreign_clients.main", HERE, names, ours)


def run_module(module, folder, arguments, env):
    """Becomes a Python module of this folder, inside the environment; gives an exit code when it cannot."""
    try:
        python = environment() / "bin/python"
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"the clients could not be installed: {error}", file=sys.stderr)
        return 2
    env = env | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    # No program in between: a signal must reach the one that has something to clean up.
    os.execve(python, [python, "-m", module, *arguments], env)
