"""Join a study that was begun elsewhere: workers on this machine take trials from its queue."""

import os
import time
from collections.abc import Callable

from study.base.errors import Interrupted, WorkerError
from study.execution import recovery
from study.execution.queue import Progress, load_queue, progress
from study.execution.worker_pool import POLL_SECONDS, WorkerPool
from study.tracking import store


def join_study(
    storage: str, name: str, worker_count: int, *, spec: str | None, observe: Callable[[list[Progress]], None]
) -> int:
    """Let so many workers run trials of this study until it ends, or nothing is left; return how many they ran.

    `spec` names the data on this machine, None for the study's own name; `observe` is called about twice a second with
    the progress of the trials that run here. Raises QueueError where there is no such study, WorkerError where a worker
    found something amiss (it has said what), Interrupted.
    """
    queue = load_queue(storage, name)
    if queue.ended:
        return 0
    here: list[Progress] = []
    parent = os.getppid()
    with WorkerPool(worker_count) as team:
        recovery.end_lost_runs(store.connect())
        team.assign(storage, name, spec)
        try:
            while True:
                working = team.working()
                here = [trial for trial in progress(queue) if trial.worker in team.names]
                observe(here)
                if not working:
                    break
                if os.getppid() != parent:  # `mlflow run` does not pass its own end on
                    raise KeyboardInterrupt
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            done = sum(trial.finished for trial in here)
            raise Interrupted(f"stopped after {done} trials; what was begun is put back for other workers") from None
        if team.failed():
            raise WorkerError("the workers ended", where=name, hint="Each has said why, above.")
    return sum(trial.finished for trial in here)
