"""Runs the checks: each file in checks/ against a fake of its own."""
import argparse
import importlib
import inspect
import signal
import sys
import traceback
from collections import Counter

from .fakes import CannotRun, Fake, NeedsFake, Standing
from .install import HERE

LONGEST = 90  # seconds for one check


def main(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--at")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args(arguments)
    names = options.names
    known = sorted(path.stem for path in (HERE / "checks").glob("*.py"))
    if unknown := [name for name in names if name not in known]:
        print(f"no such checks: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    outcomes = Counter()
    for name in names or known:
        module = importlib.import_module(f"checks.{name}")
        try:
            with Standing(options.at) if options.at else Fake(module.FAKE) as fake:
                outcomes.update(run(name, check, fake) for check in checks_of(module))
        except CannotRun as error:
            print(error, file=sys.stderr)
            return 2
    skipped = f", {outcomes['skipped']} skipped" if outcomes["skipped"] else ""
    print(f"{outcomes['passed']} passed, {outcomes['failed']} failed{skipped}")
    return 0 if outcomes["passed"] and not outcomes["failed"] else 1


def checks_of(module):
    """The functions of the module that take a fake, in the order in which they stand there."""
    functions = [each for _, each in inspect.getmembers(module, inspect.isfunction) if each.__module__ == module.__name__]
    checks = [each for each in functions if list(inspect.signature(each).parameters) == ["fake"]]
    return sorted(checks, key=lambda check: check.__code__.co_firstlineno)


def run(name, check, fake):
    fake.check_alive()
    sentence = f"{name}: {check.__name__.replace('_', ' ')}"
    signal.signal(signal.SIGALRM, too_slow)
    signal.alarm(LONGEST)
    try:
        check(fake)
    except NeedsFake:
        print(f"skipped {sentence}: steers a fake", flush=True)
        return "skipped"
    except Exception:
        print(f"FAILED  {sentence}\n{traceback.format_exc()}", flush=True)
        return "failed"
    finally:
        signal.alarm(0)
    print(f"ok      {sentence}", flush=True)
    return "passed"


def too_slow(*_):
    raise TimeoutError(f"not done after {LONGEST} s")


sys.exit(main(sys.argv[1:]))
