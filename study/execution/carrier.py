"""Carries trials that the store already has over in the conductor's own process, which need not import TensorFlow."""

import contextlib
import time
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from study.base import processes
from study.data.dataset import Dataset
from study.execution import attributes, reuse
from study.execution.attempt import STORE_FAULTS, StoreFault, TrialRunner, take
from study.execution.queue import Progress, Queue
from study.tracking.store import MlflowClient
from study.training.config import TrialConfig
from study.training.fingerprint import fingerprint


class Carrier:
    """Takes from an ablation's queue the trials of which the store has an equal that can be copied as it is.

    What is left waits for a worker: trials to be trained, and those whose equal has to be scored on other splits. Once
    workers run, which takes them some seconds, all is left to them. The queue needs its assignment, and the study's run
    the runs of its arms. Raises TrackingError.
    """

    def __init__(self, queue: Queue, dataset: Dataset, client: MlflowClient):
        assignment = queue.assignment
        splits = dataset if assignment.open_test else dataset.without_test()
        self._queue, self._equals = queue, _Equals(client)
        self._runner = TrialRunner(queue, assignment, None, splits, client, _train, self._equals.take)
        self._name = processes.label(self._runner.process)
        self._ended = False

    def carry(self, trials: Sequence[Progress], seconds: float) -> bool:
        """Carry trials over, for about so long; return whether there was any. `trials` are how far all of them are.

        A fault of the store ends it for good: the workers try again, and say what is wrong.
        """
        self._ended |= any(trial.worker not in ("", self._name) for trial in trials)
        deadline, taken = time.monotonic() + seconds, False
        self._queue.choose = self._has_equal
        try:
            while not self._ended and time.monotonic() < deadline and take(self._queue, self._runner):
                taken = True
        except (StoreFault, *STORE_FAULTS):
            self._ended = True
        finally:
            self._queue.choose = None
        return taken

    def close(self) -> None:
        """Requeue the trial at which it was interrupted; ignore a store that fails: its heartbeat has stopped."""
        with contextlib.suppress(StoreFault, *STORE_FAULTS):
            self._runner.give_back()

    def _has_equal(self, trial: FrozenTrial) -> bool:
        config = TrialConfig.parse(trial.user_attrs[attributes.CONFIG])
        dataset = self._runner.with_fold(config.data.fold)
        return self._equals.has(fingerprint(config, dataset.sha256, len(dataset.validation)), config, dataset)


class _Equals:
    """The equals of trials, by fingerprint: each is looked for when its trial is chosen, and kept until it is taken."""

    def __init__(self, client: MlflowClient):
        self._client = client
        self._found: dict[str, reuse.Equal | None] = {}

    def has(self, mark: str, config: TrialConfig, dataset: Dataset) -> bool:
        """Return whether the store has an equal that can be copied as it is."""
        if mark not in self._found:
            self._found[mark] = reuse.find(self._client, mark, config, dataset, as_it_is=True)
        return self._found[mark] is not None

    def take(self, client: MlflowClient, mark: str, config: TrialConfig, dataset: Dataset) -> reuse.Equal | None:
        """Return the equal that was found, as `reuse.find` would, and forget it: its model and files are large."""
        return self._found.pop(mark)


def _train(*trial: object) -> None:
    raise AssertionError("a carrier takes no trial that has to be trained")
