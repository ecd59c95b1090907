"""The one-off installation into the cache folder.

Each piece lies in a folder named after a hash of all that decides its content,
so changed pins install anew and leave the runs of another checkout alone. A
piece counts only with its stamp, which is written last: without it the folder
is thrown away and made again.
"""
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from . import postgres, process, signals
from .lock import held
from .ports import Claims
from .report import Failure, say

HERE = Path(__file__).resolve().parent.parent
LETTA = HERE / "pins/letta.txt"
SYNAPSE = HERE / "pins/synapse.txt"
STAMP = ".complete"
SCRATCH = "tmp"  # within the folder of a piece, so that what an interrupted step leaves goes with it
RECIPE = "1"  # raise it when a recipe below changes, to install anew


def cache_folder():
    if chosen := os.environ.get("LETTA_MATRIX_CACHE"):
        return Path(chosen).resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).resolve() / "letta-matrix/real-services"


@dataclass(frozen=True)
class Installed:
    """Where the pieces lie."""
    cache: Path
    synapse: Path
    letta: Path
    migrations: Path
    databases: Path
    redis: Path

    @staticmethod
    def planned(cache):
        """Where the present pins and this machine want them."""
        def piece(name, decided_by):
            digest = hashlib.sha256("\0".join((RECIPE, name, os.uname().machine, decided_by)).encode()).hexdigest()
            return cache / f"{name}-{digest[:12]}"

        letta, synapse, system = LETTA.read_text(), SYNAPSE.read_text(), Path("/etc/os-release")
        return Installed(cache, piece("synapse", synapse), piece("letta", letta), piece("letta-migrations", _letta_pin()),
                         piece("databases", letta), piece("redis", system.read_text() if system.exists() else ""))

    def to_json(self):
        return {name: str(path) for name, path in asdict(self).items()}

    @staticmethod
    def from_json(paths):
        return Installed(**{name: Path(path) for name, path in paths.items()})

    def redis_server(self):
        """The machine's own redis-server, or the one unpacked into the cache: program and environment."""
        if own := shutil.which("redis-server"):
            return own, {}
        libraries = {str(each.parent) for each in self.redis.glob("usr/lib/**/*.so.*")}
        return str(self.redis / "usr/bin/redis-server"), {"LD_LIBRARY_PATH": ":".join(sorted(libraries))}


def install():
    """Makes sure that everything is installed, and says where it lies."""
    installed = Installed.planned(cache_folder())
    if not _missing(installed):
        return installed
    installed.cache.mkdir(parents=True, exist_ok=True)
    with held(installed.cache / "install.lock", waiting="another run is installing; waiting for it") as lock:
        missing = _missing(installed)
        if not missing:
            return installed
        python = _python()
        _check_tools(python, installed, missing)
        say(f"installing {', '.join(path.name.rpartition('-')[0] for path, _ in missing)} into {installed.cache} "
            "(once; a few minutes and about 1.7 GB in all)")
        started = time.monotonic()
        last = [each for each in missing if each[0] == installed.databases]  # needs the other pieces
        first = [each for each in missing if each not in last]
        for group in (first, last):
            with ThreadPoolExecutor(max_workers=len(missing)) as pool:
                done = [pool.submit(_make, installed, python, *each, lock) for each in group]
                while not all(each.done() for each in done):
                    time.sleep(process.POLL)
            for each in done:
                each.result()
        say(f"installed in {time.monotonic() - started:.0f} s")
    return installed


def _pieces(installed):
    pieces = [(installed.letta, _make_letta), (installed.synapse, _make_synapse),
              (installed.migrations, _make_migrations), (installed.databases, _make_databases)]
    if not shutil.which("redis-server"):
        pieces.append((installed.redis, _make_redis))
    return pieces


def _missing(installed):
    return [(folder, make) for folder, make in _pieces(installed) if not _complete(folder)]


def _complete(folder):
    # A virtual environment links to its Python, which an upgrade of the machine may have removed.
    python = folder / "bin/python"
    return (folder / STAMP).exists() and (python.exists() or not python.is_symlink())


def _make(installed, python, folder, make, lock):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = installed.cache / f"{folder.name.rpartition('-')[0]}-install.log"
    log.unlink(missing_ok=True)

    def step(what, *argv, **options):
        # The step holds the lock too: if this process is killed, the next one waits for the step's end.
        process.run_step(argv, log=log, what=what, pass_fds=(lock.fileno(),), **options)

    try:
        make(installed, folder, step, python)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    (folder / STAMP).touch()
    say(f"  {folder.name} is ready")


def _make_synapse(_installed, folder, step, python):
    step("creating a virtual environment", python, "-m", "venv", folder)
    step("installing Synapse", folder / "bin/pip", "install", "--no-input", "--no-deps", "-r", SYNAPSE, env=_pip_environment(folder))


def _make_letta(_installed, folder, step, python):
    # --no-deps: the pins are complete, and older pips crash on resolving some of them.
    step("creating a virtual environment", python, "-m", "venv", folder)
    step("installing Letta", folder / "bin/pip", "install", "--no-input", "--no-deps", "-r", LETTA, env=_pip_environment(folder))


def _pip_environment(folder):
    (folder / SCRATCH).mkdir()
    return {**os.environ, "TMPDIR": str(folder / SCRATCH)}


def _make_migrations(_installed, folder, step, python):
    """The database migrations are in Letta's source package only."""
    environment = _pip_environment(folder)
    scratch = folder / SCRATCH
    step("creating a virtual environment", python, "-m", "venv", scratch / "venv")
    step("downloading Letta's source package", scratch / "venv/bin/pip", "download", "--no-input", "--no-deps",
         "--no-binary", ":all:", "--dest", scratch, _letta_pin(), env=environment)
    archive, = scratch.glob("letta-*.tar.gz")
    with tarfile.open(archive) as tar:
        for member in tar:
            path = Path(*Path(member.name).parts[1:])
            wanted = path.parts[:1] == ("alembic",) or path == Path("alembic.ini")
            if wanted and member.isfile() and ".." not in path.parts:
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(tar.extractfile(member).read())


def _make_databases(installed, folder, step, _python):
    """Data folders with an empty database each, which a run copies: Letta's migrations take 10 s and more."""
    with tempfile.TemporaryDirectory(prefix="letta-matrix-databases-") as scratch:
        scratch = Path(scratch)
        programs = postgres.Programs(installed.letta, scratch)
        for name in ("postgres", "letta-postgres"):
            database = postgres.DATABASES[name]
            data = scratch / name
            programs.give(data)
            as_postgres = {"user": programs.user, "env": process.plain_environment(), "cwd": scratch}
            step("creating a database", *programs.argv("initdb", "-D", data, "-U", database, "-A", "trust", "-E", "UTF8",
                 "--locale=C", "--no-sync"), **as_postgres)
            step("creating a database", *programs.argv("postgres", "--single", "-D", data, "postgres"),
                 stdin=f"create database {database}\n", **as_postgres)
        letta = scratch / "letta-postgres"
        port = Claims(installed.cache).claim()
        log = scratch / "letta-postgres.log"
        marker = process.Marker.mine("run", scratch)
        server = process.spawn(programs.server_argv(letta, port), cwd=scratch, log=log, user=programs.user,
                               env=process.plain_environment(**{process.MARKER: marker}))
        try:
            deadline = time.monotonic() + 60
            while not postgres.answers(installed.letta, port, "letta"):
                signals.check()
                if not server.alive() or time.monotonic() > deadline:
                    raise Failure("PostgreSQL did not start:\n" + log.read_text())
                time.sleep(process.POLL)
            step("creating Letta's vector extension", *postgres.psql(installed.letta, port, "letta", "create extension vector"),
                 env=process.plain_environment())
            step("migrating Letta's database", installed.letta / "bin/python", "-m", "alembic", "upgrade", "head",
                 cwd=installed.migrations,
                 env=process.plain_environment(HOME=scratch, LETTA_DIR=scratch / "letta-home",
                                               LETTA_PG_URI=postgres.url(port, "letta")))
        finally:
            process.stop([(server, postgres.STOP)], grace=30)
        for name in postgres.DATABASES:
            postgres.copy(scratch / name, folder / name)


def _make_redis(_installed, folder, step, _python):
    """Debian's package with what it needs, unpacked and not installed."""
    packages = _apt_would_install("redis-server")
    debs = folder / "debs"
    debs.mkdir()
    try:
        step("downloading Redis", "apt-get", "download", *packages, cwd=debs)
    except Failure:
        _apt_update(step)  # the lists name files that are gone
        step("downloading Redis", "apt-get", "download", *_apt_would_install("redis-server"), cwd=debs)
    for deb in debs.glob("*.deb"):
        step("unpacking Redis", "dpkg", "-x", deb, folder)
    shutil.rmtree(debs)
    if not (folder / "usr/bin/redis-server").exists():
        raise Failure("the Debian packages held no redis-server; install Redis, so that redis-server is found on the PATH")


# --- what the machine must bring

def _letta_pin():
    return next(line.strip() for line in LETTA.read_text().splitlines() if line.startswith("letta=="))


def _python():
    """Letta's pins install with Python 3.11 to 3.13."""
    if sys.version_info < (3, 14):
        # With its version in the name, as Debian has it: a later version then leaves a dead link, which is seen.
        return str(Path(sys.executable).resolve())
    for name in ("python3.13", "python3.12", "python3.11"):
        if found := shutil.which(name):
            return found
    raise Failure("Letta needs Python 3.11, 3.12 or 3.13, and none of these is on the PATH")


def _check_tools(python, installed, missing):
    """Says all that is missing at once; root gets Debian packages installed instead."""
    wanted = {}
    can_venv = subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True).returncode == 0
    if not can_venv:
        wanted["python3-venv"] = "Python's venv module"
    if any(folder == installed.redis for folder, _ in missing):
        for tool, package in (("apt-get", "redis-server"), ("dpkg", "dpkg")):
            if not shutil.which(tool):
                wanted[package] = f"redis-server on the PATH (or {tool}, to fetch it)"
    if not wanted:
        return
    packages = list(wanted)
    explanation = "missing: " + ", ".join(wanted.values()) + "; on Debian: apt-get install " + " ".join(packages)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Failure(explanation)
    say(explanation)
    log = installed.cache / "apt.log"

    def step(what, *argv, **options):
        process.run_step(argv, log=log, what=what, **options)

    _apt_update(step)
    step("installing Debian packages", "apt-get", "install", "-y", "--no-install-recommends", *packages,
         env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


_updated = []


def _apt_update(step):
    if _updated or os.geteuid() != 0:
        raise Failure("Debian's package lists are missing or outdated: run apt-get update as root, or install redis-server")
    _updated.append(True)
    step("updating Debian's package lists", "apt-get", "update", "-q")


def _apt_would_install(package):
    """The package with those of its dependencies that this machine lacks."""
    def simulate():
        done = subprocess.run(["apt-get", "-s", "install", "--no-install-recommends", package], capture_output=True, text=True)
        return [line.split()[1] for line in done.stdout.splitlines() if line.startswith("Inst ")]
    if names := simulate():
        return names
    _apt_update(lambda what, *argv: process.run_step(argv, log="/dev/null", what=what))
    if names := simulate():
        return names
    raise Failure(f"Debian's package lists have no {package}; install Redis, so that redis-server is found on the PATH")
