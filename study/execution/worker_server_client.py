"""Starts this process's worker server and talks to it; imports little, so that the server starts first of all."""

import atexit
import contextlib
import itertools
import os
import select
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from study.base import processes
from study.base.paths import STORE_VARIABLE
from study.execution.worker_server import IDLE, WAKE, Job, Lines


@dataclass
class ServedWorker:
    """A worker process: its pid once it has started, its exit status once it has ended.

    `pids` are also those of the processes that it has replaced, because they had grown too large.
    """

    pids: list[int] = field(default_factory=list)
    status: int | None = None

    @property
    def pid(self) -> int | None:
        return self.pids[-1] if self.pids else None


class WorkerServerClient:
    """The worker server as its program sees it."""

    def __init__(self) -> None:
        here, there = socket.socketpair()
        root = str(Path(__file__).resolve().parents[2])
        self._path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        # With its own process group it and the workers get no Ctrl-C from a terminal: this process decides what to end.
        # It gets no session: Linux shares the processor among sessions, and this process would wait behind its workers.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "study.execution.worker_server"],
            stdin=there.fileno(),
            env=os.environ | {"PYTHONPATH": self._path},
            process_group=0,
        )
        there.close()
        self._lines = Lines(here)
        self._numbers = itertools.count()
        self._workers: dict[int, ServedWorker] = {}  # those that have not ended
        self._idle = False  # whether a worker has found nothing to take since `wake`
        self.ended = False

    def start(self, words: list[str], tracking_uri: str) -> ServedWorker:
        """Let it start a worker that records in this store."""
        environment = os.environ | {"PYTHONPATH": self._path, STORE_VARIABLE: tracking_uri}
        job = Job(next(self._numbers), words, os.getcwd(), dict(environment))
        self._workers[job.number] = worker = ServedWorker()
        with contextlib.suppress(OSError):  # it has died; `look` will see it
            self._lines.send(asdict(job))
        return worker

    def look(self, seconds: float = 0) -> None:
        """Learn which workers have started and ended; wait so long for the first news."""
        while not self.ended and select.select([self._lines], [], [], seconds)[0]:
            seconds = 0
            try:
                for number, pid, status in self._lines.receive():
                    self._hear(number, pid, status)
            except EOFError:
                self.end()

    def wake(self) -> None:
        """Let workers that have found nothing to take look again."""
        if self._idle:
            self._idle = False
            with contextlib.suppress(OSError):
                self._lines.send(WAKE)

    def end(self) -> None:
        """End it, and whatever worker of it is left; does nothing the second time."""
        if self.ended:
            return
        self.ended = True
        self._process.kill()  # it ignores SIGTERM
        status = self._process.wait()
        with contextlib.suppress(EOFError):
            while True:  # what it said before it ended
                for news in self._lines.receive():
                    self._hear(*news)
        self._lines.close()
        processes.kill(worker.pid for worker in self._workers.values() if worker.pid)
        for worker in self._workers.values():
            worker.status = status
        self._workers.clear()

    def _hear(self, number: int, pid: int, status: int | str | None) -> None:
        worker = self._workers[number]
        if status is None:
            worker.pids.append(pid)
        elif isinstance(status, int):
            worker.status = status
            del self._workers[number]
        self._idle |= status == IDLE


_latest: list[WorkerServerClient] = []


def server() -> WorkerServerClient:
    """Return this process's worker server; start one if there is none."""
    if not _latest or _latest[-1].ended:
        _latest[:] = [WorkerServerClient()]
        atexit.register(_latest[-1].end)
    return _latest[-1]
