"""Starts worker processes on this machine and watches them while they run a queue's trials."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Sequence

from study.base import processes
from study.base.errors import WorkerError
from study.execution.queue import Progress
from study.execution.worker_server_client import ServedWorker, server
from study.tracking import store

POLL_SECONDS = 0.5
STOP_SECONDS = 15


class WorkerPool:
    """A context that runs worker processes on this machine: they end when it does, or when this process dies.

    The server that forks them starts at once, and imports what they need while this process prepares their work.
    """

    def __init__(self, size: int):
        self._size = size
        self._server = server() if size else None  # without workers here, others have been launched elsewhere
        self._workers: list[ServedWorker] = []

    def assign(self, storage: str, name: str, spec: str | None = None) -> None:
        """Start the workers on this queue's trials; `spec` names the data, unless they are named as in the queue."""
        words = [storage, name] if spec is None else [storage, name, spec]
        if self._server:
            self._workers = [self._server.start(words, store.tracking_uri()) for _ in range(self._size)]

    @property
    def names(self) -> list[str]:
        """The names, ``host:pid``, that the workers have had, as `Progress.worker` has them."""
        return [f"{socket.gethostname()}:{pid}" for worker in self._workers for pid in worker.pids]

    def working(self) -> bool:
        """Return whether any worker is still running."""
        self._look()
        return any(worker.status is None for worker in self._workers)

    def wait(self, seconds: float) -> None:
        """Wait until a worker starts, ends or finds nothing to take, `seconds` at most."""
        if self._server and not self._server.ended:
            self._server.look(seconds)
        else:
            time.sleep(seconds)

    def wake(self) -> None:
        """Let workers that have found nothing to take look again, because there may be more now."""
        if self._server:
            self._server.wake()

    def failed(self) -> bool:
        """Return whether all workers have ended, none of them with exit status 0."""
        self._look()
        return all(worker.status not in (None, 0) for worker in self._workers)

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the workers and the trials that they are running."""
        if not self._server:
            return
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

    def _look(self) -> None:
        if self._server:
            self._server.look()

    def failure(self, trials: Sequence[Progress]) -> WorkerError:
        """Return the error that no worker is left to run the unfinished ones of these trials."""
        codes = sorted({worker.status for worker in self._workers if worker.status is not None})
        return WorkerError(
            f"every worker ended (exit status {', '.join(map(str, codes))}) before the trials did",
            got=f"{sum(trial.finished for trial in trials)} of {len(trials)} trials",
            hint="-9 often means that the memory ran out: try fewer workers." if -9 in codes else None,
        )
