"""Reads how far a study has got, and who works on it: from Optuna's storage and the engines, not from the workers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from study.base import processes
from study.execution import attributes, optuna_internals
from study.execution.attributes import slot_of
from study.execution.engines import launches
from study.execution.engines.engine import Launch
from study.execution.queue import Progress, Queue, load_queue, progress


@dataclass(frozen=True)
class WorkerStatus:
    """A worker that runs a trial now; `heartbeat_seconds` ago it last said that it lives, None if it has not yet."""

    host: str
    pid: str
    trial: str
    epoch: int
    epochs: int
    heartbeat_seconds: float | None


@dataclass(frozen=True)
class HostStatus:
    """A machine: how many workers run a trial there now, and how many trials have ended there."""

    host: str
    running: int
    ended: int


@dataclass(frozen=True)
class LaunchStatus:
    """A launch that nobody has ended; `waiting` and `running` count its jobs, None where nobody here can tell."""

    id: str
    engine: str
    workers: int
    waiting: int | None
    running: int | None
    reason: str
    folder: str


@dataclass(frozen=True)
class StudyStatus:
    """How far a study has got. `trials` is how many there are to be, `conductor` is ``host:pid`` of its command.

    `ended` says why workers take no more trials; `conductor_ended` whether that command is known to have ended.
    `seconds_left` is None while no trial has ended, or none runs.
    """

    study: str
    run_id: str
    trials: int
    complete: int
    pruned: int
    failed: int
    running: int
    waiting: int
    seconds_left: float | None
    ended: str | None
    conductor: str | None
    conductor_ended: bool
    hosts: tuple[HostStatus, ...]
    workers: tuple[WorkerStatus, ...]
    launches: tuple[LaunchStatus, ...]

    def as_mapping(self) -> dict[str, Any]:
        """Return it as what JSON has."""
        return asdict(self)


def study_status(storage: str, name: str) -> StudyStatus:
    """Return how far the study of this name has got; raises QueueError if there is none."""
    queue = load_queue(storage, name)
    assignment = queue.assignment
    plan = {"trials": 0, "epochs": 0} | queue.user_attrs.get(attributes.PLAN, {})
    shown = progress(queue, plan["epochs"])
    counts = Counter(trial.state for trial in shown)
    ended = sum(trial.finished for trial in shown)
    wanted = max(plan["trials"], ended + counts["RUNNING"])
    waiting = max(counts["WAITING"], wanted - ended - counts["RUNNING"])
    conductor = queue.user_attrs.get(attributes.CONDUCTOR)
    workers = _workers(queue, shown)
    return StudyStatus(
        study=name, run_id=assignment.run_id, trials=ended + counts["RUNNING"] + waiting,
        complete=counts["COMPLETE"], pruned=counts["PRUNED"], failed=counts["FAIL"], running=counts["RUNNING"],
        waiting=waiting, seconds_left=_seconds_left(queue, waiting, workers), ended=queue.ended,
        conductor=processes.label(conductor) if conductor else None,
        conductor_ended=processes.is_gone(conductor or {}), hosts=_hosts(shown), workers=workers,
        launches=tuple(map(_launch, launches.remembered(queue))),
    )  # fmt: skip


def _workers(queue: Queue, shown: Sequence[Progress]) -> tuple[WorkerStatus, ...]:
    by_slot = {trial.slot: trial for trial in shown}
    ages = optuna_internals.heartbeat_ages(queue)
    rows = []
    for trial in queue.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        here = by_slot.get(slot_of(trial))
        if here and (worker := trial.user_attrs.get(attributes.WORKER)):
            epoch = max(trial.intermediate_values, default=0)
            row = worker["host"], worker["pid"], here.name, epoch, here.epochs
            rows.append(WorkerStatus(*row, heartbeat_seconds=ages.get(trial.number)))
    return tuple(sorted(rows, key=lambda row: (row.host, int(row.pid))))


def _hosts(shown: Sequence[Progress]) -> tuple[HostStatus, ...]:
    states: dict[str, Counter[bool]] = {}
    for trial in shown:
        if trial.worker and (trial.finished or trial.state == "RUNNING"):
            states.setdefault(trial.worker.rpartition(":")[0], Counter())[trial.finished] += 1
    return tuple(HostStatus(host, counts[False], counts[True]) for host, counts in sorted(states.items()))


def _seconds_left(queue: Queue, waiting: int, workers: Sequence[WorkerStatus]) -> float | None:
    """Estimate the time from the trials that have ended, as if those that wait were like them."""
    seconds = [_seconds(trial) for trial in queue.get_trials(deepcopy=False) if _counts(trial)]
    if not seconds or not workers:
        return None
    begun = sum(1 - min(1.0, worker.epoch / worker.epochs) for worker in workers if worker.epochs)
    return mean(seconds) * (waiting + begun) / len(workers)


def _counts(trial: FrozenTrial) -> bool:
    """Return whether the time that a trial took says something of the next: it was not carried over."""
    ended = trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and trial.duration is not None
    return ended and attributes.REUSED_FROM not in trial.user_attrs


def _seconds(trial: FrozenTrial) -> float:
    return trial.duration.total_seconds() if trial.duration else 0.0


def _launch(launch: Launch) -> LaunchStatus:
    jobs = launches.jobs(launch)
    states = Counter(job.state for job in jobs or ())
    known = jobs is not None
    reason = next((job.reason for job in jobs or () if job.state == "waiting"), "")
    return LaunchStatus(
        launch.id, launch.engine, launch.workers, states["waiting"] if known else None,
        states["running"] if known else None, reason, launch.folder,
    )  # fmt: skip
