"""Brings more workers to a study that runs, on this machine or by an engine, and ends them."""

import time

from study.base import processes
from study.base.errors import ConfigError, WorkerError
from study.execution.engines import launches
from study.execution.engines.engine import Launch, Request
from study.execution.queue import Queue, load_queue

LOOK_SECONDS = 10  # between two questions to an engine
GRACE_SECONDS = 60  # in which an engine may not know yet what it has been asked for
END_SECONDS = 60  # in which what was launched has to end


def launch_workers(storage: str, study: str, request: Request, data: str | None = None) -> Launch:
    """Bring workers to the study of this name and return their launch; they go on when this process ends.

    `data` names the data where they run, None as the study does. Raises QueueError if there is no such study,
    ConfigError if it has ended or the request cannot work, WorkerError if the engine refuses.
    """
    queue = load_queue(storage, study)
    _check_open(queue)
    queue.assignment  # noqa: B018  raises QueueError where the study was never finished creating
    launch = launches.start(queue, storage, request, data)
    try:
        _check_open(queue)  # who cancels the study meanwhile has seen this launch, or is seen here
    except ConfigError:
        launches.cancel(queue, launch)
        raise
    return launch


def _check_open(queue: Queue) -> None:
    if queue.ended:
        hint = "Run the command that began it again, and launch then."
        raise ConfigError(f"takes no more workers: {queue.ended}", where=queue.study_name, hint=hint)


def end_launches(queue: Queue, chosen: list[Launch]) -> list[str]:
    """End these launches and wait for it; return the reasons of those that could not be ended."""
    problems = [problem for launch in chosen if (problem := launches.cancel(queue, launch))]
    deadline = time.monotonic() + END_SECONDS
    while not problems and launches.any_left(chosen) and queue.running() and time.monotonic() < deadline:
        time.sleep(1)
    return problems


class OwnLaunch:
    """The workers that a search or an ablation launches for itself; without a request there are none."""

    def __init__(self, queue: Queue, storage: str, request: Request | None):
        self._queue, self._storage, self._request = queue, storage, request
        self._launch: Launch | None = None
        self._started = self._looked = time.monotonic()
        self._alive = False

    def start(self) -> None:
        """Launch the workers, and end those that an earlier command here was killed too soon to end."""
        if self._request:
            self.stop()
            self._launch = launches.start(self._queue, self._storage, self._request, own=True)
            self._started, self._alive = time.monotonic(), True

    def alive(self) -> bool:
        """Return whether any of them waits for its machine or runs, as the engine said LOOK_SECONDS ago at most."""
        now = time.monotonic()
        if self._launch and now - self._looked > LOOK_SECONDS and now - self._started > GRACE_SECONDS:
            self._looked = now
            self._alive = launches.jobs(self._launch) != []
        return self._alive

    def failure(self) -> WorkerError | None:
        """Return the error that all of them ended before the trials did; None where none were launched."""
        if not self._launch:
            return None
        hint = f"Their logs are {launches.logs(self._launch)}."
        return WorkerError(
            "every worker that was launched ended before the trials did", where=self._launch.id, hint=hint
        )

    def stop(self) -> None:
        """End this process's launches, and those whose owners are dead; what cannot be ended stays remembered.

        Another command may run the same study at the same time, with workers of its own.
        """
        here = processes.this_process()
        mine = (one for one in launches.remembered(self._queue) if one.owner)
        end_launches(self._queue, [one for one in mine if one.owner == here or processes.is_gone(one.owner or {})])
