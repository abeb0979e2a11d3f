"""How a search gives up poor trials: Optuna's pruners, reading slots."""

import math

import numpy as np
import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from study.design.search import Search
from study.execution.attributes import slot_of
from study.execution.optuna_internals import by_slots, numbered_by_slot

MEDIAN = {"n_startup_trials": 5, "n_warmup_steps": 3}  # so that epoch 3 is the first after which a trial can end
HYPERBAND = {"reduction": 2, "least": 1}


def pruner(search: Search, **settings: int) -> BasePruner:
    """Return what gives up the search's poor trials; `settings` change MEDIAN or HYPERBAND."""
    epochs = search.baseline.training.epochs
    if search.pruner == "median":
        return Sparing(MedianPruner(**MEDIAN | settings), epochs)
    if search.pruner == "hyperband":
        return Sparing(Hyperband(epochs, **HYPERBAND | settings), epochs)
    return NopPruner()


class Sparing(BasePruner):
    """Another pruner, which leaves alone the baseline and trials that have had all their epochs.

    The baseline is what the others are compared with, and a trial that is through has cost what it can cost.
    """

    def __init__(self, pruner: BasePruner, epochs: int):
        self._pruner = pruner
        self._epochs = epochs

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        if slot_of(trial) == 0 or trial.last_step is None or trial.last_step >= self._epochs:
            return False
        return self._pruner.prune(by_slots(study), numbered_by_slot(trial))


class Hyperband(BasePruner):
    """Hyperband with asynchronous halving, Li et al. 2018 and 2020: of the trials at a rung, 1 in `reduction` goes on.

    The rungs are at epochs / reduction, epochs / reduction² … down to `least`; the brackets differ in the rung they
    begin with, and one has none. Which bracket a trial is in depends on its slot alone, and who goes on on the values
    reported by now. Optuna's own draws the bracket from the study's name and the trial's number, and keeps a trial's
    rungs in attributes that it would have again when it is put back; it would also end trials an epoch before the last.
    """

    def __init__(self, epochs: int, reduction: int, least: int):
        rungs: list[int] = []
        while (rung := epochs // reduction ** (len(rungs) + 1)) >= least:
            rungs.insert(0, rung)
        self.brackets = [tuple(rungs[first:]) for first in range(len(rungs) + 1)]
        self._reduction = reduction
        # The brackets cost about the same; one with more rungs has as many more trials as it ends early.
        shares = np.array([reduction ** len(rungs) / (len(rungs) + 1) for rungs in self.brackets])
        self._ends = np.cumsum(shares / shares.sum())

    def bracket(self, slot: int) -> int:
        """Return the number of the slot's bracket: any few slots in a row have about their share of each."""
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
