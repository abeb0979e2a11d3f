"""A real `mlflow models serve`, and a client of it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path


@contextmanager
def served(uri: str, folder: Path):
    """Yield the port of `mlflow models serve`, its process, and the seconds until it answered."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local", "-p", str(port)]
    start = time.monotonic()
    with open(folder / "server.log", "w") as log:
        process = subprocess.Popen(
            words, cwd=empty(folder), env=bare(), start_new_session=True, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "server.log").read_text()
                assert time.monotonic() - start < 120
                time.sleep(0.1)
        yield port, process, time.monotonic() - start
    finally:
        with suppress(ProcessLookupError):  # a server that died at its start: the assertion above says why
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def bare() -> dict[str, str]:
    """Return this environment, with its programs found first and the project not on Python's path."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {
        "PATH": f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}"
    }


def empty(folder: Path) -> Path:
    (folder / "empty").mkdir(exist_ok=True)
    return folder / "empty"


class Client:
    """One connection that is kept, and made anew where the server ends it."""

    def __init__(self, port: int):
        self.connection = HTTPConnection("127.0.0.1", port, timeout=60)

    def close(self) -> None:
        self.connection.close()

    def post(self, body: bytes, kind: str = "application/json") -> tuple[int, str]:
        for attempt in range(2):
            try:
                self.connection.request("POST", "/invocations", body, {"Content-Type": kind})
                response = self.connection.getresponse()
                return response.status, response.read().decode()
            except (HTTPException, ConnectionError):
                self.connection.close()
                if attempt:
                    raise
