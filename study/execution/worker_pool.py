"""Starts worker processes on this machine and watches them while they run a queue's trials."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from study.base.errors import WorkerError
from study.execution.queue import Progress
from study.tracking import store

POLL_SECONDS = 0.5
STOP_SECONDS = 15


class WorkerPool:
    """A context that runs worker processes on this machine: they end when it does, or when this process dies.

    They start at once, and import what they need while this process prepares the work that `assign` gives them.
    """

    def __init__(self, count: int):
        root = str(Path(__file__).resolve().parents[2])
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))),
            "MLFLOW_TRACKING_URI": store.tracking_uri(),
        }
        # Standard input is a pipe that closes however this process ends; then the worker ends too.
        self._processes = [
            # With its own process group it gets no Ctrl-C from a terminal: this process decides what to end. It gets
            # no session: Linux shares the processor among sessions, and this process would wait behind its workers.
            subprocess.Popen(
                [sys.executable, "-m", "study.execution.worker"],
                stdin=subprocess.PIPE,
                env=environment,
                process_group=0,
            )
            for _ in range(count)
        ]

    def assign(self, storage: str, name: str, spec: str | None = None) -> None:
        """Let the workers run this queue's trials; `spec` names the data, unless they are named as in the queue."""
        for process in self._processes:
            with contextlib.suppress(BrokenPipeError):  # a worker that has already died; `failure` will say so
                pipe = self._input(process)
                pipe.write(json.dumps([storage, name, spec]).encode() + b"\n")
                pipe.flush()

    @property
    def names(self) -> list[str]:
        """The workers' names, ``host:pid``, as `Progress.worker` has them."""
        return [f"{socket.gethostname()}:{process.pid}" for process in self._processes]

    def working(self) -> bool:
        """Return whether any worker is still running."""
        return any(process.poll() is None for process in self._processes)

    def failed(self) -> bool:
        """Return whether all workers have ended, none of them with exit status 0."""
        return all(process.poll() not in (None, 0) for process in self._processes)

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the workers and the trials that they are running."""
        for process in self._processes:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            with contextlib.suppress(BrokenPipeError):
                self._input(process).close()

    @staticmethod
    def _input(process: subprocess.Popen[bytes]) -> IO[bytes]:
        assert process.stdin  # a pipe, as it was started
        return process.stdin

    def failure(self, trials: Sequence[Progress]) -> WorkerError:
        """Return the error that no worker is left to run the unfinished ones of these trials."""
        codes = sorted({process.returncode for process in self._processes})
        return WorkerError(
            f"every worker ended (exit status {', '.join(map(str, codes))}) before the trials did",
            got=f"{sum(trial.finished for trial in trials)} of {len(trials)} trials",
            hint="-9 often means that the memory ran out: try fewer workers." if -9 in codes else None,
        )
