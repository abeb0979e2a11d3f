"""One process imports TensorFlow once, and forks from itself, in milliseconds, every worker that its program asks for.

As a program (``python -m study.execution.worker_server``) it talks over its standard input, which is a socket, in
lines of JSON: a `Job` comes in, and ``[number of the job, pid, exit status]`` goes out when a worker starts (the status
is null) and when it has ended. When the socket closes, it ends, and the workers with it. A worker that asks to be
replaced has not ended: another one starts with its job.

Nobody waits for a clock: a worker that finds no trial to take says so over its own standard input, which goes out as
``[number, pid, IDLE]``, and WAKE comes in when there are more trials.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from study.base.startup import hush, remove_generated_code, stderr_without_chatter, use_tensorflow, without_extras

# Imports only: TensorFlow must not be forked after its first operation, so `study.base.backend` is not among them.
# The worker is the first because psycopg has to be loaded before TensorFlow.
PRELOADED = (
    "study.execution.worker", "tensorflow", "keras", "matplotlib.figure", "matplotlib.backends.backend_agg"
)  # fmt: skip
START_VARIABLE = "STUDY_WORKERS"  # "spawn" starts each worker as a program of its own
# What a worker that is a program of its own is to run, as JSON: a command's words are shown to everyone on the machine,
# and an address may have a password.
WORDS_VARIABLE = "STUDY_WORKER"
REPLACE_ME = 75  # the exit status of a worker that has grown too large: another takes its place
LOOK_SECONDS = 0.1  # between two looks for workers that have ended
IDLE = "idle"  # what goes out when a worker has found nothing to take
WAKE = "wake"  # what comes in when there is something


@dataclass(frozen=True)
class Job:
    """A worker to be started: the queue it works on, and where it runs."""

    number: int
    words: list[str]  # what `study.execution.worker.run` is given
    folder: str
    environment: dict[str, str]


class Lines:
    """Sends and receives values as lines of JSON over a socket."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._received = b""

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        return self._connection.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._connection.close()

    def send(self, value: object) -> None:
        """Send a value. Raises OSError where the other end has closed."""
        self._connection.sendall(json.dumps(value).encode() + b"\n")

    def receive(self) -> Iterator[Any]:
        """Wait for the next piece of what was sent; yield the whole values. Raises EOFError at the end."""
        try:
            piece = self._connection.recv(1 << 16)
        except ConnectionError:
            piece = b""
        if not piece:
            raise EOFError
        *lines, self._received = (self._received + piece).split(b"\n")
        yield from map(json.loads, lines)


class WorkerServer:
    """Starts the workers that the other end of `lines` asks for, and tells when they end."""

    def __init__(self, lines: Lines):
        self._lines = lines
        self._forks = sys.platform == "linux" and os.environ.get(START_VARIABLE) != "spawn"
        self._jobs: dict[int, Job] = {}  # by the worker's pid
        # A worker ends when its standard input closes: these are the other ends, which only this process holds.
        self._lives: dict[int, socket.socket] = {}

    def serve(self) -> None:
        """Serve until the other end closes."""
        if self._forks:
            with stderr_without_chatter(), without_extras():
                for module in PRELOADED:
                    importlib.import_module(module)
        with contextlib.suppress(EOFError, BrokenPipeError):
            while True:
                heard: list[Lines | socket.socket] = [self._lines, *self._lives.values()]
                readable, _, _ = select.select(heard, [], [], LOOK_SECONDS if self._jobs else None)
                if self._lines in readable:
                    for request in self._lines.receive():
                        if request == WAKE:
                            self._wake()
                        else:
                            self._start(Job(**request))
                for pid in [pid for pid, life in self._lives.items() if life in readable]:
                    self._pass_on(pid)
                self._look()
        for life in self._lives.values():  # at once: this process, which has TensorFlow, takes a second to end
            life.close()

    def _start(self, job: Job) -> None:
        theirs, ours = socket.socketpair()
        pid = os.fork()
        if not pid:
            self._become(job, theirs, [ours, *self._lives.values()])
        theirs.close()
        self._jobs[pid], self._lives[pid] = job, ours
        self._lines.send([job.number, pid, None])

    def _wake(self) -> None:
        for life in self._lives.values():
            with contextlib.suppress(OSError):  # it has ended, or has not read what woke it before
                life.send(b"\n", socket.MSG_DONTWAIT)

    def _pass_on(self, pid: int) -> None:
        with contextlib.suppress(OSError):
            if self._lives[pid].recv(1 << 10):  # otherwise it has ended
                self._lines.send([self._jobs[pid].number, pid, IDLE])

    def _become(self, job: Job, life: socket.socket, others: list[socket.socket]) -> NoReturn:
        status = 1
        try:
            _set_signals(signal.SIG_DFL)  # until the worker listens
            os.dup2(life.fileno(), 0)  # in place of this process's own
            for one in (life, *others):
                one.close()
            os.chdir(job.folder)
            if not self._forks:
                words = [sys.executable, "-m", "study.execution.worker"]
                os.execve(sys.executable, words, job.environment | {WORDS_VARIABLE: json.dumps(job.words)})
            from study.execution import worker

            os.environ.clear()
            os.environ.update(job.environment)
            status = worker.run(*job.words)
        except BaseException:
            traceback.print_exc()
        finally:
            remove_generated_code()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)  # and never return into the loop above

    def _look(self) -> None:
        while self._jobs:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self._lives.pop(pid).close()
            job, code = self._jobs.pop(pid), os.waitstatus_to_exitcode(status)
            if code == REPLACE_ME:
                self._start(job)
            else:
                self._lines.send([job.number, pid, code])


def _set_signals(handler: signal.Handlers) -> None:
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, handler)


def main() -> None:
    """Serve the process that started this one."""
    _set_signals(signal.SIG_IGN)  # a batch system signals all processes of a job, and the workers are to end in peace
    hush()
    use_tensorflow()
    WorkerServer(Lines(socket.socket(fileno=0))).serve()


if __name__ == "__main__":
    main()
