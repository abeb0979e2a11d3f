"""How long trials will take: a rough guess beforehand, a better one while they run."""

import itertools
from collections.abc import Mapping, Sequence

from study.data.dataset import Dataset
from study.design.ablation import TrialSpec
from study.execution.queue import Progress
from study.training.config import TrialConfig

# Measured in November 2026 on one core of a cloud machine, 784-128-10 on 55,000 rows at batch 8, 32 and 128
# (docs/lab-log.md): an epoch costs so much for each weight and row, and for each weight and step.
SECONDS_A_WEIGHT_AND_ROW = 3.5e-11
SECONDS_A_WEIGHT_AND_STEP = 7e-10
SECONDS_A_STEP = 8e-6
SECONDS_TO_RECORD = 0.7
SECONDS_TO_COMPILE = 2.0
SECONDS_TO_START = 10.0


def trial_seconds(config: TrialConfig, dataset: Dataset) -> float:
    """Return about how many seconds a trial takes on one core if it trains all its epochs."""
    height, width = dataset.image_shape
    sizes = (height * width, *config.network.widths, dataset.classes)
    weights = sum(before * after for before, after in itertools.pairwise(sizes))
    rows = len(dataset.train)
    steps = -(-rows // config.training.batch_size)
    epoch = weights * (rows * SECONDS_A_WEIGHT_AND_ROW + steps * SECONDS_A_WEIGHT_AND_STEP) + steps * SECONDS_A_STEP
    return SECONDS_TO_RECORD + config.training.epochs * epoch


def total_seconds(specs: Sequence[TrialSpec], dataset: Dataset, workers: int) -> float:
    """Return about how many seconds all the trials take together, with starting and compiling."""
    trials = sum(trial_seconds(spec.config, dataset) for spec in specs)
    shapes = len({spec.arm for spec in specs})
    return SECONDS_TO_START + trials / workers + shapes * SECONDS_TO_COMPILE


class TimeLeft:
    """Seconds until the last trial ends: the guess beforehand, corrected by how fast the trials really go.

    `seconds` are those of each trial by slot, `whole` those of all together, on all workers.
    """

    def __init__(self, seconds: Mapping[int, float], whole: float):
        self._seconds, self._whole = seconds, whole
        self._all = sum(seconds.values())

    def after(self, elapsed: float, trials: Sequence[Progress]) -> float:
        """Return the seconds left, `elapsed` seconds after the start."""
        done = sum(
            self._seconds.get(trial.slot, 0) * (1 if trial.finished else trial.epoch / trial.epochs) for trial in trials
        )
        share = done / self._all
        if share == 0:
            return max(0.0, self._whole - elapsed)
        # At first the guess counts, later what was seen; the start counts as a part of both.
        return (1 - share) * ((1 - share) * self._whole + share * (elapsed / share))


def time_left(specs: Sequence[TrialSpec], dataset: Dataset, workers: int) -> TimeLeft:
    """Return the time that these trials will take."""
    seconds = {slot: trial_seconds(spec.config, dataset) for slot, spec in enumerate(specs)}
    return TimeLeft(seconds, total_seconds(specs, dataset, workers))


def search_seconds(baseline: TrialConfig, dataset: Dataset, trials: int, workers: int) -> float:
    """Return about how many seconds so many trials like the baseline take, if none is pruned."""
    # Nearly every trial of a search has a program of its own to be compiled.
    return SECONDS_TO_START + trials * (trial_seconds(baseline, dataset) + SECONDS_TO_COMPILE) / workers
