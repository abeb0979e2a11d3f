"""A worker takes trials from a queue, trains and records them, until the queue ends or nothing is left.

It is a process that the worker server forks, or the program ``python -m study.execution.worker``, and ends when its
standard input, a socket, closes.
"""

import contextlib
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from study.base import interruption, startup
from study.base.errors import DEBUG_VARIABLE, DataError, WorkerError, first_line, in_one_line, traceback_text
from study.base.processes import MemoryWatch
from study.base.startup import hush
from study.data.dataset import Dataset, load_dataset
from study.design.search import parse_search
from study.execution import pruning, recovery, sampling
from study.execution.attempt import STORE_FAULTS, StoreFault, TrialRunner, take
from study.execution.queue import Assignment, load_queue
from study.execution.worker_server import REPLACE_ME, WORDS_VARIABLE
from study.tracking import records, store
from study.training.fingerprint import training_code_version
from study.training.networks import own_file

IDLE_SECONDS = 30  # after which a worker leaves a queue in which nothing is waiting or running
REST_SECONDS = 0.5  # between two looks for a trial
MOST_FAULTS = 3  # of the store, in a row, before a worker ends
FAULT_SECONDS = 5  # between two tries to write
STOP_SECONDS = 10  # less than the pool waits for its workers


def work(
    storage: str,
    name: str,
    *,
    spec: str | None = None,
    train: Callable | None = None,
    leave: Callable[[], bool] = lambda: False,
    rest: Callable[[float, int], None] = lambda seconds, done: time.sleep(seconds),
) -> int:
    """Run trials of the queue of this name in this process until it ends, or nothing is left; return their number.

    `spec` names the data on this machine, if the study's own name does not work here; `train` runs one trial, as
    `run_trial` does. While others wait, `leave` is asked after each trial, and may end the work. `rest` waits so many
    seconds for more trials, at most, and is told how many were done. Raises QueueError,
    WorkerError, TrackingError if the study's run is not in this store, and DataError if this machine's data are not the
    study's.
    """
    queue = load_queue(storage, name)
    assignment = queue.assignment
    for own, source in assignment.networks.items():
        own_file.admit(*own_file.parts(own), source, own)
    search = parse_search(assignment.search, name) if assignment.search else None
    client = store.connect()
    records.check_study(client, assignment.run_id, assignment.tracking_uri)
    _check_code(assignment, name)
    runner = TrialRunner(queue, assignment, search, _data(assignment, spec), client, train or _default_train())
    if search and runner.phases:
        queue.sampler = runner.phases.sampler(sampling.sampler(search, runner.costs.allows))
        queue.pruner = pruning.pruner(search)
    idle_since, looked = None, -math.inf
    of_trials = of_queue = 0  # faults of the store, in a row
    while True:
        interruption.check()
        try:
            if queue.is_over(assignment):
                break
            if time.monotonic() - looked > recovery.LOOK_SECONDS:
                recovery.requeue_lost(queue)
                looked = time.monotonic()
            if take(queue, runner):
                idle_since, of_trials = None, 0
                if queue.waiting() and leave():
                    break
            else:
                idle_since = None if queue.running() else idle_since or time.monotonic()
                if idle_since and time.monotonic() - idle_since > IDLE_SECONDS:
                    break
                rest(REST_SECONDS, runner.done)  # a worker on the last trials may die, and then they are requeued
            of_queue = 0
        except StoreFault as failure:
            of_trials += 1
            if of_trials == MOST_FAULTS:
                raise WorkerError(f"nothing can be recorded ({failure})", where=name) from None
            time.sleep(FAULT_SECONDS)
        except STORE_FAULTS as failure:
            of_queue += 1
            if of_queue == MOST_FAULTS:
                raise WorkerError(f"the queue cannot be used ({first_line(failure)})", where=name) from failure
            time.sleep(FAULT_SECONDS)
    return runner.done


def _default_train() -> Callable:
    from study.execution.run_trial import run_trial  # imports TensorFlow

    return run_trial


def _check_code(assignment: Assignment, name: str) -> None:
    if assignment.training_code != training_code_version():
        raise WorkerError(
            "the training code, its libraries or the compilers' flags differ from the study's", where=name,
            hint="Every machine needs the same commit of this project, its pinned environment and the same XLA_FLAGS.",
        )  # fmt: skip


def _data(assignment: Assignment, spec: str | None) -> Dataset:
    dataset = load_dataset(
        spec or assignment.data, assignment.validation, target=assignment.target, size=assignment.size
    )
    if dataset.sha256 != assignment.data_sha256:
        raise DataError(
            "not the data of this study", where=dataset.spec,
            expected=f"SHA-256 {assignment.data_sha256[:12]}…", got=f"{dataset.sha256[:12]}…",
            hint="Name the data on this machine: -P data=…",
        )  # fmt: skip
    dataset = replace(dataset, substitute_for=assignment.substitute_for)
    return dataset if assignment.open_test else dataset.without_test()


# --- the process ------------------------------------------------------------------------------------


def run(storage: str, name: str, spec: str | None = None) -> int:
    """Run this process as a worker, as `work` does; return its exit status.

    That is 0 if nothing is left to do, and REPLACE_ME if it has grown too large while trials were waiting.
    """
    startup.accept_any_text()
    interruption.listen()
    parent = ParentLine()
    threading.Thread(target=parent.listen, daemon=True).start()
    try:
        import study.execution.run_trial  # noqa: F401  imports TensorFlow

        startup.resume_collector()
        memory = MemoryWatch()
        work(storage, name, spec=spec, leave=memory.is_full, rest=parent.rest)
        if memory.full:
            return REPLACE_ME
    except KeyboardInterrupt:
        return 130
    except Exception as failure:
        if os.environ.get(DEBUG_VARIABLE):
            print(traceback_text(failure), file=sys.stderr)
        print(f"worker {os.getpid()}: {in_one_line(failure)}", file=sys.stderr)
        return 1
    return 0


class ParentLine:
    """The line to the program that this worker works for: its standard input, which closes when that ends."""

    def __init__(self) -> None:
        self._woken = threading.Event()
        self._told = -1  # how many trials were done when the program was last told that there is no other

    def listen(self) -> None:
        """Hear, in a thread of its own, that there are more trials; end this process when the line closes."""
        # Not through sys.stdin: a thread that waits inside it keeps the interpreter from ending.
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                self._woken.set()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(STOP_SECONDS)
        os._exit(1)

    def rest(self, seconds: float, done: int) -> None:
        """Say, once after `done` trials, that there is nothing to take; wait for more, `seconds` at most."""
        if done != self._told:
            self._told = done
            with contextlib.suppress(OSError):  # the program has ended, and `listen` sees it
                os.write(0, b"\n")
        self._woken.wait(seconds)
        self._woken.clear()


if __name__ == "__main__":
    hush()
    sys.exit(run(*json.loads(os.environ[WORDS_VARIABLE])))
