"""Runs one trial in a worker: prepare, execute, report; and handles a failure in any of these steps."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

import optuna
from optuna.trial import TrialState

from study.base import interruption, processes
from study.base.errors import TrackingError, in_one_line
from study.data.dataset import Dataset
from study.design.search import Search
from study.execution import attributes, recovery, reuse
from study.execution.network_costs import NetworkCosts
from study.execution.optuna_internals import QueueEmpty
from study.execution.queue import Assignment, Queue, equal_trial
from study.execution.space_phases import SpacePhases
from study.execution.storage import FAULTS
from study.tracking import provenance, records, runs, tags
from study.tracking.records import RunRecord
from study.tracking.runs import Run
from study.tracking.store import FAULTS as TRACKING_FAULTS
from study.tracking.store import MlflowClient
from study.training.config import TrialConfig, brief, settings_text
from study.training.fingerprint import fingerprint

if TYPE_CHECKING:  # imports TensorFlow
    from study.training.loop import Epoch

STORE_FAULTS = (OSError, TrackingError, *FAULTS, *TRACKING_FAULTS)


class StoreFault(BaseException):
    """The store is full, read-only or gone. The trial is not at fault, and the next one would fail too.

    It is not an Exception, so Optuna lets it through.
    """


class TrialLost(BaseException):
    """The trial or its run has ended without this worker, which stood still for too long, and drops it.

    It is not an Exception, so Optuna, for whom the trial has ended as well, lets it through.
    """


class TrialFailed(Exception):
    """A trial has failed, and its attributes say why. Optuna sees this and marks the trial as failed."""


class Repeated(Exception):
    """A search suggested a point that it has tried, or that breaks its limit; another slot takes this one's place."""


class Ending(Enum):
    """Lists the ways in which a trial can end for its worker."""

    COMPLETE = auto()
    PRUNED = auto()
    DIVERGED = auto()  # its loss was not finite: a result
    REPEATED = auto()
    FAILED = auto()  # its code raised something
    INTERRUPTED = auto()
    LOST = auto()
    STORE_FAULT = auto()


@dataclass(frozen=True)
class Outcome:
    """Says how a trial ended: `value` if it is complete, otherwise the reason and the exception behind it."""

    ending: Ending
    value: float = float("nan")
    reason: str = ""
    cause: BaseException | None = None


@dataclass(frozen=True)
class Recorded:
    """A trial whose last try finished, but whose worker died before telling Optuna: `record` has the result."""

    record: RunRecord


@dataclass(frozen=True)
class Carried:
    """A trial for which the store has an `equal`: its result is carried over into `run`."""

    config: TrialConfig
    dataset: Dataset
    run: Run
    equal: reuse.Equal


@dataclass(frozen=True)
class Untrained:
    """A trial that has to be trained and recorded in `run`."""

    config: TrialConfig
    dataset: Dataset
    run: Run


class TrialRunner:
    """Runs trials of one study: Optuna calls it as the study's objective.

    `train` runs one trial, as `run_trial.run_trial` does, and `find` looks for its equal, as `reuse.find` does; `done`
    counts the trials that it was handed.
    """

    def __init__(
        self,
        queue: Queue,
        assignment: Assignment,
        search: Search | None,
        dataset: Dataset,
        client: MlflowClient,
        train: Callable,
        find: Callable = reuse.find,
    ):
        self.queue, self.assignment, self.search = queue, assignment, search
        self.dataset, self.client, self.train, self.find = dataset, client, train, find
        self._folded: tuple[int | None, Dataset] = None, dataset  # a fold, and the dataset that validates on it
        self.phases = SpacePhases(search, assignment.earlier) if search else None
        self.costs = NetworkCosts(search, dataset)
        self.metric = search.metric if search else "val_loss"
        self.process = processes.this_process()
        self.tags = provenance.origin_tags() | self.process
        self.arms = {name: arm.run_id for name, arm in records.read_arms(client, assignment.run_id).items()}
        self.done = 0
        self.trial: optuna.Trial | None = None  # the current one
        self._run: Run | None = None  # its run, once it has begun

    def __call__(self, trial: optuna.Trial) -> float:
        """Run one trial, record it in its own MLflow run, and return its value or raise what Optuna expects."""
        self.trial, self._run = trial, None
        try:
            outcome = self.execute(trial, self.prepare(trial))
        except (Exception, KeyboardInterrupt, TrialLost) as failure:
            outcome = _outcome_of(failure)
        finally:
            self.done += 1
        return self.report(trial, outcome)

    def has_lost_its_trial(self) -> bool:
        """Return whether the current trial has ended without this worker, which hung for too long."""
        return self.trial is not None and self.queue.frozen(self.trial).state.is_finished()

    def give_back(self) -> None:
        """Requeue the current trial if a fault of the store left it running; afterwards there is none."""
        if self.trial:
            recovery.fail_and_requeue(self.queue, self.queue.frozen(self.trial), counts=False)
        self.trial = None

    # --- prepare ------------------------------------------------------------------------------------

    def prepare(self, trial: optuna.Trial) -> Recorded | Carried | Untrained:
        """Work out the trial's config and whether its result exists; start a run unless its last try finished."""
        trial.set_user_attr(attributes.WORKER, self.process)
        config = self._config(trial)
        if excess := self.costs.excess(config):
            trial.set_user_attr(attributes.EXCLUDED, excess)
            raise Repeated(excess)
        dataset = self.with_fold(config.data.fold)
        mark = fingerprint(config, dataset.sha256, len(dataset.validation))
        if self.search:
            self._check_new(trial, mark)
        last = recovery.end_last_try(self.client, trial)
        if last and last.status == "FINISHED":
            return Recorded(last)
        equal = self.find(self.client, mark, config, dataset) if self.assignment.reuse else None
        self._run = run = self._start_run(trial, config, dataset, mark)
        trial.set_user_attr(attributes.RUN_ID, run.run_id)
        if cost := self.costs.measured(config):
            run.log_summary(cost)
        return Carried(config, dataset, run, equal) if equal else Untrained(config, dataset, run)

    def with_fold(self, fold: int | None) -> Dataset:
        """Return the dataset that validates on this fold; the last one is kept, as one trial of each arm wants it."""
        if fold is None:
            return self.dataset
        if self._folded[0] != fold:
            self._folded = fold, self.dataset.with_fold(fold)
        return self._folded[1]

    def _config(self, trial: optuna.Trial) -> TrialConfig:
        """Return an ablation's config, or what the search suggests for this slot, and with which seed."""
        if not (self.search and self.phases):
            return TrialConfig.parse(trial.user_attrs[attributes.CONFIG])
        phase = self.phases.phase_of(self.queue.frozen(trial))
        settings, told = self.phases.suggest(trial, phase), dict[str, object]()
        # Read anew: while it suggested, the sampler decided that this is another seed, and wrote it past `trial`.
        if number := attributes.seed_number(self.queue.frozen(trial)):
            told = {"seed": self.search.baseline.seed + number}
        trial.set_user_attr(attributes.SETTINGS, settings_text(settings | told, brief))
        return self.search.baseline.replace(settings | told)

    def _check_new(self, trial: optuna.Trial, mark: str) -> None:
        """Raise Repeated if another of the search's trials trains the same: other values drawn can mean the same."""
        trial.set_user_attr(attributes.FINGERPRINT, mark)
        if (other := equal_trial(self.queue, trial, mark)) is not None:
            trial.set_user_attr(attributes.REPEATS, other)
            raise Repeated(f"the same as trial {other}")

    def _start_run(self, trial: optuna.Trial, config: TrialConfig, dataset: Dataset, mark: str) -> Run:
        own = trial.user_attrs
        arm = own.get(attributes.ARM)
        marks = {
            tags.SLOT: own[attributes.SLOT],
            tags.SEED: config.seed,
            tags.OPTUNA_STUDY: self.queue.study_name,
            tags.OPTUNA_TRIAL: trial.number,
            tags.FINGERPRINT: mark,
        } | ({tags.ARM: arm} if arm else {})
        if self.phases and self.phases.present > 1:
            marks |= {tags.PHASE: self.phases.phase_of(self.queue.frozen(trial))}
        if config.data.fold is not None:  # the study's tags say another split
            marks |= runs.split_tags(dataset)
        return runs.start_trial_run(
            self.client, self.assignment.run_id, own[attributes.NAME], config.as_text(), self.tags | marks,
            parent=self.arms.get(arm) if arm else None,
        )  # fmt: skip

    # --- execute ------------------------------------------------------------------------------------

    def execute(self, trial: optuna.Trial, prepared: Recorded | Carried | Untrained) -> Outcome:
        """Train the trial, or read its existing result; its run has ended when this returns."""
        match prepared:
            case Recorded(record):
                return self._read(trial, record, records.read_epochs(self.client, record.run_id))
            case Carried(config, dataset, run, equal):
                trial.set_user_attr(attributes.REUSED_FROM, equal.record.run_id)
                if epoch := self._pruned_at(trial, equal.epochs):
                    reuse.carry_pruned(equal, epoch, dataset, run)
                    self._finish(run, tags.PRUNED)
                    return Outcome(Ending.PRUNED)
                reuse.carry(equal, config, dataset, run, trial.user_attrs[attributes.NAME])
                self._finish(run, tags.COMPLETE)
                return Outcome(Ending.COMPLETE, equal.record.metrics[f"model_{self.metric}"])
            case Untrained(config, dataset, run):
                return self._train(trial, config, dataset, run)

    def _train(self, trial: optuna.Trial, config: TrialConfig, dataset: Dataset, run: Run) -> Outcome:
        def report(epoch: "Epoch") -> bool:
            interruption.check()
            trial.report(getattr(epoch, self.metric), epoch.number)
            return trial.should_prune()

        result = self.train(config, dataset, run, trial.user_attrs[attributes.NAME], report)
        self._finish(run, result.state, result.reason)
        match result.state:
            case tags.DIVERGED:
                return Outcome(Ending.DIVERGED, reason=result.reason)
            case tags.PRUNED:
                return Outcome(Ending.PRUNED, reason=result.reason)
        return Outcome(Ending.COMPLETE, getattr(result.epochs[result.model_epoch - 1], self.metric))

    def _pruned_at(self, trial: optuna.Trial, epochs: list[dict[str, float]]) -> int | None:
        """Report a carried-over trial's epochs as if it were trained; return the one at which it is pruned, or None.

        So a search prunes the same trials whether they were in the store before or not.
        """
        if not self.search:  # which prunes nothing: the last epoch shows how far it went
            trial.report(epochs[-1][self.metric], len(epochs))
            return None
        for number, metrics in enumerate(epochs, start=1):
            trial.report(metrics[self.metric], number)
            if trial.should_prune():
                return number
        return None

    def _finish(self, run: Run, state: str, reason: str | None = None) -> None:
        """End the run with its result; raises TrialLost if the trial or the run is no longer this worker's.

        A worker that stood still would otherwise revive a run that was ended for it, beside that of the next try.
        """
        if self.has_lost_its_trial() or records.read_run(self.client, run.run_id).status != "RUNNING":
            raise TrialLost
        run.finish(state, reason)

    def _read(self, trial: optuna.Trial, record: RunRecord, epochs: list[dict[str, float]]) -> Outcome:
        """Report to Optuna what a run has recorded, and return how it ended."""
        for number, metrics in enumerate(epochs, start=1):
            trial.report(metrics[self.metric], number)
        if record.tags[tags.STATE] == tags.PRUNED:
            return Outcome(Ending.PRUNED)
        return Outcome(Ending.COMPLETE, record.metrics[f"model_{self.metric}"])

    # --- report -------------------------------------------------------------------------------------

    def report(self, trial: optuna.Trial, outcome: Outcome) -> float:
        """Return a complete trial's value to Optuna; clean up after any other ending, and raise."""
        reason = outcome.reason
        match outcome.ending:
            case Ending.COMPLETE:
                return outcome.value
            case Ending.PRUNED:
                raise optuna.TrialPruned(reason)
            case Ending.DIVERGED | Ending.REPEATED:
                trial.set_user_attr(attributes.REASON, reason)
                raise TrialFailed(reason)
            case Ending.FAILED:
                try:
                    trial.set_user_attr(attributes.REASON, reason)
                finally:
                    self._end_run("FAILED", reason)
                raise TrialFailed(reason) from outcome.cause
            case Ending.INTERRUPTED:
                try:
                    self._requeue(trial)
                finally:
                    self._end_run("KILLED", reason)
                raise KeyboardInterrupt from outcome.cause
            case Ending.LOST:
                with contextlib.suppress(*STORE_FAULTS):
                    recovery.fail_and_requeue(self.queue, self.queue.frozen(trial))  # if it was its run that ended
                    self._end_run("KILLED", reason)
                raise TrialLost(reason) from outcome.cause
            case Ending.STORE_FAULT:
                with contextlib.suppress(*STORE_FAULTS):  # recovery repairs later what cannot be written now
                    self._requeue(trial)
                    # Optuna does so only after an Exception, and a trial that seems to run would block its next try.
                    self.queue.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
                with contextlib.suppress(*STORE_FAULTS):
                    self._end_run("KILLED", reason)
                raise StoreFault(reason) from outcome.cause

    def _end_run(self, status: str, reason: str) -> None:
        if self._run:
            self._run.end(status, reason)

    def _requeue(self, trial: optuna.Trial) -> None:
        """Requeue a trial that did not fail through its own fault."""
        recovery.requeue(self.queue, self.queue.frozen(trial), counts=False)


def take(queue: Queue, runner: TrialRunner) -> bool:
    """Run one trial; return False if none is waiting. Raises StoreFault, and STORE_FAULTS of the queue."""
    runner.give_back()  # what a fault of the store has left running
    try:
        queue.optimize(runner, n_trials=1, catch=(Exception,))
    except QueueEmpty:
        return False
    except TrialLost:
        pass  # another worker has it
    except Exception as failure:
        if fault := _store_fault_behind(failure):
            raise fault from None
        if not runner.has_lost_its_trial():  # Optuna finds the trial ended where it does not expect it
            raise
    runner.trial = None
    return True


def _store_fault_behind(failure: BaseException | None) -> BaseException | None:
    """Return the fault of the store that led to an exception, or None: Optuna trips over its own state after one."""
    while failure and not isinstance(failure, STORE_FAULTS):
        failure = failure.__cause__ or failure.__context__
    return failure


def _outcome_of(failure: BaseException) -> Outcome:
    if interruption.was_asked():  # C++ may have made another error of it
        return Outcome(Ending.INTERRUPTED, reason="interrupted", cause=failure)
    match failure:
        case Repeated():
            return Outcome(Ending.REPEATED, reason=str(failure))
        case KeyboardInterrupt():
            return Outcome(Ending.INTERRUPTED, reason="interrupted", cause=failure)
        case TrialLost() | optuna.exceptions.UpdateFinishedTrialError():
            return Outcome(Ending.LOST, reason="its worker stood still; another took the trial up", cause=failure)
        case optuna.TrialPruned():
            return Outcome(Ending.PRUNED, reason=str(failure))
    ending = Ending.STORE_FAULT if isinstance(failure, STORE_FAULTS) else Ending.FAILED
    return Outcome(ending, reason=in_one_line(failure), cause=failure)
