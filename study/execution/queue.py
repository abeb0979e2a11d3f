"""The queue in which trials wait for workers: an Optuna study whose trials are all enqueued beforehand.

An ablation's trial has its config from the start; a search's trial is a slot, and gets its config when a worker takes
it. Every trial is handed out once, in the order of the slots; if its worker dies, it is handed out again.
"""

import contextlib
import math
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from study.base import processes
from study.base.errors import StudyError, nearest, shown
from study.design.ablation import TrialSpec
from study.execution import attributes, recovery
from study.execution.attributes import slot_of, stands_aside, tries_that_count
from study.execution.optuna_internals import OrderedStudy
from study.execution.storage import Storage, is_absent, open_storage

CREATION_SECONDS = 60  # the longest that another process may take from creating a study to assigning its work


class QueueError(StudyError):
    """The queue does not exist, or is not the one that was expected."""


@dataclass(frozen=True)
class Assignment:
    """Tells a worker what the trials themselves do not: where to record them, on which data, and for which study.

    With `open_test` false the trials have no test rows; with `reuse` a trial that the store already has is carried over
    instead of trained. `search` is the text of a search, from which the trials' configs come, and `earlier` are those
    of its earlier phases, which had other spaces. `networks` has, by name, the text of the file of each network of
    one's own.
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
    earlier: Sequence[str] = field(default_factory=list)
    networks: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    size: str | None = None


# --- the queue --------------------------------------------------------------------------------------


class Queue(OrderedStudy):
    """An Optuna study that hands out only enqueued trials, each once, in the order of their slots."""

    def __init__(self, *given: Any, **named: Any):
        super().__init__(*given, **named)
        self.shown: dict[tuple[int, int], Progress] = {}  # of trials that have ended, which never change again
        self._looking = False
        self._trials: list[FrozenTrial] | None = None  # as they were read in this look
        self._attributes: dict[str, Any] | None = None

    @contextlib.contextmanager
    def one_look(self) -> Iterator[None]:
        """Read the database once for all that the block asks, and again only after the block has written to it.

        A reading costs as much as everything that is concluded from it. What other processes write meanwhile is seen by
        the next look.
        """
        self._looking = True
        try:
            yield
        finally:
            self._looking = False
            self._forget()

    def _forget(self) -> None:
        self._trials = self._attributes = None

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """Return the trials as Optuna does; within `one_look` always the same ones, which nobody may change."""
        if not self._looking:
            return super().get_trials(deepcopy, states)
        if self._trials is None:
            self._trials = super().get_trials(deepcopy=False)
        return [trial for trial in self._trials if states is None or trial.state in states]

    @property
    def user_attrs(self) -> dict[str, Any]:
        """The study's own attributes; within `one_look` always the same."""
        if not self._looking:
            return super().user_attrs
        if self._attributes is None:
            self._attributes = super().user_attrs
        return self._attributes

    def set_user_attr(self, key: str, value: Any) -> None:
        """Write one of the study's own attributes."""
        super().set_user_attr(key, value)
        self._forget()

    def add_trial(self, trial: FrozenTrial) -> None:
        """Add a trial; `enqueue_trial` comes here as well."""
        super().add_trial(trial)
        self._forget()

    def frozen(self, trial: optuna.Trial) -> FrozenTrial:
        """Return a trial as the storage has it now."""
        return self.get_trials(deepcopy=False)[trial.number]

    @property
    def assignment(self) -> Assignment:
        """The assignment of the study's workers; raises QueueError if nobody has written it yet."""
        if attributes.ASSIGNMENT not in self.user_attrs:
            hint = "Run the command that began it again."
            raise QueueError(f"the study {self.study_name} was interrupted while it was being created", hint=hint)
        return Assignment(**self.user_attrs[attributes.ASSIGNMENT])

    @property
    def ended(self) -> str | None:
        """Why workers take no more trials; None while they may."""
        return self.user_attrs.get(attributes.ENDED) or None

    def is_over(self, assignment: Assignment) -> bool:
        """Return whether a worker with this assignment takes no more: the queue has ended, or is in another phase."""
        own = self.user_attrs
        now = Assignment(**own[attributes.ASSIGNMENT])
        in_phase = (now.search, list(now.earlier)) == (assignment.search, list(assignment.earlier))
        return bool(own.get(attributes.ENDED)) or not in_phase

    @property
    def cancelled(self) -> str | None:
        """The host from which the study was cancelled; None while it may go on."""
        return self.user_attrs.get(attributes.CANCELLED) or None

    def assign(self, assignment: Assignment) -> None:
        """Write the workers' assignment; from then on they can begin."""
        self.set_user_attr(attributes.ASSIGNMENT, asdict(assignment))

    def end(self, reason: str) -> None:
        """Stop workers from taking more trials."""
        self.set_user_attr(attributes.ENDED, reason)

    def cancel(self, host: str) -> None:
        """Stop workers from taking more trials, and ask them and the conductor to end at once."""
        self.set_user_attr(attributes.CANCELLED, host)  # first: who sees the queue ended has to see why
        self.end(f"cancelled from {host}")

    def reopen(self) -> None:
        """Let workers take trials again."""
        self.set_user_attr(attributes.CANCELLED, "")
        self.set_user_attr(attributes.ENDED, "")

    def add_specs(self, specs: Sequence[TrialSpec], until: int | None = None) -> None:
        """Enqueue an ablation's trials, in order, until there are `until` of them; all, if it is None."""
        for slot in range(self.slots(), len(specs) if until is None else min(until, len(specs))):
            spec = specs[slot]
            own = {
                attributes.SLOT: slot, attributes.NAME: spec.name, attributes.ARM: spec.arm,
                attributes.CONFIG: spec.config.as_text(),
            }  # fmt: skip
            self.enqueue_trial({}, user_attrs=own)

    def add_slots(self, until: int, points: Sequence[dict]) -> None:
        """Enqueue a search's trials until there are `until` of them; the first ones are at the given points."""
        for slot in range(self.slots(), until):
            point = points[slot] if slot < len(points) else {}
            self.enqueue_trial(point, user_attrs={attributes.SLOT: slot, attributes.NAME: f"trial {slot}"})

    def want(self, total: int, points: Sequence[dict]) -> None:
        """Hand out a search's trials until there are `total` that are trained, and enqueue those that are missing.

        An earlier command may have left more of them waiting: those stay. What another command wants is handed out too.
        """
        trials = tries_that_count(self.get_trials(deepcopy=False))
        waiting = [slot_of(trial) for trial in trials if trial.state == TrialState.WAITING]
        begun = sum(trial.state != TrialState.WAITING and not stands_aside(trial) for trial in trials)
        missing = total - begun
        if missing <= 0:
            return
        new = max(0, missing - len(waiting))
        end = self.slots() + new if new else waiting[missing - 1] + 1
        self.add_slots(end, points)
        if end > (self.hand_out_until or 0):
            self.set_user_attr(attributes.HAND_OUT, end)

    def withdraw(self) -> None:
        """Hand out nothing of a search until somebody wants it."""
        self.set_user_attr(attributes.HAND_OUT, 0)

    def running(self) -> list[int]:
        """Return the numbers of the trials that are running."""
        return [trial.number for trial in self.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]

    def begun(self) -> list[FrozenTrial]:
        """Return the trials that a worker has taken, repeats included: of each slot the try that counts."""
        trials = tries_that_count(self.get_trials(deepcopy=False))
        return [trial for trial in trials if trial.state != TrialState.WAITING]

    def seconds_a_trial(self) -> float:
        """Return how long a trial takes that is trained to its end, by the median; 0 before there was one."""
        complete = self.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        trained = [trial.duration for trial in complete if attributes.REUSED_FROM not in trial.user_attrs]
        return median([each.total_seconds() for each in trained if each] or [0.0])

    def waiting(self) -> bool:
        """Return whether any trial is waiting."""
        return bool(self.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    def slots(self) -> int:
        """Return how many slots the queue has had."""
        return 1 + max((slot_of(trial) for trial in self.get_trials(deepcopy=False)), default=-1)


def equal_trial(queue: Queue, trial: optuna.Trial, fingerprint: str) -> int | None:
    """Return the number of a trial that came before this one, in another slot, and trains what has this fingerprint."""
    trials = queue.get_trials(deepcopy=False)
    own = slot_of(trials[trial.number])
    for other in trials:
        if slot_of(other) == own or other.user_attrs.get(attributes.FINGERPRINT) != fingerprint:
            continue
        came_before = other.state == TrialState.RUNNING and other.number < trial.number
        own_fault = attributes.REASON in other.user_attrs and not stands_aside(other)
        failed_for_good = other.state == TrialState.FAIL and own_fault
        if came_before or failed_for_good or other.state in (TrialState.COMPLETE, TrialState.PRUNED):
            return other.number
    return None


def _open(storage: str) -> Storage:
    return open_storage(storage, on_stale=recovery.requeue)


def create_queue(
    storage: str, name: str, direction: Literal["minimize", "maximize"] = "minimize", metric: str = "val_loss"
) -> tuple[Queue, bool]:
    """Return the queue of this name, created if necessary with its tables, and whether it is new.

    `metric` is what its trials report; Optuna's own tools show the name. A queue that is not new has its assignment:
    if several processes come at the same moment, one creates the queue and the others wait. Raises WorkerError if the
    storage cannot be opened.
    """
    opened = _open(storage)
    try:
        optuna.create_study(study_name=name, storage=opened, direction=direction).set_metric_names([metric])
        return Queue(name, opened), True
    except optuna.exceptions.DuplicatedStudyError:
        queue = Queue(name, opened)
        deadline = time.monotonic() + CREATION_SECONDS
        while attributes.ASSIGNMENT not in queue.user_attrs:
            if time.monotonic() > deadline:
                return queue, True  # the process that created it died before it had assigned the work
            time.sleep(0.2)
        return queue, False


def load_queue(storage: str, name: str) -> Queue:
    """Return the queue of this name; raises QueueError if there is none, WorkerError without a storage."""
    opened = _open(storage)
    try:
        return Queue(name, opened, pruner=optuna.pruners.NopPruner())
    except KeyError:
        names = optuna.get_all_study_names(opened)
        opened.close()  # a caller that waits for a queue asks again and again
        hint = nearest(name, names[-10:]) if names else "It has none yet."
        what = f"no study is called {shown(name)}"
        raise QueueError(what, where=storage, hint=hint) from None


def find_queue(storage: str, name: str) -> Queue | None:
    """Return the queue of this name, or None if there is none; creates no SQLite file. Raises as `load_queue` does."""
    if is_absent(storage):
        return None
    with contextlib.suppress(QueueError):
        return load_queue(storage, name)
    return None


# --- how far the trials are -------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """Says how far one trial is: Optuna's state as a word, the last epoch and its value, and why the trial failed.

    `value` is the metric that the trials report: an ablation's val_loss or a search's objective. For a complete trial
    of a search it is the value of the weights that the trial kept. `settings` are what the search suggested, `worker`
    is ``host:pid`` of the process that ran the trial. `slot` identifies the trial; `name` is for people.
    """

    slot: int
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


def progress(queue: Queue, epochs: int = 0, specs: Sequence[TrialSpec] = ()) -> list[Progress]:
    """Return how far each trial is, in the order of the slots; for a trial with several tries, the one that counts.

    A search's trials that were not trained are left out, as are those that nobody wants. `epochs` is how many a
    search's trial will train; `specs` are an ablation's trials, of which those that are not in the queue yet wait as
    well.
    """
    trials = tries_that_count(queue.get_trials(deepcopy=False))
    end = queue.user_attrs.get(attributes.HAND_OUT, math.inf)
    found = [
        _progress(queue, trial, epochs)
        for trial in trials
        if not stands_aside(trial) and (trial.state != TrialState.WAITING or slot_of(trial) < end)
    ]
    return found + [_not_enqueued(slot, specs[slot]) for slot in range(len(trials), len(specs))]


def _not_enqueued(slot: int, spec: TrialSpec) -> Progress:
    epochs = spec.config.training.epochs
    return Progress(slot, spec.name, "WAITING", epoch=0, epochs=epochs, value=None, reason=None)


def _progress(queue: Queue, trial: FrozenTrial, epochs: int) -> Progress:
    key = trial.number, epochs
    if found := queue.shown.get(key):
        return found
    made = _made(trial, epochs)
    if made.finished and trial.state != TrialState.FAIL:
        queue.shown[key] = made
    return made


def _made(trial: FrozenTrial, epochs: int) -> Progress:
    own, values = trial.user_attrs, trial.intermediate_values
    state, reason, epoch = trial.state.name, own.get(attributes.REASON), max(values, default=0)
    if trial.state == TrialState.FAIL and reason is None:  # its heartbeat stopped
        # Recovery marks it as failed first and requeues it afterwards.
        state, reason = ("FAIL", "its workers died") if recovery.is_exhausted(trial) else ("WAITING", None)
    ended = trial.state == TrialState.COMPLETE and attributes.SETTINGS in own
    return Progress(
        slot=slot_of(trial),
        name=own[attributes.NAME],
        state=state,
        epoch=epoch,
        epochs=int(own[attributes.CONFIG]["epochs"]) if attributes.CONFIG in own else epochs,
        value=trial.value if ended else values.get(epoch),
        reason=reason,
        reused=attributes.REUSED_FROM in own,
        settings=own.get(attributes.SETTINGS, ""),
        worker=processes.label(own[attributes.WORKER]) if attributes.WORKER in own else "",
    )
