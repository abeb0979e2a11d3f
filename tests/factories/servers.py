"""Real servers for the tests, as contexts on loopback: PostgreSQL, and MLflow's tracking server.

Each ends with its context, and at the latest with this process, however that ends.
"""

import contextlib
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psycopg
from psycopg import sql

START_SECONDS = 120
STOP_SECONDS = 30
# Below the ports that the kernel gives to outgoing connections, which could take a server's port while it is down.
PORTS = range(20_000, 32_000)

# Reads the group of the server that runs now (an empty line: none), until this process closes the pipe or dies. Then it
# ends the group with the signal $1, waits for its leader, and removes the folder $2, if any.
_GUARD = """
while read -r line; do group=$line; done
if [ "$group" ]; then
    kill -s "$1" -- "-$group"
    for second in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$group" || break; sleep 1; done
fi 2>/dev/null
[ -z "$2" ] || rm -rf -- "$2"
"""
_reserved: list[socket.socket] = []


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free, and that no other test process is given while this one lives."""
    while True:
        port = random.SystemRandom().choice(PORTS)  # pytest-randomly gives `random` the same seed in every process
        reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # UDP: holds the number, leaves TCP's port free
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            reservation.bind(("127.0.0.1", port))
            _reserved.append(reservation)
            return port
        reservation.close()


class _Server:
    """A server process in a group of its own, with a guard that ends it when this process is gone."""

    def __init__(self, log: Path, last_signal: str, folder: Path | None = None):
        self.port = free_port()
        self._log = log
        self._process: subprocess.Popen | None = None
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "guard", last_signal, str(folder or "")], stdin=subprocess.PIPE, start_new_session=True
        )

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.stop()
        finally:
            self._guard.stdin.close()
            self._guard.wait()

    def start(self) -> None:
        """Start the server, on the same port and with the same data every time, and wait until it answers."""
        command, options = self._command()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **options
            )
        self._tell_guard(str(self._process.pid))
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End the server in an orderly way; `start` brings it back. Nothing happens where none runs."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        deadline = time.monotonic() + STOP_SECONDS
        while self._signal(signal.SIGKILL) and time.monotonic() < deadline:  # what the leader has left behind
            time.sleep(0.05)
        self._process = None
        self._tell_guard("")

    def _signal(self, what: signal.Signals) -> bool:
        """Send a signal to the whole group; return whether there is one."""
        try:
            os.killpg(self._process.pid, what)
        except ProcessLookupError:
            return False
        return True

    def _tell_guard(self, group: str) -> None:
        self._guard.stdin.write(f"{group}\n".encode())
        self._guard.stdin.flush()

    def _command(self) -> tuple[list[str], dict]:
        """Return the command that starts it, and the options of Popen."""
        raise NotImplementedError

    def _answers(self) -> bool:
        """Return whether the server that has been started answers."""
        raise NotImplementedError


# --- PostgreSQL -------------------------------------------------------------------------------------


def _postgres_programs() -> Path | None:
    """Return the folder of `initdb` and `postgres`: Debian's newest, or that of the PATH."""
    debian = Path("/usr/lib/postgresql").glob("[0-9]*/bin/postgres")
    on_path = filter(None, [shutil.which("postgres")])
    found = [*sorted(debian, key=lambda path: -int(path.parts[-3])), *map(Path, on_path)]
    return next((path.parent for path in found if (path.parent / "initdb").exists()), None)


def postgres_missing() -> str | None:
    """Return why no PostgreSQL can be started here, for `pytest.skip`, or None."""
    if _postgres_programs() is None:
        return "needs PostgreSQL's initdb and postgres, in /usr/lib/postgresql or on the PATH (Debian: postgresql)"
    return None


def _unprivileged() -> dict:
    """Return Popen's options for a user whom PostgreSQL accepts: it refuses root."""
    if os.geteuid() != 0:
        return {}
    users = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = users.get("postgres") or users["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Postgres(_Server):
    """A PostgreSQL server with a new cluster, and in it the user `study` with a password, who owns a database `study`.

    `url` is SQLAlchemy's address of that database, `password` what it has in it.
    """

    def __init__(self):
        # Not pytest's tmp_path: its parents can be entered by their owner alone.
        self._folder = Path(tempfile.mkdtemp(prefix="study-postgres-", dir="/tmp"))
        super().__init__(self._folder / "log", last_signal="QUIT", folder=self._folder)
        self.password = secrets.token_hex(8)
        self.url = f"postgresql+psycopg://study:{self.password}@127.0.0.1:{self.port}/study"

    def start(self) -> None:
        """Start the server and wait until it answers; the first time, make its cluster, user and database."""
        if new := not (self._folder / "data").exists():
            self._make_cluster()
        super().start()
        if new:
            with self._connection() as connection:
                role = sql.SQL("CREATE ROLE study LOGIN PASSWORD {}").format(sql.Literal(self.password))
                connection.execute(role)
                connection.execute("CREATE DATABASE study OWNER study")

    def stop(self, crash: bool = False) -> None:
        """End the server, with its clients' connections; with `crash` without saying goodbye, to recover at `start`."""
        self._end(signal.SIGQUIT if crash else signal.SIGINT)  # PostgreSQL's "immediate" and "fast"

    def new_database(self) -> str:
        """Return the address of one more database, empty, of the same user."""
        name = f"study_{secrets.token_hex(4)}"
        with self._connection() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER study").format(sql.Identifier(name)))
        return self.url.removesuffix("study") + name

    def restart(self, down_seconds: float = 3, crash: bool = False) -> None:
        """Stop the server, leave it down for so long, and start it again."""
        self.stop(crash)
        time.sleep(down_seconds)
        self.start()

    def _make_cluster(self) -> None:
        user, password = _unprivileged(), self._folder / "password"
        password.write_text(self.password)
        if user:
            os.chown(self._folder, user["user"], user["group"])
            os.chown(password, user["user"], user["group"])
        words = ["--pgdata", "data", "--username", "postgres", "--pwfile", "password", "--auth", "scram-sha-256"]
        words += ["--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"]
        command = [str(_postgres_programs() / "initdb"), *words]
        made = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, **user)
        if made.returncode:
            raise RuntimeError(f"{command[0]} fails:\n{made.stdout}{made.stderr}")

    def _command(self) -> tuple[list[str], dict]:
        # No fsync: what the server had not written to the disk when it crashed is still in the system's cache.
        # No Unix socket: its usual folder may be closed to this user.
        settings = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB", "unix_socket_directories": ""}
        settings |= {"listen_addresses": "127.0.0.1", "port": self.port}
        words = [f"--{name}={value}" for name, value in settings.items()]
        options = {"cwd": self._folder, **_unprivileged()}
        return [str(_postgres_programs() / "postgres"), "-D", str(self._folder / "data"), *words], options

    def _connection(self) -> psycopg.Connection:
        words = {"user": "postgres", "password": self.password, "dbname": "postgres", "connect_timeout": 2}
        return psycopg.connect(host="127.0.0.1", port=self.port, autocommit=True, **words)

    def _answers(self) -> bool:
        try:
            self._connection().close()
        except psycopg.OperationalError:
            return False
        return True


# --- MLflow -----------------------------------------------------------------------------------------


class MlflowServer(_Server):
    """`mlflow server` with a SQLite store in a folder, and its artifacts there as well, which clients reach through it.

    `url` is its tracking URI.
    """

    def __init__(self, folder: Path):
        super().__init__(folder / "server.log", last_signal="KILL")
        self._folder = folder
        self.url = f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """End the server at once; connections are refused until `start`."""
        self._end(signal.SIGKILL)

    def _command(self) -> tuple[list[str], dict]:
        words = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        words += ["--backend-store-uri", f"sqlite:///{self._folder}/server.db"]
        words += ["--artifacts-destination", f"{self._folder}/artifacts"]
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # another 20 s and 1.5 GB
        return [sys.executable, "-m", "mlflow", "server", *words], {"env": environment, "cwd": self._folder}

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/health", timeout=5).close()
        except OSError:
            return False
        return True
