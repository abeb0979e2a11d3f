"""One trial as a worker runs it: prepare, execute, report; and what follows when one of them fails."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

import optuna
from optuna.trial import TrialState

from study.base import processes
from study.base.errors import in_one_line
from study.data.dataset import Dataset
from study.design.search import Search
from study.execution import attributes, recovery, reuse
from study.execution.queue import Assignment, Queue, equal_point
from study.execution.storage import FAULTS
from study.tracking import records, runs
from study.tracking.records import RunRecord
from study.tracking.runs import Run
from study.tracking.store import FAULTS as TRACKING_FAULTS
from study.tracking.store import MlflowClient
from study.training.config import TrialConfig, brief, settings_text
from study.training.fingerprint import fingerprint

STORE_FAULTS = (OSError, *FAULTS, *TRACKING_FAULTS)


class StoreFault(BaseException):
    """What a trial writes to is full, read-only or gone: no fault of the trial, and no use in taking the next.

    Not an Exception, so that Optuna lets it through.
    """


class TrialFailed(Exception):
    """A trial has failed, for the reason that it keeps in its attributes; for Optuna, which marks it as failed."""


class Repeated(Exception):
    """A search has come to a point that it has tried already; another slot takes this one's place."""


class Ending(Enum):
    """How a trial can end."""

    COMPLETE = auto()
    PRUNED = auto()
    DIVERGED = auto()  # its loss was not finite: a result
    REPEATED = auto()
    FAILED = auto()  # its code raised something
    INTERRUPTED = auto()
    STORE_FAULT = auto()


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: with a `value` where it is complete, else with a reason, and the exception behind it."""

    ending: Ending
    value: float = float("nan")
    reason: str = ""
    cause: BaseException | None = None


@dataclass
class Attempt:
    """One try of a trial: first what Optuna handed out, then, as it is prepared, what it takes to execute it.

    Of `recorded` (its last try finished, and its worker died before it told Optuna), `equal` (a finished trial to
    carry over) and neither (it has to be trained), one holds. `run` is the MLflow run that this try writes.
    """

    trial: optuna.Trial
    config: TrialConfig | None = None
    recorded: RunRecord | None = None
    equal: reuse.Equal | None = None
    run: Run | None = None

    @property
    def name(self) -> str:
        """What the trial is called in MLflow."""
        return self.trial.user_attrs[attributes.NAME]

    def end_run(self, status: str, reason: str) -> None:
        """End the run of this try, if it has begun one."""
        if self.run:
            self.run.end(status, reason)


class TrialRunner:
    """Runs trials of one study: call it with what Optuna hands out, as the study's objective.

    `train` runs one trial, as `run_trial.run_trial` does; `done` counts the trials that have ended here.
    """

    def __init__(
        self,
        queue: Queue,
        assignment: Assignment,
        search: Search | None,
        dataset: Dataset,
        client: MlflowClient,
        train: Callable,
    ):
        self.queue, self.assignment, self.search = queue, assignment, search
        self.dataset, self.client, self.train = dataset, client, train
        self.metric = search.metric if search else "val_loss"
        self.process = processes.this_process()
        self.tags = runs.code_tags() | self.process
        self.done = 0

    def __call__(self, trial: optuna.Trial) -> float:
        """Run one trial, record it in an MLflow run of its own, and return its value or raise what Optuna expects."""
        attempt = Attempt(trial)
        try:
            self.prepare(attempt)
            outcome = self.execute(attempt)
        except (Exception, KeyboardInterrupt) as failure:
            outcome = _outcome_of(failure)
        finally:
            self.done += 1
        return self.report(attempt, outcome)

    # --- prepare ------------------------------------------------------------------------------------

    def prepare(self, attempt: Attempt) -> None:
        """Find out what the trial is, whether its result is there already, and begin its run where it is not."""
        trial = attempt.trial
        trial.set_user_attr(attributes.WORKER, self.process)
        attempt.config = self._config(trial)
        mark = fingerprint(attempt.config, self.dataset.sha256, len(self.dataset.validation))
        last = recovery.end_last_try(self.client, trial)
        if last and last.status == "FINISHED":
            attempt.recorded = last
            return
        attempt.equal = reuse.find(self.client, mark) if self.assignment.reuse else None
        attempt.run = self._start_run(attempt, mark)
        trial.set_user_attr(attributes.RUN_ID, attempt.run.run_id)

    def _config(self, trial: optuna.Trial) -> TrialConfig:
        """Return an ablation's config, or what the search suggests for this slot."""
        if not self.search:
            return TrialConfig.parse(trial.user_attrs[attributes.CONFIG])
        settings = self.search.space.suggest(trial)
        config = self.search.baseline.replace(settings)
        if (other := equal_point(self.queue, trial)) is not None:
            trial.set_user_attr(attributes.REPEATS, other)
            raise Repeated(f"the same point as trial {other}")
        trial.set_user_attr(attributes.SETTINGS, settings_text(settings, brief))
        return config

    def _start_run(self, attempt: Attempt, mark: str) -> Run:
        trial, config = attempt.trial, attempt.config
        tags = {
            "slot": trial.user_attrs[attributes.SLOT],
            "seed": config.seed,
            "optuna_study": self.queue.study_name,
            "optuna_trial": trial.number,
            "fingerprint": mark,
        }
        if attributes.ARM in trial.user_attrs:
            tags["arm"] = trial.user_attrs[attributes.ARM]
        return runs.start_trial_run(
            self.client, self.assignment.run_id, attempt.name, config.as_text(), self.tags | tags
        )

    # --- execute ------------------------------------------------------------------------------------

    def execute(self, attempt: Attempt) -> Outcome:
        """Train the trial, or take its result from where it is; the run is ended when this returns."""
        if attempt.recorded:
            epochs = records.read_epochs(self.client, attempt.recorded.run_id)
            return self._read(attempt.trial, attempt.recorded, epochs)
        if attempt.equal:
            return self._carry(attempt)
        return self._train(attempt)

    def _train(self, attempt: Attempt) -> Outcome:
        def report(epoch) -> bool:
            attempt.trial.report(getattr(epoch, self.metric), epoch.number)
            return attempt.trial.should_prune()

        result = self.train(attempt.config, self.dataset, attempt.run, attempt.name, report)
        match result.state:
            case "diverged":
                return Outcome(Ending.DIVERGED, reason=result.reason)
            case "pruned":
                return Outcome(Ending.PRUNED, reason=result.reason)
        return Outcome(Ending.COMPLETE, getattr(result.epochs[result.model_epoch - 1], self.metric))

    def _carry(self, attempt: Attempt) -> Outcome:
        """Make the trial's run what the equal one's is, from whatever study."""
        equal = attempt.equal
        attempt.trial.set_user_attr(attributes.REUSED_FROM, equal.record.run_id)
        reuse.carry(equal, attempt.config, self.dataset, attempt.run, attempt.name)
        return self._read(attempt.trial, equal.record, equal.epochs)

    def _read(self, trial: optuna.Trial, record: RunRecord, epochs: list[dict[str, float]]) -> Outcome:
        """Report to Optuna what a run has recorded, and return how it ended."""
        for number, metrics in enumerate(epochs, start=1):
            trial.report(metrics[self.metric], number)
        if record.tags["state"] == "pruned":
            return Outcome(Ending.PRUNED)
        return Outcome(Ending.COMPLETE, record.metrics[f"model_{self.metric}"])

    # --- report -------------------------------------------------------------------------------------

    def report(self, attempt: Attempt, outcome: Outcome) -> float:
        """Return a complete trial's value to Optuna; for every other ending do what it takes, and raise."""
        trial, reason = attempt.trial, outcome.reason
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
                    attempt.end_run("FAILED", reason)
                raise TrialFailed(reason) from outcome.cause
            case Ending.INTERRUPTED:
                try:
                    self._requeue(trial)
                finally:
                    attempt.end_run("KILLED", reason)
                raise KeyboardInterrupt from outcome.cause
            case Ending.STORE_FAULT:
                with contextlib.suppress(*STORE_FAULTS):  # what cannot be written now is put right when it can be
                    self._requeue(trial)
                    # Optuna does so after an Exception only, and a trial that seems to run is in its next try's way.
                    self.queue.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
                with contextlib.suppress(*STORE_FAULTS):
                    attempt.end_run("KILLED", reason)
                raise StoreFault(reason) from outcome.cause

    def _requeue(self, trial: optuna.Trial) -> None:
        """Enqueue a trial again that is not to blame for coming to nothing."""
        recovery.requeue(self.queue, self.queue.frozen(trial), counts=False)


def _outcome_of(failure: BaseException) -> Outcome:
    match failure:
        case Repeated():
            return Outcome(Ending.REPEATED, reason=str(failure))
        case KeyboardInterrupt():
            return Outcome(Ending.INTERRUPTED, reason="interrupted", cause=failure)
        case optuna.TrialPruned():
            return Outcome(Ending.PRUNED, reason=str(failure))
    ending = Ending.STORE_FAULT if isinstance(failure, STORE_FAULTS) else Ending.FAILED
    return Outcome(ending, reason=in_one_line(failure), cause=failure)
