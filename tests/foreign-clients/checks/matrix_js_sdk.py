"""The Matrix fake, as matrix-js-sdk sees it: the library under Element. The checks are in matrix-js-sdk/check.mjs."""
import fcntl
import hashlib
import shutil
import subprocess

from foreign_clients.fakes import START, CannotRun
from foreign_clients.install import HERE, STAMP, cache_folder

FAKE = "matrix"
FOLDER = HERE / "matrix-js-sdk"


def modules():
    """The folder with the client, installed when it is not there yet."""
    if not (shutil.which("node") and shutil.which("npm")):
        raise CannotRun("matrix-js-sdk needs node and npm")
    lock = (FOLDER / "package-lock.json").read_bytes()
    folder = cache_folder() / f"npm-{hashlib.sha256(lock).hexdigest()[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / "install.lock", "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / STAMP).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(FOLDER / name, folder)
            install = ["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
            if subprocess.run(install, cwd=folder).returncode:
                raise CannotRun("npm could not install matrix-js-sdk")
            (folder / STAMP).touch()
    return folder


def check_of(name):
    def check(fake):
        command = ["node", FOLDER / "check.mjs", fake.url, name, modules()]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=2 * START)
        assert ended.returncode == 0, ended.stderr
    check.__name__ = name
    return check


for each in (
    "a_password_opens_a_session",
    "two_people_talk",
    "edits_reactions_threads_and_redactions_are_understood",
    "history_is_read_in_pages",
    "typing_receipts_and_names_are_seen",
    "files_go_up_and_come_down",
    "a_space_shows_its_rooms",
    "an_ended_session_is_noticed",
    "a_restart_of_the_server_is_survived",
):
    globals()[each] = check_of(each)
