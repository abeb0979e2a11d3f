"""Starts worker processes on this machine and watches them while they run a queue's trials."""

import atexit
import contextlib
import itertools
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from study.base import processes
from study.base.errors import WorkerError
from study.base.paths import STORE_VARIABLE
from study.execution.queue import Progress
from study.execution.worker_server import Job, Lines
from study.tracking import store

POLL_SECONDS = 0.5
STOP_SECONDS = 15


class WorkerPool:
    """A context that runs worker processes on this machine: they end when it does, or when this process dies.

    The server that forks them starts at once, and imports what they need while this process prepares their work.
    """

    def __init__(self, size: int):
        self._size = size
        self._server = _server()
        self._workers: list[_Worker] = []

    def assign(self, storage: str, name: str, spec: str | None = None) -> None:
        """Start the workers on this queue's trials; `spec` names the data, unless they are named as in the queue."""
        words = [storage, name] if spec is None else [storage, name, spec]
        self._workers = [self._server.start(words) for _ in range(self._size)]

    @property
    def names(self) -> list[str]:
        """The names, ``host:pid``, that the workers have had, as `Progress.worker` has them."""
        return [f"{socket.gethostname()}:{pid}" for worker in self._workers for pid in worker.pids]

    def working(self) -> bool:
        """Return whether any worker is still running."""
        self._server.look()
        return any(worker.status is None for worker in self._workers)

    def failed(self) -> bool:
        """Return whether all workers have ended, none of them with exit status 0."""
        self._server.look()
        return all(worker.status not in (None, 0) for worker in self._workers)

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the workers and the trials that they are running."""
        self._server.look()
        if self._workers and not any(worker.pid for worker in self._workers):
            self._server.end()  # rather than wait until it has imported all that they will not need
        deadline = time.monotonic() + STOP_SECONDS
        asked: set[int] = set()
        while self.working() and time.monotonic() < deadline:
            for worker in self._workers:
                if worker.pid and worker.status is None and worker.pid not in asked:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(worker.pid, signal.SIGTERM)
                    asked.add(worker.pid)
            self._server.look(seconds=0.1)
        processes.kill(worker.pid for worker in self._workers if worker.pid and worker.status is None)

    def failure(self, trials: Sequence[Progress]) -> WorkerError:
        """Return the error that no worker is left to run the unfinished ones of these trials."""
        codes = sorted({worker.status for worker in self._workers if worker.status is not None})
        return WorkerError(
            f"every worker ended (exit status {', '.join(map(str, codes))}) before the trials did",
            got=f"{sum(trial.finished for trial in trials)} of {len(trials)} trials",
            hint="-9 often means that the memory ran out: try fewer workers." if -9 in codes else None,
        )


@dataclass
class _Worker:
    """A worker process: its pid once it has started, its exit status once it has ended.

    `pids` are also those of the processes that it has replaced, because they had grown too large.
    """

    pids: list[int] = field(default_factory=list)
    status: int | None = None

    @property
    def pid(self) -> int | None:
        return self.pids[-1] if self.pids else None


# --- the server -------------------------------------------------------------------------------------


class _Server:
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
        self._workers: dict[int, _Worker] = {}  # those that have not ended
        self.ended = False

    def start(self, words: list[str]) -> _Worker:
        """Let it start a worker."""
        environment = os.environ | {"PYTHONPATH": self._path, STORE_VARIABLE: store.tracking_uri()}
        job = Job(next(self._numbers), words, os.getcwd(), dict(environment))
        self._workers[job.number] = worker = _Worker()
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

    def end(self) -> None:
        """End it, and whatever worker of it is left; does nothing the second time."""
        if self.ended:
            return
        self.ended = True
        self._process.terminate()
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

    def _hear(self, number: int, pid: int, status: int | None) -> None:
        worker = self._workers[number]
        if status is None:
            worker.pids.append(pid)
        else:
            worker.status = status
            del self._workers[number]


_latest: list[_Server] = []


def _server() -> _Server:
    """Return this process's worker server; start one if there is none."""
    if not _latest or _latest[-1].ended:
        _latest[:] = [_Server()]
        atexit.register(_latest[-1].end)
    return _latest[-1]
