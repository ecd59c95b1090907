"""Runs the checks: each file in checks/ against a fake of its own."""
import importlib
import inspect
import sys
import traceback

from .fakes import CannotRun, Fake
from .install import HERE


def main(names):
    known = sorted(path.stem for path in (HERE / "checks").glob("*.py"))
    if unknown := [name for name in names if name not in known]:
        print(f"no such checks: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    passed = failed = 0
    for name in names or known:
        module = importlib.import_module(f"checks.{name}")
        try:
            with Fake(module.FAKE) as fake:
                for check in checks_of(module):
                    if run(name, check, fake):
                        passed += 1
                    else:
                        failed += 1
        except CannotRun as error:
            print(error, file=sys.stderr)
            return 2
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def checks_of(module):
    """The functions of the module that take a fake, in the order in which they stand there."""
    functions = [each for _, each in inspect.getmembers(module, inspect.isfunction) if each.__module__ == module.__name__]
    checks = [each for each in functions if list(inspect.signature(each).parameters) == ["fake"]]
    return sorted(checks, key=lambda check: check.__code__.co_firstlineno)


def run(name, check, fake):
    sentence = f"{name}: {check.__name__.replace('_', ' ')}"
    try:
        check(fake)
    except Exception:
        print(f"FAILED  {sentence}\n{traceback.format_exc()}", flush=True)
        return False
    print(f"ok      {sentence}", flush=True)
    return True


sys.exit(main(sys.argv[1:]))
