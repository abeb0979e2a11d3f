"""Cancels a study everywhere: its conductor, its workers on all machines, and what engines have of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from study.base import processes
from study.execution import attributes, recovery
from study.execution.engines import launches
from study.execution.engines.engine import host
from study.execution.queue import Queue, QueueError, find_queue, load_queue
from study.execution.storage import GRACE_SECONDS
from study.tracking import arm_runs, records, store
from study.tracking.runs import Run
from study.workflows.launch import end_launches

ANSWER_SECONDS = 60  # in which conductor and workers have to end: they look twice a second
POLL_SECONDS = 0.5
REASON = "cancelled"


@dataclass(frozen=True)
class Cancelled:
    """What a cancelled study keeps: the number of its finished trials, and of those that wait for its command.

    `stopped` counts the trials that ran, `problems` says which launches could not be ended, and why.
    """

    finished: int
    waiting: int
    stopped: int
    problems: tuple[str, ...]


def cancel_study(storage: str, name: str) -> Cancelled:
    """End the study of this name everywhere, so that nothing of it runs, and return what it keeps.

    Its running trials wait again. The command that began it resumes it, and `cancel_study` may be repeated. Raises
    QueueError if there is no such study, or if somebody resumes it meanwhile, TrackingError if its run is not in this
    store.
    """
    queue, client = load_queue(storage, name), store.connect()
    assignment = queue.assignment
    records.check_study(client, assignment.run_id, assignment.tracking_uri)
    queues, stopped = [queue], len(queue.running())
    queue.cancel(host())  # workers of every machine see this, also those that nobody has launched
    if below := _comparison(queue, storage):
        queues, stopped = [below, queue], stopped + len(below.running())
        below.cancel(host())
    problems = [problem for each in queues for problem in end_launches(each, list(launches.remembered(each)))]
    _wait(client, queue, queues)
    if not queue.cancelled:  # what runs now is not what was to end
        hint = "Cancel it again to end that too."
        raise QueueError("its command was given again while it was being cancelled", where=name, hint=hint)
    for each in queues:
        _end_what_is_left(client, each, problems)
    tries = attributes.tries_that_count(queue.get_trials(deepcopy=False))
    finished = sum(trial.state.is_finished() for trial in tries)
    return Cancelled(finished, len(tries) - finished, stopped, tuple(problems))


def _wait(client: store.MlflowClient, queue: Queue, queues: Sequence[Queue]) -> None:
    """Wait until the study's conductor and all workers have ended, ANSWER_SECONDS at most, or somebody resumes it."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while queue.cancelled and time.monotonic() < deadline:
        if not any(each.running() for each in queues) and not _conductor_runs(client, queue):
            return
        time.sleep(POLL_SECONDS)
        for each in queues:
            recovery.requeue_silent(each, GRACE_SECONDS)


def _comparison(queue: Queue, storage: str) -> Queue | None:
    """Return the queue of the comparison with which a search ends, if that has not ended: its command looks there."""
    name = queue.user_attrs.get(attributes.COMPARISON)
    below = find_queue(storage, name) if name else None
    return below if below and (below.cancelled or not below.ended) else None


def _end_what_is_left(client: store.MlflowClient, queue: Queue, problems: Sequence[str]) -> None:
    """End what silent or killed processes have left; forget the launches unless there were `problems`."""
    recovery.requeue_silent(queue, -1)  # workers that do not answer notice when they do
    recovery.requeue_forgotten(queue)
    run_id = queue.assignment.run_id
    recovery.end_lost_trials(client, run_id, queue)
    if records.read_run(client, run_id).status == "RUNNING":  # its conductor was killed
        run = Run(client, run_id)
        run.end("KILLED", REASON)
        arm_runs.close_arm_runs(run, "KILLED", REASON)
    if not problems:
        for launch in launches.remembered(queue):  # those of other machines, whose workers have ended by themselves
            launches.forget(queue, launch)


def _conductor_runs(client: store.MlflowClient, queue: Queue) -> bool:
    """Return whether the study's run has not ended, and its conductor may still end it."""
    conductor = queue.user_attrs.get(attributes.CONDUCTOR)
    if conductor is None or processes.is_gone(conductor):
        return False
    return records.read_run(client, queue.assignment.run_id).status == "RUNNING"
