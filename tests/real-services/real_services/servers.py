"""One class per kind of server: its files, its command line, and how to see that it is ready."""
import base64
import os
import shlex
import shutil
import signal
import socket
from pathlib import Path
from string import Template

from . import postgres, process, web
from .install import HERE
from .report import Failure

SERVER_NAME = "matrix.test"
AS_TOKEN = "as-token-for-tests"
HS_TOKEN = "hs-token-for-tests"
REGISTRATION_SECRET = "registration-secret-for-tests"
LETTA_PASSWORD = "letta-password-for-tests"


class Server:
    name = ""
    needs = ()  # servers that must be ready before this one starts
    stop_signal = signal.SIGTERM
    user = None

    def __init__(self, stack):
        self.stack = stack
        self.port = stack.ports[self.name]
        self.data = stack.folder / "data" / self.name
        self.log = stack.folder / "logs" / f"{self.name}.log"
        self.record = stack.folder / "pids" / f"{self.name}.json"

    def prepare(self):
        self.data.mkdir(parents=True, exist_ok=True)

    def argv(self):
        raise NotImplementedError

    def env(self):
        return process.plain_environment()

    def answers(self):
        raise NotImplementedError

    def start(self):
        self.prepare()
        self.log.parent.mkdir(exist_ok=True)
        env = {**self.env(), process.MARKER: str(self.stack.marker)}
        try:
            process.spawn(self.argv(), cwd=self.data, env=env, log=self.log, user=self.user).save(self.record)
        except OSError as error:
            raise Failure(f"{self.name} could not be started: {error}") from error

    def identity(self):
        return process.Identity.load(self.record)

    def alive(self):
        identity = self.identity()
        return identity is not None and identity.alive()


class Postgres(Server):
    stop_signal = postgres.STOP

    def prepare(self):
        installed = self.stack.installed
        if not self.data.exists():
            postgres.copy(installed.databases / self.name, self.data)
        self._programs = postgres.Programs(installed.letta, self.stack.folder)
        if self._programs.user is not None:
            self.data.parent.chmod(0o711)
        self._programs.give(self.data)
        self.user = self._programs.user

    def argv(self):
        return self._programs.server_argv(self.data, self.port)

    def answers(self):
        return postgres.answers(self.stack.installed.letta, self.port, postgres.DATABASES[self.name])

    def url(self):
        return postgres.url(self.port, postgres.DATABASES[self.name])


class BridgePostgres(Postgres):
    name = "postgres"


class LettaPostgres(Postgres):
    name = "letta-postgres"


class Redis(Server):
    def argv(self):
        # The append-only file is for a stop and start in the middle of a test. The
        # process title stays, because writing one destroys the environment, and with it our marker.
        return [self.stack.installed.redis_server()[0], "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.data),
                "--save", "", "--appendonly", "yes", "--set-proc-title", "no"]

    def env(self):
        return process.plain_environment(**self.stack.installed.redis_server()[1])

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16) == b"+PONG\r\n"
        except OSError:
            return False


class BridgeRedis(Redis):
    name = "redis"


class LettaRedis(Redis):
    name = "letta-redis"


class Llm(Server):
    """What Letta takes for OpenAI: the project's own fake, or what LLM_FAKE_COMMAND says."""
    name = "llm"

    def argv(self):
        listen = f"127.0.0.1:{self.port}"
        return [word.replace("{listen}", listen).replace("{port}", str(self.port)) for word in self.stack.llm_command]

    def env(self):
        return dict(os.environ)

    def answers(self):
        return web.is_ok(self.url() + "/models")

    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"


class Letta(Server):
    name = "letta"
    needs = ("letta-postgres", "letta-redis", "llm")  # it asks for the models only once, when it starts

    def argv(self):
        return [str(self.stack.installed.letta / "bin/letta"), "server", "--host", "127.0.0.1", "--port", str(self.port), "--secure"]

    def env(self):
        servers = self.stack.servers
        # Without it Letta keeps no events of a run, and has no locks.
        redis = {} if os.environ.get("REAL_LETTA_REDIS") == "0" else {
            "LETTA_REDIS_HOST": "127.0.0.1", "LETTA_REDIS_PORT": servers["letta-redis"].port}
        return process.plain_environment(
            HOME=self.data, LETTA_DIR=self.data / ".letta", LETTA_SERVER_PASSWORD=LETTA_PASSWORD,
            LETTA_PG_URI=servers["letta-postgres"].url(),
            **redis, OPENAI_API_KEY="openai-key-for-tests", OPENAI_BASE_URL=servers["llm"].url(),
            LETTA_LOGGING_LOG_LEVEL="WARNING", LETTA_TELEMETRY_ENABLE_DATADOG="false", DO_NOT_TRACK=1, PYTHONUNBUFFERED=1)

    def answers(self):
        return web.is_ok(self.url() + "/v1/health/")

    def url(self):
        return f"http://127.0.0.1:{self.port}"


class Synapse(Server):
    name = "synapse"

    def prepare(self):
        super().prepare()
        values = {"port": self.port, "data": self.data, "bridge": self.stack.bridge(), "as_token": AS_TOKEN,
                  "hs_token": HS_TOKEN, "registration_secret": REGISTRATION_SECRET,
                  # Without it the users of our namespace are ordinary ones, as a bridge without an application service makes them.
                  "appservices": "[]" if os.environ.get("REAL_APPSERVICE") == "0" else f'["{self.data}/appservice.yaml"]'}
        for template in (HERE / "templates").glob("*.yaml"):
            (self.data / template.name).write_text(Template(template.read_text()).substitute(values))
        key = self.data / "signing.key"
        if not key.exists():
            seed = base64.b64encode(os.urandom(32)).decode().rstrip("=")
            key.write_text(f"ed25519 a_test {seed}\n")

    def argv(self):
        return [str(self.stack.installed.synapse / "bin/python"), "-m", "synapse.app.homeserver", "--no-redirect-stdio",
                "-c", str(self.data / "homeserver.yaml")]

    def answers(self):
        return web.is_ok(self.url() + "/_matrix/client/versions")

    def url(self):
        return f"http://127.0.0.1:{self.port}"


# In the order in which they start, as far as their needs let them.
ALL = (Llm, LettaPostgres, LettaRedis, Synapse, BridgePostgres, BridgeRedis, Letta)


def llm_command(repository):
    """The command template of the LLM fake, or None when the project's program has yet to be built."""
    if template := os.environ.get("LLM_FAKE_COMMAND"):
        program, *words = shlex.split(template)
        return [os.path.abspath(shutil.which(program) or program), *words]
    if chosen := os.environ.get("LETTA_MATRIX_BIN"):
        program = Path(chosen).resolve()
    else:
        target = Path(os.environ.get("CARGO_TARGET_DIR") or repository / "target")
        built = [path for profile in ("release", "debug") if (path := target / profile / "letta-matrix").exists()]
        if not built:
            return None
        program = max(built, key=lambda path: path.stat().st_mtime).resolve()
    return [str(program), "fake", "llm", "--listen", "{listen}"]
