"""Joins a study that was started elsewhere: workers on this machine take trials from its queue."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from study.analysis.formatting import count
from study.base.errors import Interrupted, WorkerError
from study.base.interruption import ParentWatch, ask
from study.execution import attributes, recovery
from study.execution.queue import Progress, load_queue, progress
from study.execution.worker_pool import POLL_SECONDS, WorkerPool
from study.tracking import store


@dataclass(frozen=True)
class Joined:
    """How many trials ended here, and why the study takes no more; `ended` is None if there was just nothing to do."""

    trials: int
    ended: str | None


def join_study(
    storage: str, name: str, worker_count: int, *, spec: str | None, observe: Callable[[list[Progress]], None]
) -> Joined:
    """Let `worker_count` workers run trials of this study until it ends, or nothing is left; return what came of it.

    Where the study is cancelled, the workers put their trials back at once. `spec` names the data on this machine, None
    for the study's own name; `observe` is called about twice a second with the progress of the trials that run here.
    Raises QueueError if there is no such study, WorkerError if every worker failed (each has printed why), Interrupted.
    """
    queue = load_queue(storage, name)
    if queue.ended:
        return Joined(0, queue.ended)
    here: list[Progress] = []
    parent = ParentWatch()
    with WorkerPool(worker_count) as pool:
        recovery.end_lost_runs(store.connect())
        pool.assign(storage, name, spec)

        def look() -> list[Progress]:
            epochs = queue.user_attrs.get(attributes.PLAN, {}).get("epochs", 0)
            found = [trial for trial in progress(queue, epochs) if trial.worker in pool.names]
            observe(found)
            return found

        try:
            while True:
                working = pool.working()
                here = look()
                if not working:
                    break
                parent.check()
                if queue.cancelled:
                    ask()
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            with suppress(Exception):  # the last trial may have ended since the last look
                here = look()
            done = sum(trial.finished for trial in here)
            if queue.cancelled:  # no failure: what started this program is not to start it again
                return Joined(done, queue.ended)
            raise Interrupted(
                f"stopped after {count(done, 'trial')}; unfinished trials are requeued for other workers"
            ) from None
        if pool.failed():
            raise WorkerError("the workers ended", where=name, hint="Each has printed the reason above.")
    return Joined(sum(trial.finished for trial in here), queue.ended)
