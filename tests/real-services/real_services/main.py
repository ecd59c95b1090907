"""The entry points: run, up, down, ctl."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import foreground, process, servers, signals
from .install import HERE, cache_folder, install
from .lock import held
from .ports import Claims, PortTaken
from .report import Failure, say
from .stack import Stack, end_orphans

REPOSITORY = HERE.parent.parent
OUR_FAILURE = 125  # as other programs that run a command say "it was me"
ATTEMPTS = 3
LOCK = "lock"  # in a state folder: one `up`, `down` or `ctl` at a time


def entry(main):
    """Runs one entry point and turns what it raises into an exit code."""
    signals.listen()
    try:
        return main(sys.argv[1:])
    except signals.Interrupted as interrupted:
        say(f"stopped by {interrupted}")
        return 128 + interrupted.number
    except PortTaken as taken:
        say(f"port {taken} is taken by another program")
        return OUR_FAILURE
    except Failure as failure:
        say(str(failure))
        return getattr(failure, "code", OUR_FAILURE)


def run(argv):
    if argv[:1] == ["--"]:
        argv = argv[1:]
    if not argv or argv[0] in ("-h", "--help"):
        return _usage("run COMMAND [ARGUMENT]…", "Runs the command with real servers around it.", asked=bool(argv))
    foreground.check(argv)
    installed, llm_command = _prepared()
    stack = _start(lambda: Path(tempfile.mkdtemp(prefix="letta-matrix-real-")).resolve(), "run", installed, llm_command)
    code = None
    try:
        code = foreground.run(argv, _command_environment(stack))
        return code
    finally:
        stack.stop(grace=5)
        _leave(stack, keep=code != 0)


def up(argv):
    folder = _folder(argv, "up [DIR]", "Starts the servers and leaves them running.")
    if folder is None:
        return 0
    if folder.exists() and any(folder.iterdir()) and not Stack.exists(folder):
        raise Failure(f"{folder} holds something else; give an empty or a new folder")
    installed, llm_command = _prepared()
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / LOCK):
        if Stack.exists(folder):
            stack = Stack.open(folder)
            if running := stack.running():
                if missing := set(stack.servers) - set(running):
                    raise Failure(f"already up in {folder}, but without {', '.join(sorted(missing))}; "
                                  f"start what is missing with `ctl start NAME`, or `down` and `up` again")
                say(f"already up in {folder}")
                print(stack.export_lines(), end="")
                return 0
        stack = _start(lambda: folder, "up", installed, llm_command)
        (folder / "env").write_text(stack.export_lines())
    print(stack.export_lines(), end="")
    say(f"up; the lines above are in {folder}/env; {_here('down')}{' ' + str(folder) if argv else ''} stops the servers")
    return 0


def down(argv):
    folder = _folder(argv, "down [DIR]", "Stops what `up` started. The data stays; delete the folder to begin anew.")
    if folder is None:
        return 0
    end_orphans()
    if not Stack.exists(folder):
        say(f"nothing is up in {folder}")
        return 0
    with held(folder / LOCK):
        stack = Stack.open(folder)
        running = stack.running()
        stack.stop()
    say(f"stopped; the data stays in {folder}" if running else f"nothing is up in {folder}")
    return 0


def ctl(argv):
    actions = ("stop", "start", "kill", "status")
    names = [kind.name for kind in servers.ALL]
    if not argv or argv[0] not in actions or any(name not in names for name in argv[1:]) or (argv[0] != "status" and not argv[1:]):
        return _usage("ctl stop|start|kill NAME…  or  ctl status",
                      f"Handles single servers of REAL_SERVICES_DIR (set inside `run`; by default what `up` started): {', '.join(names)}.",
                      asked=argv[:1] in (["-h"], ["--help"]))
    folder = Path(os.environ.get("REAL_SERVICES_DIR") or _default_folder())
    if not Stack.exists(folder):
        raise Failure(f"no servers are known in {folder}")
    stack = Stack.open(folder)
    with held(folder / LOCK):
        running = stack.running()
        if argv[0] == "start":
            stack.start([name for name in argv[1:] if name not in running])
        elif argv[0] == "stop":
            stack.stop(argv[1:])
        elif argv[0] == "kill":
            process.stop([(stack.servers[name].identity(), signal.SIGKILL) for name in argv[1:] if name in running], grace=5)
        else:
            for server in stack.servers.values():
                print(f"{server.name:15} {'running' if server.name in running else 'stopped':8} 127.0.0.1:{server.port}  {server.log}")
    return 0


# --- what they share

def _usage(line, text, asked):
    print(f"usage: {_here(line)}\n{text} See {_here('README.md')}.", file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


def _here(name):
    return f"{os.path.relpath(HERE)}/{name}"


def _folder(argv, usage, text):
    if len(argv) > 1 or (argv and argv[0].startswith("-")):
        asked = argv[0] in ("-h", "--help")
        _usage(usage, text, asked)
        if asked:
            return None
        raise SystemExit(2)
    return Path(argv[0]).resolve() if argv else _default_folder()


def _default_folder():
    return cache_folder() / "up"


def _prepared():
    """Everything that must be there before a server can start."""
    llm_command = servers.llm_command(REPOSITORY)
    if llm_command is None:
        _build()
        llm_command = servers.llm_command(REPOSITORY)
    if not shutil.which(llm_command[0] if llm_command else ""):
        raise Failure(f"no program to play the language model: {llm_command[0] if llm_command else 'letta-matrix'} "
                      "(LETTA_MATRIX_BIN or LLM_FAKE_COMMAND names one)")
    installed = install()
    end_orphans()
    return installed, llm_command


def _build():
    if not shutil.which("cargo"):
        raise Failure("letta-matrix is not built, and there is no cargo to build it; LETTA_MATRIX_BIN can name a program")
    say("building letta-matrix")
    child = subprocess.Popen(["cargo", "build", "--release", "-p", "letta-matrix"], cwd=REPOSITORY, stdin=subprocess.DEVNULL,
                             stdout=sys.stderr, process_group=0)
    while child.poll() is None:
        if signals.received():
            os.killpg(child.pid, signal.SIGTERM)
            child.wait()
        time.sleep(process.POLL)
    signals.check()
    if child.returncode != 0:
        raise Failure("letta-matrix did not build")


def _start(make_folder, kind, installed, llm_command):
    """A started stack; a port that another program took in the meantime costs a new attempt with other ports."""
    claims = Claims(installed.cache)
    for attempt in range(1, ATTEMPTS + 1):
        say("starting Synapse, Letta, PostgreSQL and Redis")
        started = time.monotonic()
        stack = Stack.create(make_folder(), kind, installed, llm_command, claims)
        try:
            stack.start()
            stack.create_admin()
            say(f"ready after {time.monotonic() - started:.0f} s")
            return stack
        except PortTaken as taken:
            stack.stop(grace=5)
            say(f"another program took port {taken}")
            if kind == "run":
                shutil.rmtree(stack.folder)
            if attempt == ATTEMPTS:
                raise
        except BaseException as error:
            stack.stop(grace=5)
            if kind == "run":
                _leave(stack, keep=not isinstance(error, signals.Interrupted))
            raise


def _command_environment(stack):
    env = {**os.environ, **stack.exports()}
    for name in ("no_proxy", "NO_PROXY"):
        env[name] = ",".join(filter(None, (env.get(name), "127.0.0.1,localhost")))
    return env


def _leave(stack, keep):
    if not keep and not os.environ.get("KEEP"):
        shutil.rmtree(stack.folder, ignore_errors=True)
        return
    say(f"kept {stack.folder}; the logs:")
    for log in stack.logs():
        say(f"  {log}")
