"""All servers of one state folder: started together, found again by `ctl` and `down`."""
import hashlib
import hmac
import json
import os
import shlex
import time
from pathlib import Path

from . import ports, process, servers, signals, web
from .install import Installed
from .report import Failure, say

ADMIN = "admin"
ADMIN_PASSWORD = "admin-password-for-tests"
BRIDGE = "bridge"  # the port that tests listen on; no server of ours
STATE = "state.json"


def deadline():
    """Seconds that one server may take; Letta needs 15 on an idle machine."""
    return float(os.environ.get("REAL_SERVICES_DEADLINE") or 180)


class Stack:
    def __init__(self, folder, installed, marker, llm_command, port_numbers):
        self.folder = folder
        self.installed = installed
        self.marker = marker
        self.llm_command = llm_command
        self.ports = port_numbers
        self.servers = {kind.name: kind(self) for kind in servers.ALL}

    @staticmethod
    def create(folder, kind, installed, llm_command, claims):
        """A new stack, or for a folder that has been used before: the same data, and the same ports where still free."""
        earlier = Stack._state(folder).get("ports", {})
        numbers = {}
        for name in (*(each.name for each in servers.ALL), BRIDGE):
            port = earlier.get(name)
            numbers[name] = port if port and claims.try_claim(port) else claims.claim()
        folder.mkdir(parents=True, exist_ok=True)
        stack = Stack(folder, installed, process.Marker.mine(kind, folder), llm_command, numbers)
        (folder / STATE).write_text(json.dumps(
            {"marker": str(stack.marker), "ports": numbers, "llm_command": llm_command, "installed": installed.to_json()}, indent=2))
        return stack

    @staticmethod
    def open(folder):
        state = Stack._state(folder)
        if not state:
            raise Failure(f"{folder} is not a state folder of ours (it has no {STATE})")
        return Stack(folder, Installed.from_json(state["installed"]), process.Marker.parse(state["marker"]),
                     state["llm_command"], state["ports"])

    @staticmethod
    def _state(folder):
        try:
            return json.loads((folder / STATE).read_text())
        except (OSError, ValueError):
            return {}

    @staticmethod
    def exists(folder):
        return bool(Stack._state(folder))

    def bridge(self):
        return f"127.0.0.1:{self.ports[BRIDGE]}"

    def logs(self):
        return sorted((self.folder / "logs").glob("*.log"))

    # --- starting

    def start(self, names=None):
        """Starts the servers, each as soon as those it needs are ready, and waits until all are."""
        waiting = [self.servers[name] for name in names or self.servers]
        begun, ready = {}, set(self.servers) - {server.name for server in waiting}
        while waiting:
            signals.check()
            for server in list(waiting):
                if server.name not in begun:
                    if ready.issuperset(server.needs):
                        server.start()
                        begun[server.name] = time.monotonic()
                elif self._is_ready(server, begun[server.name]):
                    ready.add(server.name)
                    waiting.remove(server)
            time.sleep(process.POLL)

    def _is_ready(self, server, since):
        if not server.alive():
            if not ports.is_free(server.port):
                raise ports.PortTaken(server.port)
            raise Failure(f"{server.name} ended while it started{_tail(server.log)}")
        if time.monotonic() - since > deadline():
            raise Failure(f"{server.name} did not answer within {deadline():.0f} s (REAL_SERVICES_DEADLINE sets this)"
                          f"{_tail(server.log)}")
        # First whose port it is: another program's answer says nothing about our server.
        return ports.listens(server.identity(), server.port) and server.answers()

    def create_admin(self):
        """The server admin, made with the shared secret; one from an earlier start of the same data will do."""
        url = self.servers["synapse"].url() + "/_synapse/admin/v1/register"
        nonce = web.call("GET", url)[1]["nonce"]
        signed = "\0".join((nonce, ADMIN, ADMIN_PASSWORD, "admin")).encode()
        mac = hmac.new(servers.REGISTRATION_SECRET.encode(), signed, hashlib.sha1).hexdigest()
        status, answer = web.call("POST", url, {"nonce": nonce, "username": ADMIN, "password": ADMIN_PASSWORD, "admin": True, "mac": mac})
        if status != 200 and answer.get("errcode") != "M_USER_IN_USE":
            raise Failure(f"Synapse did not register the admin: {status} {answer}")

    # --- stopping

    def stop(self, names=None, grace=10):
        """Stops the servers by recorded pid, those that use others first, and then whatever they left."""
        chosen = [self.servers[name] for name in names or self.servers]
        users = [server for server in chosen if server.needs]
        for group in (users, [server for server in chosen if server not in users]):
            recorded = [(server.identity(), server.stop_signal) for server in group]
            process.stop([each for each in recorded if each[0]], grace)
        if names is None:
            sweep(self.folder, grace)

    def running(self):
        return [server.name for server in self.servers.values() if server.alive()]

    # --- for the command

    def exports(self):
        each = self.servers
        return {
            "REAL_SERVICES_AVAILABLE": "1",
            "REAL_SERVICES_DIR": str(self.folder),
            "LETTA_API_URL": each["letta"].url(),
            "LETTA_TOKEN": servers.LETTA_PASSWORD,
            "MATRIX_HOMESERVER_URL": each["synapse"].url(),
            "MATRIX_SERVER_NAME": servers.SERVER_NAME,
            "MATRIX_AS_TOKEN": servers.AS_TOKEN,
            "MATRIX_HS_TOKEN": servers.HS_TOKEN,
            "MATRIX_REGISTRATION_SHARED_SECRET": servers.REGISTRATION_SECRET,
            "MATRIX_ADMIN_USERNAME": ADMIN,
            "MATRIX_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "LETTA_MATRIX_LISTEN": self.bridge(),
            "REAL_APPSERVICE_ID": "letta-matrix",
            "REAL_DATABASE_URL": each["postgres"].url(),
            "REAL_REDIS_URL": f"redis://127.0.0.1:{each['redis'].port}/0",
            "REAL_LLM_URL": each["llm"].url(),
        }

    def export_lines(self):
        return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self.exports().items())


def sweep(folder, grace):
    """Ends every process that carries this folder's marker: children that a server left behind."""
    left = [(identity, servers.Server.stop_signal) for identity, marker in process.marked() if marker.folder == str(folder)]
    process.stop(left, grace)


def end_orphans():
    """Stops the servers of runs that were killed before they could."""
    folders = {marker.folder for _, marker in process.marked() if marker.orphaned()}
    for name in sorted(folders):
        folder = Path(name)
        if Stack.exists(folder):
            Stack.open(folder).stop()
        else:
            sweep(folder, grace=5)
        say(f"stopped the servers of a run that was killed; its folder is kept: {folder}")


def _tail(log):
    try:
        lines = log.read_text(errors="replace").splitlines()[-15:]
    except OSError:
        lines = []
    return "".join([f"; the end of {log}:", *("\n    " + line for line in lines)])
