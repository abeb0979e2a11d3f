"""Estimates how long trials will take: roughly beforehand, and better while they run."""

import math
from collections.abc import Mapping, Sequence

from study.data.dataset import Dataset
from study.design.ablation import TrialSpec
from study.execution.queue import Progress
from study.tracking.artifacts import csv_text
from study.training.config import TrialConfig
from study.training.networks.network import find, network_shape

# Measured in November 2026 on one core of a cloud machine, 784-128-10 on 55,000 rows at batch 8, 32 and 128
# (docs/lab-log.md): what an epoch costs for each weight and row, for each weight and step, and for each step.
SECONDS_A_WEIGHT_AND_ROW = 3.5e-11
SECONDS_A_WEIGHT_AND_STEP = 7e-10
SECONDS_A_STEP = 8e-6
SECONDS_TO_RECORD = 0.7
SECONDS_TO_COMPILE = 2.0
SECONDS_TO_START = 10.0
USUAL_WIDTH = 128


def trial_seconds(config: TrialConfig, dataset: Dataset) -> float:
    """Estimate the seconds that a trial takes on one core if it trains all its epochs."""
    weights = weights_used(config, dataset)
    rows = len(dataset.train)
    steps = -(-rows // config.training.batch_size)
    epoch = weights * (rows * SECONDS_A_WEIGHT_AND_ROW + steps * SECONDS_A_WEIGHT_AND_STEP) + steps * SECONDS_A_STEP
    return SECONDS_TO_RECORD + config.training.epochs * epoch


def weights_used(config: TrialConfig, dataset: Dataset) -> int:
    """Return about how many multiplications a network makes for a row."""
    work = find(config.network.name).work
    if work is None:  # as if it were the usual mlp
        return USUAL_WIDTH * (math.prod(dataset.row_shape) + dataset.classes)
    shape = network_shape(dataset.row_shape, dataset.kind == "pixels")
    return work(shape, dataset.classes, **dict(config.network.settings))


def total_seconds(specs: Sequence[TrialSpec], dataset: Dataset, workers: int) -> float:
    """Estimate the seconds that all trials take together, including starting and compiling."""
    trials = sum(trial_seconds(spec.config, dataset) for spec in specs)
    shapes = len({spec.arm for spec in specs})
    return SECONDS_TO_START + trials / workers + shapes * SECONDS_TO_COMPILE


class TimeLeft:
    """Estimates the seconds until the last trial ends, from a first estimate and how fast the trials really go.

    `seconds` is the estimate for each trial by slot, `whole` the estimate for all of them together, on all workers.
    More trials may be added while they run.
    """

    def __init__(self, seconds: Mapping[int, float], whole: float):
        self._seconds, self._whole = dict(seconds), whole

    def add(self, seconds: Sequence[float], workers: int) -> None:
        """Add trials, in the slots that follow, with the estimate for each."""
        self._seconds |= dict(enumerate(seconds, start=len(self._seconds)))
        self._whole += sum(seconds) / workers

    def after(self, elapsed: float, trials: Sequence[Progress]) -> float:
        """Return the seconds left, `elapsed` seconds after the start."""
        done = sum(
            self._seconds.get(trial.slot, 0) * (1 if trial.finished else trial.epoch / trial.epochs) for trial in trials
        )
        share = done / sum(self._seconds.values())
        if share == 0:
            return max(0.0, self._whole - elapsed)
        # At first the estimate counts, later the measured speed; both include the start.
        return (1 - share) * ((1 - share) * self._whole + share * (elapsed / share))


def time_left(specs: Sequence[TrialSpec], dataset: Dataset, workers: int) -> TimeLeft:
    """Return the clock that estimates the time left for these trials."""
    seconds = {slot: trial_seconds(spec.config, dataset) for slot, spec in enumerate(specs)}
    return TimeLeft(seconds, total_seconds(specs, dataset, workers))


def search_seconds(baseline: TrialConfig, dataset: Dataset, trials: int, workers: int) -> float:
    """Estimate the seconds that this number of trials like the baseline takes, if none is pruned."""
    # Nearly every trial of a search needs its own program compiled.
    return SECONDS_TO_START + trials * (trial_seconds(baseline, dataset) + SECONDS_TO_COMPILE) / workers


def plan_table(specs: Sequence[TrialSpec], dataset: Dataset) -> str:
    """Return every trial with its full config and estimated time, as a CSV file's text."""
    texts = [spec.config.as_text() for spec in specs]
    fields = list(dict.fromkeys(name for text in texts for name in text))  # networks differ in theirs
    rows = (
        (
            spec.name,
            f"{trial_seconds(spec.config, dataset):.1f}",
            *(text.get(name, "") for name in fields),
        )
        for spec, text in zip(specs, texts, strict=True)
    )
    return csv_text(("trial", "about seconds", *fields), rows)
