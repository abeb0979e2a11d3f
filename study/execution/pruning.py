"""Prunes a search's poor trials with Optuna's pruners, which see slots instead of trial numbers."""

import math

import numpy as np
import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from study.design.search import Search
from study.execution.attributes import REPLICATES, slot_of
from study.execution.optuna_internals import by_slots, numbered_by_slot

MEDIAN = {"n_startup_trials": 5, "n_warmup_steps": 3}  # a trial can be pruned after epoch 3 at the earliest
HYPERBAND = {"reduction": 2, "least": 1}


def pruner(search: Search, **settings: int) -> BasePruner:
    """Return the pruner that the search asks for; `settings` override MEDIAN or HYPERBAND."""
    epochs = search.baseline.training.epochs
    if search.pruner == "median":
        return Sparing(MedianPruner(**MEDIAN | settings), epochs)
    if search.pruner == "hyperband":
        return Sparing(Hyperband(epochs, **HYPERBAND | settings), epochs)
    return NopPruner()


def share_trained(search: Search) -> float:
    """Return which share of their epochs a search's trials train, if the pruner prunes as many as it is meant to."""
    epochs = search.baseline.training.epochs
    if search.pruner == "median":  # half of the trials end, at the earliest after the epoch that follows the warm-up
        return (1 + min(epochs, MEDIAN["n_warmup_steps"] + 1) / epochs) / 2
    if search.pruner == "hyperband":
        return Hyperband(epochs, **HYPERBAND).epochs_trained / epochs
    return 1.0


class Sparing(BasePruner):
    """Wraps a pruner so that it never prunes the baseline, a further seed, or a trial that has trained all its epochs.

    The other trials are compared with the baseline; seeds that were pruned because they were bad would flatter a point;
    and pruning a trial after its last epoch saves nothing.
    """

    def __init__(self, pruner: BasePruner, epochs: int):
        self._pruner = pruner
        self._epochs = epochs

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        if slot_of(trial) == 0 or trial.last_step is None or trial.last_step >= self._epochs:
            return False
        if not self._pruner.prune(by_slots(study), numbered_by_slot(trial)):
            return False
        stored = study.get_trials(deepcopy=False)[trial.number]  # with what the sampler wrote since `trial` was made
        return REPLICATES not in stored.user_attrs


class Hyperband(BasePruner):
    """Hyperband with asynchronous halving (Li et al. 2018 and 2020): 1 in `reduction` of a rung's trials continues.

    The rungs are at epochs / reduction, epochs / reduction² … down to `least`; the brackets differ in their first rung,
    and one has no rungs. A trial's bracket depends only on its slot, and whether it continues only on the values
    reported so far. Optuna's own Hyperband draws the bracket from the study's name and the trial's number, and keeps a
    trial's rungs in attributes that the trial would still have after it is requeued; it would also prune trials one
    epoch before the last.
    """

    def __init__(self, epochs: int, reduction: int, least: int):
        rungs: list[int] = []
        while (rung := epochs // reduction ** (len(rungs) + 1)) >= least:
            rungs.insert(0, rung)
        self.brackets = [tuple(rungs[first:]) for first in range(len(rungs) + 1)]
        self._epochs, self._reduction = epochs, reduction
        # The brackets cost about the same: one with more rungs prunes more trials early, and gets more to make up.
        shares = np.array([reduction ** len(rungs) / (len(rungs) + 1) for rungs in self.brackets])
        self._shares = shares / shares.sum()
        self._ends = np.cumsum(self._shares)

    @property
    def epochs_trained(self) -> float:
        """How many epochs a trial trains in the mean, if each rung lets 1 in `reduction` of its trials continue."""
        means = []
        for rungs in self.brackets:
            ends = np.diff([0, *rungs, self._epochs])
            means.append(float(ends @ (1.0 * self._reduction) ** -np.arange(len(ends))))
        return float(self._shares @ means)

    def bracket(self, slot: int) -> int:
        """Return the number of the slot's bracket; even a few consecutive slots cover the brackets in proportion."""
        golden = (math.sqrt(5) - 1) / 2
        return min(int(np.searchsorted(self._ends, slot * golden % 1, side="right")), len(self.brackets) - 1)

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        bracket, epoch = self.bracket(slot_of(trial)), trial.last_step
        if epoch is None or epoch not in self.brackets[bracket]:
            return False
        value = trial.intermediate_values[epoch]
        sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
        others = [
            sign * other.intermediate_values[epoch]
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number
            and epoch in other.intermediate_values
            and self.bracket(slot_of(other)) == bracket
        ]
        better = sum(other < sign * value for other in others)
        return math.isnan(value) or better >= max((len(others) + 1) // self._reduction, 1)
