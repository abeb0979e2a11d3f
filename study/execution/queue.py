"""The queue in which trials wait for workers: an Optuna study whose trials are all enqueued beforehand.

A trial of an ablation is a cell, with its config; one of a search is a slot, whose config is suggested when a worker
takes it. Every trial is handed out once, in the order of the slots; when its worker dies it is handed out again.
"""

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState, create_trial

from study.base.errors import StudyError, nearest, shown
from study.base.processes import is_gone
from study.design.ablation import TrialSpec
from study.execution.storage import GRACE_SECONDS, Storage, is_absent, open_storage, without_password

RETRIES = 2
CREATION_SECONDS = 60  # that another process may take from making a study to having said what it is about


class QueueError(StudyError):
    """A queue that is not there, or is another one than was expected."""


@dataclass(frozen=True)
class Assignment:
    """What a worker has to know besides the trials: where to record them, on which data, and what they are part of.

    With `open_test` false the trials have no test rows; with `reuse` a trial that the store has already is carried over
    instead of trained. `search` is the text of a search, from which the trials' configs come.
    """

    tracking_uri: str
    run_id: str
    data: str
    validation: str
    data_sha256: str
    substitute_for: str | None = None
    open_test: bool = True
    reuse: bool = True
    training_code: str = ""
    search: str | None = None


class QueueEmpty(Exception):
    """No trial is waiting."""


# --- the queue --------------------------------------------------------------------------------------


class Queue(optuna.Study):
    """An Optuna study that hands out enqueued trials only: each of them once, in the order of their slots."""

    def _pop_waiting_trial_id(self) -> int:
        # Optuna would go by the trials' numbers, so that one that is put back came last; a search that was interrupted
        # would then go on otherwise than one that was not. And where nothing waits it would make up a trial.
        waiting = self.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        for trial in sorted(waiting, key=lambda trial: (slot_of(trial), trial.number)):
            with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
                if self._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                    return trial._trial_id
        raise QueueEmpty

    def frozen(self, trial: optuna.Trial) -> FrozenTrial:
        """Return a trial as the storage has it now."""
        return self.get_trials(deepcopy=False)[trial.number]

    @property
    def assignment(self) -> Assignment:
        """What the study's workers have to know; raises QueueError where nobody has said it."""
        if "assignment" not in self.user_attrs:
            hint = "Give the command that began it once more."
            raise QueueError(f"the study {self.study_name} was not begun in full", hint=hint)
        return Assignment(**self.user_attrs["assignment"])

    @property
    def ended(self) -> str | None:
        """Why no more trials are to be taken; None while they are."""
        return self.user_attrs.get("ended") or None

    def assign(self, assignment: Assignment) -> None:
        """Say what the workers have to know; from then on they can begin."""
        self.set_user_attr("assignment", asdict(assignment))

    def end(self, reason: str) -> None:
        """Let no more trials be taken."""
        self.set_user_attr("ended", reason)

    def reopen(self) -> None:
        """Let trials be taken again."""
        self.set_user_attr("ended", "")

    def add_cells(self, cells: Iterable[TrialSpec]) -> None:
        """Enqueue an ablation's trials, in order."""
        for slot, cell in enumerate(cells):
            own = {"slot": slot, "name": cell.name, "arm": cell.arm, "config": cell.config.as_text()}
            self.enqueue_trial({}, user_attrs=own)

    def add_slots(self, wanted: int, points: Sequence[dict]) -> None:
        """Enqueue a search's trials until there are `wanted` of them; the first ones are at the given points."""
        for slot in range(self.slots(), wanted):
            point = points[slot] if slot < len(points) else {}
            self.enqueue_trial(point, user_attrs={"slot": slot, "name": f"trial {slot}"})

    def at_work(self) -> list[int]:
        """Return the numbers of the trials that workers are at."""
        return [trial.number for trial in self.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]

    def slots(self) -> int:
        """Return how many places the queue has had."""
        return 1 + max((slot_of(trial) for trial in self.get_trials(deepcopy=False)), default=-1)

    def put_back_lost(self) -> None:
        """Put back the trials of workers on this machine that have ended, without waiting for their heartbeats."""
        for trial in self.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            worker = trial.user_attrs.get("worker")
            late = datetime.now() - trial.datetime_start > timedelta(seconds=GRACE_SECONDS)
            if is_gone(worker) if worker else late:
                with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
                    self._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
                    requeue(self, trial, most=RETRIES)

    def put_back_forgotten(self) -> None:
        """Put back the trials that failed because their workers died, and that nobody has put back.

        To mark a trial as failed and to enqueue it again are two steps, and who takes them may die in between, or find
        the disk full. For the process that conducts the study: of several each might put back the same trial.
        """
        trials = self.get_trials(deepcopy=False)
        tried_again = {number for trial in trials for number in tries_before(trial)}
        long_ago = datetime.now() - timedelta(seconds=GRACE_SECONDS)
        for trial in trials:
            died = trial.state == TrialState.FAIL and "reason" not in trial.user_attrs
            if died and trial.number not in tried_again and trial.datetime_complete < long_ago:
                requeue(self, trial, most=RETRIES)


def slot_of(trial: FrozenTrial) -> int:
    """Return the trial's place in the queue, which it shares with its retries."""
    return trial.user_attrs.get("slot", trial.number)


def tries_before(trial: FrozenTrial) -> list[int]:
    """Return the numbers of the trials that were this one's earlier tries."""
    return RetryHeartbeatStaleTrialCallback.retry_history(trial)


def requeue(study: optuna.Study, trial: FrozenTrial, most: int | None = None, counts: bool = True) -> None:
    """Enqueue a trial that was not finished once more, unless it has been tried again `most` times.

    Tries that do not count are those that somebody has interrupted. One that has a try that waits, runs or ended well
    is left alone: who put it back before may not have been able to say that it had failed.
    """
    going = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
    for other in study.get_trials(deepcopy=False, states=going):
        if other.number != trial.number and slot_of(other) == slot_of(trial):
            return
    history = [*tries_before(trial), trial.number]
    uncounted = trial.user_attrs.get("uncounted", 0) + (not counts)
    if most is not None and len(history) - uncounted > most:
        return
    kept = {name: value for name, value in trial.user_attrs.items() if name not in ("reason", "worker")}
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=kept | {"uncounted": uncounted},
            system_attrs=trial.system_attrs | {"failed_trial": history[0], "retry_history": history},
        )
    )


def _tries(trial: FrozenTrial) -> int:
    return len(tries_before(trial)) + 1 - trial.user_attrs.get("uncounted", 0)


def equal_point(queue: Queue, trial: optuna.Trial) -> int | None:
    """Return the number of a trial at the same point that came before this one and is not an earlier try of it."""
    trials = queue.get_trials(deepcopy=False)
    own_tries = tries_before(trials[trial.number])
    for other in trials:
        if other.number == trial.number or other.number in own_tries or other.params != trial.params:
            continue
        came_before = other.state == TrialState.RUNNING and other.number < trial.number
        failed_for_good = other.state == TrialState.FAIL and "reason" in other.user_attrs
        if came_before or failed_for_good or other.state in (TrialState.COMPLETE, TrialState.PRUNED):
            return other.number
    return None


def _open(storage: str) -> Storage:
    return open_storage(storage, lambda study, trial: requeue(study, trial, most=RETRIES))


def create_queue(storage: str, name: str, direction: str = "minimize", metric: str = "val_loss") -> tuple[Queue, bool]:
    """Return the queue of this name, and whether it is new; its tables are made where there are none.

    `metric` is what its trials report, as Optuna's own tools are to call it. A queue that is not new has its
    assignment: of several processes that come at the same moment, the others wait for the one that makes it. Raises
    WorkerError where the storage cannot be opened.
    """
    opened = _open(storage)
    try:
        optuna.create_study(study_name=name, storage=opened, direction=direction).set_metric_names([metric])
        return Queue(name, opened), True
    except optuna.exceptions.DuplicatedStudyError:
        queue = Queue(name, opened)
        deadline = time.monotonic() + CREATION_SECONDS
        while "assignment" not in queue.user_attrs:
            if time.monotonic() > deadline:
                return queue, True  # whoever made it has died over it
            time.sleep(0.2)
        return queue, False


def load_queue(storage: str, name: str, sampler: BaseSampler | None = None, pruner: BasePruner | None = None) -> Queue:
    """Return the queue of this name; raises QueueError where there is none, WorkerError without a storage."""
    opened = _open(storage)
    try:
        return Queue(name, opened, sampler, pruner or optuna.pruners.NopPruner())
    except KeyError:
        names = optuna.get_all_study_names(opened)
        hint = nearest(name, names[-10:]) if names else "It has none yet."
        what = f"no study is called {shown(name)}"
        raise QueueError(what, where=without_password(storage), hint=hint) from None


def find_queue(storage: str, name: str) -> Queue | None:
    """Return the queue of this name, or None where there is none; makes no SQLite file. Raises as `load` does."""
    if is_absent(storage):
        return None
    with contextlib.suppress(QueueError):
        return load_queue(storage, name)
    return None


# --- how far the trials are -------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """How far one trial is: Optuna's state in words, the last epoch and the value there, and why it failed.

    `value` is that of the metric that the trials report: an ablation's val_loss, a search's objective; of a complete
    trial of a search, that of the weights it kept. `settings` are what a search has suggested, `worker` is
    ``host:pid`` of the process that ran it.
    """

    name: str
    state: str
    epoch: int
    epochs: int
    value: float | None
    reason: str | None
    reused: bool = False
    settings: str = ""
    worker: str = ""

    @property
    def finished(self) -> bool:
        """Whether the trial has ended, well or not."""
        return self.state in ("COMPLETE", "PRUNED", "FAIL")


def progress(study: optuna.Study, epochs: int = 0) -> list[Progress]:
    """Return how far each trial is, in the order of the slots; of a trial that was tried again, the latest try.

    Left out are the trials of a search that turned out to repeat another. `epochs` is what a slot will train.
    """
    latest: dict[int, FrozenTrial] = {}
    for trial in study.get_trials(deepcopy=False):
        if slot_of(trial) not in latest or tries_before(trial):
            latest[slot_of(trial)] = trial
    return [_progress(trial, epochs) for _, trial in sorted(latest.items()) if "repeats" not in trial.user_attrs]


def _progress(trial: FrozenTrial, epochs: int) -> Progress:
    attributes, values = trial.user_attrs, trial.intermediate_values
    state, reason, epoch = trial.state.name, attributes.get("reason"), max(values, default=0)
    if trial.state == TrialState.FAIL and reason is None:  # its heartbeat stopped
        # It is marked failed first and put back into the queue then.
        state, reason = ("FAIL", "its workers died") if _tries(trial) > RETRIES else ("WAITING", None)
    ended = trial.state == TrialState.COMPLETE and "settings" in attributes
    return Progress(
        name=attributes["name"],
        state=state,
        epoch=epoch,
        epochs=int(attributes["config"]["epochs"]) if "config" in attributes else epochs,
        value=trial.value if ended else values.get(epoch),
        reason=reason,
        reused="reused_from" in attributes,
        settings=attributes.get("settings", ""),
        worker="{host}:{pid}".format(**attributes["worker"]) if "worker" in attributes else "",
    )
